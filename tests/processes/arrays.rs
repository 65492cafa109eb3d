//! Arrays between processes: read where they were written, kept while they are held, and nothing of
//! them left when nobody holds them.

use maser::{
    Actor, Array, Bytes, Config, DType, Error, HolderKind, HugePages, Isolation, Mode, Tensor,
    Timeout,
};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::time::Duration;

pub(crate) const MIB: usize = 1 << 20;

/// Where memory is: the file, the place in it, and whether this process may write there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Whereabouts {
    pub(crate) file: (u64, u64),
    pub(crate) offset: u64,
    pub(crate) writable: bool,
}

pub(crate) fn whereabouts<T>(slice: &[T]) -> Whereabouts {
    let address = slice.as_ptr().addr() as u64;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let hex = |text: &str| u64::from_str_radix(text, 16).unwrap();
    let found = maps.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let may = words.next()?;
        let offset = hex(words.next()?);
        let (major, minor) = words.next()?.split_once(':')?;
        let inode: u64 = words.next()?.parse().ok()?;
        let (start, end) = (hex(start), hex(end));
        (start..end).contains(&address).then(|| Whereabouts {
            file: (hex(major) << 32 | hex(minor), inode),
            offset: offset + address - start,
            writable: may.contains('w'),
        })
    });
    found.expect("mapped memory")
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Batch {
    name: String,
    pub(crate) columns: Vec<Array<f32>>,
    extra: Option<Bytes>,
    image: Tensor,
}

/// Cannot be decoded, and does not look at its array before it says so.
#[derive(Clone)]
pub(crate) struct Picky(pub(crate) Array<u64>);

impl Serialize for Picky {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Picky {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom("not today"))
    }
}

pub(crate) struct Reader {
    kept: Vec<Array<u64>>,
}

#[maser::actor]
impl Reader {
    fn new() -> Self {
        Reader { kept: Vec::new() }
    }

    /// Sum, where it is, and whether it is another process's.
    pub(crate) fn sum(&self, array: Array<u64>) -> (u64, Whereabouts, bool) {
        let sum = array.iter().copied().fold(0, u64::wrapping_add);
        (sum, whereabouts(&array), array.is_foreign())
    }

    pub(crate) fn keep(&mut self, array: Array<u64>) -> usize {
        self.kept.push(array);
        self.kept.len()
    }

    pub(crate) fn forget(&mut self) {
        self.kept.clear();
    }

    pub(crate) fn kept(&self) -> Vec<Array<u64>> {
        self.kept.clone()
    }

    pub(crate) fn make(&mut self, len: usize) -> (Array<u64>, Whereabouts) {
        let mut array = Array::in_store(len).unwrap();
        for (at, element) in array.iter_mut().enumerate() {
            *element = at as u64;
        }
        let array = array.seal();
        let place = whereabouts(&array);
        (array, place)
    }

    pub(crate) fn echo(&self, batch: Batch) -> Batch {
        batch
    }

    /// On the heap.
    pub(crate) fn collect(&self, len: u64) -> Array<u64> {
        (0..len).collect()
    }

    pub(crate) fn refuse(&self, value: Picky) -> usize {
        value.0.len()
    }

    /// Extents of any process that are mapped here.
    pub(crate) fn mapped(&self) -> usize {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let extents = maps.lines().filter(|line| line.contains("maser-extent"));
        extents.count()
    }

    pub(crate) fn used(&self) -> u64 {
        maser::store_usage().unwrap().objects
    }

    pub(crate) fn abort(&self) {
        std::process::abort();
    }
}

pub(crate) fn config() -> Config {
    Config::new()
        .num_cpus(1)
        .mode(Mode::Silent)
        .huge_pages(HugePages::Off)
        .store_bytes(512 * MIB)
}

pub(crate) fn reader() -> Actor<Reader> {
    Reader::options().isolation(Isolation::Process).remote()
}

pub(crate) fn numbers(len: usize) -> Array<u64> {
    let mut array = Array::in_store(len).unwrap();
    for (at, element) in array.iter_mut().enumerate() {
        *element = at as u64;
    }
    array.seal()
}

pub(crate) fn sum_to(len: usize) -> u64 {
    (0..len as u64).sum()
}

pub(crate) fn batch() -> Batch {
    let column = Array::from_vec(vec![1.0_f32, 2.0, 3.0, 4.0]);
    let image = Tensor::from_vec((0..24_u8).collect(), &[2, 3, 4]).unwrap();
    Batch {
        name: "of arrays".into(),
        columns: vec![column.clone(), column.slice(1..3), Array::default()],
        extra: Some(Bytes::from("more")),
        image: image.transpose().slice(0, 1..4, -2).unwrap(),
    }
}

/// Objects in the store of this process.
pub(crate) fn objects() -> u64 {
    maser::store_usage().unwrap().objects
}

/// Waits until so many objects are left; the watchdog ends a test in which that does not happen.
pub(crate) fn objects_become(count: u64) {
    while objects() != count {
        maser::yield_now();
    }
}

