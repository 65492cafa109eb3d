//! Who may execute a graph: any thread, several at once, tasks, methods and futures; and steps
//! that wait for other tasks and actors.

use std::sync::Arc;
use std::time::Duration;

use maser::prelude::*;
use maser::{Ref, Timeout, get_graph};
use maser_tests::{beside_runtime, both_ways, quiet, with_runtime};

use crate::actors::{Door, Worker, gated, runs, worker};

type Sum = CompiledGraph<Node<u64>, Node<u64>>;

/// Adds 1 on scheduler 1 and 1 on scheduler 0.
fn plus_two(max_inflight: usize) -> maser::Result<Sum> {
    let (a, b) = (worker(1), worker(0));
    Graph::new(|x: Node<u64>| b.add().bind(a.add().bind(x, 1), 1)).compile_with(runs(max_inflight))
}

#[test]
fn several_threads_may_execute_one_graph_at_once() {
    beside_runtime(quiet(2), |_| {
        for depth in [1, 3, 64] {
            let graph = plus_two(depth).unwrap();
            let (graph, threads) = (&graph, 4);
            std::thread::scope(|scope| {
                for thread in 0..threads {
                    scope.spawn(move || {
                        for n in 0..200 {
                            let input = 1000 * thread + n;
                            let result = graph.execute(input).unwrap();
                            assert_eq!(result.get().unwrap(), input + 2);
                        }
                    });
                }
            });
            assert_eq!(graph.execute(0).unwrap().run(), 200 * threads);
        }
    });
}

#[test]
fn a_ref_may_be_fetched_by_another_thread_and_by_several() {
    beside_runtime(quiet(2), |_| {
        let (door, graph) = gated(CompileOptions::default()).unwrap();
        let closed = door.close();
        let refs: Arc<Vec<_>> = Arc::new((0..5).map(|n| graph.execute(n).unwrap()).collect());
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let refs = refs.clone();
                std::thread::spawn(move || get_graph(&refs).unwrap())
            })
            .collect();
        door.wait_for(1);
        drop(closed);
        for thread in threads {
            assert_eq!(thread.join().unwrap(), [0, 1, 2, 3, 4]);
        }
    });
}

#[maser::task(local)]
fn run_it(graph: Arc<Sum>, input: u64) -> maser::Result<u64> {
    graph.execute(input)?.get()
}

#[test]
fn tasks_may_execute_a_graph() {
    both_ways(quiet(2), |_| {
        for depth in [1, 2, 16] {
            let graph = Arc::new(plus_two(depth)?);
            let refs: Vec<Ref<u64>> = (0..40).map(|n| run_it::remote(graph.clone(), n)).collect();
            assert_eq!(maser::get(&refs)?, (2..42).collect::<Vec<_>>());
        }
        Ok(())
    });
}

/// Runs graphs inside its methods.
struct Runner {
    graph: Arc<Sum>,
}

#[maser::actor(local)]
impl Runner {
    fn new(graph: Arc<Sum>) -> Self {
        Self { graph }
    }
    fn run(&mut self, input: u64) -> maser::Result<u64> {
        self.graph.execute(input)?.get()
    }
    fn run_many(&mut self, input: u64) -> maser::Result<u64> {
        let refs: Vec<_> = (0..5)
            .map(|n| self.graph.execute(input + n))
            .collect::<Result<_, _>>()?;
        Ok(get_graph(&refs)?.into_iter().sum())
    }
    fn compile_and_run(&mut self, input: u64) -> maser::Result<u64> {
        let result = plus_two(1)?.execute(input)?;
        // The graph is gone by now; its results that arrived are not.
        match result.get() {
            Err(Error::ChannelClosed { .. }) => Ok(0),
            other => other,
        }
    }
}

