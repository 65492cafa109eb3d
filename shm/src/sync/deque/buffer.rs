//! The ring under a deque: a power of two of words, replaced by a larger one when full.
//!
//! - BF-1 index `i` lives in slot `i & mask`.
//! - BF-2 a buffer that has been replaced is not written again and stays allocated until the deque
//!   goes: all of them together are smaller than the newest. A thief that loaded an older one may
//!   read it as long as it likes.

use std::ptr::{self, NonNull};

#[cfg(not(any(loom, miri)))]
use crate::os::map::{HUGE_PAGE_BYTES, Mapping};
use crate::sync::atomic::{AtomicPtr, Ordering};

type Slot = AtomicPtr<()>;

pub(super) struct Buffer {
    slots: NonNull<Slot>,
    mask: u64,
    storage: Storage,
    /// The buffer this one replaced.
    older: *mut Buffer,
}

/// Where the slots lie, for whoever frees them.
enum Storage {
    Heap(NonNull<[Slot]>),
    /// In huge pages: a million items are 8 MiB, and small pages fault in far more slowly.
    #[cfg(not(any(loom, miri)))]
    Pages {
        _mapping: Mapping,
    },
}

impl Buffer {
    /// A buffer for `capacity` items, a power of two, that replaces `older` (null for the first).
    pub(super) fn new(capacity: usize, older: *mut Buffer) -> *mut Buffer {
        assert!(capacity.is_power_of_two());
        let (slots, storage) = Storage::new(capacity);
        Box::into_raw(Box::new(Self {
            slots,
            mask: capacity as u64 - 1,
            storage,
            older,
        }))
    }

    /// Frees `newest` and all it replaced.
    ///
    /// # Safety
    /// Nobody uses any of them any more.
    pub(super) unsafe fn free_all(newest: *mut Buffer) {
        let mut next = newest;
        while !next.is_null() {
            // SAFETY: made by `new`, and the caller's promise.
            let buffer = unsafe { Box::from_raw(next) };
            next = buffer.older;
            match buffer.storage {
                // SAFETY: made by `Storage::new` from a box.
                Storage::Heap(slots) => drop(unsafe { Box::from_raw(slots.as_ptr()) }),
                #[cfg(not(any(loom, miri)))]
                Storage::Pages { .. } => {}
            }
        }
    }

    /// Makes a buffer twice as large that holds `range` and replaces `this` (BF-2).
    ///
    /// # Safety
    /// `this` is valid, the caller is the deque's owner, and `range` fits.
    pub(super) unsafe fn grow(this: *mut Buffer, range: std::ops::Range<u64>) -> *mut Buffer {
        // SAFETY: the caller's promise.
        let old = unsafe { &*this };
        let grown = Self::new((old.mask as usize + 1) * 2, this);
        // SAFETY: just made.
        let new = unsafe { &*grown };
        for index in range {
            new.slot(index)
                .store(old.slot(index).load(Ordering::Relaxed), Ordering::Relaxed);
        }
        grown
    }

    #[inline(always)]
    pub(super) fn slot(&self, index: u64) -> &Slot {
        // SAFETY: BF-1, below the capacity.
        unsafe { self.slots.add((index & self.mask) as usize).as_ref() }
    }

    pub(super) fn slots(&self) -> NonNull<Slot> {
        self.slots
    }

    pub(super) fn mask(&self) -> u64 {
        self.mask
    }
}

impl Storage {
    fn new(capacity: usize) -> (NonNull<Slot>, Self) {
        #[cfg(not(any(loom, miri)))]
        if capacity * size_of::<Slot>() >= HUGE_PAGE_BYTES
            && let Ok(mapping) = Mapping::anonymous(capacity * size_of::<Slot>(), true)
        {
            // Zero is a null pointer, and a page is aligned to more than a word.
            return (mapping.start().cast(), Self::Pages { _mapping: mapping });
        }
        let slots: Box<[Slot]> = (0..capacity).map(|_| Slot::new(ptr::null_mut())).collect();
        let slots = NonNull::from(Box::leak(slots));
        (slots.cast(), Self::Heap(slots))
    }
}
