//! Compiled graphs whose steps run in processes of their own: what flows through them.

use maser::prelude::*;
use maser::{CompileOptions, GraphRef};

use crate::graph_actors::{Point, Station, here, in_runtime, there};

fn depth(max_inflight: usize) -> CompileOptions {
    CompileOptions {
        max_inflight: Some(max_inflight),
        ..Default::default()
    }
}

#[test]
fn a_graph_runs_in_another_process() {
    in_runtime(1, || {
        let station = there(7);
        let graph = Graph::new(|x: Node<u64>| (station.add().bind(x), station.pid().bind(x)));
        let graph = graph.compile()?;
        for x in 0..200 {
            let (sum, pid) = graph.execute(x)?;
            assert_eq!(sum.get()?, x + 7);
            assert_ne!(pid.get()?, std::process::id());
        }
        graph.teardown()
    });
}

#[test]
fn one_step_in_another_process_answers_on_its_line() {
    in_runtime(1, || {
        let station = there(1);
        for max_inflight in [1, 3, 16] {
            let graph = Graph::new(|x: Node<u64>| station.add().bind(x));
            let graph = graph.compile_with(depth(max_inflight))?;
            let mut refs: Vec<GraphRef<u64>> = Vec::new();
            for x in 0..300_u64 {
                if refs.len() == max_inflight {
                    let first = refs.remove(0);
                    assert_eq!(first.get()?, x - max_inflight as u64 + 1);
                }
                refs.push(graph.execute(x)?);
            }
            graph.teardown()?;
        }
        Ok(())
    });
}

#[test]
fn a_value_goes_from_thread_to_process_to_thread() {
    in_runtime(2, || {
        let (first, second, third) = (here(1), there(10), here(100));
        let graph = Graph::new(|x: Node<u64>| {
            let x = first.add().bind(x);
            let y = second.add().bind(x);
            third.add().bind(y)
        });
        let graph = graph.compile_with(depth(8))?;
        let refs: Vec<_> = (0..8).map(|x| graph.execute(x)).collect::<Result<_, _>>()?;
        for (x, answer) in (0..8).zip(refs) {
            assert_eq!(answer.get()?, x + 111);
        }
        graph.teardown()
    });
}

#[test]
fn a_value_goes_from_process_to_process() {
    in_runtime(1, || {
        let stations = [there(1), there(10), there(100)];
        let graph = Graph::new(|x: Node<u64>| {
            let sum = stations.iter().fold(x, |x, at| at.add().bind(x));
            (
                sum,
                stations[0].pid().bind(sum),
                stations[2].pid().bind(sum),
            )
        });
        let graph = graph.compile_with(depth(4))?;
        for x in 0..100 {
            let (sum, first, last) = graph.execute(x)?;
            assert_eq!(sum.get()?, x + 111);
            assert_ne!(first.get()?, last.get()?);
        }
        graph.teardown()
    });
}

#[test]
fn steps_of_one_actor_run_in_their_order_and_runs_after_each_other() {
    in_runtime(1, || {
        let (log, other) = (there(0), there(0));
        let graph = Graph::new(|x: Node<u64>| {
            let a = log.note().bind(x, 0);
            let b = other.add().bind(a);
            log.note().bind(b, 1)
        });
        let graph = graph.compile_with(depth(4))?;
        for x in (0..40).step_by(4) {
            let refs: Vec<_> = (x..x + 4)
                .map(|x| graph.execute(x))
                .collect::<Result<_, _>>()?;
            for (x, answer) in (x..).zip(refs) {
                assert_eq!(answer.get()?, x);
            }
        }
        graph.teardown()?;
        let notes = log.notes().remote().get()?;
        let wanted: Vec<(u64, u8)> = (0..40).flat_map(|x| [(x, 0), (x, 1)]).collect();
        assert_eq!(notes, wanted);
        Ok(())
    });
}

