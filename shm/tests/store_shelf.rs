//! Objects that leave memory when there is no room: the coldest first, none that is in use, and
//! back again when asked for.
#![cfg(not(any(loom, miri)))]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use maser_shm::store::{
    HugePages, Leave, Shelved, Spill, SpillFailure, Store, StoreConfig, StoreError, Ticket,
};

const MIB: usize = 1 << 20;

/// A disk in memory, which can be full or broken.
#[derive(Default)]
struct Disk {
    files: Mutex<HashMap<u64, Vec<u8>>>,
    refuses: Mutex<bool>,
}

impl Spill for Disk {
    fn write(&self, bytes: &[u8]) -> Result<Ticket, SpillFailure> {
        if *self.refuses.lock().unwrap() {
            return Err("the disk is full".into());
        }
        let mut files = self.files.lock().unwrap();
        let ticket = files.keys().max().map_or(0, |last| last + 1);
        files.insert(ticket, bytes.to_vec());
        Ok(Ticket(ticket))
    }
    fn read(&self, ticket: Ticket, bytes: &mut [u8]) -> Result<(), SpillFailure> {
        if *self.refuses.lock().unwrap() {
            return Err("the disk is broken".into());
        }
        bytes.copy_from_slice(&self.files.lock().unwrap()[&ticket.0]);
        Ok(())
    }
    fn discard(&self, ticket: Ticket) {
        self.files.lock().unwrap().remove(&ticket.0).unwrap();
    }
}

fn store(bytes: usize) -> (Store, Arc<Disk>) {
    let disk = Arc::new(Disk::default());
    let mut config = StoreConfig::new(bytes);
    config.huge_pages = HugePages::Off;
    // An extent for each object, so that what fits can be counted.
    (config.extent_bytes_first, config.extent_bytes_max) = (MIB, MIB);
    config.spill = Some(disk.clone());
    (Store::new(config).unwrap(), disk)
}

fn shelve(store: &Store, bytes: usize, with: u8, leave: Leave) -> Shelved {
    let mut object = store.create(bytes).unwrap();
    object.fill(with);
    store.shelve(object.seal(), leave).unwrap()
}

fn here(shelved: &[Shelved]) -> Vec<bool> {
    shelved.iter().map(Shelved::is_here).collect()
}

#[test]
fn cached_copies_that_nobody_uses_are_dropped_the_coldest_first() {
    let (store, _disk) = store(9 * MIB);
    let cached: Vec<_> = (0..4)
        .map(|i| shelve(&store, 2 * MIB, i, Leave::Dropped))
        .collect();
    let used = cached[1].get().unwrap();
    drop(store.try_create(2 * MIB).unwrap()); // the first round is over
    assert_eq!(here(&cached), [false, true, true, true]);
    let touched = cached[2].get().unwrap();
    drop(touched);
    let kept = store.try_create(2 * MIB).unwrap();
    drop(store.try_create(2 * MIB).unwrap());
    assert_eq!(here(&cached), [false, true, true, false]);
    let error = cached[3].get().unwrap_err();
    assert!(
        matches!(error, StoreError::Evicted { bytes } if bytes == 2 * MIB),
        "{error}"
    );
    assert_eq!(used[7], 1);
    drop(kept);
}

#[test]
fn what_is_in_use_stays_and_then_the_store_is_full() {
    let (store, disk) = store(9 * MIB);
    let shelved: Vec<_> = (0..4)
        .map(|i| shelve(&store, 2 * MIB, i, Leave::ToDisk))
        .collect();
    let pins: Vec<_> = shelved
        .iter()
        .map(|shelved| shelved.get().unwrap())
        .collect();
    let error = store.create(2 * MIB).unwrap_err();
    assert!(matches!(error, StoreError::Full(_)), "{error}");
    assert!(disk.files.lock().unwrap().is_empty());
    drop(pins);
    assert!(store.try_create(2 * MIB).is_err(), "it does not write");
    store.create(2 * MIB).unwrap();
    assert_eq!(disk.files.lock().unwrap().len(), 1);
}

#[test]
fn more_than_fits_memory_is_all_there_again_byte_by_byte() {
    let (store, disk) = store(8 * MIB);
    let shelved: Vec<_> = (0..40)
        .map(|i| shelve(&store, MIB, i, Leave::ToDisk))
        .collect();
    assert!(store.usage().extent_bytes <= 8 * MIB);
    assert!(store.usage().spilled >= 32 && store.usage().spilled_bytes >= 32 << 20);
    for _round in 0..2 {
        for (with, shelved) in shelved.iter().enumerate() {
            let object = shelved.get().unwrap();
            assert!(object.iter().all(|&byte| byte == with as u8), "{with}");
        }
    }
    drop(shelved);
    assert!(disk.files.lock().unwrap().is_empty());
    store.trim();
    assert_eq!(store.usage(), maser_shm::store::Usage::default());
}

#[test]
fn a_full_disk_and_a_broken_one_lose_nothing() {
    let (store, disk) = store(6 * MIB);
    let shelved: Vec<_> = (0..4)
        .map(|i| shelve(&store, MIB, i, Leave::ToDisk))
        .collect();
    *disk.refuses.lock().unwrap() = true;
    let error = store.create(2 * MIB).unwrap_err();
    assert!(error.to_string().contains("the disk is full"), "{error}");
    assert_eq!(here(&shelved), [true; 4]);
    *disk.refuses.lock().unwrap() = false;
    drop(store.create(4 * MIB).unwrap());
    *disk.refuses.lock().unwrap() = true;
    let away = shelved.iter().find(|shelved| !shelved.is_here()).unwrap();
    let error = away.get().unwrap_err();
    assert!(error.to_string().contains("the disk is broken"), "{error}");
    *disk.refuses.lock().unwrap() = false;
    for (with, shelved) in shelved.iter().enumerate() {
        assert!(
            shelved
                .get()
                .unwrap()
                .iter()
                .all(|&byte| byte == with as u8)
        );
    }
}

#[test]
fn threads_that_ask_for_the_same_few_objects_all_get_them() {
    let (store, disk) = store(6 * MIB);
    let shelved: Vec<_> = (0..12)
        .map(|i| shelve(&store, MIB, i, Leave::ToDisk))
        .collect();
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let shelved = &shelved;
            scope.spawn(move || {
                for step in 0..60 {
                    let which = (step * 7 + thread * 5) % shelved.len();
                    let object = loop {
                        match shelved[which].get() {
                            Ok(object) => break object,
                            // The others hold what could have gone.
                            Err(StoreError::Full(_)) => std::thread::yield_now(),
                            Err(error) => panic!("{error}"),
                        }
                    };
                    assert!(object.iter().all(|&byte| byte == which as u8));
                }
            });
        }
    });
    drop(shelved);
    assert!(disk.files.lock().unwrap().is_empty());
    assert_eq!(store.usage().objects, 0);
}

#[test]
fn an_object_of_another_store_and_one_with_no_disk_are_refused() {
    let (store, _disk) = store(4 * MIB);
    let other = Store::new(StoreConfig::new(4 * MIB)).unwrap();
    let object = other.put(b"x").unwrap();
    let error = store.shelve(object.clone(), Leave::Dropped).unwrap_err();
    assert!(matches!(error, StoreError::OtherStore), "{error}");
    let error = other.shelve(object, Leave::ToDisk).unwrap_err();
    assert!(error.to_string().contains("spill_directory"), "{error}");
}
