//! Limits of the machine and of the process: each its own error, with figures; never a signal.
//!
//! Limits of a process are set in a process of their own: this executable again.
#![cfg(not(any(loom, miri)))]
#![allow(unsafe_code, reason = "sets limits of a process and mounts")]

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use maser_shm::os::memory;
use maser_shm::os::shared_memory::{self, PageKind};
use maser_shm::store::extent::{Extent, ForeignExtent};
use maser_shm::store::{
    ExtentError, HugePages, Object, Store, StoreConfig, StoreError, StoreEvents,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const MIB: usize = 1 << 20;
const ROLE: &str = "MASER_TEST_LIMITED";

/// Runs a test of this file in a process of its own; whether this is that process.
fn alone(name: &str) -> bool {
    if std::env::var_os(ROLE).is_some_and(|role| role == *name) {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command
        .args(["--exact", name, "--nocapture"])
        .env(ROLE, name)
        .output();
    let output = output.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    print!("{text}");
    assert!(
        output.status.success(),
        "{:?}: {text}{errors}",
        output.status
    );
    assert!(text.contains("1 passed"), "{text}");
    false
}

fn plain(bytes: usize) -> StoreConfig {
    let mut config = StoreConfig::new(bytes);
    config.huge_pages = HugePages::Off;
    config
}

fn limit(resource: Resource, to: u64) {
    let maximum = getrlimit(resource).maximum;
    setrlimit(
        resource,
        Rlimit {
            current: Some(to),
            maximum,
        },
    )
    .unwrap();
}

#[test]
fn a_store_larger_than_the_machine_is_refused_at_once() {
    let error = Store::new(plain(1 << 50)).unwrap_err();
    let StoreError::Budget { asked, memory, .. } = error else {
        panic!("{error}");
    };
    assert!(asked == 1 << 50 && memory > 0 && memory < 1 << 50);
}

#[test]
fn settings_that_cannot_be_are_named() {
    let mut zero = plain(0);
    let mut first = plain(64 * MIB);
    first.extent_bytes_first = first.extent_bytes_max + 1;
    let mut kind = plain(64 * MIB);
    kind.huge_page = PageKind::Plain;
    zero.populate = false;
    for (config, name) in [
        (zero, "store_bytes"),
        (first, "extent_bytes_first"),
        (kind, "huge_page"),
    ] {
        let error = Store::new(config).unwrap_err();
        assert!(error.to_string().starts_with(name), "{error}");
    }
    let store = Store::new(plain(MIB)).unwrap();
    let error = store.create(usize::MAX).unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }), "{error}");
}

#[test]
fn huge_pages_that_are_required_and_not_there_are_an_error_with_figures() {
    let kind = PageKind::Huge2MiB;
    let total = memory::huge_pool(kind).map_or(0, |pool| pool.total);
    let mut config = StoreConfig::new((total as usize + 1) * kind.bytes());
    config.huge_pages = HugePages::Require;
    let error = Store::new(config).unwrap_err();
    let StoreError::Budget { memory, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(memory, total * kind.bytes() as u64);
}

#[derive(Default)]
struct Notices(Mutex<Vec<String>>);

impl StoreEvents for Notices {
    fn no_huge_pages(&self, reason: &ExtentError) {
        self.0.lock().unwrap().push(reason.to_string());
    }
}

#[test]
fn without_enough_huge_pages_plain_ones_are_taken_with_one_notice() {
    let notices = Arc::new(Notices::default());
    // No machine of today has so many pages of 1 GiB free; where there are none it is shorter still.
    let pool = memory::huge_pool(PageKind::Huge1GiB).map_or(0, |pool| pool.available());
    if pool > 0 {
        println!("skipped: {pool} pages of 1 GiB are free here, and it is about a lack of them");
        return;
    }
    let mut config = StoreConfig::new(2 << 30);
    config.huge_page = PageKind::Huge1GiB;
    config.events = Some(notices.clone());
    let Ok(store) = Store::new(config) else {
        println!("skipped: the machine has less than 2 GiB of memory");
        return;
    };
    let small = store.put(b"small").unwrap();
    let large = store.create(40 * MIB).unwrap();
    assert!(store.usage().extents >= 2);
    let notices = notices.0.lock().unwrap();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].contains("huge pages"), "{notices:?}");
    drop((small, large));
}

#[test]
fn huge_pages_are_used_where_they_are_and_come_back() {
    let kind = PageKind::Huge2MiB;
    let Some(pool) = memory::huge_pool(kind).filter(|pool| pool.available() >= 8) else {
        println!("skipped: fewer than 8 huge pages of 2 MiB are free");
        return;
    };
    if let Err(error) = shared_memory::create("probe", kind, kind.bytes()) {
        println!("skipped: huge pages of 2 MiB are refused: {error}");
        return;
    }
    let mut config = StoreConfig::new(8 * kind.bytes());
    config.huge_pages = HugePages::Require;
    let Ok(store) = Store::new(config) else {
        println!("skipped: {pool:?}");
        return;
    };
    let objects: Vec<Object> = (0..9).map(|i| store.put(&vec![i; MIB]).unwrap()).collect();
    store.settle();
    assert_eq!(store.usage().extent_bytes % kind.bytes(), 0);
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    assert!(smaps.contains("KernelPageSize:     2048 kB"));
    assert!(
        objects
            .iter()
            .enumerate()
            .all(|(i, object)| object[MIB - 1] == i as u8)
    );
    drop(objects);
    store.trim();
    assert_eq!(store.usage().extents, 0);
}

