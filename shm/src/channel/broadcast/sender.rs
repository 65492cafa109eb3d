//! The writing end of a broadcast ring.
//!
//! Layout and rules: module doc of `broadcast`.
#![allow(unsafe_code, reason = "writes slots that the readers have left")]

use super::heads::Heads;
use super::{GONE, Ring, Slot};
#[cfg(not(loom))]
use crate::channel::Shared;
use crate::channel::place::{Hold, corrupt};
use crate::channel::slots::View;
use crate::channel::{Heap, PeerFault, Place, TrySendError};
use crate::sync::atomic::{AtomicU64, Ordering};

/// The writing end of a [`channel`](super::channel), or of one in control memory.
#[repr(align(64))]
pub struct Sender<T, P: Place = Heap> {
    slots: View<Slot<T>>,
    /// Values sent.
    tail: u64,
    /// First position that must not be written: the least `head` seen, plus the capacity.
    limit: u64,
    /// Values dropped (BC-4).
    dropped: u64,
    heads: Heads,
    ring: P::Hold<Ring<T>>,
    /// A bit for each reader that is known to be dead or was put out (BC-7).
    out: P::Own<AtomicU64>,
}

// SAFETY: BC-1: the writer touches only slots it owns; values are read by other threads.
unsafe impl<T: Send + Sync, P: Place> Send for Sender<T, P> {}

impl<T, P: Place> Sender<T, P> {
    pub(super) fn new(
        ring: P::Hold<Ring<T>>,
        slots: View<Slot<T>>,
        heads: Heads,
        out: P::Own<AtomicU64>,
    ) -> Self {
        Self {
            slots,
            tail: 0,
            limit: slots.len(),
            dropped: 0,
            heads,
            ring,
            out,
        }
    }

    /// Puts `value` into the ring, for every reader.
    ///
    /// # Errors
    ///
    /// [`TrySendError::Full`] while a reader has not read the value `capacity` earlier, or
    /// [`TrySendError::Closed`] if no reader is left; with the value.
    #[inline]
    pub fn try_send(&mut self, value: T) -> Result<(), TrySendError<T>> {
        if self.is_closed() {
            return Err(TrySendError::Closed(value));
        }
        if self.is_full() {
            return Err(TrySendError::Full(value));
        }
        if !P::IS_SHARED && self.tail == self.dropped + self.slots.len() {
            // SAFETY: the slot is about to be used again, so every reader has left it.
            unsafe { self.drop_oldest() };
        }
        // SAFETY: the ring, and with it the slots, live as long as `self.ring`.
        let slot = unsafe { self.slots.at(self.tail) };
        // SAFETY: BC-1, BC-3: `tail < limit`, and the old value was dropped.
        slot.value
            .with_mut(|cell| unsafe { cell.cast::<T>().write(value) });
        self.tail += 1;
        slot.sequence.store(self.tail, Ordering::Release); // BC-2
        Ok(())
    }

    /// Drops the values that every reader has read. `try_send` does so for one value each time
    /// round; call this where values hold resources and the next send may be far off.
    pub fn reclaim(&mut self) {
        self.refresh();
        if P::IS_SHARED {
            return; // Plain values have no drop.
        }
        // Beyond `tail` if the readers are gone.
        let read_by_all = (self.limit - self.slots.len()).min(self.tail);
        while self.dropped < read_by_all {
            // SAFETY: BC-3: every reader has passed it.
            unsafe { self.drop_oldest() };
        }
    }

    /// Whether `try_send` would now answer [`TrySendError::Full`].
    #[inline]
    pub fn is_full(&mut self) -> bool {
        self.tail == self.limit && !self.refresh()
    }

    /// Whether all readers are gone.
    #[inline]
    pub fn is_closed(&self) -> bool {
        let gone = self.ring.gone.load(Ordering::Relaxed);
        match P::own(&self.out) {
            None => gone == self.heads.count() as u64,
            Some(out) => {
                let everyone = (1 << self.heads.count()) - 1;
                (gone | out.load(Ordering::Relaxed)) & everyone == everyone
            }
        }
    }

    /// Slots of the ring.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.slots.len() as usize
    }

    /// Drops value `dropped`.
    ///
    /// # Safety
    ///
    /// It was sent, and every reader has passed it.
    #[inline(always)]
    unsafe fn drop_oldest(&mut self) {
        // SAFETY: the ring, and with it the slots, live as long as `self.ring`.
        let slot = unsafe { self.slots.at(self.dropped) };
        self.dropped += 1;
        // SAFETY: this function's contract; counting it first makes this the only drop.
        slot.value
            .with_mut(|value| unsafe { (*value).assume_init_drop() });
    }

    /// Rereads the heads; whether a slot is free.
    #[cold]
    fn refresh(&mut self) -> bool {
        // If all readers are gone, everything sent was read.
        let mut least = self.tail;
        for index in 0..self.heads.count() {
            // SAFETY: below the count; the ring lives as long as `self.ring`.
            let head = unsafe { self.heads.at(index) }.load(Ordering::Acquire); // BC-3
            // Gone readers are beyond every position.
            if !P::IS_SHARED || self.believes(index, head) {
                least = least.min(head);
            }
        }
        self.limit = least + self.slots.len();
        self.tail != self.limit
    }

    /// BC-7: whether the head of that reader counts.
    fn believes(&mut self, index: usize, head: u64) -> bool {
        let least = self.limit - self.slots.len();
        let is_out =
            P::own(&self.out).is_some_and(|out| out.load(Ordering::Relaxed) & 1 << index != 0);
        let is_possible = (least..=self.tail).contains(&head);
        if !is_out && !is_possible && head != GONE {
            self.put_out(index, corrupt("head", head, least, self.tail));
        }
        !is_out && is_possible
    }

    /// Goes on without that reader.
    fn put_out(&mut self, index: usize, fault: PeerFault) {
        if let Some(out) = P::own(&self.out) {
            out.fetch_or(1 << index, Ordering::Relaxed);
        }
        self.ring.condemn(fault);
    }
}

#[cfg(not(loom))]
impl<T> Sender<T, Shared> {
    /// The process of reader `index` is dead: it holds nothing up any more, and when no other is
    /// left the channel is closed. An index that no reader has changes nothing.
    pub fn peer_died(&mut self, index: usize) {
        if index < self.heads.count() {
            self.put_out(index, PeerFault::Died);
        }
    }

    /// Why a reader was put out that was not dropped.
    #[must_use]
    pub fn fault(&self) -> Option<PeerFault> {
        self.ring.fault()
    }
}

impl<T, P: Place> Drop for Sender<T, P> {
    fn drop(&mut self) {
        /// BC-6, even if dropping a value panics.
        struct Leave<'a, T, P: Place>(&'a mut Sender<T, P>);
        impl<T, P: Place> Drop for Leave<'_, T, P> {
            fn drop(&mut self) {
                let dropped = self.0.dropped;
                self.0.ring.dropped.store(dropped, Ordering::Relaxed);
            }
        }
        self.ring.writer_gone.store(1, Ordering::Release); // BC-5
        Leave(self).0.reclaim();
    }
}
