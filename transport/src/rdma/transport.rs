//! What every transport does, by RDMA.

use super::RdmaTransport;
use super::connection::Stage;
use super::memory::Registered;
use crate::capabilities::{Capabilities, Limits};
use crate::endpoint::{Address, BadAddress, Endpoint, TransportKind};
use crate::event::{Completion, EndReason, Event};
use crate::memory::{Access, LocalSlice, Memory, MemoryRegion};
use crate::request::{PutSource, Refusal, Refused, Token, WorkError, WorkRequest};
use crate::transport::{ConnectError, RegisterError, Transport, Waker};
use maser_rdma_sys::IBV_ATOMIC_GLOB;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The same address, of another transport.
fn address_of(address: &Address, kind: TransportKind) -> Address {
    match Address::new(kind, address.bytes().clone()) {
        Ok(address) => address,
        Err(error) => unreachable!("as long as the other: {error}"),
    }
}

impl RdmaTransport {
    /// Whether a region here is one of the device that the queue pairs are of.
    fn is_foreign(&self, request: &WorkRequest) -> bool {
        let is_foreign = |slice: &LocalSlice| {
            let registered = slice.region().held::<Arc<Registered>>();
            !registered.is_some_and(|registered| registered.is_of(&self.domain))
        };
        match request {
            WorkRequest::Put {
                from: PutSource::Region(slice),
                ..
            }
            | WorkRequest::Get { to: slice, .. } => is_foreign(slice),
            _ => false,
        }
    }

    /// Whether a request is taken.
    fn may_take(&mut self, endpoint: Endpoint, request: &WorkRequest) -> Result<(), Refusal> {
        let connection = self.connections.get_mut(endpoint);
        let connection = connection
            .filter(|connection| connection.is_known && connection.stage != Stage::Closing)
            .ok_or(Refusal::NotConnected { endpoint })?;
        request.check(TransportKind::Rdma, &self.limits)?;
        if connection.under_way() >= self.limits.max_under_way {
            connection.is_awaited = true;
            return Err(Refusal::Full { endpoint });
        }
        Ok(())
    }

    #[expect(
        clippy::result_large_err,
        reason = "the request comes back with its memory"
    )]
    fn post_control(
        &mut self,
        endpoint: Endpoint,
        request: WorkRequest,
        token: Option<Token>,
    ) -> Result<(), Refused> {
        let WorkRequest::Control(message) = request else {
            unreachable!("a control message");
        };
        let connection = self.connections.get_mut(endpoint);
        if let Some(connection) = connection.filter(|found| found.stage != Stage::Open) {
            connection.early.push_back((message, token));
            return Ok(());
        }
        self.control(endpoint, message, token).map_err(|refused| {
            let refusal = match refused.refusal {
                Refusal::Full { .. } => Refusal::Full { endpoint },
                Refusal::NotConnected { .. } => Refusal::NotConnected { endpoint },
                other => other,
            };
            Refused { refusal, ..refused }
        })
    }
}

impl Transport for RdmaTransport {
    fn kind(&self) -> TransportKind {
        TransportKind::Rdma
    }

