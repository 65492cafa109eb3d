//! A reading end of a broadcast ring.
//!
//! Layout and rules: module doc of `broadcast`.
#![allow(unsafe_code, reason = "reads slots that the writer has left")]

use super::{GONE, Ring, Slot};
use crate::channel::slots::View;
use crate::channel::{Arc, TryRecvError};
use crate::sync::atomic::Ordering;

/// One of the reading ends of a [`channel`](super::channel).
#[repr(align(64))]
pub struct Receiver<T> {
    slots: View<Slot<T>>,
    /// Values read.
    head: u64,
    /// This reader's place in `Ring::heads`.
    index: usize,
    ring: Arc<Ring<T>>,
}

// SAFETY: BC-1: a reader only reads through `&T`, beside other readers.
unsafe impl<T: Send + Sync> Send for Receiver<T> {}

impl<T> Receiver<T> {
    pub(super) fn new(ring: Arc<Ring<T>>, index: usize) -> Self {
        Self {
            slots: ring.slots.view(),
            head: 0,
            index,
            ring,
        }
    }

    /// A clone of the next value.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`], or [`TryRecvError::Closed`] once everything sent was read and the
    /// sender is gone.
    #[inline]
    pub fn try_recv(&mut self) -> Result<T, TryRecvError>
    where
        T: Clone,
    {
        self.try_recv_with(T::clone)
    }

    /// Hands the next value to `f` in place. If `f` panics, the value stays the next.
    ///
    /// # Errors
    ///
    /// As [`try_recv`](Self::try_recv).
    #[inline]
    pub fn try_recv_with<R>(&mut self, f: impl FnOnce(&T) -> R) -> Result<R, TryRecvError> {
        if !self.is_ready() {
            self.settle_empty()?;
        }
        // SAFETY: the ring, and with it the slots, live as long as `self.ring`.
        let slot = unsafe { self.slots.at(self.head) };
        // SAFETY: BC-1, BC-2: the sequence was seen, so the value is here until `head` passes it.
        let result = slot
            .value
            .with(|value| f(unsafe { (*value).assume_init_ref() }));
        self.head += 1;
        self.ring.heads[self.index].store(self.head, Ordering::Release); // BC-3
        Ok(result)
    }

    /// Whether a value is there: one load.
    #[inline]
    pub fn is_ready(&self) -> bool {
        // SAFETY: the ring, and with it the slots, live as long as `self.ring`.
        let slot = unsafe { self.slots.at(self.head) };
        slot.sequence.load(Ordering::Acquire) == self.head + 1 // BC-2
    }

    /// Whether the sender is gone; values it sent may still be here.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.ring.ends.writer_gone.load(Ordering::Acquire) // BC-5
    }

    /// Slots of the ring.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.slots.len() as usize
    }

    /// Tells empty from closed (BC-5); `Ok` if a value came meanwhile.
    #[cold]
    fn settle_empty(&self) -> Result<(), TryRecvError> {
        if !self.is_closed() {
            Err(TryRecvError::Empty)
        } else if self.is_ready() {
            Ok(())
        } else {
            Err(TryRecvError::Closed)
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.ring.heads[self.index].store(GONE, Ordering::Release); // BC-3
        self.ring.ends.readers_left.fetch_sub(1, Ordering::Relaxed);
    }
}
