//! Limits, deaths and ends of graphs that a worker drives.

use super::graph_actors::{Station, here, in_runtime, mappings, there};
use maser::prelude::*;
use maser::{CompileOptions, CompiledGraph, Timeout};
use rustix::process::{Pid, Signal, kill_process};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

/// Has a graph over actors of others.
#[derive(Default)]
struct Pilot {
    graph: Option<CompiledGraph<Node<u64>, Node<u64>>>,
    kept: Vec<GraphRef<u64>>,
}

#[maser::actor]
impl Pilot {
    fn new() -> Self {
        Self::default()
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }

    fn compile(&mut self, stations: Vec<Actor<Station>>, inflight: u64) -> Result<(), Error> {
        let options = CompileOptions {
            max_inflight: Some(inflight as usize),
            max_buffered_results: Some(4),
            submit_timeout: Some(Timeout::After(Duration::from_millis(50))),
            get_timeout: Some(Timeout::After(LONG)),
            ..Default::default()
        };
        let graph = Graph::new(|x: Node<u64>| {
            let add = |x, station: &Actor<Station>| station.add().bind(x);
            stations.iter().fold(x, add)
        });
        self.graph = Some(graph.compile_with(options)?);
        Ok(())
    }

    fn run(&self, x: u64) -> Result<u64, Error> {
        self.graph().execute(x)?.get()
    }

    fn try_run(&self, x: u64) -> Result<u64, Error> {
        self.graph().try_execute(x)?.get()
    }

    /// Submits runs and keeps their results.
    fn keep(&mut self, xs: Vec<u64>) -> Result<(), Error> {
        for x in xs {
            let result = self.graph().execute(x)?;
            self.kept.push(result);
        }
        Ok(())
    }

    fn kept(&self, at: u64, millis: u64) -> Result<u64, Error> {
        self.kept[at as usize].get_timeout(Duration::from_millis(millis))
    }

    fn drop_kept(&mut self) {
        self.kept.clear();
    }

    fn counts(&self) -> (usize, usize) {
        (self.graph().in_flight(), self.graph().free_capacity())
    }

    fn is_torn_down(&self) -> bool {
        self.graph().is_torn_down()
    }

    fn teardown(&self) -> Result<(), Error> {
        self.graph().teardown()
    }

    fn teardown_and_kill(&self) -> Result<(), Error> {
        self.graph().teardown_and_kill()
    }

    fn let_go(&mut self) {
        self.graph = None;
    }
}

impl Pilot {
    fn graph(&self) -> &CompiledGraph<Node<u64>, Node<u64>> {
        self.graph.as_ref().expect("it was compiled")
    }
}

fn pilot() -> Actor<Pilot> {
    Pilot::options()
        .isolation(Isolation::Process)
        .max_concurrency(8)
        .remote()
}

