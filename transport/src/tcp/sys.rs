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

/// Receives what there is into `buffer`, as much as it has capacity for; nothing if the peer sends no
/// more.
///
/// # Errors
/// As [`send`].
pub(super) fn receive_into<'a>(
    socket: BorrowedFd<'_>,
    buffer: &'a mut Vec<u8>,
) -> io::Result<&'a [u8]> {
    buffer.clear();
    let (start, bytes) = (buffer.as_mut_ptr(), buffer.capacity());
    // SAFETY: the buffer's own memory.
    let received =
        unsafe { libc::recv(socket.as_raw_fd(), start.cast(), bytes, libc::MSG_DONTWAIT) };
    let received = outcome(received)?;
    // SAFETY: so many bytes were written.
    unsafe { buffer.set_len(received) };
    Ok(buffer)
}

fn outcome(returned: isize) -> io::Result<usize> {
    usize::try_from(returned).map_err(|_| io::Error::last_os_error())
}
