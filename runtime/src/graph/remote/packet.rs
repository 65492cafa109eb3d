//! What an edge between processes carries: one line a value.
//!
//! ```text
//! word 0      bits 0..8 kind   16..32 how many objects   32..64 bytes of the body
//! words 1..7  the body, if it has no more than 48 bytes
//! else        word 1 where it begins in the edge's pool, word 2 which pool
//!
//! body        the value, and behind it what goes beside it (`objects`)
//! ```
//!
//! - PK-1 every word that came is input: an unknown kind is an error of that run, a length or a place
//!   is checked against the pool before anything is read.
//! - PK-2 values are encoded once, into a [`Packed`], and every edge they leave by carries the same
//!   bytes.

use crate::error::Error;
use crate::worker::along::Beside;
use crate::worker::bulk::NAME_BYTES;
use crate::worker::wire_error;
use zerocopy::IntoBytes;

/// One line of a ring, without its count.
pub(crate) type Packet = [u64; 7];

/// Bytes of the longest body that stands in the line itself.
pub(crate) const INLINE_BYTES: usize = 48;

/// Bytes of a body that is the first word alone.
const WORD_BYTES: usize = 8;

/// Most objects that a value goes with; more of them go as their bytes.
pub(crate) const OBJECTS_MAX: usize = u16::MAX as usize;

/// Bytes of the longest body.
const BODY_BYTES_MAX: usize = u32::MAX as usize;

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A value, or nothing where a run is only to be begun.
    Value = 1,
    /// The error in its place.
    Error = 2,
    /// There was no memory for either.
    Lost = 3,
    /// A value that comes another way; the second word is its number there (`detour`). Of the objects that
    /// are listed there is one, so that such a line is not taken for a value.
    Relayed = 4,
}

impl Kind {
    /// The kind that a first word names (PK-1).
    #[inline(always)]
    pub(crate) fn of(word: u64) -> Option<Self> {
        match word & 0xff {
            1 => Some(Self::Value),
            2 => Some(Self::Error),
            3 => Some(Self::Lost),
            4 => Some(Self::Relayed),
            _ => None,
        }
    }
}

/// The first word.
#[inline(always)]
pub(crate) const fn head(kind: Kind, bytes: usize) -> u64 {
    kind as u64 | (bytes as u64) << 32
}

/// Kind and length of a packet that came (PK-1).
#[inline(always)]
pub(crate) fn read_head(packet: &Packet) -> Option<(Kind, usize)> {
    Kind::of(packet[0]).map(|kind| (kind, (packet[0] >> 32) as usize))
}

/// How many objects a first word says that there are.
#[inline(always)]
pub(crate) const fn objects_of(head: u64) -> usize {
    (head >> 16) as u16 as usize
}

/// The line of a value that comes another way.
pub(crate) const fn relayed(number: u64) -> Packet {
    let first = head(Kind::Relayed, WORD_BYTES) | 1 << 16;
    [first, number, 0, 0, 0, 0, 0]
}

/// A value as bytes: in a packet, or beside it.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    packet: Packet,
    /// The body of more than [`INLINE_BYTES`]; else memory that will be used again.
    more: Vec<u8>,
    /// What lies beside the value: handles of its objects.
    objects: Vec<Beside>,
    /// Objects in it must lie in this process's own store: some reader is another worker (EO-3).
    owns: bool,
}

impl Default for Packed {
    fn default() -> Self {
        Self {
            packet: EMPTY,
            more: Vec::new(),
            objects: Vec::new(),
            owns: false,
        }
    }
}

/// A value of no bytes.
pub(crate) const EMPTY: Packet = [Kind::Value as u64, 0, 0, 0, 0, 0, 0];

impl Packed {
    /// The first words of the line, if there is nothing in the others.
    #[inline(always)]
    pub(crate) fn as_word(&self) -> Option<[u64; 2]> {
        (self.len() <= WORD_BYTES).then_some([self.packet[0], self.packet[1]])
    }

    /// The line, if the body stands in it.
    #[inline(always)]
    pub(crate) fn as_packet(&self) -> Option<Packet> {
        if let Some([first, second]) = self.as_word() {
            // A wide load of words that were just written one by one would wait for them.
            return Some([first, second, 0, 0, 0, 0, 0]);
        }
        (self.len() <= INLINE_BYTES).then_some(self.packet)
    }

    /// The first word.
    #[inline(always)]
    pub(crate) fn head(&self) -> u64 {
        self.packet[0]
    }

    #[inline(always)]
    fn len(&self) -> usize {
        (self.packet[0] >> 32) as usize
    }

    /// Its number, if it comes another way.
    pub(crate) fn is_relayed(&self) -> Option<u64> {
        let is_it = self.packet[0] == relayed(0)[0];
        is_it.then_some(self.packet[1])
    }

    /// Whether it is no value.
    #[inline(always)]
    pub(crate) fn is_error(&self) -> bool {
        self.packet[0] & 0xff != Kind::Value as u64
    }

    /// The body.
    #[inline(always)]
    pub(crate) fn body(&self) -> &[u8] {
        let bytes = self.len();
        if bytes <= INLINE_BYTES {
            &self.packet[1..].as_bytes()[..bytes]
        } else {
            &self.more
        }
    }

    /// The value.
    #[inline(always)]
    pub(crate) fn bytes(&self) -> &[u8] {
        let body = self.body();
        let names = objects_of(self.packet[0]) * NAME_BYTES;
        &body[..body.len().saturating_sub(names)]
    }

