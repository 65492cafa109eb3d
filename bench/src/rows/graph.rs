//! Compiled graphs: the driver is scheduler 0, and actors live on scheduler 0 or 1 as the row
//! says.
//!
//! | file | holds |
//! |---|---|
//! | `cost` | compile, teardown, and each node of a large graph |
//! | `flow` | many runs in flight |
//! | `death` | from an actor's death to the error |
//! | `soak` | whether anything grows with the number of runs |
//! | `payload` | large values between processes, and memory that comes back |

pub(super) mod cost;
pub(super) mod death;
pub(super) mod flow;
pub(super) mod payload;
pub(super) mod soak;

use std::collections::VecDeque;

use maser::{Actor, CompileOptions, Graph, Node};

use crate::floors::{self, LineChain, LinePair, NoopCall};
use crate::harness::{BenchError, Contender, Floor, Lineup, Peer, Row, Summed, Window, check};
use crate::link::RoundTrip;
use crate::peers::{ActorPipelined, Crossbeam, Rtrb};

use super::SETTLE_NS;
use super::actor::{Echo, echo_on};

/// Inputs in flight where only one is out at a time but the graph must not be a single slot.
pub(super) const RING: usize = 10;

fn depth(max_inflight: usize) -> CompileOptions {
    CompileOptions {
        max_inflight: Some(max_inflight),
        ..CompileOptions::default()
    }
}

/// One run at a time through one echo on each of `schedulers`, in order.
fn chain(
    schedulers: &[usize],
    max_inflight: usize,
) -> maser::Result<impl FnMut() -> maser::Result<u64> + use<>> {
    let actors: Vec<Actor<Echo>> = schedulers.iter().map(|&at| echo_on(at)).collect();
    chain_of(&actors, max_inflight)
}

/// One run at a time through each of `actors`, in order.
pub(super) fn chain_of(
    actors: &[Actor<Echo>],
    max_inflight: usize,
) -> maser::Result<impl FnMut() -> maser::Result<u64> + use<>> {
    let graph = Graph::new(|input: Node<u64>| {
        actors
            .iter()
            .fold(input, |value, actor| actor.echo().bind(value))
    })
    .compile_with(depth(max_inflight))?;
    let mut value = 0;
    Ok(move || {
        value += 1;
        Ok(u64::from(graph.execute(value)?.get()? == value))
    })
}

/// One input to four echoes, all four outputs together.
fn scatter_gather() -> maser::Result<impl FnMut() -> maser::Result<u64>> {
    let [a, b, c, d] = [1, 0, 1, 0].map(echo_on);
    let graph = Graph::new(|input: Node<u64>| {
        (
            a.echo().bind(input),
            b.echo().bind(input),
            c.echo().bind(input),
            d.echo().bind(input),
        )
    })
    .compile_with(depth(1))?;
    let mut value = 0;
    Ok(move || {
        value += 1;
        let (a, b, c, d) = graph.execute(value)?;
        let found = [a.get()?, b.get()?, c.get()?, d.get()?];
        Ok(u64::from(found == [value; 4]))
    })
}

/// One run, with `in_flight` runs out at every moment but the first.
fn pipelined(in_flight: usize) -> maser::Result<impl FnMut() -> maser::Result<u64>> {
    let actor = echo_on(1);
    let graph =
        Graph::new(|input: Node<u64>| actor.echo().bind(input)).compile_with(depth(in_flight))?;
    let mut runs = VecDeque::with_capacity(in_flight);
    let mut value = 0;
    Ok(move || {
        let right = if runs.len() < in_flight {
            1
        } else {
            let (expected, run) = runs.pop_front().expect("as many as are in flight");
            let run: maser::GraphRef<u64> = run;
            u64::from(run.get()? == expected)
        };
        value += 1;
        runs.push_back((value, graph.execute(value)?));
        Ok(right)
    })
}

/// A run of the graph and an ordinary call of the same actor, in turn.
fn mixed() -> maser::Result<impl FnMut() -> maser::Result<u64>> {
    let actor = echo_on(1);
    let graph =
        Graph::new(|input: Node<u64>| actor.echo().bind(input)).compile_with(depth(RING))?;
    let mut value = 0;
    Ok(move || {
        value += 1;
        let by_graph = graph.execute(value)?.get()?;
        let by_call = actor.echo().remote(value).get()?;
        Ok(u64::from(by_graph == value) + u64::from(by_call == value))
    })
}

/// Time of one more step: a long and a short chain in turn, their difference by the number of
/// steps between them.
struct Slope<S, L> {
    short: S,
    long: L,
    steps: u32,
}

