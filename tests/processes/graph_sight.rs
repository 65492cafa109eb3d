//! Compiled graphs whose steps run in processes of their own: what one sees of them.

use maser::prelude::*;
use maser::{ChannelKind, CompileOptions, OperationKind, StallReport, StalledStep, StepWait};
use std::collections::BTreeSet;
use std::time::Duration;

use crate::graph_actors::{here, in_runtime, there};

fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

fn step<'a>(report: &'a StallReport, label: &str) -> &'a StalledStep {
    let steps = report.runs.iter().flat_map(|run| &run.steps);
    let mut found = steps.filter(|step| step.step == label);
    found
        .next()
        .unwrap_or_else(|| panic!("no {label} in {report}"))
}

#[test]
fn a_stall_in_another_process_names_step_actor_and_process() {
    in_runtime(1, || {
        let (slow, after) = (there(0), here(1));
        let graph = Graph::new(|x: Node<u64>| after.add().bind(slow.sleep().bind(x))).compile()?;
        let result = graph.execute(700)?;
        // Its first look at the clock is when somebody waits, so this is a lower bound.
        let error = result.get_timeout(Duration::from_millis(400)).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("run 0 waits for #1 Station::sleep on Station#"),
            "{text}"
        );
        assert!(text.contains(" in worker "), "{text}");
        let report = graph.stalls();
        let waits = step(&report, "#2 Station::add");
        assert!(matches!(waits.wait, StepWait::ForValue { .. }), "{report}");
        assert_eq!(
            step(&report, "#1 Station::sleep").wait,
            StepWait::Runs,
            "{report}"
        );
        assert_eq!(result.get()?, 701);
        assert!(graph.stalls().runs.is_empty());
        graph.teardown()
    });
}

#[test]
fn a_process_that_is_stopped_need_not_answer_for_the_report() {
    in_runtime(1, || {
        let far = there(1);
        let graph = Graph::new(|x: Node<u64>| (far.add().bind(x), far.pid().bind(x))).compile()?;
        let (sum, pid) = graph.execute(1)?;
        let (sum, pid) = (sum.get()?, pid.get()?);
        assert_eq!(sum, 2);
        signal(pid, rustix::process::Signal::STOP);
        let (sum, _pid) = graph.execute(2)?;
        let error = sum.get_timeout(Duration::from_millis(50)).unwrap_err();
        let report = graph.stalls();
        signal(pid, rustix::process::Signal::CONT);
        assert!(
            error
                .to_string()
                .contains("run 1 waits for #1 Station::add"),
            "{error}"
        );
        let stuck = step(&report, "#1 Station::add");
        assert!(stuck.process.is_some(), "{report}");
        assert_eq!(sum.get()?, 3);
        graph.teardown()
    });
}

fn measured(max_inflight: usize) -> CompileOptions {
    CompileOptions {
        max_inflight: Some(max_inflight),
        stats: Some(true),
        stats_every: Some(1),
        profile: Some(1000),
        ..Default::default()
    }
}

#[test]
fn edges_between_processes_and_steps_there_are_measured() {
    in_runtime(1, || {
        let (first, second, third, last) = (here(1), there(10), there(100), here(1000));
        let graph = Graph::new(|x: Node<u64>| {
            let a = first.add().bind(x);
            let b = second.add().bind(a);
            let c = third.add().bind(b);
            (last.add().bind(c), b, third.add().bind(x))
        });
        let graph = graph.compile_with(measured(4))?;
        for x in 0..30 {
            let (sum, b, c) = graph.execute(x)?;
            assert_eq!(
                (sum.get()?, b.get()?, c.get()?),
                (x + 1111, x + 11, x + 100)
            );
        }
        let stats = graph.stats();
        assert_eq!(
            (stats.end_to_end.count, stats.steps.len()),
            (30, 5),
            "{stats}"
        );
        for step in &stats.steps {
            assert_eq!(step.compute.count, 30, "{stats}");
        }
        let edges = stats.edges.iter();
        let between = edges.filter(|one| one.edge.channel == ChannelKind::SharedMemory);
        let ends: BTreeSet<String> = between
            .map(|one| format!("{} -> {}", one.edge.from, one.edge.to))
            .collect();
        let expected = [
            "#1 -> #2",
            "#2 -> #3",
            "#2 -> output 1",
            "#3 -> #4",
            "#5 -> output 2",
            "input 0 -> #5",
        ];
        assert!(expected.iter().all(|edge| ends.contains(*edge)), "{ends:?}");
        for edge in &stats.edges {
            assert_eq!(edge.latency.count, 30, "{stats}");
            assert!(edge.latency.max <= stats.end_to_end.max, "{stats}");
        }
        graph.teardown()
    });
}

#[test]
fn question_and_answer_of_another_process_are_measured() {
    in_runtime(1, || {
        let far = there(1);
        let graph = Graph::new(|x: Node<u64>| far.add().bind(x)).compile_with(measured(1))?;
        for x in 0..30 {
            assert_eq!(graph.execute(x)?.get()?, x + 1);
        }
        let stats = graph.stats();
        assert_eq!(
            (stats.end_to_end.count, stats.edges.len()),
            (30, 2),
            "{stats}"
        );
        for edge in &stats.edges {
            assert_eq!(edge.edge.channel, ChannelKind::CallSlot, "{stats}");
            assert_eq!(edge.latency.count, 30, "{stats}");
        }
        assert_eq!(stats.steps[0].compute.count, 30, "{stats}");
        graph.teardown()
    });
}

#[test]
fn events_of_another_process_stay_when_it_is_killed() {
    in_runtime(1, || {
        let far = there(1);
        let graph = Graph::new(|x: Node<u64>| (far.add().bind(x), far.pid().bind(x)));
        let graph = graph.compile_with(measured(1))?;
        let (_sum, pid) = graph.execute(1)?;
        let pid = pid.get()?;
        // After a second run everything of the first has been noted.
        assert_eq!(graph.execute(1)?.0.get()?, 2);
        signal(pid, rustix::process::Signal::KILL);
        while graph.execute(1).is_ok() {
            maser::yield_now();
        }
        let events = graph.events().events;
        let first: Vec<_> = events.iter().filter(|event| event.run == 0).collect();
        let kinds: Vec<_> = first
            .iter()
            .map(|event| (event.node, event.operation))
            .collect();
        let (read, compute, write) = (
            OperationKind::Read,
            OperationKind::Compute,
            OperationKind::Write,
        );
        let expected = [
            (1, read),
            (1, compute),
            (1, write),
            (2, compute),
            (2, write),
        ];
        assert_eq!(kinds, expected);
        for event in first {
            let process = event.process.as_deref().expect("it is another one");
            assert!(process.contains(&format!("pid {pid}")), "{process}");
            assert_eq!(
                (event.actor_class, event.scheduler),
                (Some("Station"), None)
            );
        }
        Ok(())
    });
}
