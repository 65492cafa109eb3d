//! The reference: ends in one process, over queues in memory.
//!
//! Simple before fast: it says what the other transports have to do, and stands for them in tests of
//! what is built on transports. One-sided work is done by whoever posts it.
//!
//! ```
//! use maser_transport::loopback::{LoopbackTransport, Network};
//! use maser_transport::{Event, Message, Transport, WorkRequest};
//!
//! let network = Network::new();
//! let (mut a, mut b) = (LoopbackTransport::open(&network), LoopbackTransport::open(&network));
//! let to_b = a.connect(&b.address())?;
//! a.post(to_b, WorkRequest::Send(Message::copied(b"hello")), None)?;
//! assert!(matches!(b.poll(), Some(Event::Accepted { .. })));
//! let Some(Event::Message { message, .. }) = b.poll() else { panic!() };
//! assert_eq!(&*message, b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod network;

pub use network::Network;

use crate::capabilities::{Capabilities, Limits};
use crate::endpoint::{Address, BadAddress, Endpoint, TransportKind};
use crate::event::{Completion, EndReason, Event};
use crate::memory::{Access, Memory, MemoryRegion, RemoteSlice};
use crate::regions::Regions;
use crate::request::{PutSource, Refusal, Refused, Token, WorkError, WorkRequest};
use crate::table::Endpoints;
use crate::transport::{ConnectError, RegisterError, Transport, Waker};
use bytes::Bytes;
use maser_shm::sync::atomic::Ordering;
use network::{End, Half, Inbound, Sleeper};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

const LIMITS: Limits = Limits {
    max_message_bytes: 1 << 30,
    max_region_bytes: 1 << 40,
    max_under_way: 64,
    max_endpoints: 1 << 16,
};

/// One side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Side {
    connection: u64,
    half: usize,
}

impl Side {
    fn other(self) -> Self {
        Self {
            half: 1 - self.half,
            ..self
        }
    }
}

/// See the module's page.
pub struct LoopbackTransport {
    network: Network,
    id: u64,
    sleeper: Arc<Sleeper>,
    endpoints: Endpoints<Side>,
    /// What happened here and was not told yet.
    events: VecDeque<Event>,
}

impl LoopbackTransport {
    /// One more end of `network`.
    #[must_use]
    pub fn open(network: &Network) -> Self {
        let sleeper = Arc::<Sleeper>::default();
        let mut state = network.lock();
        let id = state.next_id();
        let end = End {
            ready: VecDeque::new(),
            sleeper: sleeper.clone(),
        };
        state.ends.insert(id, end);
        drop(state);
        Self {
            network: network.clone(),
            id,
            sleeper,
            endpoints: Endpoints::new(LIMITS.max_endpoints),
            events: VecDeque::new(),
        }
    }

    /// Ends it as the death of its process would.
    pub fn crash(mut self) {
        self.leave(&EndReason::PeerGone("its end crashed".into()));
    }

    /// Every peer hears why.
    fn leave(&mut self, reason: &EndReason) {
        let mut lost = Vec::new();
        let mut state = self.network.lock();
        let Some(end) = state.ends.remove(&self.id) else {
            return;
        };
        // In `ready` are those as well that were not accepted.
        for side in self.endpoints.take_all().into_iter().chain(end.ready) {
            state.push(side.other(), Inbound::End(reason.clone()));
            lost.push(state.leave(side));
        }
        drop(state);
        drop(lost);
    }

