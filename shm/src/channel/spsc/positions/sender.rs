//! The sending end of the ring for rates.
//!
//! Layout and rules: module doc of `positions`.
#![allow(
    unsafe_code,
    reason = "moves values through slots that two threads own in turn"
)]

use super::{Control, Ring, Slot};
use crate::channel::place::{Hold, corrupt};
use crate::channel::slots::View;
use crate::channel::{Heap, Place, TrySendError};
#[cfg(not(loom))]
use crate::channel::{PeerFault, Shared};
use crate::sync::atomic::Ordering;

/// The sending end of a [`channel`](super::channel), or of a ring in control memory.
#[repr(align(64))]
pub struct Sender<T, P: Place = Heap> {
    slots: View<Slot<T>>,
    /// Messages sent.
    tail: u64,
    /// First position that must not be written: the last `head` seen, plus the capacity.
    limit: u64,
    ring: P::Hold<Ring<T>>,
}

// SAFETY: CH-1: the sender touches only slots it owns; values move to the other thread.
unsafe impl<T: Send, P: Place> Send for Sender<T, P> {}

impl<T, P: Place> Sender<T, P> {
    pub(super) fn new(ring: P::Hold<Ring<T>>, slots: View<Slot<T>>) -> Self {
        let limit = slots.len();
        Self {
            slots,
            tail: 0,
            limit,
            ring,
        }
    }

    /// Puts `value` into the ring.
    ///
    /// # Errors
    ///
    /// [`TrySendError::Full`] or [`TrySendError::Closed`], with the value.
    #[inline(always)]
    pub fn try_send(&mut self, value: T) -> Result<(), TrySendError<T>> {
        if self.is_closed() {
            return Err(TrySendError::Closed(value));
        }
        if self.is_full() {
            return Err(if P::IS_SHARED && self.is_closed() {
                TrySendError::Closed(value) // CH-6
            } else {
                TrySendError::Full(value)
            });
        }
        // SAFETY: `tail < limit`.
        unsafe { self.put(value) };
        self.publish();
        Ok(())
    }

    /// Sends values of `values` until the ring is full or closed or there are no more; returns
    /// how many. No value is taken from the iterator that is not sent. All become visible
    /// together, except that a batch which finds the ring full publishes what it has before it
    /// looks for room again.
    #[inline]
    pub fn try_send_batch(&mut self, values: &mut impl Iterator<Item = T>) -> usize {
        let first = self.tail;
        if !self.is_closed() {
            while !self.is_full() && self.fill(values) {}
        }
        (self.tail - first) as usize
    }

    /// Whether `try_send` would now answer [`TrySendError::Full`].
    #[inline]
    pub fn is_full(&mut self) -> bool {
        self.tail == self.limit && !self.refresh()
    }

    /// Whether the receiver is gone.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.ring.ends.is_receiver_gone() || self.ring.fault().is_some()
    }

    /// Values the ring holds at most.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.slots.len() as usize
    }

    /// Sends up to the limit; whether `values` may have more.
    #[inline(always)]
    fn fill(&mut self, values: &mut impl Iterator<Item = T>) -> bool {
        /// CH-4.
        struct Publish<'a, T, P: Place>(&'a mut Sender<T, P>);
        impl<T, P: Place> Drop for Publish<'_, T, P> {
            #[inline(always)]
            fn drop(&mut self) {
                self.0.publish();
            }
        }
        let batch = Publish(self);
        while batch.0.tail != batch.0.limit {
            let Some(value) = values.next() else {
                return false;
            };
            // SAFETY: `tail < limit`.
            unsafe { batch.0.put(value) };
        }
        true
    }

    /// Writes message `tail`.
    ///
    /// # Safety
    ///
    /// `tail < limit`.
    #[inline(always)]
    unsafe fn put(&mut self, value: T) {
        // SAFETY: CH-1, CH-3: below the limit the receiver has moved the last value out; the
        // slots live as long as `self.ring`.
        unsafe {
            self.slots
                .at(self.tail)
                .with_mut(|slot| slot.cast::<T>().write(value))
        };
        self.tail += 1;
    }

    #[inline(always)]
    fn publish(&self) {
        self.ring.tail.store(self.tail, Ordering::Release); // CH-2
    }

    /// Rereads `head`; whether a slot is free.
    #[inline(always)]
    fn refresh(&mut self) -> bool {
        let head = reread_head(&self.ring);
        if P::IS_SHARED {
            // CH-6.
            let least = self.limit - self.slots.len();
            if !(least..=self.tail).contains(&head) {
                self.ring.condemn(corrupt("head", head, least, self.tail));
                return false;
            }
        }
        self.limit = head + self.slots.len();
        self.tail != self.limit
    }
}

#[cfg(not(loom))]
impl<T> Sender<T, Shared> {
    /// The process of the receiver is dead: from now on the channel is closed.
    pub fn peer_died(&mut self) {
        self.ring.condemn(PeerFault::Died);
    }

    /// Why the channel is closed, if its receiver was not dropped.
    #[must_use]
    pub fn fault(&self) -> Option<PeerFault> {
        self.ring.fault()
    }
}

/// Out of line, and given only the ring: an end whose address goes nowhere can live in registers,
/// which spares a store for each message.
#[cold]
fn reread_head(control: &Control) -> u64 {
    control.head.load(Ordering::Acquire) // CH-3
}

impl<T, P: Place> Drop for Sender<T, P> {
    #[inline(always)]
    fn drop(&mut self) {
        self.ring.ends.sender_leaves();
    }
}
