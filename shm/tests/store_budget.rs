//! Stores that take from one budget: never above it together, and all of it comes back.
#![cfg(not(any(loom, miri)))]

use std::sync::{Arc, Mutex, mpsc};

use maser_shm::store::{Budget, Holder, HolderKind, HugePages, Store, StoreConfig, StoreError};

const MIB: usize = 1 << 20;

/// A budget in one process.
struct Shared {
    total: usize,
    taken: Mutex<usize>,
}

impl Budget for Shared {
    fn take(&self, bytes: usize, _urgent: bool) -> bool {
        let mut taken = self.taken.lock().unwrap();
        let fits = *taken + bytes <= self.total;
        if fits {
            *taken += bytes;
        }
        fits
    }

    fn give_back(&self, bytes: usize) {
        *self.taken.lock().unwrap() -= bytes;
    }

    fn others(&self) -> (usize, Vec<Holder>) {
        let taken = *self.taken.lock().unwrap();
        let others = Holder {
            kind: HolderKind::Charged {
                name: "all stores".into(),
            },
            objects: 0,
            bytes: taken as u64,
        };
        (self.total - taken, vec![others])
    }
}

fn two_stores(total: usize) -> (Arc<Shared>, Store, Store) {
    let shared = Arc::new(Shared {
        total,
        taken: Mutex::default(),
    });
    let store = || {
        let mut config = StoreConfig::new(total);
        config.huge_pages = HugePages::Off;
        config.populate = false;
        config.budget = Some(shared.clone());
        Store::new(config).unwrap()
    };
    let (one, other) = (store(), store());
    (shared, one, other)
}

#[test]
fn stores_are_never_above_the_budget_together() {
    let (shared, one, other) = two_stores(32 * MIB);
    let kept = one.put(&vec![1; 20 * MIB]).unwrap();
    let error = other.create(20 * MIB).unwrap_err();
    let StoreError::Full(full) = &error else {
        panic!("{error}");
    };
    assert!(full.free < 20 * MIB, "{full:?}");
    assert!(error.to_string().contains("all stores: "), "{error}");
    let small = other.put(&[2; 1000]).unwrap();
    assert!(*shared.taken.lock().unwrap() <= 32 * MIB);
    drop(kept);
    one.trim();
    let large = other.put(&vec![3; 20 * MIB]).unwrap();
    assert_eq!((large[0], small[0]), (3, 2));
    drop((large, small));
    other.trim();
    assert_eq!(*shared.taken.lock().unwrap(), 0);
}

#[test]
fn a_store_that_ends_gives_back_all_that_it_took() {
    let (shared, one, other) = two_stores(32 * MIB);
    let kept = one.put(&vec![1; 5 * MIB]).unwrap();
    let arena = one.arena();
    drop(arena.put(&[1; 100]).unwrap());
    drop((arena, one));
    assert!(
        *shared.taken.lock().unwrap() >= 5 * MIB,
        "an object is held"
    );
    drop(kept);
    assert_eq!(*shared.taken.lock().unwrap(), 0);
    drop(other.put(&vec![3; 30 * MIB]).unwrap());
}

#[test]
fn who_waits_is_called_when_another_store_has_given_something_back() {
    let (_, one, other) = two_stores(32 * MIB);
    let kept = one.put(&vec![1; 20 * MIB]).unwrap();
    let (told, heard) = mpsc::channel();
    other.when_freed(move || told.send(()).unwrap());
    assert!(other.create(20 * MIB).is_err());
    drop(kept);
    one.trim();
    other.tell_freed();
    heard.recv().unwrap();
    other.create(20 * MIB).unwrap();
}
