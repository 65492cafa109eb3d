//! Calls between two schedulers: question and answer are written in turn on one cache line.
//!
//! Each ordered pair of schedulers has one ring of call slots, made at its first call. A question
//! carries the function that serves it, the result's cell, the actor and up to 32 bytes of
//! arguments; an answer is up to 48 bytes of outcome. What does not fit lies in the cell.
//!
//! - LN-1 answers come in the order of the questions, except for those that are *deferred*
//!   (abandoned on the ring): the slot is free again and the callee completes the cell itself.
//!   A call is deferred when it cannot run at once, when its outcome does not fit, and when its
//!   method blocks (`Local::block` does it): so a full ring always drains.
//! - LN-2 the callee's end is used on the callee's scheduler alone. The caller's end is the file
//!   `lane_out`, with the rules LN-3 to LN-5.
#![allow(
    unsafe_code,
    reason = "type-erased questions and answers: the cell's vtable tells the types"
)]

use super::core::ActorCore;
use super::lane_out::DEPTH;
use crate::error::{Error, Fault};
use crate::executor::local::Local;
use crate::executor::shared::Shared;
use crate::executor::sources::{Probes, Source};
use crate::task::raw::Header;
use maser_shm::channel::call_slot::Callee;
use std::cell::{Cell, RefCell};
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;

/// Bytes of arguments in a question.
pub(crate) const ARG_WORDS: usize = 4;
/// Bytes of outcome in an answer.
pub(crate) const ANSWER_WORDS: usize = 7;
/// Questions served in a row before the loop looks elsewhere.
const SERVE_BATCH: usize = 32;

/// 56 bytes, so that it shares a line with the slot's stage.
#[repr(C)]
pub(crate) struct Question {
    /// Serves it on the callee's scheduler; gets the ticket to answer with.
    pub(crate) serve: unsafe fn(Question, &Ticket<'_>, &Local),
    pub(crate) cell: NonNull<Header>,
    pub(crate) actor: NonNull<ActorCore>,
    pub(crate) args: [MaybeUninit<u64>; ARG_WORDS],
}

// SAFETY: a question is the right to start the call (TC-1), made of `Send` arguments.
unsafe impl Send for Question {}

/// The bytes of an `Outcome<T>`.
#[repr(C)]
pub(crate) struct Answer(pub(crate) [MaybeUninit<u64>; ANSWER_WORDS]);

const _: () = assert!(size_of::<Question>() == 56 && size_of::<Answer>() == 56);

/// Whether a `T` travels inside `WORDS` words.
pub(crate) const fn fits<T>(words: usize) -> bool {
    size_of::<T>() <= words * 8 && align_of::<T>() <= 8
}

/// The callee's end.
pub(crate) struct LaneIn {
    ring: RefCell<Callee<Question, Answer>>,
    taken: Cell<u64>,
    caller: Arc<Shared>,
}

/// The right to answer one question; used up by `answer` or `defer`.
pub(crate) struct Ticket<'a> {
    lane: &'a LaneIn,
    number: u64,
    open: Cell<bool>,
}

pub(crate) fn shut_down() -> Error {
    Error::ShutDown {
        what: "an actor call".into(),
    }
}

/// Fails the questions that nobody will serve.
pub(super) fn fail_unserved(ring: &mut Callee<Question, Answer>) {
    while let Some((number, question)) = ring.try_next() {
        // SAFETY: TC-1, taken from the ring and not served.
        unsafe { question.fail(shut_down()) };
        ring.abandon(number);
    }
}

/// In `Question::actor`: the arguments are in the cell whatever their size. A block is aligned to
/// far more.
const IN_CELL: usize = 1;

