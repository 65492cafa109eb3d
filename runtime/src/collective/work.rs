//! A result that is made in pieces, by everybody who waits for it in this process.
//!
//! - GP-6 a piece is claimed once, by counting `next` up; whoever claims it writes its elements, and
//!   nobody else reads or writes them.
//! - GP-7 `left` counts down after a piece is written, AcqRel: whoever brings it to zero sees all
//!   pieces, and alone takes the result.
#![allow(
    unsafe_code,
    reason = "pieces of one array, written by several threads"
)]

use super::combine::Shared;
use super::make::Whole;
use maser_shm::sync::atomic::{AtomicUsize, Ordering};
use maser_shm::tensor::Element;
use std::ops::Range;
use std::ptr::NonNull;
use std::slice;
use std::sync::{Mutex, PoisonError};

/// Bytes of a piece: some microseconds of work, against some hundred nanoseconds to claim one; and
/// a few ranks' pieces fit into a second-level cache.
const PIECE_BYTES: usize = 64 << 10;

/// How elements of a result are made.
pub(super) trait Fill<T>: Send + Sync + 'static {
    /// Makes those of `range`, which are `out`.
    fn fill(&self, range: Range<usize>, out: &mut [T]);
}

/// What came of a step.
pub(crate) enum Step {
    /// A piece was done, and others are not.
    Done,
    /// The last piece was done.
    Last(Shared),
    /// All pieces are claimed.
    Nothing,
}

/// Work that several threads may do.
pub(crate) trait Work: Send + Sync {
    /// Does a piece of it.
    fn step(&self) -> Step;
}

/// See the module's page.
pub(super) struct Job<T: Element, F, S> {
    fill: F,
    seal: S,
    /// Its elements; the memory is `whole`'s.
    start: NonNull<T>,
    len: usize,
    piece_len: usize,
    /// The next piece (GP-6). Relaxed: a piece is claimed by its number alone.
    next: AtomicUsize,
    /// Pieces that are not done (GP-7).
    left: AtomicUsize,
    whole: Mutex<Option<Whole<T>>>,
}

// SAFETY: GP-6 and GP-7; elements move between threads with the pieces.
unsafe impl<T: Element, F: Sync + Send, S: Sync + Send> Send for Job<T, F, S> {}
// SAFETY: as above.
unsafe impl<T: Element, F: Sync + Send, S: Sync + Send> Sync for Job<T, F, S> {}

impl<T: Element, F, S> Job<T, F, S> {
    pub(super) fn new(mut whole: Whole<T>, fill: F, seal: S) -> Self {
        let out = whole.as_mut_slice();
        let (start, len) = (NonNull::from(&mut *out).cast(), out.len());
        let piece_len = PIECE_BYTES / size_of::<T>();
        Self {
            fill,
            seal,
            start,
            len,
            piece_len,
            next: AtomicUsize::new(0),
            left: AtomicUsize::new(len.div_ceil(piece_len)),
            whole: Mutex::new(Some(whole)),
        }
    }
}

impl<T, F, S> Work for Job<T, F, S>
where
    T: Element,
    F: Fill<T>,
    S: Fn(Whole<T>) -> Shared + Send + Sync,
{
    fn step(&self) -> Step {
        let piece = self.next.fetch_add(1, Ordering::Relaxed);
        let start = piece.saturating_mul(self.piece_len);
        if start >= self.len {
            return Step::Nothing;
        }
        let end = self.len.min(start + self.piece_len);
        // SAFETY: GP-6: inside of the array, and this thread's alone until `left` counts it; the
        // array is there until `left` is zero (GP-7), and is not moved.
        let out = unsafe { slice::from_raw_parts_mut(self.start.as_ptr().add(start), end - start) };
        self.fill.fill(start..end, out);
        if self.left.fetch_sub(1, Ordering::AcqRel) != 1 {
            return Step::Done;
        }
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        match whole.take() {
            Some(whole) => Step::Last((self.seal)(whole)),
            None => unreachable!("GP-7"),
        }
    }
}
