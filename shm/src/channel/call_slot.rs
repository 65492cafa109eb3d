//! Ring of call slots: question and answer in turn on one line.
//!
//! Where a ring each way hands two lines over per round trip, a call slot hands over one, twice.
//!
//! ```text
//! slot (64-byte aligned; larger questions or answers take several lines)
//! byte  0  stage  u64, the state machine below. Written by the two ends in turn
//! byte  8  body   union { question: Q, answer: A }, up to 56 bytes (48 if 16-byte aligned)
//!
//! ledger          u64 per slot, the number in flight there or FREE. The caller's alone
//!
//! state line      the two "gone" flags, written once each; every core keeps a shared copy
//! ```
//!
//! Question k (0, 1, ...) lives in slot `k & mask`; its stage goes
//!
//! ```text
//!   (anything older) --try_call--> 2k+1 --answer---> 2k+2
//!                                      \--abandon--> 2k+2 | ABANDONED
//! ```
//!
//! - CS-1 from the store of 2k+1 the slot is the callee's, from the store of 2k+2 (with or without
//!   ABANDONED) the caller's again.
//! - CS-2 2k+1 is stored Release after the question is written; pairs with the Acquire load in
//!   `Callee::is_ready`.
//! - CS-3 2k+2 is stored Release after the answer is written, or with ABANDONED after the question
//!   was moved out; pairs with the Acquire load in `Caller::is_answered` and `Caller::try_settle`.
//! - CS-4 "taken" is not written to the line: it would hand it over once more. The caller knows it
//!   from its ledger: `ledger[slot] == k` from asking k until k is settled.
//! - CS-5 a question is in its slot while its number is `>= next` of the callee; the callee moves
//!   it out once, by advancing `next` first.
//! - CS-6 a "gone" flag is stored Release after the end's last step; who sees it (Acquire) and
//!   then finds no answer (no question) will never find one.
//! - CS-7 what neither end took is dropped with the ring, found by ledger, stage and `next`.
//!
//! Model: `tests/loom_call_slot.rs`.
#![allow(
    unsafe_code,
    reason = "moves values through slots that two threads own in turn"
)]

use std::mem::ManuallyDrop;

use super::slots::{Slots, View};
use super::{Abandoned, Arc, ChannelError, LINE_BYTES, TryCallError};
use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::cell::UnsafeCell;

/// Ledger entry of a slot that is not in use.
const FREE: u64 = u64::MAX;

/// Stage bit: the callee gave the question up.
const ABANDONED: u64 = 1 << 63;

/// Stage of a slot that holds question `number`.
#[inline(always)]
const fn asked(number: u64) -> u64 {
    number * 2 + 1
}

/// Stage of a slot that holds the answer to `number`.
#[inline(always)]
const fn answered(number: u64) -> u64 {
    number * 2 + 2
}

#[repr(C)]
union Body<Q, A> {
    nothing: (),
    question: ManuallyDrop<Q>,
    answer: ManuallyDrop<A>,
}

#[repr(C, align(64))]
struct Slot<Q, A> {
    /// Written and read by both ends in turn: CS-1 to CS-3.
    stage: AtomicU64,
    body: UnsafeCell<Body<Q, A>>,
}

#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<Slot<[u8; 56], [u64; 7]>>() == LINE_BYTES);
    assert!(size_of::<Slot<[u128; 3], u8>>() == LINE_BYTES);
    assert!(align_of::<Slot<u8, u8>>() == LINE_BYTES);
};

impl<Q, A> Slot<Q, A> {
    /// # Safety
    ///
    /// The slot is the caller's (CS-1) and its body is empty.
    #[inline(always)]
    unsafe fn put_question(&self, question: Q) {
        let question = ManuallyDrop::new(question);
        // SAFETY: exclusive by this function's contract.
        self.body
            .with_mut(|body| unsafe { (&raw mut (*body).question).write(question) });
    }

