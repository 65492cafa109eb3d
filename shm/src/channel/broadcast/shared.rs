//! The ends of a broadcast in control memory.
//!
//! Layout and rules: module doc of `broadcast`; what lies before the ends line: `channel::mapped`.

use super::heads::Heads;
use super::{Ends, Receiver, Sender, Slot};
use crate::channel::mapped::{End, Mapped, head_bytes, open};
use crate::channel::shape::{Kind, Shape};
use crate::channel::slots::{View, check_capacity, slots_bytes};
use crate::channel::{ChannelError, Shared};
use crate::control::{Plain, Region};
use crate::sync::CachePadded;
use crate::sync::atomic::AtomicU64;

/// Most readers of a broadcast in control memory.
pub const READERS_MAX: usize = 63;

const SENDER: End = End("sender", 0);

/// Bytes of control memory that a broadcast of at least `capacity` slots to `readers` readers needs.
///
/// # Errors
///
/// [`ChannelError`] if there are no readers or too many, or `capacity` is zero or too large.
pub fn channel_bytes<T: Plain + Sync>(
    readers: usize,
    capacity: usize,
) -> Result<usize, ChannelError> {
    check(readers, capacity)?;
    let ring = Heads::bytes(readers).saturating_add(slots_bytes::<Slot<T>>(capacity));
    Ok(head_bytes::<CachePadded<Ends>>().saturating_add(ring))
}

/// Opens the writing end of a broadcast in `region`, which nothing but this ring has used. The other
/// ends may be in other processes, and may be opened earlier or later: a reader that comes late
/// finds all values, because its head holds the ring up from the start.
///
/// # Errors
///
/// [`ChannelError`] if the readers or the capacity cannot be, the region is too small, it holds
/// another kind of channel, or this end is taken.
///
/// # Examples
///
/// ```
/// use maser_shm::channel::broadcast::{channel_bytes, receiver_in, sender_in};
/// use maser_shm::control::ControlMemory;
///
/// let memory = ControlMemory::create(channel_bytes::<u64>(2, 4)?)?;
/// let mut sender = sender_in::<u64>(&memory.whole(), 2, 4)?;
/// sender.try_send(7).unwrap();
/// for index in 0..2 {
///     // In other processes, over `ControlMemory::attach`.
///     let mut receiver = receiver_in::<u64>(&memory.whole(), 2, 4, index)?;
///     assert_eq!(receiver.try_recv(), Ok(7));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn sender_in<T: Plain + Sync>(
    region: &Region,
    readers: usize,
    capacity: usize,
) -> Result<Sender<T, Shared>, ChannelError> {
    let (ring, heads, slots) = open_end(region, readers, capacity, &SENDER)?;
    Ok(Sender::new(ring, slots, heads, AtomicU64::new(0)))
}

/// Opens the end of reader `index` of `readers` of a broadcast in `region`; see [`sender_in`].
///
/// # Errors
///
/// As [`sender_in`]; [`ChannelError::NoSuchReader`] if there are not so many.
pub fn receiver_in<T: Plain + Sync>(
    region: &Region,
    readers: usize,
    capacity: usize,
    index: usize,
) -> Result<Receiver<T, Shared>, ChannelError> {
    check(readers, capacity)?;
    if index >= readers {
        return Err(ChannelError::NoSuchReader { index, readers });
    }
    let end = End("reader", 1 + index as u32);
    let (ring, heads, slots) = open_end(region, readers, capacity, &end)?;
    Ok(Receiver::new(ring, slots, heads, index))
}

fn check(readers: usize, capacity: usize) -> Result<(), ChannelError> {
    match readers {
        0 => Err(ChannelError::ZeroLanes),
        1..=READERS_MAX => check_capacity(capacity),
        asked => Err(ChannelError::TooManyReaders {
            asked,
            max: READERS_MAX,
        }),
    }
}

#[allow(clippy::type_complexity, reason = "a share and where its slots are")]
fn open_end<T: Plain + Sync>(
    region: &Region,
    readers: usize,
    capacity: usize,
    end: &End,
) -> Result<(Mapped<CachePadded<Ends>>, Heads, View<Slot<T>>), ChannelError> {
    check(readers, capacity)?;
    let slots = capacity.next_power_of_two();
    let align = align_of::<Slot<T>>();
    let shape = Shape::new(
        Kind::Broadcast,
        slots,
        size_of::<T>(),
        align,
        readers as u32,
    );
    let bytes = Heads::bytes(readers).saturating_add(slots_bytes::<Slot<T>>(capacity));
    let (ring, start) = open::<CachePadded<Ends>>(region, shape, bytes, align, end)?;
    // `open` saw that heads and slots lie in the region.
    let heads = Heads::over(start, readers);
    Ok((ring, heads, View::over(heads.end().cast(), slots)))
}
