//! What the steps of a graph did when.

use maser::prelude::*;
use maser::{CompileOptions, OperationKind, StepEvent, actor_id};
use maser_tests::{both_ways, quiet};

use crate::actors::{Door, Log, Worker, worker};

fn kept(events: usize) -> CompileOptions {
    CompileOptions {
        profile: Some(events),
        ..Default::default()
    }
}

/// Operations in their order: node and kind.
fn operations<'a>(events: impl IntoIterator<Item = &'a StepEvent>) -> Vec<(usize, OperationKind)> {
    let events = events.into_iter();
    events.map(|event| (event.node, event.operation)).collect()
}

#[test]
fn every_step_of_every_run_reads_computes_and_writes_in_this_order() {
    both_ways(quiet(2), |_| {
        let (a, b) = (worker(1), worker(0));
        let graph = Graph::new(|x: Node<u64>| b.echo().bind(a.echo().bind(x)));
        let graph = graph.compile_with(kept(1000))?;
        for x in 0..5 {
            assert_eq!(graph.execute(x)?.get()?, x);
        }
        graph.teardown()?;
        let all = graph.events();
        assert_eq!((all.events.len(), all.dropped), (30, 0));
        for run in 0..5 {
            let of_run: Vec<&StepEvent> = all.events.iter().filter(|e| e.run == run).collect();
            for node in [1, 2] {
                let of_step = of_run.iter().filter(|event| event.node == node).copied();
                let of_step: Vec<&StepEvent> = of_step.collect();
                let kinds = [
                    OperationKind::Read,
                    OperationKind::Compute,
                    OperationKind::Write,
                ];
                assert_eq!(operations(of_step.clone()), kinds.map(|kind| (node, kind)));
                assert!(of_step.iter().all(|event| event.start_ns <= event.end_ns));
                assert!(
                    of_step
                        .windows(2)
                        .all(|two| two[0].end_ns <= two[1].start_ns)
                );
                assert!(
                    of_step
                        .iter()
                        .all(|event| event.scheduler == Some(2 - node))
                );
            }
            // What is read was written, at the latest, by then.
            assert!(of_run[0].node == 1 && of_run[5].node == 2, "{of_run:?}");
        }
        Ok(())
    });
}

#[test]
fn a_step_on_a_call_slot_reads_its_question_and_writes_its_answer() {
    both_ways(quiet(2), |_| {
        let a = Worker::options()
            .scheduler(1)
            .name("the one")
            .remote(Door::default(), Log::default());
        let graph = Graph::new(|x: Node<u64>| a.echo().bind(a.echo().bind(x)));
        let graph = graph.compile_with(kept(1000))?;
        assert_eq!(graph.execute(4)?.get()?, 4);
        graph.teardown()?;
        let events = graph.events().events;
        let (read, compute, write) = (
            OperationKind::Read,
            OperationKind::Compute,
            OperationKind::Write,
        );
        // The value between the two stays where it is.
        let expected = [(1, read), (1, compute), (2, compute), (2, write)];
        assert_eq!(operations(&events), expected);
        for event in &events {
            assert_eq!(event.actor_class, Some("Worker"));
            assert_eq!(event.actor_name.as_deref(), Some("the one"));
            assert_eq!(event.actor_id, Some(actor_id(&a)));
            assert_eq!(
                (event.method, event.bind_index),
                ("Worker::echo", event.node - 1)
            );
            assert_eq!((event.run, event.process.as_deref()), (0, None));
        }
        Ok(())
    });
}

#[test]
fn the_last_events_are_kept_and_the_others_counted() {
    both_ways(quiet(2), |_| {
        let a = worker(1);
        let graph = Graph::new(|x: Node<u64>| a.echo().bind(x)).compile_with(kept(10))?;
        for x in 0..40 {
            assert_eq!(graph.execute(x)?.get()?, x);
        }
        graph.teardown()?;
        let all = graph.events();
        assert_eq!((all.events.len(), all.dropped), (10, 110));
        let runs: Vec<u64> = all.events.iter().map(|event| event.run).collect();
        assert_eq!(runs, [36, 37, 37, 37, 38, 38, 38, 39, 39, 39]);
        Ok(())
    });
}