    /// # Safety
    ///
    /// The slot is the callee's (CS-1) and its question was not moved out (CS-5).
    #[inline(always)]
    unsafe fn take_question(&self) -> Q {
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
    unsafe fn put_answer(&self, answer: A) {
        let answer = ManuallyDrop::new(answer);
        // SAFETY: exclusive by this function's contract.
        self.body
            .with_mut(|body| unsafe { (&raw mut (*body).answer).write(answer) });
    }

    /// # Safety
    ///
    /// The slot is the caller's (CS-1) and its answer was not moved out (CS-4).
    #[inline(always)]
    unsafe fn take_answer(&self) -> A {
        // SAFETY: initialised and exclusive by this function's contract.
        let answer = self
            .body
            .with(|body| unsafe { (&raw const (*body).answer).read() });
        ManuallyDrop::into_inner(answer)
    }
}

/// Ledger entries, a line of their own however few they are.
#[repr(align(64))]
struct LedgerLine([AtomicU64; LEDGER_LINE_ENTRIES]);

const LEDGER_LINE_ENTRIES: usize = 8;

struct State {
    /// Written once by the dropped caller (Release, CS-6), read by the callee (Acquire).
    caller_gone: AtomicBool,
    /// Written once by the dropped callee (Release, CS-6), read by the caller.
    callee_gone: AtomicBool,
    /// The callee's `next`, left here when it is dropped, for CS-7.
    callee_next: AtomicU64,
}

struct Ring<Q, A> {
    slots: Slots<Slot<Q, A>>,
    /// Written and read by the caller, and by the ring's drop (CS-7). Relaxed.
    ledger: Slots<LedgerLine>,
    state: CachePadded<State>,
}

// SAFETY: CS-1: every slot has one owner at a time; questions and answers move between threads.
unsafe impl<Q: Send, A: Send> Sync for Ring<Q, A> {}
// SAFETY: as above; the base pointers are owned allocations (SA-1).
unsafe impl<Q: Send, A: Send> Send for Ring<Q, A> {}

impl<Q, A> Drop for Ring<Q, A> {
    fn drop(&mut self) {
        let (slots, ledger) = (self.slots.view(), self.ledger.view());
        let next = self.state.callee_next.load(Ordering::Relaxed);
        for index in 0..slots.len() {
            // SAFETY: slots and ledger live until this function returns.
            let (slot, number) = unsafe { (slots.at(index), entry(&ledger, index)) };
            let number = number.load(Ordering::Relaxed);
            if number == FREE {
                continue;
            }
            let stage = slot.stage.load(Ordering::Relaxed);
            if stage == answered(number) {
                // SAFETY: CS-7: both ends are gone (the Arc's last drop orders this after all
                // their steps); answered, and by the ledger (CS-4) not taken.
                drop(unsafe { slot.take_answer() });
            } else if stage == asked(number) && number >= next {
                // SAFETY: CS-7: both ends are gone; asked, and by `next` (CS-5) not moved out.
                drop(unsafe { slot.take_question() });
            }
        }
    }
}

/// The ledger entry of slot `slot`.
///
/// # Safety
///
/// The ring the ledger belongs to is alive.
#[inline(always)]
unsafe fn entry(ledger: &View<LedgerLine>, slot: u64) -> &AtomicU64 {
    // SAFETY: alive by this function's contract.
    let line = unsafe { ledger.at(slot / LEDGER_LINE_ENTRIES as u64) };
    &line.0[slot as usize % LEDGER_LINE_ENTRIES]
}

/// Makes a ring of at least `depth` call slots (rounded up to a power of two).
///
/// # Errors
///
/// [`ChannelError`] if `depth` is zero or too large, or memory is short.
///
/// # Examples
///
/// ```
/// let (mut caller, mut callee) = maser_shm::channel::call_slot::call_ring::<u32, u64>(1)?;
/// let number = caller.try_call(6).unwrap();
/// assert!(callee.try_serve(|question| u64::from(question) * 7));
/// assert_eq!(caller.try_take(number), Some(42));
/// # Ok::<(), maser_shm::channel::ChannelError>(())
/// ```
#[allow(clippy::type_complexity, reason = "two ends made together")]
pub fn call_ring<Q: Send, A: Send>(
    depth: usize,
) -> Result<(Caller<Q, A>, Callee<Q, A>), ChannelError> {
    let slots = Slots::new(depth, || Slot {
        stage: AtomicU64::new(0),
        body: UnsafeCell::new(Body { nothing: () }),
    })?;
    let ledger = Slots::new(slots.len().div_ceil(LEDGER_LINE_ENTRIES), || {
        LedgerLine(std::array::from_fn(|_| AtomicU64::new(FREE)))
    })?;
    let caller_slots = slots.view();
    let callee_slots = slots.view();
    let caller_ledger = ledger.view();
    let ring = Arc::new(Ring {
        slots,
        ledger,
        state: CachePadded::new(State {
            caller_gone: AtomicBool::new(false),
            callee_gone: AtomicBool::new(false),
            callee_next: AtomicU64::new(0),
        }),
    });
    Ok((
        Caller {
            slots: caller_slots,
            ledger: caller_ledger,
            next: 0,
            ring: ring.clone(),
        },
        Callee {
            slots: callee_slots,
            next: 0,
            ring,
        },
    ))
}

/// The asking end of a [`call_ring`].
pub struct Caller<Q, A> {
    slots: View<Slot<Q, A>>,
    ledger: View<LedgerLine>,
    /// Number of the next question.
    next: u64,
    ring: Arc<Ring<Q, A>>,
}

// SAFETY: CS-1: the caller touches only slots it owns; values move between the threads.
unsafe impl<Q: Send, A: Send> Send for Caller<Q, A> {}

impl<Q, A> Caller<Q, A> {
    /// Asks `question`; the answer is taken under the number returned. Answers may be taken in
    /// any order, but a slot whose answer was not taken holds up the question `depth` later.
    ///
    /// # Errors
    ///
    /// [`TryCallError::Full`] or [`TryCallError::Closed`], with the question.
    #[inline]
    pub fn try_call(&mut self, question: Q) -> Result<u64, TryCallError<Q>> {
        if self.is_closed() {
            return Err(TryCallError::Closed(question));
        }
        let number = self.next;
        let in_flight = self.in_flight(number);
        if in_flight.load(Ordering::Relaxed) != FREE {
            return Err(TryCallError::Full(question));
        }
        in_flight.store(number, Ordering::Relaxed);
        self.next = number + 1;
        let slot = self.slot(number);
        // SAFETY: CS-1, CS-4: never used, or settled and taken.
        unsafe { slot.put_question(question) };
        slot.stage.store(asked(number), Ordering::Release); // CS-2
        Ok(number)
    }

