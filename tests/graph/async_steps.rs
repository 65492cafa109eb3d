//! Methods that are `async fn` as steps: a run of the step is over when its future is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use maser::prelude::*;
use maser::{Cause, CompileOptions, TaskError};
use maser_tests::{both_ways, quiet, with_runtime};
use tokio::sync::Semaphore;

use crate::actors::{Log, Refused, noting, worker};

/// A run at a time over one slot, and several over rings.
fn depths() -> [CompileOptions; 2] {
    [1, 10].map(|runs| CompileOptions {
        max_inflight: Some(runs),
        ..Default::default()
    })
}

/// Futures wait for a permit that a test gives, and are counted.
#[derive(Clone)]
struct Permits {
    given: Arc<Semaphore>,
    begun: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

impl Permits {
    fn none() -> Self {
        Self {
            given: Arc::new(Semaphore::new(0)),
            begun: Arc::default(),
            dropped: Arc::default(),
        }
    }

    async fn take(&self) {
        struct Dropped<'a>(&'a AtomicUsize);
        impl Drop for Dropped<'_> {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::AcqRel);
            }
        }
        let _dropped = Dropped(&self.dropped);
        self.begun.fetch_add(1, Ordering::AcqRel);
        self.given.acquire().await.expect("never closed").forget();
    }

    fn give(&self, count: usize) {
        self.given.add_permits(count);
    }

    fn wait_until_begun(&self, count: usize) {
        while self.begun.load(Ordering::Acquire) < count {
            maser::yield_now();
        }
    }

    fn wait_until_dropped(&self, count: usize) {
        while self.dropped.load(Ordering::Acquire) < count {
            maser::yield_now();
        }
    }
}

#[maser::task]
fn plus_one(value: u64) -> u64 {
    value + 1
}

struct Waiter {
    permits: Permits,
    calls: u64,
}

#[maser::actor(local)]
impl Waiter {
    fn new(permits: Permits) -> Self {
        Waiter { permits, calls: 0 }
    }
    async fn echo(&self, value: u64) -> u64 {
        value
    }
    async fn text(&mut self, text: &str, suffix: String) -> String {
        self.calls += 1;
        format!("{text}{suffix}")
    }
    async fn after_a_task(&self, value: u64) -> maser::Result<u64> {
        plus_one::remote(value).await
    }
    async fn of_a_ref(&mut self, value: Ref<u64>) -> maser::Result<u64> {
        self.calls += 1;
        value.await
    }
    async fn after_a_nap(&self, value: u64) -> u64 {
        maser::sleep(Duration::from_millis(2));
        let value = plus_one::remote(value).await.unwrap_or_default();
        maser::sleep(Duration::from_millis(2));
        value
    }
    async fn permitted(&self, value: u64) -> u64 {
        self.permits.take().await;
        value
    }
    async fn permitted_alone(&mut self, value: u64) -> u64 {
        self.permits.take().await;
        self.calls += 1;
        value
    }
    async fn refuse(&self, value: u64, refused: u64) -> Result<u64, Refused> {
        let value = plus_one::remote(value).await.map_err(|_| Refused(0))? - 1;
        match value == refused {
            true => Err(Refused(value)),
            false => Ok(value),
        }
    }
    async fn panic(&mut self, value: u64, wrong: u64) -> u64 {
        let value = plus_one::remote(value).await.expect("it runs") - 1;
        assert!(value != wrong, "cannot stand {value}");
        value
    }
    fn calls(&self) -> u64 {
        self.calls
    }
}

fn waiter(at: usize) -> Actor<Waiter> {
    waiting_for(&Permits::none(), at)
}

fn waiting_for(permits: &Permits, at: usize) -> Actor<Waiter> {
    Waiter::options().scheduler(at).remote(permits.clone())
}

#[track_caller]
fn task_error<T: std::fmt::Debug>(outcome: maser::Result<T>) -> TaskError {
    match outcome {
        Err(Error::Task(error)) => error,
        other => panic!("no error of a task: {other:?}"),
    }
}