#[test]
fn an_array_is_read_where_it_was_written() {
    crate::run(config(), |_| {
        let reader = reader();
        let array = numbers(1000);
        let (sum, place, foreign) = reader.sum().remote(array.clone()).get().unwrap();
        assert_eq!((sum, foreign), (sum_to(1000), true));
        let here = whereabouts(&array);
        assert_eq!((place.file, place.offset), (here.file, here.offset));
        assert!(here.writable && !place.writable);
        drop(array);
        objects_become(0);
    })
    .unwrap();
}

#[test]
fn a_large_array_goes_both_ways_without_a_copy() {
    crate::run(config(), |_| {
        let reader = reader();
        let len = 64 * MIB / 8;
        let array = numbers(len);
        let (sum, place, _) = reader.sum().remote(array.clone()).get().unwrap();
        assert_eq!(sum, sum_to(len));
        assert_eq!(place.file, whereabouts(&array).file);
        let (made, there) = reader.make().remote(len).get().unwrap();
        let here = whereabouts(&made);
        assert_eq!((here.file, here.offset), (there.file, there.offset));
        assert!(!here.writable && there.writable && made.is_foreign());
        assert_eq!(made, array);
    })
    .unwrap();
}

#[test]
fn an_array_that_comes_home_is_the_one_that_left() {
    crate::run(config(), |_| {
        let reader = reader();
        let array = numbers(10);
        reader.keep().remote(array.clone()).get().unwrap();
        let back = reader.kept().remote().get().unwrap();
        assert_eq!(back[0].as_ptr(), array.as_ptr());
        assert!(!back[0].is_foreign());
        drop((array, back));
        assert_eq!(objects(), 1, "the reader keeps it");
        reader.forget().remote().get().unwrap();
        objects_become(0);
    })
    .unwrap();
}

#[test]
fn arrays_come_through_any_value() {
    crate::run(config(), |_| {
        let reader = reader();
        let batch = batch();
        let back = reader.echo().remote(batch.clone()).get().unwrap();
        assert_eq!(back, batch);
        assert_eq!(back.image.dtype(), DType::U8);
        assert_eq!(back.image.shape(), [2, 3, 2]);
        assert!(back.columns[0].is_in_store() && !batch.columns[0].is_in_store());
        let nothing = Batch {
            extra: None,
            columns: Vec::new(),
            ..batch.clone()
        };
        assert_eq!(
            reader.echo().remote(nothing.clone()).get().unwrap(),
            nothing
        );
        drop((back, batch, nothing));
        objects_become(0);
    })
    .unwrap();
}

#[test]
fn an_array_of_the_heap_is_copied_into_the_store_once() {
    crate::run(config(), |_| {
        let reader = reader();
        let array: Array<u64> = (0..100).collect();
        let first = reader.sum().remote(array.clone()).get().unwrap();
        let again = reader.sum().remote(array.slice(0..100)).get().unwrap();
        assert_eq!(first, again);
        assert_eq!(objects(), 1);
        drop(array);
        objects_become(0);
    })
    .unwrap();
}

#[test]
fn an_array_of_one_worker_is_read_in_place_by_another() {
    crate::run(config(), |_| {
        let (maker, other) = (reader(), reader());
        let (array, place) = maker.make().remote(1 << 16).get().unwrap();
        let (sum, seen, foreign) = other.sum().remote(array.clone()).get().unwrap();
        assert_eq!((sum, foreign), (sum_to(1 << 16), true));
        assert_eq!((seen.file, seen.offset), (place.file, place.offset));
        other.keep().remote(array.clone()).get().unwrap();
        // The maker itself has it at its own place.
        let (_, home, foreign) = maker.sum().remote(array.clone()).get().unwrap();
        assert_eq!((home, foreign), (place, false));
        drop(array);
        assert_eq!(
            maker.used().remote().get().unwrap(),
            1,
            "the other one keeps it"
        );
        other.forget().remote().get().unwrap();
        while maker.used().remote().get().unwrap() != 0 {}
    })
    .unwrap();
}

#[test]
fn a_worker_that_dies_gives_back_what_it_had() {
    crate::run(config(), |_| {
        let victim = reader();
        for _ in 0..100 {
            victim.keep().remote(numbers(100)).get().unwrap();
        }
        assert_eq!(objects(), 100);
        let error = victim.abort().remote().get().unwrap_err();
        assert!(matches!(error, Error::ActorDied { .. }), "{error}");
        objects_become(0);
    })
    .unwrap();
}

