//! Errors of the channels.
//!
//! Set-up has one enum; each step has a small one that gives the value back. Full and empty are
//! answers, not failures.

use std::fmt;

use super::shape::Shape;
use crate::control::REGION_ALIGN;

use thiserror::Error;

/// Why a channel could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ChannelError {
    /// A ring of no slots was asked for.
    #[error("a channel needs at least one slot, 0 were asked for")]
    ZeroCapacity,
    /// A channel of no senders, or no readers, was asked for.
    #[error("a channel needs at least one sender and one reader, 0 were asked for")]
    ZeroLanes,
    /// More slots were asked for than a ring may have.
    #[error("a channel of {asked} slots was asked for, at most {max} are possible")]
    CapacityTooLarge {
        /// Slots asked for.
        asked: usize,
        /// Most slots a ring may have.
        max: usize,
    },
    /// The slots could not be allocated.
    #[error("cannot allocate {bytes} bytes for the slots of a channel; ask for fewer slots")]
    OutOfMemory {
        /// Bytes the slots need.
        bytes: usize,
    },
    /// The region of control memory is too small.
    #[error(
        "{shape} needs {needed} bytes of control memory, the region has {found}; ask for a region \
         as large as the channel's `..._bytes` function says"
    )]
    RegionTooSmall {
        /// What was to lie there.
        shape: Shape,
        /// Bytes it needs.
        needed: usize,
        /// Bytes of the region.
        found: usize,
    },
    /// Values that no region can align.
    #[error(
        "values aligned to {align} bytes cannot lie in control memory, which aligns to {max}; \
         lower the alignment of the type",
        max = REGION_ALIGN
    )]
    Alignment {
        /// Bytes the type asks for.
        align: usize,
    },
    /// More readers than a broadcast in control memory can have.
    #[error("a broadcast to {asked} readers was asked for, between processes {max} are possible")]
    TooManyReaders {
        /// Readers asked for.
        asked: usize,
        /// Most readers.
        max: usize,
    },
    /// A broadcast has no such reader.
    #[error("reader {index} was asked for, the broadcast has {readers}, counted from 0")]
    NoSuchReader {
        /// Reader asked for.
        index: usize,
        /// Readers there are.
        readers: usize,
    },
    /// The other side, or what lay there before, is another channel.
    #[error(
        "the region holds {theirs}, and not {ours}; both ends must be opened with the same type, \
         capacity and build, over memory that no other channel has used"
    )]
    OtherShape {
        /// What this end was opened as.
        ours: Shape,
        /// What the region says.
        theirs: Shape,
    },
    /// This end of the channel was opened before.
    #[error("the {end} of this channel is taken: an end is opened once, in one process")]
    EndTaken {
        /// Which end.
        end: &'static str,
    },
}

/// Why a channel between processes has ended before its other end was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PeerFault {
    /// The other end's process is dead, as this end was told.
    #[error("the process of the other end is dead")]
    Died,
    /// The other end's process wrote what cannot be.
    #[error(
        "the other end wrote {found} as `{word}`, where {least} to {most} are possible: its \
         process is out of its mind, end it"
    )]
    Corrupt {
        /// The word.
        word: &'static str,
        /// What it held.
        found: u64,
        /// The least it could hold.
        least: u64,
        /// The most it could hold.
        most: u64,
    },
}

/// Why a value was not sent; the value comes back.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
pub enum TrySendError<T> {
    /// Every slot holds a value that has not been received.
    #[error("channel is full")]
    Full(T),
    /// The receiver is gone; no value sent now would ever be received.
    #[error("channel is closed: its receiver is gone")]
    Closed(T),
}

impl<T> TrySendError<T> {
    /// The value that was not sent.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(value) | Self::Closed(value) => value,
        }
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}

/// Why no value was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TryRecvError {
    /// Nothing is in the channel now.
    #[error("channel is empty")]
    Empty,
    /// Nothing is in the channel and its sender is gone, so nothing will come.
    #[error("channel is closed: its sender is gone")]
    Closed,
}

/// Why a question was not asked; the question comes back.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
pub enum TryCallError<Q> {
    /// The next slot still holds a question or an answer that was not taken.
    #[error("call ring is full: the oldest answer was not taken yet")]
    Full(Q),
    /// The callee is gone; no question asked now would ever be answered.
    #[error("call ring is closed: its callee is gone")]
    Closed(Q),
}

impl<Q> TryCallError<Q> {
    /// The question that was not asked.
    pub fn into_inner(self) -> Q {
        match self {
            Self::Full(question) | Self::Closed(question) => question,
        }
    }
}

impl<Q> fmt::Debug for TryCallError<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}

/// The callee took the question and gave it up: no answer will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the callee took the question and gave it up")]
pub struct Abandoned;
