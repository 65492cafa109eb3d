//! System calls on sockets that read into, and write from, memory of regions.
#![allow(unsafe_code, reason = "the kernel reads and writes memory by address")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

/// Bytes for the kernel to read: a part of a request that somebody keeps.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub(super) start: NonNull<u8>,
    pub(super) bytes: usize,
}

/// Parts that one call takes.
pub(super) const MAX_PARTS: usize = 16;

/// Sends what the socket takes of `parts`, in their order.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] if it takes nothing, and others of the system.
///
/// # Safety
/// The parts are mapped until this returns.
pub(super) unsafe fn send(socket: BorrowedFd<'_>, parts: &[Part]) -> io::Result<usize> {
    let mut vectors = [libc::iovec {
        iov_base: std::ptr::null_mut(),
        iov_len: 0,
    }; MAX_PARTS];
    let count = parts.len().min(MAX_PARTS);
    for (vector, part) in vectors.iter_mut().zip(parts) {
        vector.iov_base = part.start.as_ptr().cast();
        vector.iov_len = part.bytes;
    }
    // SAFETY: a header without names and control data is all zero.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = vectors.as_mut_ptr();
    message.msg_iovlen = count as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the header and its vectors live here, the parts by the contract.
    outcome(unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) })
}

/// Receives up to `limit` bytes behind those of `buffer`, which has the capacity; 0 if the peer sends no
/// more.
///
/// # Errors
/// As [`send`].
///
/// # Panics
/// If the buffer has no room.
pub(super) fn receive_more(
    socket: BorrowedFd<'_>,
    buffer: &mut Vec<u8>,
    limit: usize,
) -> io::Result<usize> {
    let room = buffer.spare_capacity_mut();
    let bytes = room.len().min(limit);
    assert_ne!(bytes, 0, "nothing to receive into");
    let start = room.as_mut_ptr().cast();
    // SAFETY: the buffer's own memory.
    let received = unsafe { libc::recv(socket.as_raw_fd(), start, bytes, libc::MSG_DONTWAIT) };
    let received = outcome(received)?;
    // SAFETY: so many bytes were written behind those that were there.
    unsafe { buffer.set_len(buffer.len() + received) };
    Ok(received)
}

fn outcome(returned: isize) -> io::Result<usize> {
    usize::try_from(returned).map_err(|_| io::Error::last_os_error())
}
