//! The ends of a line ring in control memory.
//!
//! Layout and rules: module doc of `line`; what lies before the lines: `channel::mapped`.
#![allow(unsafe_code, reason = "lines in a region")]

use std::ptr::NonNull;

use super::lines::{Cursor, lines_bytes, lines_for};
use super::{Control, LineReceiver, LineSender};
use crate::channel::mapped::{End, Mapped, head_bytes, open};
use crate::channel::shape::{Kind, Shape};
use crate::channel::slots::check_capacity;
use crate::channel::{ChannelError, Shared};
use crate::control::{Plain, Region};

const SENDER: End = End("sender", 0);
const RECEIVER: End = End("receiver", 1);

/// Bytes of control memory that a line ring of at least `capacity` slots needs.
///
/// # Errors
///
/// [`ChannelError`] if `capacity` is zero or too large.
pub fn line_bytes<T: Plain>(capacity: usize) -> Result<usize, ChannelError> {
    check_capacity(capacity)?;
    Ok(head_bytes::<Control>().saturating_add(lines_bytes::<T>(capacity)))
}

/// Opens the sending end of a line ring in `region`, which nothing but this ring has used. The
/// other end may be in another process, and may be opened earlier or later.
///
/// # Errors
///
/// [`ChannelError`] if the capacity cannot be, the region is too small, it holds another kind of
/// channel, or this end is taken.
///
/// # Examples
///
/// ```
/// use maser_shm::channel::spsc::{line_bytes, line_receiver_in, line_sender_in};
/// use maser_shm::control::ControlMemory;
///
/// let memory = ControlMemory::create(line_bytes::<u64>(4)?)?;
/// let mut sender = line_sender_in::<u64>(&memory.whole(), 4)?;
/// // In another process, over `ControlMemory::attach`.
/// let mut receiver = line_receiver_in::<u64>(&memory.whole(), 4)?;
/// sender.try_send(7).unwrap();
/// assert_eq!(receiver.try_recv(), Ok(7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn line_sender_in<T: Plain>(
    region: &Region,
    capacity: usize,
) -> Result<LineSender<T, Shared>, ChannelError> {
    let (ring, cursor) = open_end(region, capacity, &SENDER)?;
    let capacity = capacity.next_power_of_two() as u64;
    Ok(LineSender::new(ring, cursor, capacity))
}

/// Opens the receiving end of a line ring in `region`; see [`line_sender_in`].
///
/// # Errors
///
/// As [`line_sender_in`].
pub fn line_receiver_in<T: Plain>(
    region: &Region,
    capacity: usize,
) -> Result<LineReceiver<T, Shared>, ChannelError> {
    let (ring, cursor) = open_end(region, capacity, &RECEIVER)?;
    let capacity = capacity.next_power_of_two() as u64;
    Ok(LineReceiver::new(ring, cursor, capacity))
}

fn open_end<T: Plain>(
    region: &Region,
    capacity: usize,
    end: &End,
) -> Result<(Mapped<Control>, Cursor<T>), ChannelError> {
    check_capacity(capacity)?;
    let (slots, align) = (capacity.next_power_of_two(), align_of::<T>());
    let shape = Shape::new(Kind::Line, slots, size_of::<T>(), align, 0);
    let bytes = lines_bytes::<T>(capacity);
    let (ring, lines): (_, NonNull<u8>) = open::<Control>(region, shape, bytes, align, end)?;
    // SAFETY: LL-1, MS-1: `open` saw that the region holds that many lines, aligned for them, and
    // the share keeps it mapped.
    let cursor = unsafe { Cursor::over(lines.cast(), lines_for::<T>(capacity), 0) };
    Ok((ring, cursor))
}
