//! The array of slots behind every ring.
//!
//! - SA-1 the allocation is made once, never moves and is freed when the `Slots` is dropped; both
//!   ends keep the raw base of it beside an `Arc` of the ring that owns it.
//! - SA-2 the length is a power of two, so `position & mask` is always inside the allocation.
#![allow(
    unsafe_code,
    reason = "indexing by a masked position, with no bounds check"
)]

use std::ptr::NonNull;

use super::ChannelError;

/// Most slots of a ring; positions are 64-bit, so the limit is only a sanity check.
pub(super) const CAPACITY_MAX: usize = 1 << 31;

/// Owner of a power-of-two array of slots.
pub(super) struct Slots<S> {
    base: NonNull<S>,
    len: usize,
}

impl<S> Slots<S> {
    /// Allocates at least `capacity` slots, rounded up to a power of two, each made by `make`.
    pub(super) fn new(capacity: usize, mut make: impl FnMut() -> S) -> Result<Self, ChannelError> {
        if capacity == 0 {
            return Err(ChannelError::ZeroCapacity);
        }
        if capacity > CAPACITY_MAX {
            return Err(ChannelError::CapacityTooLarge {
                asked: capacity,
                max: CAPACITY_MAX,
            });
        }
        let len = capacity.next_power_of_two();
        let mut slots = Vec::new();
        slots
            .try_reserve_exact(len)
            .map_err(|_| ChannelError::OutOfMemory {
                bytes: len.saturating_mul(size_of::<S>()),
            })?;
        slots.resize_with(len, &mut make);
        let base = NonNull::from(Box::leak(slots.into_boxed_slice())).cast();
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
        // SAFETY: SA-1: base and length came from `Box::leak` in `new` and are freed only here.
        drop(unsafe { Box::from_raw(slots.as_ptr()) });
    }
}

/// Base and mask of a slot array, kept in each end so that a step touches no header line.
pub(super) struct View<S> {
    base: NonNull<S>,
    mask: u64,
}

impl<S> View<S> {
    /// Number of slots.
    #[inline(always)]
    pub(super) fn len(&self) -> u64 {
        self.mask + 1
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
        let error = |capacity| Slots::new(capacity, || [0_u64; 1 << 29]).err().unwrap();
        assert_eq!(error(0), ChannelError::ZeroCapacity);
        assert_eq!(
            error(usize::MAX),
            ChannelError::CapacityTooLarge {
                asked: usize::MAX,
                max: CAPACITY_MAX
            }
        );
        assert_eq!(
            error(CAPACITY_MAX),
            ChannelError::OutOfMemory { bytes: 1 << 63 }
        );
    }
}
