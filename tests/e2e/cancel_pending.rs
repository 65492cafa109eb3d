//! Cancellation of what has not started: it is done at once, and never starts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use maser::{Actor, Error, Ref};
use maser_tests::{both_ways, quiet, with_runtime};

use crate::support::{Count, Counted, Gate, gate, held};

fn is_cancelled<T: std::fmt::Debug>(result: maser::Result<T>) {
    let error = result.expect_err("it was cancelled");
    assert!(matches!(error.root(), Error::Cancelled { .. }), "{error}");
}

/// How many calls and tasks ran.
type Ran = Arc<AtomicU64>;

#[maser::task(local)]
fn run(ran: Ran, _: Counted, argument: u64) -> u64 {
    ran.fetch_add(1, Ordering::AcqRel);
    argument
}

struct Worker {
    ran: Ran,
}

#[maser::actor(local)]
impl Worker {
    fn new(ran: Ran) -> Self {
        Worker { ran }
    }
    fn hold(&mut self, gate: Gate, entered: Arc<AtomicBool>) -> maser::Result<()> {
        entered.store(true, Ordering::Release);
        drop(gate.lock()?);
        Ok(())
    }
    /// Keeps its core as well.
    fn spin(&mut self, entered: Arc<AtomicBool>, open: Arc<AtomicBool>) {
        entered.store(true, Ordering::Release);
        while !open.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
    }
    fn run(&mut self, _: Counted, argument: u64) -> u64 {
        self.ran.fetch_add(1, Ordering::AcqRel);
        argument
    }
    /// Of another worker.
    fn cancel(&mut self, victim: Ref<Ref<u64>>) -> maser::Result<bool> {
        Ok(victim.get()?.cancel())
    }
    /// Makes many calls, takes all of them back while nobody could serve one, and looks at them.
    fn call_and_cancel(
        &mut self,
        other: Actor<Worker>,
        calls: u64,
        count: Count,
        open: Arc<AtomicBool>,
    ) -> u64 {
        let calls: Vec<_> = (0..calls)
            .map(|at| other.run().remote(count.make(), at))
            .collect();
        for call in &calls {
            assert!(call.cancel());
        }
        open.store(true, Ordering::Release);
        calls.iter().for_each(|call| is_cancelled(call.get()));
        calls.len() as u64
    }
}

fn wait_for(flag: &AtomicBool) {
    while !flag.load(Ordering::Acquire) {
        maser::yield_now();
    }
}

#[test]
fn a_task_whose_argument_is_not_there_is_done_at_once() {
    for schedulers in [1, 2] {
        both_ways(quiet(schedulers), |_| {
            let (gate, count, ran) = (gate(), Count::default(), Ran::default());
            let closed = gate.lock()?;
            let argument = held::remote(gate.clone(), 1);
            let task = run::remote(ran.clone(), count.make(), &argument);
            let placed = run::options()
                .num_cpus(1)
                .remote(ran.clone(), count.make(), &argument);
            let fed = run::remote(ran.clone(), count.make(), &task);
            for task in [&task, &placed] {
                assert!(task.cancel());
                assert!(task.is_ready(), "nobody had to turn for it");
                is_cancelled(task.get());
                assert!(!task.cancel());
            }
            // Its dependents are told, while its argument is not there yet.
            is_cancelled(fed.get());
            assert_eq!(count.alive(), 0, "the arguments are gone");
            assert!(!argument.is_ready());
            drop(closed);
            assert_eq!(argument.get()?, 1);
            assert_eq!(ran.load(Ordering::Acquire), 0);
            Ok(())
        });
    }
}

#[test]
fn a_task_that_waits_for_resources_is_done_at_once_and_lets_others_by() {
    both_ways(quiet(2).num_gpus(2.0), |maser| {
        let (gate, count, ran) = (gate(), Count::default(), Ran::default());
        let closed = gate.lock()?;
        let first = held::options().num_gpus(1).remote(gate.clone(), 1);
        let large = run::options()
            .num_gpus(2)
            .remote(ran.clone(), count.make(), 1);
        let small = run::options()
            .num_gpus(1)
            .remote(ran.clone(), count.make(), 2);
        assert!(large.cancel());
        assert!(large.is_ready());
        is_cancelled(large.get());
        assert_eq!(small.get()?, 2, "what it stood in the way of");
        drop(closed);
        assert_eq!(first.get()?, 1);
        assert_eq!(ran.load(Ordering::Acquire), 1);
        let (total, free) = maser.resources();
        assert_eq!(free, total);
        Ok(())
    });
}

