//! A process that dies in each state of a run of a compiled graph: who is told what, and that the others
//! take a new graph at once, whether the old one was torn down or not.

use super::graph_actors::{Station, here, in_runtime, there};
use maser::prelude::*;
use rustix::process::{Pid, Signal, kill_process};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Numbers. Encoding them ends the process before the one that is `fatal`.
#[derive(Clone, Debug, PartialEq)]
struct Numbers {
    all: Vec<u64>,
    fatal: Option<usize>,
}

impl Serialize for Numbers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut numbers = serializer.serialize_seq(Some(self.all.len()))?;
        for (at, number) in self.all.iter().enumerate() {
            if self.fatal == Some(at) {
                std::process::abort();
            }
            numbers.serialize_element(number)?;
        }
        numbers.end()
    }
}

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let all = Vec::deserialize(deserializer)?;
        Ok(Self { all, fatal: None })
    }
}

/// Makes and takes numbers.
struct Source;

#[maser::actor]
impl Source {
    fn new() -> Self {
        Self
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }

    /// So many numbers; ends its process in the middle of sending them if they are `fatal`.
    fn numbers(&self, count: u64, fatal: bool) -> Numbers {
        Numbers {
            all: (0..count).map(|number| number << 40).collect(),
            fatal: fatal.then_some(count as usize / 2),
        }
    }

    fn count(&self, numbers: Numbers) -> u64 {
        numbers.all.len() as u64
    }
}

