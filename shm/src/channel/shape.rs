//! What a channel in control memory is, in two words that both sides compare.

use std::fmt;

/// Raised with every change of what lies where.
#[cfg(not(loom))]
const VERSION: u8 = 1;

/// Which ring.
#[cfg(not(loom))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Line = 1,
    Positions = 2,
    Calls = 3,
    Broadcast = 4,
}

/// Kind, version, capacity and sizes of a channel.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Shape(pub(super) [u64; 2]);

impl Shape {
    /// A channel of `capacity` slots, a power of two, of values of `bytes`. `other` is what else
    /// the two sides could disagree about: the bytes of an answer, the number of readers.
    #[cfg(not(loom))]
    pub(super) fn new(kind: Kind, capacity: usize, bytes: usize, align: usize, other: u32) -> Self {
        let bits = |value: usize| u64::from(value.trailing_zeros());
        Self([
            u64::from(VERSION) << 56
                | (kind as u64) << 48
                | bits(capacity) << 40
                | bits(align) << 32
                | u64::from(other),
            // Never zero, so that it differs from fresh memory.
            1 << 63 | bytes as u64,
        ])
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second] = self.0;
        let byte = |shift: u32| (first >> shift) & 0xff;
        let kind = match byte(48) {
            1 => "line ring",
            2 => "ring of positions",
            3 => "call ring",
            4 => "broadcast",
            _ => return write!(f, "no channel known here ({first:#x} {second:#x})"),
        };
        let slots = 1_u64.checked_shl(byte(40) as u32).unwrap_or(0);
        let bytes = second & !(1 << 63);
        let (align, version) = (1_u64.checked_shl(byte(32) as u32).unwrap_or(0), byte(56));
        write!(
            f,
            "a {kind} of {slots} slots of {bytes} bytes aligned to {align}"
        )?;
        match (byte(48), first as u32) {
            (3, answer) => write!(f, " and answers of {answer}")?,
            (4, readers) => write!(f, " for {readers} readers")?,
            _ => {}
        }
        write!(f, " (version {version})")
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
