//! Fetching a part of a peer's region: gets in chunks, several under way at once.
//!
//! - FE-1 each byte is asked for until a get of it has succeeded, once at a time; what is done is not asked
//!   for again on the next connection.
//! - FE-2 bytes under way are at most the window, or one chunk.
//! - FE-3 a fetch is over when nothing of it is under way any more, also if it failed: its memory is not
//!   written after that.

use super::options::Thresholds;
use crate::memory::{LocalSlice, OutOfRegion, RemoteSlice};
use crate::request::WorkRequest;
use std::ops::Range;

/// How a fetch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It goes on.
    GoesOn,
    /// All of it is here.
    Done,
    /// It was given up, and nothing of it is under way.
    GivenUp,
}

/// See the module's page.
#[derive(Debug)]
pub struct Fetch {
    from: RemoteSlice,
    to: LocalSlice,
    chunk_bytes: u64,
    window_bytes: u64,
    /// Behind what was asked for at least once.
    next: u64,
    /// What has to be asked for again.
    again: Vec<Range<u64>>,
    under_way: Vec<Range<u64>>,
    done_bytes: u64,
    is_given_up: bool,
}

impl Fetch {
    /// One of which nothing is under way.
    ///
    /// # Panics
    /// If the two are not as long as each other.
    #[must_use]
    pub fn new(from: RemoteSlice, to: LocalSlice, thresholds: &Thresholds) -> Self {
        assert_eq!(from.len(), to.len() as u64, "two sides of a fetch");
        Self {
            from,
            to,
            chunk_bytes: thresholds.chunk_bytes as u64,
            window_bytes: thresholds.window_bytes as u64,
            next: 0,
            again: Vec::new(),
            under_way: Vec::new(),
            done_bytes: 0,
            is_given_up: false,
        }
    }

    /// Bytes of all of it.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.from.len()
    }

    /// How it stands (FE-3).
    #[must_use]
    pub fn progress(&self) -> Progress {
        if self.done_bytes == self.bytes() {
            Progress::Done
        } else if self.is_given_up && self.under_way.is_empty() {
            Progress::GivenUp
        } else {
            Progress::GoesOn
        }
    }

    /// The next chunk to ask for, within the window (FE-2). It is under way then.
    pub fn next_chunk(&mut self) -> Option<Range<u64>> {
        let under_way: u64 = self
            .under_way
            .iter()
            .map(|range| range.end - range.start)
            .sum();
        if self.is_given_up || under_way > 0 && under_way + self.chunk_bytes > self.window_bytes {
            return None;
        }
        let range = match self.again.pop() {
            Some(range) => range,
            None if self.next == self.bytes() => return None,
            None => self.next..self.bytes().min(self.next.saturating_add(self.chunk_bytes)),
        };
        self.next = self.next.max(range.end);
        self.under_way.push(range.clone());
        Some(range)
    }

    /// The get of a chunk.
    ///
    /// # Errors
    /// [`OutOfRegion`]: never for a chunk that [`next_chunk`](Self::next_chunk) gave.
    pub fn request(&self, range: &Range<u64>) -> Result<WorkRequest, OutOfRegion> {
        let (there, here) = (self.from.offset(), self.to.offset());
        let from = self
            .from
            .region()
            .slice(there + range.start..there + range.end)?;
        let local = here + range.start as usize..here + range.end as usize;
        let to = self.to.region().slice(local)?;
        Ok(WorkRequest::Get { from, to })
    }

    /// A chunk came, or did not (FE-1).
    pub fn came(&mut self, range: &Range<u64>, is_here: bool) {
        let Some(at) = self.under_way.iter().position(|one| one == range) else {
            return;
        };
        self.under_way.swap_remove(at);
        match is_here {
            true => self.done_bytes += range.end - range.start,
            false => self.again.push(range.clone()),
        }
    }

    /// Nothing more is asked for.
    pub fn give_up(&mut self) {
        self.is_given_up = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loopback::{LoopbackTransport, Network};
    use crate::memory::{Access, HeapMemory};
    use crate::transport::Transport;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn fetch(bytes: usize, chunk_bytes: usize, window_bytes: usize) -> Fetch {
        let mut end = LoopbackTransport::open(&Network::new());
        let mut region = || {
            end.register(Arc::new(HeapMemory::new(bytes.max(1))), Access::all())
                .expect("registered")
        };
        let from = region().remote().slice(0..bytes as u64).expect("within");
        let to = region().slice(0..bytes).expect("within");
        let thresholds = Thresholds {
            rendezvous_bytes: 1,
            fragment_bytes: 1,
            chunk_bytes,
            window_bytes,
        };
        Fetch::new(from, to, &thresholds)
    }

    proptest! {
        #[test]
        fn every_byte_comes_once_whatever_is_lost(
            bytes in 0_usize..5000,
            chunk in 1_usize..700,
            window in 1_usize..3000,
            // Which of those under way ends next, and whether it is lost.
            ends in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..200),
        ) {
            let mut fetch = fetch(bytes, chunk, window);
            let mut covered = vec![0_u8; bytes];
            let mut under_way: Vec<Range<u64>> = Vec::new();
            let mut ends = ends.into_iter();
            while fetch.progress() == Progress::GoesOn {
                while let Some(range) = fetch.next_chunk() {
                    prop_assert!(fetch.request(&range).is_ok());
                    under_way.push(range);
                }
                let sum: u64 = under_way.iter().map(|range| range.end - range.start).sum();
                prop_assert!(sum <= window as u64 || under_way.len() == 1, "FE-2");
                let (at, is_here) = ends.next().map_or((0, true), |(index, is_here)| {
                    (index.index(under_way.len()), is_here)
                });
                let range = under_way.swap_remove(at);
                fetch.came(&range, is_here);
                if is_here {
                    covered[range.start as usize..range.end as usize]
                        .iter_mut()
                        .for_each(|count| *count += 1);
                }
            }
            prop_assert_eq!(fetch.progress(), Progress::Done);
            prop_assert!(under_way.is_empty() && covered.iter().all(|count| *count == 1), "FE-1");
        }
    }

    #[test]
    fn what_is_given_up_is_over_when_nothing_is_under_way() {
        let mut fetch = fetch(100, 10, 30);
        let chunks: Vec<_> = std::iter::from_fn(|| fetch.next_chunk()).collect();
        assert_eq!(chunks.len(), 3);
        fetch.give_up();
        assert_eq!(
            (fetch.next_chunk(), fetch.progress()),
            (None, Progress::GoesOn)
        );
        for (at, range) in chunks.iter().enumerate() {
            assert_eq!(fetch.progress(), Progress::GoesOn);
            fetch.came(range, at != 1);
        }
        assert_eq!(fetch.progress(), Progress::GivenUp);
    }
}
