//! A word of control memory.
#![allow(unsafe_code, reason = "an atomic in a region")]

use maser_shm::control::{ControlError, Region};
use maser_shm::sync::atomic::AtomicU64;
use std::ops::Deref;
use std::ptr::NonNull;

/// The first word of a region, which it keeps mapped.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    word: NonNull<AtomicU64>,
    _region: Region,
}

// SAFETY: CM-4: an atomic word in memory that the value keeps mapped.
unsafe impl Send for Word {}
// SAFETY: as above.
unsafe impl Sync for Word {}

impl Word {
    /// The word at the start of `region`.
    pub(crate) fn new(region: &Region) -> Result<Self, ControlError> {
        let region = region.part(0, size_of::<AtomicU64>())?;
        Ok(Self {
            word: region.start().cast(),
            _region: region,
        })
    }
}

impl Deref for Word {
    type Target = AtomicU64;

    #[inline(always)]
    fn deref(&self) -> &AtomicU64 {
        // SAFETY: CM-4: inside the mapping and aligned; any bytes are an atomic word (CM-3).
        unsafe { self.word.as_ref() }
    }
}

/// The bytes of a region, which others may be writing.
pub(crate) fn copy_out(region: &Region) -> Vec<u8> {
    let mut bytes = vec![0; region.bytes()];
    // SAFETY: CM-4: as many bytes as the region has; the vector shares nothing with the mapping.
    unsafe {
        std::ptr::copy_nonoverlapping(region.start().as_ptr(), bytes.as_mut_ptr(), bytes.len());
    }
    bytes
}

/// Puts bytes at the start of a region; false if it is smaller.
pub(crate) fn copy_in(bytes: &[u8], region: &Region) -> bool {
    if bytes.len() > region.bytes() {
        return false;
    }
    // SAFETY: CM-4: no more bytes than the region has; they share nothing with the mapping.
    unsafe {
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), region.start().as_ptr(), bytes.len());
    }
    true
}
