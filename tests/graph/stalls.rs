//! What a graph says of runs that do not come to their end: who waits for whom, since when.

use std::time::Duration;

use maser::prelude::*;
use maser::{CompileOptions, Since, StallReport, StalledStep, StepWait};
use maser_tests::{both_ways, quiet};

use crate::actors::{Door, behind, gated, runs, worker};

const SOON: Duration = Duration::from_millis(20);

/// The only step of `run` with this label.
#[track_caller]
fn step<'a>(report: &'a StallReport, run: u64, label: &str) -> &'a StalledStep {
    let of_run = report.runs.iter().find(|one| one.run == run);
    let steps = &of_run.expect("the run is in flight").steps;
    let mut found = steps.iter().filter(|step| step.step == label);
    let (one, more) = (found.next(), found.next());
    assert!(more.is_none(), "{report}");
    one.unwrap_or_else(|| panic!("no {label} in {report}"))
}

#[test]
fn the_step_that_runs_is_named_and_so_is_who_waits_for_its_value() {
    both_ways(quiet(2), |_| {
        for depth in [1, 10] {
            let door = Door::default();
            let (a, b) = (behind(&door, 1), worker(0));
            let graph = Graph::new(|x: Node<u64>| b.echo().bind(a.through().bind(x)));
            let graph = graph.compile_with(runs(depth))?;
            let closed = door.close();
            let result = graph.execute(5)?;
            door.wait_for(1);
            let report = graph.stalls();
            let slow = step(&report, 0, "#1 Worker::through");
            assert_eq!(slow.wait, StepWait::Runs, "{report}");
            let actor = slow.actor.clone().expect("a method has an actor");
            assert!(actor.starts_with("Worker#"), "{actor}");
            let waits = step(&report, 0, "#2 Worker::echo");
            let for_value = StepWait::ForValue {
                of: "#1 Worker::through".into(),
                actor: Some(actor.clone()),
            };
            assert_eq!(waits.wait, for_value, "{report}");
            let text = report.to_string();
            assert!(text.starts_with("1 run is in flight\n"), "{text}");
            let line = format!("run 0: #1 Worker::through on {actor} has been running");
            assert!(text.contains(&line), "{text}");
            drop(closed);
            assert_eq!(result.get()?, 5);
        }
        Ok(())
    });
}

#[test]
fn a_later_run_waits_for_the_step_of_the_earlier_one() {
    both_ways(quiet(2), |_| {
        let (door, graph) = gated(runs(3))?;
        let closed = door.close();
        let results: Vec<_> = (0..3).map(|x| graph.execute(x)).collect::<Result<_, _>>()?;
        door.wait_for(1);
        let report = graph.stalls();
        assert_eq!(report.runs.len(), 3);
        for run in [1, 2] {
            let behind_it = StepWait::ForStep {
                step: "#1 Worker::through".into(),
                run: 0,
            };
            assert_eq!(step(&report, run, "#1 Worker::through").wait, behind_it);
        }
        let error = results[2].get_timeout(SOON).unwrap_err().to_string();
        assert!(
            error.contains("run 2 waits for #1 Worker::through on Worker#"),
            "{error}"
        );
        assert!(
            error.contains("which, in run 0, has been running"),
            "{error}"
        );
        drop(closed);
        for (x, result) in (0..).zip(&results) {
            assert_eq!(result.get()?, x);
        }
        assert_eq!(graph.stalls().to_string(), "no run is in flight");
        Ok(())
    });
}

#[test]
fn who_waits_long_knows_how_long_the_step_has_been_running() {
    both_ways(quiet(2), |_| {
        let door = Door::default();
        let (a, b) = (behind(&door, 1), worker(0));
        let graph = Graph::new(|x: Node<u64>| b.echo().bind(a.through().bind(x))).compile()?;
        let closed = door.close();
        let result = graph.execute(5)?;
        door.wait_for(1);
        let error = result.get_timeout(Duration::from_millis(350)).unwrap_err();
        assert!(error.is_timeout(), "{error}");
        let text = error.to_string();
        assert!(
            text.contains("run 0 waits for #1 Worker::through on Worker#"),
            "{text}"
        );
        assert!(
            text.contains("which has been running for at least "),
            "{text}"
        );
        let report = graph.stalls();
        let since = step(&report, 0, "#1 Worker::through").since;
        assert!(matches!(since, Since::AtLeast(_)), "{report}");
        assert!(since.elapsed() >= Duration::from_millis(100), "{report}");
        drop(closed);
        assert_eq!(result.get()?, 5);
        Ok(())
    });
}

