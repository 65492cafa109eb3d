//! What every transport does, by UCX.

use super::connection::{Behind, Connection, Stage, Waiting};
use super::control::words_of;
use super::work::MESSAGE;
use super::{COPIED_BYTES, LAST_POLLS, LIMITS, POLLS_AFTER_WORD, UcxTransport};
use crate::capabilities::{Capabilities, Limits};
use crate::endpoint::{Address, Endpoint, TransportKind};
use crate::event::{EndReason, Event};
use crate::memory::{Access, Memory, MemoryRegion};
use crate::request::{Refusal, Refused, Token, WorkRequest};
use crate::transport::{ConnectError, RegisterError, Transport, Waker};
use std::io;
use std::sync::Arc;
use std::time::Duration;

impl Drop for UcxTransport {
    fn drop(&mut self) {
        if self.inner.is_some() {
            let all: Vec<Endpoint> = self.connections.names().map(|(name, _)| name).collect();
            all.iter().for_each(|endpoint| self.close(*endpoint));
            for _ in 0..LAST_POLLS {
                if self.connections.is_empty() {
                    break;
                }
                self.worker.progress();
                self.take_news();
            }
        }
        self.connections.take_all();
    }
}

impl Transport for UcxTransport {
    fn kind(&self) -> TransportKind {
        TransportKind::Ucx
    }

    fn capabilities(&self) -> Capabilities {
        let mut all = Capabilities::BETWEEN_PROCESSES
            | Capabilities::EVENTS
            | Capabilities::REGION_ERRORS_ARE_ALONE;
        all.set(Capabilities::BETWEEN_HOSTS, self.is_between_hosts);
        all
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    fn address(&self) -> Address {
        let inner = self.inner.as_ref().map(Transport::address);
        let bytes = inner.map(|address| address.bytes().clone());
        match Address::new(TransportKind::Ucx, bytes.unwrap_or_default()) {
            Ok(address) => address,
            Err(error) => unreachable!("as long as one of tcp: {error}"),
        }
    }

    fn connect(&mut self, to: &Address) -> Result<Endpoint, ConnectError> {
        let bytes = to.bytes_for(TransportKind::Ucx)?;
        let address = Address::new(TransportKind::Tcp, bytes.clone())?;
        let too_many = ConnectError::TooMany {
            max: LIMITS.max_endpoints,
        };
        let Some(inner) = &mut self.inner else {
            return Err(too_many);
        };
        let inner_endpoint = inner.connect(&address)?;
        let made = self
            .connections
            .insert(|_| Connection::new(inner_endpoint, true));
        let Some(endpoint) = made else {
            inner.close(inner_endpoint);
            return Err(too_many);
        };
        self.by_inner.insert(inner_endpoint, endpoint);
        self.looks = POLLS_AFTER_WORD;
        Ok(endpoint)
    }

    fn close(&mut self, endpoint: Endpoint) {
        let Some(connection) = self.connections.get_mut(endpoint) else {
            return;
        };
        match connection.stage {
            Stage::Open => {
                connection.stage = Stage::Closing;
                self.goes_on(endpoint);
            }
            Stage::Greeting => self.break_off(endpoint, EndReason::Closed),
            Stage::Closing | Stage::Ending(_) => {}
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
        self.revoke();
        let bytes = memory.len() as u64;
        let registered = self.exports.register(&mut self.worker, memory, access);
        registered.map_err(|status| RegisterError::Refused {
            bytes,
            source: io::Error::other(status.to_string()),
        })
    }

    fn post(
        &mut self,
        endpoint: Endpoint,
        request: WorkRequest,
        token: Option<Token>,
    ) -> Result<(), Refused> {
        let taken = match self.connections.get_mut(endpoint) {
            Some(connection) if connection.takes_requests() => {
                request.check(TransportKind::Ucx, &LIMITS).and_then(|()| {
                    let is_full = connection.under_way() >= LIMITS.max_under_way;
                    connection.is_awaited |= is_full;
                    match is_full {
                        true => Err(Refusal::Full { endpoint }),
                        false => Ok(connection),
                    }
                })
            }
            _ => Err(Refusal::NotConnected { endpoint }),
        };
        let connection = match taken {
            Ok(connection) => connection,
            Err(refusal) => return Err(Refused { refusal, request }),
        };
        match request {
            WorkRequest::Send(message)
                if message.len() <= COPIED_BYTES
                    && connection.stage == Stage::Open
                    && connection.waiting.is_empty() =>
            {
                self.send_copied(endpoint, MESSAGE, &message);
                if let Some(token) = token {
                    self.complete(endpoint, token, Ok(0));
                }
            }
            WorkRequest::Control(message) => {
                for word in words_of(&message) {
                    connection.said.push_back((word, None));
                }
                if let Some((_, last)) = connection.said.back_mut() {
                    *last = token;
                }
                self.say_more(endpoint);
            }
            WorkRequest::Flush => {
                let barrier = Waiting::Barrier(Behind::Flush(token));
                connection.waiting.push_back(barrier);
                self.begin_waiting(endpoint);
            }
            WorkRequest::Send(_)
                if connection.stage == Stage::Open && connection.waiting.is_empty() =>
            {
                self.begin(endpoint, request, token, None);
            }
            request => {
                let waiting = Waiting::Request(request, token);
                connection.waiting.push_back(waiting);
                self.begin_waiting(endpoint);
            }
        }
        Ok(())
    }

    fn fence(&mut self, endpoint: Endpoint) {
        if let Some(connection) = self.connections.get_mut(endpoint)
            && (!connection.is_idle() || connection.is_dirty)
            && !matches!(
                connection.waiting.back(),
                Some(Waiting::Barrier(Behind::Fence))
            )
        {
            let barrier = Waiting::Barrier(Behind::Fence);
            connection.waiting.push_back(barrier);
            self.begin_waiting(endpoint);
        }
    }

    fn cancel(&mut self, endpoint: Endpoint, token: Token) {
        self.cancel_waiting(endpoint, token);
    }

    #[inline]
    fn poll(&mut self) -> Option<Event> {
        match self.events.pop_front() {
            Some(event) => Some(event),
            None => self.progress(),
        }
    }

    fn advance(&mut self, now_ns: u64) {
        if let Some(inner) = &mut self.inner {
            inner.advance(now_ns);
        }
    }

    fn next_deadline_ns(&self) -> Option<u64> {
        self.inner.as_ref().and_then(Transport::next_deadline_ns)
    }

    fn wait(&mut self, limit: Option<Duration>) -> io::Result<()> {
        self.revoke();
        // What UCX has put off is not seen at its descriptor.
        while self.events.is_empty() && !self.worker.has_news() && self.worker.progress() {}
        if !self.events.is_empty() || self.worker.has_news() {
            return Ok(());
        }
        self.looks = self.looks.max(2);
        match (self.worker.arm(), &mut self.inner) {
            (Ok(true), Some(inner)) => inner.wait(limit),
            (Ok(_), _) => Ok(()),
            (Err(status), _) => Err(io::Error::other(status.to_string())),
        }
    }

    fn waker(&self) -> Waker {
        match &self.inner {
            Some(inner) => inner.waker(),
            None => Waker::new(|| {}),
        }
    }
}
