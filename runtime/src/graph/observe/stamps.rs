//! When the values of some runs were written: the writer of an edge leaves the time beside it.
//!
//! ```text
//! word 2n      run + 1 of the stamp in this place; 0 while it is being written
//! word 2n + 1  when, by the node's clock
//! ```
//!
//! - SN-9 the edge itself orders writer and reader: a stamp is written before its value is sent and read
//!   after the value came. A stamp whose place was taken by a later run meanwhile is no stamp: the
//!   run stands beside it. All processes of a node have one clock (TI-2).

use super::words::{Cells, Words};
use maser_shm::control::REGION_ALIGN;
use maser_shm::sync::atomic::{Ordering, fence};

const PLACES: usize = 8;
const WORDS: usize = 2 * PLACES;

/// See the module's page.
#[derive(Clone)]
pub(crate) struct Stamps(Cells<WORDS>);

impl Stamps {
    /// Bytes of one edge's, in memory that two processes share.
    pub(crate) const BYTES: usize = REGION_ALIGN;

    /// In the first of some words.
    pub(crate) fn new(words: Words) -> Self {
        Self(Cells::of(words))
    }

    /// One edge's, in memory of this process.
    pub(crate) fn alone() -> Self {
        match Words::on_heap(1, WORDS).pop() {
            Some(words) => Self::new(words),
            None => unreachable!("one was made"),
        }
    }

    /// The value of the `number`th run that is stamped, `run`, is about to be sent.
    pub(crate) fn write(&self, number: u64, run: u64, now_ns: u64) {
        let at = 2 * (number as usize % PLACES);
        self.0[at].store(0, Ordering::Relaxed);
        fence(Ordering::Release);
        self.0[at + 1].store(now_ns, Ordering::Relaxed);
        self.0[at].store(run.wrapping_add(1), Ordering::Release);
    }

    /// When the value of `run` was sent, if that is still known.
    pub(crate) fn read(&self, number: u64, run: u64) -> Option<u64> {
        let at = 2 * (number as usize % PLACES);
        let before = self.0[at].load(Ordering::Acquire);
        let when = self.0[at + 1].load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        let after = self.0[at].load(Ordering::Relaxed);
        (before == after && before == run.wrapping_add(1)).then_some(when)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_found_until_its_place_is_taken() {
        let stamps = Stamps::alone();
        assert_eq!(stamps.read(0, 0), None);
        stamps.write(0, 0, 70);
        stamps.write(1, 64, 80);
        assert_eq!(
            (stamps.read(0, 0), stamps.read(1, 64)),
            (Some(70), Some(80))
        );
        assert_eq!(stamps.read(0, 512), None);
        stamps.write(8, 512, 90);
        assert_eq!((stamps.read(0, 0), stamps.read(8, 512)), (None, Some(90)));
    }
}
