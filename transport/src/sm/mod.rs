//! Processes of one host, through shared memory.
//!
//! A connection is memory that the end which connects makes and passes over a Unix socket: a ring each way
//! and an area each way for what is longer than a slot (`lane`). After that the sockets are silent; they
//! wake an end that sleeps, and their end is the death of a peer (`socket`). A message of up to 48 bytes is
//! one cache line.
//!
//! One-sided work is done by the peer's poll.
//!
//! - XM-1 the rings are looked at in every poll: the connection that had something last, then a few of the
//!   others in turn. The sockets are looked at when the time that is told has moved on, after many polls
//!   without an event, and often while somebody is about to connect.
//! - XM-2 a connection ends when its ring says so (`close`), when the peer's end of it is gone, or when the
//!   socket ends; what was published before comes before.
//! - XM-3 nothing of it has a name in a file system, and nothing is left behind by a process that dies.
//!
//! ```
//! use maser_transport::sm::{SmOptions, SmTransport};
//! use maser_transport::{Event, Message, Transport, WorkRequest};
//!
//! let mut a = SmTransport::open(SmOptions::default())?;
//! // In another process.
//! let mut b = SmTransport::open(SmOptions::default())?;
//! let to_b = a.connect(&b.address())?;
//! a.post(to_b, WorkRequest::Send(Message::copied(b"hello")), None)?;
//! let message = loop {
//!     a.poll();
//!     if let Some(Event::Message { message, .. }) = b.poll() {
//!         break message;
//!     }
//! };
//! assert_eq!(&*message, b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod admission;
mod connection;
mod incoming;
mod lane;
mod outgoing;
mod poller;
mod slot;
mod socket;
mod transport;

use crate::capabilities::Limits;
use crate::endpoint::Endpoint;
use crate::event::{EndReason, Event};
use crate::regions::Regions;
use crate::table::Endpoints;
use admission::Strangers;
use connection::{Connection, Stage};
use incoming::Received;
use maser_shm::sync::atomic::{Ordering, fence};
use poller::{LISTENER, Poller, STRANGER};
use slot::Slot;
use socket::{Heard, Listener};
use std::collections::VecDeque;
use std::io;
use std::time::Duration;

/// Bytes of a message that lie in the line which tells of it.
pub const INLINE_BYTES: usize = crate::message::INLINE_BYTES;

const LIMITS: Limits = Limits {
    max_message_bytes: 1 << 30,
    max_region_bytes: 1 << 40,
    max_under_way: 64,
    max_endpoints: 1 << 16,
};

/// Events of one connection before the others are looked at.
const MAX_BURST: u32 = 64;
/// Connections that one poll looks at.
const CONNECTIONS_PER_POLL: usize = 8;
/// Slots of a full ring that are taken before the peer is told that there is room.
const ROOM_SLOTS: u32 = 16;
/// Slots that one look at a connection takes, if they tell nothing.
const SLOTS_PER_LOOK: usize = 8;
/// Polls without an event for each look at the sockets: some ten microseconds. A look costs as much as a
/// round trip.
const POLLS_PER_LOOK: u32 = 4096;
/// The same while somebody is about to connect.
const POLLS_PER_LOOK_GREETING: u32 = 8;
/// Looks at the sockets are due after so much time.
const NS_PER_LOOK: u64 = 100_000;
/// After a sleep so many connections are looked at in polls as before; more of them have to wake this end
/// until something comes.
const MAX_DISARMED: usize = 64;

/// How an [`SmTransport`] is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SmOptions {
    /// Bytes on their way that do not fit into slots, for each direction of a connection: a power of two,
    /// 4 KiB to 1 MiB. Every connection has twice this memory and 10 KiB.
    pub area_bytes: usize,
    /// How long a process that connected may take to say so.
    pub handshake_timeout: Duration,
}

impl Default for SmOptions {
    fn default() -> Self {
        Self {
            area_bytes: 32 << 10,
            handshake_timeout: Duration::from_secs(5),
        }
    }
}

/// Why there is no transport.
#[derive(Debug, thiserror::Error)]
pub enum SmError {
    /// An option that cannot be.
    #[error("area_bytes is {bytes}; take a power of two from 4096 to 1048576")]
    AreaBytes {
        /// What was asked for.
        bytes: usize,
    },
    /// The system refused.
    #[error(
        "cannot listen at a Unix socket: {source}; check `ulimit -n`, and that a sandbox passes AF_UNIX"
    )]
    Listen {
        /// What it said.
        source: io::Error,
    },
}

