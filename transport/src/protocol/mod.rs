//! Protocols above transports: calls with replies, messages of any length, fetches of regions, over
//! sessions that outlive their connections. They know no transport but by its trait.
//!
//! | file | holds |
//! |---|---|
//! | `packet`, `hello` | what peers say to each other; pure decoders |
//! | `options` | limits, times, and which length travels which way |
//! | `notice` | what is told, and why something fails |
//! | `credit`, `sending`, `receiving`, `fetch` | the state machines, without a transport |
//! | `session`, `links`, `losses` | what is known of a peer; connections, and what is lost with one |
//! | `requests`, `arrivals`, `pump` | what is asked for; what comes; what leaves |
//!
//! Rules are at the heads of the state machines: SX of what leaves, RX of what comes, FE of fetches, LX of
//! connections.
//!
//! ```
//! use maser_transport::loopback::{LoopbackTransport, Network};
//! use maser_transport::protocol::{CallOptions, Notice, Protocol};
//! use maser_transport::Transport;
//!
//! let network = Network::new();
//! let open = |epoch| Protocol::open(LoopbackTransport::open(&network), epoch);
//! let (mut client, mut server) = (open(1), open(2));
//! let peer = client.connect(&server.transport().address())?;
//! let call = client.call(peer, 7, b"hello".as_slice(), CallOptions::default())?;
//! let reply = loop {
//!     match server.poll() {
//!         Some(Notice::Call { peer, call, payload, .. }) => server.reply(peer, call, payload)?,
//!         _ => {}
//!     }
//!     if let Some(Notice::Reply { outcome, .. }) = client.poll() {
//!         break outcome?;
//!     }
//! };
//! assert_eq!(&*reply, b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod arrivals;
pub mod credit;
pub mod fetch;
pub mod hello;
mod links;
mod losses;
pub mod notice;
pub mod options;
pub mod packet;
mod pump;
pub mod receiving;
mod requests;
pub mod sending;
mod session;

pub use credit::Amount;
pub use notice::{
    CallError, CallOptions, FetchError, FetchId, LostReason, NotTaken, NotTakenReason, Notice,
    Peer, Retry,
};
pub use options::{BadOptions, Options, Thresholds};

use crate::endpoint::Endpoint;
use crate::transport::Transport;
use pump::Fetching;
use session::{Key, Session};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Range;

use crate::table::Endpoints;

/// Events of the transport that one turn serves.
const EVENTS_PER_TURN: usize = 32;

/// What a connection of the transport is.
#[derive(Clone, Copy)]
enum Role {
    /// It has not said who it is; since when.
    Stranger(u64),
    /// A session's.
    Session(Peer),
    /// Of no use any more; its end is awaited.
    Left,
}

/// Something to tell, and what is free again when it was told.
struct Told {
    notice: Notice,
    peer: Peer,
    consumes: Amount,
    fetched_bytes: u64,
}

/// One end: a transport, and the sessions over it. One thread at a time has it, as its transport.
///
/// Time comes by [`advance`](Self::advance), work is done in [`poll`](Self::poll) and
/// [`progress`](Self::progress), and what is asked for leaves at once if it can.
///
/// Nothing is kept beyond the limits of [`Options`]: what came and was not taken with `poll` is bounded by
/// the windows, what is to leave by those of the peers.
///
/// # Ends
/// Dropping it ends all sessions, whose peers are told.
pub struct Protocol<T: Transport> {
    transport: T,
    options: Options,
    sessions: Endpoints<Session>,
    keys: HashMap<Key, Peer>,
    /// By the index of the endpoint, which is one's whose end was not told and perhaps another's already.
    roles: Vec<Vec<(Endpoint, Role)>>,
    /// Numbers of sessions, calls, fetches and gets that were given.
    last_session: u64,
    last_call: u64,
    last_fetch: u64,
    last_token: u64,
    fetches: BTreeMap<u64, Fetching>,
    /// The chunk of a fetch that a get is for.
    gets: HashMap<u64, (u64, Range<u64>)>,
    /// Lent items whose fetch waits for room.
    unfetched: VecDeque<(Peer, u64)>,
    /// Bytes of lent payloads that are here, or have room made for them.
    fetched_bytes: u64,
    deadlines: BTreeSet<(u64, Peer, u64)>,
    notices: VecDeque<Told>,
    now_ns: u64,
    /// When something is due at the earliest.
    due_ns: u64,
    counts: Counts,
}

/// What happened so far, for statistics and tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that were begun here.
    pub connections: u64,
    /// Sessions that went on with another connection.
    pub resumed: u64,
    /// Items that came a second time and were dropped.
    pub duplicates: u64,
    /// Connections that were closed because nothing, or nonsense, was said on them.
    pub turned_away: u64,
}

impl<T: Transport> Protocol<T> {
    /// An end with the defaults. `epoch` is a number that no earlier life of it had, and not 0.
    ///
    /// # Panics
    /// If `epoch` is 0.
    #[must_use]
    pub fn open(transport: T, epoch: u64) -> Self {
        let options = Options::new(epoch, transport.kind(), &transport.limits());
        match Self::with(transport, options) {
            Ok(protocol) => protocol,
            Err(error) => panic!("{error}"),
        }
    }

