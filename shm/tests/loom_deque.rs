//! Model of the deque: each item is taken once, by someone who sees it whole.
//!
//! Checked by breaking the code; each test names what breaks it. Not checked: that the accesses of
//! DQ-3 are SeqCst (loom knows only the fences that stand in for it, so the tests show where the
//! order is needed), and the Release of a commit (DQ-6), since loom's loads never see the future.
//!
//! Run: `RUSTFLAGS="--cfg loom" cargo test -p maser-shm --release --test loom_deque`.
#![cfg(loom)]
#![allow(
    unsafe_code,
    reason = "looks into the cells that stand for the items' contents"
)]

use std::ptr::{self, NonNull};

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use maser_shm::sync::deque::{self, Steal, Stealer, Worker};

/// Item `n` stands for cell `n`: written before the push, written again by who takes it. Loom
/// reports a taker that does not see the first write, and two takers of one item.
struct Items(Vec<UnsafeCell<u32>>);

impl Items {
    fn new(count: usize) -> Arc<Self> {
        Arc::new(Self((0..count).map(|_| UnsafeCell::new(0)).collect()))
    }

    fn push(&self, worker: &Worker, number: usize) {
        // SAFETY: the item is not pushed yet.
        self.0[number].with_mut(|state| unsafe { *state = 1 });
        worker.push(item(number));
    }

    fn took(&self, item: NonNull<()>) -> usize {
        let number = item.as_ptr().addr() / 8 - 1;
        // SAFETY: DQ-1, the item is ours.
        self.0[number].with_mut(|state| unsafe {
            assert_eq!(*state, 1, "item {number}");
            *state = 2;
        });
        number
    }

    fn stole(&self, stolen: Steal) -> Option<usize> {
        match stolen {
            Steal::Success(item) => Some(self.took(item)),
            Steal::Empty | Steal::Retry => None,
        }
    }

    /// Takes what is left, and asserts that everything pushed was taken.
    fn assert_all_taken(&self, worker: &Worker) {
        while let Some(item) = worker.pop() {
            self.took(item);
        }
        for (number, cell) in self.0.iter().enumerate() {
            // SAFETY: the thieves have been joined.
            assert_eq!(cell.with(|state| unsafe { *state }), 2, "item {number}");
        }
    }
}

fn item(number: usize) -> NonNull<()> {
    NonNull::new(ptr::without_provenance_mut((number + 1) * 8)).unwrap()
}

fn model(preemptions: usize, check: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(check);
}

fn thief(
    items: &Arc<Items>,
    stealer: Stealer,
    steal: impl Fn(&Items, &Stealer) + Send + 'static,
) -> thread::JoinHandle<()> {
    let items = Arc::clone(items);
    thread::spawn(move || steal(&items, &stealer))
}

/// Broken by leaving out the order of DQ-3 on either side, or the look at the claim in `pop`.
#[test]
fn the_last_item_goes_to_the_owner_or_to_the_thief() {
    model(4, || {
        let items = Items::new(1);
        let (worker, stealer) = deque::new();
        items.push(&worker, 0);
        let thief = thief(&items, stealer, |items, stealer| {
            items.stole(stealer.steal());
        });
        if let Some(popped) = worker.pop() {
            items.took(popped);
        }
        thief.join().unwrap();
        items.assert_all_taken(&worker);
    });
}

/// Broken by leaving out the order of DQ-3 on either side, and by a push with Relaxed (DQ-2).
#[test]
fn an_index_used_anew_after_a_pop_is_taken_once() {
    model(3, || {
        let items = Items::new(2);
        let (worker, stealer) = deque::new();
        let thief = thief(&items, stealer, |items, stealer| {
            items.stole(stealer.steal());
            items.stole(stealer.steal());
        });
        for number in 0..2 {
            items.push(&worker, number);
            if worker.pop_if_newest(item(number)) {
                assert_eq!(items.took(item(number)), number);
            }
        }
        thief.join().unwrap();
        items.assert_all_taken(&worker);
    });
}

