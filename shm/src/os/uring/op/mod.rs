//! What can be asked of a ring, one file for each family of operations.
//!
//! A new family is a file here and a variant of [`Operation`]; the ring knows only how to make the
//! queue's entry out of it.

pub mod file;

use std::io;

use io_uring::squeue::Entry;

use super::Buffer;
use super::batch::Piece;
use file::FileOperation;

/// An operation, with all that it owns while it is under way.
#[derive(Debug)]
#[non_exhaustive]
pub enum Operation {
    /// On a file.
    File(FileOperation),
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
            Self::Piece(_) => None,
        }
    }

    /// The entry of the submission queue; it points into what the operation owns.
    pub(super) fn entry(&self) -> Entry {
        match self {
            Self::File(operation) => operation.entry(),
            Self::Piece(piece) => piece.entry(),
        }
    }

    /// Takes note of what was done.
    pub(super) fn finish(&mut self, result: &io::Result<usize>) {
        if let (Self::File(operation), Ok(bytes)) = (self, result) {
            operation.finish(*bytes);
        }
    }
}

/// An operation that has come to its end.
#[derive(Debug)]
pub struct Completion {
    /// What the operation was pushed with.
    pub tag: u64,
    /// Bytes that were moved, or 0 for what moves none. `ECANCELED` if it was cancelled in time.
    pub result: io::Result<usize>,
    /// The operation, with its buffer and its file.
    pub operation: Operation,
}
