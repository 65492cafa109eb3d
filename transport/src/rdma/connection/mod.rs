//! One connection: its queue pair, what waits to be posted, and what is posted.
//!
//! Messages are SENDs into receives that the peer has posted, in parts of a slot each, with a word that says
//! what they are: a receive is used up by everything that tells a peer something, a write with a word as well,
//! so a ring of the peer's that is written would need both. Puts, gets and atomics are the device's own.
//!
//! ```text
//! Greeting -> Answered -> Open -> Closing     who connected: hello, and the hello that comes back
//! Awaited  -> Offered  -> Open -> Closing     who accepted: hello, and READY or the first thing sent
//! ```
//!
//! - RQ-4 requests are posted in their order, and each is told, or one behind it: completions of a queue pair
//!   come in the order of requests, so one stands for all before it.
//! - RQ-5 a message or signal leaves only with a credit: a receive that the peer has posted for it. It gets
//!   them back with words of the peer's, or with nothing else when half of them are owed. Four receives are
//!   posted beyond the credits: two for words with credits alone (there cannot be more: each brings half of
//!   them, and who has not read them has none to use up), one for the last word, and one to spare.
//! - RQ-6 what is completed goes back at once: slots, memory that a request kept, and its place among those
//!   under way.

mod incoming;
mod outgoing;

use super::hello::Hello;
use super::pair::{Pair, RECEIVES, SENDS};
use super::queue::Queue;
use super::slots::{SLOT_BYTES, Slot, Slots};
use crate::endpoint::Endpoint;
use crate::event::{Completion, EndReason, Event};
use crate::memory::LocalSlice;
use crate::message::Message;
use crate::request::{Token, WorkError, WorkRequest};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

/// Receives that are posted for messages and signals (RQ-5).
pub(super) const CREDITS: u8 = 16;
/// Requests that may be posted without one that is told.
const UNTOLD: usize = SENDS / 4;
/// Places for words with credits, and for the last one.
const RESERVED: usize = 4;

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The connection beside it is being made.
    Greeting,
    /// The hello left, the peer's is awaited.
    Answered,
    /// Somebody connected; its hello is awaited.
    Awaited,
    /// This end is set up; the peer says when it is.
    Offered,
    Open,
    /// Closed here; what is under way goes on.
    Closing,
}

/// A request that was not posted to its end.
struct Pending {
    request: WorkRequest,
    token: Option<Token>,
    /// Bytes of it that are posted.
    posted: usize,
    is_fenced: bool,
}

/// What is done when a posted request is completed.
#[derive(Default)]
struct Posted {
    slot: Option<Slot>,
    _kept: Option<LocalSlice>,
    finish: Finish,
}

#[derive(Default)]
enum Finish {
    /// Nothing is told.
    #[default]
    Part,
    /// A request is done.
    Request(Option<Token>),
    /// The same; a slot has what a word was.
    Word(Option<Token>),
    /// The last word is there.
    Close,
}

/// See the module's page.
pub(super) struct Connection {
    pub(super) endpoint: Endpoint,
    /// The connection beside it.
    pub(super) beside: Endpoint,
    pub(super) stage: Stage,
    pub(super) began_ns: u64,
    pub(super) pair: Option<Pair>,
    /// What completions name it by.
    id: u64,
    pub(super) first_packet: u32,
    /// Slots of the receives.
    receives: Vec<Slot>,
    pending: VecDeque<Pending>,
    posted: VecDeque<Posted>,
    /// How many were completed: the number of the first of those.
    completed: u32,
    untold: usize,
    under_way: usize,
    /// Receives of the peer that are free.
    credits: u16,
    max_credits: u16,
    /// Receives that are posted again and not told.
    owed: u8,
    peer_slot_bytes: usize,
    partial: Vec<u8>,
    max_message_bytes: usize,
    is_fenced: bool,
    has_said_close: bool,
    /// Receives came back that nobody used.
    has_stopped: bool,
    /// The peer said its last word; the connection beside ends next.
    pub(super) is_closed_by_peer: bool,
    /// It waits for something to happen beside.
    pub(super) is_waiting: bool,
    /// Control messages that wait until it is open.
    pub(super) early: VecDeque<(Message, Option<Token>)>,
    /// Control messages with tokens, under way beside it.
    pub(super) controls: Vec<Token>,
    /// Somebody was refused.
    pub(super) is_awaited: bool,
    /// Somebody was told of it, and is told of its end.
    pub(super) is_known: bool,
}

/// What serving a connection tells and needs.
pub(super) struct Context<'a> {
    pub(super) events: &'a mut VecDeque<Event>,
    pub(super) slots: &'a mut Slots,
    pub(super) max_request_bytes: usize,
}

fn stopped(error: &io::Error) -> EndReason {
    EndReason::PeerGone(format!("its queue pair takes nothing more: {error}"))
}

fn corrupt(problem: &str) -> EndReason {
    EndReason::Corrupt(problem.into())
}

