//! libibverbs, loaded when it is first asked for: what its header declares, and its inline functions.
//!
//! - VB-1 the library is never unloaded: its drivers keep threads and tables of their own.
//! - VB-2 calls of the data path are inline functions in C, which go through tables of the driver; here
//!   they are [`post_send`], [`post_recv`], [`poll_cq`] and [`req_notify_cq`].
//!
//! `transport/rdma-sys/bindings` makes `bindings.rs`.
#![allow(unsafe_code, reason = "a library in C")]

mod bindings;

pub use bindings::*;

use libc::c_int;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::ffi::OsStr;
use std::mem::size_of;
use std::sync::OnceLock;

/// The library's name, as packages install it.
pub const LIBRARY: &str = "libibverbs.so.1";

/// There is no library, or none that can be used.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "{library} cannot be loaded: {problem}; install it with the drivers of the devices (Debian: apt-get \
     install libibverbs1 ibverbs-providers; Fedora, RHEL: dnf install libibverbs rdma-core)"
)]
pub struct LoadError {
    /// What was to be loaded.
    pub library: String,
    /// What the loader said.
    pub problem: String,
}

/// The library, loaded once (VB-1).
///
/// # Errors
/// [`LoadError`], the same one each time.
pub fn verbs() -> Result<&'static Verbs, LoadError> {
    static LOADED: OnceLock<Result<Verbs, LoadError>> = OnceLock::new();
    let loaded = LOADED.get_or_init(|| load(OsStr::new(LIBRARY)));
    loaded.as_ref().map_err(Clone::clone)
}

/// Another library of the same functions.
///
/// # Errors
/// [`LoadError`].
pub fn load(library: &OsStr) -> Result<Verbs, LoadError> {
    let failed = |error: libloading::Error| LoadError {
        library: library.to_string_lossy().into_owned(),
        problem: error.to_string(),
    };
    // SAFETY: what runs when it is loaded is its own; the functions have the types of the header, whose
    // versions do not change under a name.
    unsafe {
        let opened = Library::open(Some(library), RTLD_NOW | RTLD_LOCAL).map_err(failed)?;
        Verbs::from_library(opened).map_err(failed)
    }
}

/// 0, or what went wrong.
fn missing() -> c_int {
    libc::EOPNOTSUPP
}

/// Posts requests to the send queue: 0, or an errno.
///
/// # Safety
/// As `ibv_post_send` of the library: a queue pair that lives, a list of requests, and a place for the
/// first one that was refused; memory that they name stays until they are completed.
#[inline]
pub unsafe fn post_send(
    qp: *mut ibv_qp,
    requests: *mut ibv_send_wr,
    bad: *mut *mut ibv_send_wr,
) -> c_int {
    // SAFETY: VB-2, the contract.
    unsafe {
        match (*(*qp).context).ops.post_send {
            Some(post) => post(qp, requests, bad),
            None => missing(),
        }
    }
}

/// Posts requests to the receive queue: 0, or an errno.
///
/// # Safety
/// As [`post_send`].
#[inline]
pub unsafe fn post_recv(
    qp: *mut ibv_qp,
    requests: *mut ibv_recv_wr,
    bad: *mut *mut ibv_recv_wr,
) -> c_int {
    // SAFETY: VB-2, the contract.
    unsafe {
        match (*(*qp).context).ops.post_recv {
            Some(post) => post(qp, requests, bad),
            None => missing(),
        }
    }
}

/// Takes completions out of a queue: how many, or a negative number.
///
/// # Safety
/// A queue that lives, and room for so many.
#[inline]
pub unsafe fn poll_cq(cq: *mut ibv_cq, room: c_int, completions: *mut ibv_wc) -> c_int {
    // SAFETY: VB-2, the contract.
    unsafe {
        match (*(*cq).context).ops.poll_cq {
            Some(poll) => poll(cq, room, completions),
            None => -missing(),
        }
    }
}

/// Asks for an event with the next completion: 0, or an errno.
///
/// # Safety
/// A queue that lives.
#[inline]
pub unsafe fn req_notify_cq(cq: *mut ibv_cq, solicited_only: c_int) -> c_int {
    // SAFETY: VB-2, the contract.
    unsafe {
        match (*(*cq).context).ops.req_notify_cq {
            Some(ask) => ask(cq, solicited_only),
            None => missing(),
        }
    }
}

// What the driver and this program must agree on, on machines of 64 bits.
const _: () = {
    assert!(size_of::<ibv_sge>() == 16);
    assert!(size_of::<ibv_send_wr>() == 128);
    assert!(size_of::<ibv_recv_wr>() == 32);
    assert!(size_of::<ibv_wc>() == 48);
    assert!(size_of::<ibv_gid>() == 16);
    assert!(size_of::<ibv_port_attr>() == 52);
    assert!(size_of::<ibv_context_ops>() == 32 * 8);
};
