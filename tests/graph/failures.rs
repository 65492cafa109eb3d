//! Errors and panics of steps: they are values of their run, and the graph goes on.

use maser::prelude::*;
use maser::{Cause, TaskError};
use maser_tests::{both_ways, quiet, with_runtime};

use crate::actors::{Refused, runs, worker};

#[track_caller]
fn task_error<T: std::fmt::Debug>(outcome: maser::Result<T>) -> TaskError {
    match outcome {
        Err(Error::Task(error)) => error,
        other => panic!("no error of a task: {other:?}"),
    }
}

#[test]
fn an_error_reaches_every_output_with_the_chain_of_steps() {
    both_ways(quiet(2), |_| {
        let (a, b, c) = (worker(1), worker(0), worker(1));
        let graph = Graph::new(|x: Node<u64>| {
            let refused = a.refuse().bind(x, 3);
            let passed = b.add().bind(1, refused);
            (c.echo().bind(passed), refused, c.add().bind(x, 1))
        })
        .compile_with(runs(4))?;
        let (end, middle, beside) = graph.execute(3)?;
        let error = task_error(end.get());
        assert_eq!(error.downcast_ref::<Refused>(), Some(&Refused(3)));
        assert_eq!(error.function(), "Worker::refuse");
        assert!(
            error
                .actor()
                .is_some_and(|actor| actor.starts_with("Worker#"))
        );
        let chain: Vec<_> = error
            .chain()
            .iter()
            .map(|frame| (frame.function.as_str(), frame.argument))
            .collect();
        let expected = [
            ("Worker::echo", Some(0)),
            ("Worker::add", Some(1)),
            ("Worker::refuse", None),
        ];
        assert_eq!(chain, expected);
        let error = task_error(middle.get());
        assert_eq!(
            (error.chain().len(), error.downcast_ref()),
            (1, Some(&Refused(3)))
        );
        assert_eq!(beside.get()?, 4, "what does not read it is not concerned");
        // Again and again, and then taken.
        assert_eq!(task_error(end.get()).downcast_ref(), Some(&Refused(3)));
        assert_eq!(task_error(end.take()).downcast_ref(), Some(&Refused(3)));
        Ok(())
    });
}

