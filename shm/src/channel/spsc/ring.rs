//! The memory of a packed ring: lines, head and "gone" flags.
//!
//! Layout and rules: module doc of `spsc`.
#![allow(
    unsafe_code,
    reason = "moves values through slots that two threads own in turn"
)]

use super::lines::Lines;
use super::{Receiver, Sender};
use crate::channel::{Arc, ChannelError};
use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub(super) struct State {
    /// Written once by the dropped sender (Release, CH-4), read by the receiver (Acquire).
    pub(super) sender_gone: AtomicBool,
    /// Written once by the dropped receiver, read by the sender; advice only, so Relaxed.
    pub(super) receiver_gone: AtomicBool,
}

pub(super) struct Ring<T> {
    pub(super) lines: Lines<T>,
    /// Written by the receiver (Release, CH-3), read by the sender (Acquire).
    pub(super) head: CachePadded<AtomicU64>,
    pub(super) state: CachePadded<State>,
}

// SAFETY: CH-1: every value has one owner at a time, so a ring may be shared where `T` may move.
unsafe impl<T: Send> Sync for Ring<T> {}
// SAFETY: as above; the lines are an owned allocation (PL-1).
unsafe impl<T: Send> Send for Ring<T> {}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        let mut position = self.head.load(Ordering::Relaxed);
        let mut cursor = self.lines.cursor(position);
        // SAFETY: the lines live until this function returns.
        while unsafe { cursor.written() }.load(Ordering::Relaxed) > position {
            // SAFETY: CH-5: both ends are gone (the Arc's last drop orders this after all their
            // steps); `written` says a value is here, `head` says nobody took it.
            unsafe { cursor.value() }.with_mut(|value| unsafe { (*value).assume_init_drop() });
            cursor.advance(1);
            position += 1;
        }
    }
}

/// Makes a ring of at least `capacity` slots (rounded up to a power of two).
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
    let ring = Arc::new(Ring {
        lines: Lines::new(capacity)?,
        head: CachePadded::new(AtomicU64::new(0)),
        state: CachePadded::new(State {
            sender_gone: AtomicBool::new(false),
            receiver_gone: AtomicBool::new(false),
        }),
    });
    let capacity = capacity.next_power_of_two() as u64;
    Ok((
        Sender::new(ring.clone(), capacity),
        Receiver::new(ring, capacity),
    ))
}
