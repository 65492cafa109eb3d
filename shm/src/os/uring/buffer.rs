//! Memory that an operation owns while it is under way.
//!
//! - UR-5 a buffer's bytes lie on the heap, on a page boundary, all of them initialised, and stay
//!   where they are while the value moves.
#![allow(
    unsafe_code,
    reason = "owns page-aligned memory that the kernel writes"
)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Alignment of every buffer in bytes: a page, which direct input and output asks for.
pub const ALIGNMENT_BYTES: usize = 4096;

/// Page-aligned bytes of a fixed capacity, of which the first `len` count.
pub struct Buffer {
    start: NonNull<u8>,
    capacity: usize,
    len: usize,
}

// SAFETY: UR-5, the memory belongs to the value and to no thread.
unsafe impl Send for Buffer {}
// SAFETY: UR-5; shared access only reads.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// Makes a buffer of `capacity` zero bytes, all of which count.
    ///
    /// # Panics
    /// If `capacity` is 0 or above 1 GiB, which is more than one operation moves.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let layout = Self::layout(capacity);
        // SAFETY: the layout's size is not 0.
        let start = unsafe { alloc_zeroed(layout) };
        let start = NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout));
        Self {
            start,
            capacity,
            len: capacity,
        }
    }

    /// Makes a buffer with a copy of `bytes`.
    ///
    /// # Panics
    /// As [`Self::new`].
    #[must_use]
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut buffer = Self::new(bytes.len());
        buffer.copy_from_slice(bytes);
        buffer
    }

    /// Bytes that fit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Lets the first `len` bytes count; those that are new have whatever was there before.
    ///
    /// # Panics
    /// If `len` exceeds the capacity.
    pub fn set_len(&mut self, len: usize) {
        assert!(len <= self.capacity, "{len} of {} bytes", self.capacity);
        self.len = len;
    }

    /// Where the bytes lie, for the kernel.
    pub(super) fn pointer(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    fn layout(capacity: usize) -> Layout {
        assert!(
            (1..=1 << 30).contains(&capacity),
            "a buffer of {capacity} bytes: 1 to 2^30 are possible"
        );
        Layout::from_size_align(capacity, ALIGNMENT_BYTES).expect("a page-aligned GiB is possible")
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: UR-5; `len` is within the capacity.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: UR-5; `len` is within the capacity.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: UR-5; it was allocated with this layout.
        unsafe { dealloc(self.start.as_ptr(), Self::layout(self.capacity)) };
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (len, capacity) = (self.len, self.capacity);
        write!(f, "Buffer({len} of {capacity} bytes)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_aligned_and_stays_where_it_is() {
        let mut buffer = Buffer::copy_of(b"bytes");
        let before = buffer.pointer();
        assert_eq!(before as usize % ALIGNMENT_BYTES, 0);
        buffer.set_len(2);
        let moved = Box::new(buffer);
        assert_eq!((moved.pointer(), &moved[..]), (before, &b"by"[..]));
    }

    #[test]
    #[should_panic(expected = "6 of 5 bytes")]
    fn no_more_bytes_count_than_there_are() {
        Buffer::new(5).set_len(6);
    }
}
