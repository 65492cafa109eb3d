//! TCP, polled: nonblocking calls from the loop of a scheduler, epoll for sockets that are quiet and for
//! sleeping.
//!
//! The connection that had something last is read before any other is asked for; every 64th poll looks at
//! all.
//!
//! One-sided work is done by the peer's poll: the memory of a region is found by its number, which says
//! nothing to other transports.

mod connection;
mod options;
mod outgoing;
mod poller;
mod sealing;
mod sys;
mod transport;

pub use options::{TcpError, TcpOptions};

use crate::capabilities::Limits;
use crate::endpoint::Endpoint;
use crate::event::{EndReason, Event};
use crate::regions::Regions;
use crate::table::Endpoints;
use connection::{Connection, Context, Stage};
use poller::{LISTENER, Poller, Ready};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

/// Polls of one socket for each look at all.
const POLLS_PER_LOOK: u32 = 64;
/// Bytes that are received at once.
const SCRATCH_BYTES: usize = 256 << 10;
/// Bytes that may wait to leave on one connection; one more request is refused then.
const MAX_WAITING_BYTES: usize = 4 << 20;
/// What happened and was not told: nothing more is read beyond it.
const MAX_EVENTS: usize = 1024;

/// How long a socket that was closed here waits for its peer to close it too.
const LINGER: Duration = Duration::from_secs(1);

const LIMITS: Limits = Limits {
    max_message_bytes: 1 << 30,
    max_region_bytes: 1 << 40,
    max_under_way: 64,
    max_endpoints: 1 << 16,
};

/// See the module's page.
pub struct TcpTransport {
    options: TcpOptions,
    listener: TcpListener,
    local: SocketAddr,
    poller: Poller,
    connections: Endpoints<Connection>,
    regions: Regions,
    events: VecDeque<Event>,
    scratch: Vec<u8>,
    /// The connection that had something last.
    hot: Option<Endpoint>,
    polls: u32,
    /// A descriptor for [`turn_away`](Self::turn_away).
    spare: Option<File>,
    /// What a look found and was not served.
    ready: Vec<Ready>,
    /// Sockets of connections that were closed here, and until when their peers are listened to.
    lingering: Vec<(TcpStream, u64)>,
    now_ns: u64,
    next_check_ns: u64,
}

fn key_of(endpoint: Endpoint) -> u64 {
    u64::from(endpoint.generation()) << 32 | endpoint.index() as u64
}

fn endpoint_of(key: u64) -> Endpoint {
    Endpoint::new(key as u32, (key >> 32) as u32)
}

fn is_out_of_files(error: &io::Error) -> bool {
    [libc::EMFILE, libc::ENFILE]
        .map(Some)
        .contains(&error.raw_os_error())
}

impl TcpTransport {
    /// Listens, and is there.
    ///
    /// # Errors
    /// [`TcpError`].
    pub fn open(options: TcpOptions) -> Result<Self, TcpError> {
        let listen = options.listen;
        if options.secret.is_none() && !listen.ip().is_loopback() {
            return Err(TcpError::NoSecret { listen });
        }
        let opened = || {
            let listener = TcpListener::bind(listen)?;
            listener.set_nonblocking(true)?;
            let poller = Poller::new()?;
            poller.add(&listener, LISTENER, false)?;
            let local = listener.local_addr()?;
            Ok((listener, poller, local))
        };
        let (listener, poller, local) =
            opened().map_err(|source| TcpError::Listen { listen, source })?;
        Ok(Self {
            options,
            listener,
            local,
            poller,
            connections: Endpoints::new(LIMITS.max_endpoints),
            regions: Regions::default(),
            events: VecDeque::new(),
            scratch: Vec::with_capacity(SCRATCH_BYTES),
            hot: None,
            polls: 0,
            spare: File::open("/dev/null").ok(),
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
            let _outcome =
                rustix::net::sockopt::set_socket_linger(&connection.socket, Some(Duration::ZERO));
        }
    }

    /// Ends waits from now on while `descriptor` is
    /// readable, as long as it is open: for transports that have this one beside their device.
    ///
    /// # Errors
    /// Of the operating system.
    pub fn watch(&self, descriptor: impl AsFd) -> io::Result<()> {
        self.poller.watch(descriptor)
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn progress(&mut self) {
        self.polls = self.polls.wrapping_add(1);
        // However much the hot one has, the others have their turn.
        let is_turn = self.polls.is_multiple_of(POLLS_PER_LOOK);
        if !is_turn
            && let Some(hot) = self.hot
            && self.read(hot)
        {
            return;
        }
        if is_turn || self.hot.is_none() || !self.ready.is_empty() {
            self.look();
        }
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
            if one.has_room {
                self.has_room(endpoint);
            }
            self.read(endpoint);
        }
        self.ready = ready;
        self.lingering.retain(|(socket, _)| still_sends(socket));
    }

    fn accept(&mut self) {
        // Those that are left come with the next look.
        for _ in 0..16 {
            let socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if is_out_of_files(&error) && self.turn_away() => continue,
                Err(_) => return,
            };
            if socket.set_nonblocking(true).is_err() || socket.set_nodelay(true).is_err() {
                continue;
            }
            self.begin(socket, Stage::Accepted, false);
        }
    }

