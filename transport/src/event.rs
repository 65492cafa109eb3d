//! What a transport tells.

use crate::endpoint::Endpoint;
use crate::message::Message;
use crate::request::{Token, WorkError};
use std::time::Duration;

/// Something that happened. Those of one endpoint begin with [`Accepted`](Self::Accepted) or
/// [`Connected`](Self::Connected), and end with [`Ended`](Self::Ended), which comes once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A peer connected.
    Accepted {
        /// What it is called here.
        endpoint: Endpoint,
    },
    /// A connection that was asked for is there.
    Connected {
        /// Which.
        endpoint: Endpoint,
    },
    /// A message came.
    Message {
        /// From where.
        endpoint: Endpoint,
        /// What it says.
        message: Message,
    },
    /// A control message came ([`WorkRequest::Control`](crate::WorkRequest::Control)).
    Control {
        /// From where.
        endpoint: Endpoint,
        /// What it says.
        message: Message,
    },
    /// A put with a signal is in memory here.
    Signal {
        /// From where.
        endpoint: Endpoint,
        /// The signal.
        signal: u32,
    },
    /// A request with a token is done, or failed.
    Completed(Completion),
    /// An endpoint that refused a request as full takes some again.
    Writable {
        /// Which.
        endpoint: Endpoint,
    },
    /// A connection is over. All that was under way was completed before.
    Ended {
        /// Which.
        endpoint: Endpoint,
        /// Why.
        reason: EndReason,
    },
}

/// The end of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// Of which endpoint.
    pub endpoint: Endpoint,
    /// What the caller called it.
    pub token: Token,
    /// What a word was before it was added to, 0 for other requests; or why it failed.
    pub outcome: Result<u64, WorkError>,
}

/// Why a connection is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndReason {
    /// It was closed here.
    #[error("it was closed here")]
    Closed,
    /// The peer closed it; everything that it had sent came before.
    #[error("the peer closed it")]
    ClosedByPeer,
    /// The peer died, or its host refuses the connection.
    #[error("the peer is gone: {0}")]
    PeerGone(String),
    /// Nothing was heard of the peer for longer than the limit.
    #[error("nothing was heard of the peer for {silent:?}; the limit is {limit:?}")]
    Silent {
        /// How long.
        silent: Duration,
        /// The limit.
        limit: Duration,
    },
    /// Nobody answered there.
    #[error("it could not be connected: {0}")]
    Unreachable(String),
    /// The peer has no right to be connected, or this end has none with it.
    #[error("the peers do not belong together: {0}")]
    NotAdmitted(String),
    /// What came is not what peers send.
    #[error("the peer sent what makes no sense: {0}")]
    Corrupt(String),
}
