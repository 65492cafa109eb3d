//! Whether anything grows with the number of runs: memory, descriptors, mappings, threads.
//!
//! - GK-1 what is compared is the state after a warm-up with the state after all runs, of every process
//!   of the graphs. A descriptor, mapping or thread more, or `GROWTH_MAX` bytes, fails the row.
//! - GK-2 three graphs take turns: a call slot, rings with several runs in flight, and values that are
//!   allocated anew in each run.
//! - GK-3 so few runs as the quick form has are no more than a warm-up: it says what grew, and refuses
//!   nothing.

use std::collections::VecDeque;
use std::fmt;

use maser::{Actor, CompileOptions, Graph, GraphRef, InputNodes, Isolation, Node};

use crate::harness::{BenchError, Context, Offer, Process, Row, RowResult, Unit, check};

/// Runs of `graph/soak`, of `graph/soak/process`, and of their quick forms.
const RUNS: (u64, u64, u64) = (10_000_000, 1_000_000, 3_000);
/// One of so many runs is warm-up.
const WARM: u64 = 20;
/// Seconds for all of them, on a machine that others use too.
const LIMIT_S: f64 = 600.0;
/// Turns in which the graphs are run.
const TURNS: u64 = 10;
/// Bytes by which memory may grow (GK-1).
const GROWTH_MAX: i64 = 1 << 20;
/// Runs in flight in the graphs that have rings.
const IN_FLIGHT: usize = 8;

/// Gives back what it is told.
struct Patient;

#[maser::actor]
impl Patient {
    fn new() -> Self {
        Self
    }

    fn echo(&mut self, value: u64) -> u64 {
        value
    }

    fn repeat(&mut self, text: String) -> String {
        text
    }

    fn process(&mut self) -> u32 {
        std::process::id()
    }
}

fn failed(error: impl ToString) -> BenchError {
    BenchError::contender("maser", error)
}

/// What a process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    resident: i64,
    descriptors: usize,
    mappings: usize,
    threads: usize,
}

impl State {
    fn of(pid: u32) -> Result<Self, BenchError> {
        let at = |file: &str| format!("/proc/{pid}/{file}");
        let trouble = |path: &str, source| BenchError::Io {
            path: path.to_owned(),
            source,
        };
        let read =
            |path: String| std::fs::read_to_string(&path).map_err(|source| trouble(&path, source));
        let count = |path: String| {
            let entries = std::fs::read_dir(&path).map_err(|source| trouble(&path, source));
            entries.map(Iterator::count)
        };
        let rollup = read(at("smaps_rollup"))?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<i64>().ok());
        Ok(Self {
            resident: kib.ok_or_else(|| failed("a process without memory"))? << 10,
            descriptors: count(at("fd"))?,
            mappings: read(at("maps"))?.lines().count(),
            threads: count(at("task"))?,
        })
    }
}

impl fmt::Display for State {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{:.2} MiB, {} descriptors, {} mappings, {} threads",
            self.resident as f64 / (1 << 20) as f64,
            self.descriptors,
            self.mappings,
            self.threads
        )
    }
}

/// A graph of one echo that runs `runs` times.
type Runner = Box<dyn FnMut(u64) -> maser::Result<u64>>;

/// `in_flight` runs at every moment; gives how many answers were right.
fn runner<T: Clone + PartialEq + Send + Sync + 'static>(
    graph: Graph<Node<T>, Node<T>>,
    in_flight: usize,
    value_of: impl Fn(u64) -> T + 'static,
) -> Result<Runner, BenchError>
where
    Node<T>: InputNodes<Values = T>,
{
    let options = CompileOptions {
        max_inflight: Some(in_flight),
        ..CompileOptions::default()
    };
    let graph = graph.compile_with(options).map_err(failed)?;
    let mut under_way: VecDeque<(u64, GraphRef<T>)> = VecDeque::with_capacity(in_flight);
    Ok(Box::new(move |runs| {
        let mut right = 0;
        for number in 0..runs {
            if under_way.len() == in_flight
                && let Some((number, run)) = under_way.pop_front()
            {
                right += u64::from(run.get()? == value_of(number));
            }
            under_way.push_back((number, graph.execute(value_of(number))?));
        }
        while let Some((number, run)) = under_way.pop_front() {
            right += u64::from(run.get()? == value_of(number));
        }
        Ok(right)
    }))
}