/// See the module's page.
pub struct SmTransport {
    options: SmOptions,
    listener: Listener,
    poller: Poller,
    connections: Endpoints<Connection>,
    strangers: Strangers,
    regions: Regions,
    events: VecDeque<Event>,
    /// The connection that had something last, and how often in a row it may go first.
    hot: Endpoint,
    burst: u32,
    /// The place that is looked at next.
    next_place: usize,
    polls: u32,
    is_look_due: bool,
    now_ns: u64,
    looked_ns: u64,
    /// Connections whose peers may have to be woken (XW-2).
    told: Vec<Endpoint>,
    /// Connections that have something to do when the peer gives room.
    busy: Vec<Endpoint>,
    /// Connections that were asked for and are not there.
    greeting: Vec<Endpoint>,
}

impl SmTransport {
    /// An end that processes of this user on this host can connect to.
    ///
    /// # Errors
    /// [`SmError`].
    pub fn open(options: SmOptions) -> Result<Self, SmError> {
        let bytes = options.area_bytes;
        if !bytes.is_power_of_two() || !lane::AREA_BYTES.contains(&bytes) {
            return Err(SmError::AreaBytes { bytes });
        }
        let refused = |source| SmError::Listen { source };
        let listener = Listener::open().map_err(refused)?;
        let poller = Poller::new().map_err(refused)?;
        poller.add(&listener, LISTENER).map_err(refused)?;
        Ok(Self {
            options,
            listener,
            poller,
            connections: Endpoints::new(LIMITS.max_endpoints),
            strangers: Strangers::default(),
            regions: Regions::default(),
            events: VecDeque::new(),
            hot: Endpoint::new(u32::MAX, 0),
            burst: MAX_BURST,
            next_place: 0,
            polls: 0,
            is_look_due: false,
            now_ns: 0,
            looked_ns: 0,
            told: Vec::new(),
            busy: Vec::new(),
            greeting: Vec::new(),
        })
    }

    /// Ends it as the death of its process would.
    pub fn abort(mut self) {
        drop(self.connections.take_all());
    }

    /// Ends a connection here, and tells.
    fn end(&mut self, endpoint: Endpoint, reason: EndReason) {
        if let Some(mut connection) = self.connections.remove(endpoint) {
            connection.end(&reason, &mut self.events);
            self.greeting.retain(|one| *one != endpoint);
            self.events.push_back(Event::Ended { endpoint, reason });
        }
    }

    /// Something of a connection is to be told to its peer with the next poll.
    #[inline(always)]
    fn tell(told: &mut Vec<Endpoint>, connection: &mut Connection) {
        if !connection.is_told {
            connection.is_told = true;
            told.push(connection.endpoint);
        }
    }

    fn keep_busy(busy: &mut Vec<Endpoint>, connection: &mut Connection) {
        if !connection.is_busy {
            connection.is_busy = true;
            busy.push(connection.endpoint);
        }
    }

    /// Wakes peers that sleep (XW-1).
    #[inline(always)]
    fn wake_peers(&mut self) {
        if self.told.is_empty() {
            return;
        }
        fence(Ordering::SeqCst); // XW-1
        for endpoint in &self.told {
            if let Some(connection) = self.connections.get_mut(*endpoint) {
                connection.is_told = false;
                connection.wake_peer();
            }
        }
        self.told.clear();
    }

    /// The next message of the connection that had something last, if that is what comes next.
    #[inline(always)]
    fn poll_hot(&mut self) -> Option<Event> {
        let endpoint = self.hot;
        let connection = self.connections.get_mut(endpoint)?;
        if self.burst == 0 {
            return None;
        }
        let Some(slot) = connection.take() else {
            if connection.has_given_room(1) {
                Self::tell(&mut self.told, connection);
            }
            return None;
        };
        if let Some(message) = connection.message(&slot) {
            self.burst -= 1;
            if connection.has_given_room(ROOM_SLOTS) {
                Self::tell(&mut self.told, connection);
            }
            return Some(Event::Message { endpoint, message });
        }
        self.serve(endpoint, &slot)
    }

    /// The next event of a connection. Others of it may lie behind those that wait.
    fn look_at(&mut self, endpoint: Endpoint) -> Option<Event> {
        for _ in 0..SLOTS_PER_LOOK {
            let connection = self.connections.get_mut(endpoint)?;
            let Some(slot) = connection.take() else {
                if let Some(reason) = connection.end_of_ring() {
                    self.end(endpoint, reason);
                    return self.events.pop_front();
                }
                return None;
            };
            self.hot = endpoint;
            Self::tell(&mut self.told, connection);
            let event = match connection.message(&slot) {
                Some(message) => Some(Event::Message { endpoint, message }),
                None => self.serve(endpoint, &slot),
            };
            if event.is_some() {
                return event;
            }
        }
        None
    }

