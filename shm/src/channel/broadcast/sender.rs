//! The writing end of a broadcast ring.
//!
//! Layout and rules: module doc of `broadcast`.
#![allow(unsafe_code, reason = "writes slots that the readers have left")]

use super::{Ring, Slot};
use crate::channel::slots::View;
use crate::channel::{Arc, TrySendError};
use crate::sync::atomic::Ordering;

/// The writing end of a [`channel`](super::channel).
#[repr(align(64))]
pub struct Sender<T> {
    slots: View<Slot<T>>,
    /// Values sent.
    tail: u64,
    /// First position that must not be written: the least `head` seen, plus the capacity.
    limit: u64,
    /// Values dropped (BC-4).
    dropped: u64,
    ring: Arc<Ring<T>>,
}

// SAFETY: BC-1: the writer touches only slots it owns; values are read by other threads.
unsafe impl<T: Send + Sync> Send for Sender<T> {}

impl<T> Sender<T> {
    pub(super) fn new(ring: Arc<Ring<T>>) -> Self {
        let slots = ring.slots.view();
        let limit = slots.len();
        Self {
            slots,
            tail: 0,
            limit,
            dropped: 0,
            ring,
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
        if self.tail == self.dropped + self.slots.len() {
            // SAFETY: the slot is about to be used again, so every reader has left it.
            unsafe { self.drop_oldest() };
        }
        // SAFETY: the ring, and with it the slots, live as long as `self.ring`.
        let slot = unsafe { self.slots.at(self.tail) };
        // SAFETY: BC-1, BC-3: `tail < limit`, and the old value was dropped.
        slot.value.with_mut(|cell| unsafe { (*cell).write(value) });
        self.tail += 1;
        slot.sequence.store(self.tail, Ordering::Release); // BC-2
        Ok(())
    }

    /// Drops the values that every reader has read. `try_send` does so for one value each time
    /// round; call this where values hold resources and the next send may be far off.
    pub fn reclaim(&mut self) {
        self.refresh();
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
        self.ring.ends.readers_left.load(Ordering::Relaxed) == 0
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
        let heads = self
            .ring
            .heads
            .iter()
            .map(|head| head.load(Ordering::Acquire)); // BC-3
        // Gone readers are beyond every position; if all are, everything sent was read.
        let least = heads.min().map_or(self.tail, |head| head.min(self.tail));
        self.limit = least + self.slots.len();
        self.tail != self.limit
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        /// BC-6, even if dropping a value panics.
        struct Leave<'a, T>(&'a mut Sender<T>);
        impl<T> Drop for Leave<'_, T> {
            fn drop(&mut self) {
                self.0
                    .ring
                    .ends
                    .dropped
                    .store(self.0.dropped, Ordering::Relaxed);
            }
        }
        self.ring.ends.writer_gone.store(true, Ordering::Release); // BC-5
        Leave(self).0.reclaim();
    }
}
