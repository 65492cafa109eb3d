//! Models of `sync::stand_in`: owner and helper turn the same thing, never together, and a helper never sleeps
//! over what is needed.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p maser-shm --release --test loom_stand_in`.
//! Checked by breaking the code: with `busy` not looked at in `OwnerLock::try_lock`, without its heavy barrier,
//! with the notification before the store in `StandIn::change`, and with the count not compared in `Seen`, a model
//! fails.
#![cfg(loom)]
#![allow(
    unsafe_code,
    reason = "the model's cell is protected by the lock under test"
)]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use maser_shm::sync::event::Event;
use maser_shm::sync::stand_in::{Seen, StandIn};

struct Turned {
    stand_in: StandIn,
    value: UnsafeCell<u32>,
}

// SAFETY: SI-1, the value is touched inside alone; loom reports it if the lock fails.
unsafe impl Sync for Turned {}
// SAFETY: as above.
unsafe impl Send for Turned {}

impl Turned {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            stand_in: StandIn::kept_by(1),
            value: UnsafeCell::new(0),
        })
    }

    /// Inside.
    fn turn(&self) {
        // SAFETY: SI-1, the caller is inside.
        self.value.with_mut(|value| unsafe { *value += 1 });
    }
}

#[test]
fn owner_and_helper_never_turn_it_together_and_no_turn_is_lost() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let turned = Turned::new();
        let helper = {
            let turned = turned.clone();
            thread::spawn(move || match turned.stand_in.try_enter(2) {
                Some(_inside) => {
                    turned.turn();
                    1
                }
                None => 0,
            })
        };
        for _ in 0..2 {
            let _inside = turned.stand_in.enter(1);
            turned.turn();
        }
        let stood_in = helper.join().unwrap();
        let _inside = turned.stand_in.enter(1);
        // SAFETY: SI-1.
        let value = turned.value.with(|value| unsafe { *value });
        assert_eq!(value, 2 + stood_in);
    });
}

#[test]
fn two_helpers_and_the_owner_take_turns() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let turned = Turned::new();
        let helpers: Vec<_> = [2, 3]
            .into_iter()
            .map(|number| {
                let turned = turned.clone();
                thread::spawn(move || {
                    turned.stand_in.try_enter(number).map_or(0, |_inside| {
                        turned.turn();
                        1
                    })
                })
            })
            .collect();
        {
            let _inside = turned.stand_in.enter(1);
            turned.turn();
        }
        let stood_in: u32 = helpers.into_iter().map(|one| one.join().unwrap()).sum();
        let _inside = turned.stand_in.enter(1);
        // SAFETY: SI-1.
        assert_eq!(turned.value.with(|value| unsafe { *value }), 1 + stood_in);
    });
}

#[test]
fn a_helper_does_not_sleep_over_what_is_needed() {
    loom::model(|| {
        let shared = Arc::new((StandIn::kept_by(1), Event::new()));
        let helper = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (stand_in, event) = &*shared;
                // One pass of its loop; a park that nobody ends is a deadlock, which loom reports.
                event.prepare_park();
                match stand_in.is_needed() {
                    true => event.cancel_park(),
                    false => {
                        event.park(None);
                    }
                }
                assert!(stand_in.is_needed());
            })
        };
        let (stand_in, event) = &*shared;
        drop(stand_in.enter(1));
        stand_in.need(true, event);
        helper.join().unwrap();
    });
}

#[test]
fn an_owner_that_turns_between_two_ticks_is_not_stalled() {
    loom::model(|| {
        let turned = Turned::new();
        turned.stand_in.need(true, &Event::new());
        let ticks = {
            let turned = turned.clone();
            thread::spawn(move || {
                let mut seen = Seen::default();
                let first = seen.is_stalled(&turned.stand_in);
                let (before, after) = (turned.stand_in.turns(), turned.stand_in.turns());
                let second = seen.is_stalled(&turned.stand_in);
                assert!(!first, "nothing was seen before the first tick");
                assert!(before == after || !second, "SI-2");
            })
        };
        drop(turned.stand_in.enter(1));
        ticks.join().unwrap();
    });
}
