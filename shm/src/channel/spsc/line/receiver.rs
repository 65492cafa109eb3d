//! The receiving end of the ring for latency.
//!
//! Layout and rules: module doc of `line`.
#![allow(
    unsafe_code,
    reason = "moves values through slots that two threads own in turn"
)]

use super::lines::Cursor;
use super::{Control, Ring};
use crate::channel::place::{Hold, corrupt};
use crate::channel::{Heap, Place, Probe, TryRecvError};
#[cfg(not(loom))]
use crate::channel::{PeerFault, Shared};
#[cfg(not(loom))]
use crate::control::Region;
use crate::sync::atomic::Ordering;

/// The receiving end of a [`line_channel`](super::line_channel), or of a ring in control memory.
#[repr(align(64))]
pub struct LineReceiver<T, P: Place = Heap> {
    /// Where message `head` lies.
    cursor: Cursor<T>,
    /// Messages received.
    head: u64,
    /// End of the messages of this line known to be there.
    ready: u64,
    capacity: u64,
    ring: P::Hold<Ring<T>>,
}

// SAFETY: LR-1: the receiver touches only slots it owns; values move from the other thread.
unsafe impl<T: Send, P: Place> Send for LineReceiver<T, P> {}

impl<T, P: Place> LineReceiver<T, P> {
    pub(super) fn new(ring: P::Hold<Ring<T>>, cursor: Cursor<T>, capacity: u64) -> Self {
        Self {
            cursor,
            head: 0,
            ready: 0,
            capacity,
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
        // SAFETY: LR-1, LR-2: `head < ready`; the lines live as long as `self.ring`. Advancing
        // `head` makes this the only move out of the slot.
        let value = unsafe { self.cursor.value().with(|cell| cell.cast::<T>().read()) };
        P::copied();
        self.advance(1);
        Ok(value)
    }

    /// Hands up to `max` values to `f` in order; returns how many. Slots are given back line by
    /// line, or when `f` panics.
    #[inline]
    pub fn try_recv_batch(&mut self, max: usize, mut f: impl FnMut(T)) -> usize {
        let mut received = 0;
        while received < max && (self.head != self.ready || self.refresh()) {
            received += self.drain_line(max - received, &mut f);
        }
        received
    }

    /// Whether a value is there: one load.
    #[inline(always)]
    pub fn is_ready(&self) -> bool {
        // SAFETY: the lines live as long as `self.ring`.
        unsafe { self.cursor.written() }.load(Ordering::Acquire) > self.head // LR-2
            && !self.ring.is_corrupt()
    }

    /// What changes when the next value arrives; `None` if it is there.
    #[inline(always)]
    pub fn idle(&self) -> Option<Probe> {
        // SAFETY: the lines live as long as `self.ring`.
        let written = unsafe { self.cursor.written() };
        let seen = written.load(Ordering::Acquire); // LR-2
        // PR-1: `written` grows, and the next value falls into this very line.
        (seen <= self.head).then(|| Probe::new(written, seen))
    }

    /// Whether a value is there that came on the line read last: no load.
    #[inline(always)]
    pub(in crate::channel) fn has_seen(&self) -> bool {
        self.head != self.ready
    }

    /// Whether the sender is gone; values it sent may still be here.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.ring.ends.is_sender_gone() || self.ring.fault().is_some()
    }

    /// Values the ring holds at most.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// Hands the known values of this line to `f`, at most `max`; returns how many.
    #[inline(always)]
    fn drain_line(&mut self, max: usize, f: &mut impl FnMut(T)) -> usize {
        /// Gives back what was moved out, even if `f` panics.
        struct GiveBack<'a, T, P: Place>(&'a mut LineReceiver<T, P>, usize);
        impl<T, P: Place> Drop for GiveBack<'_, T, P> {
            #[inline(always)]
            fn drop(&mut self) {
                self.0.advance(self.1);
            }
        }
        let here = max.min((self.ready - self.head) as usize);
        let mut batch = GiveBack(self, 0);
        while batch.1 < here {
            // SAFETY: LR-1, LR-2: `head + moved < ready`, and inside the line; counting it first
            // makes this the only move out. The lines live as long as the ring.
            let cell = unsafe { batch.0.cursor.value_at(batch.1) };
            batch.1 += 1;
            // SAFETY: as above.
            let value = cell.with(|cell| unsafe { cell.cast::<T>().read() });
            P::copied();
            f(value);
        }
        here
    }

    /// Rereads `written` of this line; whether a value is there.
    #[inline(always)]
    fn refresh(&mut self) -> bool {
        // SAFETY: the lines live as long as `self.ring`.
        let written = unsafe { self.cursor.written() }.load(Ordering::Acquire); // LR-2
        if P::IS_SHARED && !self.believes(written) {
            return false;
        }
        let is_ready = written > self.head;
        if is_ready {
            self.ready = written.min(self.head + self.cursor.left_in_line());
        }
        is_ready
    }

    /// LR-5: whether `written` of this line can be.
    #[inline(always)]
    fn believes(&mut self, written: u64) -> bool {
        let has_begun = self.cursor.behind_in_line() != 0;
        let least = if has_begun { self.head } else { 0 };
        let most = self.head + self.capacity;
        let is_possible = (least..=most).contains(&written) && !self.ring.is_corrupt();
        if !is_possible {
            self.ring.condemn(corrupt("written", written, least, most));
        }
        is_possible
    }

    /// Gives `values` slots back.
    #[inline(always)]
    fn advance(&mut self, values: usize) {
        self.head += values as u64;
        self.cursor.advance(values);
        self.ring.head.store(self.head, Ordering::Release); // LR-3
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

impl<T> LineReceiver<T> {
    /// The oldest value, left in place.
    #[inline]
    pub fn peek(&mut self) -> Option<&T> {
        if self.head == self.ready && !self.refresh() {
            return None;
        }
        // SAFETY: LR-1, LR-2: `head < ready`, so the value is here and ours until `head` passes
        // it, which needs `&mut self`, borrowed by the answer; the lines live as long as the ring.
        Some(unsafe { self.cursor.value().with(|cell| (*cell).assume_init_ref()) })
    }
}

#[cfg(not(loom))]
impl<T> LineReceiver<T, Shared> {
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

    /// Whether the ring lies in this region.
    pub(in crate::channel) fn is_in(&self, region: &Region) -> bool {
        self.ring.is_in(region)
    }
}

impl<T, P: Place> Drop for LineReceiver<T, P> {
    #[inline(always)]
    fn drop(&mut self) {
        if P::IS_SHARED {
            self.ring.ends.receiver_leaves(); // Plain values have no drop.
        } else {
            drop_unread(&self.ring, self.cursor, self.head, self.capacity);
        }
    }
}

/// Closes the ring and drops what is in it, so that resources held by unread values go now; what
/// is sent during this falls under LR-4. By value, see `channel::held`.
#[cold]
fn drop_unread<T>(ring: &Control, mut cursor: Cursor<T>, head: u64, capacity: u64) {
    ring.ends.receiver_leaves();
    // Bounded: a sender that has not yet seen the flag could keep pace with an open loop.
    for position in head..head + capacity {
        // SAFETY: the caller's share keeps the lines alive.
        if unsafe { cursor.written() }.load(Ordering::Acquire) <= position {
            return; // LR-2
        }
        // SAFETY: LR-1, LR-2: the value is here; `head` passes it next, so this is the only move.
        let value = unsafe { cursor.value().with(|cell| cell.cast::<T>().read()) };
        cursor.advance(1);
        ring.head.store(position + 1, Ordering::Release); // LR-3
        drop(value);
    }
}
