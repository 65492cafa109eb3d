//! Which transport a pair of ends uses: decided when they connect, from what both offer.
//!
//! | file | holds |
//! |---|---|
//! | `preference` | which transports may be taken, in which order: `MASER_TRANSPORT` |
//! | `host` | where an end is |
//! | `offer` | what an end tells those who want to connect to it |
//! | `selection` | the decision, and the reasons for it |
//! | `open` | which transports are opened: a line for each |
//!
//! [`Transports`] has an end of each transport, polls them, and joins ends that offer several. It is no
//! [`Transport`] itself, because two things belong to one transport and no other: memory that is
//! registered, and a connection that is there. So an endpoint is known when a join is over, and not before.
//!
//! - XT-1 an endpoint of the set is that of its transport, with the transport's place in the top bits of its
//!   index: nothing is looked up, nothing is allocated for it.
//! - XT-2 a transport that had an event, or was given a request, lately is polled every time, the others in
//!   every 32nd poll.
//!
//! ```
//! use maser_transport::select::{Preference, SelectOptions, Transports};
//! use maser_transport::sm::SmOptions;
//! use maser_transport::{Event, Message, TransportKind, WorkRequest};
//!
//! let options = SelectOptions {
//!     preference: Preference::forced("sm")?,
//!     sm: Some(SmOptions::default()),
//!     ..SelectOptions::default()
//! };
//! let (mut a, mut b) = (Transports::open(&options)?, Transports::open(&options)?);
//! a.join(&b.offer());
//! let joined = loop {
//!     (a.poll(), b.poll());
//!     if let Some(joined) = a.joined() {
//!         break joined;
//!     }
//! };
//! assert_eq!(joined.selection.chosen(), Some(TransportKind::Sm));
//! let to_b = joined.endpoint.expect("nothing is in the way");
//! a.post(to_b, WorkRequest::Send(Message::copied(b"hello")), None)?;
//! while !matches!(b.poll(), Some(Event::Message { message, .. }) if *message == *b"hello") {
//!     a.poll();
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod host;
mod offer;
mod open;
mod preference;
mod selection;

pub use host::Host;
pub use offer::{BadOffer, Offer, Way};
pub use open::{SelectError, SelectOptions};
pub use preference::{BadPreference, Preference, VARIABLE};
pub use selection::{Candidate, Opened, Selection, Verdict};

use crate::capabilities::{Capabilities, Limits};
use crate::endpoint::{Address, Endpoint, TransportKind};
use crate::event::{EndReason, Event};
use crate::memory::{Access, Memory, MemoryRegion};
use crate::request::{Refusal, Refused, Token, WorkRequest};
use crate::transport::{RegisterError, Transport, Waker};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Bits of an index that are the transport's own (XT-1): more than any has endpoints.
const INDEX_BITS: u32 = 29;
/// Polls for which an end counts as one that had something lately (XT-2).
const LIVELY_POLLS: u32 = 1024;
/// Polls for each of the ends that are quiet (XT-2).
const POLLS_PER_QUIET_POLL: u32 = 32;
/// How long a sleep at one of several ends is, at most.
const SLEEP_AT_SEVERAL: Duration = Duration::from_millis(1);

/// An end, and for how many polls more it counts as lively.
struct End {
    transport: Box<dyn Transport>,
    kind: TransportKind,
    lively: u32,
}

/// What a join is called here.
pub type JoinId = u64;

/// A join that is not over.
struct Joining {
    id: JoinId,
    addresses: Vec<Address>,
    selection: Selection,
    /// What is being connected.
    endpoint: Endpoint,
}

/// A join that is over.
#[derive(Debug)]
pub struct Joined {
    /// Which.
    pub id: JoinId,
    /// The endpoint, if there is one.
    pub endpoint: Option<Endpoint>,
    /// What was chosen, and why.
    pub selection: Selection,
}

/// An end of each transport. See the module's page.
pub struct Transports {
    ends: Vec<End>,
    opened: Vec<Opened>,
    host: Host,
    preference: Preference,
    joins: Vec<Joining>,
    joined: VecDeque<Joined>,
    last_join: JoinId,
    polls: u32,
    /// The end that is polled first.
    first: usize,
}

fn outer(place: usize, endpoint: Endpoint) -> Endpoint {
    let index = (place as u32) << INDEX_BITS | endpoint.index() as u32;
    Endpoint::new(index, endpoint.generation())
}

fn inner(endpoint: Endpoint) -> (usize, Endpoint) {
    let index = endpoint.index() as u32;
    let own = Endpoint::new(index & ((1 << INDEX_BITS) - 1), endpoint.generation());
    ((index >> INDEX_BITS) as usize, own)
}

