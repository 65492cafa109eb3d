//! What names an object in messages between processes.
//!
//! ```text
//! byte  0  extent      u32   number of the extent; its owner never uses it for another one
//! byte  4  unit        u32   where the payload begins, in units of 64 bytes
//! byte  8  generation  u64   which of the objects that were there (HD-2); zero names none
//! byte 16  bytes       u64   bytes of the payload
//! ```
//!
//! All bit patterns are descriptors; whoever gets one checks it before use.

use crate::arena::classes::UNIT_BYTES;

/// See the module's page. Whose extent it is follows from whom it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(C)]
pub struct Descriptor {
    /// Number of the extent.
    pub extent: u32,
    /// Where the payload begins, in units.
    pub unit: u32,
    /// Which object.
    pub generation: u64,
    /// Bytes of the payload.
    pub bytes: u64,
}

/// Bytes of a descriptor in a message.
pub const DESCRIPTOR_BYTES: usize = 24;
const _: () = assert!(size_of::<Descriptor>() == DESCRIPTOR_BYTES);

impl Descriptor {
    /// Where the payload begins, in bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        u64::from(self.unit) * UNIT_BYTES as u64
    }

    /// As it travels: the fields in order, little-endian.
    #[must_use]
    pub fn to_bytes(self) -> [u8; DESCRIPTOR_BYTES] {
        let mut bytes = [0; DESCRIPTOR_BYTES];
        bytes[..4].copy_from_slice(&self.extent.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.unit.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.generation.to_le_bytes());
        bytes[16..].copy_from_slice(&self.bytes.to_le_bytes());
        bytes
    }

    /// What travelled.
    #[must_use]
    pub fn from_bytes(bytes: [u8; DESCRIPTOR_BYTES]) -> Self {
        let half = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        Self {
            extent: half(0),
            unit: half(4),
            generation: word(8),
            bytes: word(16),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_travels_arrives() {
        let descriptor = Descriptor {
            extent: 0x0102_0304,
            unit: 0x0506_0708,
            generation: 0x1122_3344_5566_7788,
            bytes: u64::MAX - 1,
        };
        assert_eq!(Descriptor::from_bytes(descriptor.to_bytes()), descriptor);
        assert_eq!(descriptor.offset(), 0x0506_0708 * 64);
    }
}
