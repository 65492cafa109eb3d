//! What every row of a run shares: clock, cores, the helper on the second core, and how long
//! things may take.

use std::time::Duration;

use super::error::BenchError;
use super::window::{Shape, Window};
use super::{Clock, Contender, Cores, Partner, Unit};

/// Length of one window.
const WINDOW_NS: f64 = 2e6;
/// Length of one window with `--quick`.
const WINDOW_QUICK_NS: f64 = 5e4;
/// Time of one sample of a rate.
const RATE_SAMPLE_NS: f64 = 1e5;
/// A latency below this is sampled in batches.
const SINGLE_NS: f64 = 1_000.0;

/// How long a row may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effort {
    /// Length of one window, ns.
    pub window_ns: f64,
    /// Time of the row, ns.
    pub budget_ns: f64,
    /// Rounds that are run even if the budget is spent.
    pub rounds_min: usize,
    /// Whether only the working of the row is of interest.
    pub quick: bool,
}

impl Effort {
    /// `budget_ns` for one row.
    pub fn full(budget_ns: f64) -> Self {
        Self {
            window_ns: WINDOW_NS,
            budget_ns,
            rounds_min: 3,
            quick: false,
        }
    }

    /// A few milliseconds a row.
    pub fn quick() -> Self {
        Self {
            window_ns: WINDOW_QUICK_NS,
            budget_ns: 0.0,
            rounds_min: 2,
            quick: true,
        }
    }
}

/// Shared by all rows of a run.
#[derive(Debug)]
pub struct Context {
    /// The clock.
    pub clock: Clock,
    /// The cores.
    pub cores: Cores,
    /// The helper on the second core.
    pub partner: Partner,
    /// How long a row may take.
    pub effort: Effort,
}

impl Context {
    /// Pins the calling thread to core 0 and starts the helper on core 1.
    ///
    /// # Errors
    /// If the affinity mask cannot be read or set.
    pub fn start(effort: Effort) -> Result<Self, BenchError> {
        let cores = Cores::usable()?;
        let partner = Partner::start(&cores);
        cores.pin(0)?;
        Ok(Self {
            clock: Clock::calibrated(),
            cores,
            partner,
            effort,
        })
    }

    /// Runs one window of `contender` and gives its samples, ns an operation.
    ///
    /// # Errors
    /// The contender's.
    pub fn window(
        &self,
        contender: &mut dyn Contender,
        shape: Shape,
    ) -> Result<Vec<f64>, BenchError> {
        let mut window = Window::new(self.clock, &self.cores, &self.partner, shape);
        contender.window(&mut window)?;
        Ok(window.into_samples())
    }

    /// Time of `iterations` operations of `contender` in one batch, for harnesses that choose the
    /// number themselves.
    ///
    /// # Errors
    /// The contender's.
    pub fn elapsed(
        &self,
        contender: &mut dyn Contender,
        iterations: u64,
    ) -> Result<Duration, BenchError> {
        let shape = Shape {
            warm: 1,
            batches: 1,
            batch: iterations,
        };
        let samples = self.window(contender, shape)?;
        let ns_each: f64 = samples.iter().sum();
        Ok(Duration::from_nanos((ns_each * iterations as f64) as u64))
    }

    /// Finds how much work of `contender` fills a window.
    ///
    /// # Errors
    /// The contender's.
    pub fn calibrate(
        &self,
        contender: &mut dyn Contender,
        unit: Unit,
    ) -> Result<Shape, BenchError> {
        let window_ns = self.effort.window_ns;
        let timed_ns = |contender: &mut dyn Contender, shape: Shape| {
            let mut window = Window::new(self.clock, &self.cores, &self.partner, shape);
            contender.window(&mut window)?;
            Ok(window.batch_ns() * shape.batches as f64)
        };
        // Single cold calls only tell whether the contender is of the slow kind; all three must
        // say so, because any one may have been interrupted.
        let mut shape = Shape {
            warm: 0,
            batches: 1,
            batch: 1,
        };
        let mut fastest_ns = f64::INFINITY;
        for _ in 0..3 {
            fastest_ns = timed_ns(contender, shape)?.min(fastest_ns);
            if fastest_ns < window_ns {
                break;
            }
        }
        if fastest_ns >= window_ns {
            return Ok(shape_for(fastest_ns, unit, window_ns));
        }
        shape = Shape {
            warm: 1,
            batches: 4,
            batch: 1,
        };
        loop {
            let spent_ns = timed_ns(contender, shape)?;
            if spent_ns >= window_ns / 10.0 || shape.batch >= 1 << 16 {
                let calls = (shape.batches * shape.batch) as f64;
                return Ok(shape_for(spent_ns / calls, unit, window_ns));
            }
            shape.batch *= 8;
        }
    }
}

/// The shape of a window of `window_ns` for calls that take `call_ns`.
fn shape_for(call_ns: f64, unit: Unit, window_ns: f64) -> Shape {
    let call_ns = call_ns.max(0.1);
    let batch = match unit {
        Unit::Ns | Unit::Bytes if call_ns >= SINGLE_NS => 1.0,
        Unit::Ns | Unit::Bytes => (2.0 * SINGLE_NS / call_ns).clamp(16.0, 64.0).floor(),
        Unit::PerS => (RATE_SAMPLE_NS.min(window_ns / 4.0) / call_ns)
            .max(1.0)
            .floor(),
    };
    let batches = (window_ns / (call_ns * batch)).clamp(1.0, 20_000.0).floor();
    // A call longer than a window was warmed by the calibration.
    let warm = if call_ns > window_ns {
        0.0
    } else {
        (batches / 8.0).ceil()
    };
    Shape {
        warm: warm as u64,
        batches: batches as u64,
        batch: batch as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_below_a_microsecond_are_batched_by_16_to_64() {
        let batch = |call_ns| shape_for(call_ns, Unit::Ns, 2e6).batch;
        assert_eq!(
            [batch(2.0), batch(50.0), batch(120.0), batch(900.0)],
            [64, 40, 16, 16]
        );
        assert_eq!(batch(1_000.0), 1);
    }

    #[test]
    fn a_call_longer_than_the_window_is_run_once() {
        assert_eq!(
            shape_for(1.5e8, Unit::Ns, 2e6),
            Shape {
                warm: 0,
                batches: 1,
                batch: 1
            }
        );
        assert_eq!(
            shape_for(1.5e8, Unit::PerS, 2e6),
            Shape {
                warm: 0,
                batches: 1,
                batch: 1
            }
        );
    }

    #[test]
    fn a_rates_sample_takes_a_tenth_of_a_millisecond() {
        let shape = shape_for(10.0, Unit::PerS, 2e6);
        assert_eq!((shape.batch, shape.batches), (10_000, 20));
    }
}
