//! Where a ring lies: among the threads of this process, or in memory that other processes write.
//!
//! The steps of both are one source. What differs is decided at compile time, so that a ring
//! between threads has neither a branch nor a word for the other kind:
//!
//! - WH-1 the ends of a ring on the heap share an owner that drops what is left in it; the ends of a
//!   ring in control memory each keep the mapping, and nothing in it is ever dropped (`Plain`).
//! - WH-2 in control memory each word of the peer is checked against what it can be before it is
//!   used (`IS_SHARED`). What cannot be condemns the ring: this end says closed from then on, and
//!   why. The positions that an end goes by are its own and never read back.
//! - WH-3 a value is copied out of control memory before anybody looks at it, and a fence of the
//!   compiler keeps the copy from being replaced by the original.

use std::ops::Deref;

use super::PeerFault;
use super::held::Held;
#[cfg(not(loom))]
use super::mapped::Mapped;
use crate::sync::atomic::{Ordering, compiler_fence};

/// A kind of memory for rings: [`Heap`] or [`Shared`].
pub trait Place: Sized + 'static {
    /// Whether others than this process write there.
    const IS_SHARED: bool;
    /// One end's share of a ring.
    type Hold<R: OnHeap>: Hold<Control = R::Control>;

    /// What an end in control memory owns by itself, because a peer must not write it.
    type Own<X>;
    /// It; `None` on the heap, where there is no such thing.
    fn own<X>(own: &Self::Own<X>) -> Option<&X>;

    /// Ends a look at values by a copy of them (WH-3).
    #[inline(always)]
    fn copied() {
        if Self::IS_SHARED {
            compiler_fence(Ordering::SeqCst);
        }
    }
}

/// A ring on the heap: its owner, and the words that both ends need.
pub trait OnHeap {
    /// The words that both ends need.
    type Control;
    /// Where they are.
    fn control(&self) -> &Self::Control;
}

/// One end's share of a ring.
pub trait Hold: Deref<Target = Self::Control> {
    /// The words that both ends need.
    type Control;
    /// Why the ring has ended, if not in the ordinary way.
    fn fault(&self) -> Option<PeerFault>;
    /// Ends the ring; the first reason stays, except that death does not excuse what cannot be.
    fn condemn(&mut self, fault: PeerFault);
    /// Whether the peer wrote what cannot be, so that nothing of it is used any more.
    #[inline(always)]
    fn is_corrupt(&self) -> bool {
        matches!(self.fault(), Some(PeerFault::Corrupt { .. }))
    }
}

/// Memory of this process alone.
#[derive(Debug)]
pub enum Heap {}

impl Place for Heap {
    const IS_SHARED: bool = false;
    type Hold<R: OnHeap> = Held<R>;
    type Own<X> = ();

    #[inline(always)]
    fn own<X>((): &()) -> Option<&X> {
        None
    }
}

/// Control memory: the other end may be in another process.
#[cfg(not(loom))]
#[derive(Debug)]
pub enum Shared {}

#[cfg(not(loom))]
impl Place for Shared {
    const IS_SHARED: bool = true;
    type Hold<R: OnHeap> = Mapped<R::Control>;
    type Own<X> = X;

    #[inline(always)]
    fn own<X>(own: &X) -> Option<&X> {
        Some(own)
    }
}

/// What a word held that cannot be. Out of line, and by value, see `channel::held`.
#[cold]
pub(super) fn corrupt(word: &'static str, found: u64, least: u64, most: u64) -> PeerFault {
    PeerFault::Corrupt {
        word,
        found,
        least,
        most,
    }
}
