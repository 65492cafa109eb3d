//! What every store does, whatever its pages are and wherever cold objects go.
//!
//! `store_suite!(name, Kind)` instantiates the suite for one [`Kind`]. What a machine has no pages
//! for is skipped, with the reason on the output.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use maser_shm::os::file_io;
use maser_shm::os::memory;
use maser_shm::os::shared_memory::{self, PageKind};
use maser_shm::store::spill_file::SpillFile;
use maser_shm::store::{
    Descriptor, Foreign, HugePages, Leave, Object, PeerId, Release, Store, StoreConfig, StoreError,
    Usage,
};
use rustix::fs::{FlockOperation, flock};

const MIB: usize = 1 << 20;
const READER: PeerId = PeerId(5);

/// A kind of store.
trait Kind {
    /// Whether it may take huge pages.
    const HUGE: bool;
    /// Makes it so; why not, if the machine cannot.
    fn set(config: &mut StoreConfig) -> Result<(), String>;
}

/// The machine's own pages.
struct Plain;
impl Kind for Plain {
    const HUGE: bool = false;
    fn set(config: &mut StoreConfig) -> Result<(), String> {
        config.huge_pages = HugePages::Off;
        Ok(())
    }
}

/// Pages that are faulted in by whoever uses them.
struct Unpopulated;
impl Kind for Unpopulated {
    const HUGE: bool = false;
    fn set(config: &mut StoreConfig) -> Result<(), String> {
        config.populate = false;
        Plain::set(config)
    }
}

/// Whatever pages there are.
struct Automatic;
impl Kind for Automatic {
    const HUGE: bool = true;
    fn set(config: &mut StoreConfig) -> Result<(), String> {
        config.huge_pages = HugePages::Auto;
        Ok(())
    }
}

fn reserved(config: &mut StoreConfig, kind: PageKind, least: usize) -> Result<(), String> {
    let free = memory::huge_pool(kind).map_or(0, |pool| pool.available()) as usize * kind.bytes();
    let needed = config.store_bytes.max(least);
    if free < needed + needed / 2 {
        return Err(format!(
            "{free} bytes of {kind:?} pages are free, and {needed} are to be used"
        ));
    }
    // They may be there, and refused to this process.
    shared_memory::create("probe", kind, kind.bytes())
        .map_err(|error| format!("{kind:?} pages are refused: {error}"))?;
    config.store_bytes = needed;
    config.huge_pages = HugePages::Require;
    config.huge_page = kind;
    Ok(())
}

/// Reserved pages of 2 MiB.
struct Huge2MiB;
impl Kind for Huge2MiB {
    const HUGE: bool = true;
    fn set(config: &mut StoreConfig) -> Result<(), String> {
        reserved(config, PageKind::Huge2MiB, 32 * MIB)
    }
}

/// Reserved pages of 1 GiB.
struct Huge1GiB;
impl Kind for Huge1GiB {
    const HUGE: bool = true;
    fn set(config: &mut StoreConfig) -> Result<(), String> {
        reserved(config, PageKind::Huge1GiB, 2 << 30)
    }
}

/// A store, and the right to use huge pages alone.
struct Alone {
    store: Store,
    _lock: Option<File>,
}

