//! Cancellation: of tasks that wait to start, and of tasks that wait in any way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use maser::{Error, Ref};
use maser_tests::{both_ways, quiet, with_runtime};

use crate::support::{Count, Counted, Gate, gate, held};

const FOR_EVER: Duration = Duration::from_secs(3600);

#[derive(Clone, Default)]
struct Flag(Arc<AtomicBool>);

impl Flag {
    fn raise(&self) {
        self.0.store(true, Ordering::Release);
    }
    fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
    fn wait(&self) {
        while !self.is_raised() {
            maser::yield_now();
        }
    }
}

#[maser::task(local)]
fn raise(flag: Flag, _: u64) {
    flag.raise();
}

fn is_cancelled<T: std::fmt::Debug>(result: maser::Result<T>) {
    let error = result.expect_err("it was cancelled");
    assert!(matches!(error.root(), Error::Cancelled { .. }), "{error}");
}

#[test]
fn a_task_that_has_not_started_never_starts() {
    // On one scheduler nothing starts before the root task waits.
    with_runtime(quiet(1), |_| {
        let flag = Flag::default();
        let queued = raise::remote(flag.clone(), 1);
        assert!(queued.cancel(), "it was not there yet");
        is_cancelled(queued.get());
        assert!(!flag.is_raised());
    });
    both_ways(quiet(2), |_| {
        let flag = Flag::default();
        let gate = gate();
        let closed = gate.lock()?;
        let argument = held::remote(gate.clone(), 1);
        let waiting = raise::remote(flag.clone(), &argument);
        assert!(waiting.cancel());
        drop(closed);
        is_cancelled(waiting.get());
        assert_eq!(argument.get()?, 1, "what it waited for is not touched");
        assert!(!flag.is_raised());
        Ok(())
    });
}

#[test]
fn a_task_that_waits_for_resources_never_starts() {
    both_ways(quiet(2).num_gpus(1.0), |maser| {
        let flag = Flag::default();
        let gate = gate();
        let closed = gate.lock()?;
        let first = held::options().num_gpus(1).remote(gate.clone(), 1);
        let queued = raise::options().num_gpus(1).remote(flag.clone(), 1);
        assert!(queued.cancel());
        drop(closed);
        is_cancelled(queued.get());
        assert_eq!(first.get()?, 1);
        assert!(!flag.is_raised());
        let (total, free) = maser.resources();
        assert_eq!(free, total);
        Ok(())
    });
}

/// Ways to wait without end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wait {
    Yield,
    Sleep,
    Get,
    GetTimeout,
    OneOfMany,
    Lock,
    Stream,
}

const WAITS: [Wait; 7] = [
    Wait::Yield,
    Wait::Sleep,
    Wait::Get,
    Wait::GetTimeout,
    Wait::OneOfMany,
    Wait::Lock,
    Wait::Stream,
];

#[maser::task(local, stream)]
fn nothing_yet(gate: Gate) -> maser::Result<Vec<u64>> {
    drop(gate.lock()?);
    Ok(Vec::new())
}

/// Says that it runs, then waits; holds `value` meanwhile.
#[maser::task(local)]
fn wait_on(wait: Wait, gate: Gate, flag: Flag, value: Counted) -> maser::Result<()> {
    let never: Ref<u64> = held::remote(gate.clone(), 1);
    // What is waited for is not the newest task, so it does not run on this task's stack: there
    // it would have to end first.
    let _newest: Ref<u64> = held::remote(gate.clone(), 2);
    flag.raise();
    match wait {
        Wait::Yield => loop {
            maser::yield_now();
        },
        Wait::Sleep => maser::sleep(FOR_EVER),
        Wait::Get => drop(never.get()?),
        Wait::GetTimeout => drop(never.get_timeout(FOR_EVER)?),
        Wait::OneOfMany => drop(maser::wait(&[never], 1, None)?),
        Wait::Lock => drop(gate.lock()?),
        Wait::Stream => {
            for item in nothing_yet::remote(gate) {
                item.get()?;
            }
        }
    }
    drop(value);
    Ok(())
}

#[test]
fn a_task_that_waits_ends_where_it_waits_and_drops_what_it_holds() {
    for wait in WAITS {
        both_ways(quiet(2), |_| {
            let count = Count::default();
            let flag = Flag::default();
            let gate = gate();
            let closed = gate.lock()?;
            let task = wait_on::remote(wait, gate.clone(), flag.clone(), count.make());
            flag.wait();
            assert!(task.cancel(), "{wait:?}");
            is_cancelled(task.get());
            assert_eq!(count.alive(), 0, "{wait:?}");
            assert!(!task.cancel(), "it is over");
            drop(closed);
            Ok(())
        });
    }
}

#[test]
fn a_task_is_cancelled_while_its_caller_waits_for_it_on_the_same_core() {
    // The caller runs the task on its own stack, so both are blocked in one place.
    for wait in WAITS {
        both_ways(quiet(1), |_| {
            let flag = Flag::default();
            let gate = gate();
            let closed = gate.lock()?;
            let task = wait_on::remote(wait, gate.clone(), flag.clone(), Count::default().make());
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !flag.is_raised() {
                        std::thread::yield_now();
                    }
                    assert!(task.cancel());
                });
                is_cancelled(task.get());
            });
            drop(closed);
            Ok(())
        });
    }
}

#[test]
fn a_task_cancels_another() {
    #[maser::task(local)]
    fn cancel(victim: Ref<()>, flag: Flag) -> bool {
        flag.wait();
        victim.cancel()
    }
    for schedulers in [1, 2] {
        both_ways(quiet(schedulers), |_| {
            let flag = Flag::default();
            let gate = gate();
            let closed = gate.lock()?;
            let victim = wait_on::remote(
                Wait::Get,
                gate.clone(),
                flag.clone(),
                Count::default().make(),
            );
            let cancelled = cancel::remote(victim.clone(), flag);
            is_cancelled(victim.get());
            assert!(cancelled.get()?);
            drop(closed);
            Ok(())
        });
    }
}

#[test]
fn whoever_is_fed_by_a_cancelled_task_sees_it() {
    both_ways(quiet(2), |_| {
        let flag = Flag::default();
        let gate = gate();
        let closed = gate.lock()?;
        let slow = held::remote(gate.clone(), 1);
        let fed = raise::remote(flag.clone(), &slow);
        assert!(slow.cancel());
        is_cancelled(fed.get());
        is_cancelled(slow.get());
        assert!(!flag.is_raised());
        drop(closed);
        Ok(())
    });
}

#[test]
fn a_value_that_is_there_cannot_be_cancelled() {
    both_ways(quiet(2), |_| {
        let value = held::remote(gate(), 5);
        value.get()?;
        assert!(!value.cancel());
        assert_eq!(value.get()?, 5);
        assert!(!maser::put(1).cancel());
        Ok(())
    });
}

#[test]
fn a_task_that_catches_its_own_end_still_ends_at_the_next_wait() {
    #[maser::task(local)]
    fn stubborn(gate: Gate, flag: Flag) -> maser::Result<u64> {
        flag.raise();
        let refused = gate.lock().is_err();
        assert!(refused, "the first wait says it is over");
        // It may still do something that needs no wait.
        drop(gate.lock()?);
        Ok(1)
    }
    both_ways(quiet(2), |_| {
        let flag = Flag::default();
        let gate = gate();
        let closed = gate.lock()?;
        let task = stubborn::remote(gate.clone(), flag.clone());
        flag.wait();
        assert!(task.cancel());
        is_cancelled(task.get());
        drop(closed);
        Ok(())
    });
}
