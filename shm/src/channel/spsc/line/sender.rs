//! The sending end of the ring for latency.
//!
//! Layout and rules: module doc of `line`.
#![allow(
    unsafe_code,
    reason = "moves values through slots that two threads own in turn"
)]

use super::lines::Cursor;
use super::{Control, Ring};
use crate::channel::place::{Hold, corrupt};
use crate::channel::{Heap, Place, TrySendError};
#[cfg(not(loom))]
use crate::channel::{PeerFault, Shared};
use crate::sync::atomic::Ordering;

/// The sending end of a [`line_channel`](super::line_channel), or of a ring in control memory.
#[repr(align(64))]
pub struct LineSender<T, P: Place = Heap> {
    /// Where message `tail` goes.
    cursor: Cursor<T>,
    /// Messages sent.
    tail: u64,
    /// First position that must not be written: the last `head` seen, plus the capacity.
    limit: u64,
    capacity: u64,
    ring: P::Hold<Ring<T>>,
}

// SAFETY: LR-1: the sender touches only slots it owns; values move to the other thread.
unsafe impl<T: Send, P: Place> Send for LineSender<T, P> {}

impl<T, P: Place> LineSender<T, P> {
    pub(super) fn new(ring: P::Hold<Ring<T>>, cursor: Cursor<T>, capacity: u64) -> Self {
        Self {
            cursor,
            tail: 0,
            limit: capacity,
            capacity,
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
                TrySendError::Closed(value) // LR-5
            } else {
                TrySendError::Full(value)
            });
        }
        // SAFETY: LR-1, LR-3: `tail < limit`; the lines live as long as `self.ring`.
        unsafe {
            self.cursor
                .value()
                .with_mut(|cell| cell.cast::<T>().write(value));
            self.cursor
                .written()
                .store(self.tail + 1, Ordering::Release); // LR-2
        }
        self.tail += 1;
        self.cursor.advance(1);
        Ok(())
    }

    /// Sends values of `values` until the ring is full or closed or there are no more; returns
    /// how many. No value is taken from the iterator that is not sent. Values of one line become
    /// visible together.
    #[inline]
    pub fn try_send_batch(&mut self, values: &mut impl Iterator<Item = T>) -> usize {
        let first = self.tail;
        if !self.is_closed() {
            while !self.is_full() && self.fill_line(values) {}
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
        self.capacity as usize
    }

    /// Writes up to the end of the line or the limit; whether `values` may have more. The ring is
    /// not full.
    #[inline(always)]
    fn fill_line(&mut self, values: &mut impl Iterator<Item = T>) -> bool {
        /// Publishes what was written, even if the iterator panics.
        struct Publish<'a, T, P: Place>(&'a mut LineSender<T, P>, usize);
        impl<T, P: Place> Drop for Publish<'_, T, P> {
            #[inline(always)]
            fn drop(&mut self) {
                let Self(sender, written) = self;
                if *written == 0 {
                    return;
                }
                sender.tail += *written as u64;
                // SAFETY: the lines live as long as `sender.ring`.
                let line = unsafe { sender.cursor.written() };
                line.store(sender.tail, Ordering::Release); // LR-2
                sender.cursor.advance(*written);
            }
        }
        let room = self.cursor.left_in_line().min(self.limit - self.tail) as usize;
        let mut batch = Publish(self, 0);
        while batch.1 < room {
            let Some(value) = values.next() else {
                return false;
            };
            // SAFETY: LR-1, LR-3: `tail + written < limit`, and inside the line; the lines live
            // as long as the ring.
            unsafe {
                batch
                    .0
                    .cursor
                    .value_at(batch.1)
                    .with_mut(|cell| cell.cast::<T>().write(value))
            };
            batch.1 += 1;
        }
        true
    }

    /// Rereads `head`; whether a slot is free.
    #[inline(always)]
    fn refresh(&mut self) -> bool {
        let head = reread_head(&self.ring);
        if P::IS_SHARED {
            // LR-5.
            let least = self.limit - self.capacity;
            if !(least..=self.tail).contains(&head) {
                self.ring.condemn(corrupt("head", head, least, self.tail));
                return false;
            }
        }
        self.limit = head + self.capacity;
        self.tail != self.limit
    }
}

#[cfg(not(loom))]
impl<T> LineSender<T, Shared> {
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

/// Out of line, and given only the words of the ring: an end whose address goes nowhere can live in registers,
/// which spares a store for each message.
#[cold]
fn reread_head(control: &Control) -> u64 {
    control.head.load(Ordering::Acquire) // LR-3
}

impl<T, P: Place> Drop for LineSender<T, P> {
    #[inline(always)]
    fn drop(&mut self) {
        self.ring.ends.sender_leaves();
    }
}
