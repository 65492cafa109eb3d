//! The store of one process: objects are written in place, shared, counted, and all goes back.
#![cfg(not(any(loom, miri)))]
#![allow(unsafe_code, reason = "a system call")]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::thread;

use maser_shm::store::{
    Descriptor, Foreign, HolderKind, HugePages, ObjectMut, PeerId, Release, Store, StoreConfig,
    StoreError, StoreEvents,
};

const MIB: usize = 1 << 20;

fn config(bytes: usize) -> StoreConfig {
    let mut config = StoreConfig::new(bytes);
    config.huge_pages = HugePages::Off;
    config
}

fn store(bytes: usize) -> Store {
    Store::new(config(bytes)).unwrap()
}

fn filled(mut object: ObjectMut, with: u8) -> ObjectMut {
    object.fill(with);
    object
}

#[test]
fn objects_of_every_size_are_aligned_apart_and_keep_what_was_written() {
    let store = store(256 * MIB);
    let arena = store.arena();
    let sizes = [
        0,
        1,
        63,
        64,
        65,
        1000,
        1024,
        4097,
        32768,
        32769,
        MIB,
        3 * MIB + 7,
        40 * MIB,
    ];
    let mut objects = Vec::new();
    for (number, &bytes) in sizes.iter().chain(&sizes).enumerate() {
        let object = if number % 2 == 0 {
            arena.create(bytes)
        } else {
            store.create(bytes)
        };
        objects.push(filled(object.unwrap(), number as u8).seal());
    }
    for (number, object) in objects.iter().enumerate() {
        assert_eq!(object.len(), sizes[number % sizes.len()]);
        assert_eq!(object.as_ptr() as usize % 64, 0);
        assert!(object.iter().all(|&byte| byte == number as u8), "{number}");
    }
    let bytes: usize = sizes.iter().sum();
    let usage = store.usage();
    assert_eq!(usage.objects, 2 * sizes.len() as u64);
    assert_eq!(usage.payload_bytes, 2 * bytes as u64);
    drop(objects);
    assert_eq!(store.usage().payload_bytes, 0);
    assert_all_is_back(&store);
}

fn assert_all_is_back(store: &Store) {
    store.trim();
    assert_eq!(store.usage(), maser_shm::store::Usage::default());
}

#[test]
fn there_is_no_extent_before_the_first_object_and_none_after_the_last() {
    let store = store(64 * MIB);
    assert_eq!(store.usage().extent_bytes, 0);
    let object = store.create(10).unwrap().seal();
    assert_eq!(store.usage().extents, 1);
    let again = object.clone();
    drop(object);
    assert_eq!(store.usage().objects, 1);
    drop(again);
    store.trim();
    assert_eq!(store.usage().extent_bytes, 0);
}

#[test]
fn an_object_that_was_never_sealed_gives_its_memory_back() {
    let store = store(4 * MIB);
    for _ in 0..1000 {
        let _written = filled(store.create(MIB).unwrap(), 1);
    }
    assert_all_is_back(&store);
}

#[test]
fn objects_outlive_the_arena_and_the_store_they_were_made_in() {
    let store = store(64 * MIB);
    let arena = store.arena();
    let small = filled(arena.create(100).unwrap(), 5).seal();
    let large = filled(arena.create(5 * MIB).unwrap(), 6).seal();
    drop(arena);
    assert_eq!(store.usage().objects, 2);
    drop(large);
    assert_eq!(store.usage().objects, 1);
    drop(store);
    assert!(small.iter().all(|&byte| byte == 5));
}

#[test]
fn what_other_threads_drop_comes_back_to_the_arena() {
    let store = store(8 * MIB);
    let arena = store.arena();
    for round in 0..200u32 {
        let objects: Vec<_> = (0..64)
            .map(|_| filled(arena.create(32 << 10).unwrap(), round as u8).seal())
            .collect();
        let here: Vec<_> = objects.iter().skip(32).cloned().collect();
        let there = thread::spawn(move || objects.iter().map(|object| object.len()).sum::<usize>());
        drop(here);
        assert_eq!(there.join().unwrap(), 64 * (32 << 10));
    }
    drop(arena);
    assert_all_is_back(&store);
}