#[test]
fn an_async_method_is_a_step_like_another() {
    both_ways(quiet(2), |_| {
        for (at, depth) in [0, 1].into_iter().zip(depths()) {
            let waiter = waiter(at);
            let graph = Graph::new(|x: Node<u64>| waiter.echo().bind(x));
            assert_eq!(graph.execute(7)?.get()?, 7, "as an ordinary call");
            let graph = graph.compile_with(depth)?;
            for n in 0..200 {
                assert_eq!(graph.execute(n)?.get()?, n);
            }
            let text = Graph::new(|x: Node<String>| waiter.text().bind(x, "!"));
            assert_eq!(text.execute("a")?.get()?, "a!");
            assert_eq!(text.compile()?.execute("b")?.get()?, "b!");
            assert_eq!(waiter.calls().remote().get()?, 2);
        }
        Ok(())
    });
}

#[test]
fn a_step_awaits_tasks_refs_and_naps() {
    both_ways(quiet(2), |_| {
        for depth in depths() {
            for at in [0, 1] {
                let waiter = waiter(at);
                let graph = Graph::new(|(x, y): (Node<u64>, Node<Ref<u64>>)| {
                    (
                        waiter.after_a_task().bind(x),
                        waiter.of_a_ref().bind(y),
                        waiter.after_a_nap().bind(x),
                    )
                });
                let (a, b, c) = graph.execute((1, plus_one::remote(5)))?;
                assert_eq!((a.get()?, b.get()?, c.get()?), (2, 6, 2));
                let graph = graph.compile_with(depth.clone())?;
                for n in 0..10 {
                    let (a, b, c) = graph.execute((n, plus_one::remote(n * n)))?;
                    assert_eq!((a.get()?, b.get()?, c.get()?), (n + 1, n * n + 1, n + 1));
                }
            }
        }
        Ok(())
    });
}

#[test]
fn async_steps_are_chained_with_each_other_and_with_plain_ones_on_any_core() {
    both_ways(quiet(2), |_| {
        for depth in depths() {
            for homes in [[0, 0, 0], [0, 1, 0], [1, 0, 1], [1, 1, 0]] {
                let [a, c] = [homes[0], homes[2]].map(waiter);
                let b = worker(homes[1]);
                let graph = Graph::new(|x: Node<u64>| {
                    let x = a.after_a_task().bind(x);
                    let x = a.after_a_task().bind(x);
                    let x = b.add().bind(x, 10);
                    c.after_a_task().bind(plus_one::bind(x))
                })
                .compile_with(depth.clone())?;
                let runs: Vec<_> = (0..30)
                    .map(|n| match graph.try_execute(n) {
                        Err(Error::CapacityExceeded { .. }) => graph.execute(n),
                        other => other,
                    })
                    .collect::<Result<_, _>>()?;
                for (n, run) in (0..).zip(runs) {
                    assert_eq!(run.get()?, n + 14);
                }
            }
        }
        Ok(())
    });
}

#[test]
fn an_error_or_a_panic_of_a_future_is_that_of_its_run() {
    both_ways(quiet(2), |_| {
        for depth in depths() {
            let (a, b) = (waiter(1), worker(0));
            let graph =
                Graph::new(|x: Node<u64>| b.echo().bind(a.panic().bind(a.refuse().bind(x, 3), 4)));
            let error = task_error(graph.execute(3)?.get());
            assert_eq!(error.downcast_ref(), Some(&Refused(3)));
            let graph = graph.compile_with(depth)?;
            for n in 0..8 {
                let outcome = graph.execute(n)?.get();
                match n {
                    3 => {
                        let error = task_error(outcome);
                        assert_eq!(error.downcast_ref(), Some(&Refused(3)));
                        assert_eq!(error.function(), "Waiter::refuse");
                        assert_eq!(error.chain().len(), 3);
                    }
                    4 => {
                        let error = task_error(outcome);
                        assert_eq!(error.function(), "Waiter::panic");
                        assert!(
                            matches!(error.cause(), Cause::Panicked { message, location }
                                if message == "cannot stand 4" && location.contains("async_steps"))
                        );
                    }
                    n => assert_eq!(outcome?, n),
                }
            }
            assert_eq!(a.echo().remote(1).get()?, 1, "the actor lives on");
        }
        Ok(())
    });
}

