//! Results: in any order, again, after timeouts; refs that are dropped and refs that are held.

use std::sync::Arc;
use std::time::Duration;

use maser::prelude::*;
use maser::{CompileOptions, get_graph};
use maser_tests::{both_ways, quiet, with_runtime};

use crate::actors::{Door, behind, gated, runs, worker};

/// Long enough to be sure that what could come has come, short enough to be no burden.
const SOON: Duration = Duration::from_millis(20);

#[test]
fn a_result_can_be_had_any_number_of_times_and_then_taken() {
    both_ways(quiet(2), |_| {
        for depth in [1, 10] {
            let a = worker(1);
            let graph = Graph::new(|x: Node<String>| a.text().bind(x)).compile_with(runs(depth))?;
            let result = graph.execute("again")?;
            for _ in 0..3 {
                assert_eq!(result.get()?, "again");
            }
            assert!(result.is_ready());
            assert_eq!(graph.execute("other")?.take()?, "other");
            assert_eq!(result.take()?, "again");
        }
        Ok(())
    });
}

#[test]
fn results_can_be_had_in_any_order() {
    both_ways(quiet(2), |_| {
        let (a, b) = (worker(1), worker(0));
        let graph = Graph::new(|x: Node<u64>| b.add().bind(a.add().bind(x, 1), 1))
            .compile_with(runs(10))?;
        for order in [[3, 1, 0, 2], [3, 2, 1, 0], [0, 3, 2, 1]] {
            let refs: Vec<_> = (0..4).map(|n| graph.execute(n)).collect::<Result<_, _>>()?;
            for at in order {
                assert_eq!(refs[at].get()?, at as u64 + 2);
            }
        }
        Ok(())
    });
}

#[test]
fn outputs_of_one_run_can_be_had_in_any_order_and_time() {
    both_ways(quiet(2), |_| {
        let (a, b) = (worker(0), worker(1));
        let graph =
            Graph::new(|x: Node<u64>| (a.add().bind(x, 1), b.add().bind(x, 2))).compile()?;
        let runs: Vec<_> = (0..5).map(|n| graph.execute(n)).collect::<Result<_, _>>()?;
        for (n, (_, second)) in [0, 1, 2, 3, 4].into_iter().zip(&runs).rev() {
            assert_eq!(second.get()?, n + 2);
        }
        for (n, (first, _)) in (0..).zip(&runs) {
            assert_eq!(first.get()?, n + 1);
        }
        Ok(())
    });
}

