//! TCP, polled: nonblocking calls from the loop of a scheduler for the connection that had something last,
//! and a ring of io_uring for who connects, for sockets that are quiet and for sleeping; epoll where rings
//! are refused ([`PollerInUse`] says why).
//!
//! The connection that had something last is hot: it is read before any other is asked for, and not watched
//! meanwhile. Every few polls look at all.
//!
//! One-sided work is done by the peer's poll: the memory of a region is found by its number, which says
//! nothing to other transports.

mod accept;
mod connection;
mod feed;
mod options;
mod outgoing;
mod poller;
mod sealing;
mod strangers;
mod sys;
mod transport;

pub use feed::{Feed, FeedStage};
pub use options::{TcpError, TcpOptions, TcpTuning};
pub use poller::{PollerChoice, PollerInUse};
pub use strangers::{MAX_STRANGERS, StrangerCounts};

use crate::capabilities::Limits;
use crate::endpoint::Endpoint;
use crate::event::{EndReason, Event};
use crate::regions::Regions;
use crate::table::Endpoints;
use connection::{Connection, Context, Stage};
use outgoing::SHORT_BYTES;
use poller::{LISTENER, Poller, Ready};
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{Shutdown, shutdown};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use strangers::Strangers;

/// Reads of the hot connection after which it is not watched any more.
const READS_UNTIL_REST: u32 = 64;
/// Sleeps with one hot connection after which it is watched as that.
const SLEEPS_UNTIL_HOT: u32 = 8;
/// Bytes that are received at once.
const SCRATCH_BYTES: usize = 256 << 10;
/// Bytes that may wait to leave on one connection; one more request is refused then.
const MAX_WAITING_BYTES: usize = 4 << 20;
/// What happened and was not told: nothing more is read beyond it.
const MAX_EVENTS: usize = 1024;

/// How long a socket that was closed here waits for its peer to close it too.
const LINGER: Duration = Duration::from_secs(1);

/// Connections are pinged in so many groups, one after the other.
const PING_GROUPS: u64 = 8;
/// Requests of one connection that may be under way.
const MAX_UNDER_WAY: usize = 64;

const LIMITS: Limits = Limits {
    max_message_bytes: 1 << 30,
    max_region_bytes: 1 << 40,
    max_under_way: MAX_UNDER_WAY,
    max_endpoints: 1 << 16,
};

/// See the module's page.
pub struct TcpTransport {
    options: TcpOptions,
    listener: Arc<OwnedFd>,
    local: SocketAddr,
    poller: Poller,
    in_use: PollerInUse,
    connections: Endpoints<Connection>,
    strangers: Strangers,
    regions: Regions,
    events: VecDeque<Event>,
    scratch: Vec<u8>,
    /// A frame that leaves in one piece.
    piece: Vec<u8>,
    /// The connection that had something last.
    hot: Option<Endpoint>,
    /// Its reads since it is, or since the thread slept.
    hot_reads: u32,
    /// Sleeps since it is.
    hot_sleeps: u32,
    /// The hot connection is not watched.
    is_resting: bool,
    polls: u32,
    /// A descriptor for [`turn_away`](Self::turn_away).
    spare: Option<File>,
    /// Connections whose frames waited for others to leave, and need not any more (TX-3).
    held: Vec<Endpoint>,
    /// What a look found and was not served.
    ready: Vec<Ready>,
    /// Sockets of connections that were closed here, and until when their peers are listened to.
    lingering: Vec<(Arc<OwnedFd>, u64)>,
    now_ns: u64,
    next_check_ns: u64,
}

fn key_of(endpoint: Endpoint) -> u64 {
    u64::from(endpoint.generation()) << 32 | endpoint.index() as u64
}

fn endpoint_of(key: u64) -> Endpoint {
    Endpoint::new(key as u32, (key >> 32) as u32)
}

impl TcpTransport {
    /// Listens, and is there.
    ///
    /// # Errors
    /// [`TcpError`].
    pub fn open(options: TcpOptions) -> Result<Self, TcpError> {
        Self::open_tuned(options, TcpTuning::default())
    }

    /// As [`open`](Self::open), tuned.
    ///
    /// # Errors
    /// [`TcpError`].
    pub fn open_tuned(options: TcpOptions, tuning: TcpTuning) -> Result<Self, TcpError> {
        let listen = options.listen;
        if options.secret.is_none() && !listen.ip().is_loopback() {
            return Err(TcpError::NoSecret { listen });
        }
        let opened = || {
            let listener = TcpListener::bind(listen)?;
            listener.set_nonblocking(true)?;
            let local = listener.local_addr()?;
            let listener = Arc::new(listener.into());
            let (poller, in_use) = Poller::new(tuning.poller, &listener, LIMITS.max_endpoints)?;
            Ok((listener, poller, in_use, local))
        };
        let (listener, poller, in_use, local) =
            opened().map_err(|source| TcpError::Listen { listen, source })?;
        Ok(Self {
            options,
            listener,
            local,
            poller,
            in_use,
            connections: Endpoints::new(LIMITS.max_endpoints),
            strangers: Strangers::default(),
            regions: Regions::default(),
            events: VecDeque::new(),
            scratch: Vec::with_capacity(SCRATCH_BYTES),
            piece: Vec::with_capacity(SHORT_BYTES),
            hot: None,
            hot_reads: 0,
            hot_sleeps: 0,
            is_resting: false,
            polls: 0,
            spare: File::open("/dev/null").ok(),
            held: Vec::new(),
            ready: Vec::new(),
            lingering: Vec::new(),
            now_ns: 0,
            next_check_ns: 0,
        })
    }

