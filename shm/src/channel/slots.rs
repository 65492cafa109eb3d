//! The array of slots behind every ring.
//!
//! - SA-1 the allocation is made once, never moves and is freed when the `Slots` is dropped; both
//!   ends keep the raw base of it beside an `Arc` of the ring that owns it.
//! - SA-2 the length is a power of two, so `position & mask` is always inside the allocation.
//! - SA-3 it starts and ends on line boundaries, so no line is shared with other data.
#![allow(
    unsafe_code,
    reason = "indexing by a masked position, with no bounds check"
)]

use std::alloc::Layout;
use std::ptr::NonNull;

use super::{ChannelError, LINE_BYTES};

/// Most slots of a ring; positions are 64-bit, so the limit is only a sanity check.
pub(super) const CAPACITY_MAX: usize = 1 << 31;

/// Refuses capacities that no ring has.
pub(super) fn check_capacity(capacity: usize) -> Result<(), ChannelError> {
    match capacity {
        0 => Err(ChannelError::ZeroCapacity),
        1..=CAPACITY_MAX => Ok(()),
        asked => Err(ChannelError::CapacityTooLarge {
            asked,
            max: CAPACITY_MAX,
        }),
    }
}

/// Layout of `count` times `stride_bytes`, in whole lines (SA-3); never empty.
pub(super) fn lines_layout(
    stride_bytes: usize,
    align: usize,
    count: usize,
) -> Result<Layout, ChannelError> {
    let bytes = stride_bytes.saturating_mul(count);
    bytes
        .max(1)
        .checked_next_multiple_of(LINE_BYTES)
        .and_then(|bytes| Layout::from_size_align(bytes, align.max(LINE_BYTES)).ok())
        .ok_or(ChannelError::OutOfMemory { bytes })
}

/// Bytes of at least `capacity` slots, rounded up to a power of two.
#[cfg(not(loom))]
pub(super) fn slots_bytes<S>(capacity: usize) -> usize {
    capacity.next_power_of_two().saturating_mul(size_of::<S>())
}

/// Owner of a power-of-two array of slots.
pub(super) struct Slots<S> {
    base: NonNull<S>,
    len: usize,
}

impl<S> Slots<S> {
    /// Allocates at least `capacity` slots, rounded up to a power of two, each made by `make`.
    pub(super) fn new(capacity: usize, mut make: impl FnMut() -> S) -> Result<Self, ChannelError> {
        check_capacity(capacity)?;
        let len = capacity.next_power_of_two();
        let layout = lines_layout(size_of::<S>(), align_of::<S>(), len)?;
        // SAFETY: the layout is not empty.
        let base = NonNull::new(unsafe { std::alloc::alloc(layout) })
            .ok_or(ChannelError::OutOfMemory {
                bytes: layout.size(),
            })?
            .cast::<S>();
        for index in 0..len {
            // SAFETY: inside the new allocation, which is large enough and aligned for `S`.
            unsafe { base.add(index).write(make()) };
        }
        Ok(Self { base, len })
    }

    /// Number of slots, a power of two.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// A copyable view for one end of the ring.
    pub(super) fn view(&self) -> View<S> {
        View {
            base: self.base,
            mask: self.len as u64 - 1,
        }
    }
}

impl<S> Drop for Slots<S> {
    fn drop(&mut self) {
        let slots = NonNull::slice_from_raw_parts(self.base, self.len);
        let layout = lines_layout(size_of::<S>(), align_of::<S>(), self.len)
            .expect("it was allocated with this layout");
        // SAFETY: SA-1: made in `new` with this length and layout, and freed only here.
        unsafe {
            slots.as_ptr().drop_in_place();
            std::alloc::dealloc(self.base.as_ptr().cast(), layout);
        }
    }
}

/// Base and mask of a slot array, kept in each end so that a step touches no header line.
pub(super) struct View<S> {
    base: NonNull<S>,
    mask: u64,
}

impl<S> Clone for View<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for View<S> {}

impl<S> View<S> {
    /// A view of `len` slots, a power of two, from `base` on.
    #[cfg(not(loom))]
    pub(super) fn over(base: NonNull<S>, len: usize) -> Self {
        debug_assert!(len.is_power_of_two());
        Self {
            base,
            mask: len as u64 - 1,
        }
    }

    /// Number of slots.
    #[inline(always)]
    pub(super) fn len(&self) -> u64 {
        self.mask + 1
    }

    /// Address of the slot that `position` falls into.
    #[inline(always)]
    pub(super) fn address(&self, position: u64) -> *const S {
        self.base
            .as_ptr()
            .wrapping_add((position & self.mask) as usize)
    }

    /// The slot that `position` falls into.
    ///
    /// # Safety
    ///
    /// The `Slots` this view came from is alive.
    #[inline(always)]
    pub(super) unsafe fn at(&self, position: u64) -> &S {
        // SAFETY: SA-2: the masked position is inside; alive by this function's contract.
        unsafe { self.base.add((position & self.mask) as usize).as_ref() }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn capacity_is_rounded_up_to_a_power_of_two() {
        for (asked, len) in [(1, 1), (2, 2), (3, 4), (5, 8), (64, 64), (65, 128)] {
            assert_eq!(Slots::new(asked, || 0_u8).unwrap().len(), len);
        }
    }

    #[test]
    fn impossible_capacities_are_typed_errors() {
        let error = |capacity| Slots::new(capacity, || 0_u64).err().unwrap();
        assert_eq!(error(0), ChannelError::ZeroCapacity);
        assert_eq!(
            error(usize::MAX),
            ChannelError::CapacityTooLarge {
                asked: usize::MAX,
                max: CAPACITY_MAX
            }
        );
        assert_eq!(
            lines_layout(1 << 32, 8, CAPACITY_MAX),
            Err(ChannelError::OutOfMemory { bytes: 1 << 63 })
        );
    }
}
