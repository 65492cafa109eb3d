//! How far a segment is.
//!
//! ```text
//! word 0  runs   runs that it is through with
//! word 1  at     0 between two runs; else 1 + the number of the step that it is at, and HELD_UP while
//!                that step waits for its turn on its actor
//! word 2  since  when that wait began, by the node's clock
//! ```
//!
//! - SN-3 the words are written by the scheduler of the segment alone, which needs them for the order of
//!   its runs anyway: to make them visible costs a store for each step of a segment but its first.
//! - SN-4 who looks from outside may see a run and the step of the next one together while the segment
//!   moves. It looks until it sees the same run twice; and a segment that moves does not stall.
//! - SN-5 what a worker shows lies in memory that its driver can write: the worker keeps words of its own
//!   for the order of its runs, and relies on nothing that it shows.

use super::words::{Cells, Words};
use maser_shm::control::REGION_ALIGN;
use maser_shm::sync::atomic::Ordering;

/// The step waits for its turn on its actor.
const HELD_UP: u64 = 1 << 32;

const RUNS: usize = 0;
const AT: usize = 1;
const SINCE: usize = 2;
const WORDS: usize = 3;

/// See the module's page.
#[derive(Clone)]
pub(crate) struct Progress(Cells<WORDS>);

/// What was seen of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// Runs that it is through with, so the number of the run that it is at.
    pub(crate) runs: u64,
    /// The step that it is at, by its place in the segment.
    pub(crate) step: Option<usize>,
    /// That step waits for its turn on its actor since then.
    pub(crate) held_up_since_ns: Option<u64>,
}

impl Progress {
    /// Bytes of one, in memory that two processes share.
    pub(crate) const BYTES: usize = REGION_ALIGN;

    /// One, in memory of this process.
    pub(crate) fn alone() -> Self {
        match Self::of(1).pop() {
            Some(one) => one,
            None => unreachable!("one was made"),
        }
    }

    /// In `words`.
    pub(crate) fn new(words: Words) -> Self {
        Self(Cells::of(words))
    }

    /// So many, in memory of this process.
    pub(crate) fn of(segments: usize) -> Vec<Self> {
        let words = Words::on_heap(segments, WORDS);
        words.into_iter().map(Self::new).collect()
    }

    /// Runs that the segment is through with.
    #[inline(always)]
    pub(crate) fn runs(&self) -> u64 {
        self.0[RUNS].load(Ordering::Relaxed)
    }

    /// Whether it is in the middle of one.
    #[inline(always)]
    pub(crate) fn is_running(&self) -> bool {
        self.0[AT].load(Ordering::Relaxed) != 0
    }

    /// It begins its step of this number.
    #[inline(always)]
    pub(crate) fn step(&self, number: usize) {
        self.0[AT].store(number as u64 + 1, Ordering::Relaxed);
    }

    /// It is through with a run.
    #[inline(always)]
    pub(crate) fn end(&self) {
        self.0[AT].store(0, Ordering::Relaxed);
        self.0[RUNS].store(self.runs() + 1, Ordering::Release);
    }

    /// Its step begins to wait for its turn on its actor.
    pub(crate) fn is_held_up(&self, now_ns: u64) {
        self.0[SINCE].store(now_ns, Ordering::Relaxed);
        let at = self.0[AT].load(Ordering::Relaxed);
        self.0[AT].store(at | HELD_UP, Ordering::Release);
    }

    /// Its turn came.
    pub(crate) fn goes_on(&self) {
        let at = self.0[AT].load(Ordering::Relaxed);
        self.0[AT].store(at & !HELD_UP, Ordering::Relaxed);
    }

    /// A look from outside (SN-4).
    pub(crate) fn look(&self) -> Look {
        /// Looks at a segment that moves all the time.
        const LOOKS: usize = 64;
        let runs = || self.0[RUNS].load(Ordering::Acquire);
        let mut before = runs();
        let mut at = 0;
        for _ in 0..LOOKS {
            at = self.0[AT].load(Ordering::Acquire);
            let after = runs();
            if before == after {
                break;
            }
            before = after;
        }
        let held_up = at & HELD_UP != 0;
        let step = (at & !HELD_UP).checked_sub(1);
        Look {
            runs: before,
            step: step.map(|step| step as usize),
            held_up_since_ns: held_up.then(|| self.0[SINCE].load(Ordering::Relaxed)),
        }
    }
}
