//! The stream of items from one peer: each of them is taken once.
//!
//! - RX-1 an item is taken if its place is the next one. Whatever has an earlier place came before, on
//!   another connection, and is dropped; a later place is none (SX-1). So no effect happens twice.
//! - RX-2 calls and messages are counted against the credit that the peer was given, before anything is
//!   allocated for them.
//! - RX-3 credit goes back when the program has taken a message; that of a call when the reply is with the
//!   peer, so that replies are bounded too.

use super::credit::Amount;
use super::packet::{Packet, PacketKind, Way};
use crate::message::Message;
use bytes::Bytes;

/// The bytes of an item that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    /// They are here.
    Bytes(Message),
    /// They are to be fetched; so many.
    Lent(u64),
}

/// What a peer that keeps to the protocol does not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A place that is not the next one.
    #[error("item {found} came after item {last}")]
    Place {
        /// Its place.
        found: u64,
        /// The last one before.
        last: u64,
    },
    /// More than was let come.
    #[error("{sent:?} came of {granted:?} that may")]
    Credit {
        /// All that came.
        sent: Amount,
        /// All that may.
        granted: Amount,
    },
    /// A payload that is longer than any may be.
    #[error("a payload of {bytes} bytes; at most {max} are taken")]
    TooLong {
        /// Its length.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// A fragment of nothing, or more than there was to come.
    #[error("a fragment in place {place} that belongs to nothing")]
    Fragment {
        /// Where.
        place: u64,
    },
}

struct Partial {
    packet: Packet,
    total: usize,
    bytes: Vec<u8>,
}

/// See the module's page.
pub struct Receiving {
    /// The last item that is here as a whole.
    received: u64,
    /// The peer was told so much.
    told_received: u64,
    partial: Option<Partial>,
    /// What came and was counted.
    arrived: Amount,
    /// What was given back.
    consumed: Amount,
    window: Amount,
    /// The peer was told that so much may come.
    told: Amount,
    /// Bytes of the longest payload that is lent, and of the longest reply that is not.
    max_lent: u64,
}

impl Receiving {
    /// A stream of which nothing came yet. `told` is what the peer knows that may come.
    #[must_use]
    pub fn new(window: Amount, told: Amount, max_lent: u64) -> Self {
        Self {
            received: 0,
            told_received: 0,
            partial: None,
            arrived: Amount::default(),
            consumed: Amount::default(),
            window,
            told,
            max_lent,
        }
    }

    /// The last item that is here.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Takes a packet of an item, or a fragment; `message` is all of it, with the body from `begin` on.
    /// `None` if it came before, or goes on.
    ///
    /// # Errors
    /// [`Violation`].
    pub fn take(
        &mut self,
        packet: Packet,
        message: Message,
        begin: usize,
    ) -> Result<Option<(Packet, Came)>, Violation> {
        let place = packet.sequence;
        if place <= self.received {
            return Ok(None); // RX-1
        }
        if packet.kind == PacketKind::Fragment {
            return self.go_on(place, &message[begin..]);
        }
        if place != self.received + 1 || self.partial.is_some() {
            let last = self.received + u64::from(self.partial.is_some());
            return Err(Violation::Place { found: place, last });
        }
        self.count(&packet, (message.len() - begin) as u64)?;
        let came = match packet.way {
            Way::Whole => Came::Bytes(behind(message, begin)),
            Way::Region(bytes) if bytes > self.max_lent => {
                return Err(Violation::TooLong {
                    bytes,
                    max: self.max_lent,
                });
            }
            Way::Region(bytes) => Came::Lent(bytes),
            Way::Long(total) => {
                let total = total as usize;
                let part = &message[begin..];
                if part.len() >= total {
                    return Err(Violation::Fragment { place });
                }
                let mut bytes = Vec::with_capacity(total);
                bytes.extend_from_slice(part);
                self.partial = Some(Partial {
                    packet,
                    total,
                    bytes,
                });
                return Ok(None);
            }
        };
        self.received = place;
        Ok(Some((packet, came)))
    }

