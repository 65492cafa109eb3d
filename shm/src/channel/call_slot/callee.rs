//! The answering end of a call ring.
//!
//! Layout and rules: module doc of `call_slot`.
#![allow(
    unsafe_code,
    reason = "moves values through slots that two threads own in turn"
)]

use super::ring::{FREE, LedgerLine, Ring, Slot, State, entry};
use super::{ABANDONED, answered, asked, before_first, is_after};
use crate::channel::place::{Hold, corrupt};
use crate::channel::prefetch::prefetch_write;
use crate::channel::slots::{Slots, View};
use crate::channel::{Heap, Place, Probe};
#[cfg(not(loom))]
use crate::channel::{PeerFault, Shared};
use crate::sync::atomic::{AtomicU64, Ordering};

/// The answering end of a [`call_ring`](super::call_ring), or of one in control memory.
#[repr(align(64))]
pub struct Callee<Q, A, P: Place = Heap> {
    slots: View<Slot<Q, A>>,
    /// Number of the last question taken.
    last: u64,
    ring: P::Hold<Ring<Q, A>>,
    /// The questions that were taken and not settled (CS-9).
    open: P::Own<Slots<LedgerLine>>,
}

// SAFETY: CS-1: the callee touches only slots it owns; values move between the threads.
unsafe impl<Q: Send, A: Send, P: Place> Send for Callee<Q, A, P> {}

impl<Q, A, P: Place> Callee<Q, A, P> {
    pub(super) fn new(
        ring: P::Hold<Ring<Q, A>>,
        slots: View<Slot<Q, A>>,
        open: P::Own<Slots<LedgerLine>>,
    ) -> Self {
        Self {
            slots,
            last: before_first(slots.len()),
            ring,
            open,
        }
    }

    /// Whether a question is there: one load in each of the two slots it may come in (CS-8).
    #[inline]
    pub fn is_ready(&self) -> bool {
        let (slots, last) = (self.slots, self.last);
        (holds(slots, after(last)) || holds(slots, reused(slots, last))) && !self.ring.is_corrupt()
    }

    /// What changes when the next question arrives; `None` if it is there.
    #[inline(always)]
    pub fn idle(&self) -> Option<[Probe; 2]> {
        let mut is_here = false;
        // PR-1: the next question falls into one of these slots (CS-8), and stages grow.
        let probes = [after(self.last), reused(self.slots, self.last)].map(|number| {
            let stage = &self.slot(number).stage;
            let seen = stage.load(Ordering::Acquire); // CS-2
            is_here |= seen == asked(number);
            Probe::new(stage, seen)
        });
        (!is_here).then_some(probes)
    }

    /// Takes the next question, in the order they were asked. Earlier ones need not be answered.
    #[inline]
    pub fn try_next(&mut self) -> Option<(u64, Q)> {
        let number = next_asked(self.slots, self.last)?;
        if P::IS_SHARED && !self.note_open(number) {
            return None;
        }
        self.last = number;
        // SAFETY: CS-1, CS-2, CS-5: the question is here, ours, and `last` has just reached it.
        let question = unsafe { self.slot(number).take_question() };
        P::copied();
        Some((number, question))
    }

    /// Fetches the line of the question after the last one taken, which is answered there (PR-2). Only a
    /// callee that expects it to be there gains by it.
    #[inline(always)]
    pub fn prepare_next(&self) {
        prefetch_write(&raw const self.slot(after(self.last)).stage);
    }

    /// Answers question `number`, taken by [`try_next`](Self::try_next).
    ///
    /// # Panics
    ///
    /// If `number` was not taken, or was answered or abandoned already.
    #[inline]
    pub fn answer(&mut self, number: u64, answer: A) {
        let slot = self.open(number);
        self.note_settled(number);
        // SAFETY: CS-1, CS-5: `open` saw that the question was moved out and not yet answered.
        unsafe { slot.put_answer(answer) };
        slot.stage.store(answered(number), Ordering::Release); // CS-3
    }

    /// Gives question `number` up: the caller learns that no answer will come.
    ///
    /// # Panics
    ///
    /// As [`answer`](Self::answer).
    #[inline]
    pub fn abandon(&mut self, number: u64) {
        let slot = self.open(number);
        self.note_settled(number);
        slot.stage
            .store(answered(number) | ABANDONED, Ordering::Release); // CS-3
    }