#[test]
fn a_get_that_timed_out_can_be_repeated() {
    both_ways(quiet(2), |_| {
        for depth in [1, 10] {
            let (door, graph) = gated(runs(depth))?;
            let closed = door.close();
            let result = graph.execute(5)?;
            for _ in 0..3 {
                match result.get_timeout(SOON) {
                    Err(Error::Timeout {
                        what,
                        from_whom,
                        waited,
                        knob,
                    }) => {
                        assert_eq!(what, "the result of run 0");
                        assert!(from_whom.contains("Worker#"), "{from_whom}");
                        assert_eq!(waited, SOON);
                        assert!(!knob.is_empty());
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert!(!result.is_ready());
            drop(closed);
            assert_eq!(result.get()?, 5);
        }
        Ok(())
    });
}

#[test]
fn a_timeout_of_zero_looks_once() {
    both_ways(quiet(2), |_| {
        let (door, graph) = gated(CompileOptions::default())?;
        let closed = door.close();
        let result = graph.execute(5)?;
        assert!(
            result
                .get_timeout(Duration::ZERO)
                .is_err_and(|error| error.is_timeout())
        );
        drop(closed);
        while !result.is_ready() {
            maser::yield_now();
        }
        assert_eq!(result.get_timeout(Duration::ZERO)?, 5);
        Ok(())
    });
}

#[test]
fn after_a_timeout_of_one_output_no_later_result_is_shifted() {
    // Two outputs a run and three runs in flight; the get of one output of run 1 times out while
    // the other output's results are there. Ray 2.60.0 gives shifted results for ever after.
    both_ways(quiet(2), |_| {
        for homes in [[0, 1], [1, 0], [0, 0], [1, 1]] {
            let door = Door::default();
            let (quick, slow) = (worker(homes[0]), behind(&door, homes[1]));
            let graph = Graph::new(|x: Node<u64>| {
                (
                    quick.echo().bind(x),
                    slow.through().bind(slow.add().bind(x, 100)),
                )
            })
            .compile_with(runs(3))?;
            let closed = door.close();
            let refs: Vec<_> = (0..3).map(|n| graph.execute(n)).collect::<Result<_, _>>()?;
            let (quick_1, slow_1) = &refs[1];
            assert!(
                slow_1
                    .get_timeout(SOON)
                    .is_err_and(|error| error.is_timeout())
            );
            // On one scheduler the quick step of run 1 comes behind the blocked step of run 0.
            let early = quick_1.get_timeout(SOON);
            assert!(
                early.as_ref().is_ok_and(|value| *value == 1) || early.unwrap_err().is_timeout()
            );
            assert!(graph.try_execute(3).is_err(), "three runs are in flight");
            drop(closed);
            for (n, (quick, slow)) in (0..).zip(&refs) {
                assert_eq!((quick.get()?, slow.get()?), (n, n + 100));
            }
            for n in 10..30 {
                let (quick, slow) = graph.execute(n)?;
                assert_eq!((slow.get()?, quick.get()?), (n + 100, n));
            }
        }
        Ok(())
    });
}

#[test]
fn a_ref_that_is_dropped_before_its_result_arrives_shifts_nothing() {
    both_ways(quiet(2), |_| {
        for depth in [4, 16] {
            let (door, graph) = gated(runs(depth))?;
            let closed = door.close();
            let mut refs: Vec<Option<_>> = (0..4)
                .map(|n| graph.execute(n).map(Some))
                .collect::<Result<_, _>>()?;
            (refs[0], refs[2]) = (None, None);
            drop(closed);
            assert_eq!(refs[3].as_ref().expect("kept").get()?, 3);
            assert_eq!(refs[1].as_ref().expect("kept").get()?, 1);
            for n in 10..30 {
                assert_eq!(graph.execute(n)?.get()?, n);
            }
        }
        Ok(())
    });
}

#[test]
fn a_ref_that_is_dropped_after_its_result_arrived_shifts_nothing() {
    both_ways(quiet(2), |_| {
        let a = worker(1);
        let graph = Graph::new(|x: Node<u64>| a.echo().bind(x)).compile_with(runs(4))?;
        for round in 0..20 {
            let mut refs: Vec<_> = (0..4)
                .map(|n| graph.execute(10 * round + n))
                .collect::<Result<_, _>>()?;
            while !refs[3].is_ready() {
                maser::yield_now();
            }
            drop(refs.remove(1));
            assert_eq!(get_graph(&refs)?, [0, 2, 3].map(|n| 10 * round + n));
        }
        Ok(())
    });
}

#[test]
fn runs_whose_refs_are_all_dropped_make_room_for_more() {
    both_ways(quiet(2), |_| {
        let (a, b) = (worker(1), worker(0));
        let graph = Graph::new(|x: Node<u64>| (a.count().bind(x), b.echo().bind(x)))
            .compile_with(runs(2))?;
        for n in 0..200 {
            drop(graph.execute(n)?);
        }
        assert_eq!(graph.execute(0)?.0.get()?, 201);
        Ok(())
    });
}

#[test]
fn held_results_stall_no_run() {
    both_ways(quiet(2), |_| {
        for depth in [1, 2] {
            let (a, b) = (worker(1), worker(0));
            let graph = Graph::new(|x: Node<Arc<Vec<u64>>>| {
                hold::bind(x, a.count().bind(b.echo().bind(0)))
            })
            .compile_with(runs(depth))?;
            let mut held = Vec::new();
            for n in 1..=300_u64 {
                let result = graph.execute(Arc::new(vec![n; 100]))?;
                held.push((result.get()?, result));
            }
            for (n, (value, result)) in (1..).zip(&held) {
                assert_eq!((value[0], value[100]), (n, n));
                assert_eq!(result.get()?[0], n);
            }
        }
        Ok(())
    });
}

#[maser::task(local)]
fn hold(values: Arc<Vec<u64>>, last: u64) -> Arc<Vec<u64>> {
    let mut values = values.to_vec();
    values.push(last);
    Arc::new(values)
}

#[test]
fn what_was_dropped_is_freed_at_once_and_the_rest_at_teardown() {
    with_runtime(quiet(2), |_| {
        let keeper = worker(1);
        let graph = Graph::new(|x: Node<Arc<u64>>| pass::bind(x, keeper.echo().bind(1)))
            .compile_with(runs(4))
            .unwrap();
        let value = Arc::new(5);
        let (kept, dropped) = (
            graph.execute(value.clone()).unwrap(),
            graph.execute(value.clone()).unwrap(),
        );
        let (unasked, taken) = (
            graph.execute(value.clone()).unwrap(),
            graph.execute(value.clone()).unwrap(),
        );
        assert_eq!(*kept.get().unwrap(), 5);
        assert_eq!(*taken.take().unwrap(), 5);
        drop(dropped);
        assert_eq!(
            Arc::strong_count(&value),
            3,
            "`value` and the results of `kept` and `unasked`"
        );
        drop(graph);
        assert_eq!(*unasked.get().unwrap(), 5, "what arrived stays to be had");
        drop((kept, unasked));
        assert_eq!(Arc::strong_count(&value), 1);
    });
}

#[maser::task(local)]
fn pass(value: Arc<u64>, _order: u64) -> Arc<u64> {
    value
}

#[test]
fn a_ref_tells_its_run_and_whether_it_is_ready() {
    with_runtime(quiet(2), |_| {
        let (door, graph) = gated(CompileOptions::default()).unwrap();
        let closed = door.close();
        let refs: Vec<_> = (0..3).map(|n| graph.execute(n).unwrap()).collect();
        assert!(refs.iter().map(maser::GraphRef::run).eq(0..3));
        let name = format!("GraphRef({:016x}, run=2)", graph.id());
        assert_eq!(refs[2].to_string(), name);
        assert_eq!(format!("{:?}", refs[2]), format!("{name} of u64, pending"));
        drop(closed);
        refs[2].get().unwrap();
        assert_eq!(format!("{:?}", refs[2]), format!("{name} of u64, ready"));
        assert!(refs[0].is_ready(), "results come in the order of the runs");
    });
}
