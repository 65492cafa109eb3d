//! What an extent holds beside payloads: one line before each.
//!
//! ```text
//! byte  0  stamp   u64   generation * 4 + state (0 free, 1 open, 2 sealed); zero in fresh memory
//! byte  8  bytes   u64   bytes of the payload, from byte 64 on
//! byte 16  zero
//! ```
//!
//! The owner writes it and decides nothing by it: whatever is there, its own books lie elsewhere.
//! Others use it to find out whether a descriptor still names what it named.
//!
//! - HD-1 the state goes from open to sealed with Release, after the payload is written; the reader's
//!   Acquire load of the stamp comes before it looks at the payload.
//! - HD-2 a generation is used once in an extent; the stamp is set free before the place is used
//!   again. What a descriptor to a freed object points at may be anything, the inside of another
//!   payload too: readers check the range first, and trust nothing else.
#![allow(unsafe_code, reason = "reads and writes mapped memory")]

use std::ptr::NonNull;

use crate::arena::classes::UNIT_BYTES;
use crate::sync::atomic::{AtomicU64, Ordering};

/// See the module's page.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Header {
    stamp: AtomicU64,
    bytes: AtomicU64,
    zero: [u64; 6],
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Header>() == UNIT_BYTES && align_of::<Header>() == UNIT_BYTES);

const OPEN: u64 = 1;
const SEALED: u64 = 2;

impl Header {
    /// The header before a payload.
    ///
    /// # Safety
    /// `payload` is aligned to a unit and has a mapped unit before it, for as long as `'a`.
    #[must_use]
    pub unsafe fn before<'a>(payload: NonNull<u8>) -> &'a Self {
        // SAFETY: the caller's promise. All fields are atomics, or never looked at.
        unsafe { payload.sub(UNIT_BYTES).cast().as_ref() }
    }

    /// A new object begins here. For the owner.
    #[inline]
    pub fn open(&self, generation: u64, bytes: usize) {
        self.bytes.store(bytes as u64, Ordering::Relaxed);
        self.stamp.store(generation << 2 | OPEN, Ordering::Relaxed);
    }

    /// Its payload is written. For the owner.
    #[inline]
    pub fn seal(&self, generation: u64) {
        self.stamp
            .store(generation << 2 | SEALED, Ordering::Release); // HD-1
    }

    /// It is gone. For the owner.
    #[inline]
    pub fn clear(&self, generation: u64) {
        self.stamp.store(generation << 2, Ordering::Relaxed); // HD-2
    }

    /// Whether this object is here, finished, and has this size. For readers; each word is read
    /// once.
    #[must_use]
    pub fn is_sealed(&self, generation: u64, bytes: u64) -> bool {
        let stamp = self.stamp.load(Ordering::Acquire); // HD-1
        let found = self.bytes.load(Ordering::Relaxed);
        generation < 1 << 62 && stamp == generation << 2 | SEALED && found == bytes
    }
}
