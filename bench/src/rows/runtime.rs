//! The runtime as a whole: its start, its price while idle, and waking it.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::child;
use crate::floors::{ASLEEP_NS, Wake, let_sleep};
use crate::harness::{
    BenchError, Clock, Contender, Context, Lineup, Offer, Process, Row, RowResult, Unit, Window,
    check,
};

use super::actor::{Echo, echo_on};
use super::task::next;

/// Processes started for `runtime/start`, and in its quick form.
const STARTS: (usize, usize) = (20, 2);

/// Time from here to the first result of a new runtime with default settings, ns.
///
/// # Errors
/// The runtime's.
pub fn first_result() -> maser::Result<f64> {
    let began = clock_gettime(ClockId::Monotonic);
    let found = maser::run(maser::Config::new(), |_| next::remote(1).get())??;
    let ended = clock_gettime(ClockId::Monotonic);
    if found != 2 {
        // A wrong sum has no error of its own; no figure is the way to say it.
        return Ok(f64::NAN);
    }
    Ok(nanoseconds(ended) - nanoseconds(began))
}

pub(super) fn nanoseconds(time: rustix::time::Timespec) -> f64 {
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn start(context: &Context, row: &Row) -> Result<Offer<RowResult>, BenchError> {
    if !child::is_offered() {
        return Ok(Err(child::not_offered()));
    }
    let count = if context.effort.quick {
        STARTS.1
    } else {
        STARTS.0
    };
    let mut samples = Vec::with_capacity(count);
    for _ in 0..count {
        let ns = child::measure_first_result(context, row)?;
        check("time of a start is a number", true, ns > 0.0)?;
        samples.push(ns);
    }
    Ok(Ok(RowResult {
        windows: count,
        ..RowResult::empty(row)
    }
    .with_samples(&samples, count as u64)))
}

/// How long one sample of `runtime/idle_cpu` takes, and in its quick form.
const IDLE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(5));
/// Samples of `runtime/idle_cpu`.
const IDLE_SAMPLES: usize = 5;

fn idle_cpu(context: &Context, row: &Row) -> Result<Offer<RowResult>, BenchError> {
    let failed = |error| BenchError::contender("maser", error);
    let length = if context.effort.quick { IDLE.1 } else { IDLE.0 };
    context.cores.unpin()?;
    let maser = maser::Config::new().init().map_err(failed)?;
    let found = next::remote(1).get().map_err(failed)?;
    check("first result", 2, found)?;
    // Whatever spins after work has long parked then.
    std::thread::sleep(Duration::from_nanos(10 * ASLEEP_NS as u64));
    let mut samples = Vec::with_capacity(IDLE_SAMPLES);
    for _ in 0..IDLE_SAMPLES {
        let began = nanoseconds(clock_gettime(ClockId::ProcessCPUTime));
        std::thread::sleep(length);
        let spent = nanoseconds(clock_gettime(ClockId::ProcessCPUTime)) - began;
        samples.push(spent / length.as_secs_f64());
    }
    drop(maser);
    context.cores.pin(0)?;
    let result = RowResult {
        windows: IDLE_SAMPLES,
        ..RowResult::empty(row)
    };
    Ok(Ok(result.with_samples(&samples, IDLE_SAMPLES as u64)))
}

/// A call of an actor whose scheduler is parked; the caller spins.
struct WakingCall {
    echo: maser::Actor<Echo>,
}

impl Contender for WakingCall {
    fn name(&self) -> &'static str {
        "maser"
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let (calls, shape) = (window.calls(), window.shape());
        let clock: Clock = window.clock();
        let mut right = 0;
        for number in 1..=calls {
            let_sleep(window);
            let first = clock.now();
            let answer = self.echo.echo().remote(number).get();
            let last = clock.now();
            right +=
                u64::from(answer.map_err(|error| BenchError::contender("maser", error))? == number);
            if number > shape.warm * shape.batch {
                window.record(clock.span_ns(first, last));
            }
        }
        let_sleep(window);
        check("maser", calls, right)
    }
}

/// Rows of the runtime as a whole.
pub const ROWS: &[Row] = &[
    Row::whole(
        "runtime/start",
        Unit::Ns,
        Process::Suite,
        "main of a fresh process to the first result",
        start,
    ),
    Row::whole(
        "runtime/idle_cpu",
        Unit::Ns,
        Process::Own,
        "processor time of an idle runtime, per second",
        idle_cpu,
    ),
    Row::latency(
        "runtime/wake",
        2,
        "a call of an actor whose scheduler is parked",
        |_| {
            Ok(Ok(
                Lineup::of(WakingCall { echo: echo_on(1) }).floor(Wake::default())
            ))
        },
    )
    .in_runtime(2),
];
