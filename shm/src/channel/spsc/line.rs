//! The ring for latency: sequence and value of a message on one line.
//!
//! ```text
//! slot (64-byte aligned; larger values take several lines)
//! byte  0  sequence  u64, k + 1 once message k is in; 0 = never used. Written by the sender
//! byte  8  value     T, up to 56 bytes (48 if T is 16-byte aligned) share the line
//!
//! head line (128-byte aligned)
//! byte  0  head      u64, messages received. Written by the receiver, read by the sender
//!                    only when its own copy says full
//!
//! state line         the two "gone" flags, written once each; every core keeps a shared copy
//! ```
//!
//! Message k lives in slot `k & mask`. Positions start at 0, never wrap in practice (2^64).
//!
//! - LR-1 the value of slot k belongs to the receiver while `sequence == k + 1` and `head <= k`,
//!   and to the sender while `k + capacity == tail` position is not yet sent and `head > k`.
//! - LR-2 `sequence` is stored Release after the value is written; pairs with the Acquire load in
//!   `is_ready`. The receiver reads a value only after it saw its sequence.
//! - LR-3 `head` is stored Release after the value is moved out; pairs with the Acquire load in
//!   `refresh`. The sender overwrites a slot only after it saw `head` pass it.
//! - LR-4 `sender_gone` is stored Release after the last send; a receiver that sees it (Acquire)
//!   looks at the slot once more before it says `Closed`, so nothing sent is lost.
//! - LR-5 what neither end took is dropped with the ring: from `head` on, as far as the
//!   sequences go.
//!
//! Model: `tests/loom_spsc.rs`. Conformance: `channel_suite!`.
#![allow(
    unsafe_code,
    reason = "moves values through slots that two threads own in turn"
)]

use std::mem::MaybeUninit;

use crate::channel::slots::{Slots, View};
use crate::channel::{Arc, ChannelError, LINE_BYTES, TryRecvError, TrySendError};
use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::cell::UnsafeCell;

#[repr(C, align(64))]
struct Slot<T> {
    /// Written by the sender (Release, LR-2), read by the receiver (Acquire).
    sequence: AtomicU64,
    value: UnsafeCell<MaybeUninit<T>>,
}

#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<Slot<[u8; 56]>>() == LINE_BYTES);
    assert!(size_of::<Slot<[u128; 3]>>() == LINE_BYTES);
    assert!(align_of::<Slot<u8>>() == LINE_BYTES);
};

struct State {
    /// Written once by the dropped sender (Release, LR-4), read by the receiver (Acquire).
    sender_gone: AtomicBool,
    /// Written once by the dropped receiver, read by the sender; advice only, so Relaxed.
    receiver_gone: AtomicBool,
}

struct Ring<T> {
    slots: Slots<Slot<T>>,
    /// Written by the receiver (Release, LR-3), read by the sender (Acquire).
    head: CachePadded<AtomicU64>,
    state: CachePadded<State>,
}

// SAFETY: LR-1: every value has one owner at a time, so a ring may be shared where `T` may move.
unsafe impl<T: Send> Sync for Ring<T> {}
// SAFETY: as above; the slots' base pointer is an owned allocation (SA-1).
unsafe impl<T: Send> Send for Ring<T> {}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        let slots = self.slots.view();
        let mut position = self.head.load(Ordering::Relaxed);
        loop {
            // SAFETY: the slots live until this function returns.
            let slot = unsafe { slots.at(position) };
            if slot.sequence.load(Ordering::Relaxed) != position + 1 {
                return;
            }
            position += 1;
            // SAFETY: LR-5: both ends are gone (the Arc's last drop orders this after all their
            // steps), the sequence says a value is here, `head` says nobody took it.
            slot.value
                .with_mut(|value| unsafe { (*value).assume_init_drop() });
        }
    }
}

