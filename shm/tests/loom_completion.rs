//! Models of `sync::completion`: value before DONE, count against DONE, waiters against both.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p maser-shm --release --test loom_completion`.
//! Checked by breaking the code: Relaxed in the exchange of `complete` (the value is read too
//! early), DONE set before the list is taken (CP-3), the count dropped without looking at DONE
//! (freed twice or never), and `remove` that does not wait for NOTIFIED (CP-4) all fail here.
#![cfg(loom)]
#![allow(
    unsafe_code,
    reason = "the model plays the producer and its waiters by the rules CP-*"
)]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use maser_shm::sync::completion::{Completed, Completion, Notify, Released, WaitNode};

/// A cell with a value, and how often it was freed.
struct Cell {
    completion: Completion,
    value: UnsafeCell<u32>,
    frees: AtomicUsize,
}

// SAFETY: the value is written before and read after DONE (CP-1).
unsafe impl Sync for Cell {}
// SAFETY: as above.
unsafe impl Send for Cell {}

impl Cell {
    fn pending(handles: u64) -> Arc<Self> {
        Arc::new(Self {
            completion: Completion::new(handles),
            value: UnsafeCell::new(0),
            frees: AtomicUsize::new(0),
        })
    }

    fn produce(&self) {
        // SAFETY: CP-1, nobody reads before DONE.
        self.value.with_mut(|value| unsafe { *value = 7 });
        if self.completion.complete() == Completed::Free {
            self.frees.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn release(&self) {
        if self.completion.release() == Released::Free {
            self.frees.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn read(&self) -> u32 {
        // SAFETY: CP-1, DONE was seen.
        self.value.with(|value| unsafe { *value })
    }
}

#[test]
fn a_reader_that_sees_done_sees_the_value() {
    loom::model(|| {
        let cell = Cell::pending(1);
        let producer = {
            let cell = cell.clone();
            thread::spawn(move || cell.produce())
        };
        if cell.completion.is_done() {
            assert_eq!(cell.read(), 7);
        }
        cell.release();
        producer.join().unwrap();
        assert_eq!(cell.frees.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn exactly_one_of_producer_and_two_holders_frees() {
    loom::model(|| {
        let cell = Cell::pending(2);
        let other = {
            let cell = cell.clone();
            thread::spawn(move || cell.release())
        };
        let producer = {
            let cell = cell.clone();
            thread::spawn(move || cell.produce())
        };
        cell.release();
        other.join().unwrap();
        producer.join().unwrap();
        assert_eq!(cell.frees.load(Ordering::Relaxed), 1);
    });
}

unsafe fn count_up(data: *const ()) {
    // SAFETY: the counter outlives the model's threads.
    unsafe { &*data.cast::<AtomicUsize>() }.fetch_add(1, Ordering::AcqRel);
}

#[test]
fn a_waiter_is_notified_exactly_when_it_was_linked() {
    loom::model(|| {
        let cell = Cell::pending(1);
        let producer = {
            let cell = cell.clone();
            thread::spawn(move || cell.produce())
        };
        let calls = Box::new(AtomicUsize::new(0));
        let data = (&raw const *calls).cast();
        let node = Box::into_raw(Box::new(WaitNode::new(Notify {
            call: count_up,
            data,
        })));
        // SAFETY: the node stays until the producer has ended.
        let linked = unsafe { cell.completion.add(node) };
        if !linked {
            assert!(cell.completion.is_done());
            assert_eq!(cell.read(), 7);
        }
        producer.join().unwrap();
        assert_eq!(calls.load(Ordering::Acquire), usize::from(linked));
        cell.release();
        assert_eq!(cell.frees.load(Ordering::Relaxed), 1);
        // SAFETY: notified or never linked (CP-4).
        drop(unsafe { Box::from_raw(node) });
    });
}

#[test]
fn a_waiter_that_gives_up_is_out_of_the_list_or_notified() {
    loom::model(|| {
        let cell = Cell::pending(1);
        let producer = {
            let cell = cell.clone();
            thread::spawn(move || cell.produce())
        };
        let calls = Box::new(AtomicUsize::new(0));
        let data = (&raw const *calls).cast();
        let node = Box::into_raw(Box::new(WaitNode::new(Notify {
            call: count_up,
            data,
        })));
        // SAFETY: the node goes only after `remove`.
        let mut expected = 0;
        unsafe {
            if cell.completion.add(node) && !cell.completion.remove(node) {
                expected = 1;
                assert!((*node).is_notified());
            }
            // CP-4: it may go now, whatever the producer is doing.
            drop(Box::from_raw(node));
        }
        producer.join().unwrap();
        assert_eq!(calls.load(Ordering::Acquire), expected);
        cell.release();
        assert_eq!(cell.frees.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn two_waiters_leave_and_stay_without_losing_each_other() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let cell = Cell::pending(2);
        let calls = Arc::new(AtomicUsize::new(0));
        let leaver = {
            let (cell, calls) = (cell.clone(), calls.clone());
            thread::spawn(move || {
                let data = (&raw const *calls).cast();
                let mut node = WaitNode::new(Notify {
                    call: count_up,
                    data,
                });
                // SAFETY: the node goes only after `remove`.
                let notified = unsafe {
                    cell.completion.add(&raw mut node) && !cell.completion.remove(&raw mut node)
                };
                cell.release();
                usize::from(notified)
            })
        };
        let data = (&raw const *calls).cast();
        let stayer = Box::into_raw(Box::new(WaitNode::new(Notify {
            call: count_up,
            data,
        })));
        // SAFETY: the node goes only after the producer has ended.
        let linked = unsafe { cell.completion.add(stayer) };
        assert!(linked, "nothing has completed it yet");
        cell.produce();
        let others = leaver.join().unwrap();
        assert_eq!(calls.load(Ordering::Acquire), 1 + others);
        cell.release();
        assert_eq!(cell.frees.load(Ordering::Relaxed), 1);
        // SAFETY: notified (CP-4).
        drop(unsafe { Box::from_raw(stayer) });
    });
}