    /// Whether `try_call` would now answer [`TryCallError::Full`].
    #[inline]
    pub fn is_full(&self) -> bool {
        self.in_flight(self.next).load(Ordering::Relaxed) != FREE
    }

    /// Whether question `number`, still in flight, was answered or abandoned: one load.
    #[inline]
    pub fn is_answered(&self, number: u64) -> bool {
        self.slot(number).stage.load(Ordering::Acquire) & !ABANDONED == answered(number) // CS-3
    }

    /// Takes the answer to question `number`; `None` while there is none. A question that is
    /// abandoned, already taken or never asked has none; see [`try_settle`](Self::try_settle).
    #[inline]
    pub fn try_take(&mut self, number: u64) -> Option<A> {
        let in_flight = self.in_flight(number);
        if in_flight.load(Ordering::Relaxed) != number {
            return None;
        }
        let slot = self.slot(number);
        if slot.stage.load(Ordering::Acquire) != answered(number) {
            return None; // CS-3
        }
        in_flight.store(FREE, Ordering::Relaxed);
        // SAFETY: CS-1, CS-4: answered, ours, and just marked as taken.
        Some(unsafe { slot.take_answer() })
    }

    /// Like [`try_take`](Self::try_take), but tells an abandoned question apart and frees its
    /// slot; `None` while neither happened.
    #[inline]
    pub fn try_settle(&mut self, number: u64) -> Option<Result<A, Abandoned>> {
        if let Some(answer) = self.try_take(number) {
            return Some(Ok(answer));
        }
        let in_flight = self.in_flight(number);
        let stage = self.slot(number).stage.load(Ordering::Acquire); // CS-3
        if stage != answered(number) | ABANDONED || in_flight.load(Ordering::Relaxed) != number {
            return None;
        }
        in_flight.store(FREE, Ordering::Relaxed);
        Some(Err(Abandoned))
    }

