//! What every arena does, whoever owns it: places do not overlap, and all of them come back.
//!
//! `arena_suite!(name, Kind)` instantiates the suite for one [`Kind`].

use std::sync::mpsc;
use std::thread;

use maser_shm::store::{
    Arena, HugePages, Object, ObjectMut, Store, StoreConfig, StoreError, Usage,
};
use proptest::prelude::*;

const MIB: usize = 1 << 20;

/// A place to make objects in.
trait Kind {
    fn open(store: &Store) -> Self;
    fn create(&self, bytes: usize) -> Result<ObjectMut, StoreError>;
}

/// The arena of a thread.
impl Kind for Arena {
    fn open(store: &Store) -> Self {
        store.arena()
    }
    fn create(&self, bytes: usize) -> Result<ObjectMut, StoreError> {
        self.create(bytes)
    }
}

/// The arena that all threads share.
impl Kind for Store {
    fn open(store: &Store) -> Self {
        store.clone()
    }
    fn create(&self, bytes: usize) -> Result<ObjectMut, StoreError> {
        self.create(bytes)
    }
}

fn store(bytes: usize) -> Store {
    let mut config = StoreConfig::new(bytes);
    config.huge_pages = HugePages::Off;
    config.populate = false;
    Store::new(config).unwrap()
}

fn assert_all_is_back(store: &Store) {
    store.trim();
    assert_eq!(store.usage(), Usage::default());
}

#[derive(Clone, Debug)]
enum Step {
    Make(usize),
    Drop(usize),
    DropElsewhere(usize),
    Abandon(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = prop_oneof![6 => 0..3000usize, 2 => 0..100_000usize, 1 => 0..3 * MIB];
    let step = prop_oneof![
        6 => bytes.clone().prop_map(Step::Make),
        3 => any::<usize>().prop_map(Step::Drop),
        2 => any::<usize>().prop_map(Step::DropElsewhere),
        1 => bytes.prop_map(Step::Abandon),
    ];
    proptest::collection::vec(step, 1..150)
}

/// Objects keep what was written into them, whatever is made and dropped around them.
fn random_work_mixes_nothing_up<K: Kind>() {
    let elsewhere = {
        let (sender, receiver) = mpsc::channel::<(Object, mpsc::Sender<()>)>();
        thread::spawn(move || {
            for (object, done) in receiver {
                drop(object);
                done.send(()).unwrap();
            }
        });
        sender
    };
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(24));
    let ran = runner.run(&steps(), |steps| {
        let store = store(256 * MIB);
        let arena = K::open(&store);
        let mut live: Vec<(Object, u8)> = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            let with = number as u8;
            match step {
                Step::Make(bytes) => {
                    let mut object = arena.create(bytes).unwrap();
                    object.fill(with);
                    live.push((object.seal(), with));
                }
                Step::Abandon(bytes) => arena.create(bytes).unwrap().fill(with),
                Step::Drop(which) if !live.is_empty() => {
                    let which = which % live.len();
                    let (object, with) = live.swap_remove(which);
                    prop_assert!(object.iter().all(|&byte| byte == with));
                }
                Step::DropElsewhere(which) if !live.is_empty() => {
                    let which = which % live.len();
                    let (done, is_done) = mpsc::channel();
                    elsewhere.send((live.swap_remove(which).0, done)).unwrap();
                    is_done.recv().unwrap();
                }
                Step::Drop(_) | Step::DropElsewhere(_) => {}
            }
        }
        let mut ranges: Vec<_> = live
            .iter()
            .map(|(object, _)| object.as_ptr_range())
            .collect();
        ranges.sort_by_key(|range| range.start);
        prop_assert!(ranges.windows(2).all(|two| two[0].end <= two[1].start));
        for (object, with) in &live {
            prop_assert!(object.iter().all(|byte| byte == with));
        }
        prop_assert_eq!(store.usage().objects, live.len() as u64);
        drop(live);
        drop(arena);
        assert_all_is_back(&store);
        Ok(())
    });
    ran.unwrap();
}

fn places_are_used_again<K: Kind>() {
    let store = store(4 * MIB);
    let arena = K::open(&store);
    for _ in 0..10_000 {
        drop(arena.create(1000).unwrap().seal());
        drop(arena.create(100_000).unwrap());
    }
    assert_eq!(store.usage().extents, 1);
    drop(arena);
    assert_all_is_back(&store);
}

fn frees_from_many_threads_all_arrive<K: Kind>() {
    let store = store(64 * MIB);
    let arena = K::open(&store);
    for _ in 0..10 {
        let objects: Vec<Object> = (0..2000)
            .map(|i| arena.create(i % 500).unwrap().seal())
            .collect();
        thread::scope(|scope| {
            for part in 0..4 {
                let theirs: Vec<_> = objects.iter().skip(part).step_by(2).cloned().collect();
                scope.spawn(move || drop(theirs));
            }
            drop(objects);
        });
        assert_eq!(store.usage().objects, 0);
    }
    drop(arena);
    assert_all_is_back(&store);
}

fn objects_outlive_their_arena<K: Kind>() {
    let store = store(64 * MIB);
    let objects: Vec<Object> = thread::scope(|scope| {
        let made = scope.spawn(|| {
            let arena = K::open(&store);
            let make = |i: usize| {
                let mut object = arena.create(i * 1000).unwrap();
                object.fill(i as u8);
                object.seal()
            };
            (0..100).map(make).collect()
        });
        made.join().unwrap()
    });
    let intact = |(i, object): (usize, &Object)| object.iter().all(|&byte| byte == i as u8);
    assert!(objects.iter().enumerate().all(intact));
    let last = objects.into_iter().next_back().unwrap();
    assert_eq!(store.usage().objects, 1);
    drop(store);
    assert!(last.iter().all(|&byte| byte == 99));
}

/// Instantiates the suite for one [`Kind`].
macro_rules! arena_suite {
    ($name:ident, $kind:ident) => {
        arena_suite!(@tests $name, $kind,
            random_work_mixes_nothing_up,
            places_are_used_again,
            frees_from_many_threads_all_arrive,
            objects_outlive_their_arena,
        );
    };
    (@tests $name:ident, $kind:ident, $($test:ident,)*) => {
        mod $name {
            $(#[test]
            fn $test() {
                super::$test::<super::$kind>();
            })*
        }
    };
}

arena_suite!(of_a_thread, Arena);
arena_suite!(of_all_threads, Store);
