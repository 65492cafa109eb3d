//! Hashing of small numbers that this process gives out itself, a few cycles each.

use std::hash::{BuildHasherDefault, Hasher};

/// For maps whose keys are one or two numbers.
pub type KeyHash = BuildHasherDefault<KeyHasher>;

/// Multiplies each word in; the high bits go down at the end, where maps look.
#[derive(Debug, Default)]
pub struct KeyHasher(u64);

/// An odd number with no pattern: 2^64 by the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    #[inline]
    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    #[inline]
    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(32) ^ word).wrapping_mul(FACTOR);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}
