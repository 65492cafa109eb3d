//! What one core does alone: the floors of everything that stays on its core.

use std::collections::VecDeque;
use std::hint::black_box;

use crate::harness::{BenchError, Contender, Window, check};

/// Something behind a table of functions.
trait Step {
    fn step(&mut self, value: u64) -> u64;
}

struct AddOne;

impl Step for AddOne {
    #[inline(never)]
    fn step(&mut self, value: u64) -> u64 {
        value + 1
    }
}

/// A push and a pop of a local queue and one virtual call: the least that "queue it, run it" is.
pub struct NoopCall {
    queue: VecDeque<u64>,
    step: Box<dyn Step>,
}

impl Default for NoopCall {
    fn default() -> Self {
        Self {
            queue: VecDeque::with_capacity(64),
            step: Box::new(AddOne),
        }
    }
}

impl Contender for NoopCall {
    fn name(&self) -> &'static str {
        "floor/noop_call"
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let mut value = 0;
        window.time(|| {
            self.queue.push_back(value);
            let queued = black_box(&mut self.queue).pop_front().unwrap_or(u64::MAX);
            value = black_box(&mut self.step).step(queued);
        });
        check(self.name(), window.calls(), value)
    }
}

/// One reading of the monotonic clock.
#[derive(Debug, Default)]
pub struct ClockRead;

impl Contender for ClockRead {
    fn name(&self) -> &'static str {
        "floor/clock"
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        use rustix::time::{ClockId, clock_gettime};
        let mut went_back = 0;
        let mut last = clock_gettime(ClockId::Monotonic);
        window.time(|| {
            let now = clock_gettime(ClockId::Monotonic);
            went_back += u64::from((now.tv_sec, now.tv_nsec) < (last.tv_sec, last.tv_nsec));
            last = now;
        });
        check("readings of floor/clock that went back", 0, went_back)
    }
}

/// One system call that does nothing.
#[derive(Debug, Default)]
pub struct Syscall;

impl Contender for Syscall {
    fn name(&self) -> &'static str {
        "floor/syscall"
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let parent = rustix::process::getppid();
        let mut other = 0;
        window.time(|| other += u64::from(rustix::process::getppid() != parent));
        check("answers of floor/syscall that differ", 0, other)
    }
}