impl Deref for Alone {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

/// Tests run side by side, and there are few huge pages: one test has them at a time.
fn lock_huge_pages() -> File {
    let path = std::env::temp_dir().join("maser-tests-huge-pages");
    // Another user's may lie there, which can be locked all the same.
    let file = File::open(&path).or_else(|_| File::options().create(true).append(true).open(&path));
    let file = file.unwrap();
    flock(&file, FlockOperation::LockExclusive).unwrap();
    file
}

/// A store of this kind, or the reason why there is none on the output.
fn store<K: Kind>(bytes: usize) -> Option<Alone> {
    let lock = K::HUGE.then(lock_huge_pages);
    let mut config = StoreConfig::new(bytes);
    let io = file_io::recommended(|_| {});
    let spill = SpillFile::create(&std::env::temp_dir(), io).unwrap();
    config.spill = Some(Arc::new(spill));
    match K::set(&mut config) {
        Ok(()) => {
            let store = Store::new(config).unwrap();
            store.add_peer(READER, "reader");
            Some(Alone { store, _lock: lock })
        }
        Err(why) => {
            println!("skipped: {why}");
            None
        }
    }
}

/// Bytes that tell one object from another and from itself shifted.
fn pattern(bytes: usize, seed: usize) -> Vec<u8> {
    let period: Vec<u8> = (0..=250u8)
        .map(|at| at.wrapping_mul(31) ^ seed as u8)
        .collect();
    let mut pattern = period.repeat(bytes / period.len() + 1);
    pattern.truncate(bytes);
    pattern
}

fn assert_all_is_back(store: &Store) {
    store.trim();
    assert_eq!(store.usage(), Usage::default());
}

fn what_is_put_is_read_at_every_size<K: Kind>() {
    let Some(store) = store::<K>(64 * MIB) else {
        return;
    };
    let arena = store.arena();
    let mut objects = Vec::new();
    for (seed, bytes) in [0, 1, 64, 1000, 1024, 32_768, 32_769, MIB, 9 * MIB]
        .into_iter()
        .enumerate()
    {
        let pattern = pattern(bytes, seed);
        for object in [arena.put(&pattern).unwrap(), store.put(&pattern).unwrap()] {
            assert_eq!(object.as_ptr() as usize % 64, 0);
            objects.push((object, pattern.clone()));
        }
    }
    assert!(
        objects
            .iter()
            .all(|(object, pattern)| object[..] == pattern[..])
    );
    drop(objects);
    drop(arena);
    assert_all_is_back(&store);
}

/// Takes back by hand what readers of the same process let go of.
struct BackTo(Store);

impl Release for BackTo {
    fn release(&self, _owner: PeerId, descriptor: Descriptor, count: u64) {
        self.0.take_back(READER, descriptor, count).unwrap();
    }
}

fn readers_see_what_was_sealed_and_keep_it<K: Kind>() {
    let Some(store) = store::<K>(64 * MIB) else {
        return;
    };
    let foreign = Foreign::new(Arc::new(BackTo(store.clone())));
    let owner = PeerId(1);
    let mut open = Vec::new();
    for seed in 0..50 {
        let pattern = pattern(seed * 997, seed);
        let object = store.put(&pattern).unwrap();
        let descriptor = store.give(&object, READER).unwrap();
        drop(object);
        store.extents(|id, file, bytes| foreign.add_extent(owner, id, file, bytes).unwrap());
        open.push((foreign.open(owner, descriptor).unwrap(), pattern));
    }
    assert!(
        open.iter()
            .all(|(object, pattern)| object[..] == pattern[..])
    );
    assert_eq!(store.usage().objects, 50);
    let last = open.pop().unwrap().0;
    let descriptor = last.descriptor();
    drop(open);
    assert_eq!(store.usage().objects, 1);
    drop(last);
    let error = foreign.open(owner, descriptor).unwrap_err();
    assert!(matches!(error, StoreError::Gone { .. }), "{error}");
    assert_all_is_back(&store);
}

fn a_full_store_names_its_holders_and_goes_on<K: Kind>() {
    let Some(store) = store::<K>(16 * MIB) else {
        return;
    };
    let mut held: Vec<Object> = Vec::new();
    let error = loop {
        match store.create(3 * MIB) {
            Ok(object) => held.push(object.seal()),
            Err(error) => break error,
        }
    };
    let StoreError::Full(full) = error else {
        panic!("{error}");
    };
    assert_eq!(full.holders.len(), 1);
    assert_eq!(full.holders[0].bytes as usize, held.len() * 3 * MIB);
    let count = held.len();
    held.pop();
    held.push(store.create(3 * MIB).unwrap().seal());
    assert_eq!(held.len(), count);
    drop(held);
    assert_all_is_back(&store);
}

fn cold_objects_go_to_disk_and_come_back<K: Kind>() {
    let Some(store) = store::<K>(16 * MIB) else {
        return;
    };
    if store_is_large(&store) {
        println!("skipped: a store of this kind is too large to be filled here");
        return;
    }
    let patterns: Vec<_> = (0..40).map(|seed| pattern(MIB, seed)).collect();
    let shelved: Vec<_> = patterns
        .iter()
        .map(|pattern| {
            store
                .shelve(store.put(pattern).unwrap(), Leave::ToDisk)
                .unwrap()
        })
        .collect();
    let used = store.usage();
    assert!(
        used.spilled > 0 && used.objects + used.spilled == 40,
        "{used:?}"
    );
    for (shelved, pattern) in shelved.iter().zip(&patterns) {
        assert!(shelved.get().unwrap()[..] == pattern[..]);
    }
    drop(shelved);
    assert_all_is_back(&store);
}

fn store_is_large(store: &Store) -> bool {
    let _object = store.put(b"x").unwrap();
    store.usage().extent_bytes > 64 * MIB
}

fn threads_share_objects_and_drop_them_anywhere<K: Kind>() {
    let Some(store) = store::<K>(32 * MIB) else {
        return;
    };
    for round in 0..5 {
        let shared: Vec<Object> = (0..40)
            .map(|i| store.put(&pattern(i * 300, round)).unwrap())
            .collect();
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (store, shared) = (store.store.clone(), shared.clone());
                thread::spawn(move || {
                    let arena = store.arena();
                    let own: Vec<_> = shared
                        .iter()
                        .map(|object| arena.put(object).unwrap())
                        .collect();
                    assert!(
                        own.iter()
                            .zip(&shared)
                            .all(|(own, shared)| own[..] == shared[..])
                    );
                    own
                })
            })
            .collect();
        drop(shared);
        for thread in threads {
            let theirs = thread.join().unwrap();
            assert!(
                theirs
                    .iter()
                    .enumerate()
                    .all(|(i, own)| own[..] == pattern(i * 300, round))
            );
        }
    }
    assert_all_is_back(&store);
}

