//! Anonymous private memory from the kernel, in huge pages where asked for.
//!
//! - MP-1 a `Mapping` owns its range: nobody else unmaps it, and dropping it does.
//! - MP-2 the memory reads as zero until it is written; a page costs nothing before that.
//! - MP-3 with `huge` the range starts on a 2 MiB boundary and is advised to the kernel as fit for
//!   huge pages. Advice only: where huge pages are off, it is plain memory.
#![allow(unsafe_code, reason = "maps and unmaps memory")]

use std::io;
use std::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

use super::OsError;

/// Bytes of a huge page.
pub const HUGE_PAGE_BYTES: usize = 2 << 20;

/// A range of anonymous memory, readable and writable, private to this process.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: MP-1, the range belongs to the value and to no thread.
unsafe impl Send for Mapping {}
// SAFETY: the shared methods only tell where the range lies.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `bytes`, rounded up to whole pages (huge ones with `huge`, MP-3).
    ///
    /// # Errors
    /// [`OsError::MapRefused`] when `bytes` is zero or the kernel has no room.
    pub fn anonymous(bytes: usize, huge: bool) -> io::Result<Self> {
        let refused = |source| OsError::MapRefused { bytes, source };
        let unit = if huge {
            HUGE_PAGE_BYTES
        } else {
            rustix::param::page_size()
        };
        let rounded = bytes
            .checked_next_multiple_of(unit)
            .filter(|&rounded| rounded > 0);
        // A huge range is cut out of one that is larger by a huge page, so that it can be aligned.
        let asked = rounded.and_then(|rounded| rounded.checked_add(if huge { unit } else { 0 }));
        let (Some(rounded), Some(asked)) = (rounded, asked) else {
            return Err(refused(io::ErrorKind::InvalidInput.into()).into());
        };
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: no address is asked for, so no existing mapping is touched.
        let start = unsafe { mmap_anonymous(std::ptr::null_mut(), asked, protection, flags) }
            .map_err(|errno| refused(errno.into()))?
            .cast::<u8>();
        let skipped = if huge { start.align_offset(unit) } else { 0 };
        let rest = asked - rounded - skipped;
        // SAFETY: both ends lie in the range just mapped and outside the part that is kept.
        unsafe {
            unmap(start, skipped);
            unmap(start.add(skipped + rounded), rest);
        }
        // SAFETY: `skipped + rounded <= asked`.
        let kept = unsafe { NonNull::new_unchecked(start.add(skipped)) };
        let mapping = Self {
            start: kept,
            bytes: rounded,
        };
        if huge {
            // SAFETY: MP-1; the advice changes no contents. A kernel without huge pages refuses
            // it, which MP-3 allows.
            let _ = unsafe { madvise(kept.as_ptr().cast(), rounded, Advice::LinuxHugepage) };
        }
        Ok(mapping)
    }

    /// First byte of the range.
    #[must_use]
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Length of the range in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives the range up for the life of the process.
    #[must_use]
    pub fn leak(self) -> NonNull<u8> {
        std::mem::ManuallyDrop::new(self).start
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: MP-1.
        unsafe { unmap(self.start.as_ptr(), self.bytes) };
    }
}

/// # Safety
/// The range is mapped, and nobody uses it any more.
unsafe fn unmap(start: *mut u8, bytes: usize) {
    if bytes > 0 {
        // SAFETY: the caller's promise.
        let unmapped = unsafe { munmap(start.cast(), bytes) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_reads_zero_and_takes_writes_to_its_last_byte() {
        let mapping = Mapping::anonymous(10_000, false).unwrap();
        assert!(mapping.bytes() >= 10_000);
        let last = mapping.bytes() - 1;
        // SAFETY: MP-1, in range.
        unsafe {
            assert_eq!(*mapping.start().as_ptr().add(last), 0);
            mapping.start().as_ptr().add(last).write(7);
            assert_eq!(*mapping.start().as_ptr().add(last), 7);
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "unmaps part of a mapping")]
    fn a_huge_mapping_is_aligned_and_whole() {
        for bytes in [1, HUGE_PAGE_BYTES, 3 * HUGE_PAGE_BYTES + 1] {
            let mapping = Mapping::anonymous(bytes, true).unwrap();
            assert_eq!(mapping.start().as_ptr() as usize % HUGE_PAGE_BYTES, 0);
            assert_eq!(mapping.bytes(), bytes.next_multiple_of(HUGE_PAGE_BYTES));
            // SAFETY: MP-1, in range.
            unsafe { mapping.start().as_ptr().add(mapping.bytes() - 1).write(1) };
        }
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        for bytes in [0, usize::MAX, usize::MAX / 2] {
            let error = Mapping::anonymous(bytes, false).unwrap_err();
            assert!(error.to_string().contains("vm.max_map_count"), "{error}");
        }
    }
}
