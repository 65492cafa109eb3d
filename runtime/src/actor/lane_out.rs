//! The caller's end of a lane: sends questions, takes answers.
//!
//! It belongs to the caller's scheduler. While that one is stuck in user code the node's rescuer
//! enters in its place (`executor/rescue.rs`).
//!
//! - LN-3 while the ring is full further calls wait in the overflow, in their order, and hold a
//!   handle of their actor there (AC-4). Whenever nobody is inside, the overflow is empty or the
//!   ring is full.
//! - LN-4 ring, cells and overflow are reached under the lock alone. It is kept by the caller's
//!   scheduler, for which it costs a few plain loads and stores. Inside, nothing runs that could
//!   come back here: results are completed outside, one at a time on the scheduler, since what
//!   that sets off may wait for the next one.
//! - LN-5 `oldest` is the number of the oldest question in flight, [`NONE`] if there is none. It is
//!   written inside, and read by anybody as a hint.
#![allow(
    unsafe_code,
    reason = "type-erased questions and answers, and an end behind a lock"
)]

use super::core::ActorCore;
use super::lane::{Answer, LaneIn, Question, fail_unserved, shut_down};
use crate::executor::letter;
use crate::executor::local::Local;
use crate::executor::shared::Shared;
use crate::executor::sources::{Probes, Source};
use crate::task::raw::Header;
use maser_shm::channel::Probe;
use maser_shm::channel::call_slot::{Callee, Caller, call_ring};
use maser_shm::sync::atomic::{AtomicU64, Ordering};
use maser_shm::sync::owner_lock::{OwnerLock, thread_number};
use std::cell::{OnceCell, UnsafeCell};
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

/// Slots of a lane: deep enough to keep both sides busy, small enough for the first-level cache.
pub(super) const DEPTH: usize = 64;
/// LN-5: nothing is in flight.
pub(crate) const NONE: u64 = u64::MAX;

/// The caller's ends of one scheduler's lanes, by the callee's index.
pub(crate) struct LanesOut {
    lanes: Vec<OnceCell<Arc<LaneOut>>>,
}

/// See the module's page.
pub(crate) struct LaneOut {
    lock: OwnerLock,
    /// LN-4.
    end: UnsafeCell<End>,
    /// LN-5. Relaxed.
    oldest: AtomicU64,
    /// The number of the caller's thread.
    owner: u64,
    callee: Arc<Shared>,
    caller: Arc<Shared>,
    /// The other end, until the callee takes it.
    far: FarEnd,
}

type FarEnd = Arc<Mutex<Option<Callee<Question, Answer>>>>;

// SAFETY: LN-4; the cells are those of questions, which may travel.
unsafe impl Send for LaneOut {}
// SAFETY: as above.
unsafe impl Sync for LaneOut {}

struct End {
    ring: Caller<Question, Answer>,
    /// Numbers and cells of the questions in flight, oldest first.
    cells: VecDeque<(u64, NonNull<Header>)>,
    overflow: VecDeque<Question>,
}

/// A call that is over; without an answer the callee completes the cell itself (LN-1).
pub(crate) struct Settled {
    cell: NonNull<Header>,
    answer: Option<Answer>,
}

// SAFETY: the right to complete the call, whose result may go to any thread.
unsafe impl Send for Settled {}

