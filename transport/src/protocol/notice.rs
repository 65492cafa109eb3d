//! What the protocols tell, and why something fails.

use super::credit::Amount;
use crate::endpoint::Endpoint;
use crate::message::Message;
use crate::wire::CallId;
use std::fmt;
use std::time::Duration;

/// A peer, as this end calls it: a session that outlives its connections.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer(pub(super) Endpoint);

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peer {:?}", self.0)
    }
}

/// A fetch of a part of a peer's region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FetchId(pub(super) u64);

/// Something that happened. Those of one peer end with [`Lost`](Self::Lost), which comes once.
#[derive(Debug)]
pub enum Notice {
    /// A session is there: one that was asked for, or a peer's.
    Up {
        /// Which.
        peer: Peer,
    },
    /// A session lost its connection. It goes on with the next one.
    Down {
        /// Which.
        peer: Peer,
        /// Why.
        reason: String,
    },
    /// A session goes on with another connection.
    Resumed {
        /// Which.
        peer: Peer,
    },
    /// The peer has forgotten everything, as after a restart: the session begins anew.
    Restarted {
        /// Which.
        peer: Peer,
        /// Messages that had left and may not have come.
        messages_lost: u64,
    },
    /// A peer calls.
    Call {
        /// Who.
        peer: Peer,
        /// What to reply to.
        call: CallId,
        /// The program's number.
        what: u32,
        /// What it says.
        payload: Message,
    },
    /// Nobody waits for the reply to a call any more.
    Cancelled {
        /// Who called.
        peer: Peer,
        /// Which.
        call: CallId,
    },
    /// A message came; those of one peer come in their order.
    Message {
        /// From whom.
        peer: Peer,
        /// The program's number.
        what: u32,
        /// What it says.
        payload: Message,
    },
    /// A call ended; this comes once for each.
    Reply {
        /// Whom it was for.
        peer: Peer,
        /// Which.
        call: CallId,
        /// What the peer replied, or why there is none.
        outcome: Result<Message, CallError>,
    },
    /// A fetch ended; this comes once for each.
    Fetched {
        /// From whom.
        peer: Peer,
        /// Which.
        fetch: FetchId,
        /// Why there is not all of it.
        outcome: Result<(), FetchError>,
    },
    /// A peer to which something was refused as full takes some again.
    Writable {
        /// Which.
        peer: Peer,
    },
    /// A session is over. All its calls and fetches ended before.
    Lost {
        /// Which.
        peer: Peer,
        /// Why.
        reason: LostReason,
    },
}

/// What happens to a call whose connection is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Retry {
    /// It fails if anything of it has left.
    Never,
    /// It goes on with the next connection to the same life of the peer, which knows what came: it has
    /// its effect once at most.
    #[default]
    Once,
    /// It is made again even if the peer was restarted, and then may have its effect twice.
    Again,
}

/// How a call is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallOptions {
    /// How long the reply may take, from the time that was told last; `None`: as long as the session lasts.
    pub limit: Option<Duration>,
    /// What if the connection is lost.
    pub retry: Retry,
}

/// Why a call has no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The reply took too long.
    #[error(
        "no reply of {from:?} to call {what} after {waited:?}, its limit; it is {}connected, and the call {}",
        if *is_connected { "" } else { "not " },
        if *has_left { "may have had its effect" } else { "has not left and has no effect" }
    )]
    TimedOut {
        /// The program's number of it.
        what: u32,
        /// Whose reply was awaited.
        from: Peer,
        /// How long.
        waited: Duration,
        /// Whether there was a connection at the end.
        is_connected: bool,
        /// Whether the peer may have had it.
        has_left: bool,
    },
    /// The connection was lost, and the call was not to be made again.
    #[error(
        "the connection to {from:?} was lost after call {what} had left, {waited:?} ago, and it was to be \
         made once only: {reason}; it may have had its effect"
    )]
    ConnectionLost {
        /// The program's number of it.
        what: u32,
        /// Whose reply was awaited.
        from: Peer,
        /// How long.
        waited: Duration,
        /// Why it was lost.
        reason: String,
    },
    /// The peer was restarted, and may have had the call before.
    #[error(
        "{from:?} was restarted while the reply to call {what} was awaited, for {waited:?}; it may have had its \
         effect (a call that may have it twice can be made with `Retry::Again`)"
    )]
    Restarted {
        /// The program's number of it.
        what: u32,
        /// Whose reply was awaited.
        from: Peer,
        /// How long.
        waited: Duration,
    },
    /// The session is over.
    #[error("{from:?} is lost, whose reply to call {what} was awaited for {waited:?}: {reason}")]
    Lost {
        /// The program's number of it.
        what: u32,
        /// Whose reply was awaited.
        from: Peer,
        /// How long.
        waited: Duration,
        /// Why.
        reason: LostReason,
        /// Whether the peer may have had it.
        has_left: bool,
    },
    /// It was cancelled here.
    #[error(
        "call {what} to {from:?} was cancelled {}",
        if *has_left { "and may have had its effect" } else { "before it left, and has no effect" }
    )]
    Cancelled {
        /// The program's number of it.
        what: u32,
        /// Whose reply was awaited.
        from: Peer,
        /// Whether the peer may have had it.
        has_left: bool,
    },
}

/// Why a fetch has not all of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The peer has no such region any more, or it is shorter, or allows less.
    #[error("the peer refused: {0}")]
    Region(String),
    /// It was cancelled here.
    #[error("the fetch was cancelled")]
    Cancelled,
    /// The session is over.
    #[error("the peer is lost: {0}")]
    Lost(LostReason),
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LostReason {
    /// It was ended here.
    #[error("the session was ended here")]
    Ended,
    /// The peer ended it.
    #[error("the peer ended the session")]
    EndedByPeer,
    /// There was no connection for too long.
    #[error("no connection for {down:?}; the limit is {limit:?}; the last attempt: {last}")]
    Unreachable {
        /// How long.
        down: Duration,
        /// The limit.
        limit: Duration,
        /// Why the last one ended.
        last: String,
    },
    /// The peer sent what makes no sense.
    #[error("the peer sent what makes no sense: {0}")]
    Corrupt(String),
}

/// What was not taken, and why; it comes back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{refusal}")]
pub struct NotTaken {
    /// Why.
    pub refusal: NotTakenReason,
    /// What was to be sent.
    pub payload: Message,
}

/// Why something is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTakenReason {
    /// The peer lets no more come now. [`Notice::Writable`] follows.
    #[error(
        "{peer:?} has {sent:?} of {granted:?} that may come, and this has {bytes} bytes; go on after its notice \
         Writable"
    )]
    Full {
        /// Which.
        peer: Peer,
        /// What was sent in this session.
        sent: Amount,
        /// What may be.
        granted: Amount,
        /// Bytes of it that would be copied.
        bytes: u64,
    },
    /// There is no such session, or no more.
    #[error("{peer:?} is lost, or was never there")]
    NoPeer {
        /// Which.
        peer: Peer,
    },
    /// The call waits for no reply: it was replied to, or is none.
    #[error("call {call:?} of {peer:?} waits for no reply")]
    NoCall {
        /// Whose.
        peer: Peer,
        /// Which.
        call: CallId,
    },
    /// Longer than payloads may be.
    #[error("a payload of {bytes} bytes, and the limit is {max}; send it in parts")]
    TooLong {
        /// Its length.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// Its memory could not be registered with the transport.
    #[error("the payload cannot be lent to the peer: {0}")]
    Register(String),
}
