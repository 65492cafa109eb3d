//! The ring for latency: as many values to a line as fit, with the count that publishes them.
//!
//! ```text
//! line (64-byte aligned)
//! byte  0  written   u64, messages sent when this line was last written to. Written by the
//!                    sender, read by the receiver
//! byte  8  values    as many as fit: 56 of 1 byte, 7 of 8, 1 of 29 to 56 (from byte 16 on if T
//!                    is 16-byte aligned); a larger value has several lines of its own
//!
//! head line (128-byte aligned)
//! byte  0  head      u64, messages received. Written by the receiver, read by the sender
//!                    only when its own copy says full
//!
//! ends               who is gone: `channel::ends`
//! ```
//!
//! With `n` values to a line, message k lies in line `k / n & mask`, place `k % n`; both ends keep
//! a cursor and never divide. Positions start at 0 and never wrap in practice (2^64). No position
//! stands between sender and receiver: the line that brings a value brings the news of it.
//!
//! - LR-1 message k belongs to the receiver while its line's `written > k` and `head <= k`; its
//!   place belongs to the sender, for the next message that falls there, once `head > k`.
//! - LR-2 `written` is stored Release after the values are written; pairs with the Acquire loads
//!   in `LineReceiver::{is_ready, refresh}`. It grows from lap to lap; when it is beyond the end
//!   of a line as the receiver counts, the whole line is there.
//! - LR-3 `head` is stored Release after the values are moved out; pairs with the Acquire load in
//!   `LineSender::refresh`. Message k is written only once `head + capacity > k`.
//! - LR-4 what neither end took is dropped with the ring: from `head` on, as far as `written` goes.
//!
//! In control memory ([`line_sender_in`], [`line_receiver_in`]) the same lines lie in a region, behind
//! head and ends; LR-4 does not apply, because plain values have no drop. A peer that is killed
//! between two stores has published what `written` (or `head`) says and nothing else.
//!
//! - LR-5 what a peer wrote is possible or ends the ring (WH-2): `written` is at most `capacity` ahead
//!   of the receiver's own count and, on a line it has begun, not behind it; `head` is never behind
//!   what it was and never ahead of the sender's own count.
//!
//! Model: `tests/loom_spsc.rs`. Conformance: `channel_suite!`.
#![allow(
    unsafe_code,
    reason = "moves values through slots that two threads own in turn"
)]

mod lines;
mod receiver;
mod sender;
#[cfg(not(loom))]
mod shared;

pub use receiver::LineReceiver;
pub use sender::LineSender;
#[cfg(not(loom))]
pub use shared::{line_bytes, line_receiver_in, line_sender_in};

use crate::channel::ChannelError;
use crate::channel::ends::Ends;
use crate::channel::held::Held;
use crate::channel::place::OnHeap;
use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicU64, Ordering};
use lines::Lines;

struct Ring<T> {
    lines: Lines<T>,
    control: Control,
}

/// What both ends need.
#[repr(C)]
struct Control {
    /// Written by the receiver (Release, LR-3), read by the sender (Acquire).
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

// SAFETY: LR-1: every value has one owner at a time, so a ring may be shared where `T` may move.
unsafe impl<T: Send> Sync for Ring<T> {}
// SAFETY: as above; the lines are an owned allocation (LL-1).
unsafe impl<T: Send> Send for Ring<T> {}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        let mut position = self.control.head.load(Ordering::Relaxed);
        let mut cursor = self.lines.cursor(position);
        // SAFETY: the lines live until this function returns.
        while unsafe { cursor.written() }.load(Ordering::Relaxed) > position {
            // SAFETY: LR-4: both ends are gone (the last share's drop orders this after all their
            // steps); `written` says a value is here, `head` says nobody took it.
            unsafe { cursor.value() }.with_mut(|value| unsafe { (*value).assume_init_drop() });
            cursor.advance(1);
            position += 1;
        }
    }
}

/// Makes a ring of at least `capacity` slots (rounded up to a power of two), for latency.
///
/// # Errors
///
/// [`ChannelError`] if `capacity` is zero or too large, or memory is short.
///
/// # Examples
///
/// ```
/// let (mut sender, mut receiver) = maser_shm::channel::spsc::line_channel(4)?;
/// sender.try_send(7).unwrap();
/// assert_eq!(receiver.try_recv(), Ok(7));
/// # Ok::<(), maser_shm::channel::ChannelError>(())
/// ```
pub fn line_channel<T: Send>(
    capacity: usize,
) -> Result<(LineSender<T>, LineReceiver<T>), ChannelError> {
    let lines = Lines::new(capacity)?;
    let cursor = lines.cursor(0);
    let (sending, receiving) = Held::pair(Ring {
        lines,
        control: Control {
            head: CachePadded::new(AtomicU64::new(0)),
            ends: Ends::new(),
        },
    });
    let capacity = capacity.next_power_of_two() as u64;
    Ok((
        LineSender::new(sending, cursor, capacity),
        LineReceiver::new(receiving, cursor, capacity),
    ))
}