fn what_a_dead_peer_held_comes_back<K: Kind>() {
    let Some(store) = store::<K>(32 * MIB) else {
        return;
    };
    for seed in 0..20 {
        let object = store.put(&pattern(50_000, seed)).unwrap();
        store.give(&object, READER).unwrap();
        store.give(&object, READER).unwrap();
    }
    assert_eq!(store.usage().objects, 20);
    assert_eq!(store.holders()[0].objects, 20);
    store.peer_died(READER);
    assert!(store.holders().is_empty());
    assert_all_is_back(&store);
}

/// Instantiates the suite for one [`Kind`].
macro_rules! store_suite {
    ($name:ident, $kind:ident) => {
        store_suite!(@tests $name, $kind,
            what_is_put_is_read_at_every_size,
            readers_see_what_was_sealed_and_keep_it,
            a_full_store_names_its_holders_and_goes_on,
            cold_objects_go_to_disk_and_come_back,
            threads_share_objects_and_drop_them_anywhere,
            what_a_dead_peer_held_comes_back,
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

store_suite!(plain, Plain);
store_suite!(unpopulated, Unpopulated);
store_suite!(automatic, Automatic);
store_suite!(huge_2_mib, Huge2MiB);
store_suite!(huge_1_gib, Huge1GiB);

#[test]
fn nothing_of_a_store_has_a_name() {
    let store = store::<Plain>(8 * MIB).unwrap();
    let object = store.put(b"nameless").unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let files = maps
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5));
    let mut extents = files.filter(|file| file.contains("maser-extent"));
    assert!(extents.all(|file| file.starts_with("/memfd:") && !Path::new(file).exists()));
    drop(object);
}
