//! What a store tells the process around it.
//!
//! The calls come from whichever thread made the store do it, outside of all its locks; they may
//! use the store.

use std::fmt;
use std::os::fd::BorrowedFd;

use super::extent::ExtentError;

/// Hears of extents and shortages. Everything has a default that does nothing.
pub trait StoreEvents: Send + Sync {
    /// There is a new extent, which no object lies in yet. Readers need its descriptor before they
    /// can open an object of it.
    fn extent_made(&self, id: u32, file: BorrowedFd<'_>, bytes: u64) {
        let _unused = (id, file, bytes);
    }

    /// An extent is gone. Its number is not used again.
    fn extent_retired(&self, id: u32) {
        let _unused = id;
    }

    /// Huge pages were wanted and there are none: plain ones are used. Told once.
    fn no_huge_pages(&self, reason: &ExtentError) {
        let _unused = reason;
    }
}

impl fmt::Debug for dyn StoreEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreEvents")
    }
}