    /// An end that is set so.
    ///
    /// # Errors
    /// [`BadOptions`].
    pub fn with(transport: T, options: Options) -> Result<Self, BadOptions> {
        options.check()?;
        let limits = transport.limits();
        let thresholds = options.thresholds.within(&limits);
        Ok(Self {
            options: Options {
                thresholds,
                ..options
            },
            sessions: Endpoints::new(limits.max_endpoints),
            transport,
            keys: HashMap::new(),
            roles: Vec::new(),
            last_session: 0,
            last_call: 0,
            last_fetch: 0,
            last_token: 0,
            fetches: BTreeMap::new(),
            gets: HashMap::new(),
            unfetched: VecDeque::new(),
            fetched_bytes: 0,
            deadlines: BTreeSet::new(),
            notices: VecDeque::new(),
            now_ns: 0,
            due_ns: u64::MAX,
            counts: Counts::default(),
        })
    }

    /// The transport under it.
    pub fn transport(&self) -> &T {
        &self.transport
    }

    /// The transport under it, to register memory with, or to wait. Its connections are not the caller's
    /// to use.
    pub fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    /// How it is set.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What happened so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The next thing that happened, if anything did. Every call does a bounded amount of work. What was
    /// told gives its credit back to the peer.
    pub fn poll(&mut self) -> Option<Notice> {
        if self.notices.is_empty() {
            self.progress();
        }
        let told = self.notices.pop_front()?;
        if told.consumes != Amount::default()
            && let Some(session) = self.sessions.get_mut(told.peer.0)
        {
            session.receiving.consume(told.consumes);
            self.ack(told.peer);
        }
        if told.fetched_bytes > 0 {
            self.fetched_bytes -= told.fetched_bytes;
            self.fetch_more();
        }
        Some(told.notice)
    }

    /// Does what [`poll`](Self::poll) does, and tells nothing: what happens waits for the next `poll`.
    /// `true` if something happened. For a helper that stands in for a scheduler which is busy: no credit
    /// that comes, no acknowledgement, no get of a peer waits for the program.
    pub fn progress(&mut self) -> bool {
        let mut has_worked = false;
        for _ in 0..EVENTS_PER_TURN {
            let Some(event) = self.transport.poll() else {
                break;
            };
            has_worked = true;
            self.serve(event);
            if !self.notices.is_empty() {
                break;
            }
        }
        has_worked
    }

    /// Tells the time, a monotonic one: limits are kept by it.
    pub fn advance(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
        self.transport.advance(now_ns);
        if now_ns >= self.due_ns {
            self.serve_due();
        }
    }

    /// When [`advance`](Self::advance) has something to do at the latest.
    #[must_use]
    pub fn next_deadline_ns(&self) -> Option<u64> {
        let own = (self.due_ns != u64::MAX).then_some(self.due_ns);
        match (own, self.transport.next_deadline_ns()) {
            (Some(own), Some(below)) => Some(own.min(below)),
            (own, below) => own.or(below),
        }
    }

    /// Whether something of this end or of a peer may be under way: it has sessions.
    #[must_use]
    pub fn has_sessions(&self) -> bool {
        !self.sessions.is_empty()
    }

    /// Whether [`poll`](Self::poll) has something to tell without asking the transport.
    #[must_use]
    pub fn has_notices(&self) -> bool {
        !self.notices.is_empty()
    }

    /// Items that left, or will, and that the peer has not acknowledged; what the next connection would say
    /// again at most.
    #[must_use]
    pub fn unacknowledged(&self, peer: Peer) -> Option<usize> {
        let session = self.sessions.get(peer.0)?;
        Some(session.sending.unacknowledged())
    }

    /// Something is due at `at_ns`.
    fn is_due_at(&mut self, at_ns: u64) {
        self.due_ns = self.due_ns.min(at_ns);
    }

    fn tell(&mut self, peer: Peer, notice: Notice) {
        self.tell_and_free(peer, notice, Amount::default(), 0);
    }

    fn tell_and_free(&mut self, peer: Peer, notice: Notice, consumes: Amount, fetched_bytes: u64) {
        self.notices.push_back(Told {
            notice,
            peer,
            consumes,
            fetched_bytes,
        });
    }

    fn role(&self, endpoint: Endpoint) -> Option<Role> {
        let roles = self.roles.get(endpoint.index())?;
        let found = roles.iter().find(|(found, _)| *found == endpoint);
        found.map(|(_, role)| *role)
    }

    fn set_role(&mut self, endpoint: Endpoint, role: Option<Role>) {
        if endpoint.index() >= self.roles.len() {
            self.roles.resize_with(endpoint.index() + 1, Vec::new);
        }
        let roles = &mut self.roles[endpoint.index()];
        roles.retain(|(found, _)| *found != endpoint);
        roles.extend(role.map(|role| (endpoint, role)));
    }
}

impl<T: Transport> Drop for Protocol<T> {
    fn drop(&mut self) {
        for session in self.sessions.take_all() {
            if let Some(endpoint) = session.endpoint {
                self.say_bye(endpoint);
            }
        }
    }
}
