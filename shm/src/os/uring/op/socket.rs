//! Operations on sockets: look for something to do, accept.
#![allow(unsafe_code, reason = "takes descriptors that the kernel made for us")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use io_uring::squeue::Entry;
use io_uring::{opcode, types};

/// An operation on a socket, which stays open for as long as it is under way.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SocketOperation {
    /// Completes once, when the socket has bytes, takes bytes, or has failed. The result has
    /// [`READABLE`] and [`WRITABLE`]; both if it has failed.
    Watch {
        /// Which socket.
        socket: Arc<OwnedFd>,
        /// Whether it is looked at for bytes, or for the end of them.
        bytes: bool,
        /// Whether it is looked at for room.
        room: bool,
    },
    /// Accepts connections until it is cancelled or fails: a completion for each, which has the
    /// socket.
    Accept {
        /// The socket that listens.
        listener: Arc<OwnedFd>,
    },
}

/// In the result of [`SocketOperation::Watch`]: there are bytes, or the end of them.
pub const READABLE: usize = 1;
/// In the result of [`SocketOperation::Watch`]: there is room.
pub const WRITABLE: usize = 2;

const FAILED: u32 = (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) as u32;

impl SocketOperation {
    pub(super) fn entry(&self) -> Entry {
        let descriptor = |socket: &Arc<OwnedFd>| types::Fd(socket.as_raw_fd());
        match self {
            Self::Watch {
                socket,
                bytes,
                room,
            } => {
                let bytes = if *bytes { libc::POLLIN } else { 0 };
                let room = if *room { libc::POLLOUT } else { 0 };
                let flags = u32::from((bytes | room).cast_unsigned());
                opcode::PollAdd::new(descriptor(socket), flags).build()
            }
            Self::Accept { listener } => opcode::AcceptMulti::new(descriptor(listener))
                .flags(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC)
                .build(),
        }
    }

    /// What the kernel's number means.
    pub(super) fn outcome(&self, number: usize) -> usize {
        let Self::Watch { .. } = self else {
            return number;
        };
        let flags = number as u32;
        let has = |wanted: i16| flags & (wanted as u32 | FAILED) != 0;
        let readable = if has(libc::POLLIN) { READABLE } else { 0 };
        readable | if has(libc::POLLOUT) { WRITABLE } else { 0 }
    }

    /// The socket that a completion brought.
    pub(super) fn accepted(&self, result: &io::Result<usize>) -> Option<OwnedFd> {
        let (Self::Accept { .. }, Ok(number)) = (self, result) else {
            return None;
        };
        let number = i32::try_from(*number).ok()?;
        // SAFETY: UR-8: the kernel made this descriptor for this completion, which is taken once.
        Some(unsafe { OwnedFd::from_raw_fd(number) })
    }
}