    fn capabilities(&self) -> Capabilities {
        let with_cpu = match self.domain.attributes.atomic_cap {
            IBV_ATOMIC_GLOB => Capabilities::ATOMIC_WITH_CPU,
            _ => Capabilities::empty(),
        };
        with_cpu
            | Capabilities::PUT
            | Capabilities::GET
            | Capabilities::ATOMIC
            | Capabilities::BETWEEN_HOSTS
            | Capabilities::BETWEEN_PROCESSES
            | Capabilities::EVENTS
            | Capabilities::ZERO_COPY
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn address(&self) -> Address {
        address_of(&self.tcp.address(), TransportKind::Rdma)
    }

    fn connect(&mut self, to: &Address) -> Result<Endpoint, ConnectError> {
        to.bytes_for(TransportKind::Rdma)?;
        let beside = self.tcp.connect(&address_of(to, TransportKind::Tcp));
        let beside = beside.map_err(|error| match error {
            ConnectError::Address(BadAddress::Unreadable { problem, .. }) => {
                let kind = TransportKind::Rdma;
                ConnectError::Address(BadAddress::Unreadable { kind, problem })
            }
            ConnectError::Refused { source, .. } => {
                let to = to.clone();
                ConnectError::Refused { to, source }
            }
            other => other,
        })?;
        let Some(endpoint) = self.begin(beside, Stage::Greeting) else {
            self.tcp.close(beside);
            let max = self.limits.max_endpoints;
            return Err(ConnectError::TooMany { max });
        };
        if let Some(connection) = self.connections.get_mut(endpoint) {
            connection.is_known = true;
        }
        Ok(endpoint)
    }

    fn close(&mut self, endpoint: Endpoint) {
        let Some(connection) = self.connections.get_mut(endpoint) else {
            return;
        };
        match connection.stage {
            Stage::Open => {
                connection.stage = Stage::Closing;
                self.pump(endpoint);
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
        let registered = Registered::new(&self.domain, &memory, access)?;
        Ok(registered.region(memory, access))
    }

    fn post(
        &mut self,
        endpoint: Endpoint,
        request: WorkRequest,
        token: Option<Token>,
    ) -> Result<(), Refused> {
        if let Err(refusal) = self.may_take(endpoint, &request) {
            return Err(Refused { refusal, request });
        }
        if matches!(request, WorkRequest::Control(_)) {
            return self.post_control(endpoint, request, token);
        }
        if self.is_foreign(&request) {
            let problem = "the region here is registered with another device";
            match token {
                Some(token) => self.events.push_back(Event::Completed(Completion {
                    endpoint,
                    token,
                    outcome: Err(WorkError::Region(problem.into())),
                })),
                None => self.end(endpoint, EndReason::Corrupt(problem.into())),
            }
            return Ok(());
        }
        if let Some(connection) = self.connections.get_mut(endpoint) {
            connection.take(request, token);
        }
        self.pump(endpoint);
        Ok(())
    }

    fn fence(&mut self, endpoint: Endpoint) {
        if let Some(connection) = self.connections.get_mut(endpoint) {
            connection.fence();
        }
    }

    fn cancel(&mut self, endpoint: Endpoint, token: Token) {
        if let Some(connection) = self.connections.get_mut(endpoint) {
            connection.cancel(token, &mut self.events);
            let beside = connection.beside;
            self.tcp.cancel(beside, token);
            self.served(endpoint);
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
        self.tcp.advance(now_ns);
        if now_ns < self.next_check_ns {
            return;
        }
        let limit = self.options.tcp.handshake_timeout;
        let between = u64::try_from(limit.as_nanos() / 6).unwrap_or(u64::MAX);
        self.next_check_ns = now_ns.saturating_add(between.max(1));
        let is_alive = self.domain.is_alive();
        let mut over = Vec::new();
        for connection in self.connections.iter_mut() {
            let silent = Duration::from_nanos(now_ns.saturating_sub(connection.began_ns));
            let reason = if !is_alive {
                EndReason::PeerGone("the device here failed".into())
            } else if connection.stage.is_greeting() && silent >= limit {
                let problem = format!("its queue pair was not connected for {silent:?}");
                EndReason::Unreachable(problem)
            } else {
                continue;
            };
            over.push((connection.endpoint, reason));
        }
        over.into_iter()
            .for_each(|(endpoint, reason)| self.end(endpoint, reason));
    }

    fn next_deadline_ns(&self) -> Option<u64> {
        let own = (self.waiting > 0).then_some(self.next_check_ns);
        own.into_iter().chain(self.tcp.next_deadline_ns()).min()
    }

    fn wait(&mut self, limit: Option<Duration>) -> io::Result<()> {
        if !self.events.is_empty() {
            return Ok(());
        }
        // IB-5
        self.queues.quiet();
        self.queues.arm()?;
        if self.look() > 0 {
            return Ok(());
        }
        self.is_due = true;
        self.tcp.wait(limit)
    }

    fn waker(&self) -> Waker {
        self.tcp.waker()
    }
}
