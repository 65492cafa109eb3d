//! The library is found, or the error says what to install; devices are listed where there are any.
#![allow(unsafe_code, reason = "a library in C")]

use std::ffi::{CStr, OsStr};

#[test]
fn a_library_that_is_not_there_is_named_with_its_remedy() {
    let error = maser_rdma_sys::load(OsStr::new("libibverbs-none.so.9")).err();
    let text = error.expect("there is no such library").to_string();
    assert!(text.contains("libibverbs-none.so.9"), "{text}");
    assert!(text.contains("apt-get install libibverbs1"), "{text}");
}

#[test]
fn devices_are_listed_and_opened() {
    let verbs = match maser_rdma_sys::verbs() {
        Ok(verbs) => verbs,
        Err(error) => {
            println!("skipped: {error}");
            return;
        }
    };
    let mut count = 0;
    // SAFETY: the list is given back, and each device is used while it is there.
    unsafe {
        let list = verbs.ibv_get_device_list(&raw mut count);
        if list.is_null() || count == 0 {
            println!("skipped: the kernel has no RDMA device");
            return;
        }
        for at in 0..count as usize {
            let device = *list.add(at);
            let name = CStr::from_ptr(verbs.ibv_get_device_name(device));
            let context = verbs.ibv_open_device(device);
            assert!(!context.is_null(), "{name:?} is not opened");
            let mut limits = std::mem::zeroed();
            assert_eq!(verbs.ibv_query_device(context, &raw mut limits), 0);
            assert!(limits.max_qp > 0 && limits.phys_port_cnt > 0, "{name:?}");
            println!("{name:?}: {} queue pairs", limits.max_qp);
            assert_eq!(verbs.ibv_close_device(context), 0);
        }
        verbs.ibv_free_device_list(list);
    }
}
