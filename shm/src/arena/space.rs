//! Where objects lie in the extents of one arena: slabs for small ones, runs of granules for large.
//!
//! It knows regions (extents) by number and places by offset and touches no memory of theirs, so
//! nothing that another process sees decides about it. One thread at a time uses it.
//!
//! - SPC-1 the place of a live object belongs to it alone; places do not overlap.
//! - SPC-2 a slab that is wholly free goes back to its region, but for the one of each class that is
//!   in use now; `trim` gives those back as well.
//! - SPC-3 a region in which nothing is taken can be removed, and only such a one.

use super::classes::{self, CLASSES, GRANULE_UNITS};
use super::runs::Runs;

const NONE: u32 = u32::MAX;

/// Where an object lies. Kept with the object, privately; [`Space::free`] takes it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Number of the region.
    pub region: u32,
    /// Units before the header.
    pub unit: u32,
    /// Number of its slab, `NONE` for one with granules of its own.
    slab: u32,
    /// Its slot, or its granules.
    size: u32,
}

#[derive(Debug)]
struct Slab {
    region: u32,
    /// First granule.
    granule: u32,
    class: u8,
    /// Its index in `partial`, `NONE` while it is full or in use.
    listed: u32,
    free: Vec<u16>,
}

#[derive(Debug)]
struct Class {
    /// The slab that slots are taken from.
    current: u32,
    /// Other slabs with free slots.
    partial: Vec<u32>,
}

/// See the module's page.
#[derive(Debug)]
pub struct Space {
    regions: Vec<Option<Runs>>,
    /// Of each region: nothing was taken there since `rest` found it empty.
    rested: Vec<bool>,
    vacant_regions: Vec<u32>,
    slabs: Vec<Slab>,
    vacant_slabs: Vec<u32>,
    classes: [Class; CLASSES],
    live: usize,
    empty: usize,
    empty_granules: u64,
    /// The region that was emptied last: most likely to be wanted again.
    emptied_last: u32,
}

impl Default for Space {
    fn default() -> Self {
        Self::new()
    }
}

impl Space {
    /// Without any region.
    #[must_use]
    pub fn new() -> Self {
        Self {
            regions: Vec::new(),
            rested: Vec::new(),
            vacant_regions: Vec::new(),
            slabs: Vec::new(),
            vacant_slabs: Vec::new(),
            classes: std::array::from_fn(|_| Class {
                current: NONE,
                partial: Vec::new(),
            }),
            live: 0,
            empty: 0,
            empty_granules: 0,
            emptied_last: NONE,
        }
    }

    /// Adds an extent; its number, which is used again after its removal.
    ///
    /// # Panics
    /// For an extent of no granule, or of more units than 32 bits count.
    pub fn add_region(&mut self, bytes: usize) -> u32 {
        let granules = bytes / classes::GRANULE_BYTES;
        let granules = u32::try_from(granules).expect("granules of an extent fit 32 bits");
        assert!(granules > 0 && granules <= u32::MAX / GRANULE_UNITS + 1);
        let runs = Some(Runs::new(granules));
        self.empty += 1;
        self.empty_granules += u64::from(granules);
        if let Some(region) = self.vacant_regions.pop() {
            self.regions[region as usize] = runs;
            self.rested[region as usize] = false;
            return region;
        }
        self.regions.push(runs);
        self.rested.push(false);
        self.regions.len() as u32 - 1
    }

    /// Removes a region in which nothing is taken (SPC-3): the number of one. The one that was
    /// emptied last goes last.
    pub fn remove_empty_region(&mut self) -> Option<u32> {
        self.remove(|_| true)
    }

    /// As [`remove_empty_region`](Self::remove_empty_region), of those that [`rest`](Self::rest) found
    /// empty and in which nothing was taken since.
    pub fn remove_rested_region(&mut self) -> Option<u32> {
        let rested = std::mem::take(&mut self.rested);
        let removed = self.remove(|region| rested[region as usize]);
        self.rested = rested;
        removed
    }

    /// Notes which regions are empty now; whether there is one.
    pub fn rest(&mut self) -> bool {
        for (rested, runs) in self.rested.iter_mut().zip(&self.regions) {
            *rested = runs.as_ref().is_some_and(Runs::is_empty);
        }
        self.empty > 0
    }

    fn remove(&mut self, may_go: impl Fn(u32) -> bool) -> Option<u32> {
        if self.empty == 0 {
            return None;
        }
        let is_empty = |region: u32| {
            let runs = self.regions.get(region as usize)?.as_ref()?;
            (runs.is_empty() && may_go(region)).then_some(region)
        };
        let last = self.emptied_last;
        let regions = 0..self.regions.len() as u32;
        let others = regions.filter(|&region| region != last);
        let region = others.chain([last]).find_map(is_empty)?;
        let runs = self.regions[region as usize].take()?;
        self.empty -= 1;
        self.empty_granules -= u64::from(runs.granules());
        self.vacant_regions.push(region);
        Some(region)
    }

    /// Bytes of the regions in which nothing is taken.
    #[must_use]
    pub fn empty_bytes(&self) -> u64 {
        self.empty_granules * classes::GRANULE_BYTES as u64
    }

    /// Regions in which nothing is taken.
    #[must_use]
    pub fn empty_regions(&self) -> usize {
        self.empty
    }

