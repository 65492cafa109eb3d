//! A part of control memory.

use std::ptr::NonNull;

use super::{ControlError, ControlMemory};

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
