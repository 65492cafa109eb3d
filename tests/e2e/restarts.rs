//! The main thread is a scheduler, and another thread shuts the runtime down: the main thread goes
//! on as if it had done so itself, in whatever it enters next.

use std::sync::mpsc::channel;
use std::thread;

use maser::__private::run_main;
use maser::Maser;
use maser::prelude::*;
use maser_shm::arena::pool;
use maser_tests::{alone, quiet};

use crate::program::{Echo, Keeper, double};
use crate::support::{Count, gate, held};

const RESTARTS: u64 = 50;

fn start() -> Maser {
    quiet(2).init().expect("it starts")
}

fn shut_down_elsewhere(maser: Maser) {
    thread::spawn(move || drop(maser)).join().expect("it ends");
}

/// Actors with values on both schedulers, and calls on their way.
fn live_a_little(round: u64, count: &Count) -> Vec<Actor<Keeper>> {
    let keepers = [0, 1].map(|at| {
        Keeper::options()
            .scheduler(at)
            .name(&at.to_string())
            .remote()
    });
    for keeper in &keepers {
        assert_eq!(keeper.echo().remote(round).get().expect("it lives"), round);
        drop(keeper.keep().remote(count.make()));
    }
    assert_eq!(double::remote(round).get().expect("it runs"), 2 * round);
    (0..10).for_each(|x| drop(double::remote(x)));
    keepers.into()
}

#[test]
fn the_main_thread_starts_again_after_another_has_shut_down() {
    alone(|| {
        run_main(|| {
            let cycle = |round| {
                let count = Count::default();
                let maser = start();
                let keepers = live_a_little(round, &count);
                shut_down_elsewhere(maser);
                match round % 3 {
                    // The next thing is `init`, or a task, or a call of an actor that is gone.
                    0 => {}
                    1 => {
                        let error = double::remote(1).get();
                        assert!(matches!(error, Err(Error::NotRunning { .. })), "{error:?}");
                    }
                    _ => drop(keepers[0].echo().remote(1).get().expect_err("gone")),
                }
                let maser = start();
                assert_eq!(count.alive(), 0, "the states went with their runtime");
                assert_eq!(double::remote(round).get().expect("it runs"), 2 * round);
                keepers[0]
                    .echo()
                    .remote(1)
                    .get()
                    .expect_err("of another runtime");
                drop(maser);
            };
            (0..10).for_each(cycle);
            let before = pool::stats().live_blocks_total();
            (10..10 + RESTARTS).for_each(cycle);
            assert_eq!(pool::stats().live_blocks_total(), before);
        });
    });
}

#[test]
fn the_main_thread_uses_what_other_threads_start() {
    alone(|| {
        run_main(|| {
            let mut maser = start();
            for round in 0..RESTARTS {
                let count = Count::default();
                let _keepers = live_a_little(round, &count);
                let next = thread::spawn(move || {
                    drop(maser);
                    let maser = start();
                    let echo = Echo::options().scheduler(0).remote();
                    (maser, double::remote(round), echo)
                });
                let (next, result, echo) = next.join().expect("it ends");
                // The new node has schedulers of its own: here is a thread like any other.
                match round % 2 {
                    0 => assert_eq!(result.get().expect("it runs"), 2 * round),
                    _ => assert_eq!(echo.echo().remote(7).get().expect("it lives"), 7),
                }
                assert_eq!(
                    echo.echo().remote(&result).get().expect("it lives"),
                    2 * round
                );
                assert_eq!(count.alive(), 0);
                drop(next);
                maser = start();
            }
            drop(maser);
        });
    });
}

#[test]
fn waits_of_the_main_thread_end_when_another_shuts_down() {
    alone(|| {
        run_main(|| {
            for _ in 0..RESTARTS {
                let maser = start();
                let gate = gate();
                let closed = gate.lock().expect("it runs");
                let never = held::remote(gate.clone(), 1);
                let (waits, shut_down) = channel();
                let closing = thread::spawn(move || {
                    shut_down.recv().expect("it says so");
                    drop(maser);
                });
                waits.send(()).expect("it is heard");
                let error = never.get().expect_err("it never came");
                assert!(matches!(error.root(), Error::ShutDown { .. }), "{error:?}");
                closing.join().expect("it ends");
                drop(closed);
                let maser = start();
                assert_eq!(double::remote(2).get().expect("it runs"), 4);
                drop(maser);
            }
        });
    });
}

#[test]
fn a_guard_may_outlive_the_main_function() {
    alone(|| {
        let count = Count::default();
        for round in 0..RESTARTS {
            let (maser, keepers, never) = run_main(|| {
                let maser = start();
                let keepers = live_a_little(round, &count);
                let gate = gate();
                let closed = gate.lock().expect("it runs");
                let never = held::options().scheduler(0).remote(gate.clone(), 1);
                maser::yield_now();
                drop(closed);
                (maser, keepers, never)
            });
            keepers[0]
                .echo()
                .remote(1)
                .get()
                .expect_err("its scheduler ended");
            drop(never.get());
            match round % 2 {
                0 => drop(maser),
                _ => shut_down_elsewhere(maser),
            }
            drop(keepers);
            assert_eq!(count.alive(), 0);
        }
    });
}
