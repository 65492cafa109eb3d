//! Random work of an arena's books against a model: nothing overlaps, nothing is lost, everything
//! comes back (SPC-1 to SPC-3, RUN-1, RUN-2).
#![cfg(not(any(loom, miri)))]

use std::collections::{BTreeMap, HashMap, HashSet};

use maser_shm::arena::classes::{self, GRANULE_BYTES, UNIT_BYTES};
use maser_shm::arena::space::{Place, Space};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Alloc(usize),
    /// Frees one of those that are live.
    Free(usize),
    AddRegion(usize),
    RemoveRegion,
    RemoveRested,
    Rest,
    Trim,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let sizes = prop_oneof![
        6 => 0..2048usize,
        3 => 0..=classes::SMALL_BYTES_MAX,
        2 => classes::SMALL_BYTES_MAX..1_000_000,
    ];
    let step = prop_oneof![
        12 => sizes.prop_map(Step::Alloc),
        9 => any::<usize>().prop_map(Step::Free),
        1 => (1..200usize).prop_map(|granules| Step::AddRegion(granules * GRANULE_BYTES)),
        1 => Just(Step::RemoveRegion),
        1 => Just(Step::RemoveRested),
        1 => Just(Step::Rest),
        1 => Just(Step::Trim),
    ];
    proptest::collection::vec(step, 1..400)
}

/// What must be so at any time.
#[derive(Default)]
struct Model {
    space: Space,
    regions: HashMap<u32, usize>,
    live: Vec<(Place, usize)>,
    /// Ranges in use by region, in units.
    taken: HashMap<u32, BTreeMap<u64, u64>>,
    /// In which nothing lay at the last rest and nothing was made since.
    rested: HashSet<u32>,
}

impl Model {
    fn alloc(&mut self, bytes: usize) {
        let Some(place) = self.space.alloc(bytes) else {
            return;
        };
        let start = u64::from(place.unit);
        let units = (classes::HEADER_UNITS as usize + bytes.div_ceil(UNIT_BYTES)) as u64;
        let region_bytes = self.regions[&place.region] as u64;
        assert!(
            (start + units) * UNIT_BYTES as u64 <= region_bytes,
            "outside"
        );
        let taken = self.taken.entry(place.region).or_default();
        let before = taken.range(..start + units).next_back();
        assert!(
            before.is_none_or(|(_, &end)| end <= start),
            "SPC-1: overlap"
        );
        taken.insert(start, start + units);
        self.rested.remove(&place.region);
        self.live.push((place, bytes));
    }

    fn free(&mut self, which: usize) {
        if self.live.is_empty() {
            return;
        }
        let (place, _) = self.live.swap_remove(which % self.live.len());
        let removed = self.taken.get_mut(&place.region).unwrap();
        removed.remove(&u64::from(place.unit)).unwrap();
        self.space.free(place);
    }

    fn remove_region(&mut self) {
        if let Some(region) = self.space.remove_empty_region() {
            self.removed(region);
        }
    }

    fn remove_rested(&mut self) {
        if let Some(region) = self.space.remove_rested_region() {
            assert!(self.rested.contains(&region), "{region} was in use");
            self.removed(region);
        }
    }

    fn rest(&mut self) {
        let is_warm = self.space.rest();
        assert_eq!(is_warm, self.space.empty_regions() > 0);
        let nothing_in = |region: &u32| self.taken.get(region).is_none_or(BTreeMap::is_empty);
        self.rested = self.regions.keys().copied().filter(nothing_in).collect();
    }

    fn removed(&mut self, region: u32) {
        self.rested.remove(&region);
        self.regions.remove(&region).unwrap();
        let taken = self.taken.remove(&region);
        assert!(taken.is_none_or(|taken| taken.is_empty()), "SPC-3");
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Alloc(bytes) => self.alloc(bytes),
            Step::Free(which) => self.free(which),
            Step::AddRegion(bytes) => {
                let region = self.space.add_region(bytes);
                assert_eq!(self.regions.insert(region, bytes), None);
            }
            Step::RemoveRegion => self.remove_region(),
            Step::RemoveRested => self.remove_rested(),
            Step::Rest => self.rest(),
            Step::Trim => self.space.trim(),
        }
        assert_eq!(self.space.live(), self.live.len());
        let empty = self.space.empty_bytes() as usize;
        assert!(empty <= self.space.free_bytes());
        assert!(self.space.free_bytes() <= self.regions.values().sum());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn places_never_overlap_and_all_regions_come_back(steps in steps()) {
        let mut model = Model::default();
        for step in &steps {
            model.step(step);
        }
        while !model.live.is_empty() {
            model.free(0);
        }
        model.space.trim();
        prop_assert_eq!(model.space.empty_regions(), model.regions.len());
        let total: usize = model.regions.values().sum();
        prop_assert_eq!(model.space.free_bytes(), total);
        prop_assert_eq!(model.space.empty_bytes() as usize, total);
        let half = model.regions.len() / 2;
        while model.regions.len() > half {
            model.remove_region();
        }
        model.rest();
        while !model.regions.is_empty() {
            model.remove_rested();
        }
        prop_assert_eq!(model.space.remove_empty_region(), None);
    }
}

#[test]
fn what_fits_an_empty_region_exactly_is_given_it_whole() {
    for bytes in [
        0,
        64,
        1024,
        32 << 10,
        (32 << 10) + 1,
        1 << 20,
        (1 << 20) - 64,
    ] {
        let mut space = Space::new();
        assert_eq!(space.alloc(bytes), None);
        space.add_region(classes::extent_bytes_min(bytes));
        let place = space.alloc(bytes).unwrap();
        assert_eq!(space.free_bytes(), 0, "{bytes}");
        space.free(place);
        space.trim();
        assert_eq!(space.empty_regions(), 1);
    }
}

#[test]
fn full_slabs_take_slots_back_in_any_order() {
    let mut space = Space::new();
    space.add_region(64 * GRANULE_BYTES);
    let mut places = Vec::new();
    while let Some(place) = space.alloc(1000) {
        places.push(place);
    }
    assert!(places.len() >= 64 * GRANULE_BYTES * 9 / 10 / 1088);
    let (even, odd): (Vec<_>, Vec<_>) = places.iter().enumerate().partition(|(at, _)| at % 2 == 0);
    even.iter().for_each(|(_, place)| space.free(**place));
    let again: Vec<_> = even.iter().map(|_| space.alloc(1000).unwrap()).collect();
    assert_eq!(space.alloc(1000), None);
    odd.iter().for_each(|(_, place)| space.free(**place));
    again.into_iter().for_each(|place| space.free(place));
    space.trim();
    assert_eq!(space.empty_bytes() as usize, 64 * GRANULE_BYTES);
}

#[test]
#[should_panic(expected = "granules of an extent fit 32 bits")]
fn an_extent_too_large_to_count_is_noticed() {
    Space::new().add_region(usize::MAX);
}