/// Broken by leaving out the order of DQ-3 on either side.
#[test]
fn two_thieves_and_the_owner_share_two_items() {
    model(3, || {
        let items = Items::new(2);
        let (worker, stealer) = deque::new();
        items.push(&worker, 0);
        items.push(&worker, 1);
        let thieves = [stealer.clone(), stealer].map(|stealer| {
            thief(&items, stealer, |items, stealer| {
                items.stole(stealer.steal());
            })
        });
        if let Some(popped) = worker.pop() {
            items.took(popped);
        }
        for thief in thieves {
            thief.join().unwrap();
        }
        items.assert_all_taken(&worker);
    });
}

/// Broken by a second claim while there is one (DQ-7): a claim that was withdrawn comes back.
#[test]
fn two_thieves_and_an_index_used_anew() {
    model(5, || {
        let items = Items::new(2);
        let (worker, stealer) = deque::new();
        items.push(&worker, 0);
        let thieves = [(stealer.clone(), 1), (stealer, 2)].map(|(stealer, times)| {
            thief(&items, stealer, move |items, stealer| {
                for _ in 0..times {
                    items.stole(stealer.steal());
                }
            })
        });
        if worker.pop_if_newest(item(0)) {
            items.took(item(0));
        }
        items.push(&worker, 1);
        for thief in thieves {
            thief.join().unwrap();
        }
        items.assert_all_taken(&worker);
    });
}

/// The first buffer holds two under loom. Broken by storing the grown buffer with Relaxed.
#[test]
fn a_thief_takes_the_right_items_while_the_buffer_grows() {
    model(3, || {
        let items = Items::new(4);
        let (worker, stealer) = deque::new();
        let thief = thief(&items, stealer, |items, stealer| {
            let first = items.stole(stealer.steal());
            let second = items.stole(stealer.steal());
            assert!(first.is_none() || first == Some(0), "oldest first");
            assert!(
                first.is_none() || second.is_none() || second == Some(1),
                "oldest first"
            );
        });
        for number in 0..4 {
            items.push(&worker, number);
        }
        thief.join().unwrap();
        items.assert_all_taken(&worker);
    });
}

/// Broken by a commit to the whole claim where the owner has cut it short (DQ-5).
#[test]
fn a_batch_and_the_owners_pops_are_apart() {
    model(4, || {
        let items = Items::new(3);
        let (worker, stealer) = deque::new();
        for number in 0..3 {
            items.push(&worker, number);
        }
        let thief = thief(&items, stealer, |items, stealer| {
            let (own, _) = deque::new();
            if let Some(number) = items.stole(stealer.steal_batch(&own)) {
                assert_eq!(number, 0);
                if let Some(second) = own.take() {
                    assert_ne!(items.took(second), 0); // 2 where the owner used index 1 anew
                }
                assert!(own.is_empty());
            }
        });
        for _ in 0..2 {
            if let Some(popped) = worker.pop() {
                items.took(popped);
            }
        }
        items.push_again_and_pop(&worker);
        thief.join().unwrap();
        items.assert_all_taken(&worker);
    });
}

impl Items {
    /// Uses the index of the last pop anew, with an item that was taken.
    fn push_again_and_pop(&self, worker: &Worker) {
        if worker.len() == 1 {
            let number = 2;
            // Item 2 was the first to be popped.
            self.0[number].with_mut(|state| {
                // SAFETY: popped by this thread.
                unsafe { *state = 1 }
            });
            worker.push(item(number));
            if worker.pop_if_newest(item(number)) {
                self.took(item(number));
            }
        }
    }
}

/// Broken by `take` with a store instead of an exchange.
#[test]
fn taking_the_oldest_and_stealing_it_are_apart() {
    model(4, || {
        let items = Items::new(2);
        let (worker, stealer) = deque::new();
        items.push(&worker, 0);
        items.push(&worker, 1);
        let thief = thief(&items, stealer, |items, stealer| {
            items.stole(stealer.steal());
            items.stole(stealer.steal());
        });
        for _ in 0..2 {
            if let Some(taken) = worker.take() {
                items.took(taken);
            }
        }
        thief.join().unwrap();
        items.assert_all_taken(&worker);
    });
}
