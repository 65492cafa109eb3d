//! What is known of one peer.
//!
//! ```text
//!            connect              Welcome
//!   down ------------> greeting ------------> up
//!    ^  ^                  |                   |
//!    |  +------------------+                   |   the connection ended
//!    +-----------------------------------------+
//! ```
//! A peer that connected is up from its `Hello` on. Whatever lies here stays through all of that; a session
//! is over when it was down for too long, when either side ends it, or when the peer breaks the protocol.

use super::credit::Amount;
use super::notice::{LostReason, Retry};
use super::options::{FIRST_BYTES, FIRST_MESSAGES, Options};
use super::packet::Packet;
use super::receiving::Receiving;
use super::sending::{Body, Sending};
use crate::endpoint::{Address, Endpoint};
use crate::memory::RemoteRegion;
use crate::message::Message;
use crate::request::WorkRequest;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Names a session for both ends: the life of who connected first, and its number in it.
pub(super) type Key = (u64, u64);

/// A call that waits for its reply.
pub(super) struct Pending {
    /// Its place in the stream.
    pub(super) place: u64,
    pub(super) what: u32,
    pub(super) retry: Retry,
    /// What it says, if it may be made again.
    pub(super) again: Option<Body>,
    pub(super) begun_ns: u64,
    pub(super) deadline_ns: Option<u64>,
}

/// A call of the peer that was not replied to.
#[derive(Clone, Copy, Default)]
pub(super) struct Served {
    /// The program knows of it.
    pub(super) is_told: bool,
    pub(super) is_cancelled: bool,
}

/// An item whose bytes are lent.
pub(super) struct Lent {
    pub(super) packet: Packet,
    pub(super) bytes: u64,
    pub(super) region: Option<RemoteRegion>,
    /// Its fetch has begun.
    pub(super) is_fetched: bool,
}

/// A message that came, in its place among messages.
pub(super) struct Ordered {
    pub(super) place: u64,
    pub(super) what: u32,
    /// What it says, and its bytes that were fetched; `None` while they are.
    pub(super) payload: Option<(Message, u64)>,
    pub(super) charge: Amount,
}

/// See the module's page.
pub(super) struct Session {
    pub(super) key: Key,
    /// Where to connect to again; `None` if the peer connected.
    pub(super) address: Option<Address>,
    /// The life of the peer; 0: not known yet.
    pub(super) their_epoch: u64,
    /// Connections so far.
    pub(super) attempt: u64,
    pub(super) endpoint: Option<Endpoint>,
    pub(super) is_up: bool,
    /// It was up at least once.
    pub(super) was_up: bool,
    pub(super) down_since_ns: u64,
    /// When the last connection was begun.
    pub(super) dialled_ns: u64,
    /// When to connect again, if there is no connection.
    pub(super) next_try_ns: u64,
    pub(super) back_off_ns: u64,
    /// Why the last connection ended.
    pub(super) last: String,
    /// It is over, and waits for the end of its connection.
    pub(super) over: Option<LostReason>,

    pub(super) sending: Sending,
    pub(super) receiving: Receiving,
    /// What the transport refused as full; it goes first when there is room.
    pub(super) held: Option<WorkRequest>,
    /// The transport is full.
    pub(super) is_blocked: bool,
    /// Something was refused to the program as full.
    pub(super) is_awaited: bool,
    pub(super) ack_due_ns: Option<u64>,

    pub(super) calls: HashMap<u64, Pending>,
    pub(super) served: HashMap<u64, Served>,
    /// By place.
    pub(super) lent: BTreeMap<u64, Lent>,
    /// Regions that came before their items.
    pub(super) early: BTreeMap<u64, RemoteRegion>,
    pub(super) order: VecDeque<Ordered>,
}

impl Session {
    pub(super) fn new(key: Key, address: Option<Address>, options: &Options, now_ns: u64) -> Self {
        let mut session = Self {
            key,
            address,
            their_epoch: 0,
            attempt: 0,
            endpoint: None,
            is_up: false,
            was_up: false,
            down_since_ns: now_ns,
            dialled_ns: now_ns,
            next_try_ns: now_ns,
            back_off_ns: super::options::ns(options.back_off),
            last: "none was made".into(),
            over: None,
            sending: Sending::new(Self::FIRST),
            receiving: Receiving::new(Self::FIRST, Self::FIRST, 0),
            held: None,
            is_blocked: false,
            is_awaited: false,
            ack_due_ns: None,
            calls: HashMap::new(),
            served: HashMap::new(),
            lent: BTreeMap::new(),
            early: BTreeMap::new(),
            order: VecDeque::new(),
        };
        session.expect_anew(options);
        session
    }

    /// What the peer lets come before it says what may.
    pub(super) const FIRST: Amount = Amount {
        messages: FIRST_MESSAGES,
        bytes: FIRST_BYTES,
    };

    /// Forgets what came: the peer begins anew.
    pub(super) fn expect_anew(&mut self, options: &Options) {
        let window = Amount {
            messages: options.window_messages,
            bytes: options.window_bytes,
        };
        self.receiving = Receiving::new(window, Self::FIRST, options.max_payload_bytes);
        self.served.clear();
        self.lent.clear();
        self.order.clear();
    }

    /// The connection is no more; what depends on one is forgotten.
    pub(super) fn cut(&mut self) {
        self.endpoint = None;
        self.is_up = false;
        self.held = None;
        self.is_blocked = false;
        self.ack_due_ns = None;
        self.receiving.cut();
        // They are told again.
        self.early.clear();
    }
}
