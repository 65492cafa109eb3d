//! Which transport a pair of ends uses: decided when they connect, from what both offer.
//!
//! | file | holds |
//! |---|---|
//! | `preference` | which transports may be taken, in which order: `MASER_TRANSPORT` |
//! | `host` | where an end is |
//! | `offer` | what an end tells those who want to connect to it |
//! | `joins` | connecting by what was chosen, and by the next if that fails |
//! | `selection` | the decision, and the reasons for it |
//! | `published` | what a set tells `maser status` |
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
mod joins;
mod offer;
mod open;
mod preference;
mod published;
mod selection;

pub use host::Host;
pub use joins::{JoinId, Joined};
pub use offer::{BadOffer, Offer, Way};
pub use open::{SelectError, SelectOptions};
pub use preference::{BadPreference, Preference, VARIABLE};
pub use published::{Process, processes};
pub use selection::{Candidate, Opened, Selection, Verdict};

use crate::capabilities::{Capabilities, Limits};
use crate::endpoint::{Endpoint, TransportKind};
use crate::event::Event;
use crate::memory::{Access, Memory, MemoryRegion};
use crate::request::{Refusal, Refused, Token, WorkRequest};
use crate::transport::{RegisterError, Transport, Waker};
use joins::Joining;
use published::{Connection, Published};
use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Bits of an index that are the transport's own (XT-1): more than any has endpoints.
const INDEX_BITS: u32 = 29;
/// Polls for which an end counts as one that had something lately (XT-2).
const LIVELY_POLLS: u32 = 1024;
/// Polls for each of the ends that are quiet (XT-2).
const POLLS_PER_QUIET_POLL: u32 = 32;
/// Polls for each look whether somebody asks.
const POLLS_PER_ANSWER: u32 = 4096;
/// How long a sleep at one of several ends is, at most.
const SLEEP_AT_SEVERAL: Duration = Duration::from_millis(1);

/// An end, and for how many polls more it counts as lively.
struct End {
    transport: Box<dyn Transport>,
    kind: TransportKind,
    lively: u32,
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
    published: Option<Published>,
    connections: Vec<Connection>,
    accepted: HashSet<Endpoint>,
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
            published: None,
            connections: Vec::new(),
            accepted: HashSet::new(),
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
        if self.polls.is_multiple_of(POLLS_PER_ANSWER) {
            self.answer();
        }
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
            let is_noted = matches!(
                event,
                Event::Accepted { .. } | Event::Connected { .. } | Event::Ended { .. }
            );
            if !is_noted {
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
        self.answer();
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
