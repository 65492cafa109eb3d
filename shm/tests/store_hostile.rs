//! Whatever a peer sends: an error or bytes of its own extent, and never anything else.
#![cfg(not(any(loom, miri)))]

use std::os::fd::AsFd;
use std::sync::Arc;

use maser_shm::store::{
    Descriptor, Foreign, HugePages, Object, PeerId, Release, Store, StoreConfig, StoreError,
};
use proptest::prelude::*;

const OWNER: PeerId = PeerId(1);
const READER: PeerId = PeerId(2);
const BYTES: usize = 1 << 20;

struct Nothing;

impl Release for Nothing {
    fn release(&self, _owner: PeerId, _descriptor: Descriptor, _count: u64) {}
}

/// A store with one extent, what lies in it, and a reader that knows the extent.
fn pair() -> (Store, Vec<Object>, Foreign) {
    let mut config = StoreConfig::new(8 * BYTES);
    config.huge_pages = HugePages::Off;
    config.extent_bytes_first = BYTES;
    let store = Store::new(config).unwrap();
    store.add_peer(READER, "reader");
    let objects: Vec<_> = (0..20u8)
        .map(|with| store.put(&[with; 1000]).unwrap())
        .collect();
    let foreign = Foreign::new(Arc::new(Nothing));
    store.extents(|id, file, bytes| foreign.add_extent(OWNER, id, file, bytes).unwrap());
    (store, objects, foreign)
}

/// What is done to a field of a good descriptor.
#[derive(Clone, Copy, Debug)]
enum Change {
    Keep,
    By(i8),
    To(u64),
}

impl Change {
    fn of(self, value: u64) -> u64 {
        match self {
            Self::Keep => value,
            Self::By(by) => value.wrapping_add_signed(by.into()),
            Self::To(value) => value,
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => Just(Change::Keep),
        2 => any::<i8>().prop_map(Change::By),
        1 => any::<u64>().prop_map(Change::To),
        1 => Just(Change::To(u64::MAX)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_made_up_descriptor_opens_an_object_that_is_there_or_nothing(
        made_up in proptest::collection::vec((0..20usize, [(); 4].map(|()| change())), 200),
    ) {
        let (store, objects, foreign) = pair();
        for (which, [extent, unit, generation, bytes]) in made_up {
            let good = objects[which].descriptor();
            let descriptor = Descriptor {
                extent: extent.of(good.extent.into()) as u32,
                unit: unit.of(good.unit.into()) as u32,
                generation: generation.of(good.generation),
                bytes: bytes.of(good.bytes),
            };
            let real = objects.iter().find(|object| object.descriptor() == descriptor);
            match (foreign.open(OWNER, descriptor), real) {
                (Ok(opened), Some(object)) => prop_assert_eq!(&opened[..], &object[..]),
                (Err(error), None) => {
                    let known = matches!(
                        error,
                        StoreError::UnknownExtent { .. }
                            | StoreError::Damaged { .. }
                            | StoreError::Gone { .. }
                    );
                    prop_assert!(known, "{}", error);
                }
                (opened, real) => prop_assert!(false, "{descriptor:?}: {opened:?}, {real:?}"),
            }
            prop_assert!(store.take_back(READER, descriptor, 1).is_err());
        }
    }
}

#[test]
fn the_ends_of_an_extent_are_not_passed() {
    let (_store, objects, foreign) = pair();
    let good = objects[0].descriptor();
    let last_unit = (BYTES / 64) as u32;
    let cases = [
        (0, good.bytes),
        (good.unit, BYTES as u64),
        (good.unit, u64::MAX),
        (good.unit, u64::MAX - good.offset() + 1),
        (last_unit, 1),
        (u32::MAX, 0),
        (u32::MAX, u64::MAX),
    ];
    for (unit, bytes) in cases {
        let descriptor = Descriptor {
            unit,
            bytes,
            ..good
        };
        let error = foreign.open(OWNER, descriptor).unwrap_err();
        assert!(
            matches!(error, StoreError::Damaged { .. }),
            "{unit} {bytes}: {error}"
        );
    }
    // The last unit's header is inside, its payload is empty and outside by nothing.
    let descriptor = Descriptor {
        unit: last_unit,
        bytes: 0,
        ..good
    };
    assert!(foreign.open(OWNER, descriptor).is_err());
}

#[test]
fn an_open_object_and_an_older_one_in_the_same_place_are_gone() {
    let (store, mut objects, foreign) = pair();
    let old = objects.remove(3);
    let descriptor = old.descriptor();
    drop(old);
    assert!(matches!(
        foreign.open(OWNER, descriptor),
        Err(StoreError::Gone { .. })
    ));
    let writing = store.create(1000).unwrap();
    assert!(matches!(
        foreign.open(OWNER, descriptor),
        Err(StoreError::Gone { .. })
    ));
    let sealed = writing.seal();
    let newer = sealed.descriptor();
    assert_eq!(
        (newer.extent, newer.unit),
        (descriptor.extent, descriptor.unit)
    );
    assert!(matches!(
        foreign.open(OWNER, descriptor),
        Err(StoreError::Gone { .. })
    ));
    assert!(foreign.open(OWNER, newer).is_ok());
}

#[test]
fn what_is_given_back_too_often_or_by_others_changes_nothing() {
    let (store, objects, _foreign) = pair();
    let descriptor = store.give(&objects[0], READER).unwrap();
    store.give(&objects[0], READER).unwrap();
    for count in [3, u64::MAX] {
        let error = store.take_back(READER, descriptor, count).unwrap_err();
        assert!(error.to_string().contains("of which it has 2"), "{error}");
    }
    let other = Descriptor {
        generation: descriptor.generation + 1,
        ..descriptor
    };
    assert!(store.take_back(READER, other, 1).is_err());
    let error = store.take_back(PeerId(9), descriptor, 1).unwrap_err();
    assert!(matches!(error, StoreError::UnknownPeer { .. }), "{error}");
    store.take_back(READER, descriptor, 2).unwrap();
    assert!(store.take_back(READER, descriptor, 1).is_err());
    store.take_back(READER, descriptor, 0).unwrap_err();
}

#[test]
fn an_extent_under_a_number_that_is_taken_is_refused() {
    let (store, _objects, foreign) = pair();
    let (other, _theirs, _) = pair();
    let mut first = None;
    store.extents(|id, _, _| first = Some(id));
    other.extents(|_, file, bytes| {
        let error = foreign
            .add_extent(OWNER, first.unwrap(), file.as_fd(), bytes)
            .unwrap_err();
        assert!(matches!(error, StoreError::ExtentTwice { .. }), "{error}");
        foreign
            .add_extent(PeerId(7), first.unwrap(), file.as_fd(), bytes)
            .unwrap();
    });
}
