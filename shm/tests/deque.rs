//! The deque alone against a list, and with real thieves.
#![cfg(not(loom))]

use std::collections::VecDeque;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use maser_shm::os::membarrier;
use maser_shm::sync::deque::{self, BATCH, Steal, Worker};
use proptest::prelude::*;

fn item(number: usize) -> NonNull<()> {
    NonNull::new(ptr::without_provenance_mut((number + 1) * 64)).unwrap()
}

fn number(item: NonNull<()>) -> usize {
    item.as_ptr().addr() / 64 - 1
}

fn assert_send<T: Send>(_: &T) {}
fn assert_send_sync_clone<T: Send + Sync + Clone>(_: &T) {}

#[test]
fn the_owner_may_move_and_thieves_may_be_many() {
    let (worker, stealer) = deque::new();
    assert_send(&worker);
    assert_send_sync_clone(&stealer);
}

#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    Pop,
    PopIfNewest,
    PopIfNotNewest,
    Take,
    Steal,
    StealBatch,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1usize..200).prop_map(Step::Push),
        2 => Just(Step::Pop),
        1 => Just(Step::PopIfNewest),
        1 => Just(Step::PopIfNotNewest),
        2 => Just(Step::Take),
        2 => Just(Step::Steal),
        1 => Just(Step::StealBatch),
    ];
    prop::collection::vec(step, 0..if cfg!(miri) { 10 } else { 120 })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn one_thread_sees_a_double_ended_list(steps in steps()) {
        let (worker, stealer) = deque::new();
        let mut list = VecDeque::new();
        let mut next = 0;
        for step in steps {
            match step {
                Step::Push(count) => for _ in 0..count {
                    worker.push(item(next));
                    list.push_back(next);
                    next += 1;
                },
                Step::Pop => prop_assert_eq!(worker.pop().map(number), list.pop_back()),
                Step::PopIfNewest => if let Some(newest) = list.pop_back() {
                    prop_assert!(worker.pop_if_newest(item(newest)));
                },
                Step::PopIfNotNewest => prop_assert!(!worker.pop_if_newest(item(next))),
                Step::Take => prop_assert_eq!(worker.take().map(number), list.pop_front()),
                Step::Steal => prop_assert_eq!(
                    stealer.steal(),
                    list.pop_front().map_or(Steal::Empty, |oldest| Steal::Success(item(oldest)))
                ),
                Step::StealBatch => {
                    let (own, _) = deque::new();
                    let share = list.len().div_ceil(2).min(BATCH);
                    let stolen = stealer.steal_batch(&own);
                    let mut expected = list.drain(..share);
                    prop_assert_eq!(
                        stolen,
                        expected.next().map_or(Steal::Empty, |n| Steal::Success(item(n)))
                    );
                    for oldest in expected {
                        prop_assert_eq!(own.take().map(number), Some(oldest));
                    }
                    prop_assert!(own.is_empty());
                }
            }
            prop_assert_eq!(worker.len(), list.len());
            prop_assert_eq!(stealer.is_empty(), list.is_empty());
            prop_assert_eq!(worker.peek().map(number), list.back().copied());
        }
    }
}

#[test]
fn a_stale_word_below_an_empty_deque_is_not_popped() {
    let (worker, stealer) = deque::new();
    worker.push(item(0));
    assert_eq!(worker.pop().map(number), Some(0));
    assert!(!worker.pop_if_newest(item(0)));
    worker.push(item(1));
    assert_eq!(stealer.steal(), Steal::Success(item(1)));
    assert!(!worker.pop_if_newest(item(1)));
    assert_eq!(worker.peek(), None);
}

#[test]
fn a_million_items_come_out_oldest_first() {
    let count = if cfg!(miri) { 1_000 } else { 1_000_000 };
    let (worker, _stealer) = deque::new();
    for n in 0..count {
        worker.push(item(n));
    }
    for n in 0..count {
        assert_eq!(worker.take().map(number), Some(n));
    }
    assert_eq!(worker.take(), None);
}

#[test]
fn the_oldest_index_tells_one_item_from_the_next() {
    let (worker, stealer) = deque::new();
    let mut seen = std::collections::HashSet::new();
    let mut look = || assert!(seen.insert(stealer.oldest_index()), "two items, one number");
    for _ in 0..3 {
        worker.push(item(0));
        look(); // popped as the last one: the index of the slot is used anew
        assert!(worker.pop_if_newest(item(0)));
    }
    worker.push(item(1));
    look();
    worker.push(item(2));
    worker.take();
    look();
    assert_eq!(stealer.steal(), Steal::Success(item(2)));
    worker.push(item(3));
    look();
    let before = stealer.oldest_index();
    worker.push(item(4));
    assert!(worker.pop_if_newest(item(4)));
    assert_eq!(
        stealer.oldest_index(),
        before,
        "the oldest is still the same"
    );
}

/// Each item is taken by exactly one of the owner and two thieves.
fn share_out(count: usize, owner_takes: impl Fn(&Worker, usize, &dyn Fn(NonNull<()>))) {
    let taken: Vec<AtomicU8> = (0..count).map(|_| AtomicU8::new(0)).collect();
    let mark = |item: NonNull<()>| {
        assert_eq!(
            taken[number(item)].fetch_add(1, Ordering::Relaxed),
            0,
            "taken twice"
        );
    };
    let done = AtomicBool::new(false);
    let (worker, stealer) = deque::new();
    std::thread::scope(|scope| {
        for batch in [false, true] {
            let (stealer, done, mark) = (stealer.clone(), &done, &mark);
            scope.spawn(move || {
                let (own, _) = deque::new();
                loop {
                    let finished = done.load(Ordering::Acquire);
                    let stolen = if batch {
                        stealer.steal_batch(&own)
                    } else {
                        stealer.steal()
                    };
                    match stolen {
                        Steal::Success(item) => mark(item),
                        Steal::Empty if finished => break,
                        Steal::Empty | Steal::Retry => std::thread::yield_now(),
                    }
                    while let Some(item) = own.take() {
                        mark(item);
                    }
                }
            });
        }
        for n in 0..count {
            worker.push(item(n));
            owner_takes(&worker, n, &mark);
        }
        done.store(true, Ordering::Release);
        while let Some(item) = worker.pop() {
            mark(item);
        }
    });
    assert!(
        taken.iter().all(|times| times.load(Ordering::Relaxed) == 1),
        "an item was lost"
    );
}

const SHARED_OUT: usize = if cfg!(miri) { 300 } else { 300_000 };

#[test]
fn thieves_and_an_owner_that_pops_at_once_take_each_item_once() {
    for registered in [false, true] {
        if registered {
            membarrier::register();
        }
        share_out(SHARED_OUT, |worker, n, mark| {
            if worker.pop_if_newest(item(n)) {
                mark(item(n));
            }
        });
    }
}

#[test]
fn thieves_and_an_owner_that_pops_in_bursts_take_each_item_once() {
    membarrier::register();
    share_out(SHARED_OUT, |worker, n, mark| {
        if n % 7 == 6 {
            (0..6).filter_map(|_| worker.pop()).for_each(mark);
        }
    });
}

#[test]
fn thieves_and_an_owner_that_takes_the_oldest_take_each_item_once() {
    membarrier::register();
    share_out(SHARED_OUT, |worker, n, mark| {
        if n % 3 != 0 {
            worker.take().into_iter().for_each(mark);
        }
    });
}
