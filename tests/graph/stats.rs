//! What a graph measures of its own runs.

use std::time::{Duration, Instant};

use maser::prelude::*;
use maser::{ChannelKind, CompileOptions, CompiledGraph, EdgeEnd, GraphStats, LatencyStats};
use maser_tests::{both_ways, quiet};

use crate::actors::{Door, behind, worker};

fn measured(max_inflight: usize, every: usize) -> CompileOptions {
    CompileOptions {
        max_inflight: Some(max_inflight),
        stats: Some(true),
        stats_every: Some(every),
        ..Default::default()
    }
}

/// The times of the edge between these ends.
#[track_caller]
fn edge(stats: &GraphStats, from: EdgeEnd, to: EdgeEnd, channel: ChannelKind) -> LatencyStats {
    let is_it = |one: &&maser::EdgeStats| {
        (one.edge.from, one.edge.to, one.edge.channel) == (from, to, channel)
    };
    let mut found = stats.edges.iter().filter(is_it);
    let (one, more) = (found.next(), found.next());
    assert!(more.is_none(), "{stats}");
    one.unwrap_or_else(|| panic!("no {from} -> {to} in {stats}"))
        .latency
}

#[track_caller]
fn assert_sensible(times: LatencyStats, within: Duration) {
    assert!(
        times.p50 <= times.p99 && times.p99 <= times.p999,
        "{times:?}"
    );
    assert!(
        times.p999 <= times.max && times.mean <= times.max,
        "{times:?}"
    );
    assert!(times.max <= within, "{times:?} within {within:?}");
}

#[test]
fn every_step_every_edge_and_every_run_is_measured() {
    both_ways(quiet(2), |_| {
        let (a, b) = (worker(1), worker(0));
        let graph = Graph::new(|x: Node<u64>| b.echo().bind(a.echo().bind(x)));
        let graph = graph.compile_with(measured(4, 1))?;
        let begin = Instant::now();
        for x in 0..100 {
            assert_eq!(graph.execute(x)?.get()?, x);
        }
        let stats = graph.stats();
        let within = begin.elapsed();
        assert_eq!((stats.runs.submitted, stats.runs.finished), (100, 100));
        assert_eq!((stats.runs.in_flight, stats.runs.results_waiting), (0, 0));
        assert_eq!((stats.runs.failed, stats.every), (Some(0), 1));
        let names: Vec<&str> = stats.steps.iter().map(|step| &*step.step).collect();
        assert_eq!(names, ["#1 Worker::echo", "#2 Worker::echo"]);
        let input = edge(
            &stats,
            EdgeEnd::Input(0),
            EdgeEnd::Step(1),
            ChannelKind::Ring,
        );
        let inner = edge(
            &stats,
            EdgeEnd::Step(1),
            EdgeEnd::Step(2),
            ChannelKind::Ring,
        );
        let output = edge(
            &stats,
            EdgeEnd::Step(2),
            EdgeEnd::Output(0),
            ChannelKind::Ring,
        );
        assert_eq!(stats.edges.len(), 3, "{stats}");
        let steps = stats.steps.iter().map(|step| step.compute);
        for times in steps.chain([input, inner, output, stats.end_to_end]) {
            assert_eq!(times.count, 100, "{stats}");
            assert_sensible(times, within);
        }
        // A run is at least as long as its parts.
        let parts = [input, inner, output]
            .iter()
            .map(|part| part.mean)
            .sum::<Duration>();
        assert!(stats.end_to_end.mean >= parts, "{stats}");
        Ok(())
    });
}

#[test]
fn a_call_slot_has_the_times_of_questions_and_answers() {
    both_ways(quiet(2), |_| {
        let a = worker(1);
        let graph = Graph::new(|(x, y): (Node<u64>, Node<u64>)| a.add().bind(x, y));
        let graph = graph.compile_with(measured(1, 1))?;
        for x in 0..20 {
            assert_eq!(graph.execute((x, 1))?.get()?, x + 1);
        }
        let stats = graph.stats();
        for from in [EdgeEnd::Input(0), EdgeEnd::Input(1)] {
            let question = edge(&stats, from, EdgeEnd::Step(2), ChannelKind::CallSlot);
            assert_eq!(question.count, 20, "{stats}");
        }
        let answer = edge(
            &stats,
            EdgeEnd::Step(2),
            EdgeEnd::Output(0),
            ChannelKind::CallSlot,
        );
        assert_eq!((answer.count, stats.end_to_end.count), (20, 20), "{stats}");
        assert_eq!((stats.edges.len(), stats.steps.len()), (3, 1), "{stats}");
        Ok(())
    });
}

