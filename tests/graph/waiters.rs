//! Those who wait when a graph ends: futures, threads and tasks are all told, whatever they wait
//! for.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use maser::prelude::*;
use maser::{CompileOptions, CompiledGraph, Timeout};
use maser_tests::{beside_runtime, both_ways, quiet, with_runtime};

use crate::actors::{Door, Worker, behind};

type Through = CompiledGraph<Node<u64>, Node<u64>>;

/// A graph of `worker` alone that waits for ever.
fn patient(worker: &Actor<Worker>, max_inflight: usize) -> maser::Result<Through> {
    Graph::new(|x: Node<u64>| worker.through().bind(x)).compile_with(CompileOptions {
        max_inflight: Some(max_inflight),
        submit_timeout: Some(Timeout::Never),
        get_timeout: Some(Timeout::Never),
        ..Default::default()
    })
}

/// How a graph may end while others wait.
#[derive(Clone, Copy, Debug)]
enum End {
    Kill,
    Teardown,
}

impl End {
    const ALL: [End; 2] = [End::Kill, End::Teardown];

    fn come(self, worker: &Actor<Worker>, graph: &Through) {
        match self {
            End::Kill => maser::kill(worker),
            End::Teardown => graph.teardown().unwrap(),
        }
    }

    #[track_caller]
    fn assert_told<T: std::fmt::Debug>(self, outcome: maser::Result<T>) {
        let error = outcome.expect_err("the graph ended");
        let is_it = match self {
            End::Kill => matches!(error.root(), Error::ActorDied { .. }),
            End::Teardown => matches!(error.root(), Error::ChannelClosed { .. }),
        };
        assert!(is_it, "{self:?}: {error}");
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

#[test]
fn pending_futures_are_woken_and_told() {
    beside_runtime(quiet(2), |_| {
        for end in End::ALL {
            let door = Door::default();
            let a = behind(&door, 1);
            let graph = patient(&a, 1).unwrap();
            let closed = door.close();
            let wakes = Arc::new(Wakes::default());
            let waker = Waker::from(wakes.clone());
            let mut context = Context::from_waker(&waker);
            let result = graph.execute(1).unwrap();
            door.wait_for(1);
            let mut result = pin!(result.into_future());
            let mut submit = pin!(graph.execute_async(2));
            assert!(result.as_mut().poll(&mut context).is_pending());
            assert!(submit.as_mut().poll(&mut context).is_pending());
            assert_eq!(wakes.0.load(Ordering::Acquire), 0);
            end.come(&a, &graph);
            while wakes.0.load(Ordering::Acquire) == 0 {
                maser::yield_now();
            }
            match (
                result.as_mut().poll(&mut context),
                submit.as_mut().poll(&mut context),
            ) {
                (Poll::Ready(result), Poll::Ready(submit)) => {
                    end.assert_told(result);
                    end.assert_told(submit);
                }
                other => panic!("{end:?}: {other:?}"),
            }
            drop(closed);
        }
    });
}

#[test]
fn threads_that_wait_for_ever_are_told() {
    beside_runtime(quiet(2), |_| {
        for end in End::ALL {
            let door = Door::default();
            let a = behind(&door, 1);
            let graph = patient(&a, 3).unwrap();
            let closed = door.close();
            let refs: Vec<_> = (0..3).map(|n| graph.execute(n).unwrap()).collect();
            door.wait_for(1);
            std::thread::scope(|scope| {
                let gets = refs.iter().map(|result| scope.spawn(|| result.get()));
                let gets: Vec<_> = gets.collect();
                let submit = scope.spawn(|| graph.execute(9)?.get());
                end.come(&a, &graph);
                for get in gets {
                    end.assert_told(get.join().unwrap());
                }
                end.assert_told(submit.join().unwrap());
            });
            drop(closed);
        }
    });
}

#[maser::task(local)]
fn wait_for_run(graph: Arc<Through>, input: u64) -> maser::Result<u64> {
    graph.execute(input)?.get()
}

#[test]
fn tasks_that_wait_for_ever_are_told_on_every_scheduler() {
    both_ways(quiet(2), |_| {
        for end in End::ALL {
            for at in [0, 1] {
                let door = Door::default();
                let a = behind(&door, at);
                let graph = Arc::new(patient(&a, 2)?);
                let closed = door.close();
                // Two wait for their results, the others for a place.
                let waiting: Vec<_> = (0..6)
                    .map(|n| {
                        let options = wait_for_run::options().scheduler(n % 2).num_cpus(0);
                        options.remote(graph.clone(), n as u64)
                    })
                    .collect();
                door.wait_for(1);
                end.come(&a, &graph);
                for task in waiting {
                    end.assert_told(task.get());
                }
                drop(closed);
            }
        }
        Ok(())
    });
}

#[test]
fn a_timeout_holds_on_the_scheduler_that_is_to_run_the_step() {
    with_runtime(quiet(1), |_| {
        for depth in [1, 4] {
            let door = Door::default();
            let a = behind(&door, 0);
            let graph = patient(&a, depth).unwrap();
            let closed = door.close();
            let result = graph.execute(5).unwrap();
            for _ in 0..3 {
                let refused = result.get_timeout(Duration::from_millis(5));
                assert!(refused.is_err_and(|error| error.is_timeout()));
            }
            drop(closed);
            assert_eq!(result.get().unwrap(), 5);
        }
    });
}

/// Ends itself, or the graph's other actor, in a step.
struct Killer {
    victim: Option<Actor<Worker>>,
}

#[maser::actor(local)]
impl Killer {
    fn new() -> Self {
        Self { victim: None }
    }
    fn aim(&mut self, victim: Actor<Worker>) {
        self.victim = Some(victim);
    }
    fn kill(&mut self, value: u64) -> u64 {
        if let Some(victim) = self.victim.take() {
            maser::kill(&victim);
        }
        value
    }
}

#[test]
fn a_step_may_kill_another_actor_of_its_graph() {
    both_ways(quiet(2), |_| {
        for [killer, victim] in [[0, 1], [1, 0], [0, 0], [1, 1]] {
            let door = Door::default();
            let victim = behind(&door, victim);
            let killer = Killer::options().scheduler(killer).remote();
            killer.aim().remote(victim.clone()).get()?;
            let graph = Graph::new(|x: Node<u64>| {
                let killed = killer.kill().bind(x);
                victim.add().bind(killed, victim.echo().bind(x))
            })
            .compile()?;
            let outcome = graph.execute(1)?.get();
            End::Kill.assert_told(outcome);
            End::Kill.assert_told(graph.execute(2).and_then(|result| result.get()));
            assert_eq!(killer.kill().remote(7).get()?, 7);
        }
        Ok(())
    });
}

#[test]
fn inline_mode_runs_graphs_too() {
    let config = Config::new().num_cpus(1).mode(Mode::Inline);
    both_ways(config, |_| {
        let door = Door::default();
        let (a, b) = (behind(&door, 0), behind(&door, 0));
        let graph = Graph::new(|x: Node<u64>| b.add().bind(a.through().bind(x), 1));
        assert_eq!(graph.execute(1)?.get()?, 2);
        let graph = graph.compile()?;
        for n in 0..5 {
            assert_eq!(graph.execute(n)?.get()?, n + 1);
        }
        Ok(())
    });
}

#[test]
fn a_future_that_is_polled_often_keeps_one_waker_and_takes_it_along() {
    beside_runtime(quiet(2), |_| {
        let door = Door::default();
        let a = behind(&door, 1);
        let graph = patient(&a, 1).unwrap();
        let closed = door.close();
        let [wakes, others] = [(); 2].map(|()| Arc::new(Wakes::default()));
        let [waker, other] = [&wakes, &others].map(|wakes| Waker::from(wakes.clone()));
        let mut result = Box::pin(graph.execute(1).unwrap().into_future());
        let mut submit = Box::pin(graph.execute_async(2));
        // A waker that was replaced is not kept.
        for waker in [&other, &waker] {
            let mut context = Context::from_waker(waker);
            for _ in 0..1000 {
                assert!(result.as_mut().poll(&mut context).is_pending());
                assert!(submit.as_mut().poll(&mut context).is_pending());
            }
        }
        // One is ours, one the variable `waker`'s, one each of the futures.
        assert_eq!(Arc::strong_count(&wakes), 4);
        assert_eq!(Arc::strong_count(&others), 2);
        drop(result);
        assert_eq!(Arc::strong_count(&wakes), 3);
        drop(submit);
        assert_eq!(Arc::strong_count(&wakes), 2);
        drop(closed);
        // Nobody is left to be woken, and nothing was submitted by the second one.
        assert_eq!(graph.execute(3).unwrap().run(), 1);
        assert_eq!(wakes.0.load(Ordering::Acquire), 0);
    });
}