impl Finish {
    /// Of a part of a request.
    fn of(is_last: bool, token: Option<Token>) -> Self {
        match is_last {
            true => Self::Request(token),
            false => Self::Part,
        }
    }
}

impl Stage {
    /// Whether the connection beside it has to be listened to.
    pub(super) fn is_greeting(self) -> bool {
        !matches!(self, Self::Open | Self::Closing)
    }
}

impl Connection {
    pub(super) fn new(
        endpoint: Endpoint,
        beside: Endpoint,
        stage: Stage,
        id: u64,
        max_message_bytes: usize,
    ) -> Self {
        Self {
            endpoint,
            beside,
            stage,
            began_ns: 0,
            pair: None,
            id,
            first_packet: 0,
            receives: Vec::new(),
            pending: VecDeque::new(),
            posted: VecDeque::new(),
            completed: 0,
            untold: 0,
            under_way: 0,
            credits: 0,
            max_credits: 0,
            owed: 0,
            peer_slot_bytes: SLOT_BYTES,
            partial: Vec::new(),
            max_message_bytes,
            is_fenced: false,
            has_said_close: false,
            has_stopped: false,
            is_closed_by_peer: false,
            is_waiting: true,
            early: VecDeque::new(),
            controls: Vec::new(),
            is_awaited: false,
            is_known: false,
        }
    }

    /// Takes its queue pair, and posts the receives.
    pub(super) fn set_up(&mut self, pair: Pair, slots: &mut Slots) -> io::Result<()> {
        let pair = self.pair.insert(pair);
        for at in 0..RECEIVES {
            let slot = slots.take()?;
            self.receives.push(slot);
            let id = self.id | super::RECEIVE | at as u64;
            // SAFETY: RQ-1, the slot is given back when the queue pair is gone.
            unsafe { pair.receive(id, slots.part(slot, SLOT_BYTES)) }?;
        }
        Ok(())
    }

    /// What the peer can take.
    pub(super) fn learn(&mut self, peer: &Hello) {
        self.credits = peer.credits;
        self.max_credits = peer.credits;
        self.peer_slot_bytes = peer.slot_bytes as usize;
    }

    /// Destroys its queue pair, then gives its slots back (RQ-1). The queue that has room again.
    pub(super) fn tear_down(&mut self, slots: &mut Slots) -> Option<Arc<Queue>> {
        let queue = self.pair.take().map(|pair| pair.queue().clone());
        let posted = self
            .posted
            .iter_mut()
            .filter_map(|posted| posted.slot.take());
        posted
            .chain(self.receives.drain(..))
            .for_each(|slot| slots.give(slot));
        queue
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way + self.early.len()
    }

    /// What is posted later begins after reads and atomics that were posted before.
    pub(super) fn fence(&mut self) {
        self.is_fenced = true;
    }

    /// Takes a request that was checked; [`pump`](Self::pump) posts it.
    pub(super) fn take(&mut self, request: WorkRequest, token: Option<Token>) {
        self.under_way += 1;
        self.pending.push_back(Pending {
            request,
            token,
            posted: 0,
            is_fenced: std::mem::take(&mut self.is_fenced),
        });
    }

    fn done(&self, token: Token, outcome: Result<u64, WorkError>) -> Event {
        Event::Completed(Completion {
            endpoint: self.endpoint,
            token,
            outcome,
        })
    }

    /// Takes back what has this token and was not begun.
    pub(super) fn cancel(&mut self, token: Token, events: &mut VecDeque<Event>) {
        let before = self.pending.len();
        self.pending
            .retain(|pending| pending.token != Some(token) || pending.posted > 0);
        let cancelled = before - self.pending.len();
        self.under_way -= cancelled;
        let outcome = || Err(WorkError::Cancelled);
        events.extend((0..cancelled).map(|_| self.done(token, outcome())));
    }

    /// A control message left.
    pub(super) fn control_left(&mut self, token: Token) {
        if let Some(at) = self.controls.iter().position(|found| *found == token) {
            self.controls.swap_remove(at);
        }
    }

    /// Completes everything: the connection is over.
    pub(super) fn fail_all(&mut self, reason: &EndReason, events: &mut VecDeque<Event>) {
        let posted = self
            .posted
            .drain(..)
            .filter_map(|posted| match posted.finish {
                Finish::Request(token) | Finish::Word(token) => token,
                Finish::Part | Finish::Close => None,
            });
        let pending = self.pending.drain(..).filter_map(|pending| pending.token);
        let early = self.early.drain(..).filter_map(|(_, token)| token);
        let controls = self.controls.drain(..);
        let tokens: Vec<Token> = posted.chain(pending).chain(early).chain(controls).collect();
        for token in tokens {
            let outcome = Err(WorkError::Ended(reason.clone()));
            events.push_back(self.done(token, outcome));
        }
        self.under_way = 0;
    }
}