#[test]
fn inputs_constants_and_outputs_of_several_types_come_through() {
    in_runtime(2, || {
        let (near, far) = (here(0), there(5));
        let graph = Graph::new(
            |(text, count, point): (Node<String>, Node<u64>, Node<Point>)| {
                let long = far.repeat().bind(text, count);
                let both = far.describe().bind(long, "and".to_owned(), point);
                let again = near.describe().bind(both, "back".to_owned(), point);
                (
                    long,
                    far.mirror().bind(point),
                    again,
                    far.nothing().bind(count),
                )
            },
        );
        let graph = graph.compile_with(depth(2))?;
        for count in [0, 1, 5, 100, 5_000, 3] {
            let point = Point { x: 1.5, y: -2.0 };
            let (long, mirrored, again, nothing) = graph.execute(("ab", count, point))?;
            let text = "ab".repeat(count as usize);
            assert_eq!(long.get()?, text);
            assert_eq!(mirrored.get()?, Point { x: -2.0, y: 1.5 });
            assert_eq!(again.get()?, format!("{text} and 1.5/-2 back 1.5/-2"));
            nothing.get()?;
        }
        graph.teardown()
    });
}

#[test]
fn a_graph_without_input_runs_there_too() {
    in_runtime(1, || {
        let station = there(3);
        let graph = Graph::new(|(): ()| (station.next().bind(), station.next().bind()));
        let graph = graph.compile()?;
        for run in 0..20 {
            let (a, b) = graph.execute(())?;
            assert_eq!((a.get()?, b.get()?), (3 + 2 * run, 4 + 2 * run));
        }
        graph.teardown()
    });
}

#[test]
fn an_error_and_a_panic_there_are_errors_of_their_runs_alone() {
    in_runtime(2, || {
        let (far, last) = (there(0), here(1));
        let graph = Graph::new(|x: Node<u64>| {
            let made = far.fails_at_3_and_4().bind(x);
            (last.add().bind(made), there_again().add().bind(made))
        });
        let graph = graph.compile_with(depth(2))?;
        for x in 0..8 {
            let (near, again) = graph.execute(x)?;
            for outcome in [near.get(), again.get()] {
                match x {
                    3 => {
                        let error = outcome.unwrap_err().to_string();
                        assert!(error.contains("no 3"), "{error}");
                        assert!(error.contains("fails_at_3_and_4"), "{error}");
                    }
                    4 => {
                        let error = outcome.unwrap_err().to_string();
                        assert!(error.contains("no 4 at all"), "{error}");
                    }
                    _ => assert_eq!(outcome?, x + 1),
                }
            }
        }
        graph.teardown()
    });
}

fn there_again() -> Actor<Station> {
    there(1)
}

#[test]
fn async_steps_wait_there() {
    in_runtime(1, || {
        let station = there(2);
        let graph = Graph::new(|x: Node<u64>| {
            let y = station.later().bind(x);
            station.later_alone().bind(y)
        });
        let graph = graph.compile_with(depth(3))?;
        let refs: Vec<_> = (0..3).map(|x| graph.execute(x)).collect::<Result<_, _>>()?;
        for (x, answer) in (0..).zip(refs) {
            assert_eq!(answer.get()?, x + 4);
        }
        graph.teardown()
    });
}

#[test]
fn values_of_many_mebibytes_come_through_in_order() {
    in_runtime(1, || {
        let (first, second) = (there(0), there(0));
        let graph = Graph::new(|text: Node<String>| second.turn().bind(first.turn().bind(text)));
        let graph = graph.compile_with(depth(3))?;
        for megabytes in [0, 1, 3, 0, 8, 1] {
            let mut refs = Vec::new();
            for run in 0..3 {
                let text = format!("{run} in its place, ").repeat(megabytes * 60_000 + 1);
                refs.push((graph.execute(text.clone())?, text));
            }
            for (answer, text) in refs {
                assert!(answer.get()? == text, "{megabytes} MB");
            }
        }
        graph.teardown()
    });
}

#[test]
fn two_graphs_share_an_actor_in_another_process() {
    in_runtime(1, || {
        let station = there(10);
        let add = Graph::new(|x: Node<u64>| station.add().bind(x)).compile()?;
        let next = Graph::new(|(): ()| station.next().bind()).compile()?;
        for x in 0..50 {
            let (sum, count) = (add.execute(x)?, next.execute(())?);
            assert_eq!(count.get()?, x + 10);
            assert_eq!(sum.get()?, x + 10);
            assert_eq!(station.add().remote(1).get()?, 11);
        }
        add.teardown()?;
        assert_eq!(next.execute(())?.get()?, 60);
        next.teardown()
    });
}
