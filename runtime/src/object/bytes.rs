//! Bytes that are shared without being copied: [`Array`] of `u8`, with what bytes are used for.

use super::array::Array;
use crate::error::Result;
use std::str::Utf8Error;

/// Bytes that all processes of the node can read.
///
/// ```
/// let bytes = maser::Bytes::from("hello, world");
/// assert_eq!(bytes.slice(7..).as_str(), Ok("world"));
/// ```
pub type Bytes = Array<u8>;

impl Array<u8> {
    /// The text that they are.
    ///
    /// # Errors
    /// If they are none.
    pub fn as_str(&self) -> Result<&str, Utf8Error> {
        std::str::from_utf8(self)
    }
}

impl From<String> for Array<u8> {
    fn from(text: String) -> Self {
        Self::from_vec(text.into_bytes())
    }
}

impl From<&str> for Array<u8> {
    fn from(text: &str) -> Self {
        Self::from_vec(text.as_bytes().to_vec())
    }
}

impl From<&[u8]> for Array<u8> {
    fn from(bytes: &[u8]) -> Self {
        Self::from_vec(bytes.to_vec())
    }
}

impl<const N: usize> From<&[u8; N]> for Array<u8> {
    fn from(bytes: &[u8; N]) -> Self {
        Self::from(&bytes[..])
    }
}

impl PartialEq<str> for Array<u8> {
    fn eq(&self, other: &str) -> bool {
        self[..] == *other.as_bytes()
    }
}

impl PartialEq<&str> for Array<u8> {
    fn eq(&self, other: &&str) -> bool {
        self[..] == *other.as_bytes()
    }
}
