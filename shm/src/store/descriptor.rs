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

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::arena::classes::UNIT_BYTES;

/// See the module's page. Whose extent it is follows from whom it came from.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
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
}
