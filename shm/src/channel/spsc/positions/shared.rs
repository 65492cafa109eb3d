//! The ends of a ring of positions in control memory.
//!
//! Layout and rules: module doc of `positions`; what lies before the values: `channel::mapped`.

use super::{Control, Receiver, Sender, Slot};
use crate::channel::mapped::{End, Mapped, head_bytes, open};
use crate::channel::shape::{Kind, Shape};
use crate::channel::slots::{View, check_capacity, slots_bytes};
use crate::channel::{ChannelError, Shared};
use crate::control::{Plain, Region};

const SENDER: End = End("sender", 0);
const RECEIVER: End = End("receiver", 1);

/// Bytes of control memory that a ring for rates of at least `capacity` slots needs.
///
/// # Errors
///
/// [`ChannelError`] if `capacity` is zero or too large.
pub fn channel_bytes<T: Plain>(capacity: usize) -> Result<usize, ChannelError> {
    check_capacity(capacity)?;
    Ok(head_bytes::<Control>().saturating_add(slots_bytes::<Slot<T>>(capacity)))
}

/// Opens the sending end of a ring for rates in `region`, which nothing but this ring has used. The
/// other end may be in another process, and may be opened earlier or later.
///
/// # Errors
///
/// [`ChannelError`] if the capacity cannot be, the region is too small, it holds another kind of
/// channel, or this end is taken.
pub fn sender_in<T: Plain>(
    region: &Region,
    capacity: usize,
) -> Result<Sender<T, Shared>, ChannelError> {
    let (ring, slots) = open_end(region, capacity, &SENDER)?;
    Ok(Sender::new(ring, slots))
}

/// Opens the receiving end of a ring for rates in `region`; see [`sender_in`].
///
/// # Errors
///
/// As [`sender_in`].
pub fn receiver_in<T: Plain>(
    region: &Region,
    capacity: usize,
) -> Result<Receiver<T, Shared>, ChannelError> {
    let (ring, slots) = open_end(region, capacity, &RECEIVER)?;
    Ok(Receiver::new(ring, slots))
}

fn open_end<T: Plain>(
    region: &Region,
    capacity: usize,
    end: &End,
) -> Result<(Mapped<Control>, View<Slot<T>>), ChannelError> {
    check_capacity(capacity)?;
    let (slots, align) = (capacity.next_power_of_two(), align_of::<T>());
    let shape = Shape::new(Kind::Positions, slots, size_of::<T>(), align, 0);
    let bytes = slots_bytes::<Slot<T>>(capacity);
    let (ring, start) = open::<Control>(region, shape, bytes, align, end)?;
    Ok((ring, View::over(start.cast(), slots)))
}
