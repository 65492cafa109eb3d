//! The ends of a call ring in control memory.
//!
//! Layout and rules: module doc of `call_slot`; what lies before the slots: `channel::mapped`.

use super::ring::{Slot, State, ledger};
use super::{Callee, Caller};
use crate::channel::mapped::{End, Mapped, head_bytes, open};
use crate::channel::shape::{Kind, Shape};
use crate::channel::slots::{View, check_capacity, slots_bytes};
use crate::channel::{ChannelError, Shared};
use crate::control::{Plain, Region};
use crate::sync::CachePadded;

const CALLER: End = End("caller", 0);
const CALLEE: End = End("callee", 1);

/// Bytes of control memory that a ring of at least `depth` call slots needs.
///
/// # Errors
///
/// [`ChannelError`] if `depth` is zero or too large.
pub fn call_bytes<Q: Plain, A: Plain>(depth: usize) -> Result<usize, ChannelError> {
    check_capacity(depth)?;
    let slots = slots_bytes::<Slot<Q, A>>(depth);
    Ok(head_bytes::<CachePadded<State>>().saturating_add(slots))
}

/// Opens the asking end of a call ring in `region`, which nothing but this ring has used. The other
/// end may be in another process, and may be opened earlier or later.
///
/// # Errors
///
/// [`ChannelError`] if the depth cannot be, the region is too small, it holds another kind of
/// channel, this end is taken, or memory is short.
///
/// # Examples
///
/// ```
/// use maser_shm::channel::call_slot::{call_bytes, callee_in, caller_in};
/// use maser_shm::control::ControlMemory;
///
/// let memory = ControlMemory::create(call_bytes::<u32, u64>(1)?)?;
/// let mut caller = caller_in::<u32, u64>(&memory.whole(), 1)?;
/// // In another process, over `ControlMemory::attach`.
/// let mut callee = callee_in::<u32, u64>(&memory.whole(), 1)?;
/// let number = caller.try_call(6).unwrap();
/// assert!(callee.try_serve(|question| u64::from(question) * 7));
/// assert_eq!(caller.try_take(number), Some(42));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn caller_in<Q: Plain, A: Plain>(
    region: &Region,
    depth: usize,
) -> Result<Caller<Q, A, Shared>, ChannelError> {
    check_capacity(depth)?;
    let ledger = ledger(depth.next_power_of_two())?;
    let (ring, slots) = open_end(region, depth, &CALLER)?;
    Ok(Caller::new(ring, slots, ledger.view(), ledger))
}

/// Opens the answering end of a call ring in `region`; see [`caller_in`].
///
/// # Errors
///
/// As [`caller_in`].
pub fn callee_in<Q: Plain, A: Plain>(
    region: &Region,
    depth: usize,
) -> Result<Callee<Q, A, Shared>, ChannelError> {
    check_capacity(depth)?;
    let ledger = ledger(depth.next_power_of_two())?;
    let (ring, slots) = open_end(region, depth, &CALLEE)?;
    Ok(Callee::new(ring, slots, ledger))
}

#[allow(clippy::type_complexity, reason = "a share and where its slots are")]
fn open_end<Q: Plain, A: Plain>(
    region: &Region,
    depth: usize,
    end: &End,
) -> Result<(Mapped<CachePadded<State>>, View<Slot<Q, A>>), ChannelError> {
    let slots = depth.next_power_of_two();
    let align = align_of::<Slot<Q, A>>();
    let answer = u32::try_from(size_of::<A>()).unwrap_or(u32::MAX);
    let shape = Shape::new(Kind::Calls, slots, size_of::<Q>(), align, answer);
    let bytes = slots_bytes::<Slot<Q, A>>(depth);
    let (ring, start) = open::<CachePadded<State>>(region, shape, bytes, align, end)?;
    Ok((ring, View::over(start.cast(), slots)))
}