#[test]
fn methods_may_execute_a_graph_and_be_steps_of_another() {
    both_ways(quiet(2), |_| {
        for at in [0, 1] {
            let inner = Arc::new(plus_two(2)?);
            let runner = Runner::options().scheduler(at).remote(inner.clone());
            assert_eq!(runner.run().remote(1).get()?, 3);
            assert_eq!(runner.run_many().remote(10).get()?, 70);
            assert!([0, 9].contains(&runner.compile_and_run().remote(7).get()?));
            let outer = Graph::new(|x: Node<u64>| runner.run().bind(runner.run_many().bind(x)));
            assert_eq!(outer.execute(0)?.get()?, 22);
            let outer = outer.compile()?;
            let refs: Vec<_> = (0..5).map(|n| outer.execute(n)).collect::<Result<_, _>>()?;
            assert_eq!(get_graph(&refs)?, [22, 27, 32, 37, 42]);
        }
        Ok(())
    });
}

#[maser::task]
fn fibonacci(n: u64) -> maser::Result<u64> {
    if n < 2 {
        return Ok(n);
    }
    let (a, b) = (fibonacci::remote(n - 1), fibonacci::remote(n - 2));
    Ok(a.get()? + b.get()?)
}

/// Asks others inside its methods.
struct Asker {
    other: Actor<Worker>,
}

#[maser::actor(local)]
impl Asker {
    fn new(other: Actor<Worker>) -> Self {
        Self { other }
    }
    fn ask(&mut self, value: u64) -> maser::Result<u64> {
        self.other.add().remote(value, 1000).get()
    }
    fn ask_tasks(&mut self, value: u64) -> maser::Result<u64> {
        let refs: Vec<_> = (0..4).map(|_| fibonacci::remote(value)).collect();
        Ok(maser::get(&refs)?.into_iter().sum())
    }
}

#[test]
fn steps_may_wait_for_tasks_and_for_other_actors() {
    both_ways(quiet(2), |_| {
        for [first, second, other] in [[0, 0, 0], [0, 1, 0], [1, 1, 1], [1, 0, 1], [0, 0, 1]] {
            let other = worker(other);
            let a = Asker::options().scheduler(first).remote(other.clone());
            let b = Asker::options().scheduler(second).remote(other.clone());
            let graph = Graph::new(|x: Node<u64>| {
                let asked = a.ask_tasks().bind(x);
                (b.ask().bind(asked), other.echo().bind(asked))
            })
            .compile_with(runs(5))?;
            let refs: Vec<_> = (5..10)
                .map(|n| graph.execute(n))
                .collect::<Result<_, _>>()?;
            for (result, fibonacci) in refs.iter().zip([5, 8, 13, 21, 34]) {
                assert_eq!(result.0.get()?, 4 * fibonacci + 1000);
                assert_eq!(result.1.get()?, 4 * fibonacci);
            }
        }
        Ok(())
    });
}

#[maser::task]
fn nested(n: u64) -> maser::Result<u64> {
    fibonacci::remote(n).get()
}

#[test]
fn a_task_that_is_a_node_may_wait_for_tasks() {
    for schedulers in [1, 2, 4] {
        with_runtime(quiet(schedulers), |_| {
            let graph = Graph::new(|x: Node<u64>| (nested::bind(x), nested::bind(x)))
                .compile_with(runs(4))
                .unwrap();
            let refs: Vec<_> = (6..10).map(|n| graph.execute(n).unwrap()).collect();
            for ((a, b), expected) in refs.iter().zip([8, 13, 21, 34]) {
                assert_eq!((a.get().unwrap(), b.get().unwrap()), (expected, expected));
            }
        });
    }
}

#[test]
fn futures_submit_and_wait_under_any_executor() {
    beside_runtime(quiet(2), |_| {
        let graph = plus_two(2).unwrap();
        pollster::block_on(async {
            for n in 0..20 {
                assert_eq!(graph.execute_async(n).await?.await?, n + 2);
            }
            Ok::<_, Error>(())
        })
        .unwrap();
        let graph = Arc::new(graph);
        let executor = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .unwrap();
        executor.block_on(async {
            let tasks: Vec<_> = (0..50_u64)
                .map(|n| {
                    let graph = graph.clone();
                    tokio::spawn(async move { graph.execute_async(n).await?.await })
                })
                .collect();
            for (n, task) in (0..).zip(tasks) {
                assert_eq!(task.await.unwrap().unwrap(), n + 2);
            }
        });
    });
}

