//! What an idle end looks at: a word that changes when something arrives.
//!
//! An end that polls many channels keeps a probe for each and looks at nothing else while none of
//! them has changed: one load a look, whatever the channel's type.
//!
//! - PR-1 a probe holds what the load gave that found nothing. The word changes with whatever
//!   arrives next and never takes an old value again, so "unchanged" means "still nothing";
//!   "changed" means "look properly", which is also where the Acquire load is.
//! - PR-2 an end that answers on the very line of the question looks at it as one that is about to
//!   write: one transfer brings the question and the right to answer, where a read would be followed
//!   by a second one. The asking end reads, or it would take the line away from an answer in the
//!   making; once the answer is there it asks for the line, for its next question. Measured on two
//!   cores of a Zen 4 guest, in round trips of two readers on such a line: 0.65 where the cores
//!   share no cache, 0.9 to 1.0 where they do.
#![allow(unsafe_code, reason = "points at a word of a channel")]

use super::prefetch::prefetch_write;
use crate::sync::atomic::{AtomicU64, Ordering};
use std::ptr::NonNull;

/// See the module's page.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    word: NonNull<AtomicU64>,
    seen: u64,
}

impl Probe {
    /// A probe of `word`, which was `seen` when it was loaded and will change from that (PR-1).
    #[inline(always)]
    pub fn new(word: &AtomicU64, seen: u64) -> Self {
        Self {
            word: NonNull::from(word),
            seen,
        }
    }

    /// Whether something may have arrived.
    ///
    /// # Safety
    ///
    /// The word is alive: for a probe of a channel's end, that end was not dropped.
    #[inline(always)]
    pub unsafe fn has_changed(&self) -> bool {
        // SAFETY: this function's contract.
        unsafe { self.word.as_ref() }.load(Ordering::Relaxed) != self.seen
    }

    /// Fetches the word's line for writing (PR-2); look after it.
    #[inline(always)]
    pub fn prepare_write(&self) {
        prefetch_write(self.word.as_ptr());
    }
}
