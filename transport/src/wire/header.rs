//! The header of a frame.
//!
//! ```text
//! byte  0  magic      4 bytes  "msr" and the version of this header, 1
//! byte  4  kind       u8       FrameKind
//! byte  5  flags      u8       Flags
//! byte  6  0          u16
//! byte  8  payload    u32      bytes behind the header; little endian, as all numbers
//! byte 12  argument   u32      by kind: the signal of a put
//! byte 16  epoch      u64      \ CallId: of the client's life, and of the call in it;
//! byte 24  sequence   u64      / both 0: none
//! byte 32  region     u64      by kind: number of a region; 0: none
//! byte 40  offset     u64      by kind: where in the region; of a Done, what a word was
//! byte 48  tag        16 bytes authenticates header and payload; 0 where nothing is authenticated
//! ```
//!
//! | kind | call | region, offset | flags | payload |
//! |---|---|---|---|---|
//! | Message | none | offset: where in the message | MORE | a part of it; at most 1 GiB in all |
//! | Control | none | none | | all of it, at most 1 MiB |
//! | Put | the sender's | where its payload goes | MORE, SIGNAL | bytes |
//! | Get | the sender's | what is asked for | | how many bytes, u64 |
//! | Data | of the Get | offset: where in them | MORE | bytes |
//! | FetchAdd | the sender's | the word | | what is added, u64 |
//! | Flush | the sender's | none | | none |
//! | Done | it ends | offset: what the word was | | none |
//! | Failed | it ends | none | | why, in UTF-8 |
//! | Ping, Pong, Close | none | none | | none |
//!
//! Every kind may be SEALED; a Put with SIGNAL has the signal as its argument. What is "none" is 0 and
//! not read; parts come in their order, so where they are in a message or in what was asked for is not read either.
//!
//! - WF-1 bytes of a peer are input: every field is checked here, once, and what comes out is a value of
//!   its own: flags that mean nothing with a kind, a kind that there is not and a length beyond
//!   [`MAX_PAYLOAD_BYTES`] are errors before anything is allocated. What a field of a kind means is checked by
//!   whoever serves the kind.

use bitflags::bitflags;

/// Bytes of every header.
pub const HEADER_BYTES: usize = 64;

/// Bytes of the longest payload: what is longer goes in several frames ([`Flags::MORE`]), so that no
/// frame keeps others from their turn for long. 1 MiB takes about 1 ms on a link of 10 Gbit/s.
pub const MAX_PAYLOAD_BYTES: u32 = 1 << 20;

const MAGIC: [u8; 4] = *b"msr\x01";

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// A part of a message.
    Message = 1,
    /// Bytes for a region.
    Put = 2,
    /// Asks for bytes of a region.
    Get = 3,
    /// They, for the call that asked.
    Data = 4,
    /// Adds to a word.
    FetchAdd = 5,
    /// Asks whether everything before it is done.
    Flush = 6,
    /// The call is done; the offset is what a word was before.
    Done = 7,
    /// The call failed; the payload says why.
    Failed = 8,
    /// Says that the peer is there.
    Ping = 9,
    /// Answers a ping.
    Pong = 10,
    /// Nothing comes after it.
    Close = 11,
    /// A control message, whole.
    Control = 12,
}

impl FrameKind {
    const ALL: [Self; 12] = [
        Self::Message,
        Self::Put,
        Self::Get,
        Self::Data,
        Self::FetchAdd,
        Self::Flush,
        Self::Done,
        Self::Failed,
        Self::Ping,
        Self::Pong,
        Self::Close,
        Self::Control,
    ];

    /// Those that mean something with it.
    const fn flags(self) -> Flags {
        match self {
            Self::Put => Flags::all(),
            Self::Message | Self::Data => Flags::MORE.union(Flags::SEALED),
            _ => Flags::SEALED,
        }
    }
}

bitflags! {
    /// More about a frame.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Flags: u8 {
        /// The next frame of this kind goes on where this one ends.
        const MORE = 1;
        /// A put whose argument is a signal.
        const SIGNAL = 1 << 1;
        /// The payload is encrypted, and the tag authenticates it and the header.
        const SEALED = 1 << 2;
    }
}

/// Names a call, for its answer and for good: no other call of the job has the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId {
    /// Of the client's life: another one after each start.
    pub epoch: u64,
    /// Of the call in it.
    pub sequence: u64,
}

/// A header, read and checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the frame is for.
    pub kind: FrameKind,
    /// More about it.
    pub flags: Flags,
    /// Bytes behind the header.
    pub payload_bytes: u32,
    /// See the module's page.
    pub argument: u32,
    /// The call it belongs to.
    pub call: CallId,
    /// See the module's page.
    pub region: u64,
    /// See the module's page.
    pub offset: u64,
    /// See the module's page.
    pub tag: [u8; 16],
}

/// A header that cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// It begins with something else: another program, perhaps.
    #[error(
        "a frame begins with {found:02x?}, not with {MAGIC:02x?}: another program, or another version"
    )]
    Magic {
        /// The first bytes.
        found: [u8; 4],
    },
    /// Of a version that this program does not speak.
    #[error("frames of version {found}, and this program speaks {}; use the same version at both ends", MAGIC[3])]
    Version {
        /// The peer's.
        found: u8,
    },
    /// Of a kind that there is not.
    #[error("a frame of kind {found}, which is none")]
    Kind {
        /// The kind's number.
        found: u8,
    },
    /// Flags, or bytes that are 0, with bits that mean nothing.
    #[error("a frame with bits that mean nothing: flags {flags:#04x}, then {zero:#06x}")]
    Bits {
        /// The flags.
        flags: u8,
        /// What is 0.
        zero: u16,
    },
    /// Longer than frames are.
    #[error("a frame of {bytes} bytes; at most {MAX_PAYLOAD_BYTES} are taken")]
    TooLong {
        /// Its length.
        bytes: u32,
    },
}

