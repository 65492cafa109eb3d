//! The sizes in which objects lie in an extent.
//!
//! An extent is divided into granules of 16 KiB. An object of at most 32 KiB has a slot in a slab,
//! a few granules that are cut into slots of one size; a larger one has granules of its own. Slot
//! sizes go in steps of 64 bytes up to 512 and then in four steps from one power of two to the next,
//! so that at most a fifth of a slot is left over.
//!
//! - SZ-1 each slot begins with one unit for the header; the payload of every slot is aligned to a
//!   unit.
//! - SZ-2 the payload of class `c` is the smallest one that fits what [`class_of`] sends there.

/// Bytes of a unit: what every payload is aligned to, and what offsets are counted in.
pub const UNIT_BYTES: usize = 64;
/// Bytes of a granule. Small enough that an object of just over 32 KiB wastes a third at most, large
/// enough that a megabyte is 64 of them.
pub const GRANULE_BYTES: usize = 16 << 10;
/// Units of a granule.
pub const GRANULE_UNITS: u32 = (GRANULE_BYTES / UNIT_BYTES) as u32;
/// Units before the payload.
pub const HEADER_UNITS: u32 = 1;
/// Payload of the largest slot.
pub const SMALL_BYTES_MAX: usize = 32 << 10;
/// How many classes there are.
pub const CLASSES: usize = 32;

/// Classes that go up in steps of one unit.
const FINE: usize = 8;
/// Least granules of a slab, and least slots.
const SLAB_GRANULES_MIN: u32 = 4;
const SLAB_SLOTS_MIN: u32 = 8;

/// The class for a payload, `None` for one that gets granules of its own.
#[inline]
#[must_use]
pub const fn class_of(payload_bytes: usize) -> Option<usize> {
    if payload_bytes > SMALL_BYTES_MAX {
        return None;
    }
    let units = payload_bytes.div_ceil(UNIT_BYTES);
    if units <= FINE {
        return Some(units.saturating_sub(1));
    }
    let below = units - 1;
    let power = below.ilog2() as usize;
    Some(FINE + (power - 3) * 4 + (below >> (power - 2)) - 4)
}

/// Units of a slot, the header included (SZ-1).
#[inline]
#[must_use]
pub const fn slot_units(class: usize) -> u32 {
    let payload = if class < FINE {
        class + 1
    } else {
        let (octave, step) = ((class - FINE) / 4, (class - FINE) % 4);
        (step + 5) << (octave + 1)
    };
    payload as u32 + HEADER_UNITS
}

/// Granules of a slab.
#[must_use]
pub const fn slab_granules(class: usize) -> u32 {
    let needed = (SLAB_SLOTS_MIN * slot_units(class)).div_ceil(GRANULE_UNITS);
    if needed > SLAB_GRANULES_MIN {
        needed
    } else {
        SLAB_GRANULES_MIN
    }
}

/// Slots of a slab.
#[must_use]
pub const fn slab_slots(class: usize) -> u32 {
    slab_granules(class) * GRANULE_UNITS / slot_units(class)
}

/// Granules that an object needs which shares none.
#[must_use]
pub const fn run_granules(payload_bytes: usize) -> usize {
    let header = HEADER_UNITS as usize * UNIT_BYTES;
    payload_bytes.saturating_add(header).div_ceil(GRANULE_BYTES)
}

/// Bytes of the smallest extent in which such an object has room.
#[must_use]
pub const fn extent_bytes_min(payload_bytes: usize) -> usize {
    match class_of(payload_bytes) {
        Some(class) => slab_granules(class) as usize * GRANULE_BYTES,
        None => run_granules(payload_bytes).saturating_mul(GRANULE_BYTES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_payload_fits_its_class_and_no_smaller_one() {
        for bytes in (0..=SMALL_BYTES_MAX).step_by(if cfg!(miri) { 509 } else { 1 }) {
            let class = class_of(bytes).unwrap();
            let payload = |class| (slot_units(class) - HEADER_UNITS) as usize * UNIT_BYTES;
            assert!(payload(class) >= bytes, "{bytes}"); // SZ-2
            assert!(class == 0 || payload(class - 1) < bytes, "{bytes}");
            let left = payload(class) - bytes.max(1);
            assert!(left < UNIT_BYTES || left * 5 <= payload(class), "{bytes}");
        }
        assert_eq!(class_of(SMALL_BYTES_MAX), Some(CLASSES - 1));
        assert_eq!(class_of(SMALL_BYTES_MAX + 1), None);
    }

    #[test]
    fn powers_of_two_waste_nothing() {
        for power in 6..=15 {
            let class = class_of(1 << power).unwrap();
            let payload = (slot_units(class) - HEADER_UNITS) as usize * UNIT_BYTES;
            assert_eq!(payload, 1 << power);
        }
    }

    #[test]
    fn a_slab_holds_several_slots_and_its_count_fits_16_bits() {
        for class in 0..CLASSES {
            let slots = slab_slots(class);
            assert!((SLAB_SLOTS_MIN..=u32::from(u16::MAX)).contains(&slots));
            assert!(slots * slot_units(class) <= slab_granules(class) * GRANULE_UNITS);
        }
        assert_eq!(run_granules(SMALL_BYTES_MAX + 1), 3);
        assert_eq!(run_granules(usize::MAX), usize::MAX / GRANULE_BYTES + 1);
    }
}
