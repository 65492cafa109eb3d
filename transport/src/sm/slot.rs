//! Slots: what one line of a ring says.
//!
//! ```text
//! byte  0  words     5 x u64, by kind; or the message
//! byte 48  kind      u8
//! byte 49  inline    u8   bytes of a message that lies in the slot, up to 48
//! byte 50  flags     u8
//! byte 51  refusal   u8   why a request was refused, 0 if it was not
//! byte 52  fragment  u32  bytes in the area that belong to this slot
//! ```
//!
//! | kind | words |
//! |---|---|
//! | welcome, more, close | none |
//! | message, control | the message; or its length, if it begins in the area |
//! | put | region, offset, bytes, call, signal |
//! | get, add | region, offset, bytes or what is added, call |
//! | flush | call |
//! | data | call, bytes |
//! | done | call, value |
//!
//! - XL-1 every slot is input: what is none ends the connection.

use crate::message::{INLINE_BYTES, Line, Message};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// What a line of a ring carries.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(super) struct Slot {
    /// First, as in a message: so both are moved in the same pieces.
    rest: [u8; INLINE_BYTES],
    head: u64,
}

/// Why a peer refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum RegionRefusal {
    Gone = 1,
    NotAllowed = 2,
    Outside = 3,
}

impl RegionRefusal {
    const ALL: [Self; 3] = [Self::Gone, Self::NotAllowed, Self::Outside];

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Gone => "there is no such region, or no more",
            Self::NotAllowed => "the region does not allow it",
            Self::Outside => "it lies outside of the region",
        }
    }
}

/// A put, as its peer hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PutHead {
    pub(super) region: u64,
    pub(super) offset: u64,
    pub(super) bytes: u64,
    /// 0: no answer is wanted.
    pub(super) call: u64,
    pub(super) signal: Option<u32>,
}

/// A get, or what is added to a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) region: u64,
    pub(super) offset: u64,
    /// Bytes to read, or what is added.
    pub(super) amount: u64,
    pub(super) call: u64,
}

/// What a slot says. The fragment is the first part, or the next, of what it begins.
#[derive(Debug)]
pub(super) enum Frame {
    Welcome,
    Inline {
        message: Message,
        is_control: bool,
    },
    Long {
        bytes: u64,
        is_control: bool,
        fragment: u32,
    },
    Put(PutHead, u32),
    More(u32),
    Get(Ask),
    Add(Ask),
    Flush {
        call: u64,
    },
    Data {
        call: u64,
        bytes: u64,
        fragment: u32,
    },
    Done {
        call: u64,
        outcome: Result<u64, RegionRefusal>,
    },
    Close,
}

const WELCOME: u8 = 1;
const MESSAGE: u8 = 2;
const LONG: u8 = 3;
const PUT: u8 = 4;
const MORE: u8 = 5;
const GET: u8 = 6;
const ADD: u8 = 7;
const FLUSH: u8 = 8;
const DATA: u8 = 9;
const DONE: u8 = 10;
const CLOSE: u8 = 11;

const IS_CONTROL: u8 = 1;
const HAS_SIGNAL: u8 = 2;

fn head(kind: u8, inline: u8, flags: u8, refusal: u8, fragment: u32) -> u64 {
    let [a, b, c, d] = fragment.to_le_bytes();
    u64::from_le_bytes([kind, inline, flags, refusal, a, b, c, d])
}

fn slot(kind: u8, flags: u8, refusal: u8, fragment: u32, words: [u64; 5]) -> Slot {
    let mut rest = [0; INLINE_BYTES];
    let (places, _) = rest.as_chunks_mut::<8>();
    for (place, word) in places.iter_mut().zip(words) {
        *place = word.to_ne_bytes();
    }
    let head = head(kind, 0, flags, refusal, fragment);
    Slot { rest, head }
}

/// A message that a slot has room for.
#[inline(always)]
pub(super) fn inline(message: &Message, is_control: bool) -> Option<Slot> {
    if let Some((len, line)) = message.as_inline() {
        let head = head(MESSAGE, len, u8::from(is_control), 0, 0);
        let rest = line.0;
        return Some(Slot { rest, head });
    }
    let mut rest = [0; INLINE_BYTES];
    rest.get_mut(..message.len())?.copy_from_slice(message);
    let head = head(MESSAGE, message.len() as u8, u8::from(is_control), 0, 0);
    Some(Slot { rest, head })
}

/// The message in a slot that is nothing else, and is no control message.
#[inline(always)]
pub(super) fn message(slot: &Slot) -> Option<Message> {
    let len = (slot.head >> 8) as u8;
    let is_message = slot.head == u64::from(MESSAGE) | u64::from(len) << 8;
    match is_message && usize::from(len) <= INLINE_BYTES {
        true => Some(Message::inline(len, Line(slot.rest))),
        false => None,
    }
}

/// A message of so many bytes, all of which are in the area.
pub(super) fn short(bytes: u32) -> Slot {
    slot(LONG, 0, 0, bytes, [bytes.into(), 0, 0, 0, 0])
}

/// Bytes of the message that such a slot tells of, if it is one.
pub(super) fn short_bytes(slot: &Slot) -> Option<u32> {
    let bytes = (slot.head >> 32) as u32;
    let is_short = slot.head as u32 == u32::from(LONG)
        && word(slot, 0) == u64::from(bytes)
        && bytes as usize > INLINE_BYTES;
    is_short.then_some(bytes)
}

fn word(slot: &Slot, index: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&slot.rest[index * 8..][..8]);
    u64::from_ne_bytes(word)
}

