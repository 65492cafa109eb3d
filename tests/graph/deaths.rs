//! An actor that is killed, in every state: every pending `get` is told who died, the others of
//! the graph answer on and take a new graph.

use std::time::Duration;

use maser::prelude::*;
use maser::{CompiledGraph, GraphRef};
use maser_tests::{both_ways, quiet, with_runtime};

use crate::actors::{Door, Worker, behind, runs, worker};

#[track_caller]
fn assert_died<T: std::fmt::Debug>(outcome: maser::Result<T>, name: &str) {
    let is_death = |error: &Error| match error.root() {
        Error::ActorDied { actor, reason } => actor.contains(name) && reason.contains("kill"),
        _ => false,
    };
    match outcome {
        Err(error) if is_death(&error) => {}
        other => panic!("no death of {name}: {other:?}"),
    }
}

fn named(name: &str, door: &Door, at: usize) -> Actor<Worker> {
    Worker::options()
        .scheduler(at)
        .name(name)
        .remote(door.clone(), crate::actors::Log::default())
}

/// The others answer calls and take a graph.
fn assert_alive(others: &[&Actor<Worker>]) -> maser::Result<()> {
    for other in others {
        assert_eq!(other.echo().remote(7).get()?, 7);
    }
    let graph = Graph::new(|x: Node<u64>| {
        others
            .iter()
            .fold(x, |value, other| other.add().bind(value, 1))
    })
    .compile()?;
    assert_eq!(graph.execute(0)?.get()?, others.len() as u64);
    Ok(())
}

#[test]
fn a_death_before_execute_is_told_by_execute() {
    both_ways(quiet(2), |_| {
        for depth in [1, 4] {
            let (a, b) = (named("first", &Door::default(), 1), worker(0));
            let graph = Graph::new(|x: Node<u64>| b.echo().bind(a.echo().bind(x)))
                .compile_with(runs(depth))?;
            assert_eq!(graph.execute(1)?.get()?, 1);
            maser::kill(&a);
            assert_died(graph.execute(2), "first");
            assert_died(graph.try_execute(2), "first");
            assert_alive(&[&b])?;
            graph.teardown()?;
        }
        Ok(())
    });
}

#[test]
fn a_death_while_the_actor_waits_for_input_is_told_by_every_get() {
    both_ways(quiet(3), |_| {
        let door = Door::default();
        let (a, victim) = (behind(&door, 1), named("victim", &Door::default(), 2));
        let graph = Graph::new(|x: Node<u64>| {
            let made = a.through().bind(x);
            (victim.echo().bind(made), made)
        })
        .compile_with(runs(4))?;
        let closed = door.close();
        let refs: Vec<_> = (0..4).map(|n| graph.execute(n)).collect::<Result<_, _>>()?;
        door.wait_for(1);
        maser::kill(&victim);
        for (end, middle) in &refs {
            assert_died(end.get(), "victim");
            assert_died(middle.get(), "victim");
        }
        drop(closed);
        assert_alive(&[&a])
    });
}

#[test]
fn a_death_in_the_middle_of_a_blocked_method_is_told_by_every_get() {
    both_ways(quiet(2), |_| {
        for depth in [1, 4] {
            for at in [0, 1] {
                let door = Door::default();
                let (victim, b) = (named("victim", &door, at), worker(0));
                let graph = Graph::new(|x: Node<u64>| b.echo().bind(victim.through().bind(x)))
                    .compile_with(runs(depth))?;
                let closed = door.close();
                let refs: Vec<_> = (0..depth as u64)
                    .map(|n| graph.execute(n))
                    .collect::<Result<_, _>>()?;
                door.wait_for(1);
                maser::kill(&victim);
                for result in &refs {
                    assert_died(result.get(), "victim");
                }
                drop(closed);
                assert_alive(&[&b])?;
            }
        }
        Ok(())
    });
}

#[test]
fn a_death_wakes_those_who_wait_already() {
    with_runtime(quiet(3), |_| {
        let door = Door::default();
        let victim = named("victim", &door, 1);
        let graph = Graph::new(|x: Node<u64>| victim.through().bind(x))
            .compile_with(runs(4))
            .unwrap();
        let closed = door.close();
        let refs: Vec<_> = (0..4).map(|n| graph.execute(n).unwrap()).collect();
        door.wait_for(1);
        std::thread::scope(|scope| {
            let waiting: Vec<_> = refs
                .iter()
                .map(|result| scope.spawn(|| result.get_timeout(Duration::from_secs(50))))
                .collect();
            let submits = scope.spawn(|| {
                // The blocked run may end, and make room, a moment before the graph does.
                graph.execute_timeout(9, Duration::from_secs(50))?.get()
            });
            let killer = kill_soon::remote(victim.clone());
            assert_died(refs[0].get_timeout(Duration::from_secs(50)), "victim");
            killer.get().unwrap();
            for thread in waiting {
                assert_died(thread.join().unwrap(), "victim");
            }
            assert_died(submits.join().unwrap(), "victim");
        });
        drop(closed);
    });
}

