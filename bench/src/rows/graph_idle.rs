//! Compiled graphs on fewer cores than they have schedulers: a chain of processes, and what an idle graph
//! costs.

use std::time::Duration;

use maser::{Actor, CompiledGraph, Graph, Isolation, Node};

use crate::floors::ASLEEP_NS;
use crate::harness::{
    BenchError, Context, Floor, Lineup, Offer, Process, Row, RowResult, Summed, Unit, check,
};

use super::SETTLE_NS;
use super::actor::Echo;
use super::graph::chain_of;
use super::worker::Resident;

/// Processes of the chain.
const STAGES: usize = 7;
/// Actors of the idle graphs.
const IDLERS: usize = 8;
/// How long one sample takes, and in its quick form.
const IDLE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(5));
/// Samples of each.
const SAMPLES: usize = 5;

fn of_maser(error: impl ToString) -> BenchError {
    BenchError::contender("maser", error)
}

/// One run at a time through seven processes and back, on two cores.
fn chain(context: &Context) -> Result<Offer<Lineup>, BenchError> {
    context.cores.unpin()?;
    let there = |_| Echo::options().isolation(Isolation::Process).remote();
    let actors: Vec<Actor<Echo>> = (0..STAGES).map(there).collect();
    let subject = chain_of(&actors, 1).map_err(of_maser)?;
    let subject = Summed::new("maser", subject).settle(SETTLE_NS);
    Ok(Ok(Lineup {
        floor: Floor::None,
        ..Lineup::of(subject)
    }))
}

type Chain = CompiledGraph<Node<u64>, Node<u64>>;

fn is_right(graph: &Chain, value: u64) -> Result<(), BenchError> {
    let found = graph.execute(value).and_then(|result| result.get());
    check("a run", value, found.map_err(of_maser)?)
}

/// Processor time of all threads of process `pid`, ns.
pub(super) fn spent_ns(pid: u32) -> Result<f64, BenchError> {
    let failed = |path: &str| {
        let path = path.to_owned();
        move |source| BenchError::Io { path, source }
    };
    let path = format!("/proc/{pid}/task");
    let mut spent = 0.0;
    for thread in std::fs::read_dir(&path).map_err(failed(&path))? {
        let file = thread.map_err(failed(&path))?.path().join("schedstat");
        // A thread may end meanwhile.
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let first = text.split_whitespace().next();
        spent += first.and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0);
    }
    Ok(spent)
}

fn idle(
    context: &Context,
    row: &Row,
    isolation: Isolation,
) -> Result<Offer<RowResult>, BenchError> {
    let length = if context.effort.quick { IDLE.1 } else { IDLE.0 };
    context.cores.unpin()?;
    let maser = maser::Config::new().num_cpus(2).init().map_err(of_maser)?;
    let actor = |_| Resident::options().isolation(isolation).remote();
    let actors: Vec<Actor<Resident>> = (0..IDLERS).map(actor).collect();
    let graph = Graph::new(|input: Node<u64>| {
        let steps = actors.iter();
        steps.fold(input, |value, actor| actor.echo().bind(value))
    });
    let graph = graph.compile().map_err(of_maser)?;
    is_right(&graph, 1)?;
    let mut processes = vec![std::process::id()];
    for actor in &actors {
        let process = actor.process().remote().get().map_err(of_maser)?;
        if !processes.contains(&process) {
            processes.push(process);
        }
    }
    // Whatever spins after work has long parked then.
    std::thread::sleep(Duration::from_nanos(10 * ASLEEP_NS as u64));
    let all = || {
        processes
            .iter()
            .map(|&process| spent_ns(process))
            .sum::<Result<f64, _>>()
    };
    let mut samples = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let began = all()?;
        std::thread::sleep(length);
        samples.push((all()? - began) / length.as_secs_f64());
    }
    is_right(&graph, 2)?;
    drop((graph, actors, maser));
    context.cores.pin(0)?;
    let result = RowResult {
        windows: SAMPLES,
        ..RowResult::empty(row)
    };
    Ok(Ok(result.with_samples(&samples, SAMPLES as u64)))
}

/// Rows of graphs that share cores or have nothing to do.
pub const ROWS: &[Row] = &[
    Row::latency(
        "graph/chain/processes/7",
        2,
        "seven actors in processes of their own, one run at a time, on the cores there are",
        chain,
    )
    .in_runtime(1),
    Row::whole(
        "graph/idle",
        Unit::Ns,
        Process::Own,
        "processor time of an idle graph of eight actors on two schedulers, per second",
        |context, row| idle(context, row, Isolation::Thread),
    ),
    Row::whole(
        "graph/idle/processes",
        Unit::Ns,
        Process::Own,
        "the same of eight actors in processes of their own, all processes together",
        |context, row| idle(context, row, Isolation::Process),
    ),
];
