//! The ring for rates: values packed, the two positions on lines of their own.
//!
//! ```text
//! values             T by T, 64-byte aligned as a whole; message k at `k & mask`
//!
//! tail line (128-byte aligned)
//! byte  0  tail      u64, messages sent. Written by the sender, read by the receiver only
//!                    when its own copy says empty
//!
//! head line (128-byte aligned)
//! byte  0  head      u64, messages received. Written by the receiver, read by the sender
//!                    only when its own copy says full
//!
//! ends               who is gone: `channel::ends`
//! ```
//!
//! 128 keeps the two sides off lines that are prefetched in pairs. Positions start at 0 and never
//! wrap in practice (2^64).
//!
//! - CH-1 values in `head..tail` belong to the receiver, all other places to the sender.
//! - CH-2 `tail` is stored Release after the values are written; pairs with the Acquire loads in
//!   `Receiver::{is_ready, refresh}`.
//! - CH-3 `head` is stored Release after the values are moved out; pairs with the Acquire load in
//!   `Sender::refresh`.
//! - CH-4 a batch is published once, by a guard, so that a panic in the user's iterator or
//!   closure leaves the positions as far as the values went.
//! - CH-5 what neither end took (CH-1) is dropped with the ring.
//!
//! - CH-6 in control memory ([`sender_in`], [`receiver_in`]) CH-5 does not apply, and a position that
//!   a peer wrote is possible or ends the ring (WH-2): `tail` lies between what it was and `capacity`
//!   ahead of the receiver's own count, `head` between what it was and the sender's own count.
//!
//! A batch of lines that are all written may be fetched ahead without disturbing the sender, which
//! doubles its rate (0.7 against 1.2 ns a u64, 2 cores of a Zen 4 guest); lines beyond `tail` may
//! not: fetching those takes them from the sender's hands.
//!
//! Model: `tests/loom_spsc.rs`. Conformance: `channel_suite!`.
#![allow(
    unsafe_code,
    reason = "moves values through slots that two threads own in turn"
)]

mod receiver;
mod sender;
#[cfg(not(loom))]
mod shared;

pub use receiver::Receiver;
pub use sender::Sender;
#[cfg(not(loom))]
pub use shared::{channel_bytes, receiver_in, sender_in};

use std::mem::MaybeUninit;

use crate::channel::ChannelError;
use crate::channel::ends::Ends;
use crate::channel::held::Held;
use crate::channel::place::OnHeap;
use crate::channel::slots::Slots;
use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::cell::UnsafeCell;

type Slot<T> = UnsafeCell<MaybeUninit<T>>;

struct Ring<T> {
    slots: Slots<Slot<T>>,
    control: Control,
}

/// What both ends need.
#[repr(C)]
struct Control {
    /// Written by the sender (Release, CH-2), read by the receiver (Acquire).
    tail: CachePadded<AtomicU64>,
    /// Written by the receiver (Release, CH-3), read by the sender (Acquire).
    head: CachePadded<AtomicU64>,
    ends: Ends,
}

impl<T> OnHeap for Ring<T> {
    type Control = Control;

    #[inline(always)]
    fn control(&self) -> &Control {
        &self.control
    }
}

// SAFETY: CH-1: every value has one owner at a time, so a ring may be shared where `T` may move.
unsafe impl<T: Send> Sync for Ring<T> {}
// SAFETY: as above; the slots are an owned allocation (SA-1).
unsafe impl<T: Send> Send for Ring<T> {}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        let slots = self.slots.view();
        let Control { head, tail, .. } = &self.control;
        for position in head.load(Ordering::Relaxed)..tail.load(Ordering::Relaxed) {
            // SAFETY: CH-5: both ends are gone (the last share's drop orders this after all their
            // steps), and the slots live until this function returns.
            unsafe {
                slots
                    .at(position)
                    .with_mut(|value| (*value).assume_init_drop())
            };
        }
    }
}

/// Makes a ring of at least `capacity` slots (rounded up to a power of two), for rates.
///
/// # Errors
///
/// [`ChannelError`] if `capacity` is zero or too large, or memory is short.
///
/// # Examples
///
/// ```
/// let (mut sender, mut receiver) = maser_shm::channel::spsc::channel(4)?;
/// sender.try_send(7).unwrap();
/// assert_eq!(receiver.try_recv(), Ok(7));
/// # Ok::<(), maser_shm::channel::ChannelError>(())
/// ```
pub fn channel<T: Send>(capacity: usize) -> Result<(Sender<T>, Receiver<T>), ChannelError> {
    let slots = Slots::new(capacity, || UnsafeCell::new(MaybeUninit::uninit()))?;
    let view = slots.view();
    let (sending, receiving) = Held::pair(Ring {
        slots,
        control: Control {
            tail: CachePadded::new(AtomicU64::new(0)),
            head: CachePadded::new(AtomicU64::new(0)),
            ends: Ends::new(),
        },
    });
    Ok((Sender::new(sending, view), Receiver::new(receiving, view)))
}
