//! Which NUMA node the pages of a mapping come from.
#![allow(unsafe_code, reason = "a system call that has no wrapper")]

use std::io;

use super::shared_memory::View;

/// Largest node number the kernel is built for anywhere.
const NODES: usize = 1024;
const WORD_BITS: usize = usize::BITS as usize;

/// Has pages that the file does not have yet come from `node` while that has any, then from others.
/// The preference belongs to the file, so it holds for those as well whom other processes touch
/// first. A kernel without NUMA has one node, 0, and nothing to prefer.
///
/// # Errors
/// `EINVAL` where there is no such node, or it has no memory; `EPERM` in a sandbox that refuses it.
pub fn prefer(view: &View, node: u32) -> io::Result<()> {
    let node = node as usize;
    if node >= NODES {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut mask = [0usize; NODES / WORD_BITS];
    mask[node / WORD_BITS] = 1 << (node % WORD_BITS);
    // SAFETY: SF-4, a range that is mapped; the policy changes no contents. The mask has as many
    // bits as it is said to have (the kernel counts one less).
    let refused = unsafe {
        libc::syscall(
            libc::SYS_mbind,
            view.start().as_ptr(),
            view.bytes(),
            libc::MPOL_PREFERRED,
            mask.as_ptr(),
            NODES + 1,
            0,
        )
    };
    if refused == 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::ENOSYS) && node == 0 => Ok(()),
        error => Err(error),
    }
}
