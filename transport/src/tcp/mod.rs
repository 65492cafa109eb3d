//! TCP, polled: nonblocking calls from the loop of a scheduler, epoll for sockets that are quiet and for
//! sleeping.
//!
//! The connection that had something last is read before any other is asked for; every
//! [`POLLS_PER_LOOK`]th poll looks at all.
//!
//! One-sided work is done by the peer's poll: the memory of a region is found by its number, which says
//! nothing to other transports.

mod connection;
mod outgoing;
mod poller;
mod sys;

use crate::capabilities::{Capabilities, Limits};
use crate::endpoint::{Address, BadAddress, Endpoint, TransportKind};
use crate::event::{EndReason, Event};
use crate::memory::{Access, Memory, MemoryRegion};
use crate::regions::Regions;
use crate::request::{Refusal, Refused, Token, WorkRequest};
use crate::table::Endpoints;
use crate::transport::{ConnectError, RegisterError, Transport, Waker};
use crate::wire::handshake::{Identity, Initiator, Secret};
use crate::wire::{FrameHeader, FrameKind};
use connection::{Connection, Context, Stage};
use outgoing::{Leaving, Payload};
use poller::{LISTENER, Poller, Ready};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::collections::VecDeque;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

/// Polls of one socket for each look at all.
const POLLS_PER_LOOK: u32 = 16;
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

/// How a [`TcpTransport`] is opened.
#[derive(Clone, Debug)]
pub struct TcpOptions {
    /// Where it listens. Port 0 is any.
    pub listen: SocketAddr,
    /// Who it is.
    pub identity: Identity,
    /// What the job shares. Without it nothing listens but on a loopback address.
    pub secret: Option<Secret>,
    /// After so much silence a peer is taken for dead. Pings are sent three times in it.
    pub peer_timeout: Duration,
    /// How long a stranger may take to say who it is.
    pub handshake_timeout: Duration,
}

/// Why there is no transport.
#[derive(Debug, thiserror::Error)]
pub enum TcpError {
    /// Others could reach it, and there is nothing to know them by.
    #[error(
        "cannot listen on {listen} without a secret: every host could connect; give the job's secret, or \
         listen on a loopback address"
    )]
    NoSecret {
        /// Where it was to listen.
        listen: SocketAddr,
    },
    /// The system refused.
    #[error("cannot listen on {listen}: {source}")]
    Listen {
        /// Where.
        listen: SocketAddr,
        /// What it said.
        source: io::Error,
    },
}

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
    /// What a look found and was not served.
    ready: Vec<Ready>,
    /// Sockets of connections that were closed here, and until when their peers are listened to.
    lingering: Vec<(TcpStream, u64)>,
    epoch: u64,
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
            let mut epoch = [0; 8];
            let random = ring::rand::SystemRandom::new();
            ring::rand::SecureRandom::fill(&random, &mut epoch)
                .map_err(|_| io::Error::other("the system has no random numbers"))?;
            Ok((listener, poller, local, u64::from_le_bytes(epoch)))
        };
        let (listener, poller, local, epoch) =
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
            ready: Vec::new(),
            lingering: Vec::new(),
            epoch,
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

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn progress(&mut self) {
        self.polls = self.polls.wrapping_add(1);
        if let Some(hot) = self.hot
            && self.read(hot)
        {
            return;
        }
        if self.hot.is_none() || !self.ready.is_empty() || self.polls.is_multiple_of(POLLS_PER_LOOK)
        {
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
            let Ok((socket, _)) = self.listener.accept() else {
                return;
            };
            if socket.set_nonblocking(true).is_err() || socket.set_nodelay(true).is_err() {
                continue;
            }
            self.begin(socket, Stage::Accepted, false);
        }
    }

    /// A connection of this socket; `None`, and the socket is closed, if there is no place.
    fn begin(&mut self, socket: TcpStream, stage: Stage, room: bool) -> Option<Endpoint> {
        let (epoch, now_ns) = (self.epoch, self.now_ns);
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
            secret: self.options.secret.as_ref(),
        };
        let Some(served) = connection.read(&mut self.scratch, &mut context) else {
            return false;
        };
        connection.heard_ns = self.now_ns;
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

impl Drop for TcpTransport {
    fn drop(&mut self) {
        for mut connection in self.connections.take_all() {
            if connection.is_open() {
                connection.queue_close();
                // Who does not take it sees the end of the stream.
                let _outcome = connection.send_now(&mut self.events);
            }
        }
    }
}

impl Transport for TcpTransport {
    fn kind(&self) -> TransportKind {
        TransportKind::Tcp
    }

