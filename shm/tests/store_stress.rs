//! Threads that do everything at once in a store that is too small for them: nothing is mixed up,
//! nobody waits for ever, and all comes back.
#![cfg(not(any(loom, miri)))]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use maser_shm::store::{
    Descriptor, HugePages, Leave, Object, PeerId, Shelved, Spill, SpillFailure, Store, StoreConfig,
    StoreError, Ticket, Usage,
};

#[derive(Default)]
struct Disk {
    files: Mutex<HashMap<u64, Vec<u8>>>,
    next: AtomicU64,
}

impl Spill for Disk {
    fn write(&self, bytes: &[u8]) -> Result<Ticket, SpillFailure> {
        let ticket = self.next.fetch_add(1, Ordering::Relaxed);
        self.files.lock().unwrap().insert(ticket, bytes.to_vec());
        Ok(Ticket(ticket))
    }
    fn read(&self, ticket: Ticket, bytes: &mut [u8]) -> Result<(), SpillFailure> {
        bytes.copy_from_slice(&self.files.lock().unwrap()[&ticket.0]);
        Ok(())
    }
    fn discard(&self, ticket: Ticket) {
        self.files.lock().unwrap().remove(&ticket.0).unwrap();
    }
}

/// Numbers without a pattern, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % end
    }
}

/// An object tells its own length and what it is filled with.
fn make(
    create: impl Fn(usize) -> Result<maser_shm::store::ObjectMut, StoreError>,
    bytes: usize,
) -> Option<Object> {
    match create(bytes) {
        Ok(mut object) => {
            object.fill(bytes as u8);
            Some(object.seal())
        }
        Err(StoreError::Full(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

fn check(object: &Object) {
    let with = object.len() as u8;
    assert!(object.iter().all(|&byte| byte == with));
}

#[test]
fn everything_at_once_in_a_store_that_is_too_small() {
    let disk = Arc::new(Disk::default());
    let mut config = StoreConfig::new(6 << 20);
    config.huge_pages = HugePages::Off;
    config.extent_bytes_first = 1 << 20;
    config.spill = Some(disk.clone());
    let store = Store::new(config).unwrap();
    let shelf: Mutex<Vec<Shelved>> = Mutex::default();
    thread::scope(|scope| {
        for number in 0..4u32 {
            let (store, shelf) = (&store, &shelf);
            scope.spawn(move || work(store, shelf, number));
        }
    });
    for shelved in shelf.into_inner().unwrap() {
        match shelved.get() {
            Ok(object) => check(&object),
            Err(StoreError::Evicted { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(disk.files.lock().unwrap().is_empty());
    store.trim();
    assert_eq!(store.usage(), Usage::default());
}

fn work(store: &Store, shelf: &Mutex<Vec<Shelved>>, number: u32) {
    let mut numbers = Numbers(u64::from(number) + 1);
    let arena = store.arena();
    let peer = PeerId(number);
    let mut own: Vec<Object> = Vec::new();
    let mut given: Vec<Descriptor> = Vec::new();
    store.add_peer(peer, "peer");
    for _ in 0..1500 {
        let bytes = numbers.below(200_000) >> numbers.below(10);
        match numbers.below(9) {
            0 | 1 => own.extend(make(|bytes| arena.create(bytes), bytes)),
            2 => own.extend(make(|bytes| store.try_create(bytes), bytes)),
            3 | 4 => {
                if let Some(object) = make(|bytes| arena.create(bytes), bytes) {
                    let leave = [Leave::Dropped, Leave::ToDisk][numbers.below(2)];
                    let shelved = store.shelve(object, leave).unwrap();
                    shelf.lock().unwrap().push(shelved);
                }
            }
            5 => {
                let shelf = shelf.lock().unwrap();
                let shelved = shelf.get(numbers.below(shelf.len() + 1)).cloned();
                drop(shelf);
                match shelved.map(|shelved| shelved.get()) {
                    Some(Ok(object)) => check(&object),
                    None | Some(Err(StoreError::Evicted { .. } | StoreError::Full(_))) => {}
                    Some(Err(error)) => panic!("{error}"),
                }
            }
            6 => {
                if let Some(object) = own.last() {
                    given.push(store.give(object, peer).unwrap());
                }
                if given.len() > 5 {
                    store.take_back(peer, given.swap_remove(0), 1).unwrap();
                }
            }
            7 => {
                let (told, hears) = mpsc::channel();
                store.when_freed(move || {
                    let _waited = told.send(());
                });
                drop(own.pop());
                let freed = make(|bytes| arena.create(bytes), 100).is_some();
                if freed {
                    hears.recv().unwrap();
                }
            }
            _ => {
                let mut shelf = shelf.lock().unwrap();
                if shelf.len() > 40 {
                    let which = numbers.below(shelf.len());
                    let shelved = shelf.swap_remove(which);
                    drop(shelf);
                    drop(shelved);
                }
            }
        }
        if own.len() > 10 {
            let object = own.swap_remove(numbers.below(own.len()));
            check(&object);
        }
    }
    store.peer_died(peer);
}
