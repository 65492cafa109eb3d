//! The order of an actor's steps, and actors that take part in several graphs.

use maser::get_graph;
use maser::prelude::*;
use maser_tests::{both_ways, quiet, with_runtime};

use crate::actors::{Door, Log, behind, noting, runs, worker};

#[test]
fn an_actor_runs_its_steps_in_bind_order_and_a_run_before_the_next() {
    both_ways(quiet(2), |_| {
        let log = Log::default();
        let a = noting(&log, 1);
        let graph = Graph::new(|x: Node<u64>| {
            (
                a.note().bind("first", x),
                a.note().bind("second", x),
                a.note().bind("third", x),
            )
        })
        .compile_with(runs(4))?;
        let refs: Vec<_> = (0..4).map(|n| graph.execute(n)).collect::<Result<_, _>>()?;
        for (n, (a, b, c)) in refs.into_iter().enumerate() {
            assert_eq!([a.get()?, b.get()?, c.get()?], [n as u64; 3]);
        }
        let expected: Vec<String> = (0..4)
            .flat_map(|n| ["first", "second", "third"].map(|name| format!("{name} {n}")))
            .collect();
        assert_eq!(log.lines(), expected);
        Ok(())
    });
}

#[test]
fn bind_order_holds_with_steps_of_other_actors_between() {
    both_ways(quiet(4), |_| {
        for others in [[1, 1], [0, 0], [2, 3], [0, 2]] {
            let log = Log::default();
            let a = noting(&log, 1);
            let [b, c] = others.map(worker);
            let graph = Graph::new(|x: Node<u64>| {
                let first = a.note().bind("first", x);
                let second = a.note().bind("second", b.add().bind(first, 1));
                a.note().bind("third", c.add().bind(second, 1))
            })
            .compile_with(runs(4))?;
            let refs: Vec<_> = (0..4)
                .map(|n| graph.execute(10 * n))
                .collect::<Result<_, _>>()?;
            for (n, result) in (0..).zip(&refs) {
                assert_eq!(result.get()?, 10 * n + 2);
            }
            let expected: Vec<String> = (0..4)
                .flat_map(|n| {
                    let steps = ["first", "second", "third"];
                    (0..)
                        .zip(steps)
                        .map(move |(at, name)| format!("{name} {}", 10 * n + at))
                })
                .collect();
            assert_eq!(log.lines(), expected, "others on {others:?}");
        }
        Ok(())
    });
}

#[test]
fn a_step_waits_for_the_steps_that_were_bound_before_it_even_if_its_inputs_are_there() {
    // The second step of `a` needs nothing from the first, whose input comes late.
    for places in [
        [0, 1, 2, 3],
        [0, 0, 0, 0],
        [1, 2, 3, 3],
        [1, 0, 1, 0],
        [0, 1, 0, 1],
    ] {
        with_runtime(quiet(4), |_| {
            let (log, door) = (Log::default(), Door::default());
            let (a, late) = (noting(&log, places[0]), behind(&door, places[1]));
            let (b, c) = (worker(places[2]), worker(places[3]));
            let graph = Graph::new(|x: Node<u64>| {
                let first = a.note().bind("first", late.through().bind(x));
                let quick = c.echo().bind(b.echo().bind(x));
                (first, a.note().bind("second", quick))
            })
            .compile_with(runs(3))
            .unwrap();
            let closed = door.close();
            let refs: Vec<_> = (0..3).map(|n| graph.execute(n).unwrap()).collect();
            // What the second step reads has had its time to arrive.
            door.wait_for(1);
            c.echo().remote(0).get().unwrap();
            drop(closed);
            for (n, (first, second)) in (0..).zip(&refs) {
                assert_eq!((first.get().unwrap(), second.get().unwrap()), (n, n));
            }
            let expected: Vec<String> = (0..3)
                .flat_map(|n| ["first", "second"].map(|name| format!("{name} {n}")))
                .collect();
            assert_eq!(log.lines(), expected, "{places:?}");
        });
    }
}

