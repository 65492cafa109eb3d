//! Shared helpers of the tests: one runtime at a time, and an end to tests that hang.
//!
//! - TH-2 a process has at most one runtime, so every body here runs under one lock of the
//!   process, whatever thread the test harness chose.
//! - TH-3 a body that has not come back after [`LIMIT`] ends the process with the test's name: a
//!   hang is a failure, and the other tests of the binary could not run beside it anyway.

pub mod outcomes;
pub mod sandbox;
pub mod tape;

use std::io::Write;
use std::panic::{Location, resume_unwind};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::scope;
use std::time::Duration;

use maser::{Config, Isolation, Maser, Mode};

/// How long a body may take; long enough for a machine that does much else, and shorter than what the
/// runner of the tests allows.
/// `MASER_TEST_LIMIT_SECONDS` sets another.
pub const LIMIT: Duration = Duration::from_secs(150);

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A configuration of `schedulers` schedulers that prints no errors of tasks.
pub fn quiet(schedulers: usize) -> Config {
    Config::new().num_cpus(schedulers).mode(Mode::Silent)
}

/// Keeps others that ask for it out until it is dropped.
pub fn turn() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `body` alone in this process, on a thread of its own, under the watchdog (TH-2, TH-3).
#[track_caller]
pub fn alone<R: Send>(body: impl FnOnce() -> R + Send) -> R {
    let place = Location::caller();
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    let limit = std::env::var("MASER_TEST_LIMIT_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let limit = limit.map_or(LIMIT, Duration::from_secs);
    let _alone = turn();
    scope(|scope| {
        let (done, is_done) = channel::<()>();
        let thread = std::thread::Builder::new().name(test.clone());
        let started = thread.spawn_scoped(scope, move || {
            // Dropped when the body returns, and when it panics.
            let _done = done;
            body()
        });
        let thread = started.expect("a thread for the test");
        if is_done.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            // The handle itself, because the harness captures what the macros print.
            drop(writeln!(
                std::io::stderr(),
                "\n{test} at {place} has not ended after {limit:?}"
            ));
            std::process::abort();
        }
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Runs `body` as the root task of a runtime: its thread is scheduler 0.
#[track_caller]
pub fn with_runtime<R: Send>(config: Config, body: impl FnOnce(&Maser) -> R + Send) -> R {
    alone(|| maser::run(config, body).expect("the runtime starts"))
}

/// Runs `body` beside a runtime: its thread is no scheduler.
#[track_caller]
pub fn beside_runtime<R: Send>(config: Config, body: impl FnOnce(&Maser) -> R + Send) -> R {
    alone(|| {
        let maser = config.init().expect("the runtime starts");
        body(&maser)
    })
}

/// Runs `body` twice: as the root task of a runtime, then beside one.
#[track_caller]
pub fn both_ways(config: Config, body: impl Fn(&Maser) -> maser::Result<()> + Sync) {
    with_runtime(config.clone(), &body).expect("as the root task");
    beside_runtime(config, &body).expect("beside the runtime");
}

/// As [`both_ways`], and then both again with every worker a process of its own.
#[track_caller]
pub fn in_threads_and_processes(config: Config, body: impl Fn(&Maser) -> maser::Result<()> + Sync) {
    both_ways(config.clone(), &body);
    both_ways(config.isolation(Isolation::Process), &body);
}

/// In the process that [`rerun`] started for a test: which part of it to play.
pub fn part() -> Option<String> {
    std::env::var("MASER_TEST_PART").ok()
}

/// Runs the calling test again in a process of its own, where [`part`] gives `part`.
///
/// `test` is the test's path in its binary, without the crate's name.
pub fn rerun(test: &str, part: &str) -> Output {
    rerun_with(test, part, &[])
}

/// As [`rerun`], with these variables in its environment.
pub fn rerun_with(test: &str, part: &str, variables: &[(&str, &str)]) -> Output {
    let program = std::env::current_exe().expect("this program's path");
    Command::new(program)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("MASER_TEST_PART", part)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("this program starts again")
}
