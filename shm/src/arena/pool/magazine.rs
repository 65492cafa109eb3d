//! An array of pointers to free blocks of one class.
//!
//! - MG-1 `slots[..count]` are blocks of the pool (PL-1); the rest is unspecified.
//! - MG-2 magazines are cut from chunks of their own, where zero is an empty one, and are never
//!   freed, so the depot's lists need no reclamation.

use std::ptr::{self, NonNull};

use super::SizeClass;

/// Slots of a magazine: with the header, 2 KiB.
const SLOTS: usize = 254;

/// A magazine, linked while it lies in the depot.
#[repr(C)]
pub(super) struct Magazine {
    /// Next magazine of the depot's list.
    next: *mut Magazine,
    /// Blocks held; while a thread has the magazine, its shelf counts instead.
    count: usize,
    slots: [*mut u8; SLOTS],
}

const _: () = assert!(size_of::<Magazine>() == 2048);

/// How many blocks a magazine takes: at most 64 KiB of them, so that a thread keeps little of the
/// large classes to itself.
pub(super) const fn capacity(class: SizeClass) -> u32 {
    let by_bytes = (64 << 10) / class.bytes();
    if by_bytes < SLOTS {
        by_bytes as u32
    } else {
        SLOTS as u32
    }
}

impl Magazine {
    /// Address of slot `index`.
    ///
    /// # Safety
    /// `this` is a magazine the caller has (PL-2), and `index` is below its capacity.
    #[inline(always)]
    pub(super) unsafe fn slot(this: NonNull<Self>, index: u32) -> *mut *mut u8 {
        // SAFETY: the caller's promise.
        unsafe {
            (&raw mut (*this.as_ptr()).slots)
                .cast::<*mut u8>()
                .add(index as usize)
        }
    }

    /// Writes the addresses of `count` blocks that lie side by side from `start`, lowest last, so
    /// that they are taken in ascending order.
    ///
    /// # Safety
    /// The caller has `this` (PL-2) and the blocks (PL-1); `count` is within the capacity.
    pub(super) unsafe fn fill(
        this: NonNull<Self>,
        start: NonNull<u8>,
        count: u32,
        class: SizeClass,
    ) {
        for index in 0..count {
            let offset = (count - 1 - index) as usize * class.bytes();
            // SAFETY: the caller's promise.
            unsafe { Self::slot(this, index).write(start.as_ptr().add(offset)) };
        }
    }
}

/// A list of magazines; the depot's lock guards it.
pub(super) struct Stack {
    head: *mut Magazine,
}

impl Stack {
    pub(super) const fn new() -> Self {
        Self {
            head: ptr::null_mut(),
        }
    }

    /// Adds `magazine`, which holds `count` blocks.
    ///
    /// # Safety
    /// The caller has the magazine and gives it away (PL-2).
    pub(super) unsafe fn push(&mut self, magazine: NonNull<Magazine>, count: u32) {
        // SAFETY: the caller's promise.
        unsafe {
            (*magazine.as_ptr()).next = self.head;
            (*magazine.as_ptr()).count = count as usize;
        }
        self.head = magazine.as_ptr();
    }

    /// Takes the magazine added last, and how many blocks it holds.
    pub(super) fn pop(&mut self) -> Option<(NonNull<Magazine>, u32)> {
        let magazine = NonNull::new(self.head)?;
        // SAFETY: PL-2, it lies in this list.
        let (next, count) = unsafe { ((*magazine.as_ptr()).next, (*magazine.as_ptr()).count) };
        self.head = next;
        Some((magazine, count as u32))
    }
}