/// The caller's end as a source of its scheduler.
struct Near(Arc<LaneOut>);

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
        lane.send(local, question);
    }

    #[cold]
    fn open(&self, local: &Local, index: usize) -> &Arc<LaneOut> {
        self.lanes[index].get_or_init(|| {
            let callee = local.node.schedulers()[index].clone();
            let (ring, far) = match call_ring(DEPTH) {
                Ok(ends) => ends,
                Err(error) => unreachable!("a constant depth is valid: {error}"),
            };
            let far: FarEnd = Arc::new(Mutex::new(Some(far)));
            let owner = thread_number();
            let lane = Arc::new(LaneOut {
                lock: OwnerLock::kept_by(owner),
                end: UnsafeCell::new(End {
                    ring,
                    cells: VecDeque::with_capacity(DEPTH),
                    overflow: VecDeque::new(),
                }),
                oldest: AtomicU64::new(NONE),
                owner,
                callee: callee.clone(),
                caller: local.shared.clone(),
                far: far.clone(),
            });
            local.sources.push(Rc::new(Near(lane.clone())));
            local.node.rescue.watch(&local.node, lane.clone());
            let caller = local.shared.clone();
            let install = letter::closure(move |there: &Local| {
                let far = far.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(far) = far {
                    there.sources.push(Rc::new(LaneIn::new(far, caller)));
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

    /// Whether any call is in flight.
    pub(crate) fn in_flight(&self) -> bool {
        let mut open = self.lanes.iter().filter_map(OnceCell::get);
        open.any(|lane| lane.oldest() != NONE)
    }
}

impl End {
    #[inline(always)]
    fn oldest(&self) -> u64 {
        self.cells.front().map_or(NONE, |(number, _)| *number)
    }

    /// The oldest question in flight, if it is over.
    #[inline(always)]
    fn settle(&mut self) -> Option<Settled> {
        let (number, cell) = self.cells.front().copied()?;
        let settled = self.ring.try_settle(number)?;
        self.cells.pop_front();
        let answer = settled.ok();
        Some(Settled { cell, answer })
    }

    /// Sends what waited for room (LN-3); true if there was any.
    #[cold]
    fn refill(&mut self) -> bool {
        let mut any = false;
        while let Some(question) = self.overflow.pop_front() {
            let (cell, actor) = (question.cell, question.core());
            match self.ring.try_call(question) {
                Ok(number) => {
                    self.cells.push_back((number, cell));
                    any = true;
                    // SAFETY: LN-3, the handle taken by `keep`; the question is visible now. The
                    // last one posts a letter and nothing more, which LN-4 allows.
                    unsafe { ActorCore::release(actor) };
                }
                Err(full) => {
                    self.overflow.push_front(full.into_inner());
                    break;
                }
            }
        }
        any
    }
}

impl LaneOut {
    /// Enters as `thread` (LN-4), with `oldest` right afterwards (LN-5).
    #[inline(always)]
    fn with<R>(&self, thread: u64, inside: impl FnOnce(&mut End) -> R) -> R {
        let _inside = self.lock.lock(thread);
        // SAFETY: LN-4, under the lock.
        let end = unsafe { &mut *self.end.get() };
        let result = inside(end);
        self.oldest.store(end.oldest(), Ordering::Relaxed);
        result
    }

    /// LN-5.
    #[inline(always)]
    pub(crate) fn oldest(&self) -> u64 {
        self.oldest.load(Ordering::Relaxed)
    }

    /// Whether the caller's scheduler sleeps: it looks here before it does, and is woken by
    /// answers.
    pub(crate) fn caller_is_parked(&self) -> bool {
        self.caller.event.is_parked()
    }

    #[inline(always)]
    fn send(&self, local: &Local, question: Question) {
        let cell = question.cell;
        let sent = self.with(self.owner, |end| {
            if !end.overflow.is_empty() {
                return Err(question);
            }
            match end.ring.try_call(question) {
                Ok(number) => {
                    let is_first = end.cells.is_empty();
                    end.cells.push_back((number, cell));
                    Ok(is_first)
                }
                Err(full) => Err(full.into_inner()),
            }
        });
        match sent {
            Ok(is_first) => {
                self.callee.event.notify();
                if is_first {
                    local.node.rescue.call_is_in_flight();
                }
            }
            Err(question) => self.keep(question),
        }
    }

    /// LN-3.
    #[cold]
    fn keep(&self, question: Question) {
        // SAFETY: AC-1, the caller that just made the call has a handle.
        unsafe { question.core().as_ref() }.retain();
        self.with(self.owner, |end| {
            end.overflow.push_back(question);
            end.refill();
        });
        self.callee.event.notify();
        self.harvest();
    }

    /// Completes the cells whose answers are there (LN-1: in order), and sends what waited for
    /// the room (LN-3). On the caller's scheduler.
    #[inline(always)]
    fn harvest(&self) -> bool {
        self.harvest_as(self.owner)
    }

    #[inline(always)]
    fn harvest_as(&self, thread: u64) -> bool {
        let mut any = false;
        while self.oldest() != NONE {
            let (settled, was_refilled) = self.with(thread, |end| {
                let settled = end.settle();
                let has_room = settled.is_some() && !end.overflow.is_empty();
                (settled, has_room && end.refill())
            });
            if was_refilled {
                self.callee.event.notify();
            }
            let Some(settled) = settled else {
                break;
            };
            any = true;
            settled.complete();
        }
        any
    }

    /// On behalf of a caller that is stuck: takes all answers that are there, and tells what
    /// changes when the next one comes. From any thread, which completes them.
    pub(crate) fn take_over(&self, into: &mut Vec<Settled>) -> Option<Probe> {
        let (probe, was_refilled) = self.with(thread_number(), |end| {
            into.extend(std::iter::from_fn(|| end.settle()));
            let was_refilled = !end.overflow.is_empty() && end.refill();
            let next = end.cells.front();
            let probe = next.and_then(|(number, _)| end.ring.idle(*number));
            (probe, was_refilled)
        });
        if was_refilled {
            self.callee.event.notify();
        }
        probe
    }

    /// Completes what [`take_over`](Self::take_over) took. What nobody waits for goes back to the
    /// caller: values may run user code when they are dropped, and it may take its time.
    pub(crate) fn complete_for(&self, settled: Settled) {
        // SAFETY: CP-2, a cell that was not completed is alive.
        if settled.answer.is_some() && unsafe { settled.cell.as_ref() }.completion.is_unwanted() {
            let unwanted = Unwanted(Some(settled));
            let back = letter::closure(move |_| drop(unwanted));
            // SAFETY: LT-1, a fresh letter.
            unsafe { self.caller.post(back) };
        } else {
            settled.complete();
        }
    }

    /// Fails what was never sent.
    fn fail_overflow(&self, thread: u64) {
        let overflow = self.with(thread, |end| std::mem::take(&mut end.overflow));
        for question in overflow {
            let actor = question.core();
            // SAFETY: TC-1, never sent; the handle taken by `keep`.
            unsafe {
                question.fail(shut_down());
                ActorCore::release(actor);
            }
        }
    }
}

impl Settled {
    /// Completes the call. No lane's lock is held (LN-4).
    #[inline(always)]
    fn complete(self) {
        if let Some(answer) = self.answer {
            // SAFETY: TC-1, the callee ran the call and left its outcome to whoever settled it,
            // which is done once: the answer holds the outcome of this very cell's type.
            unsafe { (self.cell.as_ref().vtable().accept)(self.cell, answer) };
        }
    }
}

/// Completed when it arrives, or where its way ends.
struct Unwanted(Option<Settled>);

impl Drop for Unwanted {
    fn drop(&mut self) {
        if let Some(settled) = self.0.take() {
            settled.complete();
        }
    }
}

// SAFETY: the ring and `oldest` are its own.
unsafe impl Source for Near {
    #[inline(always)]
    fn idle(&self) -> Option<Probes> {
        let lane = &*self.0;
        if lane.oldest() == NONE {
            return Some(Probes::one(Probe::new(&lane.oldest, NONE)));
        }
        let probe = lane.with(lane.owner, |end| match end.cells.front() {
            Some((number, _)) => end.ring.idle(*number),
            None => Some(Probe::new(&lane.oldest, NONE)),
        });
        probe.map(Probes::one)
    }

    fn serve(self: Rc<Self>, _: &Local) -> bool {
        self.0.harvest()
    }

    fn close(&self) {
        self.0.fail_overflow(self.0.owner);
    }

    fn is_lane(&self) -> bool {
        true
    }

    fn settle(&self) {
        let lane = &*self.0;
        let far = lane
            .far
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(mut far) = far {
            fail_unserved(&mut far);
        }
        // LN-3, LN-5: with nothing in flight the overflow is empty too.
        if lane.oldest() != NONE {
            // The caller's thread has ended, or is this one.
            lane.harvest_as(thread_number());
            lane.fail_overflow(thread_number());
        }
    }
}
