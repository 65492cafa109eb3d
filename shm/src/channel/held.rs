//! One end's share of a ring.
//!
//! It is an `Arc` that never hands out its own address: dropping an `Arc` passes a reference to
//! itself on, and an end whose fields are reachable from outside must write every one of them to
//! memory before each atomic store. An end that is a local of its loop keeps them in registers
//! instead (a third fewer stores for each message; 0.8 of the time, one way, 2-core Zen 4 guest).
//!
//! - HE-1 the pointer came from `Arc::into_raw`, and one count of it is this `Held`'s.
#![allow(unsafe_code, reason = "holds an Arc as a raw pointer")]

use std::ops::Deref;
use std::ptr::NonNull;

use super::place::{Hold, OnHeap};
use super::{Arc, PeerFault};

/// A counted reference to `R`.
pub struct Held<R>(NonNull<R>);

// SAFETY: HE-1: it is an `Arc<R>`, which is `Send` if `R` is both.
unsafe impl<R: Send + Sync> Send for Held<R> {}
// SAFETY: as above.
unsafe impl<R: Send + Sync> Sync for Held<R> {}

impl<R> Held<R> {
    /// Two shares, one for each end.
    pub(super) fn pair(shared: R) -> (Self, Self) {
        let first = Arc::new(shared);
        let second = first.clone();
        (Self::from_arc(first), Self::from_arc(second))
    }

    /// `count` shares, one for each end.
    pub(super) fn many(shared: R, count: usize) -> Vec<Self> {
        let shared = Arc::new(shared);
        (0..count).map(|_| Self::from_arc(shared.clone())).collect()
    }

    fn from_arc(shared: Arc<R>) -> Self {
        // SAFETY: a pointer to a value in an `Arc` is not null.
        Self(unsafe { NonNull::new_unchecked(Arc::into_raw(shared).cast_mut()) })
    }
}

impl<R: OnHeap> Deref for Held<R> {
    type Target = R::Control;

    #[inline(always)]
    fn deref(&self) -> &R::Control {
        // SAFETY: HE-1: alive while this share is.
        unsafe { self.0.as_ref() }.control()
    }
}

impl<R: OnHeap> Hold for Held<R> {
    type Control = R::Control;

    #[inline(always)]
    fn fault(&self) -> Option<PeerFault> {
        None
    }

    #[inline(always)]
    fn condemn(&mut self, _fault: PeerFault) {
        // WH-2: nothing on the heap is another process's.
    }
}

impl<R> Drop for Held<R> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: HE-1, and this is the end of this share.
        unsafe { release(self.0) };
    }
}

/// Gives one count back; by value, see the module doc.
///
/// # Safety
///
/// The pointer came from `Arc::into_raw` and the caller owns a count.
#[inline(never)]
unsafe fn release<R>(shared: NonNull<R>) {
    // SAFETY: this function's contract.
    drop(unsafe { Arc::from_raw(shared.as_ptr().cast_const()) });
}