    /// Number of the next question.
    #[inline]
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// Whether the callee is gone; what it answered before can still be taken.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.ring.state.callee_gone.load(Ordering::Acquire) // CS-6
    }

    /// Slots of the ring.
    #[inline]
    pub fn depth(&self) -> usize {
        self.slots.len() as usize
    }

    /// What the ledger says of the slot that `number` falls into.
    #[inline(always)]
    fn in_flight(&self, number: u64) -> &AtomicU64 {
        // SAFETY: the ring, and with it the ledger, live as long as `self.ring`.
        unsafe { entry(&self.ledger, number & (self.slots.len() - 1)) }
    }

    #[inline(always)]
    fn slot(&self, number: u64) -> &Slot<Q, A> {
        // SAFETY: the ring, and with it the slots, live as long as `self.ring`.
        unsafe { self.slots.at(number) }
    }
}

impl<Q, A> Drop for Caller<Q, A> {
    fn drop(&mut self) {
        self.ring.state.caller_gone.store(true, Ordering::Release); // CS-6
        // Resources held by answers go now; what is answered later falls under CS-7.
        for slot in 0..self.slots.len() {
            let number = self.in_flight(slot).load(Ordering::Relaxed);
            if number != FREE {
                drop(self.try_take(number));
            }
        }
    }
}

/// The answering end of a [`call_ring`].
pub struct Callee<Q, A> {
    slots: View<Slot<Q, A>>,
    /// Number of the next question to take.
    next: u64,
    ring: Arc<Ring<Q, A>>,
}

// SAFETY: CS-1: the callee touches only slots it owns; values move between the threads.
unsafe impl<Q: Send, A: Send> Send for Callee<Q, A> {}

impl<Q, A> Callee<Q, A> {
    /// Whether a question is there: one load.
    #[inline]
    pub fn is_ready(&self) -> bool {
        self.slot(self.next).stage.load(Ordering::Acquire) == asked(self.next) // CS-2
    }

    /// Takes the next question, in the order they were asked. Earlier ones need not be answered.
    #[inline]
    pub fn try_next(&mut self) -> Option<(u64, Q)> {
        if !self.is_ready() {
            return None;
        }
        let number = self.next;
        self.next = number + 1;
        // SAFETY: CS-1, CS-2, CS-5: the question is here, ours, and `next` has just passed it.
        Some((number, unsafe { self.slot(number).take_question() }))
    }

    /// Answers question `number`, taken by [`try_next`](Self::try_next).
    ///
    /// # Panics
    ///
    /// If `number` was not taken, or was answered or abandoned already.
    #[inline]
    pub fn answer(&mut self, number: u64, answer: A) {
        let slot = self.open(number);
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
        let unwinding = AbandonOnUnwind(&slot.stage, number);
        let answer = f(question);
        std::mem::forget(unwinding);
        // SAFETY: CS-1, CS-5: the question was moved out above and nobody else answers it.
        unsafe { slot.put_answer(answer) };
        slot.stage.store(answered(number), Ordering::Release); // CS-3
        true
    }

    /// Number of the next question to take.
    #[inline]
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// Whether the caller is gone; what it asked before can still be taken.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.ring.state.caller_gone.load(Ordering::Acquire) // CS-6
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
        // Only this end moves a slot from 2k+1 to 2k+2, so its own last store is enough.
        let stage = slot.stage.load(Ordering::Relaxed);
        assert!(
            number < self.next && stage == asked(number),
            "question {number} is not open: it was not taken, or is settled already"
        );
        slot
    }
}

impl<Q, A> Drop for Callee<Q, A> {
    fn drop(&mut self) {
        self.ring.state.callee_gone.store(true, Ordering::Release); // CS-6
        // Questions in the ring go now; what is asked during this falls under CS-7. The record
        // is made by a guard, so that it is made even if a question's own drop panics.
        struct Record<'a, Q, A>(&'a mut Callee<Q, A>);
        impl<Q, A> Drop for Record<'_, Q, A> {
            fn drop(&mut self) {
                self.0
                    .ring
                    .state
                    .callee_next
                    .store(self.0.next, Ordering::Relaxed);
            }
        }
        let this = Record(self);
        for _ in 0..this.0.slots.len() {
            if this.0.try_next().is_none() {
                break;
            }
        }
    }
}