    /// Takes the next question and answers it with `f`; whether there was one. If `f` panics the
    /// question is abandoned.
    #[inline]
    pub fn try_serve(&mut self, f: impl FnOnce(Q) -> A) -> bool {
        struct AbandonOnUnwind<'a>(&'a AtomicU64, u64);
        impl Drop for AbandonOnUnwind<'_> {
            fn drop(&mut self) {
                self.0
                    .store(answered(self.1) | ABANDONED, Ordering::Release); // CS-3
            }
        }
        let Some((number, question)) = self.try_next() else {
            return false;
        };
        let slot = self.slot(number);
        self.note_settled(number); // Either way, below.
        let unwinding = AbandonOnUnwind(&slot.stage, number);
        let answer = f(question);
        std::mem::forget(unwinding);
        // SAFETY: CS-1, CS-5: the question was moved out above and nobody else answers it.
        unsafe { slot.put_answer(answer) };
        slot.stage.store(answered(number), Ordering::Release); // CS-3
        true
    }

    /// Whether the caller is gone; what it asked before can still be taken.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.ring.caller_gone.load(Ordering::Acquire) != 0 || self.ring.fault().is_some() // CS-6
    }

    /// Slots of the ring.
    #[inline]
    pub fn depth(&self) -> usize {
        self.slots.len() as usize
    }

    #[inline(always)]
    fn slot(&self, number: u64) -> &Slot<Q, A> {
        // SAFETY: the ring, and with it the slots, live as long as `self.ring`.
        unsafe { self.slots.at(number) }
    }

    /// The slot of a question that was taken and is not settled.
    #[inline(always)]
    fn open(&self, number: u64) -> &Slot<Q, A> {
        let slot = self.slot(number);
        let is_open = match self.note(number) {
            Some(open) => open.load(Ordering::Relaxed) == number,
            // Only this end moves a slot from 2k+1 to 2k+2, so its own last store is enough.
            None => {
                let stage = slot.stage.load(Ordering::Relaxed);
                stage == asked(number) && !is_after(number, self.last, self.slots.len())
            }
        };
        assert!(
            is_open,
            "question {number} is not open: it was not taken, or is settled already"
        );
        slot
    }

    /// CS-9: what this end itself knows of the slot of `number`; nothing on the heap.
    #[inline(always)]
    fn note(&self, number: u64) -> Option<&AtomicU64> {
        let index = number & (self.slots.len() - 1);
        // SAFETY: the ledger is this end's own.
        P::own(&self.open).map(|open| unsafe { entry(open.view(), index) })
    }

    #[inline(always)]
    fn note_settled(&self, number: u64) {
        if let Some(open) = self.note(number) {
            open.store(FREE, Ordering::Relaxed);
        }
    }

    /// CS-10: whether question `number` can be there; notes it if so.
    #[inline(always)]
    fn note_open(&mut self, number: u64) -> bool {
        let open = self.note(number).map(|open| {
            let before = open.load(Ordering::Relaxed);
            if before == FREE {
                open.store(number, Ordering::Relaxed);
            }
            before
        });
        match open {
            _ if self.ring.is_corrupt() => false,
            None | Some(FREE) => true,
            Some(before) => {
                let (found, possible) = (asked(number), asked(before));
                self.ring
                    .condemn(corrupt("stage", found, possible, possible));
                false
            }
        }
    }
}

#[cfg(not(loom))]
impl<Q, A> Callee<Q, A, Shared> {
    /// The process of the caller is dead: what it had asked can still be taken, and nothing more
    /// will come.
    pub fn peer_died(&mut self) {
        self.ring.condemn(PeerFault::Died);
    }

    /// Why the ring is closed, if its caller was not dropped.
    #[must_use]
    pub fn fault(&self) -> Option<PeerFault> {
        self.ring.fault()
    }
}

impl<Q, A, P: Place> Drop for Callee<Q, A, P> {
    #[inline(always)]
    fn drop(&mut self) {
        if P::IS_SHARED {
            self.ring.callee_gone.store(1, Ordering::Release); // CS-6
        } else {
            drop_untaken(&self.ring, self.slots, self.last);
        }
    }
}

/// Whether question `number` is in its slot.
#[inline(always)]
fn holds<Q, A>(slots: View<Slot<Q, A>>, number: u64) -> bool {
    // SAFETY: callers have a share of the ring, and with it the slots.
    unsafe { slots.at(number) }.stage.load(Ordering::Acquire) == asked(number) // CS-2
}

/// The question after `last`, if others were in flight when it was asked (CS-8).
#[inline(always)]
fn after(last: u64) -> u64 {
    last.wrapping_add(1)
}

/// The question after `last`, if none was in flight when it was asked (CS-8).
#[inline(always)]
fn reused<Q, A>(slots: View<Slot<Q, A>>, last: u64) -> u64 {
    last.wrapping_add(slots.len())
}

/// The number of the next question, if it is there.
#[inline(always)]
fn next_asked<Q, A>(slots: View<Slot<Q, A>>, last: u64) -> Option<u64> {
    if holds(slots, after(last)) {
        return Some(after(last));
    }
    let reused = reused(slots, last);
    if !holds(slots, reused) {
        return None;
    }
    // CS-8: had the question after `last` been asked, it would be visible by now.
    Some(if holds(slots, after(last)) {
        after(last)
    } else {
        reused
    })
}

/// Closes the ring and drops the questions in it, so that resources they hold go now; what is
/// asked during this falls under CS-7. By value, see `channel::held`.
#[cold]
fn drop_untaken<Q, A>(state: &State, slots: View<Slot<Q, A>>, mut last: u64) {
    state.callee_gone.store(1, Ordering::Release); // CS-6
    state.callee_last.store(last, Ordering::Relaxed);
    // Bounded: a caller that has not yet seen the flag could keep pace with an open loop.
    for _ in 0..slots.len() {
        let Some(number) = next_asked(slots, last) else {
            return;
        };
        last = number;
        state.callee_last.store(last, Ordering::Relaxed);
        // SAFETY: CS-1, CS-2, CS-5: the question is here, ours, and `last` has just reached it;
        // the caller's share keeps the slots alive.
        drop(unsafe { slots.at(number).take_question() });
    }
}
