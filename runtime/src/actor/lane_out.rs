//! The caller's end of a lane: sends questions, takes answers.
//!
//! It belongs to the caller's scheduler. While that one is stuck in user code the node's rescuer
//! enters in its place (`executor/rescue.rs`).
//!
//! - LN-3 while the ring is full further calls wait in the overflow, in their order, and hold a
//!   handle of their actor there (AC-4). Whenever nobody is inside, the overflow is empty or more
//!   than [`REFILL_AT`] questions are in flight, whose answers bring somebody in.
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
use super::lane::{Answer, LaneIn, Question, fail_unserved, serve_cancelled, shut_down};
use crate::executor::letter;
use crate::executor::local::Local;
use crate::executor::shared::Shared;
use crate::executor::sources::{Probes, Source};
use crate::task::raw::Header;
use maser_shm::channel::Probe;
use maser_shm::channel::call_slot::{Callee, Caller, call_ring};
use maser_shm::sync::atomic::{AtomicU64, Ordering};
use maser_shm::sync::owner_lock::{OwnerGuard, OwnerLock, thread_number};
use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

/// Slots of a lane: deep enough to keep both sides busy, small enough for the first-level cache.
pub(super) const DEPTH: usize = 64;
/// Questions in flight at which those that wait for room are sent: many at a time.
const REFILL_AT: usize = DEPTH / 2;
/// Answers taken at once for a caller that is stuck: it may be about to enter itself.
const TAKE_OVER_BATCH: usize = 2 * DEPTH;
/// LN-5: nothing is in flight.
pub(crate) const NONE: u64 = u64::MAX;

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

/// The right to be inside (LN-4).
struct Inside<'a> {
    _lock: OwnerGuard<'a>,
    lane: &'a LaneOut,
}

/// A call that was answered.
pub(crate) struct Settled {
    cell: NonNull<Header>,
    answer: Answer,
}

// SAFETY: the right to complete the call, whose result may go to any thread.
unsafe impl Send for Settled {}

/// The caller's end as a source of its scheduler.
struct Near(Arc<LaneOut>);

impl Deref for Inside<'_> {
    type Target = End;

    #[inline(always)]
    fn deref(&self) -> &End {
        // SAFETY: LN-4, under the lock.
        unsafe { &*self.lane.end.get() }
    }
}

impl DerefMut for Inside<'_> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut End {
        // SAFETY: as above.
        unsafe { &mut *self.lane.end.get() }
    }
}

impl Inside<'_> {
    /// The oldest question was settled (LN-5). True if some that waited for room were sent (LN-3).
    #[inline(always)]
    fn has_settled(&mut self) -> bool {
        self.cells.pop_front();
        let is_due = !self.overflow.is_empty() && self.cells.len() <= REFILL_AT;
        let was_refilled = is_due && self.refill();
        self.note_oldest();
        was_refilled
    }

    /// LN-5.
    #[inline(always)]
    fn note_oldest(&self) {
        let oldest = self.cells.front().map_or(NONE, |(number, _)| *number);
        self.lane.oldest.store(oldest, Ordering::Relaxed);
    }
}

