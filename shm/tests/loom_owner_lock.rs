//! Models of `sync::owner_lock`: one inside at a time, and each sees what the one before did.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p maser-shm --release --test loom_owner_lock`.
//! Checked by breaking the code: without either barrier of OL-2, without the second look at
//! `owner` (OL-3), and with Relaxed where OL-4 releases, a model fails.
#![cfg(loom)]
#![allow(
    unsafe_code,
    reason = "the model's cell is protected by the lock under test"
)]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use maser_shm::sync::owner_lock::OwnerLock;

struct Guarded {
    lock: OwnerLock,
    value: UnsafeCell<u32>,
}

// SAFETY: the value is touched under the lock alone; loom reports it if the lock fails.
unsafe impl Sync for Guarded {}
// SAFETY: as above.
unsafe impl Send for Guarded {}

impl Guarded {
    fn owned_by(owner: u64) -> Arc<Self> {
        let guarded = Arc::new(Self {
            lock: OwnerLock::new(),
            value: UnsafeCell::new(0),
        });
        drop(guarded.lock.lock(owner));
        guarded
    }

    fn add(&self, thread: u64) {
        let _inside = self.lock.lock(thread);
        // SAFETY: under the lock.
        self.value.with_mut(|value| unsafe { *value += 1 });
    }

    fn get(&self, thread: u64) -> u32 {
        let _inside = self.lock.lock(thread);
        // SAFETY: under the lock.
        self.value.with(|value| unsafe { *value })
    }
}

#[test]
fn owner_and_stranger_are_never_inside_together() {
    loom::model(|| {
        let guarded = Guarded::owned_by(1);
        let stranger = {
            let guarded = guarded.clone();
            thread::spawn(move || guarded.add(2))
        };
        guarded.add(1);
        stranger.join().unwrap();
        assert_eq!(guarded.get(1), 2);
    });
}

#[test]
fn an_owner_goes_the_long_way_once_strangers_come_often() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let guarded = Guarded::owned_by(1);
        let stranger = {
            let guarded = guarded.clone();
            thread::spawn(move || {
                guarded.add(2);
                guarded.add(2);
            })
        };
        guarded.add(1);
        guarded.add(1);
        stranger.join().unwrap();
        assert_eq!(guarded.get(1), 4);
    });
}

#[test]
fn a_kept_lock_stays_its_owners_however_often_strangers_come() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let guarded = Arc::new(Guarded {
            lock: OwnerLock::kept_by(1),
            value: UnsafeCell::new(0),
        });
        let stranger = {
            let guarded = guarded.clone();
            thread::spawn(move || {
                guarded.add(2);
                guarded.add(2);
                guarded.add(2);
            })
        };
        guarded.add(1);
        guarded.add(1);
        stranger.join().unwrap();
        assert_eq!(guarded.get(1), 5);
    });
}

#[test]
fn the_first_of_two_owns_a_lock_that_nobody_had() {
    loom::model(|| {
        let guarded = Arc::new(Guarded {
            lock: OwnerLock::new(),
            value: UnsafeCell::new(0),
        });
        let other = {
            let guarded = guarded.clone();
            thread::spawn(move || guarded.add(2))
        };
        guarded.add(1);
        other.join().unwrap();
        assert_eq!(guarded.get(1), 2);
    });
}

#[test]
fn two_strangers_take_turns() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let guarded = Guarded::owned_by(1);
        let strangers: Vec<_> = [2, 3]
            .into_iter()
            .map(|thread| {
                let guarded = guarded.clone();
                thread::spawn(move || guarded.add(thread))
            })
            .collect();
        for stranger in strangers {
            stranger.join().unwrap();
        }
        assert_eq!(guarded.get(1), 2);
    });
}
