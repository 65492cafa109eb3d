//! What users of compiled graphs elsewhere met and complained of, where no other file here is about it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{ThreadId, current};

use maser::prelude::*;
use maser_tests::{both_ways, part, quiet, rerun, with_runtime};

use crate::actors::{Door, behind};

struct Lists;

#[maser::actor]
impl Lists {
    fn new() -> Self {
        Self
    }

    fn echo(&mut self, list: Vec<u64>) -> Vec<u64> {
        list
    }

    fn append(&mut self, mut list: Vec<u64>) -> Vec<u64> {
        list.push(1);
        list
    }

    fn len(&mut self, list: Vec<u64>) -> usize {
        list.len()
    }
}

thread_local! {
    static CALLS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Keeps something with its thread.
struct Local(HashSet<ThreadId>);

#[maser::actor(local)]
impl Local {
    fn new() -> Self {
        CALLS.set(0);
        Self(HashSet::from([current().id()]))
    }

    /// How often it was called on this thread, and on how many threads it was.
    fn count(&mut self, _: u64) -> (u64, usize) {
        self.0.insert(current().id());
        CALLS.set(CALLS.get() + 1);
        (CALLS.get(), self.0.len())
    }
}

/// A value that is counted while it is there.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(there: &Arc<AtomicUsize>) -> Self {
        there.fetch_add(1, Ordering::AcqRel);
        Self(there.clone())
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Self::new(&self.0)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

struct Keeper;

#[maser::actor(local)]
impl Keeper {
    fn new() -> Self {
        Self
    }

    fn pass(&mut self, value: Counted) -> Counted {
        value
    }

    fn refuse(&mut self, _: Counted) -> Counted {
        panic!("refused")
    }
}

#[test]
fn a_step_that_changes_its_value_changes_that_of_no_other_step() {
    both_ways(quiet(2), |_| {
        for (maker, reader) in [(0, 0), (0, 1)] {
            let [maker, reader] = [maker, reader].map(|at| Lists::options().scheduler(at).remote());
            let graph = Graph::new(|list: Node<Vec<u64>>| {
                let list = maker.echo().bind(list);
                (reader.append().bind(list), reader.len().bind(list), list)
            })
            .compile()?;
            for _ in 0..3 {
                let (longer, length, same) = graph.execute(vec![])?;
                assert_eq!(
                    (longer.get()?, length.get()?, same.get()?),
                    (vec![1], 0, vec![])
                );
            }
        }
        Ok(())
    });
}

#[test]
fn constructor_calls_and_steps_of_an_actor_run_on_one_thread() {
    both_ways(quiet(2), |_| {
        for at in [0, 1] {
            let actor = Local::options().scheduler(at).remote();
            let graph = Graph::new(|x: Node<u64>| actor.count().bind(x)).compile()?;
            for n in 0..10 {
                assert_eq!(graph.execute(n)?.get()?, (2 * n + 1, 1));
                assert_eq!(actor.count().remote(n).get()?, (2 * n + 2, 1));
            }
        }
        Ok(())
    });
}

#[test]
fn ordinary_executions_of_a_graph_leave_nothing_behind() {
    both_ways(quiet(2), |_| {
        let there = Arc::new(AtomicUsize::new(0));
        let actors = [0, 1].map(|at| Keeper::options().scheduler(at).remote());
        let graph = Graph::new(|x: Node<Counted>| {
            let x = actors[0].pass().bind(x);
            (actors[1].pass().bind(x), actors[1].refuse().bind(x))
        });
        for n in 0..50 {
            let (passed, refused) = graph.execute(Counted::new(&there))?;
            if n % 3 == 0 {
                drop(passed.get()?);
                refused.get().map(drop).expect_err("it panicked");
            }
        }
        // What was called last is over when a later call of the same actor is.
        for actor in &actors {
            drop(actor.pass().remote(Counted::new(&there)).get()?);
        }
        drop(graph);
        while there.load(Ordering::Acquire) > 0 {
            maser::yield_now();
        }
        Ok(())
    });
}

#[test]
fn a_program_may_exit_while_runs_are_in_flight() {
    if part().is_some() {
        with_runtime(quiet(2), |_| -> maser::Result<()> {
            let door = Door::default();
            let closed = door.close();
            let slow = behind(&door, 1);
            let graph = Graph::new(|x: Node<u64>| slow.through().bind(x)).compile()?;
            let _refs = [graph.execute(1)?, graph.execute(2)?];
            door.wait_for(1);
            std::mem::forget(closed);
            std::process::exit(7)
        })
        .expect("it does not come back");
    }
    let test = "complaints::a_program_may_exit_while_runs_are_in_flight";
    let output = rerun(test, "exits");
    assert_eq!(output.status.code(), Some(7), "{output:?}");
}