    /// The names of its objects; `None` if the body is too short for them (PK-1).
    pub(crate) fn names(&self) -> Option<&[u8]> {
        let body = self.body();
        let names = objects_of(self.packet[0]) * NAME_BYTES;
        body.get(body.len().checked_sub(names)?..)
    }

    /// Handles of its objects.
    #[inline(always)]
    pub(crate) fn objects(&self) -> &[Beside] {
        &self.objects
    }

    /// Objects that came with it are to lie here.
    pub(crate) fn objects_mut(&mut self) -> &mut Vec<Beside> {
        &mut self.objects
    }

    /// Whether objects in it must be this process's own.
    pub(crate) fn owns(&self) -> bool {
        self.owns
    }

    /// Some reader is another worker.
    pub(crate) fn must_own(&mut self) {
        self.owns = true;
    }

    /// Nobody reads it any more: handles go.
    #[inline(always)]
    pub(crate) fn was_read(&mut self) {
        if !self.objects.is_empty() {
            self.forget();
        }
    }

    #[cold]
    fn forget(&mut self) {
        self.objects.clear();
    }

    /// Becomes what came, whose body stands in the line.
    #[inline(always)]
    pub(crate) fn set_packet(&mut self, packet: Packet) {
        if (packet[0] >> 32) as usize <= WORD_BYTES {
            (self.packet[0], self.packet[1]) = (packet[0], packet[1]);
        } else {
            self.packet = packet;
        }
    }

    /// Becomes a body of this kind that `write` puts into the empty vector.
    ///
    /// # Errors
    /// What `write` says, or that the body is too long; the rest is an empty value then.
    pub(crate) fn fill(
        &mut self,
        kind: Kind,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), String>,
    ) -> Result<(), String> {
        self.objects.clear();
        self.fill_body(head(kind, 0), |bytes, _| write(bytes))
    }

    /// As [`fill`](Self::fill), with the objects that `write` puts beside the value.
    pub(crate) fn fill_value(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>, &mut Vec<Beside>) -> Result<(), String>,
    ) -> Result<(), String> {
        self.objects.clear();
        let filled = self.fill_body(head(Kind::Value, 0), |bytes, objects| {
            write(bytes, objects)?;
            objects.iter().for_each(|beside| beside.list(bytes));
            Ok(())
        });
        match filled {
            Ok(()) => self.packet[0] |= (self.objects.len() as u64) << 16,
            Err(_) => self.objects.clear(),
        }
        filled
    }

    /// Becomes a body that came, with this first word.
    pub(crate) fn fill_came(
        &mut self,
        first: u64,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), String>,
    ) -> Result<(), String> {
        self.objects.clear();
        self.fill_body(first & 0xffff_ffff, |bytes, _| write(bytes))
    }

    fn fill_body(
        &mut self,
        first: u64,
        write: impl FnOnce(&mut Vec<u8>, &mut Vec<Beside>) -> Result<(), String>,
    ) -> Result<(), String> {
        self.packet = EMPTY;
        self.more.clear();
        write(&mut self.more, &mut self.objects)?;
        let bytes = self.more.len();
        if bytes > BODY_BYTES_MAX {
            self.more = Vec::new();
            return Err(format!(
                "its {bytes} bytes are more than the {BODY_BYTES_MAX} that an edge carries"
            ));
        }
        self.packet[0] = first | (bytes as u64) << 32;
        if bytes <= INLINE_BYTES {
            self.packet[1..].as_mut_bytes()[..bytes].copy_from_slice(&self.more);
        }
        Ok(())
    }

    /// Becomes a value of these bytes, which are no more than stand in a line.
    #[inline(always)]
    pub(crate) fn set_inline(&mut self, bytes: &[u8]) {
        self.packet[0] = head(Kind::Value, bytes.len());
        self.packet[1..].as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
    }

    /// Becomes what `other` is.
    pub(crate) fn set(&mut self, other: &Self) {
        self.packet = other.packet;
        self.more.clear();
        if other.len() > INLINE_BYTES {
            self.more.extend_from_slice(&other.more);
        }
        self.objects.clone_from(&other.objects);
    }

    /// What is to be an error cannot be one either.
    #[cold]
    pub(crate) fn set_lost(&mut self) {
        self.objects.clear();
        self.packet = [head(Kind::Lost, 0), 0, 0, 0, 0, 0, 0];
    }

    /// Becomes an error.
    #[cold]
    pub(crate) fn set_error(&mut self, error: &Error) {
        let text = wire_error::encode(error);
        let filled = self.fill(Kind::Error, |bytes| {
            bytes.extend_from_slice(&text);
            Ok(())
        });
        if filled.is_err() {
            self.set_lost();
        }
    }

    /// The error that it is; `from` is the process it came from.
    #[cold]
    pub(crate) fn error(&self, from: &str) -> Error {
        match Kind::of(self.packet[0]) {
            Some(Kind::Error) => wire_error::decode(self.bytes()),
            Some(Kind::Lost) => Error::System {
                what: format!("{from} could not send the value of a compiled graph"),
                reason:
                    "there was no memory for it there; send less at once, or lower max_inflight"
                        .into(),
            },
            Some(Kind::Value | Kind::Relayed) | None => garbled(from, "it is of no known kind"),
        }
    }
}

/// The error of a run whose value is no value (PK-1).
#[cold]
pub(crate) fn garbled(from: &str, problem: &str) -> Error {
    Error::System {
        what: format!("a value of a compiled graph that came from {from} cannot be read"),
        reason: format!("{problem}; that process has written where it should not"),
    }
}
