//! Compiled graphs whose steps run in processes of their own: how they end.

use maser::prelude::*;
use maser::{CompileOptions, Timeout};
use std::time::Duration;

use crate::graph_actors::{Station, config, here, in_runtime, mappings, there};

fn pid_of(station: &Actor<Station>) -> i32 {
    let pid = station.pid().remote(0).get().unwrap();
    i32::try_from(pid).unwrap()
}

fn signal(pid: i32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

fn assert_alive(station: &Actor<Station>) -> Result<(), Error> {
    let graph = Graph::new(|x: Node<u64>| station.add().bind(x)).compile()?;
    assert_eq!(graph.execute(1)?.get()?, station.add().remote(1).get()?);
    graph.teardown()
}

#[test]
fn a_crash_ends_the_graph_with_an_error_that_names_actor_and_signal() {
    in_runtime(2, || {
        let (before, victim, after) = (here(1), there(0), there(1));
        let graph = Graph::new(|x: Node<u64>| {
            let x = before.add().bind(x);
            let y = victim.abort_at().bind(5, x);
            (after.add().bind(y), x)
        })
        .compile()?;
        let (y, x) = graph.execute(1)?;
        assert_eq!((y.get()?, x.get()?), (3, 2));
        let (y, _) = graph.execute(4)?;
        let error = y.get().unwrap_err().to_string();
        assert!(
            error.contains("Station") && error.contains("SIGABRT"),
            "{error}"
        );
        let error = graph.execute(1).unwrap_err().to_string();
        assert!(error.contains("SIGABRT"), "{error}");
        assert_alive(&before)?;
        assert_alive(&after)?;
        graph.teardown()
    });
}

#[test]
fn a_kill_while_nothing_runs_is_told_by_execute_and_by_who_waits() {
    in_runtime(1, || {
        let (victim, other) = (there(0), there(1));
        let graph =
            Graph::new(|x: Node<u64>| other.add().bind(victim.sleep().bind(x))).compile()?;
        assert_eq!(graph.execute(1)?.get()?, 2);
        let pid = pid_of(&victim);
        let waiting = graph.execute(3_600_000)?;
        signal(pid, rustix::process::Signal::KILL);
        let error = waiting.get().unwrap_err();
        assert!(error.to_string().contains("SIGKILL"), "{error}");
        assert!(matches!(error.root(), Error::ActorDied { .. }), "{error:?}");
        assert_alive(&other)?;
        graph.teardown()
    });
}

#[test]
fn a_foreign_thread_that_sleeps_is_woken_by_a_result_and_by_a_death() {
    let _turn = maser_tests::turn();
    let maser = config(1).init().unwrap();
    let station = there(0);
    let pid = pid_of(&station);
    let graph = Graph::new(|x: Node<u64>| station.sleep().bind(x))
        .compile()
        .unwrap();
    assert_eq!(graph.execute(300).unwrap().get().unwrap(), 300);
    assert_eq!(
        pollster::block_on(async { graph.execute(200).unwrap().await }).unwrap(),
        200
    );
    let waiting = graph.execute(3_600_000).unwrap();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| waiting.get());
        signal(pid, rustix::process::Signal::KILL);
        let error = waits.join().unwrap().unwrap_err();
        assert!(error.to_string().contains("SIGKILL"), "{error}");
    });
    drop(waiting);
    drop(graph);
    drop(station);
    drop(maser);
}

#[test]
fn a_stopped_process_makes_runs_late_and_shifts_no_result() {
    in_runtime(1, || {
        let station = there(7);
        let options = CompileOptions {
            max_inflight: Some(4),
            get_timeout: Some(Timeout::After(Duration::from_millis(100))),
            submit_timeout: Some(Timeout::After(Duration::from_millis(100))),
            ..Default::default()
        };
        let graph = Graph::new(|x: Node<u64>| (station.add().bind(x), station.pid().bind(x)))
            .compile_with(options)?;
        let first = graph.execute(1)?.0;
        assert_eq!(first.get_timeout(Duration::from_secs(60))?, 8);
        let pid = pid_of(&station);
        signal(pid, rustix::process::Signal::STOP);
        let refs: Vec<_> = (0..4).map(|x| graph.execute(x)).collect::<Result<_, _>>()?;
        for (sum, _) in &refs {
            let error = sum.get().unwrap_err();
            assert!(matches!(error, Error::Timeout { .. }), "{error}");
        }
        let error = graph.execute(9).unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error}");
        let error = graph.try_execute(9).unwrap_err();
        assert!(matches!(error, Error::CapacityExceeded { .. }), "{error}");
        signal(pid, rustix::process::Signal::CONT);
        for (x, (sum, _)) in (0..).zip(&refs) {
            assert_eq!(sum.get_timeout(Duration::from_secs(60))?, x + 7);
        }
        drop(refs);
        let late = graph.execute_timeout(9, Duration::from_secs(60))?.0;
        assert_eq!(late.get_timeout(Duration::from_secs(60))?, 16);
        graph.teardown()
    });
}

#[test]
fn the_driver_ends_while_its_graphs_run_elsewhere() {
    let _turn = maser_tests::turn();
    let maser = config(2).init().unwrap();
    let (station, other) = (there(0), here(0));
    let graph = Graph::new(|x: Node<u64>| other.add().bind(station.sleep().bind(x)))
        .compile()
        .unwrap();
    let waiting = graph.execute(3_600_000).unwrap();
    drop(maser);
    let error = waiting.get().unwrap_err();
    assert!(
        matches!(
            error.root(),
            Error::ShutDown { .. } | Error::ActorDied { .. }
        ),
        "{error}"
    );
}

#[test]
fn graphs_that_come_and_go_leave_no_memory_behind() {
    in_runtime(1, || {
        let (first, second) = (there(0), there(0));
        let pids = [std::process::id() as i32, pid_of(&first), pid_of(&second)];
        let mut counts = Vec::new();
        for _ in 0..6 {
            let graph =
                Graph::new(|x: Node<String>| second.turn().bind(first.turn().bind(x))).compile()?;
            for bytes in [1, 1 << 20] {
                assert_eq!(graph.execute("x".repeat(bytes))?.get()?.len(), bytes);
            }
            graph.teardown()?;
            drop(graph);
            counts.push(pids.map(mappings));
        }
        // A worker takes its part of the last graph down a moment later.
        let least = |at: usize| counts.iter().map(|count: &[_; 3]| count[at]).min();
        let least = [0, 1, 2].map(|at| least(at).unwrap());
        while pids.map(mappings) != least {
            maser::yield_now();
        }
        Ok(())
    });
}

#[test]
fn a_graph_ends_with_the_process_of_an_actor_that_comes_back_and_a_new_one_finds_it() {
    in_runtime(1, || {
        let options = Station::options().isolation(maser::Isolation::Process);
        let station = options.max_restarts(1).remote(5);
        let graph = Graph::new(|x: Node<u64>| station.add().bind(x)).compile()?;
        assert_eq!(graph.execute(1)?.get()?, 6);
        signal(pid_of(&station), rustix::process::Signal::KILL);
        let error = loop {
            match graph.execute(1).and_then(|answer| answer.get()) {
                Ok(sum) => assert_eq!(sum, 6),
                Err(error) => break error.to_string(),
            }
        };
        assert!(
            error.contains("Station") && error.contains("SIGKILL"),
            "{error}"
        );
        assert_eq!(station.add().remote(2).get()?, 7);
        assert_alive(&station)?;
        graph.teardown()
    });
}
