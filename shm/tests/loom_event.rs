//! Model of the parking protocol: no published work is left to a sleeping parker (EV-2).
//!
//! The futex is modelled by a lock and a condition variable, so a lost wake-up is a deadlock that
//! loom reports. Checked by breaking the code: without the fence in `prepare_park`, without the one
//! in `notify` or `notify_across`, without the system call in `wake`, and with a Relaxed return from `park`, a model
//! here fails. The Release of `wake` is not checked: under loom the fence before it does the same.
//!
//! Run: `RUSTFLAGS="--cfg loom" cargo test -p maser-shm --release --test loom_event`.
#![cfg(loom)]

use std::time::Duration;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;
use maser_shm::sync::event::Event;

/// Parks until `done` says that there is nothing left to wait for.
fn park_until(event: &Event, done: impl Fn() -> bool) {
    while !done() {
        event.prepare_park();
        if done() {
            event.cancel_park();
        } else {
            event.park(None);
        }
    }
}

#[test]
fn work_published_before_notify_wakes_the_parker() {
    loom::model(|| {
        let shared = Arc::new((Event::new(), AtomicU32::new(0)));
        let theirs = Arc::clone(&shared);
        let notifier = thread::spawn(move || {
            theirs.1.store(1, Ordering::Relaxed);
            theirs.0.notify();
        });
        park_until(&shared.0, || shared.1.load(Ordering::Relaxed) == 1);
        notifier.join().unwrap();
    });
}

#[test]
fn work_published_in_another_process_wakes_the_parker() {
    loom::model(|| {
        let shared = Arc::new((Event::new(), AtomicU32::new(0)));
        let theirs = Arc::clone(&shared);
        let notifier = thread::spawn(move || {
            theirs.1.store(1, Ordering::Relaxed);
            theirs.0.notify_across();
        });
        park_until(&shared.0, || shared.1.load(Ordering::Relaxed) == 1);
        notifier.join().unwrap();
    });
}

#[test]
fn two_notifiers_wake_for_the_work_of_both() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let shared = Arc::new((Event::new(), AtomicU32::new(0)));
        let notifiers = [1, 1].map(|amount| {
            let theirs = Arc::clone(&shared);
            thread::spawn(move || {
                theirs.1.fetch_add(amount, Ordering::Relaxed);
                theirs.0.notify();
            })
        });
        park_until(&shared.0, || shared.1.load(Ordering::Relaxed) == 2);
        for notifier in notifiers {
            notifier.join().unwrap();
        }
    });
}

#[test]
fn a_park_that_was_notified_sees_the_work_at_its_first_look() {
    loom::model(|| {
        let shared = Arc::new((Event::new(), AtomicU32::new(0)));
        let theirs = Arc::clone(&shared);
        let notifier = thread::spawn(move || {
            theirs.1.store(1, Ordering::Relaxed);
            theirs.0.notify();
        });
        shared.0.prepare_park();
        if shared.1.load(Ordering::Relaxed) == 0 {
            assert!(shared.0.park(None));
            assert_eq!(shared.1.load(Ordering::Relaxed), 1, "EV-4");
        } else {
            shared.0.cancel_park();
        }
        notifier.join().unwrap();
    });
}

#[test]
fn a_park_whose_time_is_up_leaves_the_event_usable() {
    loom::model(|| {
        let shared = Arc::new((Event::new(), AtomicU32::new(0)));
        let theirs = Arc::clone(&shared);
        let notifier = thread::spawn(move || {
            theirs.1.store(1, Ordering::Relaxed);
            theirs.0.notify();
        });
        shared.0.prepare_park();
        let notified = shared.0.park(Some(Duration::ZERO));
        assert!(!notified || shared.1.load(Ordering::Relaxed) == 1, "EV-4");
        assert!(!shared.0.is_parked());
        park_until(&shared.0, || shared.1.load(Ordering::Relaxed) == 1);
        notifier.join().unwrap();
    });
}