impl Frame {
    /// It has so many bytes in the area.
    pub(super) fn set_fragment(&mut self, bytes: u32) {
        match self {
            Self::Long { fragment, .. }
            | Self::Put(_, fragment)
            | Self::More(fragment)
            | Self::Data { fragment, .. } => *fragment = bytes,
            _ => assert_eq!(bytes, 0, "bytes behind a slot that has none"),
        }
    }

    /// As it lies in a ring.
    pub(super) fn to_slot(&self) -> Slot {
        let none = [0; 5];
        match *self {
            Self::Welcome => slot(WELCOME, 0, 0, 0, none),
            Self::Inline {
                ref message,
                is_control,
            } => match inline(message, is_control) {
                Some(slot) => slot,
                None => unreachable!("a message of {} bytes in a slot", message.len()),
            },
            Self::Long {
                bytes,
                is_control,
                fragment,
            } => {
                let flags = u8::from(is_control) * IS_CONTROL;
                slot(LONG, flags, 0, fragment, [bytes, 0, 0, 0, 0])
            }
            Self::Put(put, fragment) => {
                let flags = if put.signal.is_some() { HAS_SIGNAL } else { 0 };
                let signal = u64::from(put.signal.unwrap_or(0));
                let words = [put.region, put.offset, put.bytes, put.call, signal];
                slot(PUT, flags, 0, fragment, words)
            }
            Self::More(fragment) => slot(MORE, 0, 0, fragment, none),
            Self::Get(ask) => slot(GET, 0, 0, 0, ask.words()),
            Self::Add(ask) => slot(ADD, 0, 0, 0, ask.words()),
            Self::Flush { call } => slot(FLUSH, 0, 0, 0, [call, 0, 0, 0, 0]),
            Self::Data {
                call,
                bytes,
                fragment,
            } => slot(DATA, 0, 0, fragment, [call, bytes, 0, 0, 0]),
            Self::Done { call, outcome } => {
                let refusal = outcome.err().map_or(0, |refusal| refusal as u8);
                slot(DONE, 0, refusal, 0, [call, outcome.unwrap_or(0), 0, 0, 0])
            }
            Self::Close => slot(CLOSE, 0, 0, 0, none),
        }
    }

    /// What a slot says (XL-1).
    pub(super) fn from_slot(slot: &Slot) -> Result<Self, String> {
        let [kind, inline, flags, refusal, fragment @ ..] = slot.head.to_le_bytes();
        let fragment = u32::from_le_bytes(fragment);
        let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(|index| word(slot, index));
        let is_control = flags & IS_CONTROL != 0;
        Ok(match kind {
            MESSAGE if usize::from(inline) <= INLINE_BYTES => Self::Inline {
                message: Message::copied(&slot.rest[..usize::from(inline)]),
                is_control,
            },
            WELCOME => Self::Welcome,
            LONG => Self::Long {
                bytes: a,
                is_control,
                fragment,
            },
            PUT => Self::Put(
                PutHead {
                    region: a,
                    offset: b,
                    bytes: c,
                    call: d,
                    signal: (flags & HAS_SIGNAL != 0).then_some(e as u32),
                },
                fragment,
            ),
            MORE => Self::More(fragment),
            GET => Self::Get(Ask::from_words(slot)),
            ADD => Self::Add(Ask::from_words(slot)),
            FLUSH => Self::Flush { call: a },
            DATA => Self::Data {
                call: a,
                bytes: b,
                fragment,
            },
            DONE => {
                let refused = RegionRefusal::ALL
                    .into_iter()
                    .find(|one| *one as u8 == refusal);
                let outcome = match (refusal, refused) {
                    (0, _) => Ok(b),
                    (_, Some(refused)) => Err(refused),
                    _ => return Err(format!("a refusal of number {refusal}")),
                };
                Self::Done { call: a, outcome }
            }
            CLOSE => Self::Close,
            _ => return Err(format!("a slot of kind {kind} with {inline} bytes")),
        })
    }
}

impl Ask {
    fn words(self) -> [u64; 5] {
        [self.region, self.offset, self.amount, self.call, 0]
    }

    fn from_words(slot: &Slot) -> Self {
        Self {
            region: word(slot, 0),
            offset: word(slot, 1),
            amount: word(slot, 2),
            call: word(slot, 3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_comes_back_from_its_slot() {
        for bytes in 0..=INLINE_BYTES {
            let text: Vec<u8> = (0..bytes as u8).collect();
            for message in [Message::copied(&text), Message::from(text.clone())] {
                let slot = inline(&message, true).expect("short enough");
                let Ok(Frame::Inline {
                    message,
                    is_control: true,
                }) = Frame::from_slot(&slot)
                else {
                    panic!("{bytes} bytes");
                };
                assert_eq!(*message, *text);
            }
        }
        assert!(inline(&Message::copied(&[0; INLINE_BYTES + 1]), false).is_none());
    }

    proptest! {
        #[test]
        fn any_slot_is_a_frame_or_an_error(
            head in [0_u8..16, 0..64, 0..8, 0..6],
            rest in proptest::collection::vec(any::<u8>(), 52),
        ) {
            let bytes = [&rest[4..], &head, &rest[..4]].concat();
            let slot = Slot::read_from_bytes(&bytes).expect("as many bytes as a slot");
            if let Ok(frame) = Frame::from_slot(&slot) {
                let again = Frame::from_slot(&frame.to_slot()).expect("one that was made here");
                prop_assert_eq!(format!("{frame:?}"), format!("{again:?}"));
            }
            if let Some(message) = message(&slot) {
                prop_assert_eq!(&*message, &slot.rest[..usize::from(head[1])]);
            }
        }
    }
}