/// The same event, of the set's endpoint (XT-1).
fn of_set(place: usize, mut event: Event) -> Event {
    let endpoint = match &mut event {
        Event::Accepted { endpoint }
        | Event::Connected { endpoint }
        | Event::Message { endpoint, .. }
        | Event::Control { endpoint, .. }
        | Event::Signal { endpoint, .. }
        | Event::Writable { endpoint }
        | Event::Ended { endpoint, .. } => endpoint,
        Event::Completed(completion) => &mut completion.endpoint,
    };
    *endpoint = outer(place, *endpoint);
    event
}

impl Transports {
    /// Opens what the options and the preference name.
    ///
    /// # Errors
    /// [`SelectError`]: a transport that was asked for by name is not there, or none is.
    pub fn open(options: &SelectOptions) -> Result<Self, SelectError> {
        let host = Host::own()?;
        let all = open::open_all(options)?;
        let end = |transport: Box<dyn Transport>| End {
            kind: transport.kind(),
            transport,
            lively: 0,
        };
        Ok(Self {
            ends: all.ends.into_iter().map(end).collect(),
            opened: all.opened,
            host,
            preference: options.preference.clone(),
            joins: Vec::new(),
            joined: VecDeque::new(),
            last_join: 0,
            polls: 0,
            first: 0,
        })
    }

    /// What became of each transport of the preference when it was opened.
    #[must_use]
    pub fn opened(&self) -> &[Opened] {
        &self.opened
    }

    /// What to tell those who are to connect to this end.
    #[must_use]
    pub fn offer(&self) -> Offer {
        let way = |end: &End| Way {
            address: end.transport.address(),
            capabilities: end.transport.capabilities(),
        };
        Offer {
            host: self.host,
            ways: self.ends.iter().map(way).collect(),
        }
    }

    /// What would be chosen, if nothing fails.
    #[must_use]
    pub fn decide(&self, offer: &Offer) -> Selection {
        Selection::decide(&self.opened, &self.host, offer, &self.preference)
    }

    /// Begins to connect to who made the offer; [`joined`](Self::joined) tells what came of it, after a
    /// poll, and [`Event::Connected`] comes as well if it is connected.
    pub fn join(&mut self, offer: &Offer) -> JoinId {
        self.last_join += 1;
        let joining = Joining {
            id: self.last_join,
            addresses: offer.ways.iter().map(|way| way.address.clone()).collect(),
            selection: self.decide(offer),
            endpoint: Endpoint::new(0, 0),
        };
        self.attempt(joining);
        self.last_join
    }

    /// The next join that is over.
    pub fn joined(&mut self) -> Option<Joined> {
        self.joined.pop_front()
    }

    /// Connects by the transport that is chosen, and by the next if it refuses.
    fn attempt(&mut self, mut joining: Joining) {
        while let Some(kind) = joining.selection.chosen() {
            let address = joining.addresses.iter().find(|one| one.kind() == kind);
            let place = self.ends.iter().position(|end| end.kind == kind);
            let (Some(address), Some(place)) = (address, place) else {
                unreachable!("only what both have is chosen");
            };
            let end = &mut self.ends[place];
            end.lively = LIVELY_POLLS;
            match end.transport.connect(address) {
                Ok(endpoint) => {
                    joining.endpoint = outer(place, endpoint);
                    return self.joins.push(joining);
                }
                Err(error) => joining.selection.failed(&error.to_string()),
            }
        }
        self.joined.push_back(Joined {
            id: joining.id,
            endpoint: None,
            selection: joining.selection,
        });
    }

    /// Takes note of what happened to a join; the event, if it is for others as well.
    #[cold]
    fn note(&mut self, event: Event) -> Option<Event> {
        let (endpoint, reason): (_, Option<&EndReason>) = match &event {
            Event::Connected { endpoint } => (*endpoint, None),
            Event::Ended { endpoint, reason } => (*endpoint, Some(reason)),
            _ => return Some(event),
        };
        let place = self.joins.iter().position(|one| one.endpoint == endpoint);
        let Some(place) = place else {
            return Some(event);
        };
        let mut joining = self.joins.swap_remove(place);
        if let Some(reason) = reason {
            joining.selection.failed(&reason.to_string());
            self.attempt(joining);
            return None;
        }
        self.joined.push_back(Joined {
            id: joining.id,
            endpoint: Some(endpoint),
            selection: joining.selection,
        });
        Some(event)
    }

    /// The transport of an endpoint.
    #[must_use]
    pub fn kind_of(&self, endpoint: Endpoint) -> Option<TransportKind> {
        let (place, _) = inner(endpoint);
        self.ends.get(place).map(|end| end.kind)
    }

    /// What a transport of the set can do, and how much of it.
    #[must_use]
    pub fn abilities(&self, kind: TransportKind) -> Option<(Capabilities, Limits)> {
        let end = self.ends.iter().find(|end| end.kind == kind)?;
        Some((end.transport.capabilities(), end.transport.limits()))
    }

