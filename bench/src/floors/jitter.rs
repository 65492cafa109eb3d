//! Gaps of a bare spin loop: the stalls that no tail can be better than.
//!
//! The loop reads the clock and does nothing else; the distance of two readings is a sample, the
//! cost of reading included.

use crate::harness::{BenchError, Context, Offer, Row, RowResult};

/// Gaps shorter than this are counted by the nanosecond.
const SHORT_NS: usize = 4_096;
/// A gap that is worth a mention, ns.
const LONG_NS: f64 = 10_000.0;

/// Gaps by length.
#[derive(Debug)]
pub struct Jitter {
    short: Vec<u64>,
    /// Longer ones, each for itself.
    long_ns: Vec<f64>,
}

impl Default for Jitter {
    fn default() -> Self {
        Self {
            short: vec![0; SHORT_NS],
            long_ns: Vec::with_capacity(1 << 16),
        }
    }
}

impl Jitter {
    /// Counts one gap.
    #[inline]
    pub fn add(&mut self, gap_ns: f64) {
        match self.short.get_mut(gap_ns as usize) {
            Some(count) => *count += 1,
            None => self.long_ns.push(gap_ns),
        }
    }

    /// How many gaps there are.
    pub fn count(&self) -> u64 {
        self.short.iter().sum::<u64>() + self.long_ns.len() as u64
    }

    /// The gap that `p` of all gaps do not exceed; `None` without gaps.
    pub fn percentile(&mut self, p: f64) -> Option<f64> {
        let mut rank = ((p * self.count() as f64).ceil() as u64).max(1);
        for (gap_ns, &count) in self.short.iter().enumerate() {
            if rank <= count {
                return Some(gap_ns as f64);
            }
            rank -= count;
        }
        self.long_ns.sort_by(f64::total_cmp);
        self.long_ns.get(rank as usize - 1).copied()
    }

    /// How many gaps are longer than `limit_ns` and how long they are together; `limit_ns` is at
    /// least 4,096.
    pub fn beyond(&self, limit_ns: f64) -> (usize, f64) {
        let beyond = self.long_ns.iter().filter(|&&gap_ns| gap_ns > limit_ns);
        (beyond.clone().count(), beyond.sum())
    }
}

/// The row `jitter`.
///
/// # Errors
/// None of its own.
pub fn jitter(context: &Context, row: &Row) -> Result<Offer<RowResult>, BenchError> {
    let duration_ns = context.effort.budget_ns.clamp(2e6, 2e9);
    let (clock, mut gaps) = (context.clock, Jitter::default());
    let began = clock.now();
    let mut last = began;
    loop {
        let now = clock.now();
        gaps.add(clock.ns_between(last, now));
        last = now;
        if clock.ns_between(began, now) >= duration_ns {
            break;
        }
    }
    let elapsed_ns = clock.ns_between(began, last);
    let (count, sum_ns) = gaps.beyond(LONG_NS);
    let note = format!(
        "{:.0} gaps above 10 us a second, {:.3} % of the time",
        count as f64 / elapsed_ns * 1e9,
        100.0 * sum_ns / elapsed_ns
    );
    Ok(Ok(RowResult {
        p50: gaps.percentile(0.5),
        p99: gaps.percentile(0.99),
        p999: gaps.percentile(0.999),
        min: gaps.percentile(0.0),
        n: gaps.count(),
        windows: 1,
        note: Some(note),
        ..RowResult::empty(row)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_gaps_share_one_order() {
        let mut gaps = Jitter::default();
        (0..98).for_each(|_| gaps.add(20.4));
        gaps.add(50_000.0);
        gaps.add(12_000.0);
        assert_eq!(gaps.percentile(0.5), Some(20.0));
        assert_eq!(gaps.percentile(0.99), Some(12_000.0));
        assert_eq!(gaps.percentile(1.0), Some(50_000.0));
        assert_eq!(gaps.beyond(LONG_NS), (2, 62_000.0));
        assert_eq!(Jitter::default().percentile(0.5), None);
    }
}
