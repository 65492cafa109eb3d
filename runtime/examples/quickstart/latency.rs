//! Latency of something that is done again and again.
//!
//! A look at the clock takes as long as a small graph, so what takes less than a microsecond is
//! timed in batches, and a sample is a batch's mean.

use std::fmt;
use std::time::{Duration, Instant};

/// Calls that are timed together when one takes less than a microsecond.
const BATCH: usize = 16;
/// Calls before the first sample: caches, branch predictors and the core's clock settle.
const WARM: usize = 2_000;
/// How long samples are taken.
const LENGTH: Duration = Duration::from_millis(400);
/// The fewest samples of which a 99.9th percentile says something.
const FEWEST: usize = 2_000;

/// Times per call in nanoseconds, sorted.
pub struct Latency {
    samples_ns: Vec<f64>,
}

impl Latency {
    /// `samples_ns` in any order; there is at least one.
    pub fn new(mut samples_ns: Vec<f64>) -> Self {
        samples_ns.sort_by(f64::total_cmp);
        Self { samples_ns }
    }

    /// The time that `share` of the samples do not exceed.
    fn quantile_ns(&self, share: f64) -> f64 {
        let last = self.samples_ns.len() - 1;
        self.samples_ns[(share * last as f64).round() as usize]
    }

    /// The median.
    pub fn p50_ns(&self) -> f64 {
        self.quantile_ns(0.5)
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for share in [0.5, 0.99, 0.999] {
            write!(f, "{:>10}", Time(self.quantile_ns(share)).to_string())?;
        }
        Ok(())
    }
}

/// A time with the unit that suits it.
struct Time(f64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ns if ns < 1e3 => write!(f, "{ns:.0} ns"),
            ns if ns < 1e5 => write!(f, "{:.2} us", ns / 1e3),
            ns if ns < 1e6 => write!(f, "{:.0} us", ns / 1e3),
            ns => write!(f, "{:.2} ms", ns / 1e6),
        }
    }
}

/// Times `say_hello` and looks at every answer.
///
/// # Errors
/// The first of `say_hello`.
pub fn measure(say_hello: impl Fn() -> maser::Result<String>) -> maser::Result<Latency> {
    let began = Instant::now();
    for _ in 0..WARM {
        assert_eq!(say_hello()?, "hello");
    }
    let is_short = began.elapsed() < Duration::from_micros(WARM as u64);
    let batch = if is_short { BATCH } else { 1 };
    let mut samples_ns = Vec::new();
    let began = Instant::now();
    while began.elapsed() < LENGTH || samples_ns.len() < FEWEST {
        let first = Instant::now();
        for _ in 0..batch {
            assert_eq!(say_hello()?, "hello");
        }
        samples_ns.push(first.elapsed().as_nanos() as f64 / batch as f64);
    }
    Ok(Latency::new(samples_ns))
}
