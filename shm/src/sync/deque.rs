//! Work-stealing deque of one-word items: its owner pushes and pops without a locked instruction.
//!
//! ```text
//!      top.index      top.index + top.claimed                     bottom
//!   ------|----------------------|----------------------------------|------> index
//!   taken |  a thief is at work  |  the owner's, open to thieves    | free
//!         oldest                                              newest
//! ```
//!
//! `top` is one word: the index of the oldest item in its upper 56 bits, and in the lower 8 how many
//! items from there on a thief has claimed. A thief claims, makes sure that the owner knows, and
//! commits; the owner looks at the claim after every step back. Each side thus stores one word and
//! then loads the other's (Dekker), and since thefts are rare the owner's side of it is the free
//! one of an asymmetric fence.
//!
//! - DQ-1 `bottom` is written by the owner alone, `top` by exchange alone. The items are those from
//!   `top.index` to below `bottom`. Neither index is ever used for an item before the one below it.
//! - DQ-2 `push` stores the slot, then `bottom` with Release; a thief loads `bottom` with Acquire,
//!   then the buffer and the slots. Every store to `bottom` is Release, so this holds also for a
//!   thief that sees the value of a later `pop`.
//! - DQ-3 `pop` stores `bottom - 1`, passes [`membarrier::light`], loads `top`. A thief exchanges
//!   `top` for its claim, passes [`membarrier::heavy`], loads `bottom`. By MB-2 the owner sees the
//!   claim, or the thief sees the smaller `bottom` and commits to nothing from there on.
//! - DQ-4 an item outside the claim that `pop` sees is the owner's by DQ-3, the last one included:
//!   no exchange. For an item inside it owner and thief compete by exchange: the owner cuts the
//!   claim short before its item, or moves `top.index` beyond the item if it is the oldest.
//! - DQ-5 a claim ends when its thief commits, which moves `top.index` beyond the items taken, or
//!   withdraws, which clears `claimed`; the owner can shorten it but not to zero without moving
//!   `top.index`. So while a thief sees its index with a claim, the claim is its own, and no value of
//!   `top` comes back while a thief holds an older copy of it (no ABA): `top.index` never falls.
//! - DQ-6 a thief reads the slots between the claim and the commit, whose Release pairs with the
//!   Acquire load of `top` before `push` uses a slot anew. What it read beyond its commit, it drops.
//! - DQ-7 one thief at a time has a claim. One that is switched out in the midst of it keeps the
//!   other thieves away (`Retry`), never the owner.
//! - DQ-8 items are words: the deque never looks behind them, and drops none.
//!
//! The price: a theft costs the system call of `heavy` and an interrupt of the victim's core. So
//! thieves look first ([`Stealer::oldest_index`] tells whether one and the same item has been
//! waiting), and [`Stealer::steal_batch`] shares one call among up to [`BATCH`] items. Where the
//! kernel has no membarrier, `pop` costs a full fence and everything else is the same.
//!
//! Model: `tests/loom_deque.rs`.
#![allow(
    unsafe_code,
    reason = "reads slots of buffers that are kept for thieves"
)]

mod buffer;

use std::cell::Cell;
use std::ptr::{self, NonNull};

#[cfg(loom)]
use loom::sync::Arc;
#[cfg(not(loom))]
use std::sync::Arc;

use self::buffer::Buffer;
use crate::os::membarrier;
use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// Most items that [`Stealer::steal_batch`] takes at once.
pub const BATCH: usize = if cfg!(loom) { 2 } else { 32 };

const FIRST_CAPACITY: usize = if cfg!(loom) { 2 } else { 256 };

const CLAIM_BITS: u32 = 8;
const _: () = assert!(BATCH < 1 << CLAIM_BITS);

/// The two halves of `top`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Top {
    index: u64,
    claimed: u64,
}

impl Top {
    #[inline(always)]
    fn unpack(word: u64) -> Self {
        Self {
            index: word >> CLAIM_BITS,
            claimed: word & ((1 << CLAIM_BITS) - 1),
        }
    }

    /// 56 bits of index last for 45 years of fifty million thefts a second.
    #[inline(always)]
    fn pack(self) -> u64 {
        (self.index << CLAIM_BITS) | self.claimed
    }

    /// First index that no thief has claimed.
    #[inline(always)]
    fn claim_end(self) -> u64 {
        self.index + self.claimed
    }
}

struct Shared {
    /// Exchanged by thieves, and by the owner where it competes with them (DQ-3 to DQ-5).
    top: CachePadded<AtomicU64>,
    owned: CachePadded<Owned>,
}

/// Written by the owner, read by thieves.
struct Owned {
    /// DQ-2, DQ-3.
    bottom: AtomicU64,
    /// How often `pop` has taken the last item, after which an index is used anew.
    refills: AtomicU64,
    /// Replaced by the owner with Release; DQ-2.
    buffer: AtomicPtr<Buffer>,
}

impl Shared {
    #[inline(always)]
    fn top(&self, ordering: Ordering) -> Top {
        Top::unpack(self.top.load(ordering))
    }

    /// Exchanges `seen` for `next`; `Err` is what was found instead.
    #[inline(always)]
    fn exchange_top(&self, seen: Top, next: Top) -> Result<(), Top> {
        // Release for DQ-6; Acquire keeps a thief's look at `bottom` behind its claim.
        self.top
            .compare_exchange(
                seen.pack(),
                next.pack(),
                Ordering::AcqRel,
                Ordering::Acquire,
            )
            .map(drop)
            .map_err(Top::unpack)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: BF-2, the last handle is gone.
        unsafe { Buffer::free_all(self.owned.buffer.load(Ordering::Acquire)) };
    }
}

