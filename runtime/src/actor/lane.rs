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
//! - LN-2 the caller's end is used on the caller's scheduler alone, the callee's end on the
//!   callee's.
//! - LN-3 while the ring is full further calls wait in the caller's overflow, in their order, and
//!   hold a handle of their actor there (AC-4).
#![allow(
    unsafe_code,
    reason = "type-erased questions and answers: the cell's vtable tells the types"
)]

use super::core::ActorCore;
use crate::error::{Error, Fault};
use crate::executor::letter;
use crate::executor::local::Local;
use crate::executor::shared::Shared;
use crate::executor::sources::{Probes, Source};
use crate::task::raw::Header;
use maser_shm::channel::Probe;
use maser_shm::channel::call_slot::{Callee, Caller, call_ring};
use maser_shm::sync::atomic::{AtomicU64, Ordering};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

/// Slots of a lane: deep enough to keep both sides busy, small enough for the first-level cache.
const DEPTH: usize = 64;
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

/// The caller's ends of one scheduler's lanes, by the callee's index.
pub(crate) struct LanesOut {
    lanes: Vec<OnceCell<Rc<LaneOut>>>,
}

/// The caller's end.
pub(crate) struct LaneOut {
    ring: RefCell<Caller<Question, Answer>>,
    /// Numbers and cells of the questions in flight, oldest first.
    cells: RefCell<VecDeque<(u64, NonNull<Header>)>>,
    /// Changes when the first question is in flight.
    bursts: AtomicU64,
    overflow: RefCell<VecDeque<Question>>,
    callee: Arc<Shared>,
    /// The other end, until the callee takes it.
    far: FarEnd,
}

type FarEnd = Arc<Mutex<Option<Callee<Question, Answer>>>>;

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

impl LanesOut {
    pub(crate) fn new(schedulers: usize) -> Self {
        Self {
            lanes: (0..schedulers).map(|_| OnceCell::new()).collect(),
        }
    }

    /// Sends a question to scheduler `index`.
    #[inline(always)]
    pub(crate) fn send(&self, local: &Local, index: usize, question: Question) {
        let lane = match self.lanes.get(index).map(OnceCell::get) {
            Some(Some(lane)) => lane,
            Some(None) => self.open(local, index),
            None => return question.fail_for_want_of_a_home(),
        };
        lane.send(question);
    }

    #[cold]
    fn open(&self, local: &Local, index: usize) -> &Rc<LaneOut> {
        self.lanes[index].get_or_init(|| {
            let callee = local.node.schedulers()[index].clone();
            let (ring, far) = match call_ring(DEPTH) {
                Ok(ends) => ends,
                Err(error) => unreachable!("a constant depth is valid: {error}"),
            };
            let far: FarEnd = Arc::new(Mutex::new(Some(far)));
            let lane = Rc::new(LaneOut {
                ring: RefCell::new(ring),
                cells: RefCell::new(VecDeque::with_capacity(DEPTH)),
                bursts: AtomicU64::new(0),
                overflow: RefCell::default(),
                callee: callee.clone(),
                far: far.clone(),
            });
            local.sources.push(lane.clone());
            let caller = local.shared.clone();
            let install = letter::closure(move |there: &Local| {
                let far = far.lock().unwrap_or_else(PoisonError::into_inner).take();
                let lane = far.map(|far| LaneIn {
                    ring: RefCell::new(far),
                    taken: Cell::new(0),
                    caller,
                });
                if let Some(lane) = lane {
                    there.sources.push(Rc::new(lane));
                }
            });
            // SAFETY: LT-1, a fresh letter.
            unsafe { callee.post(install) };
            lane
        })
    }

    /// Takes the answers that are there from the lane to `index`.
    #[inline(always)]
    pub(crate) fn harvest(&self, index: usize) {
        if let Some(lane) = self.lanes.get(index).and_then(OnceCell::get) {
            lane.harvest();
        }
    }
}

