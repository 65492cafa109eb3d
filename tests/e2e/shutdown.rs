//! Shutdown while there is work of every kind.

use std::sync::Mutex;

use maser::{Actor, Error, Maser, Ref, RefStream};
use maser_shm::arena::pool;
use maser_tests::{alone, quiet};

use crate::program::{
    Echo, Keeper, double, everything_is_refused, gets, sleeps, takes, trickles, two,
};
use crate::support::{Count, Gate, gate, held};

fn was_shut_down<T: std::fmt::Debug>(result: maser::Result<T>) {
    let error = result.expect_err("the runtime is shut down");
    assert!(matches!(error.root(), Error::ShutDown { .. }), "{error:?}");
}

/// Everything that can be pending.
struct Pending {
    /// Waits for what never comes.
    stuck: Vec<Ref<u64>>,
    /// Queued behind a method that waits; may have its turn when that one is told to end.
    behind: Vec<Ref<u64>>,
    stream: RefStream<u64>,
    keepers: Vec<Actor<Keeper>>,
}

impl Pending {
    fn new(count: &Count, gate: &Gate) -> Self {
        let never = held::remote(gate.clone(), 1);
        let keepers: Vec<_> = (0..3).map(|_| Keeper::remote()).collect();
        let mut stuck = vec![never.clone()];
        let mut behind = Vec::new();
        for keeper in &keepers {
            drop(keeper.keep().remote(count.make()));
            stuck.push(keeper.wait().remote(gate.clone()));
            behind.extend((0..100).map(|x| keeper.echo().remote(x)));
            stuck.push(keeper.echo().remote(&never));
            // Behind one whose argument never comes.
            stuck.push(keeper.keep().remote(count.make()));
            let (one, other) = keeper.two().remote(1);
            stuck.extend([one, other]);
        }
        for _ in 0..5 {
            drop(sleeps::remote(count.make()));
            let inside = maser::put(maser::put(never.clone()));
            stuck.push(gets::remote(count.make(), inside));
            stuck.push(takes::remote(count.make(), &never));
            stuck.push(held::options().num_gpus(1).remote(gate.clone(), 1));
            let (one, other) = two::remote(&never);
            stuck.extend([one, other]);
        }
        let stream = trickles::remote(gate.clone());
        Pending {
            stuck,
            behind,
            stream,
            keepers,
        }
    }

    fn has_ended(self) {
        for (at, one) in self.stuck.iter().enumerate() {
            assert!(one.is_ready(), "ref {at}: {one:?}");
            was_shut_down(one.get());
        }
        for one in self.behind {
            assert!(one.is_ready(), "{one:?}");
            if let Err(error) = one.get() {
                was_shut_down::<()>(Err(error));
            }
        }
        for item in self.stream {
            was_shut_down(item.get());
        }
        drop(self.keepers);
    }
}

#[test]
fn shutdown_ends_whatever_is_queued_runs_or_waits_and_every_get_is_told() {
    for schedulers in [1, 2, 3] {
        alone(|| {
            let count = Count::default();
            let gate = gate();
            let before = pool::stats().live_blocks_total();
            let maser = quiet(schedulers).num_gpus(1.0).init().expect("it starts");
            let closed = gate.lock().expect("it is open");
            let pending = Pending::new(&count, &gate);
            std::thread::scope(|scope| {
                let waiting: Vec<_> = pending
                    .stuck
                    .chunks(8)
                    .map(|refs| {
                        scope.spawn(move || refs.iter().for_each(|one| was_shut_down(one.get())))
                    })
                    .collect();
                maser.shutdown();
                for thread in waiting {
                    thread.join().expect("every get is told");
                }
            });
            pending.has_ended();
            drop(closed);
            assert_eq!(count.alive(), 0, "nothing is kept");
            assert_eq!(pool::stats().live_blocks_total(), before);
        });
        alone(|| {
            let count = Count::default();
            let gate = gate();
            let before = pool::stats().live_blocks_total();
            let closed = gate.try_lock().expect("it is open");
            let pending = maser::run(quiet(schedulers).num_gpus(1.0), |_| {
                let pending = Pending::new(&count, &gate);
                for _ in 0..20 {
                    maser::yield_now();
                }
                pending
            });
            pending.expect("it starts").has_ended();
            drop(closed);
            assert_eq!(count.alive(), 0, "nothing is kept");
            assert_eq!(pool::stats().live_blocks_total(), before);
        });
    }
}

