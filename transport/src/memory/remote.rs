//! The wire form of a region: what a peer is given to name it by.

use super::{Access, MemoryRegion, OutOfRegion};
use crate::endpoint::TransportKind;
use bytes::Bytes;
use std::ops::Range;

/// Bytes of the longest key: those of UCX name each of its transports.
pub const MAX_KEY_BYTES: usize = 1024;

impl MemoryRegion {
    /// What to give to peers.
    #[must_use]
    pub fn remote(&self) -> RemoteRegion {
        RemoteRegion {
            kind: self.kind(),
            access: self.access(),
            base: self.memory().start().addr().get() as u64,
            bytes: self.len() as u64,
            key: self.key().clone(),
        }
    }
}

/// A region of a peer: the wire form of a [`MemoryRegion`].
///
/// ```text
/// byte  0  kind       u8   TransportKind
/// byte  1  access     u8   Access
/// byte  2  key bytes  u16  little endian, as all numbers
/// byte  4  0          u32
/// byte  8  base       u64  address at the peer, of its first byte
/// byte 16  bytes      u64
/// byte 24  key
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteRegion {
    kind: TransportKind,
    access: Access,
    base: u64,
    bytes: u64,
    key: Bytes,
}

/// Bytes of a [`RemoteRegion`]'s wire form before its key.
const HEADER_BYTES: usize = 24;

/// A region that cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes that are no region of a peer: {problem}")]
pub struct BadRegion {
    /// How many bytes came.
    pub bytes: usize,
    /// What is wrong.
    pub problem: &'static str,
}

impl RemoteRegion {
    /// The transport it is registered with.
    #[must_use]
    pub fn kind(&self) -> TransportKind {
        self.kind
    }

    /// What may be done with it.
    #[must_use]
    pub fn access(&self) -> Access {
        self.access
    }

    /// The address at the peer, of its first byte.
    #[must_use]
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Its bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// What the peer's transport calls it.
    #[must_use]
    pub fn key(&self) -> &Bytes {
        &self.key
    }

    /// A part of it.
    ///
    /// # Errors
    /// [`OutOfRegion`].
    pub fn slice(&self, range: Range<u64>) -> Result<RemoteSlice, OutOfRegion> {
        let (start, end, bytes) = (range.start, range.end, self.bytes);
        match start <= end && end <= bytes {
            true => Ok(RemoteSlice {
                region: self.clone(),
                range,
            }),
            false => Err(OutOfRegion::Range { start, end, bytes }),
        }
    }

    /// All of it.
    #[must_use]
    pub fn whole(&self) -> RemoteSlice {
        RemoteSlice {
            region: self.clone(),
            range: 0..self.bytes,
        }
    }

    /// As it travels.
    #[must_use]
    pub fn to_wire(&self) -> Vec<u8> {
        let mut wire = Vec::with_capacity(HEADER_BYTES + self.key.len());
        wire.extend_from_slice(&[self.kind as u8, self.access.bits()]);
        wire.extend_from_slice(&(self.key.len() as u16).to_le_bytes());
        wire.extend_from_slice(&[0; 4]);
        wire.extend_from_slice(&self.base.to_le_bytes());
        wire.extend_from_slice(&self.bytes.to_le_bytes());
        wire.extend_from_slice(&self.key);
        wire
    }

    /// What [`to_wire`](Self::to_wire) made. Whether there is such a region its own transport says, when
    /// it is used (MR-3).
    ///
    /// # Errors
    /// [`BadRegion`].
    pub fn from_wire(wire: &[u8]) -> Result<Self, BadRegion> {
        let bad = |problem| BadRegion {
            bytes: wire.len(),
            problem,
        };
        let Some((header, key)) = wire.split_at_checked(HEADER_BYTES) else {
            return Err(bad("its header is cut off"));
        };
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&header[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        let kind = TransportKind::from_wire(header[0]).ok_or(bad("its transport is none"))?;
        let access = Access::from_bits(header[1]).ok_or(bad("its access is unknown"))?;
        let key_bytes = usize::from(u16::from_le_bytes([header[2], header[3]]));
        if key_bytes > MAX_KEY_BYTES || key_bytes != key.len() {
            return Err(bad("its key is cut off or too long"));
        }
        if header[4..8] != [0; 4] {
            return Err(bad("it has bits that mean nothing"));
        }
        let (base, bytes) = (number(8), number(16));
        if base.checked_add(bytes).is_none() {
            return Err(bad("it ends behind the last address"));
        }
        Ok(Self {
            kind,
            access,
            base,
            bytes,
            key: Bytes::copy_from_slice(key),
        })
    }
}

/// A part of a peer's region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteSlice {
    region: RemoteRegion,
    range: Range<u64>,
}

impl RemoteSlice {
    /// The region that it is a part of.
    #[must_use]
    pub fn region(&self) -> &RemoteRegion {
        &self.region
    }

    /// Where it begins in the region.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.range.start
    }

    /// Its bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// The address at the peer, of its first byte.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.region.base.wrapping_add(self.range.start)
    }
}
