//! The frames of a recording.
//!
//! ```text
//! byte  0  magic      "maserrec"
//! byte  8  version    u32; all numbers are little-endian
//! byte 12  bytes      u32, of the head
//! byte 16  head       what the graph is made of (`outline`)
//! then     check      u64, of all before
//!
//! frame    bytes      u32, of the body
//!          check      u32, of the frame's number and its length
//!          body       an entry
//!          check      u64, of the frame's number and its body
//! ```
//!
//! - FM-1 a length is believed once its own check is right, so a file that ends early (its writer was
//!   killed, RD-1) can be told from one that was changed.
//! - FM-2 checks are of the frame's number too: frames that were moved, doubled or lost are found.

use super::error::RecordError;
use std::io::{self, Write};

const MAGIC: &[u8; 8] = b"maserrec";
/// The format of this page and of all that lies in the frames.
pub(crate) const VERSION: u32 = 1;
const HEAD_AT: usize = 16;
const CHECK_BYTES: usize = 8;
const FRAME_HEAD_BYTES: usize = 8;

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

fn check_of(parts: &[&[u8]]) -> [u8; CHECK_BYTES] {
    let [a, b, c, d, e, f, g, h, ..] = hash(parts);
    [a, b, c, d, e, f, g, h]
}

fn length_check(number: u64, bytes: u32) -> [u8; 4] {
    let [a, b, c, d, ..] = hash(&[b"length", &number.to_le_bytes(), &bytes.to_le_bytes()]);
    [a, b, c, d]
}

fn body_check(number: u64, body: &[u8]) -> [u8; CHECK_BYTES] {
    check_of(&[b"body", &number.to_le_bytes(), body])
}

/// The bytes of the length of something that goes into a file.
fn length_of(bytes: &[u8]) -> io::Result<u32> {
    u32::try_from(bytes.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "more than 4 GiB in one record"))
}

/// Writes the head of a file; gives its length.
pub(crate) fn write_head(to: &mut dyn Write, head: &[u8]) -> io::Result<u64> {
    let mut bytes = Vec::with_capacity(HEAD_AT + head.len() + CHECK_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&length_of(head)?.to_le_bytes());
    bytes.extend_from_slice(head);
    let check = check_of(&[&bytes]);
    bytes.extend_from_slice(&check);
    to.write_all(&bytes)?;
    Ok(bytes.len() as u64)
}

/// Appends the `number`th frame, counted from 1.
pub(crate) fn append(to: &mut Vec<u8>, number: u64, body: &[u8]) -> io::Result<()> {
    let bytes = length_of(body)?;
    to.extend_from_slice(&bytes.to_le_bytes());
    to.extend_from_slice(&length_check(number, bytes));
    to.extend_from_slice(body);
    to.extend_from_slice(&body_check(number, body));
    Ok(())
}

fn number_at(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    four.try_into().ok().map(u32::from_le_bytes)
}

/// What the next frame is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<'a> {
    /// Its number and body.
    Frame(u64, &'a [u8]),
    /// The file ends here; so many bytes of a frame that is not whole are left.
    End(u64),
}

/// Reads frames out of the bytes of a file.
pub(crate) struct Frames<'a> {
    what: &'a str,
    bytes: &'a [u8],
    at: usize,
    number: u64,
}

impl<'a> Frames<'a> {
    /// Checks the head; `what` is the file in errors. Gives the head and what reads the frames.
    pub(crate) fn open(what: &'a str, bytes: &'a [u8]) -> Result<(&'a [u8], Self), RecordError> {
        let too_short = || RecordError::NothingInIt {
            what: what.to_owned(),
            bytes: bytes.len() as u64,
        };
        let start = bytes.len().min(MAGIC.len());
        if bytes[..start] != MAGIC[..start] {
            return Err(RecordError::NotARecording {
                what: what.to_owned(),
            });
        }
        let version = number_at(bytes, MAGIC.len()).ok_or_else(too_short)?;
        if version != VERSION {
            return Err(RecordError::OtherVersion {
                what: what.to_owned(),
                found: version,
                known: VERSION,
            });
        }
        let length = number_at(bytes, MAGIC.len() + 4).ok_or_else(too_short)?;
        let end = HEAD_AT.checked_add(length as usize).ok_or_else(too_short)?;
        let head = bytes.get(HEAD_AT..end).ok_or_else(too_short)?;
        let check = bytes.get(end..end + CHECK_BYTES).ok_or_else(too_short)?;
        let mut frames = Self {
            what,
            bytes,
            at: 0,
            number: 0,
        };
        if check != check_of(&[&bytes[..end]]) {
            return Err(frames.damaged());
        }
        frames.at = end + CHECK_BYTES;
        frames.number = 1;
        Ok((head, frames))
    }

    fn damaged(&self) -> RecordError {
        RecordError::Damaged {
            what: self.what.to_owned(),
            record: self.number,
            offset: self.at as u64,
        }
    }

    /// The next frame (FM-1).
    pub(crate) fn next(&mut self) -> Result<Next<'a>, RecordError> {
        let left = &self.bytes[self.at..];
        let cut = Next::End(left.len() as u64);
        let (Some(bytes), Some(check)) = (number_at(left, 0), left.get(4..FRAME_HEAD_BYTES)) else {
            return Ok(cut);
        };
        if check != length_check(self.number, bytes) {
            return Err(self.damaged());
        }
        let end = FRAME_HEAD_BYTES + bytes as usize;
        let (Some(body), Some(check)) = (
            left.get(FRAME_HEAD_BYTES..end),
            left.get(end..end + CHECK_BYTES),
        ) else {
            return Ok(cut);
        };
        if check != body_check(self.number, body) {
            return Err(self.damaged());
        }
        let number = self.number;
        self.at += end + CHECK_BYTES;
        self.number += 1;
        Ok(Next::Frame(number, body))
    }
}
