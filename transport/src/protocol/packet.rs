//! Packets: what the protocols say to each other in messages of a transport.
//!
//! ```text
//! byte  0  kind      5 bits, PacketKind; bit 5: LONG, bit 6: REGION, bit 7: 0
//! byte  1  bytes     u24  of the body in this packet; little endian, as all numbers
//! byte  4  what      u32  the program's own number of a call or message
//! byte  8  sequence  u64  place in the stream of the session; 0: none
//! byte 16  about     u64  by kind: number of a call, place of an item
//! byte 24  body
//! ```
//! A packet with up to 32 bytes of body is a message that lies in one cache line. The body of a LONG item
//! begins with its length in all, a u64, and goes on in `Fragment`s. The body of a REGION item is its
//! length alone, a u64; its bytes are fetched from the region that a `Region` packet names.
//!
//! - PX-1 bytes of a peer are input: every field is checked here, once, against the length that came, and
//!   nothing is allocated. What a place, a call or a length means is checked by whoever keeps it.

use crate::memory::RemoteRegion;
use crate::message::{INLINE_BYTES, Message};

/// Bytes before the body.
pub const PACKET_HEADER_BYTES: usize = 24;
/// Bytes of a body that fit into one cache line with the header.
pub const SHORT_BYTES: usize = INLINE_BYTES - PACKET_HEADER_BYTES;
/// Bytes of the longest body of one packet.
pub const MAX_BODY_BYTES: usize = (1 << 24) - 1;

const LONG: u8 = 1 << 5;
const REGION: u8 = 1 << 6;

/// The version of what is said first.
pub const PROTOCOL_VERSION: u32 = 1;

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PacketKind {
    /// The first of a connection, by who connected: a [`Hello`](super::hello::Hello). What is the version.
    Hello = 1,
    /// Its answer: a `Hello` as well. About is 1 if the session goes on, 0 if it begins.
    Welcome = 2,
    /// An item: a call. About is its number.
    Call = 3,
    /// An item: a message.
    Message = 4,
    /// An item: the reply to the call that it is about.
    Reply = 5,
    /// An item: nobody waits any more for the call that it is about.
    Cancel = 6,
    /// An item: the bytes of the REGION item that it is about are here.
    Done = 7,
    /// An item in place of one that was given up. What are the messages and about the bytes of credit
    /// that it had.
    Void = 8,
    /// The next part of the LONG item in this place.
    Fragment = 9,
    /// Sequence is the last item that came. About and the body are the messages and bytes that may come.
    Ack = 10,
    /// The region of the REGION item in this place ([`RemoteRegion`]).
    Region = 11,
    /// The session is over.
    Bye = 12,
}

impl PacketKind {
    const ALL: [Self; 12] = [
        Self::Hello,
        Self::Welcome,
        Self::Call,
        Self::Message,
        Self::Reply,
        Self::Cancel,
        Self::Done,
        Self::Void,
        Self::Fragment,
        Self::Ack,
        Self::Region,
        Self::Bye,
    ];

    /// Whether it has a place in the stream of its session.
    #[must_use]
    pub const fn is_item(self) -> bool {
        matches!(
            self,
            Self::Call | Self::Message | Self::Reply | Self::Cancel | Self::Done | Self::Void
        )
    }

    /// Whether it has what a program gave.
    const fn has_payload(self) -> bool {
        matches!(self, Self::Call | Self::Message | Self::Reply)
    }
}

/// How the bytes of an item travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// In its packet.
    Whole,
    /// In its packet and fragments; so many in all.
    Long(u64),
    /// From a region; so many.
    Region(u64),
}

/// A packet, read and checked; its body is the part of the message behind the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// What it is.
    pub kind: PacketKind,
    /// How its bytes travel; [`Way::Whole`] unless it is an item with a payload.
    pub way: Way,
    /// See the module's page.
    pub what: u32,
    /// See the module's page.
    pub sequence: u64,
    /// See the module's page.
    pub about: u64,
}

