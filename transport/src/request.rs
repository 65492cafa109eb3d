//! What a transport is asked to do, and why it does not.

use crate::capabilities::Limits;
use crate::endpoint::{Endpoint, TransportKind};
use crate::memory::{Access, LocalSlice, RemoteSlice};
use crate::message::Message;

/// What the caller calls a request. It comes back with the [`Completion`](crate::Completion).
pub type Token = u64;

/// Bytes of the longest [`WorkRequest::Control`].
pub const MAX_CONTROL_BYTES: usize = 1 << 20;

/// A request for one endpoint. It owns, or keeps, the memory it names until it is completed.
#[derive(Clone, Debug)]
pub enum WorkRequest {
    /// A message, which the peer gets as [`Event::Message`](crate::Event::Message). Messages of one
    /// endpoint come in their order. Complete when the memory is free again.
    Send(Message),
    /// A message that is for the two ends alone, which the peer gets as
    /// [`Event::Control`](crate::Event::Control): between hosts it is encrypted and authenticated whenever
    /// they share a secret, also where data is not. Keys of regions travel so. Those of one endpoint come in
    /// their order; data may pass them and be passed. Of [`MAX_CONTROL_BYTES`] at most. Complete when the
    /// memory is free again.
    Control(Message),
    /// Writes into a region of the peer. Complete when it is there.
    Put {
        /// What is written.
        from: PutSource,
        /// Where; as long.
        to: RemoteSlice,
        /// What the peer is told when it is there ([`Event::Signal`](crate::Event::Signal)).
        signal: Option<u32>,
    },
    /// Reads a region of the peer. Complete when it is here.
    Get {
        /// What is read.
        from: RemoteSlice,
        /// Where it goes; as long.
        to: LocalSlice,
    },
    /// Adds to a word in a region of the peer, 8 bytes and aligned. The completion has what was there
    /// before.
    FetchAdd {
        /// The word.
        at: RemoteSlice,
        /// What is added, wrapping.
        add: u64,
    },
    /// Complete when everything of this endpoint before it is: sent messages with the peer's transport,
    /// puts in the peer's memory.
    Flush,
}

impl WorkRequest {
    /// For transports: whether it is one that a transport of `kind` can take at all.
    ///
    /// # Errors
    /// [`Refusal`], but for [`Refusal::Full`] and [`Refusal::NotConnected`].
    pub fn check(&self, kind: TransportKind, limits: &Limits) -> Result<(), Refusal> {
        match self {
            Self::Send(message) => fits(message.len() as u64, limits.max_message_bytes),
            Self::Control(message) => {
                let max = limits.max_message_bytes.min(MAX_CONTROL_BYTES);
                fits(message.len() as u64, max)
            }
            Self::Put { from, to, .. } => {
                if let PutSource::Region(from) = from {
                    of_transport(from.region().kind(), kind)?;
                }
                one_sided(to, kind, Access::WRITE)?;
                as_long(from.len() as u64, to.len())?;
                fits(to.len(), limits.max_region_bytes)
            }
            Self::Get { from, to } => {
                of_transport(to.region().kind(), kind)?;
                one_sided(from, kind, Access::READ)?;
                as_long(to.len() as u64, from.len())?;
                if !to.region().memory().is_writable() {
                    return Err(Refusal::ReadOnly);
                }
                fits(from.len(), limits.max_region_bytes)
            }
            Self::FetchAdd { at, .. } => {
                one_sided(at, kind, Access::ATOMIC)?;
                as_long(8, at.len())?;
                match at.address().is_multiple_of(8) {
                    true => Ok(()),
                    false => Err(Refusal::Unaligned {
                        offset: at.offset(),
                    }),
                }
            }
            Self::Flush => Ok(()),
        }
    }
}

fn fits(bytes: u64, max: usize) -> Result<(), Refusal> {
    let max = max as u64;
    match bytes <= max {
        true => Ok(()),
        false => Err(Refusal::TooLong { bytes, max }),
    }
}

fn as_long(here: u64, there: u64) -> Result<(), Refusal> {
    match here == there {
        true => Ok(()),
        false => Err(Refusal::Lengths { here, there }),
    }
}

fn of_transport(found: TransportKind, wanted: TransportKind) -> Result<(), Refusal> {
    match found == wanted {
        true => Ok(()),
        false => Err(Refusal::OtherTransport { found, wanted }),
    }
}

fn one_sided(slice: &RemoteSlice, kind: TransportKind, wanted: Access) -> Result<(), Refusal> {
    of_transport(slice.region().kind(), kind)?;
    let allowed = slice.region().access();
    match allowed.contains(wanted) {
        true => Ok(()),
        false => Err(Refusal::NotAllowed { allowed, wanted }),
    }
}

/// What a put writes.
#[derive(Clone, Debug)]
pub enum PutSource {
    /// A part of a region of one's own.
    Region(LocalSlice),
    /// Bytes that need no region.
    Bytes(Message),
}

impl PutSource {
    /// How many bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Region(slice) => slice.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A request that was not taken, and why; nothing of it was done.
#[derive(Debug, thiserror::Error)]
#[error("{refusal}")]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// The request.
    pub request: WorkRequest,
}

/// Why a request is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// As much is under way as may be. [`Event::Writable`](crate::Event::Writable) follows.
    #[error(
        "endpoint {endpoint:?} has as much under way as it may; go on after its event Writable"
    )]
    Full {
        /// The endpoint.
        endpoint: Endpoint,
    },
    /// There is no such connection, or no more.
    #[error("endpoint {endpoint:?} is not connected, or no more; connect again")]
    NotConnected {
        /// The endpoint.
        endpoint: Endpoint,
    },
    /// More bytes than the transport's limit.
    #[error("{bytes} bytes, and the limit of the transport is {max}; send it in parts")]
    TooLong {
        /// How many.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// Two sides of a put or get that are not as long as each other, or no word.
    #[error("{here} bytes here and {there} bytes at the peer")]
    Lengths {
        /// Bytes here.
        here: u64,
        /// Bytes there.
        there: u64,
    },
    /// A word that is not aligned.
    #[error("a word at offset {offset} of its region; words are aligned to 8 bytes")]
    Unaligned {
        /// Where.
        offset: u64,
    },
    /// A region of another transport.
    #[error("a region that is registered with {found}, and this is {wanted}")]
    OtherTransport {
        /// Of which.
        found: TransportKind,
        /// Who was asked.
        wanted: TransportKind,
    },
    /// The peer gave no right to it.
    #[error("the region of the peer allows {allowed:?}, not {wanted:?}")]
    NotAllowed {
        /// What it allows.
        allowed: Access,
        /// What was asked for.
        wanted: Access,
    },
    /// The memory it would go to cannot be written.
    #[error("the memory that a get was to fill cannot be written")]
    ReadOnly,
}

/// Why a request that was taken failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkError {
    /// The connection ended first. What had left may have had its effect, or not.
    #[error("the connection ended before it was done: {0}")]
    Ended(crate::EndReason),
    /// It was cancelled, and has had no effect.
    #[error("it was cancelled")]
    Cancelled,
    /// The peer has no such region any more, or it is shorter, or allows less.
    #[error("the peer refused: {0}")]
    Region(String),
}
