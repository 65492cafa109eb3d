//! Parking and waking real threads.
#![cfg(not(loom))]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use maser_shm::os::membarrier;
use maser_shm::sync::event::Event;

/// Two threads hand a number to and fro and sleep in between; a lost wake-up hangs the test.
fn ping_pong(rounds: u32) {
    let (ping, pong) = (Event::new(), Event::new());
    let turn = AtomicU32::new(0);
    let play = |mine: &Event, theirs: &Event, parity: u32| {
        for round in (parity..rounds).step_by(2) {
            while turn.load(Ordering::Acquire) != round {
                mine.prepare_park();
                if turn.load(Ordering::Acquire) == round {
                    mine.cancel_park();
                } else {
                    mine.park(None);
                }
            }
            turn.store(round + 1, Ordering::Release);
            theirs.notify();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| play(&ping, &pong, 0));
        scope.spawn(|| play(&pong, &ping, 1));
    });
    assert_eq!(turn.into_inner(), rounds);
}

#[test]
fn no_wake_up_is_lost_before_and_after_registration() {
    let rounds = if cfg!(miri) { 20 } else { 2_000 };
    ping_pong(rounds);
    membarrier::register();
    ping_pong(rounds);
}

#[test]
fn a_park_without_a_notification_ends_with_its_timeout() {
    let event = Event::new();
    event.prepare_park();
    assert!(event.is_parked());
    assert!(!event.park(Some(Duration::from_millis(1))));
    assert!(!event.is_parked());
}

#[test]
fn a_notification_after_prepare_is_kept_until_park() {
    let event = Event::new();
    event.prepare_park();
    event.notify();
    event.notify();
    assert!(event.park(None));
}

#[test]
fn a_notification_of_an_awake_thread_leaves_nothing_behind() {
    let event = Event::new();
    event.notify();
    event.prepare_park();
    event.cancel_park();
    event.prepare_park();
    assert!(!event.park(Some(Duration::from_millis(1))));
}
