//! What every transport does, by TCP.

use super::connection::Stage;
use super::options::integrity_of;
use super::outgoing::{Leaving, Payload};
use super::{LIMITS, MAX_WAITING_BYTES, PING_GROUPS, TcpTransport};
use crate::capabilities::{Capabilities, Limits};
use crate::endpoint::{Address, BadAddress, Endpoint, TransportKind};
use crate::event::{EndReason, Event};
use crate::memory::{Access, Memory, MemoryRegion};
use crate::request::{Refusal, Refused, Token, WorkRequest};
use crate::transport::{ConnectError, RegisterError, Transport, Waker};
use crate::wire::handshake::Initiator;
use crate::wire::{FrameHeader, FrameKind, Integrity};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

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
        // Within one host, where nothing of it is there by default, nobody is on the way.
        let sealed = match self.options.integrity {
            Some(Integrity::None) => Capabilities::empty(),
            None | Some(Integrity::Mac | Integrity::Aead) => Capabilities::INTEGRITY,
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
        let integrity = integrity_of(self.options.integrity, &socket, Some(peer));

        let (initiator, hello) = Initiator::new(self.options.identity, integrity, secret);
        let stage = Stage::Connecting(Box::new((initiator, hello)));
        let endpoint = self.begin(socket, stage).ok_or(ConnectError::TooMany {
            max: LIMITS.max_endpoints,
        })?;
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
        if let WorkRequest::Send(message) = &request
            && let Some(connection) = self.connections.get_mut(endpoint)
            && connection.send_at_once(message, token, &mut self.piece, &mut self.events)
        {
            if !connection.is_quiet() {
                self.send(endpoint);
            }
            return Ok(());
        }
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
        let between =
            Self::limit_ns(peer.min(greet) / 6).min(Self::limit_ns(peer / 3) / PING_GROUPS);
        let between = between.max(1);
        self.next_check_ns = now_ns.saturating_add(between);
        self.lingering.retain(|(_, until_ns)| now_ns < *until_ns);
        let mut over = Vec::new();
        let mut pinged = Vec::new();
        for connection in self.connections.iter_mut() {
            connection.rest();
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
        if !self.events.is_empty() || !self.ready.is_empty() || !self.held.is_empty() {
            return Ok(());
        }
        if !self.watch_hot()? {
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
fn connecting(peer: SocketAddr) -> io::Result<(OwnedFd, Option<io::Error>)> {
    let family = match peer {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    let outcome = rustix::net::connect(&socket, &peer);
    TcpTransport::tune(&socket, Some(peer));
    match outcome {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok((socket, None)),
        Err(error) => Ok((socket, Some(error.into()))),
    }
}
