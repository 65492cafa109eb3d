//! The first word of both ends of a connection.
//!
//! - HL-1 it is input, and is checked as packets are (PX-1).

use super::packet::{BadPacket, PacketKind, u64_at};

/// What both ends say first: who they are, how far they have got, and how much may come.
///
/// ```text
/// byte  0  epoch       u64  of the life of who says it
/// byte  8  peer epoch  u64  of the life that the session was begun with; 0: it begins
/// byte 16  session     u64  its number, by who connected
/// byte 24  attempt     u64  how many connections it had, with this one
/// byte 32  received    u64  the last item that came
/// byte 40  messages    u64  \ that may come, from the beginning of the session on
/// byte 48  bytes       u64  /
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// See the page.
    pub epoch: u64,
    /// See the page.
    pub peer_epoch: u64,
    /// See the page.
    pub session: u64,
    /// See the page.
    pub attempt: u64,
    /// See the page.
    pub received: u64,
    /// See the page.
    pub messages: u64,
    /// See the page.
    pub bytes: u64,
}

impl Hello {
    /// As it travels in a body.
    #[must_use]
    pub fn encode(&self) -> [u8; 56] {
        let words = [
            self.epoch,
            self.peer_epoch,
            self.session,
            self.attempt,
            self.received,
            self.messages,
            self.bytes,
        ];
        let mut body = [0; 56];
        for (place, word) in body.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        body
    }

    /// What came as the body of a packet of `kind`.
    ///
    /// # Errors
    /// [`BadPacket::Body`].
    pub fn decode(kind: PacketKind, body: &[u8]) -> Result<Self, BadPacket> {
        let bad = |problem| BadPacket::Body { kind, problem };
        if body.len() != 56 {
            return Err(bad("it has 56 bytes"));
        }
        let hello = Self {
            epoch: u64_at(body, 0),
            peer_epoch: u64_at(body, 8),
            session: u64_at(body, 16),
            attempt: u64_at(body, 24),
            received: u64_at(body, 32),
            messages: u64_at(body, 40),
            bytes: u64_at(body, 48),
        };
        match hello.epoch {
            0 => Err(bad("it names no life")),
            _ => Ok(hello),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_first_word_comes_as_it_went(words in prop::array::uniform7(1_u64..)) {
            let [epoch, peer_epoch, session, attempt, received, messages, bytes] = words;
            let hello = Hello { epoch, peer_epoch, session, attempt, received, messages, bytes };
            let found = Hello::decode(PacketKind::Hello, &hello.encode());
            prop_assert_eq!(found, Ok(hello));
        }

        #[test]
        fn other_bytes_are_none(body in prop::collection::vec(any::<u8>(), 0..100)) {
            let is_one = body.len() == 56 && body[..8] != [0; 8];
            prop_assert_eq!(Hello::decode(PacketKind::Welcome, &body).is_ok(), is_one);
        }
    }
}
