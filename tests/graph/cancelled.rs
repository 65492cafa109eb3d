//! Futures that are dropped: at every await point, and under several executors. Nothing is lost,
//! nothing leaks, and no later result is shifted.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use maser::prelude::*;
use maser::{CompileOptions, Ready, select_async, wait_async};
use maser_tests::{beside_runtime, quiet};

use crate::actors::{Door, Worker, behind};

/// Short, for what never comes.
const SOON: Duration = Duration::from_millis(10);

/// How many values live.
#[derive(Clone, Default)]
struct Census(Arc<AtomicUsize>);

impl Census {
    fn alive(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

/// A value that is counted.
struct Token {
    number: u64,
    census: Census,
}

impl Token {
    fn new(number: u64, census: &Census) -> Self {
        census.0.fetch_add(1, Ordering::AcqRel);
        Token {
            number,
            census: census.clone(),
        }
    }
}

impl Clone for Token {
    fn clone(&self) -> Self {
        Token::new(self.number, &self.census)
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.census.0.fetch_sub(1, Ordering::AcqRel);
    }
}

struct Gate {
    door: Door,
}

#[maser::actor(local)]
impl Gate {
    fn new(door: Door) -> Self {
        Gate { door }
    }
    fn pass(&mut self, token: Token) -> maser::Result<Token> {
        self.door.pass()?;
        Ok(token)
    }
}

type Tokens = CompiledGraph<Node<Token>, Node<Token>>;

/// A graph whose runs wait before a door.
struct Bench {
    door: Door,
    census: Census,
    graph: Tokens,
    depth: usize,
}

impl Bench {
    fn new(depth: usize) -> Self {
        let door = Door::default();
        let gate = Gate::options().scheduler(1).remote(door.clone());
        let graph = Graph::new(|token: Node<Token>| gate.pass().bind(token));
        let options = CompileOptions {
            max_inflight: Some(depth),
            ..Default::default()
        };
        Bench {
            door,
            census: Census::default(),
            graph: graph.compile_with(options).unwrap(),
            depth,
        }
    }

    fn token(&self, number: u64) -> Token {
        Token::new(number, &self.census)
    }

    /// With the door open: as many runs as there are places give what is theirs, and then nothing is
    /// left but what `held` says.
    #[track_caller]
    fn assert_whole(&self, round: u64, held: usize) {
        let runs: Vec<_> = (0..self.depth as u64)
            .map(|n| self.graph.execute(self.token(1000 * round + n)).unwrap())
            .collect();
        for (n, run) in (0..).zip(&runs) {
            assert_eq!(run.get().unwrap().number, 1000 * round + n);
        }
        drop(runs);
        assert_eq!(self.graph.free_capacity(), self.depth);
        // The last result may be on its way from the step's own hands still.
        while self.census.alive() != held {
            std::thread::yield_now();
        }
    }
}

/// What a pending future rings.
#[derive(Default)]
struct Alarm {
    rang: Mutex<bool>,
    rings: Condvar,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        *self.rang.lock().unwrap() = true;
        self.rings.notify_all();
    }
}

impl Alarm {
    /// Waits until it rings, if it has not since the last poll.
    fn wait(&self) {
        let rang = self.rang.lock().unwrap();
        drop(self.rings.wait_while(rang, |rang| !*rang).unwrap());
    }
}

/// Polls so often, each time after `between`; what it gave if it came to its end.
fn polled<F: Future>(
    future: F,
    polls: usize,
    mut between: impl FnMut(usize, &Alarm),
) -> Option<F::Output> {
    let alarm = Arc::<Alarm>::default();
    let waker = Waker::from(alarm.clone());
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    for poll in 0..polls {
        between(poll, &alarm);
        *alarm.rang.lock().unwrap() = false;
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
    }
    None
}

/// The same for every number of polls, until the future comes to its end.
fn each_await(mut once: impl FnMut(usize) -> bool) {
    let ended = (0..50).position(&mut once);
    assert!(ended.is_some_and(|polls| polls >= 2), "{ended:?}");
}

#[test]
fn a_run_that_is_given_up_at_any_await_leaves_the_graph_whole() {
    beside_runtime(quiet(2), |_| {
        for depth in [1, 3] {
            let bench = Bench::new(depth);
            each_await(|polls| {
                let mut closed = Some(bench.door.close());
                // No place is free at first.
                let mut before: Vec<_> = (0..depth as u64)
                    .map(|n| bench.graph.execute(bench.token(n)).unwrap())
                    .collect();
                let run = async {
                    let result = bench.graph.execute_async(bench.token(77)).await?;
                    Ok::<u64, Error>(result.await?.number)
                };
                let outcome = polled(run, polls, |poll, alarm| match poll {
                    // Then one is, and then the result comes.
                    2 => {
                        closed = None;
                        before[0].get().unwrap();
                        closed = Some(bench.door.close());
                    }
                    4 => {
                        closed = None;
                        before.drain(..).for_each(|run| drop(run.get().unwrap()));
                    }
                    _ if poll > 4 => alarm.wait(),
                    _ => {}
                });
                drop(closed);
                drop(before);
                bench.assert_whole(polls as u64, 0);
                match outcome {
                    Some(outcome) => {
                        assert_eq!(outcome.unwrap(), 77);
                        true
                    }
                    None => false,
                }
            });
            bench.graph.teardown().unwrap();
            assert_eq!(bench.census.alive(), 0);
        }
    });
}

#[test]
fn a_ref_that_is_only_borrowed_keeps_its_result_at_any_await() {
    beside_runtime(quiet(2), |_| {
        let bench = Bench::new(2);
        each_await(|polls| {
            let mut closed = Some(bench.door.close());
            let result = bench.graph.execute(bench.token(5)).unwrap();
            let outcome = polled(async { (&result).await }, polls, |poll, alarm| match poll {
                2 => closed = None,
                _ if poll > 2 => alarm.wait(),
                _ => {}
            });
            drop(closed);
            // Whether it was given up or not, the ref has it, any number of times.
            assert_eq!(result.get().unwrap().number, 5);
            assert_eq!(result.get().unwrap().number, 5);
            let ended = outcome.is_some();
            drop(outcome);
            drop(result);
            bench.assert_whole(polls as u64, 0);
            ended
        });
    });
}

#[test]
fn a_run_whose_input_is_still_to_come_is_given_up_at_any_await() {
    beside_runtime(quiet(2), |_| {
        let (first, second) = (Bench::new(2), Bench::new(1));
        each_await(|polls| {
            let mut closed = Some(first.door.close());
            let input = first.graph.execute(first.token(9)).unwrap();
            let run = async {
                let result = second.graph.execute_async(input).await?;
                let again = second.graph.execute_async(result).await?;
                Ok::<u64, Error>(again.await?.number)
            };
            let outcome = polled(run, polls, |poll, alarm| match poll {
                2 => closed = None,
                _ if poll > 2 => alarm.wait(),
                _ => {}
            });
            drop(closed);
            // In this order: what came from the first lies in the second until that is looked at.
            second.assert_whole(polls as u64, 0);
            first.assert_whole(polls as u64, 0);
            outcome.is_some_and(|outcome| outcome.unwrap() == 9)
        });
    });
}

#[test]
fn readiness_that_is_given_up_at_any_await_loses_nothing() {
    beside_runtime(quiet(2), |_| {
        let (one, two) = (Bench::new(2), Bench::new(2));
        each_await(|polls| {
            let mut closed = Some((one.door.close(), two.door.close()));
            let runs = [
                one.graph.execute(one.token(1)).unwrap(),
                two.graph.execute(two.token(2)).unwrap(),
            ];
            let put = maser::put(3_u64);
            let both = async {
                let all: [&dyn Ready; 2] = [&runs[0], &runs[1]];
                let first = select_async(&all).await?;
                wait_async(&runs, 2).await?;
                let with_put: [&dyn Ready; 3] = [&put, &runs[0], &runs[1]];
                Ok::<_, Error>((first < 2, wait_async(&with_put, 3).await?.0.len()))
            };
            let outcome = polled(both, polls, |poll, alarm| match poll {
                1 => {
                    if let Some((at_one, at_two)) = closed.take() {
                        drop(at_one);
                        runs[0].get().unwrap();
                        closed = Some((one.door.close(), at_two));
                    }
                }
                3 => closed = None,
                _ if poll > 3 => alarm.wait(),
                _ => {}
            });
            drop(closed);
            let values = maser::get_graph(&runs).unwrap().map(|token| token.number);
            assert_eq!(values, [1, 2]);
            drop(runs);
            one.assert_whole(polls as u64, 0);
            two.assert_whole(polls as u64, 0);
            outcome.is_some_and(|outcome| outcome.unwrap() == (true, 3))
        });
    });
}

type Through = CompiledGraph<Node<u64>, Node<u64>>;

fn gate(door: &Door) -> (Actor<Worker>, Arc<Through>) {
    let worker = behind(door, 1);
    let graph = Graph::new(|x: Node<u64>| worker.through().bind(x)).compile();
    (worker, Arc::new(graph.unwrap()))
}

/// A timeout beside a result, under an executor with this clock; the result is not lost by it.
async fn after_a_timeout<T: Future>(
    graph: &Through,
    door: &Door,
    timeout: impl Fn() -> T,
) -> maser::Result<u64> {
    let closed = door.close();
    let result = graph.execute_async(4).await?;
    for _ in 0..3 {
        let (mut asked, mut timeout) = (pin!((&result).into_future()), pin!(timeout()));
        let came = std::future::poll_fn(|context| {
            if let Poll::Ready(value) = asked.as_mut().poll(context) {
                return Poll::Ready(Some(value));
            }
            timeout.as_mut().poll(context).map(|_| None)
        });
        assert!(came.await.is_none(), "the door is closed");
    }
    drop(closed);
    let first = (&result).await?;
    assert_eq!(graph.execute_async(first + 1).await?.await?, 5);
    result.await
}

#[test]
fn a_timeout_beside_a_result_loses_nothing_under_tokio() {
    beside_runtime(quiet(2), |_| {
        let door = Door::default();
        let (_worker, graph) = gate(&door);
        let builders = [
            tokio::runtime::Builder::new_current_thread(),
            tokio::runtime::Builder::new_multi_thread(),
        ];
        for mut builder in builders {
            let executor = builder.worker_threads(2).enable_time().build().unwrap();
            let sleep = || tokio::time::sleep(SOON);
            let given = executor.block_on(async {
                let given = after_a_timeout(&graph, &door, sleep).await;
                // Tasks that are aborted wherever they are.
                let tasks: Vec<_> = (0..40_u64)
                    .map(|n| {
                        let graph = graph.clone();
                        tokio::spawn(async move { graph.execute_async(n).await?.await })
                    })
                    .collect();
                tokio::task::yield_now().await;
                for (n, task) in (0_u64..).zip(tasks) {
                    if n % 3 == 0 {
                        task.abort();
                    }
                    match task.await {
                        Ok(value) => assert_eq!(value.unwrap(), n),
                        Err(error) => assert!(error.is_cancelled(), "{error}"),
                    }
                }
                given
            });
            assert_eq!(given.unwrap(), 4);
            assert_eq!(graph.execute(8).unwrap().get().unwrap(), 8);
            assert_eq!(graph.free_capacity(), graph.max_inflight());
        }
    });
}

#[test]
fn runs_are_submitted_and_awaited_under_the_executor_of_smol() {
    beside_runtime(quiet(2), |_| {
        let door = Door::default();
        let (_worker, graph) = gate(&door);
        let executor = async_executor::Executor::new();
        // This executor has no clock: so many turns of its own.
        let turns = || async {
            for _ in 0..20 {
                yield_once().await;
            }
        };
        let given = pollster::block_on(executor.run(async {
            let given = after_a_timeout(&graph, &door, turns).await?;
            let tasks: Vec<_> = (0..40_u64)
                .map(|n| {
                    let graph = graph.clone();
                    executor.spawn(async move { graph.execute_async(n).await?.await })
                })
                .collect();
            for (n, task) in (0_u64..).zip(tasks) {
                match n % 3 {
                    // Dropping a task of this executor gives it up.
                    0 => drop(task),
                    _ => assert_eq!(task.await?, n),
                }
            }
            Ok::<u64, Error>(given)
        }));
        assert_eq!(given.unwrap(), 4);
        drop(executor);
        assert_eq!(graph.execute(8).unwrap().get().unwrap(), 8);
        assert_eq!(graph.free_capacity(), graph.max_inflight());
    });
}

#[test]
fn runs_are_submitted_and_awaited_without_any_executor_to_speak_of() {
    beside_runtime(quiet(2), |_| {
        let door = Door::default();
        let (_worker, graph) = gate(&door);
        let given = pollster::block_on(after_a_timeout(&graph, &door, yield_once));
        assert_eq!(given.unwrap(), 4);
    });
}

/// Pending once, and woken at once.
fn yield_once() -> impl Future<Output = ()> {
    let mut is_second = false;
    std::future::poll_fn(move |context| {
        if std::mem::replace(&mut is_second, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
}
