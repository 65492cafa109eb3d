//! A worker that is stopped and goes on later.

use std::time::{Duration, Instant};

use maser::Error;
use rustix::process::Signal;

use super::actors::busy;
use super::{PATIENCE, longest, signal, wait_for_stop, with_runtime};
use crate::level::Level;
use crate::row::{Outcome, Row, Run, Tally, broken, check};

/// The row of this file.
pub const ROW: Row = Row {
    name: "A4.runtime_stopped",
    claim: "a stopped worker is not taken for dead: waits for it end by their limits and can be \
            repeated, others go on, and afterwards every answer is that of its own call",
    canary: "a stopped worker is killed",
    run,
};

/// How long a worker is stopped.
const STOPPED: Duration = Duration::from_secs(1);
/// Calls that wait for the stopped one.
const CALLS: u64 = 20;
/// The limit of a wait for the stopped one.
const SHORT: Duration = Duration::from_millis(10);

fn run(run: &Run) -> Outcome<Tally> {
    let stops = run.share_of(20);
    let limit = longest(run, Duration::from_secs(2));
    with_runtime(run.seed, || one_stop(Duration::ZERO, false, PATIENCE))?;
    let level = Level::now()?;
    let mut timeouts = 0;
    with_runtime(run.seed, || {
        for _ in 0..stops {
            timeouts += one_stop(STOPPED, run.planted, limit)?;
        }
        Ok(())
    })?;
    level.is_back()?;
    let mut tally = Tally::of(stops);
    tally.notes.push(format!(
        "{timeouts} waits ended by their limits, nothing was lost"
    ));
    Ok(tally)
}

/// How many waits ended by their limits.
fn one_stop(stopped: Duration, planted: bool, limit: Duration) -> Outcome<u64> {
    let (victim, other) = (busy(), busy());
    let pid = victim
        .pid()
        .remote()
        .get_timeout(PATIENCE)
        .map_err(broken)?;
    check(signal(pid, Signal::STOP)?, || "the worker is gone".into())?;
    wait_for_stop(pid)?;
    let began = Instant::now();
    let answers: Vec<_> = (0..CALLS)
        .map(|number| victim.echo().remote(number, format!("{number}")))
        .collect();
    if planted {
        signal(pid, Signal::KILL)?;
    }
    let (mut timeouts, mut number) = (0, 0);
    while timeouts == 0 || began.elapsed() < stopped {
        match answers[timeouts as usize % answers.len()].get_timeout(SHORT) {
            Err(Error::Timeout { .. }) => timeouts += 1,
            other => return Err(broken(format!("of a stopped worker: {other:?}"))),
        }
        number += 1;
        let answer = other.echo().remote(number, String::new());
        let found = answer.get_timeout(limit).map_err(broken)?;
        check(found.0 == number, || "another one answers wrongly".into())?;
    }
    check(signal(pid, Signal::CONT)?, || {
        "the stopped worker has ended".into()
    })?;
    for (number, answer) in answers.iter().enumerate() {
        let found = answer.get_timeout(limit).map_err(broken)?;
        check(found == (number as u64, format!("{number}")), || {
            format!("call {number} has the answer of call {}", found.0)
        })?;
    }
    let again = victim.pid().remote().get_timeout(limit).map_err(broken)?;
    check(again == pid, || "another process answers".into())?;
    Ok(timeouts)
}
