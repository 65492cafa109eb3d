//! How long a graph takes to say that one of its actors is dead.
//!
//! - DE-1 a sample is the time from the kill to the error of a run; every error is looked at, and a
//!   graph that gives none, or another one, has no figure.

use maser::{Actor, Error, Graph, Isolation, Node};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{BenchError, Context, Offer, Process, Row, RowResult, Unit, check};

/// Deaths for a row, and in its quick form.
const DEATHS: (usize, usize) = (20, 2);
/// Runs before each.
const RUNS: u64 = 100;

/// Dies, in one way or another.
struct Mortal;

#[maser::actor]
impl Mortal {
    fn new() -> Self {
        Self
    }

    fn process(&mut self) -> i32 {
        std::process::id() as i32
    }

    /// `value`; never, if it is odd.
    fn even(&mut self, value: u64) -> u64 {
        if value % 2 == 1 {
            loop {
                std::thread::park();
            }
        }
        value
    }
}

fn failed(error: impl ToString) -> BenchError {
    BenchError::contender("maser", error)
}

/// `body` once for each death: its samples, ns.
fn deaths(
    context: &Context,
    row: &Row,
    mut body: impl FnMut() -> Result<f64, BenchError>,
) -> Result<Offer<RowResult>, BenchError> {
    let count = if context.effort.quick {
        DEATHS.1
    } else {
        DEATHS.0
    };
    let samples = (0..count).map(|_| body()).collect::<Result<Vec<_>, _>>()?;
    let result = RowResult::empty(row).with_samples(&samples, count as u64);
    Ok(Ok(RowResult {
        windows: count,
        ..result
    }))
}

/// A graph of one actor that has run.
fn running(
    actor: &Actor<Mortal>,
) -> Result<maser::CompiledGraph<Node<u64>, Node<u64>>, BenchError> {
    let graph = Graph::new(|input: Node<u64>| actor.even().bind(input));
    let graph = graph.compile().map_err(failed)?;
    for value in (0..RUNS).map(|run| 2 * run) {
        let found = graph.execute(value).and_then(|run| run.get());
        check("an answer", value, found.map_err(failed)?)?;
    }
    Ok(graph)
}

/// DE-1.
fn is_death<T>(outcome: Result<T, Error>) -> Result<(), BenchError> {
    match outcome {
        Err(Error::ActorDied { .. }) => Ok(()),
        Err(other) => Err(failed(other)),
        Ok(_) => Err(failed("a dead actor answered")),
    }
}

/// The row `graph/death/process`: the process is killed in the middle of a run.
fn of_process(context: &Context, row: &Row) -> Result<Offer<RowResult>, BenchError> {
    let clock = context.clock;
    context.cores.unpin()?;
    let measured = deaths(context, row, || {
        let actor = Mortal::options().isolation(Isolation::Process).remote();
        let process = actor.process().remote().get().map_err(failed)?;
        let graph = running(&actor)?;
        let run = graph.execute(1).map_err(failed)?;
        let process = Pid::from_raw(process).ok_or_else(|| failed("a process without a number"))?;
        let began = clock.now();
        kill_process(process, Signal::KILL).map_err(failed)?;
        let outcome = run.get();
        let ns = clock.span_ns(began, clock.now());
        is_death(outcome)?;
        Ok(ns)
    });
    context.cores.pin(0)?;
    measured
}

/// The row `graph/death/thread`: the actor is killed between two runs.
fn of_thread(context: &Context, row: &Row) -> Result<Offer<RowResult>, BenchError> {
    let clock = context.clock;
    deaths(context, row, || {
        let actor = Mortal::options().scheduler(1).remote();
        let graph = running(&actor)?;
        let began = clock.now();
        maser::kill(&actor);
        let outcome = loop {
            // Runs that were there before the kill still have their answers.
            match graph.execute(2).and_then(|run| run.get()) {
                Ok(2) => {}
                other => break other,
            }
        };
        let ns = clock.span_ns(began, clock.now());
        is_death(outcome)?;
        Ok(ns)
    })
}

/// Rows of deaths.
pub const ROWS: &[Row] = &[
    Row::whole(
        "graph/death/thread",
        Unit::Ns,
        Process::Runtime { schedulers: 2 },
        "from the kill of an actor on the other core to the error of a run",
        of_thread,
    )
    .on_cores(2)
    .on_request(),
    Row::whole(
        "graph/death/process",
        Unit::Ns,
        Process::Runtime { schedulers: 1 },
        "from the kill of an actor's process in the middle of a run to its error",
        of_process,
    )
    .on_cores(2)
    .on_request(),
];