    /// Ends it as the death of its process would: nobody hears a word.
    pub fn abort(mut self) {
        for connection in self.connections.take_all() {
            // Refused by what is no connection any more.
            let _outcome = set_socket_linger(&connection.socket, Some(Duration::ZERO));
        }
    }

    /// Ends waits from now on while `descriptor` is readable: for transports that have this one beside
    /// their device. It is kept open.
    ///
    /// # Errors
    /// Of the operating system.
    pub fn watch(&mut self, descriptor: impl AsFd) -> io::Result<()> {
        let descriptor = descriptor.as_fd().try_clone_to_owned()?;
        self.poller.watch_beside(descriptor)
    }

    /// Looks at all connections alike, where [`poll`](crate::Transport::poll) prefers one: for transports that
    /// have this one beside their device, and whose own messages come by that.
    pub(crate) fn look_at_all(&mut self) {
        // That one is read, and not watched.
        if let Some(hot) = self.hot {
            self.read(hot);
        }
        self.look();
    }

    /// What a look told.
    pub(crate) fn told(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// How it finds out what its sockets have.
    #[must_use]
    pub fn poller_in_use(&self) -> &PollerInUse {
        &self.in_use
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn progress(&mut self) {
        if !self.held.is_empty() {
            for endpoint in std::mem::take(&mut self.held) {
                self.read(endpoint);
            }
            return;
        }
        self.polls = self.polls.wrapping_add(1);
        // However much the hot one has, the others have their turn.
        let is_turn = self.polls.is_multiple_of(self.poller.polls_per_look());
        match self.hot {
            Some(hot) if !is_turn && self.ready.is_empty() => {
                if !self.is_drained(hot) {
                    self.read(hot);
                }
            }
            _ => self.look(),
        }
    }

    /// Whether the last read of a connection had all there was. True once for each: who is about to sleep
    /// need not ask again before.
    fn is_drained(&mut self, endpoint: Endpoint) -> bool {
        let connection = self.connections.get_mut(endpoint);
        connection.is_some_and(|connection| std::mem::take(&mut connection.is_drained))
    }

    /// Serves every socket that has something.
    fn look(&mut self) {
        let mut ready = std::mem::take(&mut self.ready);
        if ready.is_empty() {
            // A system that refuses this one would refuse everything else as well.
            let _outcome = self
                .poller
                .look(Some(Duration::ZERO), |one| ready.push(one));
        }
        for one in ready.drain(..) {
            if one.key == LISTENER {
                self.accept();
                continue;
            }
            let endpoint = endpoint_of(one.key);
            if let Some(id) = one.spent {
                let connection = self.connections.get_mut(endpoint);
                if !connection.is_some_and(|connection| connection.watched.is_spent(id)) {
                    continue;
                }
            }
            if one.has_room {
                self.has_room(endpoint);
            }
            if !self.read(endpoint) {
                self.attend(endpoint);
            }
        }
        self.ready = ready;
        self.lingering.retain(|(socket, _)| still_sends(socket));
    }

    /// Watches a connection for what it waits for; the hot one is read anyway. The connection may be over
    /// then.
    fn attend(&mut self, endpoint: Endpoint) {
        let Some(connection) = self.connections.get_mut(endpoint) else {
            return;
        };
        let wanted = connection.wanted();
        let (socket, watched) = (&connection.socket, &mut connection.watched);
        if self.hot == Some(endpoint) && !wanted.1 {
            if self.hot_reads >= READS_UNTIL_REST {
                self.poller.rest(socket, watched);
                self.is_resting = true;
                return;
            }
            if !watched.is_for_room() {
                return;
            }
        }
        let is_watched = self
            .poller
            .watch(socket, key_of(endpoint), watched, wanted, false);
        if let Err(error) = is_watched {
            self.end(endpoint, EndReason::Unreachable(error.to_string()));
        }
    }

    /// Watches the hot connection too: the thread is about to sleep. False if it has something, perhaps.
    fn watch_hot(&mut self) -> io::Result<bool> {
        (self.hot_reads, self.is_resting) = (0, false);
        self.hot_sleeps = self.hot_sleeps.saturating_add(1);
        let Some(connection) = self.hot.and_then(|hot| self.connections.get_mut(hot)) else {
            return Ok(true);
        };
        let (key, wanted) = (key_of(connection.endpoint), connection.wanted());
        if wanted.0 && !connection.is_empty {
            return Ok(false);
        }
        let (socket, watched) = (&connection.socket, &mut connection.watched);
        let is_hot = self.hot_sleeps >= SLEEPS_UNTIL_HOT;
        self.poller.watch(socket, key, watched, wanted, is_hot)?;
        Ok(true)
    }

    /// A socket takes bytes again, or is connected.
    fn has_room(&mut self, endpoint: Endpoint) {
        let Some(connection) = self.connections.get_mut(endpoint) else {
            return;
        };
        if matches!(connection.stage, Stage::Connecting(_))
            && let Err(reason) = connection.greet()
        {
            self.end(endpoint, reason);
            return;
        }
        self.send(endpoint);
    }

    /// Sends what can be sent; the connection may be over then.
    fn send(&mut self, endpoint: Endpoint) {
        let Some(connection) = self.connections.get_mut(endpoint) else {
            return;
        };
        if let Err(reason) = connection.send_now(&mut self.events) {
            self.end(endpoint, reason);
            return;
        }
        if matches!(connection.stage, Stage::Closing) && connection.is_idle() {
            self.end(endpoint, EndReason::Closed);
            return;
        }
        if connection.is_awaited
            && connection.under_way() <= LIMITS.max_under_way / 2
            && connection.outgoing.bytes() <= MAX_WAITING_BYTES / 2
        {
            connection.is_awaited = false;
            self.events.push_back(Event::Writable { endpoint });
        }
        if connection.is_held && connection.may_be_read() && !self.held.contains(&endpoint) {
            self.held.push(endpoint);
        }
        self.attend(endpoint);
    }

    /// Reads a connection once; true if there was something.
    fn read(&mut self, endpoint: Endpoint) -> bool {
        if self.events.len() >= MAX_EVENTS {
            return false;
        }
        let Some(connection) = self.connections.get_mut(endpoint) else {
            if self.hot == Some(endpoint) {
                self.hot = None;
            }
            return false;
        };
        if matches!(connection.stage, Stage::Connecting(_)) || !connection.may_be_read() {
            return false;
        }
        let mut context = Context {
            events: &mut self.events,
            regions: &self.regions,
            max_message_bytes: LIMITS.max_message_bytes,
            identity: &self.options.identity,
            integrity: self.options.integrity,
            secret: self.options.secret.as_ref(),
        };
        let was_stranger = connection.is_stranger();
        let Some(served) = connection.read(&mut self.scratch, &mut context) else {
            return false;
        };
        if was_stranger && !connection.is_stranger() {
            self.strangers.admitted();
        }
        // Who has not said yet who it is has its time as a whole, however often it says something.
        if matches!(connection.stage, Stage::Open | Stage::Closing) {
            connection.heard_ns = self.now_ns;
        }
        match served {
            // There is nothing to tell and nothing to change.
            Ok(()) if connection.is_quiet() && self.hot == Some(endpoint) && self.is_resting => {}
            Ok(()) => {
                self.is_hot(endpoint);
                self.send(endpoint);
            }
            Err(reason) => {
                // An answer that says why may still leave.
                let _outcome = connection.send_now(&mut self.events);
                self.end(endpoint, reason);
            }
        }
        true
    }

    /// A connection had something.
    fn is_hot(&mut self, endpoint: Endpoint) {
        if self.hot == Some(endpoint) {
            self.hot_reads = self.hot_reads.saturating_add(1);
            return;
        }
        (self.hot_reads, self.hot_sleeps, self.is_resting) = (0, 0, false);
        if let Some(before) = self.hot.replace(endpoint) {
            self.attend(before);
        }
    }

    /// A connection is over.
    fn end(&mut self, endpoint: Endpoint, reason: EndReason) {
        let Some(mut connection) = self.connections.remove(endpoint) else {
            return;
        };
        if self.hot == Some(endpoint) {
            self.hot = None;
        }
        if connection.is_stranger() {
            self.strangers.ended(&reason);
        }
        connection.fail_all(&reason, &mut self.events);
        let is_closed = reason == EndReason::Closed;
        if connection.is_known {
            self.events.push_back(Event::Ended { endpoint, reason });
        }
        self.poller
            .forget(&connection.socket, &mut connection.watched);
        if is_closed {
            // What the peer still sends would be answered by a reset, which could overtake what it has not
            // read yet.
            let _outcome = shutdown(&connection.socket, Shutdown::Write);
            let until_ns = self.now_ns.saturating_add(LINGER.as_nanos() as u64);
            self.lingering.push((connection.socket, until_ns));
        } else {
            // An operation that is not back yet may have the socket still.
            let _outcome = shutdown(&connection.socket, Shutdown::Both);
        }
    }

    fn limit_ns(limit: Duration) -> u64 {
        u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Reads what the peer still sends, for nobody; false when it sends no more.
fn still_sends(socket: &OwnedFd) -> bool {
    let mut nobody = Vec::with_capacity(4096);
    loop {
        nobody.clear();
        match sys::receive_more(socket.as_fd(), &mut nobody, 4096) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}