    /// There is no descriptor for who connects: it is told by the end of its connection, where it would wait
    /// for an answer otherwise. True if somebody was.
    fn turn_away(&mut self) -> bool {
        let Some(spare) = self.spare.take() else {
            return false;
        };
        drop(spare);
        let is_turned_away = self.listener.accept().is_ok();
        self.spare = File::open("/dev/null").ok();
        is_turned_away
    }

    /// A connection of this socket; `None`, and the socket is closed, if there is no place.
    fn begin(&mut self, socket: TcpStream, stage: Stage, room: bool) -> Option<Endpoint> {
        let (epoch, now_ns) = (self.options.epoch, self.now_ns);
        let endpoint = self.connections.insert(|endpoint| {
            let mut connection = Connection::new(endpoint, socket, stage, epoch);
            connection.heard_ns = now_ns;
            connection.pinged_ns = now_ns;
            connection.interest = (true, room);
            connection
        })?;
        let connection = self.connections.get(endpoint)?;
        let added = self.poller.add(&connection.socket, key_of(endpoint), room);
        if let Err(error) = added {
            self.end(endpoint, EndReason::Unreachable(error.to_string()));
        }
        Some(endpoint)
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
        let interest = connection.wanted();
        if interest != connection.interest {
            connection.interest = interest;
            let (bytes, room) = interest;
            // A socket that cannot be looked at is found out by its silence.
            let _outcome = self
                .poller
                .change(&connection.socket, key_of(endpoint), bytes, room);
        }
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
        let Some(served) = connection.read(&mut self.scratch, &mut context) else {
            return false;
        };
        // Who has not said yet who it is has its time as a whole, however often it says something.
        if matches!(connection.stage, Stage::Open | Stage::Closing) {
            connection.heard_ns = self.now_ns;
        }
        match served {
            Ok(()) => {
                self.hot = Some(endpoint);
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

    /// A connection is over.
    fn end(&mut self, endpoint: Endpoint, reason: EndReason) {
        let Some(mut connection) = self.connections.remove(endpoint) else {
            return;
        };
        if self.hot == Some(endpoint) {
            self.hot = None;
        }
        connection.fail_all(&reason, &mut self.events);
        let is_closed = reason == EndReason::Closed;
        if connection.is_known {
            self.events.push_back(Event::Ended { endpoint, reason });
        }
        if is_closed && self.poller.remove(&connection.socket).is_ok() {
            // What the peer still sends would be answered by a reset, which could overtake what it has not
            // read yet.
            let _outcome = connection.socket.shutdown(Shutdown::Write);
            let until_ns = self.now_ns.saturating_add(LINGER.as_nanos() as u64);
            self.lingering.push((connection.socket, until_ns));
        }
    }

    fn limit_ns(limit: Duration) -> u64 {
        u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Reads what the peer still sends, for nobody; false when it sends no more.
fn still_sends(socket: &TcpStream) -> bool {
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
