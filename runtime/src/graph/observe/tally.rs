//! How often which time was measured: counts in buckets, written by one thread and read by any.
//!
//! ```text
//! word 0  most  the longest time
//! word 1  sum   of all times; with the count it gives the mean
//! word 2  ..    how often, for each bucket: 0 to 31 ns one each, then 32 for every power of two
//! ```
//!
//! A bucket is at most a 32nd of its time wide, so what is read from its middle is within 1.6 %. Recording
//! is a shift and three stores. (A histogram of `hdrhistogram` can be read by its owner alone, who would
//! have to be asked, and cannot lie in memory that two processes share.)
//!
//! - SN-8 one thread records. Who reads may miss what is being recorded; counts that another process
//!   wrote are input: sums of them saturate.

use super::words::Words;
use maser_shm::sync::atomic::{AtomicU64, Ordering};
use serde::{Deserialize, Serialize};
use std::time::Duration;

const PART_BITS: u32 = 5;

/// Longer times, 18 minutes and more, count as this, in the buckets; `most` and `sum` are exact.
const LONGEST_NS: u64 = (1 << LONGEST_BITS) - 1;
const LONGEST_BITS: u32 = 40;

const BUCKETS: usize = ((LONGEST_BITS - PART_BITS + 1) << PART_BITS) as usize;

const MOST: usize = 0;
const SUM: usize = 1;
const FIRST: usize = 2;

/// The bucket of a time.
#[inline(always)]
fn bucket_of(ns: u64) -> usize {
    let ns = ns.min(LONGEST_NS);
    let shift = (u64::BITS - ns.leading_zeros()).saturating_sub(PART_BITS + 1);
    (ns >> shift) as usize + ((shift as usize) << PART_BITS)
}

/// The middle of a bucket.
fn middle_of(bucket: usize) -> u64 {
    let shift = (bucket as u64 >> PART_BITS).saturating_sub(1);
    let first = (bucket as u64 - (shift << PART_BITS)) << shift;
    first + ((1 << shift) >> 1)
}

/// See the module's page.
#[derive(Clone)]
pub(crate) struct Tally(Words);

/// Times that were measured. Percentiles are nearest-rank, within 1.6 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LatencyStats {
    /// How many were measured.
    pub count: u64,
    /// Their mean.
    pub mean: Duration,
    /// The median.
    pub p50: Duration,
    /// The time that 99 % do not exceed.
    pub p99: Duration,
    /// The time that 99.9 % do not exceed.
    pub p999: Duration,
    /// The longest.
    pub max: Duration,
}

impl Tally {
    /// Words of one.
    pub(crate) const WORDS: usize = FIRST + BUCKETS;

    /// In the first of some words.
    pub(crate) fn new(words: Words) -> Self {
        assert!(words.len() >= Self::WORDS, "SN-8: too few words");
        Self(words)
    }

    /// So many, in memory of this process.
    pub(crate) fn of(count: usize) -> Vec<Self> {
        let words = Words::on_heap(count, Self::WORDS);
        words.into_iter().map(Self::new).collect()
    }

    /// One more time (SN-8).
    pub(crate) fn record(&self, ns: u64) {
        let most = &self.0[MOST];
        if ns > most.load(Ordering::Relaxed) {
            most.store(ns, Ordering::Relaxed);
        }
        add(&self.0[SUM], ns);
        add(&self.0[FIRST + bucket_of(ns)], 1);
    }

    /// What was recorded so far.
    pub(crate) fn summary(&self) -> LatencyStats {
        let read = |word: &AtomicU64| word.load(Ordering::Relaxed);
        let counts: Vec<u64> = self.0[FIRST..Self::WORDS].iter().map(read).collect();
        let all = |sum: u64, count: &u64| sum.saturating_add(*count);
        let count = counts.iter().fold(0, all);
        let most = read(&self.0[MOST]);
        let rank = |part: f64| {
            let rank = ((count as f64 * part).ceil() as u64).max(1);
            let mut sum = 0_u64;
            let at = counts.iter().position(|count| {
                sum = sum.saturating_add(*count);
                sum >= rank
            });
            Duration::from_nanos(at.map_or(0, |at| middle_of(at).min(most)))
        };
        if count == 0 {
            return LatencyStats::default();
        }
        LatencyStats {
            count,
            mean: Duration::from_nanos(read(&self.0[SUM]) / count),
            p50: rank(0.5),
            p99: rank(0.99),
            p999: rank(0.999),
            max: Duration::from_nanos(most),
        }
    }
}

fn add(word: &AtomicU64, more: u64) {
    let sum = word.load(Ordering::Relaxed).wrapping_add(more);
    word.store(sum, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one() -> Tally {
        Tally::of(1).pop().unwrap()
    }

    #[test]
    fn a_time_read_from_its_bucket_is_within_a_64th() {
        let mut ns = 0_u64;
        while ns < LONGEST_NS {
            let found = middle_of(bucket_of(ns));
            assert!(found.abs_diff(ns) * 64 <= ns, "{ns} is read as {found}");
            ns = ns + ns / 7 + 1;
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        let mut last = 0;
        for ns in 0..100_000 {
            let bucket = bucket_of(ns);
            assert!(
                bucket == last || bucket == last + 1,
                "{ns}: {last}, {bucket}"
            );
            last = bucket;
        }
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_times() {
        let tally = one();
        let mut times: Vec<u64> = (0..10_000_u64).map(|n| n * n % 77_773).collect();
        times.iter().for_each(|ns| tally.record(*ns));
        times.sort_unstable();
        let found = tally.summary();
        assert_eq!(found.count, 10_000);
        assert_eq!(found.max.as_nanos() as u64, times[9_999]);
        for (time, rank) in [(found.p50, 5_000), (found.p99, 9_900), (found.p999, 9_990)] {
            let (time, exact) = (time.as_nanos() as u64, times[rank - 1]);
            assert!(time.abs_diff(exact) * 32 <= exact, "{time} for {exact}");
        }
        let mean = times.iter().sum::<u64>() / 10_000;
        assert_eq!(found.mean.as_nanos() as u64, mean);
    }

    #[test]
    fn nothing_recorded_is_all_zero() {
        assert_eq!(one().summary(), LatencyStats::default());
    }
}
