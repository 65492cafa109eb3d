//! One end's share of a ring in control memory.
//!
//! ```text
//! header (128 bytes)
//! byte  0  shape   2 x u64, what the channel is. Written by whichever end comes first
//! byte 16  claims  u64, a bit for each end that was opened
//!
//! control          what both ends need: positions, flags; as on the heap
//! slots
//! ```
//!
//! - MS-1 all of it lies in the region, which the share keeps mapped (CM-4); nothing in it is
//!   referenced but atomics (CM-3).
//! - MS-2 zero in the shape means that nobody was here; an end sets the words or finds them as it
//!   would set them, or is not opened.
//! - MS-3 an end is opened once, so that no two threads act as the same end. A claim is never taken
//!   back: the state of an end that is gone is gone with it. A peer that clears claims can spoil
//!   values by it, which are bytes, and nothing else.
#![allow(unsafe_code, reason = "atomics at computed offsets of a mapping")]

use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

use super::place::Hold;
use super::shape::Shape;
use super::{ChannelError, PeerFault};
use crate::control::{Mapped as Mapping, REGION_ALIGN, Region};
use crate::sync::atomic::{AtomicU64, Ordering};

#[repr(C, align(128))]
struct Header {
    /// Set by whichever end comes first (MS-2).
    shape: [AtomicU64; 2],
    /// Set by each end (MS-3).
    claims: AtomicU64,
}

const _: () = assert!(size_of::<Header>() == REGION_ALIGN && align_of::<Header>() == REGION_ALIGN);

/// An end that can be opened once: its name, its bit in the claims.
pub(super) struct End(pub(super) &'static str, pub(super) u32);

/// A share of a ring whose common words are `C`.
pub struct Mapped<C> {
    control: NonNull<C>,
    fault: Option<PeerFault>,
    /// A bare count, see `channel::held`.
    mapping: NonNull<Mapping>,
}

// SAFETY: MS-1: it is a counted reference to atomics.
unsafe impl<C: Sync> Send for Mapped<C> {}

/// Bytes before the slots.
pub(super) const fn head_bytes<C>() -> usize {
    size_of::<Header>() + size_of::<C>().next_multiple_of(REGION_ALIGN)
}

/// Opens an end of a ring of such a shape whose slots need `slots_bytes`; also tells where the
/// slots are.
///
/// `C` consists of atomics alone.
pub(super) fn open<C>(
    region: &Region,
    shape: Shape,
    slots_bytes: usize,
    align: usize,
    end: &End,
) -> Result<(Mapped<C>, NonNull<u8>), ChannelError> {
    const { assert!(align_of::<C>() <= REGION_ALIGN) };
    if align > REGION_ALIGN {
        return Err(ChannelError::Alignment { align });
    }
    let needed = head_bytes::<C>().saturating_add(slots_bytes);
    if region.bytes() < needed {
        return Err(ChannelError::RegionTooSmall {
            shape,
            needed,
            found: region.bytes(),
        });
    }
    // SAFETY: MS-1: inside the region by the check above, aligned by CM-4, and only atomics.
    let header = unsafe { region.start().cast::<Header>().as_ref() };
    agree(header, shape)?;
    let bit = 1 << end.1;
    if header.claims.fetch_or(bit, Ordering::Relaxed) & bit != 0 {
        return Err(ChannelError::EndTaken { end: end.0 });
    }
    let mapping = Arc::into_raw(region.memory().mapping()).cast_mut();
    // SAFETY: MS-1: inside the region by the check above.
    let (control, slots) = unsafe {
        let start = region.start();
        (
            start.add(size_of::<Header>()).cast(),
            start.add(head_bytes::<C>()),
        )
    };
    let share = Mapped {
        control,
        fault: None,
        mapping: NonNull::new(mapping).expect("a value in an Arc has an address"),
    };
    Ok((share, slots))
}

/// MS-2.
fn agree(header: &Header, ours: Shape) -> Result<(), ChannelError> {
    let mut found = ours.0;
    for (index, stored) in header.shape.iter().enumerate() {
        let set = if found == ours.0 {
            stored.compare_exchange(0, ours.0[index], Ordering::Relaxed, Ordering::Relaxed)
        } else {
            // Another channel's: left as it is.
            Err(stored.load(Ordering::Relaxed))
        };
        found[index] = set.err().unwrap_or(ours.0[index]);
    }
    if found == ours.0 {
        return Ok(());
    }
    Err(ChannelError::OtherShape {
        ours,
        theirs: Shape(found),
    })
}

impl<C> Mapped<C> {
    /// Whether the ring lies in this region.
    pub(super) fn is_in(&self, region: &Region) -> bool {
        let (start, at) = (region.start().addr().get(), self.control.addr().get());
        (start..start + region.bytes()).contains(&at)
    }
}

impl<C> Deref for Mapped<C> {
    type Target = C;

    #[inline(always)]
    fn deref(&self) -> &C {
        // SAFETY: MS-1.
        unsafe { self.control.as_ref() }
    }
}

impl<C> Hold for Mapped<C> {
    type Control = C;

    #[inline(always)]
    fn fault(&self) -> Option<PeerFault> {
        self.fault
    }

    #[inline(always)]
    fn condemn(&mut self, fault: PeerFault) {
        if self.fault.is_none() || self.fault == Some(PeerFault::Died) {
            self.fault = Some(fault);
        }
    }
}

impl<C> Drop for Mapped<C> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: `open` took the count for this share, and this is its end.
        unsafe { release(self.mapping) };
    }
}

/// Gives one count back; by value, see `channel::held`.
///
/// # Safety
///
/// The pointer came from `Arc::into_raw` and the caller owns a count.
#[inline(never)]
unsafe fn release(mapping: NonNull<Mapping>) {
    // SAFETY: this function's contract.
    drop(unsafe { Arc::from_raw(mapping.as_ptr().cast_const()) });
}
