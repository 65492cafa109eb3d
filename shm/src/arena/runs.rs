//! Which granules of one extent are free, a bit each; takes and gives back runs of them.
//!
//! - RUN-1 a set bit is a free granule. Bits past the end are never set.
//! - RUN-2 `longest` is no less than the longest free run; a search that fails lowers it, so that the
//!   next one of that length costs nothing.
//! - RUN-3 a run that takes nearly all of an empty extent takes it `whole`, and no bit is touched: the
//!   time it takes does not depend on its size.

const BITS: u32 = u64::BITS;

/// See the module's page.
#[derive(Debug)]
pub struct Runs {
    words: Vec<u64>,
    granules: u32,
    free: u32,
    longest: u32,
    whole: bool,
}

impl Runs {
    /// All `granules` free.
    #[must_use]
    pub fn new(granules: u32) -> Self {
        let mut words = vec![u64::MAX; granules.div_ceil(BITS) as usize];
        if let (Some(last), tail @ 1..) = (words.last_mut(), granules % BITS) {
            *last = (1 << tail) - 1;
        }
        Self {
            words,
            granules,
            free: granules,
            longest: granules,
            whole: false,
        }
    }

    /// Granules of the extent.
    #[must_use]
    pub fn granules(&self) -> u32 {
        self.granules
    }

    /// Free granules.
    #[must_use]
    pub fn free(&self) -> u32 {
        self.free
    }

    /// Whether nothing is taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.free == self.granules
    }

    /// Whether it may be worth asking for so many.
    #[must_use]
    pub fn may_fit(&self, count: u32) -> bool {
        count <= self.longest && count <= self.free
    }

    /// Takes the first run of `count` granules; its first one.
    pub fn take(&mut self, count: u32) -> Option<u32> {
        if count == 0 || !self.may_fit(count) {
            return None;
        }
        if self.is_empty() && self.granules - count <= self.granules / 8 {
            (self.whole, self.free, self.longest) = (true, 0, 0); // RUN-3
            return Some(0);
        }
        let mut at = 0;
        let mut longest = 0;
        while let Some(start) = self.next(at, true) {
            let end = self.next(start, false).unwrap_or(self.granules);
            if end - start >= count {
                self.put(start, count, false);
                self.free -= count;
                return Some(start);
            }
            longest = longest.max(end - start);
            at = end;
        }
        self.longest = longest; // RUN-2
        None
    }

    /// Gives a run back.
    ///
    /// # Panics
    /// If any of it is free already, or outside.
    pub fn give(&mut self, start: u32, count: u32) {
        assert!(
            start
                .checked_add(count)
                .is_some_and(|end| end <= self.granules)
        );
        if std::mem::replace(&mut self.whole, false) {
            assert!(start == 0, "granules {start}+{count} were not taken");
            (self.free, self.longest) = (self.granules, self.granules); // RUN-3
            return;
        }
        // Looking at all of them would cost more than the rest; a run is given back as it was taken.
        let free = |at: u32| self.words[(at / BITS) as usize] >> (at % BITS) & 1 == 1;
        let taken = count == 0 || !(free(start) || free(start + count - 1));
        assert!(taken, "granules {start}+{count} were given back twice");
        self.put(start, count, true);
        self.free += count;
        self.longest = self.free; // RUN-2
    }

    /// The first granule from `at` on that is free, or is not.
    fn next(&self, at: u32, free: bool) -> Option<u32> {
        let mut index = (at / BITS) as usize;
        let mut mask = u64::MAX << (at % BITS);
        loop {
            let word = *self.words.get(index)?;
            let found = (if free { word } else { !word }) & mask;
            if found != 0 {
                let at = index as u32 * BITS + found.trailing_zeros();
                return (at < self.granules).then_some(at);
            }
            (index, mask) = (index + 1, u64::MAX);
        }
    }

    fn put(&mut self, start: u32, count: u32, free: bool) {
        let (mut at, end) = (start, start + count);
        while at < end {
            let (index, low) = ((at / BITS) as usize, at % BITS);
            let length = (BITS - low).min(end - at);
            let mask = (u64::MAX >> (BITS - length)) << low;
            if free {
                self.words[index] |= mask;
            } else {
                self.words[index] &= !mask;
            }
            at += length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_taken_in_order_across_words_and_come_back() {
        let mut runs = Runs::new(200);
        assert_eq!(runs.take(63), Some(0));
        assert_eq!(runs.take(100), Some(63));
        assert_eq!(runs.take(38), None);
        assert_eq!(runs.take(37), Some(163));
        assert_eq!((runs.take(1), runs.free()), (None, 0));
        runs.give(63, 100);
        assert_eq!(runs.take(101), None);
        assert!(!runs.may_fit(101) && runs.may_fit(100));
        assert_eq!(runs.take(100), Some(63));
        runs.give(0, 63);
        runs.give(163, 37);
        runs.give(63, 100);
        assert!(runs.is_empty());
        assert_eq!(runs.take(200), Some(0));
    }

    #[test]
    fn a_run_of_nearly_everything_takes_it_whole() {
        let mut runs = Runs::new(160);
        for count in [140, 160] {
            assert_eq!(runs.take(count), Some(0));
            assert_eq!((runs.free(), runs.take(1)), (0, None));
            runs.give(0, count);
            assert!(runs.is_empty());
        }
        assert_eq!((runs.take(139), runs.take(21)), (Some(0), Some(139)));
    }

    #[test]
    fn nothing_and_more_than_there_is_are_not_taken() {
        let mut runs = Runs::new(64);
        assert_eq!((runs.take(0), runs.take(65)), (None, None));
        assert_eq!(runs.take(64), Some(0));
    }

    #[test]
    #[should_panic(expected = "given back twice")]
    fn giving_back_twice_is_noticed() {
        let mut runs = Runs::new(8);
        runs.take(4);
        runs.take(1);
        runs.give(0, 4);
        runs.give(2, 1);
    }
}