    /// What a slot gives that is more than a message.
    #[inline(never)]
    fn serve(&mut self, endpoint: Endpoint, slot: &Slot) -> Option<Event> {
        let connection = self.connections.get_mut(endpoint)?;
        let served = match connection.short(slot) {
            Ok(Some(message)) => Ok(Received::Event(Event::Message { endpoint, message })),
            Ok(None) => connection.serve(slot, &self.regions),
            Err(reason) => Err(reason),
        };
        let event = match served {
            Ok(Received::Event(event)) => Some(event),
            Ok(Received::Served) => None,
            Ok(Received::Welcome) if self.greeting.contains(&endpoint) => {
                self.greeting.retain(|one| *one != endpoint);
                if connection.stage == Stage::Greeting {
                    connection.stage = Stage::Open;
                }
                Some(Event::Connected { endpoint })
            }
            Ok(Received::Welcome) => {
                let reason = EndReason::Corrupt("it was welcomed twice".into());
                self.end(endpoint, reason);
                return self.events.pop_front();
            }
            Err(reason) => {
                self.end(endpoint, reason);
                return self.events.pop_front();
            }
        };
        if connection.has_given_room(ROOM_SLOTS) {
            Self::tell(&mut self.told, connection);
        }
        if connection.wants_room() {
            Self::keep_busy(&mut self.busy, connection);
        }
        event
    }

    /// Looks at everything in turn (XM-1).
    #[inline(never)]
    fn sweep(&mut self) -> Option<Event> {
        self.burst = MAX_BURST;
        if !self.busy.is_empty() {
            self.work();
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
        }
        for _ in 0..CONNECTIONS_PER_POLL.min(self.connections.places()) {
            self.next_place += 1;
            if self.next_place >= self.connections.places() {
                self.next_place = 0;
            }
            let Some(connection) = self.connections.at(self.next_place) else {
                continue;
            };
            let receiver = &connection.lane.receiver;
            if !receiver.is_ready() && !receiver.is_closed() {
                continue;
            }
            let endpoint = connection.endpoint;
            if let Some(event) = self.look_at(endpoint) {
                return Some(event);
            }
        }
        self.polls += 1;
        let is_greeting = !self.greeting.is_empty() || !self.strangers.is_empty();
        let limit = if is_greeting {
            POLLS_PER_LOOK_GREETING
        } else {
            POLLS_PER_LOOK
        };
        if self.is_look_due || self.polls >= limit {
            // What it fails of fails again, and then in `wait`, which says so.
            let _looked = self.look(Some(Duration::ZERO));
        }
        self.events.pop_front()
    }

    /// Goes on with what waits for room.
    fn work(&mut self) -> bool {
        let mut has_worked = false;
        for endpoint in std::mem::take(&mut self.busy) {
            let Some(connection) = self.connections.get_mut(endpoint) else {
                continue;
            };
            connection.is_busy = false;
            match connection.pump(&mut self.events) {
                Ok(false) => {}
                Ok(true) => {
                    has_worked = true;
                    Self::tell(&mut self.told, connection);
                }
                Err(reason) => {
                    self.end(endpoint, reason);
                    continue;
                }
            }
            let is_over = connection.stage == Stage::Closing
                && connection.outgoing.under_way() == 0
                && connection.outgoing.is_empty();
            if is_over && connection.say_close() {
                fence(Ordering::SeqCst); // XW-1
                connection.wake_peer();
                self.end(endpoint, EndReason::Closed);
                continue;
            }
            if connection.wants_room() {
                Self::keep_busy(&mut self.busy, connection);
            }
        }
        has_worked
    }

    /// Looks at the sockets, and sleeps there until the limit.
    fn look(&mut self, limit: Option<Duration>) -> io::Result<()> {
        self.polls = 0;
        self.is_look_due = false;
        self.looked_ns = self.now_ns;
        let mut found = [0; 64];
        let mut count = 0;
        self.poller.look(limit, |key| {
            if let Some(place) = found.get_mut(count) {
                *place = key;
                count += 1;
            }
        })?;
        for key in &found[..count] {
            match *key {
                LISTENER => self.accept(),
                key if key & STRANGER != 0 => self.hear(key),
                key => self.listen(Endpoint::new((key >> 32) as u32, key as u32)),
            }
        }
        self.dial();
        Ok(())
    }

    /// Something came from the socket of a connection.
    fn listen(&mut self, endpoint: Endpoint) {
        let Some(connection) = self.connections.get_mut(endpoint) else {
            return;
        };
        let Some(socket) = &connection.socket else {
            return;
        };
        match socket::listen(socket) {
            Heard::Wake => {
                self.hot = endpoint;
            }
            Heard::TurnedAway(reason) => self.end(endpoint, EndReason::NotAdmitted(reason)),
            Heard::Gone => {
                connection.peer_died();
                self.hot = endpoint;
            }
        }
    }

    /// The name of a connection's socket.
    fn key(endpoint: Endpoint) -> u64 {
        (endpoint.index() as u64) << 32 | u64::from(endpoint.generation())
    }
}
