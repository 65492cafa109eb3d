//! What can be asked of a ring, one file for each family of operations.
//!
//! A new family is a file here and a variant of [`Operation`]; the ring knows only how to make the
//! queue's entry out of it.

pub mod file;
pub mod socket;

use std::io;
use std::os::fd::OwnedFd;

use io_uring::squeue::Entry;

use super::batch::Piece;
use super::{Buffer, OperationId};
use file::FileOperation;
use socket::SocketOperation;

/// An operation, with all that it owns while it is under way.
#[derive(Debug)]
#[non_exhaustive]
pub enum Operation {
    /// On a file.
    File(FileOperation),
    /// On a socket.
    Socket(SocketOperation),
    /// In a completion that is not the last of its operation: that is still under way.
    UnderWay,
    /// A piece of a batch; never seen outside of it.
    #[doc(hidden)]
    Piece(Piece),
}

impl Operation {
    /// The buffer, if it has one.
    #[must_use]
    pub fn into_buffer(self) -> Option<Buffer> {
        match self {
            Self::File(operation) => operation.into_buffer(),
            Self::Piece(_) | Self::Socket(_) | Self::UnderWay => None,
        }
    }

    /// The entry of the submission queue; it points into what the operation owns.
    pub(super) fn entry(&self) -> Entry {
        match self {
            Self::File(operation) => operation.entry(),
            Self::Socket(operation) => operation.entry(),
            Self::Piece(piece) => piece.entry(),
            Self::UnderWay => io_uring::opcode::Nop::new().build(),
        }
    }

    /// What the kernel's number means.
    pub(super) fn outcome(&self, number: usize) -> usize {
        match self {
            Self::Socket(operation) => operation.outcome(number),
            _ => number,
        }
    }

    /// The socket that a completion brought.
    pub(super) fn accepted(&self, result: &io::Result<usize>) -> Option<OwnedFd> {
        match self {
            Self::Socket(operation) => operation.accepted(result),
            _ => None,
        }
    }

    /// Takes note of what was done.
    pub(super) fn finish(&mut self, result: &io::Result<usize>) {
        if let (Self::File(operation), Ok(bytes)) = (self, result) {
            operation.finish(*bytes);
        }
    }
}

/// An operation that has come to its end, or has brought something.
#[derive(Debug)]
pub struct Completion {
    /// The operation's name.
    pub id: OperationId,
    /// What the operation was pushed with.
    pub tag: u64,
    /// Bytes that were moved, or 0 for what moves none. `ECANCELED` if it was cancelled in time.
    pub result: io::Result<usize>,
    /// Whether it is the operation's last.
    pub is_last: bool,
    /// The socket that was accepted.
    pub socket: Option<OwnedFd>,
    /// The operation, with its buffer and its file.
    pub operation: Operation,
}
