//! The heads of the readers, as an end sees them.
//!
//! - RH-1 `count` heads lie from `base` on, for as long as the end that uses them has its share.
#![allow(unsafe_code, reason = "indexing an array that the ring owns")]

use std::ptr::NonNull;

use crate::sync::CachePadded;
use crate::sync::atomic::AtomicU64;

/// Where the heads are.
#[derive(Clone, Copy)]
pub(super) struct Heads {
    base: NonNull<CachePadded<AtomicU64>>,
    count: usize,
}

impl Heads {
    /// The heads of a ring on the heap.
    pub(super) fn of(heads: &[CachePadded<AtomicU64>]) -> Self {
        Self {
            base: NonNull::from(heads).cast(),
            count: heads.len(),
        }
    }

    /// The `count` heads in control memory from `base` on.
    #[cfg(not(loom))]
    pub(super) fn over(base: NonNull<u8>, count: usize) -> Self {
        Self {
            base: base.cast(),
            count,
        }
    }

    /// Bytes that so many heads need.
    #[cfg(not(loom))]
    pub(super) fn bytes(count: usize) -> usize {
        count * size_of::<CachePadded<AtomicU64>>()
    }

    /// What lies behind them.
    #[cfg(not(loom))]
    pub(super) fn end(&self) -> NonNull<u8> {
        let end = self.base.as_ptr().wrapping_add(self.count);
        NonNull::new(end.cast()).expect("RH-1: inside the region")
    }

    /// Number of readers.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The head of reader `index`.
    ///
    /// # Safety
    ///
    /// The ring these heads came from is alive, and `index < count`.
    #[inline(always)]
    pub(super) unsafe fn at<'a>(&self, index: usize) -> &'a AtomicU64 {
        // SAFETY: RH-1, and this function's contract.
        unsafe { self.base.add(index).as_ref() }
    }
}