    /// RX-2.
    fn count(&mut self, packet: &Packet, here: u64) -> Result<(), Violation> {
        let bytes = match packet.way {
            Way::Whole => here,
            Way::Long(total) => total,
            Way::Region(_) => 0,
        };
        let charge = match packet.kind {
            PacketKind::Call | PacketKind::Message => Amount::one(bytes),
            PacketKind::Void => Amount {
                messages: u64::from(packet.what),
                bytes: packet.about,
            },
            _ if bytes > self.window.bytes => {
                let max = self.window.bytes;
                return Err(Violation::TooLong { bytes, max });
            }
            _ => return Ok(()),
        };
        let granted = self.told;
        let sent = self.arrived.plus(charge).unwrap_or(Amount {
            messages: u64::MAX,
            bytes: u64::MAX,
        });
        if !sent.is_within(granted) {
            return Err(Violation::Credit { sent, granted });
        }
        // A partial that a lost connection cut off is counted when it is there as a whole.
        if !matches!(packet.way, Way::Long(_)) {
            self.arrived = sent;
        }
        if packet.kind == PacketKind::Void {
            self.consume(charge);
        }
        Ok(())
    }

    fn go_on(&mut self, place: u64, part: &[u8]) -> Result<Option<(Packet, Came)>, Violation> {
        let stray = Violation::Fragment { place };
        let partial = self.partial.as_mut().ok_or(stray)?;
        let left = partial.total - partial.bytes.len();
        if partial.packet.sequence != place || part.is_empty() || part.len() > left {
            return Err(stray);
        }
        partial.bytes.extend_from_slice(part);
        if part.len() < left {
            return Ok(None);
        }
        let Some(Partial { packet, bytes, .. }) = self.partial.take() else {
            return Err(stray);
        };
        if matches!(packet.kind, PacketKind::Call | PacketKind::Message) {
            let charge = Amount::one(bytes.len() as u64);
            self.arrived = self.arrived.plus(charge).unwrap_or(self.arrived);
        }
        self.received = place;
        Ok(Some((packet, Came::Bytes(Bytes::from(bytes).into()))))
    }

    /// The connection was lost: what came of an item in parts comes again.
    pub fn cut(&mut self) {
        self.partial = None;
    }

    /// RX-3.
    pub fn consume(&mut self, amount: Amount) {
        self.consumed = self.consumed.plus(amount).unwrap_or(self.consumed);
    }

    fn may_come(&self) -> Amount {
        self.consumed.plus(self.window).unwrap_or(self.told)
    }

    /// Whether the peer does not know all that it could.
    #[must_use]
    pub fn owes_ack(&self) -> bool {
        self.received > self.told_received || self.may_come() != self.told
    }

    /// Whether it should know soon: a quarter of the window is not told.
    #[must_use]
    pub fn owes_ack_now(&self) -> bool {
        let may = self.may_come();
        let quarter = |of: u64| (of / 4).max(1);
        self.received - self.told_received >= quarter(self.window.messages)
            || may.messages - self.told.messages.min(may.messages) >= quarter(self.window.messages)
            || may.bytes - self.told.bytes.min(may.bytes) >= quarter(self.window.bytes)
    }

    /// What to tell the peer: the last item that came, and how much may come. It is told then.
    pub fn tell(&mut self) -> (u64, Amount) {
        self.told_received = self.received;
        self.told = self.told.or_more(self.may_come());
        (self.received, self.told)
    }
}

/// What is behind the first `begin` bytes, without a copy if the bytes are shared.
fn behind(message: Message, begin: usize) -> Message {
    if message.len() <= crate::message::INLINE_BYTES {
        return Message::copied(&message[begin..]);
    }
    message.into_bytes().slice(begin..).into()
}
