//! One writer, a fixed set of readers that each see every value.
//!
//! ```text
//! slot (64-byte aligned; larger values take several lines)
//! byte  0  sequence  u64, k + 1 once value k is in; 0 = never used. Written by the writer
//! byte  8  value     T, up to 56 bytes (48 if T is 16-byte aligned) share the line
//!
//! head line, one for each reader (128-byte aligned)
//! byte  0  head      u64, values read, or GONE. Written by the reader, read by the writer
//!                    only when its own copy of the least says full
//!
//! ends line
//! byte  0  gone      u64, readers that left: how many, or a bit for each in control memory. Every
//!                    core keeps a shared copy until one leaves
//! byte  8  writer    who is gone, and how far it had dropped the values
//! ```
//!
//! Value k lives in slot `k & mask`. Positions start at 0, never wrap in practice (2^64), and
//! never reach GONE. Readers clone; no reader writes to a line that another reads.
//!
//! - BC-1 value k may be read by a reader while `sequence == k + 1` and that reader's `head <= k`;
//!   its slot belongs to the writer once every `head > k`.
//! - BC-2 `sequence` is stored Release after the value is written; pairs with the Acquire load in
//!   `Receiver::is_ready`.
//! - BC-3 `head` is stored Release after the value was cloned, GONE after the last clone; pairs
//!   with the Acquire loads in `Sender::refresh`. The writer touches a slot again only then.
//! - BC-4 a value is dropped by the writer: when its slot is used again, or by `reclaim`.
//! - BC-5 `writer_gone` is stored Release after the last send; a reader that sees it (Acquire)
//!   looks at the slot once more before it says `Closed`, so nothing sent is lost.
//! - BC-6 what the writer had not dropped is dropped with the ring: from the `dropped` it left
//!   behind on, as far as the sequences go.
//!
//! In control memory ([`sender_in`], [`receiver_in`]) BC-4 and BC-6 do not apply, a reader copies a
//! value before it looks at it, and heads and slots lie behind the ends line.
//!
//! - BC-7 a head that cannot be (behind the least that was seen, or beyond what was sent) puts its
//!   reader out (WH-2): it counts as gone and the others go on. For a reader, a sequence beyond the
//!   value it waits for ends the channel.
//!
//! Model: `tests/loom_broadcast.rs`. Conformance: `channel_suite!`.
#![allow(
    unsafe_code,
    reason = "shares values in slots that one writer and many readers own in turn"
)]

mod heads;
mod receiver;
mod sender;
#[cfg(not(loom))]
mod shared;

pub use receiver::Receiver;
pub use sender::Sender;
#[cfg(not(loom))]
pub use shared::{READERS_MAX, channel_bytes, receiver_in, sender_in};

use std::mem::MaybeUninit;
use std::sync::Arc;

use super::ChannelError;
use super::held::Held;
use super::place::OnHeap;
use super::slots::Slots;
use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sync::cell::UnsafeCell;
use heads::Heads;

/// Head of a reader that was dropped: it holds nothing up.
const GONE: u64 = u64::MAX;

#[repr(C, align(64))]
struct Slot<T> {
    /// Written by the writer (Release, BC-2), read by the readers (Acquire).
    sequence: AtomicU64,
    value: UnsafeCell<MaybeUninit<T>>,
}

#[cfg(not(loom))]
const _: () = {
    use super::LINE_BYTES;
    assert!(size_of::<Slot<[u8; 56]>>() == LINE_BYTES);
    assert!(size_of::<Slot<[u128; 3]>>() == LINE_BYTES);
};

/// Who is gone. Gone if it is not 0: a peer in another process may write anything there.
struct Ends {
    /// Added to by each dropped reader, read by the writer; advice only, so Relaxed.
    gone: AtomicU64,
    /// Written once by the dropped writer (Release, BC-5), read by the readers (Acquire).
    writer_gone: AtomicU32,
    /// Values the writer had dropped, left here (Relaxed) when it goes, for BC-6.
    dropped: AtomicU64,
}

struct Ring<T> {
    slots: Slots<Slot<T>>,
    /// Each written by its reader (Release, BC-3), read by the writer (Acquire). Counted, not boxed:
    /// a box that is moved takes back what points into it.
    heads: Arc<[CachePadded<AtomicU64>]>,
    ends: CachePadded<Ends>,
}

impl<T> OnHeap for Ring<T> {
    type Control = CachePadded<Ends>;

    #[inline(always)]
    fn control(&self) -> &CachePadded<Ends> {
        &self.ends
    }
}

// SAFETY: BC-1: values are written by one thread while no other looks, and then only cloned
// through `&T` by several, which `T: Sync` allows.
unsafe impl<T: Send + Sync> Sync for Ring<T> {}
// SAFETY: as above; the slots are an owned allocation (SA-1).
unsafe impl<T: Send + Sync> Send for Ring<T> {}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        let slots = self.slots.view();
        let mut position = self.ends.dropped.load(Ordering::Relaxed);
        loop {
            // SAFETY: the slots live until this function returns.
            let slot = unsafe { slots.at(position) };
            if slot.sequence.load(Ordering::Relaxed) != position + 1 {
                return;
            }
            position += 1;
            // SAFETY: BC-6: all ends are gone (the last share's drop orders this after all their
            // steps), the value is here and the writer did not drop it.
            slot.value
                .with_mut(|value| unsafe { (*value).assume_init_drop() });
        }
    }
}

/// Makes a ring of at least `capacity` slots (rounded up to a power of two) for `readers` readers.
///
/// # Errors
///
/// [`ChannelError`] if `readers` or `capacity` is zero, `capacity` is too large, or memory is
/// short.
///
/// # Examples
///
/// ```
/// let (mut sender, mut receivers) = maser_shm::channel::broadcast::channel(2, 4)?;
/// sender.try_send("news").unwrap();
/// assert_eq!(receivers[0].try_recv(), Ok("news"));
/// assert_eq!(receivers[1].try_recv(), Ok("news"));
/// # Ok::<(), maser_shm::channel::ChannelError>(())
/// ```
#[allow(clippy::type_complexity, reason = "the ends are made together")]
pub fn channel<T: Clone + Send + Sync>(
    readers: usize,
    capacity: usize,
) -> Result<(Sender<T>, Vec<Receiver<T>>), ChannelError> {
    if readers == 0 {
        return Err(ChannelError::ZeroLanes);
    }
    let ring = Ring {
        slots: Slots::new(capacity, || Slot {
            sequence: AtomicU64::new(0),
            value: UnsafeCell::new(MaybeUninit::uninit()),
        })?,
        heads: (0..readers)
            .map(|_| CachePadded::new(AtomicU64::new(0)))
            .collect(),
        ends: CachePadded::new(Ends {
            gone: AtomicU64::new(0),
            writer_gone: AtomicU32::new(0),
            dropped: AtomicU64::new(0),
        }),
    };
    let (slots, heads) = (ring.slots.view(), Heads::of(&ring.heads));
    let mut shares = Held::many(ring, readers + 1);
    let sending = shares.pop().expect("one more than there are readers");
    let receivers = shares
        .into_iter()
        .enumerate()
        .map(|(index, ring)| Receiver::new(ring, slots, heads, index))
        .collect();
    Ok((Sender::new(sending, slots, heads, ()), receivers))
}