#[test]
fn an_array_outlives_the_process_that_made_it() {
    crate::run(config(), |_| {
        let (maker, other) = (reader(), reader());
        let (array, _) = maker.make().remote(1 << 16).get().unwrap();
        other.keep().remote(array.clone()).get().unwrap();
        maker.abort().remote().get().unwrap_err();
        assert_eq!(array.iter().sum::<u64>(), sum_to(1 << 16));
        let holders = maser::store_holders().unwrap();
        let of_the_dead = holders.iter().any(|holder| match &holder.kind {
            HolderKind::Charged { name } => name.contains("worker"),
            _ => false,
        });
        assert!(of_the_dead, "{holders:?}");
        // Passed on it is a copy of ours, and the one that the other has is still there.
        let (sum, place, _) = other.sum().remote(array.clone()).get().unwrap();
        assert_eq!(sum, sum_to(1 << 16));
        assert_ne!(place.file, whereabouts(&array).file);
        assert_eq!(other.kept().remote().get().unwrap()[0], array);
        other.forget().remote().get().unwrap();
        drop(array);
        while !maser::store_holders().unwrap().is_empty() {
            maser::yield_now();
        }
    })
    .unwrap();
}

#[test]
fn many_threads_clone_and_drop_what_came_from_another_process() {
    crate::run(config(), |_| {
        let reader = reader();
        for _ in 0..20 {
            let (array, _) = reader.make().remote(1000).get().unwrap();
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let array = array.clone();
                    std::thread::spawn(move || {
                        let clones: Vec<_> = (0..50).map(|_| array.clone()).collect();
                        clones.iter().map(|clone| clone[999]).sum::<u64>()
                    })
                })
                .collect();
            drop(array);
            for thread in threads {
                assert_eq!(thread.join().unwrap(), 50 * 999);
            }
        }
        while reader.used().remote().get().unwrap() != 0 {}
    })
    .unwrap();
}

#[test]
fn a_full_store_names_who_holds_it() {
    let soon = Timeout::After(Duration::from_millis(20));
    let config = config().store_bytes(16 * MIB).graph_submit_timeout(soon);
    crate::run(config, |_| {
        let reader = reader();
        let eight = numbers(MIB);
        reader.keep().remote(eight).get().unwrap();
        let error = Array::<u8>::in_store(12 * MIB).unwrap_err();
        let Error::StoreFull(full) = &error else {
            panic!("{error}");
        };
        assert_eq!((full.asked, full.budget), (12 * MIB, 16 * MIB));
        assert!(error.to_string().contains("worker 1 (pid"), "{error}");
        reader.forget().remote().get().unwrap();
        objects_become(0);
        drop(Array::<u8>::in_store(12 * MIB).unwrap());
    })
    .unwrap();
}

#[maser::task]
fn doubled(array: Array<u64>) -> Array<u64> {
    assert!(array.is_in_store(), "it is another's, or came home");
    let mut doubled = Array::in_store(array.len()).unwrap();
    for (to, from) in doubled.iter_mut().zip(&array) {
        *to = 2 * from;
    }
    doubled.seal()
}

#[test]
fn tasks_in_other_processes_take_arrays_and_give_them() {
    crate::run(config().isolation(Isolation::Process), |_| {
        let once = doubled::remote(numbers(1000));
        let twice = doubled::remote(&once);
        let twice = twice.get().unwrap();
        assert_eq!(twice.iter().sum::<u64>(), 4 * sum_to(1000));
        drop((once, twice));
        objects_become(0);
    })
    .unwrap();
}

#[test]
fn what_cannot_be_decoded_gives_its_arrays_back() {
    crate::run(config(), |_| {
        let reader = reader();
        let error = reader
            .refuse()
            .remote(Picky(numbers(10)))
            .get()
            .unwrap_err();
        assert!(matches!(error.root(), Error::NotPortable { .. }), "{error}");
        objects_become(0);
        assert_eq!(reader.used().remote().get().unwrap(), 0, "it is alive");
    })
    .unwrap();
}

#[test]
fn memory_that_goes_back_to_the_system_goes_back_everywhere() {
    crate::run(config().store_bytes(160 * MIB), |_| {
        let reader = reader();
        let before = reader.mapped().remote().get().unwrap();
        let large = |_| numbers(64 * MIB / 8);
        for array in [0, 1].map(large) {
            reader.keep().remote(array).get().unwrap();
        }
        assert_eq!(reader.mapped().remote().get().unwrap(), before + 2);
        reader.forget().remote().get().unwrap();
        objects_become(0);
        // One of the two stays for what comes next.
        while reader.mapped().remote().get().unwrap() != before + 1 {}
    })
    .unwrap();
}

#[test]
fn an_array_that_finds_no_room_in_the_store_says_so() {
    crate::run(config().store_bytes(16 * MIB), |_| {
        let reader = reader();
        let large: Array<u64> = (0..3 * MIB as u64).collect();
        let error = reader.sum().remote(large).get().unwrap_err();
        let Error::StoreFull(full) = error.root() else {
            panic!("{error}");
        };
        assert_eq!((full.asked, full.budget), (24 * MIB, 16 * MIB));
        // The other way round: the reader cannot send what does not fit into its store.
        let error = reader.collect().remote(3 * MIB as u64).get().unwrap_err();
        let Error::StoreFull(full) = error.root() else {
            panic!("{error}");
        };
        assert_eq!((full.asked, full.budget), (24 * MIB, 16 * MIB));
        assert_eq!(reader.sum().remote(numbers(4)).get().unwrap().0, 6);
    })
    .unwrap();
}
