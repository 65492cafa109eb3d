//! The receiving end of the ring for rates.
//!
//! Layout and rules: module doc of `positions`.
#![allow(
    unsafe_code,
    reason = "moves values through slots that two threads own in turn"
)]

use super::{Ring, Slot};
use crate::channel::held::Held;
use crate::channel::prefetch::prefetch_read;
use crate::channel::slots::View;
use crate::channel::{LINE_BYTES, TryRecvError};
use crate::sync::atomic::Ordering;

/// The receiving end of a [`channel`](super::channel).
#[repr(align(64))]
pub struct Receiver<T> {
    slots: View<Slot<T>>,
    /// Messages received.
    head: u64,
    /// The last `tail` seen.
    ready: u64,
    ring: Held<Ring<T>>,
}

// SAFETY: CH-1: the receiver touches only slots it owns; values move from the other thread.
unsafe impl<T: Send> Send for Receiver<T> {}

impl<T> Receiver<T> {
    /// Whether fetching ahead pays: values of at most a line (larger ones the hardware follows).
    const FETCHES_AHEAD: bool = size_of::<T>() > 0 && size_of::<T>() <= LINE_BYTES;
    /// A fetch every so many values, about a line: a power of two.
    const FETCH_EVERY: u64 = if Self::FETCHES_AHEAD {
        1 << (LINE_BYTES / size_of::<T>()).ilog2()
    } else {
        1
    };
    /// How many values ahead to fetch: 6 lines, the best of 2, 4, 6 (2 cores of a Zen 4 guest).
    const FETCH_AHEAD: u64 = 6 * Self::FETCH_EVERY;
    /// Values handed over before their slots are given back, so that a slow receiver does not
    /// hold up the sender.
    const GIVE_BACK_EVERY: u64 = 64;

    pub(super) fn new(ring: Held<Ring<T>>) -> Self {
        Self {
            slots: ring.slots.view(),
            head: 0,
            ready: 0,
            ring,
        }
    }

    /// Takes the oldest value.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`], or [`TryRecvError::Closed`] once everything sent was received and
    /// the sender is gone.
    #[inline(always)]
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        if self.head == self.ready && !self.refresh() {
            self.settle_empty()?;
        }
        // SAFETY: `head < ready`.
        let value = unsafe { self.take() };
        self.give_back();
        Ok(value)
    }

    /// Hands up to `max` values to `f` in order; returns how many. Slots are given back in
    /// batches, the last of them at the end or when `f` panics.
    #[inline]
    pub fn try_recv_batch(&mut self, max: usize, mut f: impl FnMut(T)) -> usize {
        let first = self.head;
        let end = first.saturating_add(max as u64);
        while self.head != end && (self.head != self.ready || self.refresh()) {
            let until = end.min(self.ready).min(self.head + Self::GIVE_BACK_EVERY);
            self.drain(until, &mut f);
        }
        (self.head - first) as usize
    }

    /// Whether a value is there: at most one load.
    #[inline(always)]
    pub fn is_ready(&self) -> bool {
        self.head != self.ready || self.ring.tail.load(Ordering::Acquire) != self.head // CH-2
    }

    /// The oldest value, left in place.
    #[inline]
    pub fn peek(&mut self) -> Option<&T> {
        if self.head == self.ready && !self.refresh() {
            return None;
        }
        // SAFETY: CH-1, CH-2: `head < ready`, so the value is here and ours until `head` passes
        // it, which needs `&mut self`, borrowed by the answer; the slots live as long as the ring.
        Some(unsafe {
            self.slots
                .at(self.head)
                .with(|slot| (*slot).assume_init_ref())
        })
    }

    /// Whether the sender is gone; values it sent may still be here.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.ring.ends.is_sender_gone()
    }

    /// Values the ring holds at most.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.slots.len() as usize
    }

    /// Hands the values up to `until`, which is at most `ready`, to `f`.
    #[inline(always)]
    fn drain(&mut self, until: u64, f: &mut impl FnMut(T)) {
        /// CH-4.
        struct GiveBack<'a, T>(&'a mut Receiver<T>);
        impl<T> Drop for GiveBack<'_, T> {
            #[inline(always)]
            fn drop(&mut self) {
                self.0.give_back();
            }
        }
        let batch = GiveBack(self);
        while batch.0.head != until {
            batch.0.fetch_ahead();
            // SAFETY: `head < until <= ready`.
            f(unsafe { batch.0.take() });
        }
    }

    /// Fetches a line of values that are already there.
    #[inline(always)]
    fn fetch_ahead(&self) {
        let ahead = self.head + Self::FETCH_AHEAD;
        if Self::FETCHES_AHEAD && self.head.is_multiple_of(Self::FETCH_EVERY) && ahead < self.ready
        {
            prefetch_read(self.slots.address(ahead));
        }
    }

    /// Moves message `head` out; its slot is given back afterwards.
    ///
    /// # Safety
    ///
    /// `head < ready`.
    #[inline(always)]
    unsafe fn take(&mut self) -> T {
        // SAFETY: the slots live as long as `self.ring`.
        let slot = unsafe { self.slots.at(self.head) };
        self.head += 1;
        // SAFETY: CH-1, CH-2: the value is here, and advancing `head` makes this the only move.
        slot.with(|slot| unsafe { (*slot).assume_init_read() })
    }

    #[inline(always)]
    fn give_back(&self) {
        self.ring.head.store(self.head, Ordering::Release); // CH-3
    }

    /// Rereads `tail`; whether a value is there.
    #[inline]
    fn refresh(&mut self) -> bool {
        self.ready = self.ring.tail.load(Ordering::Acquire); // CH-2
        self.head != self.ready
    }

    /// Tells empty from closed (EN-1); `Ok` if a value came meanwhile.
    #[inline(always)]
    fn settle_empty(&mut self) -> Result<(), TryRecvError> {
        if !self.is_closed() {
            Err(TryRecvError::Empty)
        } else if self.refresh() {
            Ok(())
        } else {
            Err(TryRecvError::Closed)
        }
    }
}

impl<T> Drop for Receiver<T> {
    #[inline(always)]
    fn drop(&mut self) {
        drop_unread(&self.ring, self.slots, self.head);
    }
}

/// Closes the ring and drops what is in it, so that resources held by unread values go now; what
/// is sent during this falls under CH-5. By value, see `channel::held`.
#[cold]
fn drop_unread<T>(ring: &Ring<T>, slots: View<Slot<T>>, head: u64) {
    ring.ends.receiver_leaves();
    // CH-2. What is there now is a bound: a sender that has not yet seen the flag may send on.
    for position in head..ring.tail.load(Ordering::Acquire) {
        // SAFETY: CH-1, CH-2: the value is here; `head` passes it next, so this is the only move.
        let value = unsafe { slots.at(position).with(|slot| (*slot).assume_init_read()) };
        ring.head.store(position + 1, Ordering::Release); // CH-3
        drop(value);
    }
}