impl FrameHeader {
    /// One of `kind` with a payload of so many bytes and nothing else.
    #[must_use]
    pub const fn new(kind: FrameKind, payload_bytes: u32) -> Self {
        Self {
            kind,
            flags: Flags::empty(),
            payload_bytes,
            argument: 0,
            call: CallId {
                epoch: 0,
                sequence: 0,
            },
            region: 0,
            offset: 0,
            tag: [0; 16],
        }
    }

    /// As it travels.
    #[must_use]
    #[inline]
    pub fn to_wire(&self) -> [u8; HEADER_BYTES] {
        let mut wire = [0; HEADER_BYTES];
        wire[..4].copy_from_slice(&MAGIC);
        wire[4] = self.kind as u8;
        wire[5] = self.flags.bits();
        wire[8..12].copy_from_slice(&self.payload_bytes.to_le_bytes());
        wire[12..16].copy_from_slice(&self.argument.to_le_bytes());
        wire[16..24].copy_from_slice(&self.call.epoch.to_le_bytes());
        wire[24..32].copy_from_slice(&self.call.sequence.to_le_bytes());
        wire[32..40].copy_from_slice(&self.region.to_le_bytes());
        wire[40..48].copy_from_slice(&self.offset.to_le_bytes());
        wire[48..].copy_from_slice(&self.tag);
        wire
    }

    /// What [`to_wire`](Self::to_wire) made (WF-1).
    ///
    /// # Errors
    /// [`BadFrame`].
    #[inline]
    pub fn from_wire(wire: &[u8; HEADER_BYTES]) -> Result<Self, BadFrame> {
        let word =
            |at: usize| u32::from_le_bytes([wire[at], wire[at + 1], wire[at + 2], wire[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        let found = [wire[0], wire[1], wire[2], wire[3]];
        if found[..3] != MAGIC[..3] {
            return Err(BadFrame::Magic { found });
        }
        if found[3] != MAGIC[3] {
            return Err(BadFrame::Version { found: found[3] });
        }
        let kind = FrameKind::ALL
            .into_iter()
            .find(|kind| *kind as u8 == wire[4]);
        let kind = kind.ok_or(BadFrame::Kind { found: wire[4] })?;
        let zero = u16::from_le_bytes([wire[6], wire[7]]);
        let flags = Flags::from_bits(wire[5]);
        let flags = flags.filter(|flags| zero == 0 && kind.flags().contains(*flags));
        let flags = flags.ok_or(BadFrame::Bits {
            flags: wire[5],
            zero,
        })?;
        let payload_bytes = word(8);
        if payload_bytes > MAX_PAYLOAD_BYTES {
            let bytes = payload_bytes;
            return Err(BadFrame::TooLong { bytes });
        }
        let mut tag = [0; 16];
        tag.copy_from_slice(&wire[48..]);
        Ok(Self {
            kind,
            flags,
            payload_bytes,
            argument: word(12),
            call: CallId {
                epoch: long(16),
                sequence: long(24),
            },
            region: long(32),
            offset: long(40),
            tag,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn full(kind: FrameKind) -> FrameHeader {
        FrameHeader {
            kind,
            flags: Flags::MORE | Flags::SIGNAL,
            payload_bytes: MAX_PAYLOAD_BYTES,
            argument: 0x0102_0304,
            call: CallId {
                epoch: u64::MAX,
                sequence: 1 << 63,
            },
            region: 5,
            offset: 0x1122_3344_5566_7788,
            tag: [7; 16],
        }
    }

    #[test]
    fn a_header_comes_back_from_the_wire() {
        for kind in FrameKind::ALL {
            let full = FrameHeader {
                flags: kind.flags(),
                ..full(kind)
            };
            for header in [FrameHeader::new(kind, 0), full] {
                assert_eq!(FrameHeader::from_wire(&header.to_wire()), Ok(header));
            }
        }
    }

    #[test]
    fn each_wrong_field_has_its_error() {
        let good = full(FrameKind::Put).to_wire();
        let with = |at: usize, byte: u8| {
            let mut wire = good;
            wire[at] = byte;
            FrameHeader::from_wire(&wire).expect_err("it is wrong")
        };
        assert!(matches!(with(0, b'G'), BadFrame::Magic { .. }));
        assert_eq!(with(3, 2), BadFrame::Version { found: 2 });
        assert_eq!(with(4, 0), BadFrame::Kind { found: 0 });
        assert_eq!(with(4, 13), BadFrame::Kind { found: 13 });
        assert!(matches!(with(5, 0x80), BadFrame::Bits { .. }));
        assert!(matches!(with(7, 1), BadFrame::Bits { .. }));
        // No message has a signal, and no ping has parts.
        for kind in [FrameKind::Message, FrameKind::Ping] {
            assert!(matches!(with(4, kind as u8), BadFrame::Bits { .. }));
        }
        assert!(matches!(with(11, 1), BadFrame::TooLong { .. }));
    }

    proptest! {
        #[test]
        fn bytes_are_a_header_or_an_error(mut bytes: [u8; HEADER_BYTES], is_ours: bool) {
            if is_ours {
                bytes[..4].copy_from_slice(&MAGIC);
                bytes[4] %= 14;
                bytes[5] %= 16;
                bytes[6..8].fill(0);
                bytes[11] = 0;
            }
            if let Ok(header) = FrameHeader::from_wire(&bytes) {
                prop_assert_eq!(header.to_wire(), bytes);
            }
        }
    }
}
