//! Namespaces: process ids and mounts that are nobody else's.
#![allow(unsafe_code, reason = "unshare and mount")]

use std::ffi::{CStr, CString};
use std::io;
use std::path::Path;
use std::ptr;

use rustix::thread::UnshareFlags;

/// From here on the mounts of this process are its own, and its next child is process 1 of a new
/// pid namespace.
pub fn own_mounts_and_ids() -> io::Result<()> {
    unshare(UnshareFlags::NEWNS | UnshareFlags::NEWPID)?;
    keep_mounts_to_ourselves()
}

fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: the process has one thread, and no descriptors are unshared.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}

fn keep_mounts_to_ourselves() -> io::Result<()> {
    mount(
        c"none",
        Path::new("/"),
        None,
        libc::MS_REC | libc::MS_PRIVATE,
        None,
    )
}

/// Mounts the `/proc` of this pid namespace.
pub fn mount_proc() -> io::Result<()> {
    mount(c"proc", Path::new("/proc"), Some(c"proc"), 0, None)
}

fn mount(
    source: &CStr,
    target: &Path,
    kind: Option<&CStr>,
    flags: libc::c_ulong,
    options: Option<&CStr>,
) -> io::Result<()> {
    let target = CString::new(target.as_os_str().as_encoded_bytes())?;
    // SAFETY: all texts end with a zero and live through the call.
    let mounted = unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            kind.map_or(ptr::null(), CStr::as_ptr),
            flags,
            options.map_or(ptr::null(), |options| options.as_ptr().cast()),
        )
    };
    if mounted == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