    fn capabilities(&self) -> Capabilities {
        let sealed = match self.options.identity.seals {
            true => Capabilities::INTEGRITY,
            false => Capabilities::empty(),
        };
        sealed
            | Capabilities::BETWEEN_HOSTS
            | Capabilities::BETWEEN_PROCESSES
            | Capabilities::ATOMIC_WITH_CPU
            | Capabilities::EVENTS
            | Capabilities::REGION_ERRORS_ARE_ALONE
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    fn address(&self) -> Address {
        match Address::new(TransportKind::Tcp, self.local.to_string()) {
            Ok(address) => address,
            Err(error) => unreachable!("an address and a port: {error}"),
        }
    }

    fn connect(&mut self, to: &Address) -> Result<Endpoint, ConnectError> {
        let bytes = to.bytes_for(TransportKind::Tcp)?;
        let text = std::str::from_utf8(bytes).ok();
        let parsed = text.and_then(|text| text.parse::<SocketAddr>().ok());
        let peer = parsed.ok_or_else(|| BadAddress::Unreadable {
            kind: TransportKind::Tcp,
            problem: "it is no address and port".into(),
        })?;
        let failed = |source| ConnectError::Refused {
            to: to.clone(),
            source,
        };
        let (socket, error) = connecting(peer).map_err(failed)?;
        let secret = self.options.secret.as_ref();
        let (initiator, hello) = Initiator::new(self.options.identity, secret);
        let stage = Stage::Connecting(Box::new((initiator, hello)));
        let endpoint = self
            .begin(socket, stage, true)
            .ok_or(ConnectError::TooMany {
                max: LIMITS.max_endpoints,
            })?;
        if let Some(connection) = self.connections.get_mut(endpoint) {
            connection.is_known = true;
        }
        if let Some(error) = error {
            self.end(endpoint, EndReason::Unreachable(error.to_string()));
        }
        Ok(endpoint)
    }

    fn close(&mut self, endpoint: Endpoint) {
        let Some(connection) = self.connections.get_mut(endpoint) else {
            return;
        };
        match connection.stage {
            Stage::Open => {
                connection.queue_close();
                connection.stage = Stage::Closing;
                self.send(endpoint);
            }
            Stage::Closing => {}
            // Nothing of it has left.
            _ => self.end(endpoint, EndReason::Closed),
        }
    }

    fn register(
        &mut self,
        memory: Arc<dyn Memory>,
        access: Access,
    ) -> Result<MemoryRegion, RegisterError> {
        if access.intersects(Access::WRITE | Access::ATOMIC) && !memory.is_writable() {
            return Err(RegisterError::ReadOnly { access });
        }
        Ok(self.regions.register(self.kind(), memory, access))
    }

    fn post(
        &mut self,
        endpoint: Endpoint,
        request: WorkRequest,
        token: Option<Token>,
    ) -> Result<(), Refused> {
        let taken = match self.connections.get_mut(endpoint) {
            Some(connection)
                if connection.is_known && !matches!(connection.stage, Stage::Closing) =>
            {
                request.check(TransportKind::Tcp, &LIMITS).and_then(|()| {
                    let is_full = connection.under_way() >= LIMITS.max_under_way
                        || connection.outgoing.bytes() >= MAX_WAITING_BYTES;
                    connection.is_awaited |= is_full;
                    match is_full {
                        true => Err(Refusal::Full { endpoint }),
                        false => Ok(connection),
                    }
                })
            }
            _ => Err(Refusal::NotConnected { endpoint }),
        };
        match taken {
            Ok(connection) => connection.take(request, token),
            Err(refusal) => return Err(Refused { refusal, request }),
        }
        self.send(endpoint);
        Ok(())
    }

    /// Requests are served in their order.
    fn fence(&mut self, _: Endpoint) {}

    fn cancel(&mut self, endpoint: Endpoint, token: Token) {
        if let Some(connection) = self.connections.get_mut(endpoint) {
            connection.cancel(token, &mut self.events);
        }
    }

    fn poll(&mut self) -> Option<Event> {
        if self.events.is_empty() {
            self.progress();
        }
        self.events.pop_front()
    }

    fn advance(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
        if now_ns < self.next_check_ns {
            return;
        }
        let (peer, greet) = (self.options.peer_timeout, self.options.handshake_timeout);
        let between = Self::limit_ns(peer.min(greet) / 6).max(1);
        self.next_check_ns = now_ns.saturating_add(between);
        self.lingering.retain(|(_, until_ns)| now_ns < *until_ns);
        let mut over = Vec::new();
        let mut pinged = Vec::new();
        for connection in self.connections.iter_mut() {
            let silent = Duration::from_nanos(now_ns.saturating_sub(connection.heard_ns));
            let is_open = matches!(connection.stage, Stage::Open | Stage::Closing);
            let limit = if is_open { peer } else { greet };
            if silent >= limit {
                let reason = match connection.stage {
                    Stage::Connecting(_) => {
                        EndReason::Unreachable(format!("nobody answered for {silent:?}"))
                    }
                    _ => EndReason::Silent { silent, limit },
                };
                over.push((connection.endpoint, reason));
            } else if is_open
                && now_ns.saturating_sub(connection.pinged_ns) >= Self::limit_ns(peer / 3)
            {
                connection.pinged_ns = now_ns;
                let ping = FrameHeader::new(FrameKind::Ping, 0);
                connection
                    .outgoing
                    .push(Leaving::frame(ping, Payload::None));
                pinged.push(connection.endpoint);
            }
        }
        over.into_iter()
            .for_each(|(endpoint, reason)| self.end(endpoint, reason));
        pinged.into_iter().for_each(|endpoint| self.send(endpoint));
    }

    fn next_deadline_ns(&self) -> Option<u64> {
        let is_empty = self.connections.is_empty() && self.lingering.is_empty();
        (!is_empty).then_some(self.next_check_ns)
    }

    fn wait(&mut self, limit: Option<Duration>) -> io::Result<()> {
        if !self.events.is_empty() || !self.ready.is_empty() {
            return Ok(());
        }
        let ready = &mut self.ready;
        self.poller.look(limit, |one| ready.push(one))
    }

    fn waker(&self) -> Waker {
        Waker::new(self.poller.waker())
    }
}

/// A socket that is being connected, and why it cannot be if that is known already.
fn connecting(peer: SocketAddr) -> io::Result<(TcpStream, Option<io::Error>)> {
    let family = match peer {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    let outcome = rustix::net::connect(&socket, &peer);
    let socket = TcpStream::from(socket);
    socket.set_nodelay(true)?;
    match outcome {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok((socket, None)),
        Err(error) => Ok((socket, Some(error.into()))),
    }
}
