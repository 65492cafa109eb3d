//! Work-stealing deque of one-word items: its owner pushes with two plain stores and pops with one
//! locked instruction, the last item included.
//!
//! ```text
//!      top.index      top.index + top.claimed                     bottom
//!   ------|----------------------|----------------------------------|------> index
//!   taken |  a thief is at work  |  the owner's, open to thieves    | free
//!         oldest                                              newest
//! ```
//!
//! `top` is one word: the index of the oldest item in its upper 56 bits, and in the lower 8 how many
//! items from there on a thief has claimed. A thief claims, looks how much there still is, and
//! commits; the owner looks at the claim after every step back. Each side thus writes one word and
//! then reads the other's (Dekker).
//!
//! - DQ-1 `bottom` is written by the owner alone, `top` by exchange alone. The items are those from
//!   `top.index` to below `bottom`.
//! - DQ-2 `push` stores the slot, then `bottom` with Release; a thief loads `bottom` with at least
//!   Acquire, then the buffer and the slots. Every write of `bottom` is at least Release, so this
//!   holds also for a thief that sees the value of a later `pop`.
//! - DQ-3 `pop` swaps `bottom - 1` in, then loads `top`. A thief exchanges `top` for its claim, then
//!   loads `bottom`. All four are SeqCst: in their one order either the claim comes before the
//!   owner's load, which sees it, or the smaller `bottom` before the thief's load, and the thief
//!   commits to nothing from there on. Nothing weaker keeps a load behind an earlier write.
//! - DQ-4 an item outside the claim that `pop` sees is the owner's by DQ-3, the last one included:
//!   no second exchange. For an item inside it owner and thief compete by exchange: the owner cuts
//!   the claim short before its item, or moves `top.index` beyond the item if it is the oldest.
//! - DQ-5 a claim ends when its thief commits, which moves `top.index` beyond the items taken, or
//!   withdraws, which clears `claimed`; the owner can shorten it, but not to zero without moving
//!   `top.index`. So while a thief sees its index with a claim, the claim is its own. `top.index`
//!   never falls, and nothing that was read before a claim is used after it: no ABA.
//! - DQ-6 a thief reads the slots between the claim and the commit, whose Release pairs with the
//!   Acquire load of `top` before `push` uses a slot anew. What it read beyond its commit, it drops.
//! - DQ-7 one thief at a time has a claim. One that is switched out in the midst of it keeps the
//!   other thieves away (`Retry`), never the owner.
//! - DQ-8 items are words: the deque never looks behind them, and drops none.
//!
//! Why not the asymmetric fence of `os::membarrier` in DQ-3: measured on an EPYC of family 25 (a
//! virtual machine), push and pop take 2.4 ns with it and 2.7 ns with the swap (2.8 with a fence
//! that compiles to `lock or`; `mfence` alone is 16), while every theft, 7 ns as it is, would cost
//! 0.4 us, or 4 to 7 us and as long an interrupt of the victim's core when that is running.
//!
//! Model: `tests/loom_deque.rs`.
#![allow(
    unsafe_code,
    reason = "reads slots of buffers that are kept for thieves"
)]

mod buffer;
mod stealer;
mod worker;

use std::ptr;

#[cfg(loom)]
use loom::sync::Arc;
#[cfg(not(loom))]
use std::sync::Arc;

use self::buffer::Buffer;
pub use self::stealer::{BATCH, Steal, Stealer};
pub use self::worker::Worker;
use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

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

    /// 56 bits of index last for 45 years of fifty million items a second.
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
    ///
    /// SeqCst for DQ-3, for what was found too: `pop` relies on it when a thief has withdrawn.
    #[inline(always)]
    fn exchange_top(&self, seen: Top, next: Top) -> Result<(), Top> {
        self.top
            .compare_exchange(seen.pack(), next.pack(), Ordering::SeqCst, Ordering::SeqCst)
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

/// Stands where DQ-3 needs a write before a load. Loom takes SeqCst accesses for Release and
/// Acquire, but knows SeqCst fences; elsewhere the accesses suffice.
#[inline(always)]
fn model_fence() {
    #[cfg(loom)]
    crate::sync::atomic::fence(Ordering::SeqCst);
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
    let stealer = Stealer::new(Arc::clone(&shared));
    // SAFETY: just made.
    (Worker::new(shared, unsafe { &*buffer }), stealer)
}