#[test]
fn several_graphs_of_one_actor_take_turns_and_keep_their_own_results() {
    both_ways(quiet(2), |_| {
        let (a, b) = (worker(1), worker(0));
        let graphs: Vec<_> = (0..5)
            .map(|n| {
                Graph::new(|x: Node<u64>| b.add().bind(a.add().bind(x, 1000 * n), 1)).compile()
            })
            .collect::<Result<_, _>>()?;
        let refs: Vec<Vec<_>> = (0..8)
            .map(|run| {
                graphs
                    .iter()
                    .map(|graph| graph.execute(run))
                    .collect::<Result<_, _>>()
            })
            .collect::<Result<_, _>>()?;
        for (run, refs) in [0, 1, 2, 3, 4, 5, 6, 7].into_iter().zip(&refs).rev() {
            let expected: Vec<u64> = (0..5).map(|n| 1000 * n + run + 1).collect();
            assert_eq!(get_graph(refs)?, expected);
        }
        Ok(())
    });
}

#[test]
fn plain_calls_and_runs_of_a_graph_share_an_actor() {
    both_ways(quiet(2), |_| {
        for at in [0, 1] {
            let a = worker(at);
            let graph = Graph::new(|x: Node<u64>| a.count().bind(x)).compile()?;
            let mut seen = Vec::new();
            for _ in 0..50 {
                let (by_call, by_run) = (a.count().remote(0), graph.execute(0)?);
                let (again, late) = (graph.execute(0)?, a.count().remote(0));
                seen.extend([by_call.get()?, by_run.get()?, again.get()?, late.get()?]);
            }
            seen.sort_unstable();
            assert_eq!(
                seen,
                (1..=200).collect::<Vec<_>>(),
                "every call counted once"
            );
        }
        Ok(())
    });
}

#[test]
fn a_step_does_not_enter_an_actor_whose_method_is_blocked() {
    both_ways(quiet(2), |_| {
        for at in [0, 1] {
            let door = Door::default();
            let a = behind(&door, at);
            let graph = Graph::new(|x: Node<u64>| a.count().bind(x)).compile()?;
            let closed = door.close();
            let blocked = a.through().remote(5);
            door.wait_for(1);
            let run = graph.execute(0)?;
            let refused = run.get_timeout(std::time::Duration::from_millis(20));
            assert!(refused.is_err_and(|error| error.is_timeout()));
            drop(closed);
            assert_eq!((blocked.get()?, run.get()?), (5, 1));
        }
        Ok(())
    });
}

#[test]
fn a_plain_call_does_not_enter_an_actor_whose_step_is_blocked() {
    both_ways(quiet(2), |_| {
        for at in [0, 1] {
            let door = Door::default();
            let a = behind(&door, at);
            let graph = Graph::new(|x: Node<u64>| a.through().bind(x)).compile()?;
            let closed = door.close();
            let run = graph.execute(5)?;
            door.wait_for(1);
            let call = a.count().remote(0);
            let refused = call.get_timeout(std::time::Duration::from_millis(20));
            assert!(refused.is_err_and(|error| error.is_timeout()));
            drop(closed);
            assert_eq!((run.get()?, call.get()?), (5, 1));
        }
        Ok(())
    });
}

#[test]
fn runs_are_pipelined_across_actors() {
    with_runtime(quiet(3), |_| {
        let (front, back) = (Door::default(), Door::default());
        let (a, b) = (behind(&front, 1), behind(&back, 2));
        let graph = Graph::new(|x: Node<u64>| b.through().bind(a.through().bind(x)))
            .compile_with(runs(4))
            .unwrap();
        let closed = back.close();
        let refs: Vec<_> = (0..4).map(|n| graph.execute(n).unwrap()).collect();
        // The first actor is through with every run while the second still has the first one.
        front.wait_for(4);
        back.wait_for(1);
        drop(closed);
        assert_eq!(get_graph(&refs).unwrap(), [0, 1, 2, 3]);
    });
}

#[test]
fn one_actor_may_be_in_a_graph_a_hundred_times() {
    both_ways(quiet(2), |_| {
        let log = Log::default();
        let (a, b) = (noting(&log, 1), worker(0));
        let graph = Graph::new(|x: Node<u64>| {
            (0..100).fold(x, |value, step| {
                let next = if step % 3 == 0 {
                    b.add().bind(value, 1)
                } else {
                    value
                };
                a.note().bind("a", next)
            })
        })
        .compile()?;
        assert_eq!(graph.execute(0)?.get()?, 34);
        assert_eq!(log.lines().len(), 100);
        let values: Vec<u64> = log
            .lines()
            .iter()
            .map(|line| line[2..].parse().expect("a number"))
            .collect();
        assert!(values.is_sorted());
        Ok(())
    });
}
