//! A reading end of a broadcast ring.
//!
//! Layout and rules: module doc of `broadcast`.
#![allow(unsafe_code, reason = "reads slots that the writer has left")]

use std::mem::ManuallyDrop;

use super::heads::Heads;
use super::{GONE, Ring, Slot};
use crate::channel::place::{Hold, corrupt};
use crate::channel::slots::View;
use crate::channel::{Heap, Place, TryRecvError};
#[cfg(not(loom))]
use crate::channel::{PeerFault, Shared};
use crate::sync::atomic::Ordering;

/// One of the reading ends of a [`channel`](super::channel), or of one in control memory.
#[repr(align(64))]
pub struct Receiver<T, P: Place = Heap> {
    slots: View<Slot<T>>,
    /// Values read.
    head: u64,
    heads: Heads,
    /// This reader's place in `heads`.
    index: usize,
    ring: P::Hold<Ring<T>>,
}

// SAFETY: BC-1: a reader only reads through `&T`, beside other readers.
unsafe impl<T: Send + Sync, P: Place> Send for Receiver<T, P> {}

impl<T, P: Place> Receiver<T, P> {
    /// Reader `index` of those whose heads these are.
    pub(super) fn new(
        ring: P::Hold<Ring<T>>,
        slots: View<Slot<T>>,
        heads: Heads,
        index: usize,
    ) -> Self {
        assert!(index < heads.count());
        Self {
            slots,
            head: 0,
            heads,
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
        let result = if P::IS_SHARED {
            // SAFETY: as below; any bytes are a value, which has no drop.
            let copy = slot
                .value
                .with(|value| ManuallyDrop::new(unsafe { value.cast::<T>().read() }));
            P::copied();
            f(&copy)
        } else {
            // SAFETY: BC-1, BC-2: the sequence was seen, so the value is here until `head` passes
            // it.
            slot.value
                .with(|value| f(unsafe { (*value).assume_init_ref() }))
        };
        self.head += 1;
        // SAFETY: `new` saw that the index is one; the ring lives as long as `self.ring`.
        unsafe { self.heads.at(self.index) }.store(self.head, Ordering::Release); // BC-3
        Ok(result)
    }

    /// Whether a value is there: one load.
    #[inline]
    pub fn is_ready(&self) -> bool {
        // SAFETY: the ring, and with it the slots, live as long as `self.ring`.
        let slot = unsafe { self.slots.at(self.head) };
        slot.sequence.load(Ordering::Acquire) == self.head + 1 // BC-2
            && !self.ring.is_corrupt()
    }

    /// Whether the sender is gone; values it sent may still be here.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.ring.writer_gone.load(Ordering::Acquire) != 0 // BC-5
            || self.ring.fault().is_some()
    }

    /// Slots of the ring.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.slots.len() as usize
    }

    /// Tells empty from closed (BC-5); `Ok` if a value came meanwhile.
    #[cold]
    fn settle_empty(&mut self) -> Result<(), TryRecvError> {
        if P::IS_SHARED {
            // SAFETY: the ring, and with it the slots, live as long as `self.ring`.
            let slot = unsafe { self.slots.at(self.head) };
            let (sequence, most) = (slot.sequence.load(Ordering::Acquire), self.head + 1);
            if sequence > most {
                self.ring.condemn(corrupt("sequence", sequence, 0, most)); // BC-7
            }
        }
        if !self.is_closed() {
            Err(TryRecvError::Empty)
        } else if self.is_ready() {
            Ok(())
        } else {
            Err(TryRecvError::Closed)
        }
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
    fn drop(&mut self) {
        // SAFETY: `new` saw that the index is one; the ring lives as long as `self.ring`.
        unsafe { self.heads.at(self.index) }.store(GONE, Ordering::Release); // BC-3
        if P::IS_SHARED {
            self.ring.gone.fetch_or(1 << self.index, Ordering::Relaxed);
        } else {
            self.ring.gone.fetch_add(1, Ordering::Relaxed);
        }
    }
}
