//! The owner's end: push, pop, take. The rules are in [`super`].

use std::cell::Cell;
use std::ptr::NonNull;

use super::buffer::Buffer;
use super::{Arc, Shared, Stealer, Top, model_fence};
use crate::sync::atomic::{AtomicPtr, Ordering};

/// The owner's end: one thread at a time.
///
/// What it wrote last it keeps in cells of its own, so that it does not read a line that thieves
/// have fetched.
pub struct Worker {
    shared: Arc<Shared>,
    /// Copy of `Owned::bottom`.
    bottom: Cell<u64>,
    /// `push` below this index needs no look at `top`.
    full_at: Cell<u64>,
    /// The newest buffer's slots and mask.
    slots: Cell<NonNull<AtomicPtr<()>>>,
    mask: Cell<u64>,
    /// Copy of `Owned::refills`.
    refills: Cell<u64>,
}

// SAFETY: the slots are those of a buffer that `shared` keeps (BF-2), whichever thread owns the
// worker; the items are words (DQ-8).
unsafe impl Send for Worker {}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, buffer: &Buffer) -> Self {
        Self {
            shared,
            bottom: Cell::new(0),
            full_at: Cell::new(buffer.mask() + 1),
            slots: Cell::new(buffer.slots()),
            mask: Cell::new(buffer.mask()),
            refills: Cell::new(0),
        }
    }

    /// Adds `item` as the newest.
    #[inline]
    pub fn push(&self, item: NonNull<()>) {
        let bottom = self.bottom.get();
        if bottom == self.full_at.get() {
            self.make_room();
        }
        self.slot(bottom).store(item.as_ptr(), Ordering::Relaxed);
        self.set_bottom(bottom + 1);
    }

    /// Takes the newest item.
    #[inline]
    pub fn pop(&self) -> Option<NonNull<()>> {
        let bottom = self.bottom.get();
        if self.shared.top(Ordering::Relaxed).index == bottom {
            return None;
        }
        self.pop_some(bottom - 1)
    }

    /// The newest item, if there is one. Only a hint: a thief may be taking it.
    #[inline]
    #[must_use]
    pub fn peek(&self) -> Option<NonNull<()>> {
        let bottom = self.bottom.get();
        if self.shared.top(Ordering::Relaxed).index == bottom {
            return None;
        }
        NonNull::new(self.slot(bottom - 1).load(Ordering::Relaxed))
    }

    /// Takes the newest item if it is `item`; whether it did. `false` means that `item` is not the
    /// newest, or that a thief has it.
    #[inline]
    pub fn pop_if_newest(&self, item: NonNull<()>) -> bool {
        // The slot below an empty deque's bottom holds an item that is gone, or null: `pop` tells.
        let newest = self
            .slot(self.bottom.get().wrapping_sub(1))
            .load(Ordering::Relaxed);
        newest == item.as_ptr() && self.pop().is_some()
    }

    /// Takes the oldest item; or the newest while a thief is taking the oldest and there are more
    /// than it has claimed: an owner that took one short task after the other from the same end
    /// would leave the thief nothing it has claimed.
    #[inline]
    pub fn take(&self) -> Option<NonNull<()>> {
        let bottom = self.bottom.get();
        let mut top = self.shared.top(Ordering::Acquire);
        while top.index != bottom {
            if top.claimed != 0 && top.claim_end() < bottom {
                return self.pop_some(bottom - 1);
            }
            let item = self.slot(top.index).load(Ordering::Relaxed);
            // DQ-4: this ends a claim, if there is one.
            match self.shared.exchange_top(
                top,
                Top {
                    index: top.index + 1,
                    claimed: 0,
                },
            ) {
                Ok(()) => return NonNull::new(item),
                Err(now) => top = now,
            }
        }
        None
    }

    /// How many items there are; those that thieves are taking count until they are gone.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        (self.bottom.get() - self.shared.top(Ordering::Relaxed).index) as usize
    }

    /// Whether there is no item.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Another end for thieves.
    #[must_use]
    pub fn stealer(&self) -> Stealer {
        Stealer::new(Arc::clone(&self.shared))
    }

    #[inline(always)]
    fn slot(&self, index: u64) -> &AtomicPtr<()> {
        // SAFETY: BF-1, BF-2: the newest buffer's slots, and its mask.
        unsafe {
            self.slots
                .get()
                .add((index & self.mask.get()) as usize)
                .as_ref()
        }
    }

    #[inline(always)]
    fn set_bottom(&self, bottom: u64) {
        // The copy last: a `pop` inlined behind a `push` then has it in a register.
        self.shared.owned.bottom.store(bottom, Ordering::Release); // DQ-2
        self.bottom.set(bottom);
    }

    /// Takes the item at `newest`, one below `bottom`, unless thieves have it.
    #[inline(always)]
    fn pop_some(&self, newest: u64) -> Option<NonNull<()>> {
        // DQ-3. A swap and not a store with a fence behind it: see the head of `deque`.
        self.shared.owned.bottom.swap(newest, Ordering::SeqCst);
        model_fence();
        self.bottom.set(newest);
        let top = self.shared.top(Ordering::SeqCst);
        if top.claim_end() > newest {
            return self.pop_contested(newest, top);
        }
        self.took(newest, top) // DQ-4
    }

    /// The item at `newest`, which no thief can have any more.
    #[inline(always)]
    fn took(&self, newest: u64, top: Top) -> Option<NonNull<()>> {
        if top.index == newest {
            let refills = self.refills.get() + 1;
            self.refills.set(refills);
            self.shared.owned.refills.store(refills, Ordering::Relaxed);
        }
        NonNull::new(self.slot(newest).load(Ordering::Relaxed))
    }

    /// A thief has claimed the item at `newest`, or has it.
    #[cold]
    fn pop_contested(&self, newest: u64, mut top: Top) -> Option<NonNull<()>> {
        let item = self.slot(newest).load(Ordering::Relaxed);
        loop {
            if top.index > newest {
                self.set_bottom(newest + 1);
                return None;
            }
            if top.claim_end() <= newest {
                return self.took(newest, top); // the thief has withdrawn; DQ-3 for the next one
            }
            // DQ-4, DQ-5.
            let oldest = top.index == newest;
            let next = if oldest {
                Top {
                    index: newest + 1,
                    claimed: 0,
                }
            } else {
                Top {
                    index: top.index,
                    claimed: newest - top.index,
                }
            };
            match self.shared.exchange_top(top, next) {
                Ok(()) => {
                    if oldest {
                        self.set_bottom(newest + 1);
                    }
                    return NonNull::new(item);
                }
                Err(now) => top = now,
            }
        }
    }

    /// Looks how far thieves have come, and grows the buffer if that is not far enough.
    #[cold]
    fn make_room(&self) {
        let bottom = self.bottom.get();
        let oldest = self.shared.top(Ordering::Acquire).index; // DQ-6
        let capacity = self.mask.get() + 1;
        if bottom - oldest < capacity {
            return self.full_at.set(oldest + capacity);
        }
        let owned = &self.shared.owned;
        // SAFETY: we are the owner, and a full buffer's items fit into twice its size.
        let grown = unsafe { Buffer::grow(owned.buffer.load(Ordering::Relaxed), oldest..bottom) };
        // SAFETY: just made.
        let buffer = unsafe { &*grown };
        self.slots.set(buffer.slots());
        self.mask.set(buffer.mask());
        self.full_at.set(oldest + buffer.mask() + 1);
        owned.buffer.store(grown, Ordering::Release); // DQ-2
    }
}