#[test]
fn a_full_store_says_who_holds_what_and_goes_on_when_something_is_dropped() {
    let store = store(8 * MIB);
    store.add_peer(PeerId(3), "worker 3");
    let given = store.create(2 * MIB).unwrap().seal();
    store.give(&given, PeerId(3)).unwrap();
    drop(given);
    let own = store.create(3 * MIB).unwrap().seal();
    let error = store.create(4 * MIB).unwrap_err();
    let text = error.to_string();
    let StoreError::Full(full) = error else {
        panic!("{text}");
    };
    assert_eq!((full.asked, full.budget), (4 * MIB, 8 * MIB));
    assert_eq!(full.holders.len(), 2);
    assert_eq!(full.holders[0].kind, HolderKind::Own);
    assert_eq!(full.holders[0].bytes as usize, 3 * MIB);
    assert!(
        text.contains("worker 3 (peer 3): 2097152 bytes in 1 objects"),
        "{text}"
    );
    drop(own);
    assert!(store.create(4 * MIB).is_ok());
    store.peer_died(PeerId(3));
    assert!(store.create(7 * MIB).is_ok());
}

#[derive(Default)]
struct Returned(Mutex<Vec<(PeerId, Descriptor, u64)>>);

impl Release for Returned {
    fn release(&self, owner: PeerId, descriptor: Descriptor, count: u64) {
        self.0.lock().unwrap().push((owner, descriptor, count));
    }
}

/// Keeps descriptors of extents as a peer would get them.
#[derive(Default)]
struct Announced {
    made: Mutex<Vec<(u32, OwnedFd, u64)>>,
    retired: Mutex<Vec<u32>>,
}

impl StoreEvents for Announced {
    fn extent_made(&self, id: u32, file: BorrowedFd<'_>, bytes: u64) {
        let file = file.try_clone_to_owned().unwrap();
        self.made.lock().unwrap().push((id, file, bytes));
    }
    fn extent_retired(&self, id: u32) {
        self.retired.lock().unwrap().push(id);
    }
}

#[test]
fn a_given_object_is_read_by_its_descriptor_and_stays_until_it_is_given_back() {
    const OWNER: PeerId = PeerId(1);
    const READER: PeerId = PeerId(2);
    let announced = Arc::new(Announced::default());
    let mut config = config(64 * MIB);
    config.events = Some(announced.clone());
    let store = Store::new(config).unwrap();
    store.add_peer(READER, "reader");
    let object = filled(store.create(5000).unwrap(), 9).seal();
    let descriptor = store.give(&object, READER).unwrap();
    drop(object);
    let returned = Arc::new(Returned::default());
    let foreign = Foreign::new(returned.clone());
    let error = foreign.open(OWNER, descriptor).unwrap_err();
    assert!(matches!(error, StoreError::UnknownExtent { .. }), "{error}");
    for (id, file, bytes) in announced.made.lock().unwrap().iter() {
        foreign
            .add_extent(OWNER, *id, file.as_fd(), *bytes)
            .unwrap();
    }
    let opened = foreign.open(OWNER, descriptor).unwrap();
    let again = opened.clone();
    assert_eq!(&opened[..], &[9; 5000]);
    drop(opened);
    assert!(returned.0.lock().unwrap().is_empty());
    drop(again);
    let released = returned.0.lock().unwrap().pop().unwrap();
    assert_eq!(released, (OWNER, descriptor, 1));
    assert_eq!(store.usage().objects, 1);
    let error = store.take_back(READER, descriptor, 2).unwrap_err();
    assert!(
        matches!(error, StoreError::NotHeld { held: 1, .. }),
        "{error}"
    );
    store.take_back(READER, descriptor, 1).unwrap();
    assert_all_is_back(&store);
    let error = foreign.open(OWNER, descriptor).unwrap_err();
    assert!(matches!(error, StoreError::Gone { .. }), "{error}");
    let retired = announced.retired.lock().unwrap();
    assert_eq!(retired[..], [descriptor.extent]);
    assert!(store.take_back(READER, descriptor, 1).is_err());
}

#[test]
fn extents_double_and_a_large_object_gets_one_of_its_own() {
    let announced = Arc::new(Announced::default());
    let mut config = config(512 * MIB);
    config.events = Some(announced.clone());
    config.extent_bytes_max = 16 * MIB;
    let store = Store::new(config).unwrap();
    let mut objects = Vec::new();
    while store.usage().extents < 6 {
        objects.push(store.create(100_000).unwrap());
    }
    objects.push(store.create(50 * MIB).unwrap());
    let made = announced.made.lock().unwrap();
    let sizes: Vec<u64> = made.iter().map(|(_, _, bytes)| bytes >> 20).collect();
    assert_eq!(sizes, [2, 4, 8, 16, 16, 16, 50]);
    assert!(made[6].2 - (50 << 20) <= 16 << 10);
}