    /// Objects that have a place.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live
    }

    /// A place for a payload of `bytes`; `None` if no region has room.
    #[inline]
    pub fn alloc(&mut self, bytes: usize) -> Option<Place> {
        let place = match classes::class_of(bytes) {
            Some(class) => self.alloc_slot(class)?,
            None => self.alloc_run(classes::run_granules(bytes))?,
        };
        self.live += 1;
        Some(place)
    }

    #[inline]
    fn alloc_slot(&mut self, class: usize) -> Option<Place> {
        let current = self.classes[class].current as usize;
        if let Some(slab) = self.slabs.get_mut(current)
            && let Some(slot) = slab.free.pop()
        {
            return Some(Place {
                region: slab.region,
                unit: slab.granule * GRANULE_UNITS + u32::from(slot) * classes::slot_units(class),
                slab: current as u32,
                size: u32::from(slot),
            });
        }
        self.next_slab(class)?;
        self.alloc_slot(class)
    }

    /// Makes a slab with a free slot the current one.
    #[cold]
    fn next_slab(&mut self, class: usize) -> Option<()> {
        if let Some(slab) = self.classes[class].partial.pop() {
            self.slabs[slab as usize].listed = NONE;
            self.classes[class].current = slab;
            return Some(());
        }
        let run = self.alloc_run(classes::slab_granules(class) as usize)?;
        let slots = classes::slab_slots(class) as u16;
        let slab = Slab {
            region: run.region,
            granule: run.unit / GRANULE_UNITS,
            class: class as u8,
            listed: NONE,
            free: (0..slots).rev().collect(),
        };
        let number = match self.vacant_slabs.pop() {
            Some(number) => {
                self.slabs[number as usize] = slab;
                number
            }
            None => {
                self.slabs.push(slab);
                self.slabs.len() as u32 - 1
            }
        };
        self.classes[class].current = number;
        Some(())
    }

    /// Takes granules, rather from a region that is in use than from an empty one.
    fn alloc_run(&mut self, granules: usize) -> Option<Place> {
        let count = u32::try_from(granules).ok()?;
        for empty in [false, true] {
            if empty && self.empty == 0 {
                break;
            }
            for (region, runs) in self.regions.iter_mut().enumerate() {
                let Some(runs) = runs else { continue };
                if runs.is_empty() != empty {
                    continue;
                }
                if let Some(granule) = runs.take(count) {
                    if empty {
                        self.rested[region] = false;
                        self.empty -= 1;
                        self.empty_granules -= u64::from(runs.granules());
                    }
                    return Some(Place {
                        region: region as u32,
                        unit: granule * GRANULE_UNITS,
                        slab: NONE,
                        size: count,
                    });
                }
            }
        }
        None
    }

    /// Takes a place back.
    ///
    /// # Panics
    /// Where it notices that the place is free already; the place is private to the process, so
    /// that is an error of its own.
    #[inline]
    pub fn free(&mut self, place: Place) {
        self.live -= 1;
        if place.slab == NONE {
            return self.give_run(place.region, place.unit / GRANULE_UNITS, place.size);
        }
        let slab = &mut self.slabs[place.slab as usize];
        slab.free.push(place.size as u16);
        if self.classes[slab.class as usize].current != place.slab {
            self.freed_beside(place.slab);
        }
    }

    /// A slot was freed in a slab that is not in use now.
    fn freed_beside(&mut self, number: u32) {
        let slab = &mut self.slabs[number as usize];
        let class = slab.class as usize;
        let free = slab.free.len();
        assert!(
            free <= classes::slab_slots(class) as usize,
            "freed more often than taken"
        );
        if slab.listed == NONE {
            slab.listed = self.classes[class].partial.len() as u32;
            self.classes[class].partial.push(number);
        }
        if free == classes::slab_slots(class) as usize {
            self.release_slab(number); // SPC-2
        }
    }

    fn release_slab(&mut self, number: u32) {
        let slab = &mut self.slabs[number as usize];
        let class = slab.class as usize;
        slab.free = Vec::new();
        let (region, granule, listed) = (slab.region, slab.granule, slab.listed);
        slab.listed = NONE;
        if listed != NONE {
            let partial = &mut self.classes[class].partial;
            partial.swap_remove(listed as usize);
            if let Some(&moved) = partial.get(listed as usize) {
                self.slabs[moved as usize].listed = listed;
            }
        }
        self.vacant_slabs.push(number);
        self.give_run(region, granule, classes::slab_granules(class));
    }

    fn give_run(&mut self, region: u32, granule: u32, count: u32) {
        let runs = self.regions[region as usize].as_mut();
        let runs = runs.expect("SPC-3: what is taken lies in a region that is there");
        runs.give(granule, count);
        if runs.is_empty() {
            self.empty += 1;
            self.empty_granules += u64::from(runs.granules());
            self.emptied_last = region;
        }
    }

    /// Gives the slabs in use back that are wholly free (SPC-2).
    pub fn trim(&mut self) {
        for class in 0..CLASSES {
            let current = self.classes[class].current;
            let Some(slab) = self.slabs.get(current as usize) else {
                continue;
            };
            if slab.free.len() == classes::slab_slots(class) as usize {
                self.classes[class].current = NONE;
                self.release_slab(current);
            }
        }
    }

    /// Bytes of free granules, in all regions together.
    #[must_use]
    pub fn free_bytes(&self) -> usize {
        let granules: u64 = self
            .regions
            .iter()
            .flatten()
            .map(|runs| u64::from(runs.free()))
            .sum();
        granules as usize * classes::GRANULE_BYTES
    }
}