/// Makes a ring of at least `capacity` slots (rounded up to a power of two), a line per message.
///
/// # Errors
///
/// [`ChannelError`] if `capacity` is zero or too large, or memory is short.
///
/// # Examples
///
/// ```
/// let (mut sender, mut receiver) = maser_shm::channel::spsc::line_channel(4)?;
/// sender.try_send([7_u64; 6]).unwrap();
/// assert_eq!(receiver.try_recv(), Ok([7; 6]));
/// # Ok::<(), maser_shm::channel::ChannelError>(())
/// ```
pub fn line_channel<T: Send>(
    capacity: usize,
) -> Result<(LineSender<T>, LineReceiver<T>), ChannelError> {
    let slots = Slots::new(capacity, || Slot {
        sequence: AtomicU64::new(0),
        value: UnsafeCell::new(MaybeUninit::uninit()),
    })?;
    let sender_slots = slots.view();
    let receiver_slots = slots.view();
    let limit = sender_slots.len();
    let ring = Arc::new(Ring {
        slots,
        head: CachePadded::new(AtomicU64::new(0)),
        state: CachePadded::new(State {
            sender_gone: AtomicBool::new(false),
            receiver_gone: AtomicBool::new(false),
        }),
    });
    Ok((
        LineSender {
            slots: sender_slots,
            tail: 0,
            limit,
            ring: ring.clone(),
        },
        LineReceiver {
            slots: receiver_slots,
            head: 0,
            ring,
        },
    ))
}

/// The sending end of a [`line_channel`].
pub struct LineSender<T> {
    slots: View<Slot<T>>,
    /// Messages sent.
    tail: u64,
    /// First position that must not be written: the last `head` seen, plus the capacity.
    limit: u64,
    ring: Arc<Ring<T>>,
}

// SAFETY: LR-1: the sender touches only slots it owns; values move to the other thread.
unsafe impl<T: Send> Send for LineSender<T> {}

impl<T> LineSender<T> {
    /// Puts `value` into the ring.
    ///
    /// # Errors
    ///
    /// [`TrySendError::Full`] or [`TrySendError::Closed`], with the value.
    #[inline]
    pub fn try_send(&mut self, value: T) -> Result<(), TrySendError<T>> {
        if self.is_closed() {
            return Err(TrySendError::Closed(value));
        }
        if self.tail == self.limit && !self.refresh() {
            return Err(TrySendError::Full(value));
        }
        self.put(value);
        Ok(())
    }

    /// Sends values of `values` until the ring is full or closed or there are no more; returns
    /// how many. No value is taken from the iterator that is not sent.
    #[inline]
    pub fn try_send_batch(&mut self, values: &mut impl Iterator<Item = T>) -> usize {
        if self.is_closed() {
            return 0;
        }
        let mut sent = 0;
        while self.tail < self.limit || self.refresh() {
            let Some(value) = values.next() else { break };
            self.put(value);
            sent += 1;
        }
        sent
    }

    /// Whether `try_send` would now answer [`TrySendError::Full`].
    #[inline]
    pub fn is_full(&mut self) -> bool {
        self.tail == self.limit && !self.refresh()
    }

    /// Whether the receiver is gone.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.ring.state.receiver_gone.load(Ordering::Relaxed)
    }

    /// Slots of the ring.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.slots.len() as usize
    }

    /// Writes message `tail`, whose slot is free.
    #[inline(always)]
    fn put(&mut self, value: T) {
        // SAFETY: the ring, and with it the slots, live as long as `self.ring`.
        let slot = unsafe { self.slots.at(self.tail) };
        // SAFETY: LR-1, LR-3: `tail < limit`, so `head` has passed the slot's last message.
        slot.value.with_mut(|cell| unsafe { (*cell).write(value) });
        self.tail += 1;
        slot.sequence.store(self.tail, Ordering::Release); // LR-2
    }

    /// Rereads `head`; whether a slot is free.
    #[cold]
    fn refresh(&mut self) -> bool {
        self.limit = self.ring.head.load(Ordering::Acquire) + self.slots.len(); // LR-3
        self.tail < self.limit
    }
}

