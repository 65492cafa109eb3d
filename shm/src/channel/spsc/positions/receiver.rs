//! The receiving end of the ring for rates.
//!
//! Layout and rules: module doc of `positions`.
#![allow(
    unsafe_code,
    reason = "moves values through slots that two threads own in turn"
)]

use super::{Control, Ring, Slot};
use crate::channel::place::{Hold, corrupt};
use crate::channel::prefetch::prefetch_read;
use crate::channel::slots::View;
use crate::channel::{Heap, LINE_BYTES, Place, TryRecvError};
#[cfg(not(loom))]
use crate::channel::{PeerFault, Shared};
use crate::sync::atomic::Ordering;

/// The receiving end of a [`channel`](super::channel), or of a ring in control memory.
#[repr(align(64))]
pub struct Receiver<T, P: Place = Heap> {
    slots: View<Slot<T>>,
    /// Messages received.
    head: u64,
    /// The last `tail` seen.
    ready: u64,
    ring: P::Hold<Ring<T>>,
}

// SAFETY: CH-1: the receiver touches only slots it owns; values move from the other thread.
unsafe impl<T: Send, P: Place> Send for Receiver<T, P> {}

impl<T, P: Place> Receiver<T, P> {
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

    pub(super) fn new(ring: P::Hold<Ring<T>>, slots: View<Slot<T>>) -> Self {
        Self {
            slots,
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
        let is_known = self.head != self.ready;
        // CH-2.
        is_known || self.ring.tail.load(Ordering::Acquire) != self.head && !self.ring.is_corrupt()
    }

    /// Whether the sender is gone; values it sent may still be here.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.ring.ends.is_sender_gone() || self.ring.fault().is_some()
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
        struct GiveBack<'a, T, P: Place>(&'a mut Receiver<T, P>);
        impl<T, P: Place> Drop for GiveBack<'_, T, P> {
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
        let value = slot.with(|slot| unsafe { slot.cast::<T>().read() });
        P::copied();
        value
    }

    #[inline(always)]
    fn give_back(&self) {
        self.ring.head.store(self.head, Ordering::Release); // CH-3
    }

    /// Rereads `tail`; whether a value is there.
    #[inline]
    fn refresh(&mut self) -> bool {
        let tail = self.ring.tail.load(Ordering::Acquire); // CH-2
        if P::IS_SHARED && !self.believes(tail) {
            return false;
        }
        self.ready = tail;
        self.head != self.ready
    }

    /// CH-6: whether `tail`, looked at when all that was known is taken, can be.
    #[inline(always)]
    fn believes(&mut self, tail: u64) -> bool {
        let (least, most) = (self.head, self.head + self.slots.len());
        let is_possible = (least..=most).contains(&tail) && !self.ring.is_corrupt();
        if !is_possible {
            self.ring.condemn(corrupt("tail", tail, least, most));
        }
        is_possible
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

impl<T> Receiver<T> {
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
}

#[cfg(not(loom))]
impl<T> Receiver<T, Shared> {
    /// The process of the sender is dead: what it had published is still given out, then the
    /// channel is closed.
    pub fn peer_died(&mut self) {
        self.ring.condemn(PeerFault::Died);
    }

    /// Why the channel is closed, if its sender was not dropped.
    #[must_use]
    pub fn fault(&self) -> Option<PeerFault> {
        self.ring.fault()
    }
}

impl<T, P: Place> Drop for Receiver<T, P> {
    #[inline(always)]
    fn drop(&mut self) {
        if P::IS_SHARED {
            self.ring.ends.receiver_leaves(); // Plain values have no drop.
        } else {
            drop_unread(&self.ring, self.slots, self.head);
        }
    }
}

/// Closes the ring and drops what is in it, so that resources held by unread values go now; what
/// is sent during this falls under CH-5. By value, see `channel::held`.
#[cold]
fn drop_unread<T>(ring: &Control, slots: View<Slot<T>>, head: u64) {
    ring.ends.receiver_leaves();
    // CH-2. What is there now is a bound: a sender that has not yet seen the flag may send on.
    for position in head..ring.tail.load(Ordering::Acquire) {
        // SAFETY: CH-1, CH-2: the value is here; `head` passes it next, so this is the only move.
        let value = unsafe { slots.at(position).with(|slot| slot.cast::<T>().read()) };
        ring.head.store(position + 1, Ordering::Release); // CH-3
        drop(value);
    }
}
