//! A connection that is fed by hand: what its socket would have received, in the same pieces.
//!
//! Everything between the socket and the events is what every connection has. So what a peer may say can be
//! tried without one, by the million: by tests of mutated frames, and by fuzzers. Whatever is fed, the
//! outcome is events, or the reason why the connection is over.

use super::LIMITS;
use super::connection::{Connection, Context, Stage};
use crate::TransportKind;
use crate::endpoint::Endpoint;
use crate::event::{EndReason, Event};
use crate::memory::{Access, Memory, MemoryRegion};
use crate::regions::Regions;
use crate::request::{Refusal, Refused, Token, WorkRequest};
use crate::wire::handshake::{Initiator, Session};
use crate::wire::seal::{Opener, Sealed, Sealer};
use crate::wire::{Identity, Integrity, Secret};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Keys of frames that are fed sealed. They protect nothing.
const KEY: [u8; 32] = [0x5a; 32];

/// How far the connection is when it is fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedStage {
    /// Somebody connected, and its hello is awaited.
    Hello,
    /// It connected, and the answer is awaited.
    Answer,
    /// Frames come in clear.
    Open,
    /// Frames come sealed ([`Feed::sealer`]).
    Sealed,
}

/// See the module's page.
pub struct Feed {
    stage: FeedStage,
    /// What a connection has and nobody uses.
    socket: Arc<OwnedFd>,
    connection: Connection,
    regions: Regions,
    events: VecDeque<Event>,
    identity: Identity,
    secret: Secret,
}

impl Feed {
    /// One of an end that is `identity` and has `secret`.
    ///
    /// # Errors
    /// Of the system, without descriptors.
    pub fn new(stage: FeedStage, identity: Identity, secret: Secret) -> io::Result<Self> {
        let socket = Arc::new(OwnedFd::from(File::open("/dev/null")?));
        let mut feed = Self {
            stage,
            connection: Connection::new(ENDPOINT, socket.clone(), Stage::Accepted, EPOCH),
            socket,
            regions: Regions::default(),
            events: VecDeque::new(),
            identity,
            secret,
        };
        feed.restart();
        Ok(feed)
    }

    /// Another connection in the place of this one, as far as it was at first. Regions stay.
    pub fn restart(&mut self) {
        let stage = match self.stage {
            FeedStage::Hello | FeedStage::Open | FeedStage::Sealed => Stage::Accepted,
            FeedStage::Answer => {
                let secret = Some(&self.secret);
                let (initiator, _) = Initiator::new(self.identity, Integrity::None, secret);
                Stage::Greeted(Box::new(initiator))
            }
        };
        self.connection = Connection::new(ENDPOINT, self.socket.clone(), stage, EPOCH);
        let sealed = match self.stage {
            FeedStage::Hello | FeedStage::Answer => return,
            FeedStage::Open => Sealed::Nothing,
            FeedStage::Sealed => Sealed::Everything,
        };
        self.connection.admit(Session {
            peer: self.identity,
            integrity: Integrity::None,
            sealed,
            sealer: Sealer::new(&KEY),
            opener: Opener::new(&KEY),
        });
    }

    /// What seals the frames of its peer, from the first one on.
    #[must_use]
    pub fn sealer(&self) -> Sealer {
        Sealer::new(&KEY)
    }

    /// Registers memory that frames can be about.
    pub fn register(&mut self, memory: Arc<dyn Memory>, access: Access) -> MemoryRegion {
        self.regions.register(TransportKind::Tcp, memory, access)
    }

    /// Takes a request, so that there is something for answers to be answers to.
    ///
    /// # Errors
    /// [`Refused`].
    #[expect(
        clippy::result_large_err,
        reason = "the request comes back with its memory"
    )]
    pub fn post(&mut self, request: WorkRequest, token: Option<Token>) -> Result<(), Refused> {
        let checked = request.check(TransportKind::Tcp, &LIMITS);
        let is_full = self.connection.under_way() >= LIMITS.max_under_way;
        let endpoint = ENDPOINT;
        let refusal = checked
            .err()
            .or(is_full.then_some(Refusal::Full { endpoint }));
        if let Some(refusal) = refusal {
            return Err(Refused { refusal, request });
        }
        self.connection.take(request, token);
        Ok(())
    }

    /// Feeds bytes, which may be changed then. What it has to say has left after it.
    ///
    /// # Errors
    /// Why the connection is over; only [`restart`](Self::restart) helps.
    pub fn feed(&mut self, bytes: &mut [u8]) -> Result<(), EndReason> {
        let mut context = Context {
            events: &mut self.events,
            regions: &self.regions,
            max_message_bytes: LIMITS.max_message_bytes,
            identity: &self.identity,
            integrity: Some(Integrity::None),
            secret: Some(&self.secret),
        };
        let mut fed = self.connection.feed(bytes, &mut context);
        self.connection.outgoing.take_all();
        while fed.is_ok() && self.connection.is_held {
            fed = self.connection.feed(&mut [], &mut context);
            self.connection.outgoing.take_all();
        }
        fed
    }

    /// What happened.
    pub fn events(&mut self) -> impl Iterator<Item = Event> {
        self.events.drain(..)
    }
}

const ENDPOINT: Endpoint = Endpoint::new(0, 1);
const EPOCH: u64 = 1;
