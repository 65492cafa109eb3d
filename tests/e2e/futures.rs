//! Refs as futures: of any executor, on any thread, dropped at any point.

use std::future::{Future, IntoFuture};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use maser::Ref;
use maser_tests::{beside_runtime, both_ways, quiet, with_runtime};

use crate::support::{Count, Counted, Gate, gate, held};

#[maser::task]
fn double(x: u64) -> u64 {
    2 * x
}

#[derive(Default)]
struct Alarm(AtomicUsize);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

impl Alarm {
    fn rings(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

fn poll_once<F: Future + Unpin>(future: &mut F, alarm: &Arc<Alarm>) -> Poll<F::Output> {
    let waker = Waker::from(alarm.clone());
    pin!(future).poll(&mut Context::from_waker(&waker))
}

async fn sum(refs: Vec<Ref<u64>>) -> maser::Result<u64> {
    let mut sum = 0;
    for one in &refs {
        // By reference and by value.
        sum += one.await? + one.clone().await?;
    }
    Ok(sum)
}

fn refs() -> Vec<Ref<u64>> {
    (0..100)
        .map(|x| {
            if x % 2 == 0 {
                double::remote(x)
            } else {
                maser::put(2 * x)
            }
        })
        .collect()
}

#[test]
fn refs_are_awaited_under_pollster() {
    beside_runtime(quiet(2), |_| {
        assert_eq!(
            pollster::block_on(sum(refs())).expect("all succeed"),
            19_800
        );
    });
}

#[test]
fn refs_are_awaited_under_tokio_of_one_thread() {
    let tokio = tokio::runtime::Builder::new_current_thread().build();
    let tokio = tokio.expect("tokio starts");
    beside_runtime(quiet(2), |_| {
        let sums = tokio.block_on(async {
            let tasks: Vec<_> = (0..8).map(|_| async { sum(refs()).await }).collect();
            let mut sums = Vec::new();
            for task in tasks {
                sums.push(task.await.expect("all succeed"));
            }
            sums
        });
        assert_eq!(sums, [19_800; 8]);
    });
}

#[test]
fn refs_are_awaited_by_the_tasks_of_tokio_of_many_threads() {
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build();
    let tokio = tokio.expect("tokio starts");
    let many = || {
        tokio.block_on(async {
            let tasks: Vec<_> = (0..16)
                .map(|_| tokio::spawn(async { sum(refs()).await }))
                .collect();
            for task in tasks {
                assert_eq!(
                    task.await.expect("it does not panic").expect("all succeed"),
                    19_800
                );
            }
        });
    };
    beside_runtime(quiet(2), |_| many());
    // The thread of a scheduler may run an executor too, if others are left for the tasks.
    with_runtime(quiet(2), |_| many());
}

#[test]
fn a_pending_future_is_woken_once_its_value_is_there() {
    both_ways(quiet(2), |_| {
        let gate = gate();
        let closed = gate.lock()?;
        let value = held::remote(gate.clone(), 5);
        let (first, second) = (Arc::new(Alarm::default()), Arc::new(Alarm::default()));
        let mut future = (&value).into_future();
        assert!(poll_once(&mut future, &first).is_pending());
        assert!(
            poll_once(&mut future, &second).is_pending(),
            "by another executor"
        );
        assert_eq!((first.rings(), second.rings()), (0, 0));
        drop(closed);
        value.get()?;
        while second.rings() == 0 {
            maser::yield_now();
        }
        assert_eq!(
            (first.rings(), second.rings()),
            (0, 1),
            "the last waker counts"
        );
        let Poll::Ready(got) = poll_once(&mut future, &second) else {
            panic!("it is there")
        };
        assert_eq!(got?, 5);
        Ok(())
    });
}

#[maser::task(local)]
fn keep(gate: Gate, value: Counted) -> maser::Result<Counted> {
    drop(gate.lock()?);
    Ok(value)
}

#[test]
fn a_future_can_be_dropped_at_every_point_and_nothing_is_lost() {
    both_ways(quiet(2), |_| {
        let count = Count::default();
        for polls_before in 0..3 {
            for drop_before_ready in [true, false] {
                let gate = gate();
                let closed = gate.lock()?;
                let value = keep::remote(gate.clone(), count.make());
                let alarm = Arc::new(Alarm::default());
                let mut future = value.clone().into_future();
                for _ in 0..polls_before {
                    assert!(poll_once(&mut future, &alarm).is_pending());
                }
                if drop_before_ready {
                    drop(future);
                    drop(closed);
                    value.read()?;
                    assert_eq!(alarm.rings(), 0, "whoever left is not woken");
                } else {
                    drop(closed);
                    value.read()?;
                    drop(future);
                }
                assert_eq!(count.alive(), 1);
                value.read()?;
                drop(value);
                // The producer gives its own hold back a moment after the value is seen.
                count.wait_for_alive(0);
            }
        }
        Ok(())
    });
}

#[test]
fn a_future_that_is_dropped_while_its_value_arrives_is_sound() {
    // Both sides run at once: whoever comes first, nothing is used after it is freed.
    beside_runtime(quiet(1), |_| {
        for round in 0..2_000_u64 {
            let value = double::remote(round);
            let alarm = Arc::new(Alarm::default());
            let mut future = (&value).into_future();
            let polled = poll_once(&mut future, &alarm);
            if round % 3 == 0 {
                drop(future);
            } else if polled.is_pending() {
                assert_eq!(pollster::block_on(future).expect("it succeeds"), 2 * round);
            }
            assert_eq!(value.get().expect("it succeeds"), 2 * round);
        }
    });
}

#[test]
fn a_select_leaves_the_loser_whole() {
    let tokio = tokio::runtime::Builder::new_current_thread().build();
    let tokio = tokio.expect("tokio starts");
    beside_runtime(quiet(2), |_| {
        let gate = gate();
        let closed = gate.lock().expect("it is open");
        let slow = held::remote(gate.clone(), 5);
        tokio.block_on(async {
            for round in 0..50 {
                tokio::select! {
                    fast = double::remote(round) => assert_eq!(fast.expect("it succeeds"), 2 * round),
                    slow = &slow => panic!("the gate is closed: {slow:?}"),
                }
            }
            drop(closed);
            assert_eq!(slow.await.expect("it succeeds"), 5);
        });
    });
}