    /// Registers memory with one transport; `None` if it is not open.
    pub fn register(
        &mut self,
        kind: TransportKind,
        memory: Arc<dyn Memory>,
        access: Access,
    ) -> Option<Result<MemoryRegion, RegisterError>> {
        let end = self.ends.iter_mut().find(|end| end.kind == kind)?;
        Some(end.transport.register(memory, access))
    }

    fn end_of(&mut self, endpoint: Endpoint) -> Option<(&mut End, Endpoint)> {
        let (place, own) = inner(endpoint);
        Some((self.ends.get_mut(place)?, own))
    }

    /// As [`Transport::post`].
    ///
    /// # Errors
    /// [`Refused`], with the request.
    #[expect(
        clippy::result_large_err,
        reason = "the request comes back with its memory"
    )]
    #[inline]
    pub fn post(
        &mut self,
        endpoint: Endpoint,
        request: WorkRequest,
        token: Option<Token>,
    ) -> Result<(), Refused> {
        let Some((end, own)) = self.end_of(endpoint) else {
            let refusal = Refusal::NotConnected { endpoint };
            return Err(Refused { refusal, request });
        };
        end.lively = LIVELY_POLLS;
        let posted = end.transport.post(own, request, token);
        posted.map_err(|refused| named(refused, endpoint))
    }

    /// As [`Transport::fence`].
    pub fn fence(&mut self, endpoint: Endpoint) {
        if let Some((end, own)) = self.end_of(endpoint) {
            end.transport.fence(own);
        }
    }

    /// As [`Transport::cancel`].
    pub fn cancel(&mut self, endpoint: Endpoint, token: Token) {
        if let Some((end, own)) = self.end_of(endpoint) {
            end.transport.cancel(own, token);
        }
    }

    /// As [`Transport::close`].
    pub fn close(&mut self, endpoint: Endpoint) {
        if let Some((end, own)) = self.end_of(endpoint) {
            end.lively = LIVELY_POLLS;
            end.transport.close(own);
        }
    }

    /// As [`Transport::poll`], of all of them (XT-2).
    #[inline]
    pub fn poll(&mut self) -> Option<Event> {
        self.polls = self.polls.wrapping_add(1);
        let is_turn_of_quiet = self.polls.is_multiple_of(POLLS_PER_QUIET_POLL);
        for step in 0..self.ends.len() {
            let place = match self.first + step {
                place if place < self.ends.len() => place,
                place => place - self.ends.len(),
            };
            let end = &mut self.ends[place];
            if end.lively == 0 && !is_turn_of_quiet {
                continue;
            }
            end.lively = end.lively.saturating_sub(1);
            let Some(event) = end.transport.poll() else {
                continue;
            };
            end.lively = LIVELY_POLLS;
            // The one behind it has its turn next, whatever this one still has.
            self.first = if place + 1 < self.ends.len() {
                place + 1
            } else {
                0
            };
            let event = of_set(place, event);
            if self.joins.is_empty() {
                return Some(event);
            }
            if let Some(event) = self.note(event) {
                return Some(event);
            }
        }
        None
    }

    /// As [`Transport::advance`].
    pub fn advance(&mut self, now_ns: u64) {
        let all = self.ends.iter_mut();
        all.for_each(|end| end.transport.advance(now_ns));
    }

    /// As [`Transport::next_deadline_ns`].
    #[must_use]
    pub fn next_deadline_ns(&self) -> Option<u64> {
        let all = self.ends.iter();
        all.filter_map(|end| end.transport.next_deadline_ns()).min()
    }

    /// As [`Transport::wait`]. With one transport that is its own sleep; with several it is short sleeps at
    /// the one that was polled first, between looks at the others.
    ///
    /// # Errors
    /// Of the operating system.
    pub fn wait(&mut self, limit: Option<Duration>) -> io::Result<()> {
        if !self.joined.is_empty() {
            return Ok(());
        }
        let count = self.ends.len();
        for end in &mut self.ends {
            end.lively = end.lively.max(1);
        }
        if count == 1 {
            return self.ends[0].transport.wait(limit);
        }
        let limit = limit.unwrap_or(SLEEP_AT_SEVERAL).min(SLEEP_AT_SEVERAL);
        for step in 1..count {
            let place = (self.first + step) % count;
            self.ends[place].transport.wait(Some(Duration::ZERO))?;
        }
        let first = self.first % count;
        self.ends[first].transport.wait(Some(limit))
    }

    /// As [`Transport::waker`].
    #[must_use]
    pub fn waker(&self) -> Waker {
        let wakers: Vec<_> = self.ends.iter().map(|end| end.transport.waker()).collect();
        Waker::new(move || wakers.iter().for_each(Waker::wake))
    }
}

/// The same refusal, of the set's endpoint.
#[cold]
fn named(mut refused: Refused, of_set: Endpoint) -> Refused {
    if let Refusal::Full { endpoint } | Refusal::NotConnected { endpoint } = &mut refused.refusal {
        *endpoint = of_set;
    }
    refused
}