    fn tell(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// The memory of a region, if the peer lets us.
    fn there(&self, slice: &RemoteSlice, wanted: Access) -> Result<Arc<dyn Memory>, WorkError> {
        let found = self
            .network
            .regions
            .find(Regions::number(slice.region()), wanted);
        found.map_err(WorkError::Region)
    }

    /// Does what is asked for; what a completion says.
    fn serve(&self, side: Side, request: WorkRequest) -> Result<u64, WorkError> {
        let push = |inbound| self.network.lock().push(side.other(), inbound);
        match request {
            WorkRequest::Send(message) => push(Inbound::Message(message)),
            WorkRequest::Control(message) => push(Inbound::Control(message)),
            WorkRequest::Put { from, to, signal } => {
                let memory = self.there(&to, Access::WRITE)?;
                let offset = to.offset() as usize;
                match &from {
                    PutSource::Bytes(bytes) => memory.write(offset, bytes),
                    PutSource::Region(from) => {
                        let source = from.region().memory();
                        memory.copy_from(offset, &**source, from.offset(), from.len())
                    }
                }
                .map_err(|error| WorkError::Region(error.to_string()))?;
                signal
                    .into_iter()
                    .for_each(|signal| push(Inbound::Signal(signal)));
            }
            WorkRequest::Get { from, to } => {
                let memory = self.there(&from, Access::READ)?;
                let here = to.region().memory();
                here.copy_from(to.offset(), &*memory, from.offset() as usize, to.len())
                    .map_err(|error| WorkError::Region(error.to_string()))?;
            }
            WorkRequest::FetchAdd { at, add } => {
                let memory = self.there(&at, Access::ATOMIC)?;
                let word = memory.word(at.offset() as usize);
                let word = word.map_err(|error| WorkError::Region(error.to_string()))?;
                return Ok(word.fetch_add(add, Ordering::AcqRel));
            }
            WorkRequest::Flush => {}
        }
        Ok(0)
    }

    /// Whether `side` may send one more message; if not, it hears when it may.
    fn has_room(&self, side: Side) -> bool {
        let mut state = self.network.lock();
        let Some(halves) = state.connections.get_mut(&side.connection) else {
            return true;
        };
        let half = &mut halves[side.other().half];
        half.is_awaited |= half.messages >= LIMITS.max_under_way;
        half.messages < LIMITS.max_under_way
    }

    /// The next thing that is on its way to here.
    fn take(&mut self) -> Option<(Side, Option<Endpoint>, Inbound)> {
        let mut state = self.network.lock();
        loop {
            let side = state.ends.get_mut(&self.id)?.ready.pop_front()?;
            let Some(halves) = state.connections.get_mut(&side.connection) else {
                continue;
            };
            let half = &mut halves[side.half];
            // Left meanwhile.
            let Some(inbound) = half.inbound.pop_front() else {
                continue;
            };
            let endpoint = half.endpoint;
            half.messages -= usize::from(inbound.is_message());
            let has_room = half.is_awaited && half.messages <= LIMITS.max_under_way / 2;
            half.is_awaited &= !has_room;
            let has_more = !half.inbound.is_empty();
            if has_more && let Some(end) = state.ends.get_mut(&self.id) {
                end.ready.push_back(side);
            }
            if has_room {
                state.push(side.other(), Inbound::Writable);
            }
            return Some((side, endpoint, inbound));
        }
    }

    /// A peer connected.
    fn accept(&mut self, side: Side) -> Option<Event> {
        let Some(endpoint) = self.endpoints.insert(|_| side) else {
            let reason = EndReason::Unreachable(format!(
                "the peer has {} endpoints open, its limit",
                LIMITS.max_endpoints
            ));
            let mut state = self.network.lock();
            state.push(side.other(), Inbound::End(reason));
            let lost = state.leave(side);
            drop(state);
            drop(lost);
            return None;
        };
        let mut state = self.network.lock();
        if let Some(halves) = state.connections.get_mut(&side.connection) {
            halves[side.half].endpoint = Some(endpoint);
        }
        state.push(side.other(), Inbound::Connected);
        Some(Event::Accepted { endpoint })
    }

    /// Forgets a connection.
    fn forget(&mut self, endpoint: Endpoint, say: Option<EndReason>) {
        let Some(side) = self.endpoints.remove(endpoint) else {
            return;
        };
        let mut state = self.network.lock();
        if let Some(reason) = say {
            state.push(side.other(), Inbound::End(reason));
        }
        let lost = state.leave(side);
        drop(state);
        drop(lost);
    }
}

impl Drop for LoopbackTransport {
    fn drop(&mut self) {
        self.leave(&EndReason::ClosedByPeer);
    }
}

impl Transport for LoopbackTransport {
    fn kind(&self) -> TransportKind {
        TransportKind::Loopback
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::PUT
            | Capabilities::GET
            | Capabilities::ATOMIC
            | Capabilities::ATOMIC_WITH_CPU
            | Capabilities::EVENTS
            | Capabilities::REGION_ERRORS_ARE_ALONE
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    fn address(&self) -> Address {
        let id = Bytes::copy_from_slice(&self.id.to_le_bytes());
        match Address::new(TransportKind::Loopback, id) {
            Ok(address) => address,
            Err(error) => unreachable!("8 bytes: {error}"),
        }
    }

    fn connect(&mut self, to: &Address) -> Result<Endpoint, ConnectError> {
        let bytes = to.bytes_for(TransportKind::Loopback)?;
        let id = <[u8; 8]>::try_from(&**bytes).map_err(|_| BadAddress::Unreadable {
            kind: TransportKind::Loopback,
            problem: format!("{} bytes; it has 8", bytes.len()),
        })?;
        let peer = u64::from_le_bytes(id);
        let mut state = self.network.lock();
        let side = Side {
            connection: state.next_id(),
            half: 0,
        };
        let endpoint = self
            .endpoints
            .insert(|_| side)
            .ok_or(ConnectError::TooMany {
                max: LIMITS.max_endpoints,
            })?;
        if !state.ends.contains_key(&peer) {
            drop(state);
            self.endpoints.remove(endpoint);
            let reason = EndReason::Unreachable("there is no such end, or no more".into());
            self.tell(Event::Ended { endpoint, reason });
            return Ok(endpoint);
        }
        let halves = [Half::new(self.id, Some(endpoint)), Half::new(peer, None)];
        state.connections.insert(side.connection, halves);
        state.push(side.other(), Inbound::Connect);
        Ok(endpoint)
    }

    fn close(&mut self, endpoint: Endpoint) {
        if self.endpoints.get(endpoint).is_none() {
            return;
        }
        self.forget(endpoint, Some(EndReason::ClosedByPeer));
        let reason = EndReason::Closed;
        self.tell(Event::Ended { endpoint, reason });
    }

    fn register(
        &mut self,
        memory: Arc<dyn Memory>,
        access: Access,
    ) -> Result<MemoryRegion, RegisterError> {
        if access.intersects(Access::WRITE | Access::ATOMIC) && !memory.is_writable() {
            return Err(RegisterError::ReadOnly { access });
        }
        Ok(self.network.regions.register(self.kind(), memory, access))
    }

    fn post(
        &mut self,
        endpoint: Endpoint,
        request: WorkRequest,
        token: Option<Token>,
    ) -> Result<(), Refused> {
        let refusal = match self.endpoints.get(endpoint).copied() {
            None => Err(Refusal::NotConnected { endpoint }),
            Some(side) => match request.check(self.kind(), &LIMITS) {
                Err(refusal) => Err(refusal),
                Ok(()) if !self.has_room(side) => Err(Refusal::Full { endpoint }),
                Ok(()) => Ok(side),
            },
        };
        let side = match refusal {
            Ok(side) => side,
            Err(refusal) => return Err(Refused { refusal, request }),
        };
        let outcome = self.serve(side, request);
        match (token, outcome) {
            (Some(token), outcome) => self.tell(Event::Completed(Completion {
                endpoint,
                token,
                outcome,
            })),
            (None, Err(error)) => {
                let reason = EndReason::Corrupt(error.to_string());
                self.forget(endpoint, Some(reason.clone()));
                self.tell(Event::Ended { endpoint, reason });
            }
            (None, Ok(_)) => {}
        }
        Ok(())
    }

    /// Everything takes effect when it is posted.
    fn fence(&mut self, _: Endpoint) {}

    /// Nothing is ever about to leave.
    fn cancel(&mut self, _: Endpoint, _: Token) {}

    fn poll(&mut self) -> Option<Event> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        loop {
            let (side, endpoint, inbound) = self.take()?;
            let Some(endpoint) = endpoint else {
                match inbound {
                    Inbound::Connect => match self.accept(side) {
                        Some(event) => return Some(event),
                        None => continue,
                    },
                    // It gave up before it was accepted.
                    _ => continue,
                }
            };
            return Some(match inbound {
                Inbound::Connect => continue,
                Inbound::Connected => Event::Connected { endpoint },
                Inbound::Message(message) => Event::Message { endpoint, message },
                Inbound::Control(message) => Event::Control { endpoint, message },
                Inbound::Signal(signal) => Event::Signal { endpoint, signal },
                Inbound::Writable => Event::Writable { endpoint },
                Inbound::End(reason) => {
                    self.forget(endpoint, None);
                    Event::Ended { endpoint, reason }
                }
            });
        }
    }

    fn advance(&mut self, _: u64) {}

    fn next_deadline_ns(&self) -> Option<u64> {
        None
    }

    fn wait(&mut self, limit: Option<Duration>) -> io::Result<()> {
        let has_more = {
            let state = self.network.lock();
            state
                .ends
                .get(&self.id)
                .is_some_and(|end| !end.ready.is_empty())
        };
        if self.events.is_empty() && !has_more {
            self.sleeper.sleep(limit);
        }
        Ok(())
    }

    fn waker(&self) -> Waker {
        let sleeper = self.sleeper.clone();
        Waker::new(move || sleeper.wake())
    }
}
