//! Words that one thread writes and any thread may read: on the heap, or in memory that two processes
//! share.
//!
//! - SN-2 every word is an atomic; what another process wrote may be anything, and nothing that is read
//!   here is an address, a length or an index.
#![allow(unsafe_code, reason = "words of a region")]

use maser_shm::control::{REGION_ALIGN, Region};
use maser_shm::sync::atomic::AtomicU64;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

/// Words of one line, with the line that is prefetched beside it.
const LINE_WORDS: usize = REGION_ALIGN / size_of::<AtomicU64>();

#[derive(Default)]
#[repr(align(128))]
struct Line(#[allow(dead_code, reason = "used through pointers")] [AtomicU64; LINE_WORDS]);

/// What keeps the words.
#[derive(Clone)]
enum Keeper {
    Heap(#[allow(dead_code, reason = "it keeps the memory")] Arc<[Line]>),
    Shared(#[allow(dead_code, reason = "it keeps the mapping")] Region),
}

/// See the module's page.
#[derive(Clone)]
pub(crate) struct Words {
    start: NonNull<AtomicU64>,
    count: usize,
    _keeper: Keeper,
}

// SAFETY: SN-2: atomics in memory that the value keeps.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

impl Words {
    /// `pieces` times `count` words, all zero; each piece begins on a line of its own.
    pub(crate) fn on_heap(pieces: usize, count: usize) -> Vec<Self> {
        let each = count.div_ceil(LINE_WORDS);
        let lines: Arc<[Line]> = (0..pieces * each).map(|_| Line::default()).collect();
        let piece = |at: usize| Self {
            start: NonNull::from(&lines[at * each]).cast(),
            count,
            _keeper: Keeper::Heap(lines.clone()),
        };
        match count {
            0 => Vec::new(),
            _ => (0..pieces).map(piece).collect(),
        }
    }

    /// All whole words of a region.
    pub(crate) fn of_region(region: Region) -> Self {
        Self {
            start: region.start().cast(),
            count: region.bytes() / size_of::<AtomicU64>(),
            _keeper: Keeper::Shared(region),
        }
    }
}

impl Deref for Words {
    type Target = [AtomicU64];

    #[inline(always)]
    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: SN-2, and CM-4 for a region: so many aligned words, which the keeper keeps; any bytes
        // are an atomic word.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.count) }
    }
}

/// The first `N` of some words.
#[derive(Clone)]
pub(crate) struct Cells<const N: usize> {
    start: NonNull<[AtomicU64; N]>,
    _words: Words,
}

// SAFETY: SN-2, as for all words.
unsafe impl<const N: usize> Send for Cells<N> {}
// SAFETY: as above.
unsafe impl<const N: usize> Sync for Cells<N> {}

impl<const N: usize> Cells<N> {
    /// The first of `words`.
    pub(crate) fn of(words: Words) -> Self {
        assert!(words.len() >= N, "SN-2: {} words are not {N}", words.len());
        Self {
            start: words.start.cast(),
            _words: words,
        }
    }
}

impl<const N: usize> Deref for Cells<N> {
    type Target = [AtomicU64; N];

    #[inline(always)]
    fn deref(&self) -> &[AtomicU64; N] {
        // SAFETY: SN-2: there are so many, and the words keep them.
        unsafe { self.start.as_ref() }
    }
}
