//! What statistics cost a run: the same echo, compiled with them and without.

use maser::{CompileOptions, Graph, Node};

use crate::harness::{BenchError, Floor, Lineup, Row, Summed};

use super::SETTLE_NS;
use super::actor::echo_on;
use super::graph::RING;

/// One run at a time through one echo on the other core.
fn echo(
    max_inflight: usize,
    stats: bool,
) -> maser::Result<impl FnMut() -> maser::Result<u64> + use<>> {
    let actor = echo_on(1);
    let options = CompileOptions {
        max_inflight: Some(max_inflight),
        stats: Some(stats),
        ..CompileOptions::default()
    };
    let graph = Graph::new(|input: Node<u64>| actor.echo().bind(input)).compile_with(options)?;
    let mut value = 0;
    Ok(move || {
        value += 1;
        Ok(u64::from(graph.execute(value)?.get()? == value))
    })
}

/// With statistics beside without.
fn lineup(max_inflight: usize) -> Result<Lineup, BenchError> {
    let failed = |error| BenchError::contender("maser", error);
    let measured = echo(max_inflight, true).map_err(failed)?;
    let plain = echo(max_inflight, false).map_err(failed)?;
    let subject = Summed::many("maser", 1, measured).settle(SETTLE_NS);
    let floor = Summed::many("maser, stats off", 1, plain).settle(SETTLE_NS);
    Ok(Lineup {
        floor: Floor::Probe(Box::new(floor)),
        ..Lineup::of(subject)
    })
}

/// Rows of the statistics of graphs.
pub const ROWS: &[Row] = &[
    Row::latency(
        "graph/stats",
        2,
        "the compiled echo with statistics, over the same without",
        |_| Ok(Ok(lineup(1)?)),
    )
    .in_runtime(2),
    Row::latency(
        "graph/stats/ring",
        2,
        "the same, compiled for ten runs in flight",
        |_| Ok(Ok(lineup(RING)?)),
    )
    .in_runtime(2),
];