/// GK-2.
fn runners(actor: &Actor<Patient>) -> Result<[(Runner, u64); 3], BenchError> {
    let echo = || Graph::new(|input: Node<u64>| actor.echo().bind(input));
    let repeat = Graph::new(|input: Node<String>| actor.repeat().bind(input));
    let text =
        |number: u64| format!("a text of some sixty bytes that is made for run {number:>12}");
    Ok([
        (runner(echo(), 1, |number| number)?, 4),
        (runner(echo(), IN_FLIGHT, |number| number)?, 4),
        (runner(repeat, IN_FLIGHT, text)?, 2),
    ])
}

/// Runs all graphs `runs` times together.
fn run_all(graphs: &mut [(Runner, u64); 3], runs: u64) -> Result<(), BenchError> {
    for _ in 0..TURNS {
        for (graph, tenths) in graphs.iter_mut() {
            let share = runs * *tenths / 10 / TURNS;
            check("answers of a soak", share, graph(share).map_err(failed)?)?;
        }
    }
    Ok(())
}

fn soak(
    context: &Context,
    row: &Row,
    actor: &Actor<Patient>,
    runs: u64,
) -> Result<Offer<RowResult>, BenchError> {
    let runs = if context.effort.quick { RUNS.2 } else { runs };
    let there = actor.process().remote().get().map_err(failed)?;
    let mut processes = vec![std::process::id(), there];
    processes.dedup();
    let all = || {
        processes
            .iter()
            .map(|process| State::of(*process))
            .collect::<Result<Vec<_>, _>>()
    };
    let mut graphs = runners(actor)?;
    // What reading the state takes is there before, too.
    all()?;
    run_all(&mut graphs, runs / WARM)?;
    let before = all()?;
    let began = context.clock.now();
    run_all(&mut graphs, runs)?;
    let ns = context.clock.ns_between(began, context.clock.now());
    let after = all()?;
    let mut growth = 0;
    let mut note = format!("{runs} runs, {:.1} ns each", ns / runs as f64);
    for (before, after) in before.iter().zip(&after) {
        note.push_str(&format!("; before: {before}, after: {after}"));
        growth = growth.max(after.resident - before.resident);
        let same = State {
            resident: before.resident,
            ..*after
        };
        if !context.effort.quick {
            check("what a process has besides memory", *before, same)?;
        }
    }
    if growth >= GROWTH_MAX && !context.effort.quick {
        return Err(failed(format!("memory grew by {growth} bytes; {note}")));
    }
    let result = RowResult::empty(row).with_samples(&[growth.max(0) as f64], runs);
    Ok(Ok(RowResult {
        windows: 1,
        note: Some(note),
        ..result
    }))
}

/// Rows that run long.
pub const ROWS: &[Row] = &[
    Row::whole(
        "graph/soak",
        Unit::Bytes,
        Process::Runtime { schedulers: 2 },
        "what resident memory grows by in ten million runs; nothing else may",
        |context, row| {
            let actor = Patient::options().scheduler(1).remote();
            soak(context, row, &actor, RUNS.0)
        },
    )
    .on_cores(2)
    .takes(LIMIT_S)
    .on_request(),
    Row::whole(
        "graph/soak/process",
        Unit::Bytes,
        Process::Runtime { schedulers: 1 },
        "the same in a million runs through another process, the worse of both",
        |context, row| {
            context.cores.pin(1)?;
            let actor = Patient::options().isolation(Isolation::Process).remote();
            let first = actor.echo().remote(1).get().map_err(failed);
            context.cores.pin(0)?;
            check("an answer", 1, first?)?;
            soak(context, row, &actor, RUNS.1)
        },
    )
    .on_cores(2)
    .takes(LIMIT_S)
    .on_request(),
];
