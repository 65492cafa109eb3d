//! What the second process can be asked to be.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use serde::{Deserialize, Serialize};

use super::board::Board;
use super::handover::HandoverThere;
use super::in_place::InPlaceThere;
use super::readers::{ReadersThere, Reads};
use crate::floors::{PairThere, PayloadThere, TurnThere};
use crate::peers::{Iceoryx2There, UnixSocketThere};

/// A service with what it needs to know; the files it needs come with it.
#[derive(Debug, Serialize, Deserialize)]
pub enum Setup {
    /// A line each way on a board.
    Pair {
        /// Bytes of the board, which is the file.
        board: u64,
    },
    /// One line in turn on a board.
    Turn {
        /// Bytes of the board, which is the file.
        board: u64,
    },
    /// A payload copied in and out, both ways, on a board.
    Payload {
        /// Bytes of the board, which is the file.
        board: u64,
        /// Bytes of the payload.
        bytes: usize,
    },
    /// Objects that are handed here and back. The files are control memory, then extents.
    Handover {
        /// Bytes of the control memory.
        control: u64,
        /// Number and bytes of each extent.
        extents: Vec<(u32, u64)>,
    },
    /// Objects written by either side and read by the other. The files are control memory, then
    /// extents; it answers with the extents of its own.
    InPlace {
        /// Bytes of the control memory.
        control: u64,
        /// Number and bytes of each extent.
        extents: Vec<(u32, u64)>,
        /// Bytes of the payload.
        bytes: usize,
    },
    /// Ends of channels to be read. The file is control memory.
    Readers {
        /// Bytes of the control memory.
        control: u64,
        /// Which ends.
        reads: Reads,
    },
    /// Messages over a socket, which is the file.
    UnixSocket {
        /// Bytes of a message.
        bytes: usize,
    },
    /// Samples of iceoryx2.
    Iceoryx2 {
        /// Beginning of the names of its two services.
        name: String,
        /// Bytes of a sample.
        bytes: usize,
        /// Whether samples are written and read.
        touch: bool,
    },
}

/// A service as the second process has it.
pub trait Serve {
    /// Does `calls` operations and gives what came out.
    ///
    /// # Errors
    /// Whatever keeps it from working, in words.
    fn serve(&mut self, calls: u64) -> Result<u64, String>;

    /// Files for the first process.
    fn files(&self) -> Vec<OwnedFd> {
        Vec::new()
    }

    /// A number for the first process.
    fn said(&self) -> u64 {
        0
    }
}

impl Setup {
    /// Takes the service on.
    pub(super) fn open(self, files: Vec<OwnedFd>) -> Result<Box<dyn Serve>, String> {
        let mut files = files.into_iter();
        let mut next = || files.next().ok_or_else(|| "a file is missing".to_owned());
        let told = |error: &dyn std::fmt::Display| error.to_string();
        let board = |file, bytes| Board::attach(file, bytes).map_err(|error| told(&error));
        Ok(match self {
            Self::Pair { board: size } => Box::new(PairThere(board(next()?, size)?)),
            Self::Turn { board: size } => Box::new(TurnThere(board(next()?, size)?)),
            Self::Payload { board: size, bytes } => {
                Box::new(PayloadThere::new(board(next()?, size)?, bytes))
            }
            Self::Handover { control, extents } => {
                Box::new(HandoverThere::open(next()?, control, &extents, files)?)
            }
            Self::InPlace {
                control,
                extents,
                bytes,
            } => Box::new(InPlaceThere::open(
                next()?,
                control,
                &extents,
                files,
                bytes,
            )?),
            Self::Readers { control, reads } => {
                Box::new(ReadersThere::open(next()?, control, reads)?)
            }
            Self::UnixSocket { bytes } => {
                Box::new(UnixSocketThere::new(UnixStream::from(next()?), bytes))
            }
            Self::Iceoryx2 { name, bytes, touch } => {
                Box::new(Iceoryx2There::open(&name, bytes, touch)?)
            }
        })
    }
}