#[test]
fn a_warm_arena_allocates_and_is_written_without_a_page_fault() {
    let store = store(256 * MIB);
    let arena = store.arena();
    let work = || {
        for bytes in [100, 5000, 100_000, 3 * MIB, 40 * MIB] {
            let both = [arena.create(bytes).unwrap(), arena.create(bytes).unwrap()];
            drop(both.map(|object| filled(object, 1).seal()));
        }
    };
    work();
    store.settle();
    work();
    let before = faults();
    work();
    assert_eq!(faults(), before);
}

/// Page faults of this thread so far.
fn faults() -> i64 {
    // SAFETY: the kernel fills the structure.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage), 0);
        usage.ru_minflt + usage.ru_majflt
    }
}

#[test]
fn pages_are_faulted_in_before_they_are_used() {
    let store = store(64 * MIB);
    let first = store.create(30 * MIB).unwrap();
    store.settle();
    let before = faults();
    drop(filled(first, 1));
    assert_eq!(faults(), before);
}

#[test]
fn whoever_waits_for_memory_is_told_when_some_is_freed() {
    let store = store(8 * MIB);
    let arena = store.arena();
    let mut held = vec![arena.create(5 * MIB).unwrap().seal()];
    for round in 0..20 {
        assert!(matches!(
            store.try_create(5 * MIB),
            Err(StoreError::Full(_))
        ));
        let (told, hears) = std::sync::mpsc::channel();
        store.when_freed(move || told.send(()).unwrap());
        assert!(store.try_create(5 * MIB).is_err());
        assert!(hears.try_recv().is_err(), "nothing was freed yet");
        let last = held.pop().unwrap();
        if round % 2 == 0 {
            drop(last);
        } else {
            thread::spawn(move || drop(last)).join().unwrap();
        }
        hears.recv().unwrap();
        held.push(store.try_create(5 * MIB).unwrap().seal());
    }
    let (told, hears) = std::sync::mpsc::channel();
    store.when_freed(move || told.send(()).unwrap());
    drop(store.try_create(100).unwrap());
    hears.recv().unwrap();
}

#[test]
fn room_in_the_arena_of_another_thread_is_found() {
    let store = store(4 * MIB);
    let arena = store.arena();
    let one = arena.create(MIB).unwrap();
    let two = arena.create(MIB).unwrap();
    let three = arena.create(MIB).unwrap_err();
    assert!(
        matches!(three, StoreError::Full(_)),
        "one a MiB each: {three}"
    );
    drop(one);
    thread::scope(|scope| {
        scope.spawn(|| assert!(store.create(MIB).is_ok()));
    });
    drop(two);
}

#[test]
fn memory_that_is_charged_is_not_made_into_extents() {
    let store = store(8 * MIB);
    let charge = store.charge("extents of worker 4, which is dead", 6 * MIB);
    let error = store.create(3 * MIB).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("worker 4, which is dead: 6291456 bytes"),
        "{error}"
    );
    let (told, hears) = std::sync::mpsc::channel();
    store.when_freed(move || told.send(()).unwrap());
    drop(charge);
    hears.recv().unwrap();
    assert!(store.create(3 * MIB).is_ok());
}

#[test]
fn threads_that_make_and_drop_what_others_made_lose_and_mix_nothing() {
    let store = store(64 * MIB);
    let (sender, receiver) = std::sync::mpsc::channel::<(u8, maser_shm::store::Object)>();
    let receiver = Arc::new(Mutex::new(receiver));
    thread::scope(|scope| {
        for with in 0..3u8 {
            let (store, sender, receiver) = (&store, sender.clone(), Arc::clone(&receiver));
            scope.spawn(move || {
                let arena = store.arena();
                for step in 0..3000usize {
                    let bytes = (step * 37 + usize::from(with) * 11) % 3000;
                    let object = filled(arena.create(bytes).unwrap(), with).seal();
                    sender.send((with, object)).unwrap();
                    let received = receiver.lock().unwrap().try_recv();
                    if let Ok((with, object)) = received {
                        assert!(object.iter().all(|&byte| byte == with));
                    }
                }
            });
        }
    });
    drop(sender);
    let rest = receiver.lock().unwrap().iter().count();
    assert!(rest <= 9000);
    assert_all_is_back(&store);
}
