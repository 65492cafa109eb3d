//! What a stage measures of itself.

use hdrhistogram::Histogram;
use std::fmt;
use std::time::{Duration, Instant};

/// Latencies of one stage, three significant digits.
pub struct Latencies(Histogram<u64>);

impl Latencies {
    pub fn new() -> Self {
        let hour_ns = 3_600_000_000_000;
        Self(Histogram::new_with_bounds(1, hour_ns, 3).expect("bounds and digits are in range"))
    }

    /// Does `work` and notes how long it took.
    pub fn of<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let value = work();
        self.0
            .saturating_record(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
        value
    }

    pub fn quantiles(&self) -> Quantiles {
        let at = |share| Duration::from_nanos(self.0.value_at_quantile(share));
        Quantiles {
            p50: at(0.5),
            p99: at(0.99),
        }
    }
}

/// Half of all files took no longer than `p50`, all but a hundredth no longer than `p99`.
#[derive(Clone)]
pub struct Quantiles {
    p50: Duration,
    p99: Duration,
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for time in [self.p50, self.p99] {
            write!(f, "{:>9.1} us", time.as_nanos() as f64 / 1e3)?;
        }
        Ok(())
    }
}