impl<T> Drop for LineSender<T> {
    fn drop(&mut self) {
        self.ring.state.sender_gone.store(true, Ordering::Release); // LR-4
    }
}

/// The receiving end of a [`line_channel`].
pub struct LineReceiver<T> {
    slots: View<Slot<T>>,
    /// Messages received.
    head: u64,
    ring: Arc<Ring<T>>,
}

// SAFETY: LR-1: the receiver touches only slots it owns; values move from the other thread.
unsafe impl<T: Send> Send for LineReceiver<T> {}

impl<T> LineReceiver<T> {
    /// Takes the oldest value.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`], or [`TryRecvError::Closed`] once everything sent was received and
    /// the sender is gone.
    #[inline]
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        if !self.is_ready() {
            self.settle_empty()?;
        }
        let value = self.take();
        self.publish();
        Ok(value)
    }

    /// Hands up to `max` values to `f` in order; returns how many. Slots are given back together,
    /// at the end or when `f` panics.
    #[inline]
    pub fn try_recv_batch(&mut self, max: usize, mut f: impl FnMut(T)) -> usize {
        struct Publish<'a, T>(&'a mut LineReceiver<T>);
        impl<T> Drop for Publish<'_, T> {
            fn drop(&mut self) {
                self.0.publish();
            }
        }
        if max == 0 || !self.is_ready() {
            return 0;
        }
        let this = Publish(self);
        let mut received = 0;
        while received < max && this.0.is_ready() {
            received += 1;
            f(this.0.take());
        }
        received
    }

    /// Whether a value is there: one load.
    #[inline]
    pub fn is_ready(&self) -> bool {
        // SAFETY: the ring, and with it the slots, live as long as `self.ring`.
        let slot = unsafe { self.slots.at(self.head) };
        slot.sequence.load(Ordering::Acquire) == self.head + 1 // LR-2
    }

    /// The oldest value, left in place.
    #[inline]
    pub fn peek(&mut self) -> Option<&T> {
        if !self.is_ready() {
            return None;
        }
        // SAFETY: the ring, and with it the slots, live as long as `self.ring`.
        let slot = unsafe { self.slots.at(self.head) };
        // SAFETY: LR-1, LR-2: the value is here and ours until `head` passes it, which needs
        // `&mut self`, borrowed by the answer.
        Some(slot.value.with(|cell| unsafe { (*cell).assume_init_ref() }))
    }

    /// Whether the sender is gone; values it sent may still be here.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.ring.state.sender_gone.load(Ordering::Acquire)
    }

    /// Slots of the ring.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.slots.len() as usize
    }

    /// Moves message `head` out; the caller has seen `is_ready` and publishes afterwards.
    #[inline(always)]
    fn take(&mut self) -> T {
        // SAFETY: the ring, and with it the slots, live as long as `self.ring`.
        let slot = unsafe { self.slots.at(self.head) };
        self.head += 1;
        // SAFETY: LR-1, LR-2: the sequence was seen, so the value is here, and advancing `head`
        // makes this the only move out of it.
        slot.value
            .with(|cell| unsafe { (*cell).assume_init_read() })
    }

    #[inline(always)]
    fn publish(&self) {
        self.ring.head.store(self.head, Ordering::Release); // LR-3
    }

    /// Tells empty from closed (LR-4); `Ok` if a value came meanwhile.
    #[inline]
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

impl<T> Drop for LineReceiver<T> {
    fn drop(&mut self) {
        self.ring.state.receiver_gone.store(true, Ordering::Relaxed);
        // Resources held by unread values go now; what is sent during this falls under LR-5.
        // Bounded: a sender that has not yet seen the flag could keep pace with an open loop.
        self.try_recv_batch(self.capacity(), drop);
    }
}
