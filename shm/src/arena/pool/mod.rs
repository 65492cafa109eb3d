//! Blocks of 64 to 1024 bytes, for task cells: taken and returned in about a nanosecond.
//!
//! ```text
//!   thread: per class a loaded and a spare magazine     alloc = pop, free = push, no lock
//!              |  a full or an empty magazine, when both are used up
//!   depot:  per class a lock, full and empty magazines, and what is left of the newest chunk
//!              |  64 KiB, then twice as much each time, up to 2 MiB in huge pages
//!   kernel
//! ```
//!
//! A magazine is an array of pointers to free blocks, so neither taking nor returning a block
//! touches the block: one that another core used last is fetched by the caller's first write,
//! which nobody waits for, and not by a read of the list.
//!
//! - PL-1 a block belongs to the pool or to the one who took it, never to both. Any thread may
//!   return it, whoever took it; it is used again by any thread.
//! - PL-2 a magazine belongs to one thread or lies in the depot under its lock. A thread that ends
//!   puts its magazines into the depot; one killed without its destructors keeps at most two
//!   magazines a class from the others. Destructors that run after that use the depot directly.
//! - PL-3 memory is never unmapped and a block never changes its class, so a block's address stays
//!   readable for the life of the process (type-stable). Protocols rely on this that read through
//!   pointers which may be stale: a thief that compares a deque's word with a cell, a handle that
//!   checks a cell's generation.
//! - PL-4 the pool never writes into a block: what its last owner left is there until the next
//!   owner writes. A generation kept in the block survives `free`. Fresh blocks read as zero.
//! - PL-5 a block is aligned to its size.
//!
//! Under miri and loom the blocks come from the global allocator, and PL-3 and PL-4 do not hold:
//! there a use after free is an error to be seen.
#![allow(unsafe_code, reason = "hands out raw memory")]

#[cfg(not(any(loom, miri)))]
mod chunk;
#[cfg(not(any(loom, miri)))]
mod depot;
#[cfg(not(any(loom, miri)))]
mod local;
#[cfg(not(any(loom, miri)))]
mod magazine;
#[cfg(any(loom, miri))]
mod system;

#[cfg(not(any(loom, miri)))]
use local as source;
#[cfg(any(loom, miri))]
use system as source;

use std::alloc::Layout;
use std::ptr::NonNull;

/// How many sizes there are.
pub const CLASSES: usize = 5;

/// The size of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum SizeClass {
    /// 64 bytes.
    B64,
    /// 128 bytes.
    B128,
    /// 256 bytes.
    B256,
    /// 512 bytes.
    B512,
    /// 1024 bytes.
    B1024,
}

impl SizeClass {
    /// All classes, smallest first.
    pub const ALL: [Self; CLASSES] = [Self::B64, Self::B128, Self::B256, Self::B512, Self::B1024];

    /// The smallest class that fits `layout`, if any does.
    #[inline(always)]
    #[must_use]
    pub const fn of(layout: Layout) -> Option<Self> {
        // PL-5: what is aligned to its size is aligned to anything smaller.
        let bytes = if layout.size() > layout.align() {
            layout.size()
        } else {
            layout.align()
        };
        match bytes {
            0..=64 => Some(Self::B64),
            65..=128 => Some(Self::B128),
            129..=256 => Some(Self::B256),
            257..=512 => Some(Self::B512),
            513..=1024 => Some(Self::B1024),
            _ => None,
        }
    }

    /// Bytes of a block.
    #[inline(always)]
    #[must_use]
    pub const fn bytes(self) -> usize {
        64 << self as usize
    }

    #[inline(always)]
    const fn index(self) -> usize {
        self as usize
    }
}

/// What the pool holds; exact while no thread takes or returns blocks, near to it otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Blocks taken and not returned, by class.
    pub live_blocks: [usize; CLASSES],
    /// Bytes mapped from the kernel for all classes; zero under miri and loom.
    pub chunk_bytes: usize,
}

impl Stats {
    /// Blocks of all classes that were taken and not returned.
    #[must_use]
    pub fn live_blocks_total(&self) -> usize {
        self.live_blocks.iter().sum()
    }
}

/// Takes a block. Its contents are unspecified (PL-4). Ends the process when memory is out, as any
/// Rust allocation does.
#[inline(always)]
#[must_use]
pub fn alloc(class: SizeClass) -> NonNull<u8> {
    source::alloc(class)
}

/// Returns a block, from any thread.
///
/// # Safety
/// `block` came from [`alloc`] with the same `class` and is not used afterwards but as PL-3 allows.
#[inline(always)]
pub unsafe fn free(block: NonNull<u8>, class: SizeClass) {
    // SAFETY: the caller's promise.
    unsafe { source::free(block, class) }
}

/// Takes memory for `layout`: a block where a class fits, else from the global allocator. The
/// choice is folded away where `layout` is a constant.
#[inline(always)]
#[must_use]
pub fn alloc_layout(layout: Layout) -> NonNull<u8> {
    match SizeClass::of(layout) {
        Some(class) => alloc(class),
        None => alloc_large(layout),
    }
}

/// Returns memory of [`alloc_layout`], from any thread.
///
/// # Safety
/// `memory` came from [`alloc_layout`] with the same `layout` and is not used afterwards.
#[inline(always)]
pub unsafe fn free_layout(memory: NonNull<u8>, layout: Layout) {
    match SizeClass::of(layout) {
        // SAFETY: the caller's promise; the class follows from the layout.
        Some(class) => unsafe { free(memory, class) },
        // SAFETY: the caller's promise; `alloc_large` made it.
        None => unsafe { std::alloc::dealloc(memory.as_ptr(), layout) },
    }
}

#[cold]
fn alloc_large(layout: Layout) -> NonNull<u8> {
    assert!(
        layout.size() > 0,
        "a zero-sized layout aligned to {} bytes",
        layout.align()
    );
    // SAFETY: the size is not zero.
    let memory = unsafe { std::alloc::alloc(layout) };
    NonNull::new(memory).unwrap_or_else(|| std::alloc::handle_alloc_error(layout))
}

/// Counts what was taken and what is mapped.
#[must_use]
pub fn stats() -> Stats {
    source::stats()
}