fn source() -> Actor<Source> {
    Source::options().isolation(Isolation::Process).remote()
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

fn pid_of(station: &Actor<Station>) -> u32 {
    station.pid().remote(0).get().unwrap()
}

fn names(error: &Error, words: &[&str]) {
    assert!(matches!(error.root(), Error::ActorDied { .. }), "{error:?}");
    for word in words {
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
}

/// A graph over survivors works, before and after `old` was torn down.
fn survivors_go_on(stations: &[&Actor<Station>], teardown: impl FnOnce() -> maser::Result<()>) {
    let go_on = || {
        let graph = Graph::new(|x: Node<u64>| {
            stations
                .iter()
                .fold(x, |value, station| station.add().bind(value))
        });
        let graph = graph.compile().unwrap();
        assert_eq!(
            graph.execute(0).unwrap().get().unwrap(),
            stations.len() as u64
        );
        graph
    };
    let kept = go_on();
    teardown().unwrap();
    assert_eq!(
        kept.execute(1).unwrap().get().unwrap(),
        1 + stations.len() as u64
    );
    kept.teardown().unwrap();
    go_on().teardown().unwrap();
}

#[test]
fn a_death_while_a_step_waits_for_its_input_is_told_by_the_next_run() {
    in_runtime(2, || {
        for ran_before in [false, true] {
            let (before, victim, after) = (here(1), there(0), there(1));
            let graph = Graph::new(|x: Node<u64>| {
                after.add().bind(victim.add().bind(before.add().bind(x)))
            });
            let graph = graph.compile()?;
            if ran_before {
                assert_eq!(graph.execute(1)?.get()?, 3);
            }
            let pid = pid_of(&victim);
            signal(pid, Signal::KILL);
            let error = loop {
                if let Err(error) = graph.execute(1).and_then(|result| result.get()) {
                    break error;
                }
            };
            names(&error, &["Station", "SIGKILL", &pid.to_string()]);
            survivors_go_on(&[&before, &after], || graph.teardown());
        }
        Ok(())
    });
}

#[test]
fn a_death_in_a_step_is_told_to_every_run_that_waits() {
    in_runtime(2, || {
        let (before, victim, after) = (there(1), there(0), here(1));
        let graph =
            Graph::new(|x: Node<u64>| after.add().bind(victim.sleep().bind(before.add().bind(x))));
        let graph = graph.compile()?;
        assert_eq!(graph.execute(0)?.get()?, 2);
        let pid = pid_of(&victim);
        let runs: Vec<_> = (0..3)
            .map(|_| graph.execute(3_600_000))
            .collect::<maser::Result<_>>()?;
        signal(pid, Signal::KILL);
        for run in &runs {
            names(&run.get().unwrap_err(), &["Station", "SIGKILL"]);
        }
        survivors_go_on(&[&before, &after], || graph.teardown());
        Ok(())
    });
}

#[test]
fn a_death_in_the_middle_of_a_large_value_leaves_no_half_of_it() {
    in_runtime(2, || {
        // Into the line, into the first pool of the edge, and beyond every pool there is.
        for count in [4, 1_000, 1_000_000] {
            for is_read_there in [false, true] {
                let (victim, survivor) = (source(), there(1));
                let reader = match is_read_there {
                    true => source(),
                    false => Source::remote(),
                };
                let graph = Graph::new(|(count, fatal): (Node<u64>, Node<bool>)| {
                    let numbers = victim.numbers().bind(count, fatal);
                    (reader.count().bind(numbers), survivor.add().bind(count))
                });
                let graph = graph.compile()?;
                assert_eq!(graph.execute((2, false))?.0.get()?, 2);
                let (counted, _) = graph.execute((count, true))?;
                names(&counted.get().unwrap_err(), &["SIGABRT"]);
                names(&graph.execute((1, false)).unwrap_err(), &["SIGABRT"]);
                assert_ne!(reader.pid().remote().get()?, 0);
                survivors_go_on(&[&survivor], || graph.teardown());
            }
        }
        Ok(())
    });
}

#[test]
fn a_result_that_was_there_before_the_death_is_given_after_it() {
    in_runtime(2, || {
        let (victim, survivor) = (there(1), there(1));
        let graph = Graph::new(|x: Node<u64>| survivor.add().bind(victim.add().bind(x)));
        let graph = graph.compile()?;
        let result = graph.execute(5)?;
        while !result.is_ready() {
            maser::yield_now();
        }
        let pid = pid_of(&victim);
        signal(pid, Signal::KILL);
        let error = loop {
            if let Err(error) = graph.execute(1).and_then(|later| later.get()) {
                break error;
            }
        };
        names(&error, &["Station", "SIGKILL"]);
        assert_eq!(result.get()?, 7);
        survivors_go_on(&[&survivor], || graph.teardown());
        assert_eq!(result.get()?, 7);
        Ok(())
    });
}

#[test]
fn a_death_after_a_value_was_written_and_before_it_was_read_ends_the_run() {
    in_runtime(2, || {
        // What stands in the line, and what needs a new pool that the reader has not been given.
        for count in [2, 200_000] {
            let (victim, reader, survivor) = (source(), source(), there(1));
            let graph = Graph::new(|(count, fatal): (Node<u64>, Node<bool>)| {
                let numbers = victim.numbers().bind(count, fatal);
                (reader.count().bind(numbers), survivor.add().bind(count))
            });
            let graph = graph.compile()?;
            assert_eq!(graph.execute((1, false))?.0.get()?, 1);
            let (victims, readers) = (victim.pid().remote().get()?, reader.pid().remote().get()?);
            signal(readers, Signal::STOP);
            let (counted, added) = graph.execute((count, false))?;
            assert_eq!(added.get()?, count + 1);
            // Its call comes after its step: the value is written.
            assert_eq!(victim.pid().remote().get()?, victims);
            signal(victims, Signal::KILL);
            names(&counted.get().unwrap_err(), &["Source", "SIGKILL"]);
            signal(readers, Signal::CONT);
            assert_eq!(reader.pid().remote().get()?, readers);
            survivors_go_on(&[&survivor], || graph.teardown());
        }
        Ok(())
    });
}

#[test]
fn a_death_of_a_step_is_told_to_who_has_a_handle_elsewhere() {
    in_runtime(2, || {
        let (victim, survivor) = (there(0), there(1));
        let graph = Graph::new(|x: Node<u64>| survivor.add().bind(victim.abort_at().bind(3, x)));
        let graph = graph.compile()?.into_handle();
        let user = User::options().isolation(Isolation::Process).remote();
        assert_eq!(user.run().remote(graph.clone(), 1).get()?, 2);
        for x in [3, 4] {
            let error = user.run().remote(graph.clone(), x).get().unwrap_err();
            assert!(error.to_string().contains("SIGABRT"), "{error}");
            assert!(error.to_string().contains("Station"), "{error}");
        }
        survivors_go_on(&[&survivor], || graph.teardown());
        Ok(())
    });
}

/// Executes what it is given.
struct User;

#[maser::actor]
impl User {
    fn new() -> Self {
        Self
    }

    fn run(&self, graph: GraphHandle<Node<u64>, Node<u64>>, x: u64) -> Result<u64, Error> {
        graph.execute(x)?.get()
    }
}