/// A packet that cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPacket {
    /// Shorter than its header.
    #[error("a packet of {bytes} bytes; its header alone has {PACKET_HEADER_BYTES}")]
    CutOff {
        /// How many.
        bytes: usize,
    },
    /// Another length than it says.
    #[error("a packet with {found} bytes of body that says it has {said}")]
    Length {
        /// How many came.
        found: usize,
        /// How many it says.
        said: usize,
    },
    /// No kind of packet.
    #[error("a packet of kind {number:#04x}, which is none")]
    Kind {
        /// The first byte.
        number: u8,
    },
    /// A body that is none of its kind.
    #[error("a packet {kind:?} whose body makes no sense: {problem}")]
    Body {
        /// Its kind.
        kind: PacketKind,
        /// What is wrong.
        problem: &'static str,
    },
}

impl Packet {
    /// One with nothing but a kind and a place.
    #[must_use]
    pub const fn new(kind: PacketKind, sequence: u64) -> Self {
        Self {
            kind,
            way: Way::Whole,
            what: 0,
            sequence,
            about: 0,
        }
    }

    /// As it travels, with `body`: what is short lies in the message itself.
    ///
    /// # Panics
    /// If the body is longer than [`MAX_BODY_BYTES`].
    #[must_use]
    pub fn encode(&self, body: &[u8]) -> Message {
        let total = match self.way {
            Way::Whole => None,
            Way::Long(total) => Some((LONG, total)),
            Way::Region(total) => Some((REGION, total)),
        };
        let bytes = body.len() + if total.is_some() { 8 } else { 0 };
        assert!(bytes <= MAX_BODY_BYTES, "a body of {bytes} bytes");
        let mut header = [0; PACKET_HEADER_BYTES + 8];
        header[..4].copy_from_slice(&((bytes as u32) << 8).to_le_bytes());
        header[0] = self.kind as u8 | total.map_or(0, |(bit, _)| bit);
        header[4..8].copy_from_slice(&self.what.to_le_bytes());
        header[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        header[16..24].copy_from_slice(&self.about.to_le_bytes());
        header[24..].copy_from_slice(&total.map_or(0, |(_, total)| total).to_le_bytes());
        let header = match total {
            None => &header[..PACKET_HEADER_BYTES],
            Some(_) => &header[..],
        };
        let all = header.len() + body.len();
        if all <= INLINE_BYTES {
            let mut line = [0; INLINE_BYTES];
            line[..header.len()].copy_from_slice(header);
            line[header.len()..all].copy_from_slice(body);
            return Message::copied(&line[..all]);
        }
        let mut message = Vec::with_capacity(all);
        message.extend_from_slice(header);
        message.extend_from_slice(body);
        message.into()
    }

    /// What came (PX-1): the packet, and where in the message its payload begins.
    ///
    /// # Errors
    /// [`BadPacket`].
    pub fn decode(message: &[u8]) -> Result<(Self, usize), BadPacket> {
        let Some((header, body)) = message.split_at_checked(PACKET_HEADER_BYTES) else {
            return Err(BadPacket::CutOff {
                bytes: message.len(),
            });
        };
        let first = header[0];
        let is_kind = |kind: &PacketKind| *kind as u8 == first & !(LONG | REGION);
        let kind = PacketKind::ALL.into_iter().find(is_kind);
        let kind = kind.ok_or(BadPacket::Kind { number: first })?;
        let said = (u32_at(header, 0) >> 8) as usize;
        if said != body.len() {
            return Err(BadPacket::Length {
                found: body.len(),
                said,
            });
        }
        let bad = |problem| BadPacket::Body { kind, problem };
        let way = first & (LONG | REGION);
        if way != 0 && !kind.has_payload() {
            return Err(bad("it has no bytes that could travel otherwise"));
        }
        if way != 0 && body.len() < 8 {
            return Err(bad("it does not say how long it is"));
        }
        let (way, begin) = match way {
            0 => (Way::Whole, PACKET_HEADER_BYTES),
            LONG => (Way::Long(u64_at(body, 0)), PACKET_HEADER_BYTES + 8),
            REGION if body.len() == 8 => (Way::Region(u64_at(body, 0)), PACKET_HEADER_BYTES + 8),
            REGION => return Err(bad("its bytes come twice")),
            _ => return Err(bad("its bytes come in two ways")),
        };
        let packet = Self {
            kind,
            way,
            what: u32_at(header, 4),
            sequence: u64_at(header, 8),
            about: u64_at(header, 16),
        };
        let must_be_empty = matches!(
            kind,
            PacketKind::Cancel | PacketKind::Done | PacketKind::Void | PacketKind::Bye
        );
        if must_be_empty && !body.is_empty() {
            return Err(bad("it has none"));
        }
        let has_place = kind.is_item() || matches!(kind, PacketKind::Fragment | PacketKind::Region);
        if has_place && packet.sequence == 0 {
            return Err(bad("it has no place"));
        }
        Ok((packet, begin))
    }
}

/// The bytes of credit in the body of an [`Ack`](PacketKind::Ack).
///
/// # Errors
/// [`BadPacket::Body`].
pub fn ack_bytes(body: &[u8]) -> Result<u64, BadPacket> {
    match body.len() {
        8 => Ok(u64_at(body, 0)),
        _ => Err(BadPacket::Body {
            kind: PacketKind::Ack,
            problem: "it has 8 bytes",
        }),
    }
}

/// The region in the body of a [`Region`](PacketKind::Region) packet.
///
/// # Errors
/// [`BadPacket::Body`].
pub fn region(body: &[u8]) -> Result<RemoteRegion, BadPacket> {
    RemoteRegion::from_wire(body).map_err(|error| BadPacket::Body {
        kind: PacketKind::Region,
        problem: error.problem,
    })
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packets() -> impl Strategy<Value = (Packet, Vec<u8>)> {
        let kinds = prop::sample::select(&PacketKind::ALL[..]);
        let numbers = (any::<u32>(), 1_u64.., any::<u64>(), any::<u64>());
        let body = prop::collection::vec(any::<u8>(), 0..200);
        (kinds, 0..3, numbers, body).prop_map(
            |(kind, way, (what, sequence, about, total), body)| {
                let way = match way {
                    1 if kind.has_payload() => Way::Long(total),
                    2 if kind.has_payload() => Way::Region(total),
                    _ => Way::Whole,
                };
                let is_empty = matches!(way, Way::Region(_))
                    || kind.is_item() && !kind.has_payload()
                    || kind == PacketKind::Bye;
                let body = if is_empty { Vec::new() } else { body };
                let packet = Packet {
                    kind,
                    way,
                    what,
                    sequence,
                    about,
                };
                (packet, body)
            },
        )
    }

    proptest! {
        #[test]
        fn a_packet_comes_as_it_went((packet, body) in packets()) {
            let message = packet.encode(&body);
            let (found, begin) = Packet::decode(&message).expect("it was just made");
            prop_assert_eq!(found, packet);
            prop_assert_eq!(&message[begin..], &body[..]);
        }

        #[test]
        fn a_packet_that_is_cut_off_is_none((packet, body) in packets(), cut in 1_usize..300) {
            let message = packet.encode(&body);
            let kept = message.len().saturating_sub(cut);
            prop_assert!(Packet::decode(&message[..kept]).is_err());
        }

        #[test]
        fn any_bytes_are_a_packet_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Ok((packet, begin)) = Packet::decode(&bytes) {
                prop_assert_eq!(&*packet.encode(&bytes[begin..]), &bytes[..]);
            }
            let _outcome = super::super::hello::Hello::decode(PacketKind::Hello, &bytes);
            let _outcome = region(&bytes);
        }
    }

    #[test]
    fn a_short_body_lies_in_the_message_itself() {
        let message = Packet::new(PacketKind::Call, 1).encode(&[7; SHORT_BYTES]);
        assert_eq!(message.len(), INLINE_BYTES);
    }
}