impl<S, L> Contender for Slope<S, L>
where
    S: FnMut() -> maser::Result<u64>,
    L: FnMut() -> maser::Result<u64>,
{
    fn name(&self) -> &'static str {
        "maser"
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let (shape, clock) = (window.shape(), window.clock());
        let mut right = 0;
        let mut timed = |run: &mut dyn FnMut() -> maser::Result<u64>| {
            let first = clock.now();
            for _ in 0..shape.batch {
                right += run()?;
            }
            Ok::<_, maser::Error>(clock.span_ns(first, clock.now()) / shape.batch as f64)
        };
        for batch in 0..shape.warm + shape.batches {
            let mut both =
                || Ok::<_, maser::Error>((timed(&mut self.short)?, timed(&mut self.long)?));
            let (short_ns, long_ns) =
                both().map_err(|error| BenchError::contender("maser", error))?;
            if batch >= shape.warm {
                window.record(((long_ns - short_ns) / f64::from(self.steps)).max(0.0));
            }
        }
        check("maser", 2 * shape.calls(), right)
    }
}

/// A line-up of what may not compile, or may not fit the machine.
fn lineup<F>(subject: maser::Result<F>, per_call: u64, floor: Floor) -> Result<Lineup, BenchError>
where
    F: FnMut() -> maser::Result<u64> + 'static,
{
    let subject = subject.map_err(|error| BenchError::contender("maser", error))?;
    let subject = Summed::many("maser", per_call, subject).settle(SETTLE_NS);
    Ok(Lineup {
        floor,
        ..Lineup::of(subject)
    })
}

fn rings(lineup: Lineup) -> Lineup {
    lineup
        .peer(Peer::of(RoundTrip::<Crossbeam>::default()))
        .peer(Peer::of(RoundTrip::<Rtrb>::default()))
}

fn probe(floor: impl Contender + 'static) -> Floor {
    Floor::Probe(Box::new(floor))
}

/// A row of `in_flight` runs.
macro_rules! pipelined_row {
    ($name:literal, $in_flight:literal, $about:literal) => {
        Row::rate($name, 2, $about, |_| {
            let guard = Floor::Guard(Box::new(LinePair::default()));
            let tokio = Peer::offered("tokio", ActorPipelined::new($in_flight, true));
            Ok(Ok(lineup(pipelined($in_flight), 1, guard)?.peer(tokio)))
        })
        .in_runtime(2)
    };
}

/// Rows of the graphs.
pub const ROWS: &[Row] = &[
    Row::latency(
        "graph/echo/slot",
        2,
        "one actor on the other core, one run in flight",
        |_| {
            Ok(Ok(rings(lineup(
                chain(&[1], 1),
                1,
                Floor::Better(floors::call()),
            )?)))
        },
    )
    .in_runtime(2),
    Row::latency(
        "graph/echo/ring",
        2,
        "the same, compiled for ten runs in flight",
        |_| {
            Ok(Ok(rings(lineup(
                chain(&[1], RING),
                1,
                probe(LinePair::default()),
            )?)))
        },
    )
    .in_runtime(2),
    Row::latency(
        "graph/echo/mixed",
        2,
        "runs and ordinary calls of one actor in turn",
        |_| Ok(Ok(lineup(mixed(), 2, Floor::Better(floors::call()))?)),
    )
    .in_runtime(2),
    Row::latency(
        "graph/chain/same_core",
        1,
        "each further actor of a chain on one core",
        |_| {
            let failed = |error| BenchError::contender("maser", error);
            let slope = Slope {
                short: chain(&[0; 1], 1).map_err(failed)?,
                long: chain(&[0; 9], 1).map_err(failed)?,
                steps: 8,
            };
            Ok(Ok(Lineup::of(slope).floor(NoopCall::default())))
        },
    )
    .in_runtime(1),
    Row::latency(
        "graph/chain/cross_core/2",
        2,
        "two actors on alternating cores",
        |_| {
            let floor = probe(LineChain::new("floor/chain2", 2));
            Ok(Ok(lineup(chain(&[1, 0], 1), 1, floor)?))
        },
    )
    .in_runtime(2),
    Row::latency(
        "graph/chain/cross_core/4",
        2,
        "four actors on alternating cores",
        |_| {
            let floor = probe(LineChain::new("floor/chain4", 4));
            Ok(Ok(lineup(chain(&[1, 0, 1, 0], 1), 1, floor)?))
        },
    )
    .in_runtime(2),
    Row::latency(
        "graph/scatter_gather/4",
        2,
        "one input to four actors on two cores",
        |_| {
            Ok(Ok(lineup(
                scatter_gather(),
                1,
                Floor::Better(floors::call()),
            )?))
        },
    )
    .in_runtime(2),
    pipelined_row!("graph/pipelined/1", 1, "one run in flight"),
    pipelined_row!("graph/pipelined/4", 4, "4 runs in flight"),
    pipelined_row!("graph/pipelined/16", 16, "16 runs in flight"),
    pipelined_row!("graph/pipelined/64", 64, "64 runs in flight"),
];
