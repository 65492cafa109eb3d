//! References to objects that go back, in one message.
//!
//! ```text
//! for each:   byte 0 owner u32   byte 4 zero u32   byte 8 descriptor (24 bytes)
//! ```
//!
//! What is left over at the end is no reference; whoever gets one checks it before use.

use maser_shm::store::{Descriptor, PeerId};

/// Bytes of an entry.
pub(super) const ENTRY_BYTES: usize = 32;

/// One reference to one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) owner: PeerId,
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
        for word in [self.owner.0, 0, extent, unit] {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(seed: u64) -> Entry {
        Entry {
            owner: PeerId(seed as u32),
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
}