#[test]
fn a_panic_is_an_error_with_its_place_and_the_actor_lives_on() {
    both_ways(quiet(2), |_| {
        for depth in [1, 4] {
            let (a, b) = (worker(1), worker(0));
            let graph = Graph::new(|x: Node<u64>| b.echo().bind(a.panic().bind(x, 3)))
                .compile_with(runs(depth))?;
            let error = task_error(graph.execute(3)?.get());
            match error.cause() {
                Cause::Panicked { message, location } => {
                    assert_eq!(message, "cannot stand 3");
                    assert!(location.contains("actors.rs"), "{location}");
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(error.function(), "Worker::panic");
            assert_eq!(graph.execute(4)?.get()?, 4);
            assert_eq!(a.count().remote(0).get()?, 1);
        }
        Ok(())
    });
}

#[test]
fn errors_of_some_runs_shift_no_result_of_others() {
    both_ways(quiet(2), |_| {
        for depth in [1, 3, 16] {
            let (a, b) = (worker(1), worker(0));
            let graph = Graph::new(|x: Node<u64>| {
                let odd = a.panic().bind(a.refuse().bind(x, 5), 6);
                (b.add().bind(odd, 100), b.echo().bind(x))
            })
            .compile_with(runs(depth))?;
            for _ in 0..5 {
                let refs: Vec<_> = (0..10)
                    .map(|n| graph.execute(n))
                    .collect::<Result<_, _>>()?;
                for (n, (sum, same)) in (0..).zip(refs) {
                    assert_eq!(same.get()?, n);
                    match n {
                        5 => assert_eq!(task_error(sum.get()).downcast_ref(), Some(&Refused(5))),
                        6 => assert!(matches!(
                            task_error(sum.get()).cause(),
                            Cause::Panicked { .. }
                        )),
                        n => assert_eq!(sum.get()?, n + 100),
                    }
                }
            }
        }
        Ok(())
    });
}

#[test]
fn a_graph_on_one_scheduler_goes_on_after_an_error() {
    with_runtime(quiet(1), |_| {
        let (a, b) = (worker(0), worker(0));
        let graph = Graph::new(|x: Node<u64>| b.add().bind(a.refuse().bind(x, 1), 1))
            .compile()
            .unwrap();
        for n in 0..6 {
            let outcome = graph.execute(n % 3).unwrap().get();
            if n % 3 == 1 {
                assert_eq!(task_error(outcome).downcast_ref(), Some(&Refused(1)));
            } else {
                assert_eq!(outcome.unwrap(), n % 3 + 1);
            }
        }
    });
}

#[test]
fn of_two_errors_the_first_argument_counts() {
    with_runtime(quiet(2), |_| {
        let (a, b) = (worker(1), worker(0));
        let graph = Graph::new(|x: Node<u64>| {
            let (left, right) = (a.refuse().bind(x, 1), b.panic().bind(x, 1));
            a.add().bind(left, right)
        })
        .compile()
        .unwrap();
        let error = task_error(graph.execute(1).unwrap().get());
        assert_eq!(
            (error.function(), error.chain()[0].argument),
            ("Worker::refuse", Some(0))
        );
        assert_eq!(graph.execute(2).unwrap().get().unwrap(), 4);
    });
}

#[test]
fn an_uncompiled_graph_fails_in_the_same_words() {
    with_runtime(quiet(2), |_| {
        let (a, b) = (worker(1), worker(0));
        let graph = Graph::new(|x: Node<u64>| b.add().bind(7, a.refuse().bind(x, 1)));
        let written = task_error(graph.execute(1).unwrap().get());
        let compiled = task_error(graph.compile().unwrap().execute(1).unwrap().get());
        assert_eq!(written.chain(), compiled.chain());
        assert_eq!(written.to_string(), compiled.to_string());
    });
}

#[maser::task]
fn refuse(value: u64) -> Result<u64, Refused> {
    Err(Refused(value))
}

#[test]
fn an_error_of_a_task_that_is_a_node_is_told_in_the_same_way() {
    with_runtime(quiet(2), |_| {
        let a = worker(1);
        let graph = Graph::new(|x: Node<u64>| refuse::bind(a.echo().bind(x)))
            .compile()
            .unwrap();
        let error = task_error(graph.execute(8).unwrap().get());
        assert_eq!((error.function(), error.actor()), ("refuse", None));
        assert_eq!(error.downcast_ref(), Some(&Refused(8)));
    });
}

/// Panics when it is cloned, unless it is 0.
struct Touchy(u64);

impl Clone for Touchy {
    fn clone(&self) -> Self {
        assert_eq!(self.0, 0, "do not clone me");
        Self(0)
    }
}

struct Scale;

#[maser::actor(local)]
impl Scale {
    fn new() -> Self {
        Scale
    }
    fn make(&mut self, value: u64) -> Touchy {
        Touchy(value)
    }
    fn weigh(&mut self, value: Touchy) -> u64 {
        value.0 + 1
    }
}

#[track_caller]
fn assert_cloned_badly<T: std::fmt::Debug>(outcome: maser::Result<T>) {
    match task_error(outcome).cause() {
        Cause::Panicked { message, .. } => {
            assert!(message.contains("do not clone me"), "{message}")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_value_that_panics_when_it_is_cloned_fails_its_own_run() {
    both_ways(quiet(2), |_| {
        for homes in [[0, 0, 0], [1, 1, 1], [1, 0, 1], [0, 1, 1], [0, 0, 1]] {
            let [a, b, c] = homes.map(|at| Scale::options().scheduler(at).remote());
            let made = Graph::new(|x: Node<u64>| {
                let touchy = a.make().bind(x);
                vec![b.weigh().bind(touchy), c.weigh().bind(touchy)]
            })
            .compile_with(runs(4))?;
            for _ in 0..3 {
                let refs = made.execute(7)?;
                assert!(refs.iter().any(|result| result.get().is_err()), "{homes:?}");
                refs.into_iter()
                    .filter(|result| result.get().is_err())
                    .for_each(|result| {
                        assert_cloned_badly(result.get());
                    });
                assert_eq!(maser::get_graph(&made.execute(0)?)?, [1, 1]);
            }
        }
        Ok(())
    });
}

#[test]
fn an_input_that_panics_when_it_is_cloned_fails_its_own_run() {
    both_ways(quiet(2), |_| {
        for homes in [[0, 0], [1, 1], [1, 0], [0, 1]] {
            let [b, c] = homes.map(|at| Scale::options().scheduler(at).remote());
            let given = Graph::new(|touchy: Node<Touchy>| {
                vec![b.weigh().bind(touchy), c.weigh().bind(touchy)]
            })
            .compile_with(runs(4))?;
            for _ in 0..3 {
                let refs = given.execute(Touchy(7))?;
                refs.into_iter()
                    .filter(|result| result.get().is_err())
                    .for_each(|result| {
                        assert_cloned_badly(result.get());
                    });
                assert_eq!(maser::get_graph(&given.execute(Touchy(0))?)?, [1, 1]);
            }
        }
        Ok(())
    });
}
