//! One window: a stretch of a few milliseconds in which one contender has both cores.
//!
//! - WI-1 the number of calls is fixed before the window begins, so that a partner on the other
//!   core can be told ([`Window::calls`]).
//! - WI-2 the first batches warm caches, predictors and the partner; they are run and not kept.
//! - WI-3 a sample is the mean time of one operation of one batch, in nanoseconds.

use super::clock::{Clock, Ticks};
use super::{Cores, Partner};

/// How much work one window does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Batches run before the first that is kept.
    pub warm: u64,
    /// Batches that are kept.
    pub batches: u64,
    /// Calls in a batch.
    pub batch: u64,
}

impl Shape {
    /// Calls of the whole window, warm-up included.
    pub fn calls(&self) -> u64 {
        (self.warm + self.batches) * self.batch
    }
}

/// Handed to a contender for one window.
#[derive(Debug)]
pub struct Window<'a> {
    clock: Clock,
    cores: &'a Cores,
    partner: &'a Partner,
    shape: Shape,
    /// Batches begun.
    begun: u64,
    first: Ticks,
    opened: Ticks,
    /// Time inside kept batches.
    timed_ns: f64,
    samples: Vec<f64>,
}

impl<'a> Window<'a> {
    /// A window of `shape` that has not begun.
    pub fn new(clock: Clock, cores: &'a Cores, partner: &'a Partner, shape: Shape) -> Self {
        let samples = Vec::with_capacity(shape.batches as usize);
        let now = clock.now();
        Self {
            clock,
            cores,
            partner,
            shape,
            begun: 0,
            first: now,
            opened: now,
            timed_ns: 0.0,
            samples,
        }
    }

    /// Calls of the whole window, warm-up included (WI-1).
    pub fn calls(&self) -> u64 {
        self.shape.calls()
    }

    /// The work of this window.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The clock of the run.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The cores of the run.
    pub fn cores(&self) -> &'a Cores {
        self.cores
    }

    /// The helper on the second core.
    pub fn partner(&self) -> &'a Partner {
        self.partner
    }

    /// Begins a batch and says how many calls it has; `None` when the window is over.
    #[inline]
    pub fn start(&mut self) -> Option<u64> {
        if self.begun == self.shape.warm + self.shape.batches {
            return None;
        }
        self.begun += 1;
        self.first = self.clock.now();
        Some(self.shape.batch)
    }

    /// Ends the batch that [`start`](Self::start) began, each call of which did `per_call`
    /// operations.
    #[inline]
    pub fn stop(&mut self, per_call: u64) {
        let last = self.clock.now();
        if self.begun > self.shape.warm {
            let operations = self.shape.batch * per_call;
            let span_ns = self.clock.span_ns(self.first, last);
            self.timed_ns += span_ns;
            self.samples.push(span_ns / operations as f64);
        }
    }

    /// Runs the whole window with one operation a call.
    #[inline]
    pub fn time(&mut self, mut operation: impl FnMut()) {
        while let Some(calls) = self.start() {
            for _ in 0..calls {
                operation();
            }
            self.stop(1);
        }
    }

    /// Runs the whole window with `per_call` operations a call.
    #[inline]
    pub fn time_many(&mut self, per_call: u64, mut operations: impl FnMut()) {
        while let Some(calls) = self.start() {
            for _ in 0..calls {
                operations();
            }
            self.stop(per_call);
        }
    }

    /// Keeps a sample that the contender measured itself, in nanoseconds an operation.
    #[inline]
    pub fn record(&mut self, ns: f64) {
        self.samples.push(ns);
    }

    /// Mean time of a batch so far; for a contender that records its own samples, of the whole
    /// window.
    pub fn batch_ns(&self) -> f64 {
        let whole_ns = self.clock.ns_between(self.opened, self.clock.now());
        match self.begun {
            0 => whole_ns / (self.shape.warm + self.shape.batches) as f64,
            _ => self.timed_ns / self.shape.batches as f64,
        }
    }

    /// The samples kept.
    pub fn into_samples(self) -> Vec<f64> {
        self.samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warm_up_batches_are_run_and_not_kept() {
        let (cores, clock) = (Cores::usable().unwrap(), Clock::calibrated());
        let partner = Partner::start(&cores);
        let shape = Shape {
            warm: 2,
            batches: 5,
            batch: 3,
        };
        let mut window = Window::new(clock, &cores, &partner, shape);
        let mut done = 0;
        window.time(|| done += 1);
        assert_eq!((done, window.calls()), (21, 21));
        assert_eq!(window.into_samples().len(), 5);
    }
}