#[maser::task]
fn call_often(keepers: Vec<Actor<Echo>>, calls: u64) -> Vec<Ref<u64>> {
    let keepers = keepers.iter().cycle().zip(0..calls);
    keepers.map(|(keeper, x)| keeper.echo().remote(x)).collect()
}

#[test]
fn calls_under_way_between_schedulers_all_end_at_shutdown() {
    for round in 0..30 {
        alone(|| {
            let before = pool::stats().live_blocks_total();
            let maser = quiet(3).init().expect("it starts");
            let echoes: Vec<_> = (0..3)
                .map(|at| Echo::options().scheduler(at).remote())
                .collect();
            let callers: Vec<_> = (0..6)
                .map(|at| {
                    let options = call_often::options().scheduler(at % 3);
                    options.remote(echoes.clone(), 200 + 10 * round)
                })
                .collect();
            let (ready, rest) =
                maser::wait(&callers, 1 + round as usize % 6, None).expect("they run");
            maser.shutdown();
            let calls = ready
                .iter()
                .chain(&rest)
                .filter_map(|caller| caller.get().ok());
            for (x, call) in calls.flatten().enumerate() {
                assert!(call.is_ready(), "call {x} in round {round}");
                assert!(call.get().is_ok() || matches!(call.get(), Err(Error::ShutDown { .. })));
            }
            drop((ready, rest, callers, echoes));
            assert_eq!(pool::stats().live_blocks_total(), before, "round {round}");
        });
    }
}

#[test]
fn threads_may_go_on_submitting_while_the_runtime_ends() {
    for _ in 0..30 {
        alone(|| {
            let maser = quiet(2).init().expect("it starts");
            let keeper = Echo::remote();
            std::thread::scope(|scope| {
                let (started, has_started) = std::sync::mpsc::channel();
                for _ in 0..3 {
                    let (keeper, started) = (keeper.clone(), started.clone());
                    scope.spawn(move || {
                        for x in 0.. {
                            let results = [
                                double::remote(x).get(),
                                keeper.echo().remote(x).get(),
                                double::remote(double::remote(x)).get(),
                            ];
                            if x == 0 {
                                started.send(()).expect("the test waits");
                            }
                            let mut failed = results.into_iter().filter_map(Result::err);
                            if let Some(error) = failed.next() {
                                let typed = matches!(
                                    error.root(),
                                    Error::NotRunning { .. } | Error::ShutDown { .. }
                                );
                                assert!(typed, "{error:?}");
                                break;
                            }
                        }
                    });
                }
                for _ in 0..3 {
                    has_started.recv().expect("they start");
                }
                maser.shutdown();
            });
        });
    }
}

#[test]
fn the_guard_may_be_dropped_on_another_thread_or_by_a_task() {
    alone(|| {
        let maser = quiet(2).init().expect("it starts");
        let value = double::remote(4);
        value.get().expect("it runs");
        std::thread::spawn(move || drop(maser))
            .join()
            .expect("no panic");
        everything_is_refused();
        assert_eq!(value.get().expect("it was finished"), 8);
    });
    static GUARD: Mutex<Option<Maser>> = Mutex::new(None);
    #[maser::task]
    fn ends_it_all() {
        let guard = GUARD.lock().expect("no panic").take();
        drop(guard);
    }
    alone(|| {
        *GUARD.lock().expect("no panic") = Some(quiet(2).init().expect("it starts"));
        let ending = ends_it_all::remote();
        // It says so, or was cut short: it ends in any case.
        drop(ending.get());
        while maser::error_info().is_ok() {
            std::thread::yield_now();
        }
        everything_is_refused();
    });
}
