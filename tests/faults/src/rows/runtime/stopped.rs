//! A worker that is stopped and goes on later.

use std::time::{Duration, Instant};

use maser::{Actor, CompileOptions, CompiledGraph, Error, Graph, Node, Timeout};
use rustix::process::Signal;

use super::actors::{Busy, busy};
use super::{PATIENCE, kill, longest, names_the_dead, signal, wait_for_stop, with_runtime};
use crate::level::Level;
use crate::row::{Outcome, Row, Run, Tally, broken, check};

/// The row of this file.
pub const ROW: Row = Row {
    name: "A4.runtime_stopped",
    claim: "a stopped worker is not taken for dead: waits for it, runs of a graph too, end by their \
            limits and can be repeated, others go on and die beside it, and afterwards every answer \
            is that of its own call",
    canary: "a stopped worker is killed",
    run,
};

/// How long a worker is stopped.
const STOPPED: Duration = Duration::from_secs(1);
/// Calls that wait for the stopped one.
const CALLS: u64 = 20;
/// Runs of a graph that wait for the stopped one.
const RUNS: u64 = 4;
/// Graphs with a step in the stopped one: more messages for it than its socket holds.
const GRAPHS: u64 = 300;
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
        hears_nothing(limit)
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
    let graph = chain(&[&other, &victim], PATIENCE)?;
    let warm = graph.execute((0, 0)).map_err(broken)?;
    warm.get_timeout(PATIENCE).map_err(broken)?;
    check(signal(pid, Signal::STOP)?, || "the worker is gone".into())?;
    wait_for_stop(pid)?;
    let began = Instant::now();
    let runs: maser::Result<Vec<_>> = (0..RUNS).map(|run| graph.execute((run, 0))).collect();
    let runs = runs.map_err(broken)?;
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
        match runs[timeouts as usize % runs.len()].get_timeout(SHORT) {
            Err(Error::Timeout { .. }) => timeouts += 1,
            other => return Err(broken(format!("a run with a stopped worker: {other:?}"))),
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
    for (number, run) in runs.iter().enumerate() {
        let found = run.get_timeout(limit).map_err(broken)?;
        check(found == number as u64 + 2, || {
            format!("run {number} has the result {found}")
        })?;
    }
    drop(runs);
    graph.teardown().map_err(broken)?;
    let again = victim.pid().remote().get_timeout(limit).map_err(broken)?;
    check(again == pid, || "another process answers".into())?;
    Ok(timeouts)
}

type Chain = CompiledGraph<(Node<u64>, Node<u32>), Node<u64>>;

fn chain(actors: &[&Actor<Busy>], end: Duration) -> Outcome<Chain> {
    let steps = |(value, halts): (Node<u64>, Node<u32>)| {
        let all = actors.iter();
        all.fold(value, |value, actor| actor.step().bind(value, halts))
    };
    let options = CompileOptions {
        teardown_timeout: Some(Timeout::After(end)),
        ..CompileOptions::default()
    };
    Graph::new(steps).compile_with(options).map_err(broken)
}

/// A stopped worker does not take in what it is sent: others start, and their deaths are told.
fn hears_nothing(limit: Duration) -> Outcome<()> {
    let victim = busy();
    let pid = victim.pid().remote().get_timeout(PATIENCE);
    let pid = pid.map_err(broken)?;
    check(signal(pid, Signal::STOP)?, || "the worker is gone".into())?;
    wait_for_stop(pid)?;
    for _ in 0..GRAPHS {
        drop(chain(&[&victim], Duration::from_micros(1))?);
    }
    let other = busy();
    let killed = other.pid().remote().get_timeout(limit);
    let killed = killed.map_err(|error| broken(format!("beside a stopped worker: {error}")))?;
    kill(killed)?;
    let told = other.pid().remote().get_timeout(limit);
    let named = told.is_err_and(|error| names_the_dead(&error, &[killed]));
    check(named, || {
        "a death beside a stopped worker is not told".into()
    })?;
    check(signal(pid, Signal::CONT)?, || {
        "the stopped worker has ended".into()
    })?;
    let graph = chain(&[&victim], PATIENCE)?;
    let answer = graph.execute((1, 0)).map_err(broken)?;
    let found = answer.get_timeout(limit).map_err(broken)?;
    check(found == 2, || format!("a graph gives {found}"))?;
    graph.teardown().map_err(broken)
}
