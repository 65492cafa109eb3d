//! The asking end of a call ring.
//!
//! Layout and rules: module doc of `call_slot`.
#![allow(
    unsafe_code,
    reason = "moves values through slots that two threads own in turn"
)]

use super::ring::{FREE, LedgerLine, Ring, Slot, State, entry};
use super::{ABANDONED, answered, asked, before_first};
use crate::channel::place::{Hold, corrupt};
use crate::channel::prefetch::prefetch_write;
use crate::channel::slots::{Slots, View};
use crate::channel::{Abandoned, Heap, Place, Probe, TryCallError};
#[cfg(not(loom))]
use crate::channel::{PeerFault, Shared};
use crate::sync::atomic::{AtomicU64, Ordering};

/// The asking end of a [`call_ring`](super::call_ring), or of one in control memory.
#[repr(align(64))]
pub struct Caller<Q, A, P: Place = Heap> {
    slots: View<Slot<Q, A>>,
    ledger: View<LedgerLine>,
    /// Number of the last question asked.
    last: u64,
    /// Questions asked and not settled.
    in_flight: u64,
    ring: P::Hold<Ring<Q, A>>,
    /// Keeps `ledger` (CS-9).
    _own: P::Own<Slots<LedgerLine>>,
}

// SAFETY: CS-1: the caller touches only slots it owns; values move between the threads.
unsafe impl<Q: Send, A: Send, P: Place> Send for Caller<Q, A, P> {}

impl<Q, A, P: Place> Caller<Q, A, P> {
    pub(super) fn new(
        ring: P::Hold<Ring<Q, A>>,
        slots: View<Slot<Q, A>>,
        ledger: View<LedgerLine>,
        own: P::Own<Slots<LedgerLine>>,
    ) -> Self {
        let last = before_first(slots.len());
        Self {
            slots,
            ledger,
            last,
            in_flight: 0,
            ring,
            _own: own,
        }
    }

    /// Asks `question`; the answer is taken under the number returned. Numbers grow, but not
    /// always by one (CS-8). Answers may be taken in any order, but a slot whose answer was not
    /// taken holds up the question `depth` later.
    ///
    /// # Errors
    ///
    /// [`TryCallError::Full`] or [`TryCallError::Closed`], with the question.
    #[inline]
    pub fn try_call(&mut self, question: Q) -> Result<u64, TryCallError<Q>> {
        if self.is_closed() {
            return Err(TryCallError::Closed(question));
        }
        let number = self.next_number();
        let entry = self.entry(number);
        if entry.load(Ordering::Relaxed) != FREE {
            return Err(TryCallError::Full(question));
        }
        entry.store(number, Ordering::Relaxed);
        self.last = number;
        self.in_flight += 1;
        let slot = self.slot(number);
        // SAFETY: CS-1, CS-4: never used, or settled and taken.
        unsafe { slot.put_question(question) };
        slot.stage.store(asked(number), Ordering::Release); // CS-2
        Ok(number)
    }

    /// Whether `try_call` would now answer [`TryCallError::Full`].
    #[inline]
    pub fn is_full(&self) -> bool {
        self.entry(self.next_number()).load(Ordering::Relaxed) != FREE
    }

    /// Whether question `number`, still in flight, was answered or abandoned: one load.
    #[inline]
    pub fn is_answered(&self, number: u64) -> bool {
        self.slot(number).stage.load(Ordering::Acquire) & !ABANDONED == answered(number) // CS-3
    }

    /// What changes when question `number`, still in flight, is answered or abandoned; `None` if it
    /// was.
    #[inline(always)]
    pub fn idle(&self, number: u64) -> Option<Probe> {
        let stage = &self.slot(number).stage;
        let seen = stage.load(Ordering::Acquire); // CS-3
        // PR-1: stages grow.
        (seen & !ABANDONED != answered(number)).then(|| Probe::new(stage, seen))
    }

    /// Fetches the line of question `number` for its answer, and for the question that is asked there
    /// after it (PR-2). Only a caller that expects the answer to be there gains by it.
    #[inline(always)]
    pub fn prepare(&self, number: u64) {
        prefetch_write(&raw const self.slot(number).stage);
    }

