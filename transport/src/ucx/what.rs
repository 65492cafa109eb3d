//! What operations are for.

use crate::endpoint::Endpoint;
use crate::request::Token;

/// What the slot of an operation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Nothing: the slot is free.
    Nothing,
    /// Something of a connection.
    Of(Endpoint, Task),
    /// Something of a connection that is over, kept until UCX is done with it.
    OfNobody,
    /// An endpoint of UCX is closed.
    EpIsClosed,
}

/// What is done for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// UCX makes its own way to the peer.
    Meet,
    /// A frame leaves; who asked for it was told already.
    Frame,
    /// A message leaves.
    Message(Option<Token>),
    /// Bytes are put; they have left then.
    Put(Option<Token>, Option<u32>),
    /// Bytes that were put arrive.
    PutArrives(Option<Token>, Option<u32>),
    /// Bytes are got.
    Get(Option<Token>),
    /// A word is added to.
    Add(Option<Token>),
    /// What was posted before a flush, or a fence, arrives.
    Barrier,
    /// What was posted before a close arrives.
    Close,
    /// A message is fetched, of this number and so many bytes.
    Fetch(u32, usize),
    /// An offered message is got, of this number, so many bytes, and what its offer is called.
    Collect(u32, usize, u64),
}

impl Task {
    /// What its request is called, if it has one.
    pub(super) fn token(self) -> Option<Token> {
        match self {
            Self::Message(token)
            | Self::Get(token)
            | Self::Add(token)
            | Self::Put(token, _)
            | Self::PutArrives(token, _) => token,
            Self::Meet | Self::Frame | Self::Barrier | Self::Close => None,
            Self::Fetch(..) | Self::Collect(..) => None,
        }
    }
}