#[test]
fn events_can_be_asked_for_while_runs_go_on() {
    both_ways(quiet(2), |_| {
        let a = worker(1);
        let graph = Graph::new(|x: Node<u64>| a.echo().bind(x)).compile_with(kept(7))?;
        let mut last = 0;
        for x in 0..200 {
            let result = graph.execute(x)?;
            let all = graph.events();
            assert!(all.events.len() <= 7);
            let seen = all.dropped + all.events.len() as u64;
            assert!(seen >= last && seen <= 3 * (x + 1), "{seen} after {last}");
            assert!(
                all.events
                    .iter()
                    .all(|event| event.run <= x && event.node == 1)
            );
            last = seen;
            assert_eq!(result.get()?, x);
        }
        Ok(())
    });
}

#[test]
fn the_trace_is_json_with_a_row_for_each_actor() {
    both_ways(quiet(2), |_| {
        let (a, b) = (worker(1), worker(0));
        let named = Worker::options()
            .scheduler(0)
            .name("a \"quoted\" \\ name")
            .remote(Door::default(), Log::default());
        let graph = Graph::new(|x: Node<u64>| named.echo().bind(b.echo().bind(a.echo().bind(x))));
        let graph = graph.compile_with(kept(100))?;
        assert_eq!(graph.execute(4)?.get()?, 4);
        graph.teardown()?;
        let mut trace = Vec::new();
        graph
            .write_chrome_trace(&mut trace)
            .expect("a vector takes everything");
        let trace: serde_json::Value = serde_json::from_slice(&trace).expect("it is JSON");
        assert_eq!(trace["otherData"]["dropped"], 0);
        let all = trace["traceEvents"].as_array().expect("a list");
        let of = |ph: &str| all.iter().filter(|one| one["ph"] == ph).collect::<Vec<_>>();
        let complete = of("X");
        assert_eq!(complete.len(), graph.events().events.len());
        for one in &complete {
            assert!(one["ts"].is_number() && one["dur"].is_number(), "{one}");
            assert!(
                one["name"]
                    .as_str()
                    .is_some_and(|name| name.ends_with(" Worker::echo"))
            );
            assert_eq!(one["args"]["run"], 0);
        }
        let rows: Vec<&str> = of("M")
            .iter()
            .filter_map(|one| one["args"]["name"].as_str())
            .collect();
        for place in ["scheduler 0", "scheduler 1"] {
            assert!(rows.contains(&place), "{rows:?}");
        }
        assert_eq!(
            rows.iter().filter(|row| row.starts_with("Worker")).count(),
            3,
            "{rows:?}"
        );
        Ok(())
    });
}

#[test]
fn without_profiling_there_are_no_events() {
    both_ways(quiet(1), |_| {
        let a = worker(0);
        let graph = Graph::new(|x: Node<u64>| a.echo().bind(x)).compile()?;
        assert_eq!(graph.execute(4)?.get()?, 4);
        assert!(graph.events().events.is_empty());
        Ok(())
    });
}

#[test]
fn the_configuration_switches_profiling_on_and_a_graph_may_differ() {
    both_ways(quiet(1).graph_profile(true), |_| {
        let a = worker(0);
        let graph = |options| Graph::new(|x: Node<u64>| a.echo().bind(x)).compile_with(options);
        let (on, off) = (graph(CompileOptions::default())?, graph(kept(0))?);
        assert_eq!((on.execute(4)?.get()?, off.execute(4)?.get()?), (4, 4));
        on.teardown()?;
        assert_eq!(on.events().events.len(), 3);
        assert!(off.events().events.is_empty());
        Ok(())
    });
}
