//! Where the threads exchange magazines, and where chunks are cut into blocks.
//!
//! One depot a class, each under a lock of its own that is held for a few loads and stores, or
//! while a chunk is mapped. `free_blocks` and `carved_blocks` are exact under the lock.

use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::chunk::Chunks;
use super::magazine::{Magazine, Stack, capacity};
use super::{CLASSES, SizeClass};
use crate::sync::CachePadded;

/// The first chunk of blocks: what a thread takes of the larger classes at once.
const FIRST_BLOCK_CHUNK_BYTES: usize = 64 << 10;
/// The first chunk of magazines: enough for four threads.
const FIRST_MAGAZINE_CHUNK_BYTES: usize = 16 << 10;

/// What one class has that no thread has.
pub(super) struct Depot {
    class: SizeClass,
    /// Magazines with at least one block.
    full: Stack,
    /// Magazines with none.
    empty: Stack,
    /// Blocks in `full`.
    free_blocks: usize,
    /// Blocks ever cut from chunks.
    carved_blocks: usize,
    blocks: Chunks,
    magazines: Chunks,
}

// SAFETY: PL-1, PL-2: what the depot points to is the depot's, and the lock's holder alone uses it.
unsafe impl Send for Depot {}

static DEPOTS: [CachePadded<Mutex<Depot>>; CLASSES] = {
    const fn depot(class: SizeClass) -> CachePadded<Mutex<Depot>> {
        CachePadded::new(Mutex::new(Depot {
            class,
            full: Stack::new(),
            empty: Stack::new(),
            free_blocks: 0,
            carved_blocks: 0,
            blocks: Chunks::new(FIRST_BLOCK_CHUNK_BYTES),
            magazines: Chunks::new(FIRST_MAGAZINE_CHUNK_BYTES),
        }))
    }
    let [a, b, c, d, e] = SizeClass::ALL;
    [depot(a), depot(b), depot(c), depot(d), depot(e)]
};

/// Locks the depot of `class`.
pub(super) fn lock(class: SizeClass) -> MutexGuard<'static, Depot> {
    // A panic inside (memory out) leaves no half-made list: see the order of stores in `Stack`.
    DEPOTS[class.index()]
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

impl Depot {
    /// Gives away `magazine` with its `count` blocks.
    ///
    /// # Safety
    /// The caller has the magazine and its blocks (PL-1, PL-2).
    pub(super) unsafe fn put(&mut self, magazine: NonNull<Magazine>, count: u32) {
        self.free_blocks += count as usize;
        let list = if count == 0 {
            &mut self.empty
        } else {
            &mut self.full
        };
        // SAFETY: the caller's promise.
        unsafe { list.push(magazine, count) };
    }

    /// Takes a magazine with at least one block, if there is one.
    pub(super) fn take_full(&mut self) -> Option<(NonNull<Magazine>, u32)> {
        let (magazine, count) = self.full.pop()?;
        self.free_blocks -= count as usize;
        Some((magazine, count))
    }

    /// Takes a magazine with no block.
    pub(super) fn take_empty(&mut self) -> NonNull<Magazine> {
        match self.empty.pop() {
            Some((magazine, _)) => magazine,
            // Zero is an empty magazine in no list (MG-2).
            None => self.magazines.cut(1, size_of::<Magazine>()).0.cast(),
        }
    }

    /// Cuts 1 to `wanted` blocks, side by side, that the caller then has (PL-1).
    pub(super) fn carve(&mut self, wanted: u32) -> (NonNull<u8>, u32) {
        let (start, count) = self.blocks.cut(wanted, self.class.bytes());
        self.carved_blocks += count as usize;
        (start, count)
    }

    /// Takes one block, for a thread that has no magazines any more (PL-2).
    pub(super) fn take_block(&mut self) -> NonNull<u8> {
        let Some((magazine, count)) = self.take_full() else {
            return self.carve(1).0;
        };
        // SAFETY: MG-1, `count` is at least one.
        let block = unsafe { Magazine::slot(magazine, count - 1).read() };
        // SAFETY: PL-2, just taken, less the block that was read.
        unsafe { self.put(magazine, count - 1) };
        // SAFETY: MG-1.
        unsafe { NonNull::new_unchecked(block) }
    }

    /// Takes one block back, from a thread that has no magazines any more (PL-2).
    ///
    /// # Safety
    /// PL-1: the block is the caller's, and of this class.
    pub(super) unsafe fn put_block(&mut self, block: NonNull<u8>) {
        let (magazine, count) = match self.take_full() {
            Some((magazine, count)) if count < capacity(self.class) => (magazine, count),
            Some((magazine, count)) => {
                // SAFETY: PL-2, just taken.
                unsafe { self.put(magazine, count) };
                (self.take_empty(), 0)
            }
            None => (self.take_empty(), 0),
        };
        // SAFETY: PL-2, just taken, and `count` is below the capacity; PL-1 is the caller's.
        unsafe {
            Magazine::slot(magazine, count).write(block.as_ptr());
            self.put(magazine, count + 1);
        }
    }

    /// Blocks that are not in this depot, and bytes mapped.
    pub(super) fn usage(&self) -> (usize, usize) {
        let mapped_bytes = self.blocks.mapped_bytes() + self.magazines.mapped_bytes();
        (self.carved_blocks - self.free_blocks, mapped_bytes)
    }
}