impl Question {
    /// A question whose arguments lie in its cell whatever their size.
    pub(crate) fn from_cell(
        serve: unsafe fn(Question, &Ticket<'_>, &Local),
        cell: NonNull<Header>,
        actor: NonNull<ActorCore>,
    ) -> Self {
        Self {
            serve,
            cell,
            actor: actor.map_addr(|address| address | IN_CELL),
            args: [MaybeUninit::uninit(); ARG_WORDS],
        }
    }

    /// The actor.
    pub(crate) fn core(&self) -> NonNull<ActorCore> {
        let address = self.actor.as_ptr().map_addr(|address| address & !IN_CELL);
        NonNull::new(address).unwrap_or(self.actor)
    }

    /// Whether it was made by [`from_cell`](Self::from_cell).
    pub(crate) fn is_in_cell(&self) -> bool {
        self.actor.addr().get() & IN_CELL != 0
    }

    /// Its actor lived on a scheduler that this node does not have.
    #[cold]
    pub(crate) fn fail_for_want_of_a_home(self) {
        // SAFETY: AC-1, the caller's handle; TC-1, never sent.
        unsafe {
            let died = self.core().as_ref().death();
            self.fail(died.unwrap_or_else(shut_down));
        }
    }

    /// Drops the arguments and fails the call.
    ///
    /// # Safety
    /// TC-1: the question was not served.
    pub(crate) unsafe fn fail(self, error: Error) {
        let cell = self.cell;
        // SAFETY: the caller's promise; `refuse` knows where the arguments are.
        unsafe { (cell.as_ref().vtable().refuse)(self, Fault::new(error)) };
    }
}

/// Serves a question that was cancelled before it was sent (CL-3).
pub(super) unsafe fn serve_cancelled(question: Question, ticket: &Ticket<'_>, _: &Local) {
    // SAFETY: TC-1, the right came with the question; a cell that is not DONE is alive.
    unsafe {
        let what = question.cell.as_ref().meta().name.into();
        question.fail(Error::Cancelled { what });
    }
    ticket.defer();
}

impl LaneIn {
    pub(super) fn new(ring: Callee<Question, Answer>, caller: Arc<Shared>) -> Self {
        Self {
            ring: RefCell::new(ring),
            taken: Cell::new(0),
            caller,
        }
    }
}

// SAFETY: the ring is its own.
unsafe impl Source for LaneIn {
    #[inline(always)]
    fn idle(&self) -> Option<Probes> {
        self.ring.borrow().idle().map(Probes::either)
    }

    fn taken(&self) -> u64 {
        self.taken.get()
    }

    fn has_passed(&self, mark: u64) -> bool {
        self.taken.get() >= mark + DEPTH as u64 || self.idle().is_some()
    }

    fn is_lane(&self) -> bool {
        true
    }

    fn settle(&self) {
        fail_unserved(&mut self.ring.borrow_mut());
    }

    #[inline]
    fn serve(self: Rc<Self>, local: &Local) -> bool {
        let mut any = false;
        for _ in 0..SERVE_BATCH {
            let next = self.ring.borrow_mut().try_next();
            let Some((number, question)) = next else {
                break;
            };
            any = true;
            self.taken.set(self.taken.get() + 1);
            let ticket = Ticket {
                lane: &self,
                number,
                open: Cell::new(true),
            };
            // SAFETY: the question came from this ring and is served once.
            unsafe { (question.serve)(question, &ticket, local) };
        }
        any
    }
}

impl Ticket<'_> {
    /// Whether it can still be answered on the line.
    #[inline(always)]
    pub(crate) fn is_open(&self) -> bool {
        self.open.get()
    }

    /// Answers on the line.
    #[inline(always)]
    pub(crate) fn answer(&self, answer: Answer) {
        self.open.set(false);
        self.lane.ring.borrow_mut().answer(self.number, answer);
        self.lane.caller.event.notify();
    }

    /// Frees the slot; the cell is completed in another way (LN-1).
    #[inline]
    pub(crate) fn defer(&self) {
        if self.open.replace(false) {
            self.lane.ring.borrow_mut().abandon(self.number);
            self.lane.caller.event.notify();
        }
    }
}
