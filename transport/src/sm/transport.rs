//! What every transport does, by shared memory.

use super::connection::{Connection, Stage};
use super::lane::Lane;
use super::{LIMITS, MAX_DISARMED, NS_PER_LOOK, SmTransport, socket};
use crate::capabilities::{Capabilities, Limits};
use crate::endpoint::{Address, Endpoint, TransportKind};
use crate::event::{Completion, EndReason, Event};
use crate::memory::{Access, Memory, MemoryRegion};
use crate::request::{Refusal, Refused, Token, WorkRequest};
use crate::transport::{ConnectError, RegisterError, Transport, Waker};
use maser_shm::sync::atomic::{Ordering, fence};
use std::io;
use std::sync::Arc;
use std::time::Duration;

impl Drop for SmTransport {
    fn drop(&mut self) {
        for mut connection in self.connections.take_all() {
            // Who has no room for it sees that the end is gone.
            let _pumped = connection.pump(&mut self.events);
            if connection.outgoing.is_empty() {
                connection.say_close();
            }
            fence(Ordering::SeqCst); // XW-1
            connection.wake_peer();
        }
    }
}

impl SmTransport {
    fn limit_ns(limit: Duration) -> u64 {
        u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX)
    }

    #[cold]
    fn completed(&mut self, endpoint: Endpoint, token: Token) {
        self.events.push_back(Event::Completed(Completion {
            endpoint,
            token,
            outcome: Ok(0),
        }));
    }

    #[inline(never)]
    #[expect(
        clippy::result_large_err,
        reason = "the request comes back with its memory"
    )]
    fn post_slowly(
        &mut self,
        endpoint: Endpoint,
        request: WorkRequest,
        token: Option<Token>,
    ) -> Result<(), Refused> {
        let connection = self.connections.get_mut(endpoint);
        let Some(connection) = connection.filter(|one| one.stage != Stage::Closing) else {
            let refusal = Refusal::NotConnected { endpoint };
            return Err(Refused { refusal, request });
        };
        if let WorkRequest::Send(message) = &request {
            match connection.send_short(message) {
                Ok(false) => {}
                Ok(true) => {
                    Self::tell(&mut self.told, connection);
                    if let Some(token) = token {
                        self.completed(endpoint, token);
                    }
                    return Ok(());
                }
                Err(reason) => {
                    connection.outgoing.request(request, token);
                    self.end(endpoint, reason);
                    return Ok(());
                }
            }
        }
        let refusal = match request.check(TransportKind::Sm, &LIMITS) {
            Err(refusal) => Some(refusal),
            Ok(()) if connection.is_full() => Some(Refusal::Full { endpoint }),
            Ok(()) => None,
        };
        if let Some(refusal) = refusal {
            if matches!(refusal, Refusal::Full { .. }) {
                connection.is_awaited = true;
                Self::keep_busy(&mut self.busy, connection);
            }
            return Err(Refused { refusal, request });
        }
        connection.outgoing.request(request, token);
        if let Err(reason) = connection.pump(&mut self.events) {
            self.end(endpoint, reason);
            return Ok(());
        }
        Self::tell(&mut self.told, connection);
        if connection.wants_room() {
            Self::keep_busy(&mut self.busy, connection);
        }
        Ok(())
    }

    /// Whether something is there that a thread must not sleep over, after it has announced that it will.
    fn has_work(&mut self) -> bool {
        for connection in self.connections.iter_mut() {
            connection.arm();
            if connection.has_given_room(1) {
                Self::tell(&mut self.told, connection);
            }
        }
        fence(Ordering::SeqCst); // XW-1
        self.wake_peers();
        let has_come = self.connections.iter_mut().any(Connection::has_work);
        has_come || self.work() || !self.events.is_empty()
    }
}