impl End {
    /// Sends what waited for room (LN-3); true if there was any.
    #[cold]
    fn refill(&mut self) -> bool {
        let mut any = false;
        while let Some(mut question) = self.overflow.pop_front() {
            let (cell, actor) = (question.cell, question.core());
            // SAFETY: a cell that is not DONE is alive.
            if unsafe { cell.as_ref() }.completion.is_cancel_requested() {
                question.serve = serve_cancelled;
            }
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
    /// A lane of the calling thread's scheduler to `callee`, which finds its end by a letter.
    pub(super) fn open(local: &Local, callee: &Arc<Shared>) -> Arc<Self> {
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
    }

    /// Enters as `thread` (LN-4).
    #[inline(always)]
    fn enter(&self, thread: u64) -> Inside<'_> {
        Inside {
            _lock: self.lock.lock(thread),
            lane: self,
        }
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

    // Question and answer are moved once, between the slot and where they are made or used: a copy
    // read right after it was written piecemeal costs more than the whole lock.
    #[inline(always)]
    pub(super) fn send(&self, local: &Local, question: Question) {
        let mut inside = self.enter(self.owner);
        if !inside.overflow.is_empty() {
            drop(inside);
            return self.keep(local, question);
        }
        let cell = question.cell;
        match inside.ring.try_call(question) {
            Ok(number) => {
                let is_first = inside.cells.is_empty();
                inside.cells.push_back((number, cell));
                if is_first {
                    self.oldest.store(number, Ordering::Relaxed);
                }
                drop(inside);
                self.callee.event.notify();
                if is_first {
                    local.node.rescue.call_is_in_flight();
                }
            }
            Err(full) => {
                drop(inside);
                self.keep(local, full.into_inner());
            }
        }
    }

    /// LN-3.
    #[cold]
    fn keep(&self, local: &Local, question: Question) {
        self.append(self.owner, question);
        local.node.rescue.call_is_in_flight();
        self.harvest();
    }

    fn append(&self, thread: u64, question: Question) {
        // SAFETY: AC-1, whoever sends a call has a handle.
        unsafe { question.core().as_ref() }.retain();
        let mut inside = self.enter(thread);
        inside.overflow.push_back(question);
        // There may be room: before a call is kept the ring was seen full, but another thread may
        // have taken all answers since.
        inside.refill();
        inside.note_oldest();
        drop(inside);
        self.callee.event.notify();
    }

    /// On behalf of a caller that is stuck: sends a call of it after those that it sent.
    pub(crate) fn send_for(&self, question: Question) {
        self.append(thread_number(), question);
    }

    /// Whether it leads from scheduler `caller` to scheduler `callee`.
    pub(crate) fn is_between(&self, caller: usize, callee: usize) -> bool {
        self.caller.index == caller && self.callee.index == callee
    }

    /// Completes the cells whose answers are there (LN-1: in order), and sends what waited for
    /// the room (LN-3). On the caller's scheduler.
    #[inline(always)]
    pub(super) fn harvest(&self) -> bool {
        self.harvest_as(self.owner)
    }

    #[inline(always)]
    fn harvest_as(&self, thread: u64) -> bool {
        let mut any = false;
        while self.oldest() != NONE {
            let mut inside = self.enter(thread);
            let Some((number, cell)) = inside.cells.front().copied() else {
                break;
            };
            let Some(settled) = inside.ring.try_settle(number) else {
                break;
            };
            let was_refilled = inside.has_settled();
            drop(inside);
            if was_refilled {
                self.callee.event.notify();
            }
            any = true;
            if let Ok(answer) = settled {
                // SAFETY: just settled.
                unsafe { complete(cell, answer) };
            }
        }
        any
    }

    /// On behalf of a caller that is stuck: takes the answers that are there, and tells what
    /// changes when the next one comes, unless there may be more. From any thread, which completes
    /// them.
    pub(crate) fn take_over(&self, into: &mut Vec<Settled>) -> Option<Probe> {
        let mut inside = self.enter(thread_number());
        let mut was_refilled = false;
        let probe = loop {
            let Some((number, cell)) = inside.cells.front().copied() else {
                break None;
            };
            if into.len() >= TAKE_OVER_BATCH {
                break None;
            }
            if let Some(probe) = inside.ring.idle(number) {
                break Some(probe);
            }
            if let Some(Ok(answer)) = inside.ring.try_settle(number) {
                into.push(Settled { cell, answer });
            }
            was_refilled |= inside.has_settled();
        };
        drop(inside);
        if was_refilled {
            self.callee.event.notify();
        }
        probe
    }

    /// Completes what [`take_over`](Self::take_over) took. What nobody waits for goes back to the
    /// caller: values may run user code when they are dropped, and it may take its time.
    pub(crate) fn complete_for(&self, settled: Settled) {
        // SAFETY: CP-2, a cell that was not completed is alive.
        if unsafe { settled.cell.as_ref() }.completion.is_unwanted() {
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
        let overflow = std::mem::take(&mut self.enter(thread).overflow);
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
    fn complete(self) {
        // SAFETY: made by `take_over` alone, and used up here.
        unsafe { complete(self.cell, self.answer) };
    }
}

/// Completes a call. No lane's lock is held (LN-4).
///
/// # Safety
/// The answer was settled as that to the question of `cell`.
#[inline(always)]
unsafe fn complete(cell: NonNull<Header>, answer: Answer) {
    // SAFETY: TC-1, the callee ran the call and left its outcome to whoever settles it: the answer
    // holds the outcome of this very cell's type.
    unsafe { (cell.as_ref().vtable().accept)(cell, answer) };
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
        let inside = lane.enter(lane.owner);
        let probe = match inside.cells.front() {
            Some((number, _)) => inside.ring.idle(*number),
            None => Some(Probe::new(&lane.oldest, NONE)),
        };
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
