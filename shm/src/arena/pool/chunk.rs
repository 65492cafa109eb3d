//! Memory from the kernel, cut from one end; never given back (PL-3).

use std::alloc::Layout;
use std::ptr::NonNull;

use crate::os::map::{HUGE_PAGE_BYTES, Mapping};

/// The newest chunk's uncut rest. Each chunk is twice as large as the one before, up to one huge
/// page: starting up costs a few pages, and a million blocks cost few page faults.
pub(super) struct Chunks {
    rest: NonNull<u8>,
    rest_bytes: usize,
    next_bytes: usize,
    mapped_bytes: usize,
}

impl Chunks {
    /// Nothing mapped yet. `first_bytes` is a power of two, at least a page.
    pub(super) const fn new(first_bytes: usize) -> Self {
        assert!(first_bytes.is_power_of_two() && first_bytes <= HUGE_PAGE_BYTES);
        let rest = NonNull::dangling();
        Self {
            rest,
            rest_bytes: 0,
            next_bytes: first_bytes,
            mapped_bytes: 0,
        }
    }

    /// Cuts 1 to `wanted` pieces of `piece_bytes`, side by side and zero; returns the first and
    /// how many. All pieces of one `Chunks` are of one size, a power of two up to a page.
    pub(super) fn cut(&mut self, wanted: u32, piece_bytes: usize) -> (NonNull<u8>, u32) {
        if self.rest_bytes == 0 {
            self.map();
        }
        // Whole pages and powers of two: no rest is ever smaller than a piece.
        let count = (wanted as usize).min(self.rest_bytes / piece_bytes);
        let start = self.rest;
        // SAFETY: within the rest of the chunk, or its end.
        self.rest = unsafe { start.add(count * piece_bytes) };
        self.rest_bytes -= count * piece_bytes;
        (start, count as u32)
    }

    /// Bytes mapped so far.
    pub(super) fn mapped_bytes(&self) -> usize {
        self.mapped_bytes
    }

    fn map(&mut self) {
        let bytes = self.next_bytes;
        let Ok(chunk) = Mapping::anonymous(bytes, bytes >= HUGE_PAGE_BYTES) else {
            let layout = Layout::from_size_align(bytes, bytes).expect("a power of two");
            std::alloc::handle_alloc_error(layout);
        };
        self.rest_bytes = chunk.bytes();
        self.mapped_bytes += chunk.bytes();
        self.rest = chunk.leak();
        self.next_bytes = (bytes * 2).min(HUGE_PAGE_BYTES);
    }
}