#[test]
fn a_step_whose_actor_is_busy_with_a_call_says_so_and_exactly_how_long() {
    both_ways(quiet(2), |_| {
        let door = Door::default();
        let a = behind(&door, 1);
        let graph = Graph::new(|x: Node<u64>| a.echo().bind(x)).compile()?;
        let closed = door.close();
        let call = a.through().remote(1);
        door.wait_for(1);
        let result = graph.execute(5)?;
        let held_up = loop {
            let report = graph.stalls();
            let step = step(&report, 0, "#1 Worker::echo").clone();
            if step.wait == StepWait::ForActor {
                break step;
            }
            maser::yield_now();
        };
        assert!(matches!(held_up.since, Since::Exactly(_)), "{held_up}");
        assert!(
            held_up.to_string().contains("busy with a call"),
            "{held_up}"
        );
        let error = result.get_timeout(SOON).unwrap_err().to_string();
        assert!(error.contains("#1 Worker::echo on Worker#"), "{error}");
        assert!(error.contains("has waited for "), "{error}");
        drop(closed);
        assert_eq!((call.get()?, result.get()?), (1, 5));
        Ok(())
    });
}

#[test]
fn an_earlier_step_of_the_same_actor_is_waited_for() {
    both_ways(quiet(2), |_| {
        let door = Door::default();
        let (a, b) = (behind(&door, 1), worker(0));
        // The second step of `a` needs nothing of the first but its turn.
        let graph = Graph::new(|(x, y): (Node<u64>, Node<u64>)| {
            let first = a.through().bind(x);
            (first, a.echo().bind(b.echo().bind(y)))
        });
        let graph = graph.compile()?;
        let closed = door.close();
        let (first, second) = graph.execute((1, 2))?;
        door.wait_for(1);
        let for_step = StepWait::ForStep {
            step: "#2 Worker::through".into(),
            run: 0,
        };
        let report = graph.stalls();
        assert_eq!(
            step(&report, 0, "#4 Worker::echo").wait,
            for_step,
            "{report}"
        );
        drop(closed);
        assert_eq!((first.get()?, second.get()?), (1, 2));
        Ok(())
    });
}

#[test]
fn results_that_nobody_fetches_are_counted() {
    both_ways(quiet(2), |_| {
        let a = worker(1);
        let options = CompileOptions {
            max_inflight: Some(2),
            max_buffered_results: Some(2),
            ..Default::default()
        };
        let graph = Graph::new(|x: Node<u64>| a.echo().bind(x)).compile_with(options)?;
        let results: Vec<_> = (0..2).map(|x| graph.execute(x)).collect::<Result<_, _>>()?;
        let report = loop {
            let report = graph.stalls();
            if report.runs.is_empty() {
                break report;
            }
            maser::yield_now();
        };
        assert_eq!(
            (report.results_waiting, report.max_buffered_results),
            (2, 2)
        );
        let text = report.to_string();
        assert_eq!(
            text,
            "no run is in flight, 2 of at most 2 results wait to be fetched"
        );
        for (x, result) in (0..).zip(&results) {
            assert_eq!(result.get()?, x);
        }
        assert_eq!(graph.stalls().results_waiting, 0);
        Ok(())
    });
}

#[test]
fn an_execute_without_a_place_names_the_step_that_holds_it_up() {
    both_ways(quiet(2), |_| {
        let (door, graph) = gated(runs(1))?;
        let closed = door.close();
        let result = graph.execute(5)?;
        let error = graph.execute_timeout(6, SOON).map(drop).unwrap_err();
        assert!(error.is_timeout(), "{error}");
        let text = error.to_string();
        assert!(
            text.contains("run 0 waits for #1 Worker::through on Worker#"),
            "{text}"
        );
        drop(closed);
        assert_eq!(result.get()?, 5);
        Ok(())
    });
}

#[test]
fn a_writer_of_a_synchronous_pair_waits_for_the_read() {
    both_ways(quiet(2), |_| {
        let door = Door::default();
        let (a, b) = (worker(1), behind(&door, 0));
        let graph = Graph::new(|x: Node<u64>| {
            let sent = a.echo().bind(x).with_tensor_transport("gloo");
            b.through().bind(sent)
        });
        let graph = graph.compile_with(runs(3))?;
        let closed = door.close();
        let results: Vec<_> = (0..3).map(|x| graph.execute(x)).collect::<Result<_, _>>()?;
        door.wait_for(1);
        // The first run is read, the second was written and is not, the third waits for that.
        let for_read = StepWait::ForRead {
            by: "#2 Worker::through".into(),
            run: 1,
        };
        loop {
            let report = graph.stalls();
            if step(&report, 2, "#1 Worker::echo").wait == for_read {
                assert!(
                    report.to_string().contains("of a synchronous pair"),
                    "{report}"
                );
                break;
            }
            maser::yield_now();
        }
        drop(closed);
        for (x, result) in (0..).zip(&results) {
            assert_eq!(result.get()?, x);
        }
        Ok(())
    });
}