#[test]
fn one_run_in_so_many_is_measured_beginning_with_the_first() {
    both_ways(quiet(2), |_| {
        let (a, b) = (worker(1), worker(0));
        let graph = Graph::new(|x: Node<u64>| (a.echo().bind(x), b.echo().bind(x)));
        let graph = graph.compile_with(measured(3, 10))?;
        for (runs, count) in [(1, 1), (9, 1), (1, 2), (10, 3)] {
            for x in 0..runs {
                let (first, second) = graph.execute(x)?;
                assert_eq!((first.get()?, second.get()?), (x, x));
            }
            let stats = graph.stats();
            assert_eq!(stats.end_to_end.count, count, "{stats}");
            let edges = stats.edges.iter().map(|edge| edge.latency.count);
            assert_eq!(edges.collect::<Vec<_>>(), [count; 4], "{stats}");
        }
        Ok(())
    });
}

#[test]
fn without_statistics_there_are_counts_and_no_times() {
    both_ways(quiet(2), |_| {
        let a = worker(1);
        let graph = Graph::new(|x: Node<u64>| a.refuse().bind(x, 3)).compile()?;
        let results: Vec<_> = (0..5).map(|x| graph.execute(x)).collect::<Result<_, _>>()?;
        let runs = graph.stats().runs;
        assert_eq!((runs.submitted, runs.finished + runs.in_flight), (5, 5));
        let failed = results.iter().filter(|result| result.get().is_err());
        assert_eq!(failed.count(), 1);
        let stats = graph.stats();
        assert_eq!((stats.runs.finished, stats.runs.in_flight), (5, 0));
        assert_eq!((stats.runs.results_waiting, stats.runs.failed), (0, None));
        assert_eq!(
            (stats.every, stats.steps.len(), stats.edges.len()),
            (0, 0, 0)
        );
        assert_eq!(stats.end_to_end, LatencyStats::default());
        Ok(())
    });
}

#[test]
fn time_in_a_step_is_that_steps_and_the_wait_behind_it_is_the_edges() {
    both_ways(quiet(2), |_| {
        let long = Duration::from_millis(5);
        let door = Door::default();
        let a = behind(&door, 1);
        let graph = Graph::new(|x: Node<u64>| a.through().bind(x)).compile_with(measured(2, 1))?;
        let closed = door.close();
        let (first, second) = (graph.execute(1)?, graph.execute(2)?);
        door.wait_for(1);
        let begin = Instant::now();
        while begin.elapsed() < long {
            maser::yield_now();
        }
        drop(closed);
        assert_eq!((first.get()?, second.get()?), (1, 2));
        let stats = graph.stats();
        assert!(stats.steps[0].compute.max >= long, "{stats}");
        let question = edge(
            &stats,
            EdgeEnd::Input(0),
            EdgeEnd::Step(1),
            ChannelKind::CallSlot,
        );
        assert!(question.max >= long, "{stats}");
        assert!(stats.end_to_end.max >= long, "{stats}");
        Ok(())
    });
}

#[test]
fn a_run_that_failed_is_counted_once_however_many_results_show_it() {
    both_ways(quiet(2), |_| {
        let (a, b, c) = (worker(1), worker(0), worker(1));
        let graph = Graph::new(|x: Node<u64>| {
            let x = a.refuse().bind(x, 3);
            (b.echo().bind(x), c.echo().bind(x))
        });
        let graph = graph.compile_with(measured(10, 64))?;
        let mut failed = 0;
        for x in [1, 3, 4, 3, 3, 5] {
            let (first, second) = graph.execute(x)?;
            assert_eq!(first.get().is_err(), second.get().is_err());
            failed += u64::from(x == 3);
            assert_eq!(graph.stats().runs.failed, Some(failed));
        }
        Ok(())
    });
}

