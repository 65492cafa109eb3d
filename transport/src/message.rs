//! Messages: bytes that are sent, or came.

use bytes::Bytes;
use std::fmt;
use std::num::NonZeroU64;
use std::ops::Deref;

/// Bytes that lie in a [`Message`] itself: the payload of a slot of one cache line.
pub const INLINE_BYTES: usize = 48;

/// Bytes that are copied as a whole.
#[derive(Clone, Copy)]
#[repr(align(8))]
pub(crate) struct Line(pub(crate) [u8; INLINE_BYTES]);

/// How many bytes of a line count, and one: 0 is left for what is no line.
///
/// The line comes first and this is a word, so that a message is moved in the same pieces wherever it goes:
/// what is read in other pieces than it was written in waits until it has left the store buffer, 5 ns each
/// time.
type Count = NonZeroU64;

const _: () = assert!(size_of::<Message>() == INLINE_BYTES + 8);

/// Bytes: a few of them inline, more of them shared. Cloning one copies no more than a line.
#[derive(Clone)]
pub struct Message(Place);

#[derive(Clone)]
enum Place {
    Inline { line: Line, count: Count },
    Shared(Bytes),
}

#[inline(always)]
fn len(count: Count) -> usize {
    (count.get() - 1) as usize
}

impl Message {
    /// No bytes.
    pub const EMPTY: Self = Self(Place::Inline {
        line: Line([0; INLINE_BYTES]),
        count: Count::MIN,
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
        Self::inline(bytes.len() as u8, Line(inline))
    }

    /// The first `len` bytes of a line.
    ///
    /// # Panics
    /// If it has not so many.
    #[inline(always)]
    pub(crate) fn inline(len: u8, line: Line) -> Self {
        assert!(usize::from(len) <= INLINE_BYTES, "{len} bytes of a line");
        let count = Count::MIN.saturating_add(len.into());
        Self(Place::Inline { line, count })
    }

    /// The line that its bytes lie in, if they are inline; more of it is without meaning.
    #[inline(always)]
    pub(crate) fn as_inline(&self) -> Option<(u8, &Line)> {
        match &self.0 {
            Place::Inline { line, count } => Some((count.get() as u8 - 1, line)),
            Place::Shared(_) => None,
        }
    }

    /// Its bytes, without a copy if they are shared already.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self.0 {
            Place::Inline { line, count } => Bytes::copy_from_slice(&line.0[..len(count)]),
            Place::Shared(bytes) => bytes,
        }
    }
}

impl Deref for Message {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Place::Inline { line, count } => &line.0[..len(*count)],
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