    /// Takes the answer to question `number`; `None` while there is none. A question that is
    /// abandoned, already taken or never asked has none; see [`try_settle`](Self::try_settle).
    #[inline]
    pub fn try_take(&mut self, number: u64) -> Option<A> {
        let entry = self.entry(number);
        if entry.load(Ordering::Relaxed) != number {
            return None;
        }
        let stage = self.slot(number).stage.load(Ordering::Acquire); // CS-3
        if stage != answered(number) {
            if P::IS_SHARED && stage != asked(number) && stage != answered(number) | ABANDONED {
                let (least, most) = (asked(number), answered(number));
                self.ring.condemn(corrupt("stage", stage, least, most)); // CS-10
            }
            return None;
        }
        entry.store(FREE, Ordering::Relaxed);
        self.in_flight -= 1;
        // SAFETY: CS-1, CS-4: answered, ours, and just marked as taken.
        let answer = unsafe { self.slot(number).take_answer() };
        P::copied();
        Some(answer)
    }

    /// Like [`try_take`](Self::try_take), but tells an abandoned question apart and frees its
    /// slot; `None` while neither happened.
    #[inline]
    pub fn try_settle(&mut self, number: u64) -> Option<Result<A, Abandoned>> {
        if let Some(answer) = self.try_take(number) {
            return Some(Ok(answer));
        }
        let entry = self.entry(number);
        let stage = self.slot(number).stage.load(Ordering::Acquire); // CS-3
        if stage != answered(number) | ABANDONED || entry.load(Ordering::Relaxed) != number {
            return None;
        }
        entry.store(FREE, Ordering::Relaxed);
        self.in_flight -= 1;
        Some(Err(Abandoned))
    }

    /// The number that the next question will have (CS-8).
    #[inline]
    pub fn next_number(&self) -> u64 {
        let step = if self.in_flight == 0 {
            self.slots.len()
        } else {
            1
        };
        self.last.wrapping_add(step)
    }

    /// Questions asked and not settled.
    #[inline]
    pub fn in_flight(&self) -> usize {
        self.in_flight as usize
    }

    /// Whether the callee is gone; what it answered before can still be taken.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.ring.callee_gone.load(Ordering::Acquire) != 0 || self.ring.fault().is_some() // CS-6
    }

    /// Slots of the ring.
    #[inline]
    pub fn depth(&self) -> usize {
        self.slots.len() as usize
    }

    /// What the ledger says of the slot that `number` falls into.
    #[inline(always)]
    fn entry(&self, number: u64) -> &AtomicU64 {
        // SAFETY: the ring, and with it the ledger, live as long as `self.ring`.
        unsafe { entry(self.ledger, number & (self.slots.len() - 1)) }
    }

    #[inline(always)]
    fn slot(&self, number: u64) -> &Slot<Q, A> {
        // SAFETY: the ring, and with it the slots, live as long as `self.ring`.
        unsafe { self.slots.at(number) }
    }
}

#[cfg(not(loom))]
impl<Q, A> Caller<Q, A, Shared> {
    /// The process of the callee is dead: what it had answered can still be taken, and nothing more
    /// will come.
    pub fn peer_died(&mut self) {
        self.ring.condemn(PeerFault::Died);
    }

    /// Why the ring is closed, if its callee was not dropped.
    #[must_use]
    pub fn fault(&self) -> Option<PeerFault> {
        self.ring.fault()
    }
}

impl<Q, A, P: Place> Drop for Caller<Q, A, P> {
    #[inline(always)]
    fn drop(&mut self) {
        if P::IS_SHARED {
            self.ring.caller_gone.store(1, Ordering::Release); // CS-6
        } else {
            drop_untaken(&self.ring, self.slots, self.ledger);
        }
    }
}

/// Closes the ring and drops the answers in it, so that resources they hold go now; what is
/// answered later falls under CS-7. By value, see `channel::held`.
#[cold]
fn drop_untaken<Q, A>(state: &State, slots: View<Slot<Q, A>>, ledger: View<LedgerLine>) {
    state.caller_gone.store(1, Ordering::Release); // CS-6
    for index in 0..slots.len() {
        // SAFETY: the caller's share keeps slots and ledger alive.
        let (slot, entry) = unsafe { (slots.at(index), entry(ledger, index)) };
        let number = entry.load(Ordering::Relaxed);
        if number != FREE && slot.stage.load(Ordering::Acquire) == answered(number) {
            // CS-3
            entry.store(FREE, Ordering::Relaxed);
            // SAFETY: CS-1, CS-4: answered, ours, and just marked as taken.
            drop(unsafe { slot.take_answer() });
        }
    }
}