#[test]
fn out_of_descriptors_is_an_error_with_the_limit() {
    if !alone("out_of_descriptors_is_an_error_with_the_limit") {
        return;
    }
    let store = Store::new(plain(64 * MIB)).unwrap();
    limit(Resource::Nofile, 64);
    let mut files = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        files.push(file);
    }
    let error = store.create(100).unwrap_err();
    let extent = match error {
        StoreError::Extent(extent) => extent,
        error => panic!("{error}"),
    };
    // With no descriptor left, nothing can be read about memory either.
    assert!(
        matches!(extent, ExtentError::OpenFiles { limit: 64 }),
        "{extent}"
    );
    files.truncate(10);
    assert_eq!(store.put(b"works").unwrap()[..], *b"works");
}

#[test]
fn out_of_address_space_is_an_error_with_the_limit() {
    if !alone("out_of_address_space_is_an_error_with_the_limit") {
        return;
    }
    let mut config = plain(1 << 30);
    config.populate = false;
    let Ok(store) = Store::new(config) else {
        println!("skipped: the machine has less than 1 GiB of memory");
        return;
    };
    let kept = store.put(b"kept").unwrap();
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
    limit(Resource::As, pages * 4096 + (8 << 20));
    let error = store.create(100 * MIB).unwrap_err();
    let StoreError::Extent(ExtentError::AddressSpace { asked, limit }) = error else {
        panic!("{error}");
    };
    assert!(asked >= 100 * MIB && limit > 0);
    assert_eq!(kept[..], *b"kept");
    assert!(store.create(MIB).is_ok());
}

#[test]
fn memory_of_a_node_that_there_is_not_is_refused() {
    let extent = Extent::create_on(MIB, PageKind::Plain, Some(0));
    let extent = extent.unwrap();
    assert_eq!(extent.bytes(), MIB);
    for node in [1023, 1024, u32::MAX] {
        let error = Extent::create_on(MIB, PageKind::Plain, Some(node)).unwrap_err();
        assert!(error.to_string().contains("has_memory"), "{error}");
    }
}

#[test]
fn a_directory_that_is_not_of_huge_pages_is_refused() {
    for directory in ["/", "/nowhere", "/dev/null"] {
        let error = Extent::create_in(directory.as_ref(), MIB, None).unwrap_err();
        assert!(
            matches!(error, ExtentError::NoHugeDirectory { .. }),
            "{error}"
        );
        assert!(error.to_string().contains("mount -t hugetlbfs"), "{error}");
    }
}

/// A file system of huge pages that only this process sees, and that goes with it.
fn mounted() -> Option<PathBuf> {
    let directory = std::env::temp_dir().join(format!("maser-huge-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = std::ffi::CString::new(directory.to_str().unwrap()).unwrap();
    let private = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: the strings live until the calls are over; the mount is in a namespace of this
    // process alone.
    let done = unsafe {
        let (root, none) = (c"/".as_ptr(), c"none".as_ptr());
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(none, root, std::ptr::null(), private, std::ptr::null()) == 0
            && libc::mount(
                none,
                path.as_ptr(),
                c"hugetlbfs".as_ptr(),
                0,
                c"pagesize=2M".as_ptr().cast(),
            ) == 0
    };
    done.then_some(directory)
}

#[test]
fn a_directory_of_huge_pages_holds_extents_that_readers_have_to_ask_for() {
    if !alone("a_directory_of_huge_pages_holds_extents_that_readers_have_to_ask_for") {
        return;
    }
    let kind = PageKind::Huge2MiB;
    let pages = memory::huge_pool(kind).map_or(0, |pool| pool.available());
    let Some(directory) = mounted().filter(|_| pages >= 2) else {
        println!("skipped: {pages} huge pages are free, or this user may not mount");
        return;
    };
    let extent = Extent::create_in(&directory, MIB, None).unwrap();
    assert_eq!((extent.bytes(), extent.pages()), (kind.bytes(), kind));
    assert_eq!(
        std::fs::read_dir(&directory).unwrap().count(),
        0,
        "no name is left"
    );
    let bytes = extent.bytes() as u64;
    let error = ForeignExtent::attach(extent.file(), bytes, "worker 3").unwrap_err();
    assert!(matches!(error, ExtentError::NotSealed { .. }), "{error}");
    let reader = ForeignExtent::attach_unsealed(extent.file(), bytes, "worker 3").unwrap();
    assert_eq!(reader.bytes(), extent.bytes());
    let memfd = Extent::create(MIB, PageKind::Plain).unwrap();
    assert!(ForeignExtent::attach_unsealed(memfd.file().as_fd(), MIB as u64, "x").is_ok());
    let mut config = StoreConfig::new(2 * kind.bytes());
    drop((extent, reader));
    config.huge_pages = HugePages::Require;
    config.huge_page_dir = Some(directory);
    if let Ok(store) = Store::new(config) {
        assert_eq!(
            store.put(b"in a directory").unwrap()[..],
            *b"in a directory"
        );
    }
}
