//! What every transport does.

use crate::capabilities::{Capabilities, Limits};
use crate::endpoint::{Address, BadAddress, Endpoint, TransportKind};
use crate::event::Event;
use crate::memory::{Access, Memory, MemoryRegion};
use crate::request::{Refused, Token, WorkRequest};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// One end of a transport: it connects, and is connected to. One thread at a time has it, the scheduler
/// that owns it as a rule.
///
/// Nothing here waits, except [`wait`](Self::wait). Nothing happens unless [`poll`](Self::poll) is called:
/// no message comes, none that is queued goes, no peer is missed. A peer whose transport does one-sided
/// work itself ([`Capabilities::PUT`] and the like) needs no poll for that.
///
/// # Ends
/// Dropping it ends every connection as [`close`](Self::close) does, without waiting.
pub trait Transport: Send {
    /// Which it is.
    fn kind(&self) -> TransportKind;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// How much of it.
    fn limits(&self) -> Limits;

    /// Where it can be connected to.
    fn address(&self) -> Address;

    /// Begins a connection; [`Event::Connected`] follows, or [`Event::Ended`]. Requests are taken at once
    /// and leave when it is there.
    ///
    /// # Errors
    /// [`ConnectError`].
    fn connect(&mut self, to: &Address) -> Result<Endpoint, ConnectError>;

    /// Ends a connection when everything that it has under way is done; [`Event::Ended`] follows. It takes
    /// no more requests. Nothing happens if it is over.
    fn close(&mut self, endpoint: Endpoint);

    /// Registers memory.
    ///
    /// # Errors
    /// [`RegisterError`].
    fn register(
        &mut self,
        memory: Arc<dyn Memory>,
        access: Access,
    ) -> Result<MemoryRegion, RegisterError>;

    /// Takes a request. With a token an [`Event::Completed`] follows, once; without one nothing is told,
    /// not even an error, which ends the connection then.
    ///
    /// Requests of one endpoint begin in their order; messages arrive in it. Puts, gets and atomics may
    /// pass each other, and messages, but for a [`fence`](Self::fence).
    ///
    /// # Errors
    /// [`Refused`], with the request.
    #[expect(
        clippy::result_large_err,
        reason = "the request comes back with its memory"
    )]
    fn post(
        &mut self,
        endpoint: Endpoint,
        request: WorkRequest,
        token: Option<Token>,
    ) -> Result<(), Refused>;

    /// What is posted later takes effect at the peer after what was posted before.
    fn fence(&mut self, endpoint: Endpoint);

    /// Cancels the requests with this token that have not left yet. Each is completed as any other is: as
    /// cancelled if it had no effect, else as it ends.
    fn cancel(&mut self, endpoint: Endpoint, token: Token);

    /// The next thing that happened, if anything did. Every call does a bounded amount of work.
    fn poll(&mut self) -> Option<Event>;

    /// Tells the time, a monotonic one. Limits are kept by it: call it when
    /// [`next_deadline_ns`](Self::next_deadline_ns) is over, or now and then.
    fn advance(&mut self, now_ns: u64);

    /// When [`advance`](Self::advance) has something to do at the latest.
    fn next_deadline_ns(&self) -> Option<u64>;

    /// Sleeps until something may have happened, the limit is over, or the [`Waker`] is used; returns at
    /// once where [`Capabilities::EVENTS`] is missing, or if something has happened already.
    ///
    /// # Errors
    /// Of the operating system.
    fn wait(&mut self, limit: Option<Duration>) -> io::Result<()>;

    /// What ends a [`wait`](Self::wait) from any thread, the next one if none is under way.
    fn waker(&self) -> Waker;
}

/// Ends the wait of a transport.
#[derive(Clone)]
pub struct Waker(Arc<dyn Fn() + Send + Sync>);

impl Waker {
    /// For transports: one that calls `wake`.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(wake))
    }

    /// Ends it.
    pub fn wake(&self) {
        (self.0)();
    }
}

impl std::fmt::Debug for Waker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waker")
    }
}

/// Why nothing is connected.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address is none of this transport.
    #[error("cannot connect: {0}")]
    Address(#[from] BadAddress),
    /// As many endpoints as there may be.
    #[error("cannot connect: {max} endpoints are open, the limit; close some, or raise the limit")]
    TooMany {
        /// The limit.
        max: usize,
    },
    /// The operating system or the device refused.
    #[error("cannot connect to {to:?}: {source}")]
    Refused {
        /// To where.
        to: Address,
        /// What it said.
        source: io::Error,
    },
}

/// Why memory is not registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// It cannot be written, and peers were to write it.
    #[error("memory that cannot be written was to be registered for {access:?}")]
    ReadOnly {
        /// What for.
        access: Access,
    },
    /// More memory than may be locked.
    #[error(
        "registering {bytes} bytes needs them locked in memory, and {left} of the limit are left; raise \
         it (`ulimit -l`, or LimitMEMLOCK of the service)"
    )]
    LockLimit {
        /// How many bytes.
        bytes: u64,
        /// How many may still be locked.
        left: u64,
    },
    /// The operating system or the device refused.
    #[error("cannot register {bytes} bytes: {source}")]
    Refused {
        /// How many.
        bytes: u64,
        /// What it said.
        source: io::Error,
    },
}
