//! Messages: bytes that are sent, or came.

use bytes::Bytes;
use std::fmt;
use std::ops::Deref;

/// Bytes that lie in a [`Message`] itself: the payload of one cache line.
pub const INLINE_BYTES: usize = 56;

/// Bytes: a few of them inline, more of them shared. Cloning one copies no more than a line.
#[derive(Clone)]
pub struct Message(Place);

#[derive(Clone)]
enum Place {
    Inline { len: u8, bytes: [u8; INLINE_BYTES] },
    Shared(Bytes),
}

impl Message {
    /// No bytes.
    pub const EMPTY: Self = Self(Place::Inline {
        len: 0,
        bytes: [0; INLINE_BYTES],
    });

    /// A copy of `bytes`.
    #[must_use]
    #[inline]
    pub fn copied(bytes: &[u8]) -> Self {
        if bytes.len() > INLINE_BYTES {
            return Self(Place::Shared(Bytes::copy_from_slice(bytes)));
        }
        let mut inline = [0; INLINE_BYTES];
        inline[..bytes.len()].copy_from_slice(bytes);
        Self(Place::Inline {
            len: bytes.len() as u8,
            bytes: inline,
        })
    }

    /// The first `len` bytes of a line.
    ///
    /// # Panics
    /// If it has not so many.
    #[inline(always)]
    pub(crate) fn inline(len: u8, bytes: [u8; INLINE_BYTES]) -> Self {
        assert!(usize::from(len) <= INLINE_BYTES, "{len} bytes of a line");
        Self(Place::Inline { len, bytes })
    }

    /// The line that its bytes lie in, if they are inline; more of it is without meaning.
    #[inline(always)]
    pub(crate) fn as_inline(&self) -> Option<&[u8; INLINE_BYTES]> {
        match &self.0 {
            Place::Inline { bytes, .. } => Some(bytes),
            Place::Shared(_) => None,
        }
    }

    /// Its bytes, without a copy if they are shared already.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self.0 {
            Place::Inline { len, bytes } => Bytes::copy_from_slice(&bytes[..usize::from(len)]),
            Place::Shared(bytes) => bytes,
        }
    }
}

impl Deref for Message {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Place::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Place::Shared(bytes) => bytes,
        }
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self(Place::Shared(bytes))
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Place::Shared(bytes.into()))
    }
}

impl From<&[u8]> for Message {
    fn from(bytes: &[u8]) -> Self {
        Self::copied(bytes)
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Message {}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 16;
        let shown = &self[..self.len().min(SHOWN)];
        let more = if self.len() > SHOWN { "..." } else { "" };
        write!(f, "{} B \"{}{more}\"", self.len(), shown.escape_ascii())
    }
}