#[test]
fn a_pending_future_keeps_its_run_and_nothing_else_waiting() {
    both_ways(quiet(2), |_| {
        for depth in depths() {
            for at in [0, 1] {
                let permits = Permits::none();
                let (waiter, beside) = (waiting_for(&permits, at), worker(at));
                let graph = Graph::new(|x: Node<u64>| waiter.permitted().bind(x))
                    .compile_with(depth.clone())?;
                let pending = graph.execute(1)?;
                permits.wait_until_begun(1);
                assert!(!pending.is_ready());
                // Its scheduler, its actor and other graphs on them go on.
                assert_eq!(beside.echo().remote(2).get()?, 2);
                assert_eq!(waiter.echo().remote(3).get()?, 3);
                let other = Graph::new(|x: Node<u64>| beside.add().bind(waiter.echo().bind(x), 1))
                    .compile()?;
                assert_eq!(other.execute(4)?.get()?, 5);
                let limit = Duration::from_millis(1);
                assert!(
                    pending
                        .get_timeout(limit)
                        .is_err_and(|error| error.is_timeout())
                );
                permits.give(1);
                assert_eq!(pending.get()?, 1);
            }
        }
        Ok(())
    });
}

#[test]
fn a_future_that_borrows_the_state_alone_keeps_the_actor() {
    both_ways(quiet(2), |_| {
        for at in [0, 1] {
            let permits = Permits::none();
            let waiter = waiting_for(&permits, at);
            let graph = Graph::new(|x: Node<u64>| waiter.permitted_alone().bind(x)).compile()?;
            let pending = graph.execute(1)?;
            permits.wait_until_begun(1);
            let calls = waiter.calls().remote();
            assert_eq!(worker(at).echo().remote(0).get()?, 0);
            assert!(!calls.is_ready(), "it may not read what is borrowed");
            permits.give(1);
            assert_eq!(calls.get()?, 1);
            assert_eq!(pending.get()?, 1);
        }
        Ok(())
    });
}

#[test]
fn the_steps_of_an_actor_keep_their_order_though_some_are_futures() {
    both_ways(quiet(2), |_| {
        for depth in depths() {
            let (log, permits) = (Log::default(), Permits::none());
            let (noting, waiter) = (noting(&log, 1), waiting_for(&permits, 1));
            let graph = Graph::new(|x: Node<u64>| {
                let x = noting.note().bind("before", x);
                let x = waiter.permitted().bind(x);
                noting.note().bind("after", x)
            })
            .compile_with(depth.clone())?;
            permits.give(5);
            for n in 0..5 {
                assert_eq!(graph.execute(n)?.get()?, n);
            }
            let expected: Vec<_> = (0..5)
                .flat_map(|n| [format!("before {n}"), format!("after {n}")])
                .collect();
            assert_eq!(log.lines(), expected);
        }
        Ok(())
    });
}