impl LaneOut {
    #[inline(always)]
    fn send(&self, question: Question) {
        if !self.overflow.borrow().is_empty() {
            return self.keep(question);
        }
        let cell = question.cell;
        let sent = self.ring.borrow_mut().try_call(question);
        match sent {
            Ok(number) => {
                self.was_sent(number, cell);
            }
            Err(full) => self.keep(full.into_inner()),
        }
    }

    /// LN-3.
    #[cold]
    fn keep(&self, question: Question) {
        // SAFETY: AC-1, the caller that just made the call has a handle.
        unsafe { question.core().as_ref() }.retain();
        self.overflow.borrow_mut().push_back(question);
        self.take_answers();
        self.flush();
    }

    #[cold]
    fn flush(&self) {
        loop {
            let Some(question) = self.overflow.borrow_mut().pop_front() else {
                return;
            };
            let (cell, actor) = (question.cell, question.core());
            let sent = self.ring.borrow_mut().try_call(question);
            match sent {
                Ok(number) => {
                    self.was_sent(number, cell);
                    // SAFETY: LN-3, the handle taken by `keep`; the question is visible now.
                    unsafe { ActorCore::release(actor) };
                }
                Err(full) => {
                    self.overflow.borrow_mut().push_front(full.into_inner());
                    return;
                }
            }
        }
    }

    #[inline(always)]
    fn was_sent(&self, number: u64, cell: NonNull<Header>) {
        let mut cells = self.cells.borrow_mut();
        if cells.is_empty() {
            let bursts = self.bursts.load(Ordering::Relaxed) + 1;
            self.bursts.store(bursts, Ordering::Relaxed);
        }
        cells.push_back((number, cell));
        self.callee.event.notify();
    }

    /// Completes the cells whose answers are there (LN-1: in order), and sends what waited for
    /// the room (LN-3).
    #[inline(always)]
    fn harvest(&self) -> bool {
        let any = self.take_answers();
        if any && !self.overflow.borrow().is_empty() {
            self.flush();
        }
        any
    }

    #[inline(always)]
    fn take_answers(&self) -> bool {
        let mut any = false;
        loop {
            let Some((number, cell)) = self.cells.borrow().front().copied() else {
                return any;
            };
            let Some(settled) = self.ring.borrow_mut().try_settle(number) else {
                return any;
            };
            self.cells.borrow_mut().pop_front();
            any = true;
            if let Ok(answer) = settled {
                // SAFETY: TC-1, the callee ran the call and left its outcome to us: the answer
                // holds the outcome of this very cell's type.
                unsafe { (cell.as_ref().vtable().accept)(cell, answer) };
            }
        }
    }
}

// SAFETY: the ring and `bursts` are its own.
unsafe impl Source for LaneOut {
    #[inline(always)]
    fn idle(&self) -> Option<Probes> {
        let oldest = self.cells.borrow().front().copied();
        match oldest {
            Some((number, _)) => self.ring.borrow().idle(number).map(Probes::one),
            None => {
                let bursts = self.bursts.load(Ordering::Relaxed);
                Some(Probes::one(Probe::new(&self.bursts, bursts)))
            }
        }
    }

    fn serve(self: Rc<Self>, _: &Local) -> bool {
        self.harvest()
    }

    fn close(&self) {
        for question in self.overflow.take() {
            let actor = question.core();
            // SAFETY: TC-1, never sent; the handle taken by `keep`.
            unsafe {
                question.fail(shut_down());
                ActorCore::release(actor);
            }
        }
    }

    fn is_lane(&self) -> bool {
        true
    }

    fn settle(&self) {
        let far = self
            .far
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(mut far) = far {
            fail_unserved(&mut far);
        }
        self.harvest();
        self.close();
    }
}

fn shut_down() -> Error {
    Error::ShutDown {
        what: "an actor call".into(),
    }
}

/// Fails the questions that nobody will serve.
fn fail_unserved(ring: &mut Callee<Question, Answer>) {
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
    fn fail_for_want_of_a_home(self) {
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
