//! The pool under miri and loom: the global allocator, and a count.

use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

use super::{CLASSES, SizeClass, Stats};

static LIVE_BLOCKS: Mutex<[usize; CLASSES]> = Mutex::new([0; CLASSES]);

fn layout(class: SizeClass) -> Layout {
    Layout::from_size_align(class.bytes(), class.bytes()).expect("class sizes are powers of two")
}

pub(super) fn alloc(class: SizeClass) -> NonNull<u8> {
    LIVE_BLOCKS.lock().unwrap_or_else(PoisonError::into_inner)[class.index()] += 1;
    // SAFETY: no class is of size zero.
    let block = unsafe { std::alloc::alloc(layout(class)) };
    NonNull::new(block).unwrap_or_else(|| std::alloc::handle_alloc_error(layout(class)))
}

/// # Safety
/// As [`super::free`].
pub(super) unsafe fn free(block: NonNull<u8>, class: SizeClass) {
    LIVE_BLOCKS.lock().unwrap_or_else(PoisonError::into_inner)[class.index()] -= 1;
    // SAFETY: PL-1, `alloc` made it with this layout.
    unsafe { std::alloc::dealloc(block.as_ptr(), layout(class)) };
}

pub(super) fn stats() -> Stats {
    let live_blocks = *LIVE_BLOCKS.lock().unwrap_or_else(PoisonError::into_inner);
    Stats {
        live_blocks,
        chunk_bytes: 0,
    }
}