#[test]
fn teardown_drops_the_pending_future_and_frees_its_actor() {
    both_ways(quiet(2), |_| {
        for depth in depths() {
            for at in [0, 1] {
                let permits = Permits::none();
                let waiter = waiting_for(&permits, at);
                let graph = Graph::new(|x: Node<u64>| {
                    let x = waiter.permitted().bind(x);
                    waiter.permitted_alone().bind(x)
                })
                .compile_with(depth.clone())?;
                // In the first step, and in the second.
                let pending = graph.execute(1)?;
                permits.wait_until_begun(1);
                graph.teardown()?;
                assert!(matches!(pending.get(), Err(Error::ChannelClosed { .. })));
                permits.wait_until_dropped(1);
                let again = Graph::new(|x: Node<u64>| {
                    let x = waiter.permitted().bind(x);
                    waiter.permitted_alone().bind(x)
                })
                .compile_with(depth.clone())?;
                permits.give(1);
                let pending = again.execute(1)?;
                permits.wait_until_begun(3);
                drop(again);
                assert!(matches!(pending.get(), Err(Error::ChannelClosed { .. })));
                permits.wait_until_dropped(3);
                // It takes calls of every kind, and a new graph.
                assert_eq!(waiter.calls().remote().get()?, 0);
                let graph =
                    Graph::new(|x: Node<u64>| waiter.permitted_alone().bind(x)).compile()?;
                permits.give(1);
                assert_eq!(graph.execute(9)?.get()?, 9);
            }
        }
        Ok(())
    });
}

#[test]
fn nobody_is_told_of_a_future_that_ended_with_its_graph() {
    with_runtime(quiet(2), |_| {
        let permits = Permits::none();
        let waiter = waiting_for(&permits, 1);
        let graph = Graph::new(|x: Node<u64>| waiter.permitted().bind(x)).compile()?;
        let _pending = graph.execute(1)?;
        permits.wait_until_begun(1);
        graph.teardown()?;
        permits.wait_until_dropped(1);
        assert_eq!(waiter.echo().remote(1).get()?, 1);
        assert_eq!(maser::error_info()?.len(), 0);
        Ok::<_, Error>(())
    })
    .expect("no error");
}

#[test]
fn the_death_of_the_actor_drops_the_pending_future_and_ends_the_graph() {
    both_ways(quiet(2), |_| {
        for depth in depths() {
            for at in [0, 1] {
                let permits = Permits::none();
                let (waiter, other) = (waiting_for(&permits, at), worker(1 - at));
                let graph =
                    Graph::new(|x: Node<u64>| other.echo().bind(waiter.permitted().bind(x)))
                        .compile_with(depth.clone())?;
                let pending = graph.execute(1)?;
                permits.wait_until_begun(1);
                maser::kill(&waiter);
                let outcome = pending.get();
                assert!(
                    matches!(&outcome, Err(error) if matches!(error.root(), Error::ActorDied { .. })),
                    "{outcome:?}"
                );
                permits.wait_until_dropped(1);
                assert_eq!(other.echo().remote(7).get()?, 7);
            }
        }
        Ok(())
    });
}

#[test]
fn shutdown_drops_the_pending_future() {
    for at in [0, 1] {
        let permits = Permits::none();
        with_runtime(quiet(2), |_| {
            let waiter = waiting_for(&permits, at);
            let graph = Graph::new(|x: Node<u64>| waiter.permitted_alone().bind(x))
                .compile()
                .expect("it can run");
            let pending = graph.execute(1).expect("there is a place");
            permits.wait_until_begun(1);
            std::mem::forget(pending);
            std::mem::forget(graph);
        });
        assert_eq!(permits.dropped.load(Ordering::Acquire), 1);
    }
}

#[test]
fn what_wakes_a_future_may_come_from_any_thread_and_late() {
    both_ways(quiet(2), |_| {
        for depth in depths() {
            let permits = Permits::none();
            let waiter = waiting_for(&permits, 1);
            let graph = Graph::new(|x: Node<u64>| waiter.permitted().bind(x))
                .compile_with(depth.clone())?;
            let giver = permits.clone();
            let thread = std::thread::spawn(move || {
                for n in 1..=50 {
                    giver.wait_until_begun(n);
                    giver.give(1);
                }
            });
            for n in 0..50 {
                assert_eq!(graph.execute(n)?.get()?, n);
            }
            thread.join().expect("it gave them all");
        }
        Ok(())
    });
}
