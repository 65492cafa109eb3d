//! The memory of a call ring: slots, ledger and "gone" flags.
//!
//! Layout and rules: module doc of `call_slot`.
#![allow(
    unsafe_code,
    reason = "moves values through slots that two threads own in turn"
)]

use std::mem::ManuallyDrop;

use super::{UNUSED, answered, asked, before_first, is_after};
use crate::channel::ChannelError;
use crate::channel::place::OnHeap;
use crate::channel::slots::{Slots, View};
use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sync::cell::UnsafeCell;

/// Ledger entry of a slot that is not in use.
/// No stage that it could be compared with is one of a slot.
pub(super) const FREE: u64 = u64::MAX - 1;

#[repr(C)]
union Body<Q, A> {
    nothing: (),
    question: ManuallyDrop<Q>,
    answer: ManuallyDrop<A>,
}

#[repr(C, align(64))]
pub(super) struct Slot<Q, A> {
    /// Written and read by both ends in turn: CS-1 to CS-3.
    pub(super) stage: AtomicU64,
    body: UnsafeCell<Body<Q, A>>,
}

#[cfg(not(loom))]
const _: () = {
    use crate::channel::LINE_BYTES;
    assert!(size_of::<Slot<[u8; 56], [u64; 7]>>() == LINE_BYTES);
    assert!(size_of::<Slot<[u128; 3], u8>>() == LINE_BYTES);
    assert!(align_of::<Slot<u8, u8>>() == LINE_BYTES);
};

impl<Q, A> Slot<Q, A> {
    /// # Safety
    ///
    /// The slot is the caller's (CS-1) and its body is empty.
    #[inline(always)]
    pub(super) unsafe fn put_question(&self, question: Q) {
        let question = ManuallyDrop::new(question);
        // SAFETY: exclusive by this function's contract.
        self.body
            .with_mut(|body| unsafe { (&raw mut (*body).question).write(question) });
    }

    /// # Safety
    ///
    /// The slot is the callee's (CS-1) and its question was not moved out (CS-5).
    #[inline(always)]
    pub(super) unsafe fn take_question(&self) -> Q {
        // SAFETY: initialised and exclusive by this function's contract.
        let question = self
            .body
            .with(|body| unsafe { (&raw const (*body).question).read() });
        ManuallyDrop::into_inner(question)
    }

    /// # Safety
    ///
    /// The slot is the callee's (CS-1) and its question was moved out (CS-5).
    #[inline(always)]
    pub(super) unsafe fn put_answer(&self, answer: A) {
        let answer = ManuallyDrop::new(answer);
        // SAFETY: exclusive by this function's contract.
        self.body
            .with_mut(|body| unsafe { (&raw mut (*body).answer).write(answer) });
    }

    /// # Safety
    ///
    /// The slot is the caller's (CS-1) and its answer was not moved out (CS-4).
    #[inline(always)]
    pub(super) unsafe fn take_answer(&self) -> A {
        // SAFETY: initialised and exclusive by this function's contract.
        let answer = self
            .body
            .with(|body| unsafe { (&raw const (*body).answer).read() });
        ManuallyDrop::into_inner(answer)
    }
}

/// Ledger entries, a line of their own however few they are.
#[repr(align(64))]
pub(super) struct LedgerLine([AtomicU64; LEDGER_LINE_ENTRIES]);

const LEDGER_LINE_ENTRIES: usize = 8;

/// What both ends need. Gone if it is not 0: a peer in another process may write anything there.
pub(super) struct State {
    /// Written once by the dropped caller (Release, CS-6), read by the callee (Acquire).
    pub(super) caller_gone: AtomicU32,
    /// Written once by the dropped callee (Release, CS-6), read by the caller (Acquire).
    pub(super) callee_gone: AtomicU32,
    /// The callee's `last`, left here (Relaxed) when it is dropped, for CS-7.
    pub(super) callee_last: AtomicU64,
}

pub(super) struct Ring<Q, A> {
    pub(super) slots: Slots<Slot<Q, A>>,
    /// Written and read by the caller, and by the ring's drop (CS-7). Relaxed.
    pub(super) ledger: Slots<LedgerLine>,
    state: CachePadded<State>,
}

impl<Q, A> OnHeap for Ring<Q, A> {
    type Control = CachePadded<State>;

    #[inline(always)]
    fn control(&self) -> &CachePadded<State> {
        &self.state
    }
}

// SAFETY: CS-1: every slot has one owner at a time; questions and answers move between threads.
unsafe impl<Q: Send, A: Send> Sync for Ring<Q, A> {}
// SAFETY: as above; the base pointers are owned allocations (SA-1).
unsafe impl<Q: Send, A: Send> Send for Ring<Q, A> {}

impl<Q: Send, A: Send> Ring<Q, A> {
    /// A ring of at least `depth` slots, rounded up to a power of two.
    pub(super) fn new(depth: usize) -> Result<Self, ChannelError> {
        let slots = Slots::new(depth, || Slot {
            stage: AtomicU64::new(UNUSED),
            body: UnsafeCell::new(Body { nothing: () }),
        })?;
        let ledger = ledger(slots.len())?;
        let state = CachePadded::new(State {
            caller_gone: AtomicU32::new(0),
            callee_gone: AtomicU32::new(0),
            callee_last: AtomicU64::new(before_first(slots.len() as u64)),
        });
        Ok(Self {
            slots,
            ledger,
            state,
        })
    }
}

impl<Q, A> Drop for Ring<Q, A> {
    fn drop(&mut self) {
        let (slots, ledger) = (self.slots.view(), self.ledger.view());
        let last = self.state.callee_last.load(Ordering::Relaxed);
        for index in 0..slots.len() {
            // SAFETY: slots and ledger live until this function returns.
            let (slot, number) = unsafe { (slots.at(index), entry(ledger, index)) };
            let number = number.load(Ordering::Relaxed);
            if number == FREE {
                continue;
            }
            let stage = slot.stage.load(Ordering::Relaxed);
            if stage == answered(number) {
                // SAFETY: CS-7: both ends are gone (the last share's drop orders this after all
                // their steps); answered, and by the ledger (CS-4) not taken.
                drop(unsafe { slot.take_answer() });
            } else if stage == asked(number) && is_after(number, last, slots.len()) {
                // SAFETY: CS-7: both ends are gone; asked, and by `last` (CS-5) not moved out.
                drop(unsafe { slot.take_question() });
            }
        }
    }
}

/// A ledger for `depth` slots.
pub(super) fn ledger(depth: usize) -> Result<Slots<LedgerLine>, ChannelError> {
    Slots::new(depth.div_ceil(LEDGER_LINE_ENTRIES), || {
        LedgerLine(std::array::from_fn(|_| AtomicU64::new(FREE)))
    })
}

/// The ledger entry of slot `slot`.
///
/// # Safety
///
/// The ring the ledger belongs to is alive.
#[inline(always)]
pub(super) unsafe fn entry<'a>(ledger: View<LedgerLine>, slot: u64) -> &'a AtomicU64 {
    // SAFETY: alive by this function's contract.
    let line = unsafe { &*ledger.address(slot / LEDGER_LINE_ENTRIES as u64) };
    &line.0[slot as usize % LEDGER_LINE_ENTRIES]
}
