//! Extents in which nothing lies: they stay for what comes next, and go back when nothing comes.
#![cfg(not(any(loom, miri)))]

use std::os::fd::BorrowedFd;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use maser_shm::store::{HugePages, Store, StoreConfig, StoreEvents, Usage};

const MIB: usize = 1 << 20;

fn config() -> StoreConfig {
    StoreConfig {
        huge_pages: HugePages::Off,
        ..StoreConfig::new(256 * MIB)
    }
}

/// A store that looks for itself all the time, and who hears of the ends of its extents.
fn store_that_looks(populate: bool) -> (Store, Receiver<u32>) {
    struct Ends(Mutex<Sender<u32>>);

    impl StoreEvents for Ends {
        fn extent_made(&self, _: u32, _: BorrowedFd<'_>, _: u64) {}

        fn extent_retired(&self, id: u32) {
            let _unheard = self.0.lock().unwrap().send(id);
        }
    }

    let (sender, ends) = channel();
    let config = StoreConfig {
        warm_time: Some(Duration::from_millis(1)),
        populate,
        events: Some(Arc::new(Ends(Mutex::new(sender)))),
        ..config()
    };
    (Store::new(config).unwrap(), ends)
}

/// Waits until the store has given all back.
fn await_end(store: &Store, ends: &Receiver<u32>) {
    while store.usage().extents > 0 {
        ends.recv().unwrap();
    }
    // Bytes count until they are unmapped, which is after the extent has left the list.
    while store.usage() != Usage::default() {
        thread::yield_now();
    }
}

#[test]
fn an_extent_goes_back_when_nothing_lay_in_it_between_two_looks() {
    let store = Store::new(config()).unwrap();
    let arena = store.arena();
    drop(arena.create(40 * MIB).unwrap());
    assert!(store.cool(), "it lies empty");
    assert_eq!(store.usage().extents, 1);
    assert!(!store.cool(), "it did so for long enough");
    assert_eq!(store.usage().extents, 0);
}

#[test]
fn an_extent_that_is_used_between_two_looks_stays() {
    let store = Store::new(config()).unwrap();
    let arena = store.arena();
    for _ in 0..10 {
        drop(arena.create(40 * MIB).unwrap());
        assert!(store.cool());
        assert_eq!(store.usage().extents, 1);
    }
}

#[test]
fn what_is_used_stays_while_what_is_not_goes_back() {
    let store = Store::new(config()).unwrap();
    let arena = store.arena();
    let both = [40, 80].map(|size| arena.create(size * MIB).unwrap());
    assert!(!store.cool(), "nothing lies empty");
    assert_eq!(store.usage().extents, 2);
    drop(both);
    assert!(store.cool());
    drop(arena.create(70 * MIB).unwrap());
    assert!(store.cool());
    assert_eq!(store.usage().extents, 1);
    assert!(store.usage().extent_bytes > 80 * MIB);
}

#[test]
fn small_objects_keep_no_extent_when_they_are_gone() {
    let store = Store::new(config()).unwrap();
    let arena = store.arena();
    let objects: Vec<_> = (0..1000).map(|at| arena.create(at).unwrap()).collect();
    drop(objects);
    store.cool();
    store.cool();
    assert_eq!(store.usage(), Usage::default());
}

#[test]
fn a_store_that_is_left_alone_gives_its_extents_back_by_itself() {
    for populate in [false, true] {
        let (store, ends) = store_that_looks(populate);
        let arena = store.arena();
        for size in [1, 30 * MIB] {
            drop(arena.create(size).unwrap());
            await_end(&store, &ends);
            drop(store.create(size).unwrap());
            await_end(&store, &ends);
        }
    }
}

#[test]
fn what_another_thread_drops_is_given_back_although_the_owner_does_nothing() {
    let (store, ends) = store_that_looks(false);
    let arena = store.arena();
    for _ in 0..20 {
        let object = arena.create(20 * MIB).unwrap().seal();
        thread::spawn(move || drop(object)).join().unwrap();
        await_end(&store, &ends);
    }
}

#[test]
fn what_is_made_while_extents_go_back_is_not_lost() {
    let (store, ends) = store_that_looks(true);
    thread::scope(|scope| {
        for number in 0..2 {
            let store = store.clone();
            scope.spawn(move || {
                let arena = store.arena();
                for round in 0..2_000_u32 {
                    let with = (round % 251) as u8 + number;
                    let mut object = arena.create(MIB).unwrap();
                    object[..64].fill(with);
                    let object = object.seal();
                    assert!(object[..64].iter().all(|&byte| byte == with));
                    if round % 100 == 0 {
                        store.cool();
                        thread::yield_now();
                    }
                }
            });
        }
    });
    await_end(&store, &ends);
}

#[test]
fn a_store_may_end_while_it_has_something_to_give_back() {
    for _ in 0..50 {
        let (store, ends) = store_that_looks(true);
        drop(store.create(3 * MIB).unwrap());
        drop(store);
        assert_eq!(ends.recv(), Ok(0));
        assert!(
            ends.recv().is_err(),
            "the store is gone, and its thread with it"
        );
    }
}
