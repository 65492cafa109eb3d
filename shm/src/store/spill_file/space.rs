//! Which ranges of a file are free: the smallest that fits is taken, neighbours are joined.
//!
//! - SP-5 free ranges lie below the end, never touch each other nor the end, and are whole pages.

use std::collections::{BTreeMap, BTreeSet};

/// Ranges begin and end on multiples of this: a page, so that all of one can be given back.
pub const PAGE_BYTES: u64 = 4096;

/// Bytes that an object takes up.
#[must_use]
pub fn rounded(bytes: usize) -> u64 {
    (bytes as u64).next_multiple_of(PAGE_BYTES)
}

/// The free ranges of a file, and its end.
#[derive(Debug, Default)]
pub struct Space {
    /// Length by offset.
    by_offset: BTreeMap<u64, u64>,
    /// Length and offset, for the smallest that fits.
    by_bytes: BTreeSet<(u64, u64)>,
    end: u64,
    /// The largest `end` there ever was: what lies between may still take up room.
    end_max: u64,
}

impl Space {
    /// Takes `bytes`, a whole number of pages, and says where.
    pub fn take(&mut self, bytes: u64) -> u64 {
        debug_assert_eq!(bytes % PAGE_BYTES, 0, "SP-5");
        if bytes == 0 {
            return 0;
        }
        let Some(&(free, offset)) = self.by_bytes.range((bytes, 0)..).next() else {
            let offset = self.end;
            self.end += bytes;
            self.end_max = self.end_max.max(self.end);
            return offset;
        };
        self.remove(offset, free);
        if free > bytes {
            self.insert(offset + bytes, free - bytes);
        }
        offset
    }

    /// Gives back a range, or part of one, that was taken.
    pub fn give(&mut self, offset: u64, bytes: u64) {
        let (mut offset, mut bytes) = (offset, bytes);
        if bytes == 0 {
            return;
        }
        if let Some((&before, &length)) = self.by_offset.range(..offset).next_back()
            && before + length == offset
        {
            self.remove(before, length);
            (offset, bytes) = (before, bytes + length);
        }
        if let Some(&length) = self.by_offset.get(&(offset + bytes)) {
            self.remove(offset + bytes, length);
            bytes += length;
        }
        if offset + bytes == self.end {
            self.end = offset;
        } else {
            self.insert(offset, bytes);
        }
    }

    /// Takes all that is free out, also what was taken once and lies beyond the end now; each range is
    /// given back by [`Self::give`].
    pub fn take_free(&mut self) -> Vec<(u64, u64)> {
        self.by_bytes.clear();
        let mut ranges: Vec<_> = std::mem::take(&mut self.by_offset).into_iter().collect();
        if self.end < self.end_max {
            ranges.push((self.end, self.end_max - self.end));
            self.end = self.end_max;
        }
        ranges
    }

    /// Where the last taken range ends.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    fn insert(&mut self, offset: u64, bytes: u64) {
        self.by_offset.insert(offset, bytes);
        self.by_bytes.insert((bytes, offset));
    }

    fn remove(&mut self, offset: u64, bytes: u64) {
        self.by_offset.remove(&offset);
        self.by_bytes.remove(&(bytes, offset));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_smallest_range_that_fits_is_used_again() {
        let mut space = Space::default();
        let pages = |count: u64| count * PAGE_BYTES;
        let taken: Vec<u64> = [5, 1, 2, 1, 3, 1].map(|n| space.take(pages(n))).to_vec();
        space.give(taken[0], pages(5));
        space.give(taken[2], pages(2));
        space.give(taken[4], pages(3));
        assert_eq!(space.take(pages(3)), taken[4]);
        assert_eq!(space.take(pages(1)), taken[2]);
        assert_eq!(space.take(pages(6)), pages(13), "none fits: at the end");
    }

    #[test]
    fn all_that_is_free_can_be_taken_out_and_given_back() {
        let mut space = Space::default();
        let pages = |count: u64| count * PAGE_BYTES;
        let taken = [2, 3, 4].map(|count| space.take(pages(count)));
        space.give(taken[0], pages(2));
        space.give(taken[2], pages(4));
        let free = space.take_free();
        assert_eq!(free, [(0, pages(2)), (pages(5), pages(4))]);
        assert_eq!(space.take(pages(1)), pages(9), "nothing is free meanwhile");
        for (offset, bytes) in free {
            space.give(offset, bytes);
        }
        assert_eq!(space.take(pages(4)), pages(5));
        space.give(pages(9), pages(1));
        space.give(pages(5), pages(4));
        assert_eq!(space.end(), pages(5));
        assert_eq!(space.take_free().last(), Some(&(pages(5), pages(5))));
    }

    proptest! {
        #[test]
        #[cfg_attr(miri, ignore = "many cases")]
        fn ranges_never_overlap_and_all_come_back(steps in prop::collection::vec((0_u64..9, any::<prop::sample::Index>()), 1..200)) {
            let mut space = Space::default();
            let mut taken: Vec<(u64, u64)> = Vec::new();
            for (pages, which) in steps {
                if pages == 0 && !taken.is_empty() {
                    let (offset, bytes) = taken.swap_remove(which.index(taken.len()));
                    space.give(offset, bytes);
                } else {
                    let bytes = pages.max(1) * PAGE_BYTES;
                    let offset = space.take(bytes);
                    let is_apart = |&(other, length): &(u64, u64)| offset + bytes <= other || other + length <= offset;
                    prop_assert!(taken.iter().all(is_apart));
                    prop_assert!(offset + bytes <= space.end());
                    taken.push((offset, bytes));
                }
                let held: u64 = taken.iter().map(|(_, bytes)| bytes).sum();
                let free: u64 = space.by_offset.values().sum();
                prop_assert_eq!(held + free, space.end());
                prop_assert_eq!(space.by_offset.len(), space.by_bytes.len());
            }
            for (offset, bytes) in taken {
                space.give(offset, bytes);
            }
            prop_assert_eq!(space.end(), 0);
            prop_assert!(space.by_offset.is_empty());
        }
    }
}