fn pid_of(station: &Actor<Station>) -> u32 {
    station.pid().remote(0).get().unwrap()
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

fn told(error: &Error) -> &Error {
    error.downcast_ref::<Error>().unwrap_or(error)
}

/// Until `look` says yes.
fn until(mut look: impl FnMut() -> bool) {
    while !look() {
        maser::yield_now();
    }
}

/// A graph of this process over these works.
fn are_free(stations: &[&Actor<Station>]) -> maser::Result<()> {
    let graph = Graph::new(|x: Node<u64>| {
        let add = |x, station: &&Actor<Station>| station.add().bind(x);
        stations.iter().fold(x, add)
    });
    let graph = graph.compile()?;
    assert_eq!(graph.execute(0)?.get()?, stations.len() as u64);
    graph.teardown()
}

#[test]
fn a_worker_waits_for_results_and_places_no_longer_than_its_limits_and_loses_nothing() {
    in_runtime(2, || {
        let (pilot, near, far) = (pilot(), here(1), there(1));
        let pid = pid_of(&far);
        pilot.compile().remote(vec![near, far], 3).get()?;
        assert_eq!(pilot.run().remote(1).get()?, 3);
        assert_eq!(pilot.counts().remote().get()?, (0, 3));
        signal(pid, Signal::STOP);
        pilot.keep().remote(vec![1, 2, 3]).get()?;
        assert_eq!(pilot.counts().remote().get()?, (3, 0));
        let error = pilot.try_run().remote(4).get().unwrap_err();
        let error = told(&error).to_string();
        assert!(
            error.contains('3') && error.contains("max_inflight"),
            "{error}"
        );
        let error = pilot.run().remote(4).get().unwrap_err();
        assert!(matches!(told(&error), Error::Timeout { .. }), "{error}");
        assert!(
            error
                .to_string()
                .contains("a place for a run (3 in flight)"),
            "{error}"
        );
        let late = pilot.kept().remote(0, 1).get().unwrap_err();
        assert!(matches!(told(&late), Error::Timeout { .. }), "{late}");
        signal(pid, Signal::CONT);
        for at in [2, 0, 1, 0] {
            assert_eq!(pilot.kept().remote(at, 60_000).get()?, at + 3);
        }
        assert_eq!(pilot.run().remote(9).get()?, 11);
        pilot.teardown().remote().get()
    });
}

#[test]
fn a_worker_holds_no_more_results_than_it_may() {
    in_runtime(2, || {
        let pilot = pilot();
        pilot.compile().remote(vec![here(1), there(1)], 2).get()?;
        let error = loop {
            if let Err(error) = pilot.keep().remote(vec![1]).get() {
                break error;
            }
        };
        let CapacityError(limit) = CapacityError::of(told(&error));
        assert_eq!(limit, 4, "{error}");
        pilot.drop_kept().remote().get()?;
        until(|| pilot.run().remote(5).get().is_ok_and(|sum| sum == 7));
        Ok(())
    });
}

/// The limit of a refusal.
struct CapacityError(usize);

impl CapacityError {
    #[track_caller]
    fn of(error: &Error) -> Self {
        match error {
            Error::CapacityExceeded { limit, .. } => Self(*limit),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn the_death_of_an_actor_ends_the_graph_of_a_worker_and_names_it() {
    in_runtime(2, || {
        for victim_is_first in [true, false] {
            let (pilot, near, far, victim) = (pilot(), here(1), there(1), there(1));
            let stations = match victim_is_first {
                true => vec![victim.clone(), near.clone(), far.clone()],
                false => vec![near.clone(), far.clone(), victim.clone()],
            };
            pilot.compile().remote(stations, 4).get()?;
            assert_eq!(pilot.run().remote(1).get()?, 4);
            let pid = pid_of(&victim);
            signal(pid, Signal::STOP);
            pilot.keep().remote(vec![1, 2]).get()?;
            signal(pid, Signal::KILL);
            for at in [0, 1] {
                let error = pilot.kept().remote(at, 60_000).get().unwrap_err();
                let error = told(&error);
                assert!(matches!(error.root(), Error::ActorDied { .. }), "{error}");
                for word in ["Station", "SIGKILL"] {
                    assert!(error.to_string().contains(word), "{word}: {error}");
                }
            }
            // It is over as soon as that is known.
            until(|| pilot.is_torn_down().remote().get().unwrap());
            let error = pilot.run().remote(1).get().unwrap_err();
            assert!(error.to_string().contains("SIGKILL"), "{error}");
            are_free(&[&near, &far])?;
            pilot.teardown().remote().get()?;
            are_free(&[&far, &near])?;
            pilot.compile().remote(vec![near, far], 4).get()?;
            assert_eq!(pilot.run().remote(1).get()?, 3);
        }
        Ok(())
    });
}

#[test]
fn an_actor_that_is_killed_ends_the_graph_of_a_worker_wherever_it_is() {
    in_runtime(2, || {
        for (victim, other) in [(here(1), there(1)), (there(1), here(1))] {
            let pilot = pilot();
            pilot
                .compile()
                .remote(vec![victim.clone(), other.clone()], 4)
                .get()?;
            assert_eq!(pilot.run().remote(1).get()?, 3);
            maser::kill(&victim);
            until(|| pilot.is_torn_down().remote().get().unwrap());
            let error = pilot.run().remote(1).get().unwrap_err();
            assert!(error.to_string().contains("maser::kill"), "{error}");
            are_free(&[&other])?;
        }
        Ok(())
    });
}

#[test]
fn a_graph_goes_with_the_worker_that_drives_it_and_its_actors_are_free() {
    in_runtime(2, || {
        let (near, far, own) = (here(1), there(1), std::process::id());
        let pids = [own, pid_of(&far)];
        let mut counts = Vec::new();
        for is_busy in [false, true, false, true] {
            let pilot = pilot();
            let stations = vec![near.clone(), far.clone()];
            pilot.compile().remote(stations, 4).get()?;
            assert_eq!(pilot.run().remote(1).get()?, 3);
            let pid = pilot.pid().remote().get()?;
            if is_busy {
                signal(pids[1], Signal::STOP);
                pilot.keep().remote(vec![1, 2]).get()?;
            }
            signal(pid, Signal::KILL);
            let error = pilot.run().remote(1).get().unwrap_err();
            assert!(matches!(error.root(), Error::ActorDied { .. }), "{error}");
            if is_busy {
                signal(pids[1], Signal::CONT);
            }
            are_free(&[&near, &far])?;
            counts.push(pids.map(mappings));
        }
        // What it took is given back, a moment later.
        let least = |at: usize| counts.iter().map(|count: &[_; 2]| count[at]).min();
        let least = [0, 1].map(|at| least(at).unwrap());
        until(|| pids.map(mappings) == least);
        Ok(())
    });
}

#[test]
fn graphs_of_a_worker_that_come_and_go_leave_no_memory_behind() {
    in_runtime(2, || {
        let (pilot, near, far) = (pilot(), here(1), there(1));
        let pids = [
            std::process::id(),
            pid_of(&far),
            pilot.pid().remote().get()?,
        ];
        let mut counts = Vec::new();
        for by_teardown in [true, false, true, false, true, false] {
            let stations = vec![near.clone(), far.clone()];
            pilot.compile().remote(stations, 4).get()?;
            assert_eq!(pilot.run().remote(1).get()?, 3);
            if by_teardown {
                pilot.teardown().remote().get()?;
            }
            pilot.let_go().remote().get()?;
            counts.push(pids.map(mappings));
        }
        let least = |at: usize| counts.iter().map(|count: &[_; 3]| count[at]).min();
        let least = [0, 1, 2].map(|at| least(at).unwrap());
        until(|| pids.map(mappings) == least);
        Ok(())
    });
}

#[test]
fn a_worker_ends_its_graph_and_the_actors_of_it() {
    in_runtime(2, || {
        let (pilot, near, far) = (pilot(), here(1), there(1));
        pilot
            .compile()
            .remote(vec![near.clone(), far.clone()], 4)
            .get()?;
        assert_eq!(pilot.run().remote(1).get()?, 3);
        pilot.teardown_and_kill().remote().get()?;
        for station in [near, far] {
            let error = loop {
                if let Err(error) = station.add().remote(1).get() {
                    break error;
                }
            };
            assert!(matches!(error.root(), Error::ActorDied { .. }), "{error}");
        }
        Ok(())
    });
}

#[test]
fn a_graph_of_a_worker_over_a_busy_actor_ends_when_that_comes_back() {
    in_runtime(2, || {
        let (pilot, far) = (pilot(), there(1));
        let pid = pid_of(&far);
        pilot.compile().remote(vec![far.clone()], 4).get()?;
        signal(pid, Signal::STOP);
        pilot.keep().remote(vec![1]).get()?;
        let ends = pilot.let_go().remote();
        signal(pid, Signal::CONT);
        ends.get()?;
        let error = pilot.kept().remote(0, 60_000).get();
        if let Err(error) = error {
            assert!(
                matches!(told(&error), Error::ChannelClosed { .. }),
                "{error}"
            );
        }
        are_free(&[&far])
    });
}