impl Transport for SmTransport {
    fn kind(&self) -> TransportKind {
        TransportKind::Sm
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::BETWEEN_PROCESSES
            | Capabilities::ATOMIC_WITH_CPU
            | Capabilities::EVENTS
            | Capabilities::INTEGRITY
            | Capabilities::REGION_ERRORS_ARE_ALONE
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    fn address(&self) -> Address {
        self.listener.address()
    }

    fn connect(&mut self, to: &Address) -> Result<Endpoint, ConnectError> {
        let name = socket::name_of(to)?;
        let failed = |source| ConnectError::Refused {
            to: to.clone(),
            source,
        };
        let area_bytes = self.options.area_bytes;
        let lane = Lane::memory(area_bytes)
            .and_then(|memory| Lane::open(&memory, area_bytes, true))
            .map_err(|error| failed(io::Error::other(error)))?;
        let stage = Stage::Dialing(name.into());
        let connection = |endpoint| Connection::new(endpoint, stage, lane, None);
        let endpoint = self
            .connections
            .insert(connection)
            .ok_or(ConnectError::TooMany {
                max: LIMITS.max_endpoints,
            })?;
        self.greeting.push(endpoint);
        if let Err(reason) = self.call(endpoint, name) {
            self.end(endpoint, reason);
        }
        Ok(endpoint)
    }

    fn close(&mut self, endpoint: Endpoint) {
        let Some(connection) = self.connections.get_mut(endpoint) else {
            return;
        };
        if let Stage::Dialing(_) = connection.stage {
            // Nothing of it has left.
            return self.end(endpoint, EndReason::Closed);
        }
        connection.stage = Stage::Closing;
        Self::keep_busy(&mut self.busy, connection);
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

    #[inline]
    fn post(
        &mut self,
        endpoint: Endpoint,
        request: WorkRequest,
        token: Option<Token>,
    ) -> Result<(), Refused> {
        if let WorkRequest::Send(message) = &request
            && let Some(connection) = self.connections.get_mut(endpoint)
            && connection.send_inline(message, false)
        {
            Self::tell(&mut self.told, connection);
            if let Some(token) = token {
                self.completed(endpoint, token);
            }
            return Ok(());
        }
        self.post_slowly(endpoint, request, token)
    }

    fn fence(&mut self, endpoint: Endpoint) {
        if let Some(connection) = self.connections.get_mut(endpoint) {
            connection.outgoing.fence();
        }
    }

    fn cancel(&mut self, endpoint: Endpoint, token: Token) {
        if let Some(connection) = self.connections.get_mut(endpoint) {
            connection
                .outgoing
                .cancel(endpoint, token, &mut self.events);
        }
    }

    #[inline]
    fn poll(&mut self) -> Option<Event> {
        self.wake_peers();
        if !self.events.is_empty() {
            return self.events.pop_front();
        }
        match self.poll_hot() {
            Some(event) => Some(event),
            None => self.sweep(),
        }
    }

    fn advance(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
        self.is_look_due |= now_ns.saturating_sub(self.looked_ns) >= NS_PER_LOOK;
        if !self.strangers.is_empty() {
            self.turn_silent_away(Self::limit_ns(self.options.handshake_timeout));
        }
    }

    fn next_deadline_ns(&self) -> Option<u64> {
        let limit_ns = Self::limit_ns(self.options.handshake_timeout);
        let since_ns = self.strangers.since_ns()?;
        Some(since_ns.saturating_add(limit_ns))
    }

    fn wait(&mut self, limit: Option<Duration>) -> io::Result<()> {
        self.wake_peers();
        if !self.events.is_empty() {
            return Ok(());
        }
        let is_dialing = self.greeting.iter().any(|endpoint| {
            let connection = self.connections.get(*endpoint);
            connection.is_some_and(|one| matches!(one.stage, Stage::Dialing(_)))
        });
        let outcome = match self.has_work() {
            true => Ok(()),
            // Nobody tells when a call would be taken.
            false if is_dialing => self.look(Some(limit.unwrap_or(REDIAL).min(REDIAL))),
            false => self.look(limit),
        };
        if self.connections.places() <= MAX_DISARMED {
            self.connections.iter_mut().for_each(Connection::disarm);
        }
        outcome
    }

    fn waker(&self) -> Waker {
        Waker::new(self.poller.waker())
    }
}

/// How long it takes to call again where as many wait as may.
const REDIAL: Duration = Duration::from_millis(1);
