//! The largest piece of memory that a thread asks for while something runs.
#![allow(unsafe_code, reason = "an allocator that looks at what is asked for")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Looking;

thread_local! {
    static LARGEST_BYTES: Cell<usize> = const { Cell::new(0) };
}

fn look(bytes: usize) {
    // A thread that ends asks for nothing that is of interest.
    let _outcome = LARGEST_BYTES.try_with(|largest| largest.set(largest.get().max(bytes)));
}

// SAFETY: everything is done by the system's allocator, of which nothing else is asked.
unsafe impl GlobalAlloc for Looking {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        look(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        look(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        look(bytes);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(memory, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Looking = Looking;

/// Bytes of the largest piece that this thread asked for while `body` ran, and what it returned.
pub fn largest_while<R>(body: impl FnOnce() -> R) -> (usize, R) {
    LARGEST_BYTES.set(0);
    let result = body();
    (LARGEST_BYTES.get(), result)
}

#[test]
fn the_largest_piece_is_seen() {
    let (bytes, kept) = largest_while(|| (vec![1_u8; 10], vec![1_u8; 12_345]));
    assert_eq!((bytes, kept.1.len()), (12_345, 12_345));
}