#[maser::task(local)]
fn kill_soon(victim: Actor<Worker>) {
    maser::sleep(Duration::from_millis(20));
    maser::kill(&victim);
}

#[test]
fn a_death_after_the_results_came_leaves_them() {
    both_ways(quiet(2), |_| {
        for depth in [1, 4] {
            let (victim, b) = (named("victim", &Door::default(), 1), worker(0));
            let graph = Graph::new(|x: Node<u64>| b.echo().bind(victim.echo().bind(x)))
                .compile_with(runs(depth))?;
            let result = graph.execute(5)?;
            while !result.is_ready() {
                maser::yield_now();
            }
            maser::kill(&victim);
            assert_eq!(result.get()?, 5);
            assert_died(graph.execute(6), "victim");
            assert_eq!(result.take()?, 5);
            assert_alive(&[&b])?;
        }
        Ok(())
    });
}

#[test]
fn a_death_is_told_by_every_graph_of_the_actor_and_by_no_other() {
    both_ways(quiet(2), |_| {
        let (victim, b) = (named("victim", &Door::default(), 1), worker(0));
        let with: Vec<CompiledGraph<Node<u64>, Node<u64>>> = (0..3)
            .map(|_| Graph::new(|x: Node<u64>| b.echo().bind(victim.echo().bind(x))).compile())
            .collect::<Result<_, _>>()?;
        let without = Graph::new(|x: Node<u64>| b.echo().bind(x)).compile()?;
        for graph in &with {
            assert_eq!(graph.execute(1)?.get()?, 1);
        }
        maser::kill(&victim);
        for graph in &with {
            assert_died(graph.execute(1), "victim");
        }
        assert_eq!(without.execute(1)?.get()?, 1);
        Ok(())
    });
}

#[test]
fn the_others_take_a_new_graph_while_the_old_one_is_still_held() {
    both_ways(quiet(2), |_| {
        let door = Door::default();
        let (victim, b, c) = (named("victim", &door, 1), worker(1), worker(0));
        let graph =
            Graph::new(|x: Node<u64>| c.echo().bind(victim.through().bind(b.echo().bind(x))))
                .compile()?;
        let closed = door.close();
        let refs: Vec<GraphRef<u64>> =
            (0..3).map(|n| graph.execute(n)).collect::<Result<_, _>>()?;
        door.wait_for(1);
        maser::kill(&victim);
        assert_alive(&[&b, &c])?;
        assert_died(refs[2].get(), "victim");
        drop(closed);
        graph.teardown()?;
        graph.teardown()
    });
}

#[test]
fn an_actor_whose_constructor_fails_ends_the_graph_with_its_reason() {
    both_ways(quiet(2), |_| {
        let stillborn = Stillborn::options().scheduler(1).remote();
        let graph = Graph::new(|x: Node<u64>| stillborn.echo().bind(x)).compile();
        let outcome = graph.and_then(|graph| graph.execute(1)?.get());
        match outcome {
            Err(error) => match error.root() {
                Error::ActorDied { actor, reason } => {
                    assert!(actor.starts_with("Stillborn"), "{actor}");
                    assert!(reason.contains("never born"), "{reason}");
                }
                other => panic!("{other:?}"),
            },
            Ok(value) => panic!("{value}"),
        }
        Ok(())
    });
}

struct Stillborn;

#[maser::actor]
impl Stillborn {
    fn new() -> Self {
        panic!("never born")
    }
    fn echo(&mut self, value: u64) -> u64 {
        value
    }
}

#[test]
fn a_graph_waits_for_an_actor_that_is_still_being_made() {
    both_ways(quiet(2), |_| {
        for at in [0, 1] {
            let door = Door::default();
            let closed = door.close();
            let slow = Slow::options().scheduler(at).remote(door.clone());
            let graph = Graph::new(|x: Node<u64>| slow.echo().bind(x)).compile()?;
            let result = graph.execute(5)?;
            door.wait_for(1);
            assert!(
                result
                    .get_timeout(Duration::from_millis(5))
                    .is_err_and(|e| e.is_timeout())
            );
            drop(closed);
            assert_eq!(result.get()?, 5);
        }
        Ok(())
    });
}

struct Slow;

#[maser::actor(local)]
impl Slow {
    fn new(door: Door) -> maser::Result<Self> {
        door.pass()?;
        Ok(Slow)
    }
    fn echo(&mut self, value: u64) -> u64 {
        value
    }
}