#[test]
fn a_future_that_is_dropped_has_submitted_nothing_and_lost_nothing() {
    beside_runtime(quiet(2), |_| {
        let (door, graph) = gated(runs(1)).unwrap();
        let closed = door.close();
        pollster::block_on(async {
            let first = graph.execute_async(1).await.unwrap();
            // Polled once, then dropped.
            let full = poll_once(graph.execute_async(2)).await;
            assert!(full.is_none());
            drop(closed);
            assert_eq!(first.await.unwrap(), 1);
            assert_eq!(graph.execute_async(3).await.unwrap().await.unwrap(), 3);
        });
        assert_eq!(
            graph.execute(4).unwrap().run(),
            2,
            "runs 0 and 1 were all there were"
        );
    });
}

/// What the future gives at the first look.
async fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match future.as_mut().poll(context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

/// Made from a value that may come late.
struct Late {
    value: u64,
}

#[maser::actor]
impl Late {
    fn new(value: u64) -> Self {
        Self { value }
    }
    fn sum(&mut self, other: u64) -> u64 {
        self.value + other
    }
}

#[maser::task(local)]
fn ask_late(late: Actor<Late>) -> maser::Result<u64> {
    late.sum().remote(1).get()
}

#[maser::task(local)]
fn behind_door(door: Door) -> maser::Result<u64> {
    door.pass()?;
    Ok(10)
}

#[test]
fn calls_and_steps_that_come_before_the_constructor_wait_for_it() {
    both_ways(quiet(2), |_| {
        for at in [0, 1] {
            let door = Door::default();
            let closed = door.close();
            let value = behind_door::remote(door.clone());
            let late = Late::options().scheduler(at).remote(value);
            let asked: Vec<_> = [0, 1]
                .map(|from| ask_late::options().scheduler(from).remote(late.clone()))
                .into();
            let graph = Graph::new(|x: Node<u64>| late.sum().bind(x)).compile()?;
            let run = graph.execute(2)?;
            let soon = Duration::from_millis(5);
            assert!(run.get_timeout(soon).is_err_and(|error| error.is_timeout()));
            assert!(asked.iter().all(|answer| !answer.is_ready()));
            drop(closed);
            assert_eq!((maser::get(&asked)?, run.get()?), (vec![11, 11], 12));
        }
        Ok(())
    });
}

#[test]
fn a_method_that_waits_for_its_own_step_gets_an_error_and_all_goes_on() {
    with_runtime(quiet(2), |_| {
        for at in [0, 1] {
            let own = Own::options().scheduler(at).remote();
            let options = CompileOptions {
                get_timeout: Some(Timeout::After(Duration::from_millis(30))),
                ..Default::default()
            };
            let graph = Graph::new(|x: Node<u64>| own.step().bind(x));
            let graph = Arc::new(graph.compile_with(options).unwrap());
            let error = own.run().remote(graph.clone()).get().unwrap_err();
            // What it says depends on who comes first: the step that waits for its turn, or the limit.
            let text = error.to_string();
            let is_round = text.contains("Own::step waits for Own waits for Own::run");
            let is_late = error.is_timeout() && text.contains("a graph of Own#");
            assert!(is_round || is_late, "{error}");
            assert_eq!(graph.execute(2).unwrap().get().unwrap(), 2);
        }
    });
}

/// Waits in a method for a run whose step it is itself.
struct Own;

#[maser::actor(local)]
impl Own {
    fn new() -> Self {
        Own
    }
    fn step(&mut self, value: u64) -> u64 {
        value
    }
    fn run(&mut self, graph: Arc<Sum>) -> maser::Result<u64> {
        graph.execute(1)?.get()
    }
}