#[test]
fn more_runs_in_flight_than_stamps_leave_some_out_and_measure_none_wrongly() {
    both_ways(quiet(2), |_| {
        let door = Door::default();
        let (a, b) = (behind(&door, 1), worker(0));
        let graph = Graph::new(|x: Node<u64>| (a.through().bind(x), b.echo().bind(x)));
        let graph = graph.compile_with(measured(100, 1))?;
        let begin = Instant::now();
        let closed = door.close();
        let results: Vec<_> = (0..100)
            .map(|x| graph.execute(x))
            .collect::<Result<_, _>>()?;
        door.wait_for(1);
        drop(closed);
        for (x, (first, second)) in (0..).zip(results) {
            assert_eq!((first.get()?, second.get()?), (x, x));
        }
        let stats = graph.stats();
        let within = begin.elapsed();
        for step in &stats.steps {
            assert_eq!(step.compute.count, 100, "{stats}");
        }
        for times in stats
            .edges
            .iter()
            .map(|edge| edge.latency)
            .chain([stats.end_to_end])
        {
            assert!(times.count <= 100, "{stats}");
            assert_sensible(times, within);
        }
        Ok(())
    });
}

#[test]
fn several_segments_of_one_actor_are_measured_each() {
    both_ways(quiet(2), |_| {
        let (a, b) = (worker(1), worker(0));
        let graph = Graph::new(|x: Node<u64>| {
            let x = a.echo().bind(x);
            let x = a.echo().bind(x);
            let y = b.echo().bind(x);
            a.add().bind(x, y)
        });
        let graph = graph.compile_with(measured(5, 1))?;
        let results: Vec<_> = (0..5).map(|x| graph.execute(x)).collect::<Result<_, _>>()?;
        for (x, result) in (0..).zip(results) {
            assert_eq!(result.get()?, 2 * x);
        }
        let stats = graph.stats();
        assert_eq!(stats.steps.len(), 4, "{stats}");
        assert!(
            stats.steps.iter().all(|step| step.compute.count == 5),
            "{stats}"
        );
        assert!(
            stats.edges.iter().all(|edge| edge.latency.count == 5),
            "{stats}"
        );
        edge(
            &stats,
            EdgeEnd::Step(2),
            EdgeEnd::Step(3),
            ChannelKind::Ring,
        );
        edge(
            &stats,
            EdgeEnd::Step(2),
            EdgeEnd::Step(4),
            ChannelKind::Ring,
        );
        edge(
            &stats,
            EdgeEnd::Step(3),
            EdgeEnd::Step(4),
            ChannelKind::Ring,
        );
        Ok(())
    });
}

fn count_of(graph: &CompiledGraph<Node<u64>, Node<u64>>) -> maser::Result<(u64, u64)> {
    for x in 0..6 {
        assert_eq!(graph.execute(x)?.get()?, x);
    }
    let stats = graph.stats();
    Ok((stats.every, stats.end_to_end.count))
}

#[test]
fn the_configuration_switches_statistics_on_and_a_graph_may_differ() {
    both_ways(quiet(2).graph_stats(true).graph_stats_every(3), |_| {
        let a = worker(1);
        let graph = |options| Graph::new(|x: Node<u64>| a.echo().bind(x)).compile_with(options);
        let as_configured = CompileOptions::default();
        let off = CompileOptions {
            stats: Some(false),
            ..Default::default()
        };
        assert_eq!(count_of(&graph(as_configured)?)?, (3, 2));
        assert_eq!(count_of(&graph(off)?)?, (0, 0));
        assert_eq!(count_of(&graph(measured(1, 2))?)?, (2, 3));
        Ok(())
    });
}

#[test]
fn a_range_that_makes_no_sense_is_refused() {
    both_ways(quiet(1), |_| {
        let a = worker(0);
        let graph = Graph::new(|x: Node<u64>| a.echo().bind(x));
        let error = graph.compile_with(measured(1, 0)).map(drop).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("stats_every: 0; give 1 to 1000000000"),
            "{text}"
        );
        Ok(())
    });
}
