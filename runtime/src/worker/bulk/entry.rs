//! References to objects in messages: those that go back are the body, one after the other; those
//! that come with a value are listed behind its bytes.
//!
//! ```text
//! for each:   byte 0 owner u32   byte 4 via u32   byte 8 descriptor (24 bytes)
//! behind a list that follows a value:   how many, u32
//! ```
//!
//! `via` is the third process of a reference that one worker gave another (BK-7): on its way to the
//! driver the giver, on its way from there the one that had it; 0 in all others.
//!
//! What is left over at the end is no reference; whoever gets one checks it before use.

use maser_shm::store::{Descriptor, PeerId};

/// Bytes of an entry.
pub(crate) const ENTRY_BYTES: usize = 32;

/// One reference to one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) owner: PeerId,
    pub(super) via: PeerId,
    pub(super) descriptor: Descriptor,
}

impl Entry {
    /// Appends it.
    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        let Descriptor {
            extent,
            unit,
            generation,
            bytes: length,
        } = self.descriptor;
        for word in [self.owner.0, self.via.0, extent, unit] {
            bytes.extend_from_slice(&word.to_ne_bytes());
        }
        bytes.extend_from_slice(&generation.to_ne_bytes());
        bytes.extend_from_slice(&length.to_ne_bytes());
    }

    fn read(bytes: &[u8; ENTRY_BYTES]) -> Self {
        let word = |at: usize| {
            let mut word = [0; 4];
            word.copy_from_slice(&bytes[at..at + 4]);
            u32::from_ne_bytes(word)
        };
        let long = |at: usize| {
            let mut long = [0; 8];
            long.copy_from_slice(&bytes[at..at + 8]);
            u64::from_ne_bytes(long)
        };
        Self {
            owner: PeerId(word(0)),
            via: PeerId(word(4)),
            descriptor: Descriptor {
                extent: word(8),
                unit: word(12),
                generation: long(16),
                bytes: long(24),
            },
        }
    }
}

/// The entries in a body; what is left over at its end is none.
pub(super) fn entries(body: &[u8]) -> impl Iterator<Item = Entry> + '_ {
    body.as_chunks().0.iter().map(Entry::read)
}

/// Ends the list behind a value.
pub(super) fn finish(count: usize, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&(count as u32).to_ne_bytes());
}

/// The value, and the list behind it. A number that does not fit the message means that there is no
/// list.
pub(super) fn split(body: &[u8]) -> Option<(&[u8], Vec<Entry>)> {
    let (rest, count) = body.split_last_chunk::<4>()?;
    let list = (u32::from_ne_bytes(*count) as usize).checked_mul(ENTRY_BYTES)?;
    let (value, list) = rest.split_at_checked(rest.len().checked_sub(list)?)?;
    Some((value, entries(list).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(seed: u64) -> Entry {
        Entry {
            owner: PeerId(seed as u32),
            via: PeerId((seed >> 24) as u32),
            descriptor: Descriptor {
                extent: (seed >> 8) as u32,
                unit: (seed >> 16) as u32,
                generation: seed.rotate_left(7),
                bytes: !seed,
            },
        }
    }

    proptest! {
        #[test]
        fn references_come_as_they_went(
            seeds in prop::collection::vec(any::<u64>(), 0..5),
            rest in prop::collection::vec(any::<u8>(), 0..ENTRY_BYTES),
        ) {
            let went: Vec<Entry> = seeds.into_iter().map(entry).collect();
            let mut body = Vec::new();
            went.iter().for_each(|entry| entry.write(&mut body));
            body.extend(rest);
            prop_assert_eq!(entries(&body).collect::<Vec<_>>(), went);
        }
    }

    proptest! {
        #[test]
        fn a_list_comes_off_as_it_was_put_on(
            value in prop::collection::vec(any::<u8>(), 0..100),
            seeds in prop::collection::vec(any::<u64>(), 0..5),
        ) {
            let went: Vec<Entry> = seeds.into_iter().map(entry).collect();
            let mut body = value.clone();
            went.iter().for_each(|entry| entry.write(&mut body));
            finish(went.len(), &mut body);
            prop_assert_eq!(split(&body), Some((&value[..], went)));
        }

        #[test]
        fn any_bytes_have_a_list_or_none(body in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some((value, list)) = split(&body) {
                prop_assert_eq!(value.len() + list.len() * ENTRY_BYTES + 4, body.len());
            }
        }
    }
}
