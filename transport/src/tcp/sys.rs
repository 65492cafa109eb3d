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

/// Sends what the socket takes of `bytes`.
///
/// # Errors
/// As [`send`].
pub(super) fn send_bytes(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let start = bytes.as_ptr().cast();
    // SAFETY: the bytes are borrowed.
    outcome(unsafe { libc::send(socket.as_raw_fd(), start, bytes.len(), flags) })
}

/// Receives into `first`, and behind it into up to `limit` bytes of `rest`, which is emptied before; 0 if
/// the peer sends no more. How many bytes came in all; those in `rest` are what it has then.
///
/// # Errors
/// As [`send`].
///
/// # Safety
/// `first` is mapped for writing until this returns, and nobody has a reference to it.
pub(super) unsafe fn receive_both(
    socket: BorrowedFd<'_>,
    first: Part,
    rest: &mut Vec<u8>,
    limit: usize,
) -> io::Result<usize> {
    rest.clear();
    let room = rest.spare_capacity_mut();
    let mut vectors = [
        libc::iovec {
            iov_base: first.start.as_ptr().cast(),
            iov_len: first.bytes,
        },
        libc::iovec {
            iov_base: room.as_mut_ptr().cast(),
            iov_len: room.len().min(limit),
        },
    ];
    // SAFETY: a header without names and control data is all zero.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = vectors.as_mut_ptr();
    message.msg_iovlen = vectors.len() as _;
    let flags = libc::MSG_DONTWAIT;
    // SAFETY: the header and its vectors live here, `first` by the contract, `rest` is borrowed.
    let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    let received = outcome(received)?;
    // SAFETY: so many bytes were written at its front.
    unsafe { rest.set_len(received.saturating_sub(first.bytes)) };
    Ok(received)
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