#[test]
fn a_call_behind_one_that_runs_is_done_while_that_one_runs() {
    for schedulers in [1, 2] {
        both_ways(quiet(schedulers), |_| {
            for at in 0..schedulers {
                let (gate, count, ran) = (gate(), Count::default(), Ran::default());
                let closed = gate.lock()?;
                let worker = Worker::options().scheduler(at).remote(ran.clone());
                let entered = Arc::<AtomicBool>::default();
                let first = worker.hold().remote(gate.clone(), entered.clone());
                wait_for(&entered);
                let calls: Vec<_> = (0..5)
                    .map(|at| worker.run().remote(count.make(), at))
                    .collect();
                let fed = run::remote(ran.clone(), count.make(), &calls[2]);
                for at in [2, 0, 4] {
                    assert!(calls[at].cancel());
                    is_cancelled(calls[at].get());
                }
                is_cancelled(fed.get());
                assert_eq!(count.alive(), 2);
                assert!(!first.is_ready());
                drop(closed);
                first.get()?;
                assert_eq!((calls[1].get()?, calls[3].get()?), (1, 3));
                assert_eq!(ran.load(Ordering::Acquire), 2);
            }
            Ok(())
        });
    }
}

#[test]
fn a_call_whose_argument_is_not_there_is_done_at_once_and_lets_others_by() {
    for schedulers in [1, 2] {
        both_ways(quiet(schedulers), |_| {
            for at in 0..schedulers {
                let (gate, count, ran) = (gate(), Count::default(), Ran::default());
                let closed = gate.lock()?;
                let argument = held::remote(gate.clone(), 1);
                let worker = Worker::options().scheduler(at).remote(ran.clone());
                let stalled = worker.run().remote(count.make(), &argument);
                let behind = worker.run().remote(count.make(), 5);
                let last = worker.run().remote(count.make(), 6);
                assert!(behind.cancel());
                assert!(behind.is_ready());
                is_cancelled(behind.get());
                assert!(stalled.cancel());
                assert!(stalled.is_ready());
                is_cancelled(stalled.get());
                // It stood in the way of this one alone.
                assert_eq!(last.get()?, 6);
                count.wait_for_alive(0);
                assert!(!argument.is_ready());
                drop(closed);
                assert_eq!(argument.get()?, 1);
                assert_eq!(ran.load(Ordering::Acquire), 1);
            }
            Ok(())
        });
    }
}

#[test]
fn calls_on_their_way_to_another_scheduler_never_run() {
    // Fewer and more than there is room for on the way.
    for calls in [1, 40, 300] {
        with_runtime(quiet(3), |_| {
            let (count, ran) = (Count::default(), Ran::default());
            let other = Worker::options().scheduler(2).remote(ran.clone());
            let caller = Worker::options().scheduler(1).remote(ran.clone());
            let (entered, open) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
            let busy = other.spin().remote(entered.clone(), open.clone());
            wait_for(&entered);
            let made = caller
                .call_and_cancel()
                .remote(other.clone(), calls, count.clone(), open);
            assert_eq!(made.get().expect("all were cancelled"), calls);
            busy.get().expect("it was let go");
            assert_eq!(count.alive(), 0);
            assert_eq!(ran.load(Ordering::Acquire), 0);
            let after = other.run().remote(count.make(), 7);
            assert_eq!(after.get().expect("it lives on"), 7);
        });
    }
}

#[test]
fn another_thread_may_cancel_while_arguments_come() {
    // Either end is right; nothing is lost, run twice, or left waiting.
    for schedulers in [1, 2] {
        with_runtime(quiet(schedulers), |_| {
            let (count, ran) = (Count::default(), Ran::default());
            let worker = Worker::remote(ran.clone());
            let mut finished = 0;
            for _ in 0..300 {
                let gate = gate();
                let closed = gate.lock().expect("nobody has it");
                let argument = held::remote(gate.clone(), 1);
                let works = [
                    run::remote(ran.clone(), count.make(), &argument),
                    worker.run().remote(count.make(), &argument),
                    worker.run().remote(count.make(), 2),
                ];
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        works.iter().for_each(|work| {
                            let _was_pending = work.cancel();
                        })
                    });
                    drop(closed);
                    for work in &works {
                        match work.get() {
                            Ok(_) => finished += 1,
                            Err(error) => is_cancelled::<u64>(Err(error)),
                        }
                    }
                });
            }
            count.wait_for_alive(0);
            assert_eq!(ran.load(Ordering::Acquire), finished);
        });
    }
}

#[test]
fn a_call_may_cancel_one_that_waits_for_its_own_actor() {
    for schedulers in [1, 2] {
        both_ways(quiet(schedulers), |_| {
            let (count, ran) = (Count::default(), Ran::default());
            let worker = Worker::options().scheduler(0).remote(ran.clone());
            let (gate, entered) = (gate(), Arc::<AtomicBool>::default());
            let closed = gate.lock()?;
            let first = worker.hold().remote(gate.clone(), entered.clone());
            wait_for(&entered);
            let other = Worker::options()
                .scheduler(schedulers - 1)
                .remote(ran.clone());
            let victim = worker.run().remote(count.make(), 1);
            assert!(
                other
                    .cancel()
                    .remote(maser::put(maser::put(victim.clone())))
                    .get()?
            );
            is_cancelled(victim.get());
            drop(closed);
            first.get()?;
            assert_eq!(ran.load(Ordering::Acquire), 0);
            Ok(())
        });
    }
}
