//! A part of control memory, and how it is dealt out.
//!
//! - CV-1 whoever deals memory out tells the other processes the offsets, or deals out the same sizes
//!   in the same order ([`Carver`]). Regions of two channels that overlap spoil each other's values,
//!   which are bytes, and break no rule of memory: all words are atomics or copies (CM-3).
//! - CV-2 a region is used again only after it was wiped, when no end of what was in it is open.
#![allow(unsafe_code, reason = "words of a mapping")]

use std::ptr::NonNull;

use super::{ControlError, ControlMemory};
#[cfg(not(loom))]
use crate::sync::atomic::{AtomicU64, Ordering};

/// Every region begins at a multiple of this: lines that are prefetched in pairs stay together.
pub const REGION_ALIGN: usize = 128;

/// A checked part of control memory that keeps the mapping alive (CM-4).
#[derive(Clone, Debug)]
pub struct Region {
    memory: ControlMemory,
    offset: usize,
    bytes: usize,
}

impl Region {
    pub(super) fn new(
        memory: &ControlMemory,
        offset: usize,
        bytes: usize,
    ) -> Result<Self, ControlError> {
        check(offset, bytes, memory.bytes())?;
        Ok(Self {
            memory: memory.clone(),
            offset,
            bytes,
        })
    }

    /// First byte, as this process sees it.
    #[must_use]
    pub fn start(&self) -> NonNull<u8> {
        let start = self.memory.start().as_ptr().wrapping_add(self.offset);
        NonNull::new(start).expect("CM-4: inside the mapping")
    }

    /// Bytes of the region.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where it begins in the file: the same in every process.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The memory it is a part of.
    #[must_use]
    pub fn memory(&self) -> &ControlMemory {
        &self.memory
    }

    /// The part of `bytes` bytes that begins at `offset` of this region.
    ///
    /// # Errors
    /// [`ControlError::Region`], as [`ControlMemory::region`].
    pub fn part(&self, offset: usize, bytes: usize) -> Result<Self, ControlError> {
        check(offset, bytes, self.bytes)?;
        Ok(Self {
            memory: self.memory.clone(),
            offset: self.offset + offset,
            bytes,
        })
    }
}

impl Region {
    /// Makes it zero again, so that it can hold something new (CV-2). Bytes behind the last whole
    /// word of 8 stay.
    #[cfg(not(loom))]
    pub fn wipe(&self) {
        for index in 0..self.bytes / size_of::<AtomicU64>() {
            // SAFETY: CM-4: inside the mapping and aligned; any bytes are an atomic word (CM-3).
            let word = unsafe { self.start().cast::<AtomicU64>().add(index).as_ref() };
            word.store(0, Ordering::Relaxed);
        }
    }
}

/// Deals a region out, piece by piece (CV-1).
#[derive(Clone, Debug)]
pub struct Carver {
    region: Region,
    dealt: usize,
}

impl Carver {
    /// Nothing of `region` is dealt out yet.
    #[must_use]
    pub fn new(region: Region) -> Self {
        Self { region, dealt: 0 }
    }

    /// Bytes that so many pieces of such sizes need together.
    #[must_use]
    pub fn bytes(sizes: &[usize]) -> usize {
        let whole = |bytes: &usize| bytes.checked_next_multiple_of(REGION_ALIGN);
        let sum = sizes
            .iter()
            .map(whole)
            .try_fold(0_usize, |sum, bytes| sum.checked_add(bytes?));
        sum.unwrap_or(usize::MAX)
    }

    /// The next `bytes`.
    ///
    /// # Errors
    /// [`ControlError::Region`] if they are none, or more than are left.
    pub fn take(&mut self, bytes: usize) -> Result<Region, ControlError> {
        let piece = self.region.part(self.dealt, bytes)?;
        self.dealt = (self.dealt + bytes).next_multiple_of(REGION_ALIGN);
        Ok(piece)
    }
}

fn check(offset: usize, bytes: usize, available: usize) -> Result<(), ControlError> {
    let is_inside = offset
        .checked_add(bytes)
        .is_some_and(|end| end <= available);
    if bytes > 0 && is_inside && offset.is_multiple_of(REGION_ALIGN) {
        return Ok(());
    }
    Err(ControlError::Region {
        offset,
        bytes,
        available,
    })
}