/// Makes an empty deque: the owner's end, and one for thieves that can be cloned.
#[must_use]
pub fn new() -> (Worker, Stealer) {
    let buffer = Buffer::new(FIRST_CAPACITY, ptr::null_mut());
    let shared = Arc::new(Shared {
        top: CachePadded::new(AtomicU64::new(0)),
        owned: CachePadded::new(Owned {
            bottom: AtomicU64::new(0),
            refills: AtomicU64::new(0),
            buffer: AtomicPtr::new(buffer),
        }),
    });
    let stealer = Stealer {
        shared: Arc::clone(&shared),
    };
    // SAFETY: just made.
    let (slots, mask) = unsafe { ((*buffer).slots(), (*buffer).mask()) };
    let worker = Worker {
        shared,
        bottom: Cell::new(0),
        full_at: Cell::new(FIRST_CAPACITY as u64),
        slots: Cell::new(slots),
        mask: Cell::new(mask),
        refills: Cell::new(0),
    };
    (worker, stealer)
}

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

    /// Takes the oldest item, or the newest while a thief is taking the oldest and there are more
    /// than it has claimed: the thief's system call is not made in vain.
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
        Stealer {
            shared: Arc::clone(&self.shared),
        }
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
        self.bottom.set(bottom);
        self.shared.owned.bottom.store(bottom, Ordering::Release); // DQ-2
    }

    /// Takes the item at `newest`, one below `bottom`, unless thieves have it.
    #[inline(always)]
    fn pop_some(&self, newest: u64) -> Option<NonNull<()>> {
        self.set_bottom(newest);
        membarrier::light(); // DQ-3
        let top = self.shared.top(Ordering::Relaxed);
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

/// What came of a theft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Steal {
    /// There was nothing to take.
    Empty,
    /// Another thief was at work, or the owner was faster: look again later.
    Retry,
    /// The oldest item, now the caller's.
    Success(NonNull<()>),
}

/// The thieves' end.
#[derive(Clone)]
pub struct Stealer {
    shared: Arc<Shared>,
}

impl Stealer {
    /// Takes the oldest item.
    pub fn steal(&self) -> Steal {
        let mut items = [ptr::null_mut()];
        match self.steal_some(&mut items) {
            Ok(_) => found(items[0]),
            Err(failed) => failed,
        }
    }

    /// Takes up to half of the items, at most [`BATCH`]: returns the oldest and pushes the others
    /// onto `into`, oldest first.
    pub fn steal_batch(&self, into: &Worker) -> Steal {
        let mut items = [ptr::null_mut(); BATCH];
        match self.steal_some(&mut items) {
            Ok(count) => {
                items[1..count]
                    .iter()
                    .copied()
                    .filter_map(NonNull::new)
                    .for_each(|i| into.push(i));
                found(items[0])
            }
            Err(failed) => failed,
        }
    }

    /// Whether there is no item; only a hint.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let top = self.shared.top(Ordering::Relaxed);
        self.shared.owned.bottom.load(Ordering::Relaxed) <= top.index
    }

    /// A number for the oldest item: the same number at two looks means that one and the same item
    /// has been waiting in between.
    #[inline]
    #[must_use]
    pub fn oldest_index(&self) -> u64 {
        // Both only grow, so the sum stays the same only if both do.
        let refills = self.shared.owned.refills.load(Ordering::Relaxed);
        self.shared
            .top(Ordering::Relaxed)
            .index
            .wrapping_add(refills)
    }

    /// Takes up to half of the items, at least one; how many, into `items`, oldest first.
    fn steal_some(&self, items: &mut [*mut ()]) -> Result<usize, Steal> {
        let shared = &*self.shared;
        let top = shared.top(Ordering::Acquire);
        let index = top.index;
        let bottom = shared.owned.bottom.load(Ordering::Acquire);
        if bottom <= index {
            return Err(Steal::Empty);
        }
        let wanted = (bottom - index).div_ceil(2).min(items.len() as u64);
        let mut claim = Top {
            index,
            claimed: wanted,
        };
        if top.claimed != 0 || shared.exchange_top(top, claim).is_err() {
            return Err(Steal::Retry); // DQ-7
        }
        membarrier::heavy(); // DQ-3
        let bottom = shared.owned.bottom.load(Ordering::Acquire); // DQ-2
        let there = bottom.saturating_sub(index).min(wanted);
        // SAFETY: BF-2, `shared` keeps it.
        let buffer = unsafe { &*shared.owned.buffer.load(Ordering::Acquire) };
        for (offset, item) in (0..there).zip(&mut *items) {
            *item = buffer.slot(index + offset).load(Ordering::Relaxed); // DQ-6
        }
        // DQ-5: commits to as many as the owner has left in the claim; none is a withdrawal.
        loop {
            let count = there.min(claim.claimed);
            match shared.exchange_top(
                claim,
                Top {
                    index: index + count,
                    claimed: 0,
                },
            ) {
                Ok(()) if count == 0 => return Err(Steal::Empty),
                Ok(()) => return Ok(count as usize),
                Err(now) if now.index == index => claim = now,
                Err(_) => return Err(Steal::Retry),
            }
        }
    }
}

fn found(item: *mut ()) -> Steal {
    // DQ-2: a slot below `bottom` has been written.
    Steal::Success(NonNull::new(item).expect("DQ-2: an item was pushed here"))
}
