//! The stream of items to one peer: what was not acknowledged is kept, and goes again on the next
//! connection.
//!
//! ```text
//!   push        packet, packet_left       ack
//! ------> new ---------------------> left -----> gone, or lent until its Done
//!                    ^                 |
//!                    +----- rewind ----+   the connection was lost
//! ```
//!
//! - SX-1 items have the places 1, 2, 3 and so on, and leave in this order, on each connection from the
//!   first on that the peer has not. So the peer knows what it has already by its place alone.
//! - SX-2 an item is kept until the peer says that it came; one whose payload is lent, until it says that
//!   it has fetched it.
//! - SX-3 calls and messages are within the credit that the peer gave when they are pushed; so what is
//!   kept is bounded. Replies are as many as the peer's calls.
//!   What goes again to a peer that began anew leaves when it is within its credit.
//! - SX-4 an item that is given up leaves its place to a Void, which gives its credit back.

use super::credit::Amount;
use super::packet::{Packet, PacketKind, Way};
use crate::memory::MemoryRegion;
use crate::message::Message;
use std::collections::{BTreeMap, VecDeque};

/// The payload of an item.
#[derive(Clone, Debug)]
pub enum Body {
    /// Bytes that are copied into packets.
    Bytes(Message),
    /// A region that is lent.
    Lent(MemoryRegion),
}

impl Body {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Lent(region) => region.len() as u64,
        }
    }
}

/// Something with a place in the stream.
#[derive(Debug)]
struct Item {
    kind: PacketKind,
    what: u32,
    about: u64,
    body: Body,
    /// Credit that it took of the peer's.
    charge: Amount,
    /// What was taken up to here, with it.
    charged: Amount,
    /// Credit of ours that goes back to the peer when it has this.
    releases: u64,
    /// A first part of it has left, on this connection or another one.
    has_left: bool,
}

/// What is pushed.
#[derive(Debug)]
pub struct Pushed {
    /// An item's kind.
    pub kind: PacketKind,
    /// The program's number.
    pub what: u32,
    /// By kind.
    pub about: u64,
    /// Its payload.
    pub body: Body,
    /// Messages of our credit that go back to the peer when it has it.
    pub releases: u64,
}

/// What comes next in the stream.
#[derive(Debug)]
pub enum Next {
    /// A packet that goes in order.
    Packet(Message),
    /// One with the key of a region: by a control message.
    Control(Message),
}

/// The peer says what cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer acknowledges item {said} of {left}")]
pub struct BadAck {
    /// What it says.
    pub said: u64,
    /// How many there are.
    pub left: u64,
}

/// See the module's page.
#[derive(Debug, Default)]
pub struct Sending {
    /// Place of the last item.
    last: u64,
    /// Those that are kept; the last of them has place `last` (SX-1).
    items: VecDeque<Item>,
    /// The first of them that has not left on this connection as a whole.
    next: usize,
    /// Bytes of it that have left.
    offset: usize,
    /// What is lent, by place, and the messages that its Done gives back (SX-2).
    lent: BTreeMap<u64, (MemoryRegion, u64)>,
    /// Places of regions that the peer was not told on this connection.
    untold: VecDeque<u64>,
    charged: Amount,
    granted: Amount,
}

impl Sending {
    /// A stream without items, with so much credit.
    #[must_use]
    pub fn new(granted: Amount) -> Self {
        Self {
            granted,
            ..Self::default()
        }
    }

    /// Whether a call or message with so many bytes to be copied may be pushed.
    #[must_use]
    pub fn has_room(&self, bytes: u64) -> bool {
        let after = self.charged.plus(Amount::one(bytes));
        after.is_some_and(|after| after.is_within(self.granted))
    }

    /// Calls and messages that were pushed so far, and that may be.
    #[must_use]
    pub fn credit(&self) -> (Amount, Amount) {
        (self.charged, self.granted)
    }

    /// Takes an item; its place. Whether there is room for calls and messages was asked before (SX-3).
    pub fn push(&mut self, pushed: Pushed) -> u64 {
        let Pushed {
            kind,
            what,
            about,
            body,
            releases,
        } = pushed;
        let charge = match (kind, &body) {
            (PacketKind::Call | PacketKind::Message, Body::Bytes(bytes)) => {
                Amount::one(bytes.len() as u64)
            }
            (PacketKind::Call | PacketKind::Message, Body::Lent(_)) => Amount::one(0),
            _ => Amount::default(),
        };
        let charged = self.charged.plus(charge);
        assert!(charged.is_some(), "more than 2^64 bytes");
        self.charged = charged.unwrap_or_default();
        self.last += 1;
        if let Body::Lent(region) = &body {
            self.lent.insert(self.last, (region.clone(), releases));
            self.untold.push_back(self.last);
        }
        self.items.push_back(Item {
            kind,
            what,
            about,
            body,
            charge,
            charged: self.charged,
            releases,
            has_left: false,
        });
        self.last
    }

    /// The item in `place`, if it is kept.
    fn index(&self, place: u64) -> Option<usize> {
        let first = self.last + 1 - self.items.len() as u64;
        let index = usize::try_from(place.checked_sub(first)?).ok()?;
        (index < self.items.len()).then_some(index)
    }

    /// Gives the item in `place` up (SX-4). `true` if nothing of it ever left; if something has, it is left
    /// as it is while the connection stands.
    pub fn give_up(&mut self, place: u64, is_connected: bool) -> bool {
        let Some(index) = self.index(place) else {
            return false;
        };
        let item = &mut self.items[index];
        let has_left = item.has_left;
        if !has_left || !is_connected {
            item.kind = PacketKind::Void;
            item.what = item.charge.messages as u32;
            item.about = item.charge.bytes;
            item.body = Body::Bytes(Message::EMPTY);
            self.lent.remove(&place);
            self.untold.retain(|untold| *untold != place);
        }
        !has_left
    }

    /// Whether a part of the item in `place` has left.
    #[must_use]
    pub fn has_left(&self, place: u64) -> bool {
        self.index(place)
            .is_none_or(|index| self.items[index].has_left)
    }

    /// What leaves next, with bodies of up to `fragment` bytes. It has left when it is given out.
    pub fn next(&mut self, fragment: usize) -> Option<Next> {
        if let Some(place) = self.untold.pop_front() {
            let (region, _) = self.lent.get(&place)?;
            let packet = Packet::new(PacketKind::Region, place);
            return Some(Next::Control(packet.encode(&region.remote().to_wire())));
        }
        let first = self.last + 1 - self.items.len() as u64;
        let place = first + self.next as u64;
        let item = self.items.get_mut(self.next)?;
        if !item.charged.is_within(self.granted) {
            return None; // SX-3
        }
        item.has_left = true;
        let mut packet = Packet {
            kind: item.kind,
            way: Way::Whole,
            what: item.what,
            sequence: place,
            about: item.about,
        };
        let bytes: &[u8] = match &item.body {
            Body::Bytes(bytes) => bytes,
            Body::Lent(_) => &[],
        };
        let part = &bytes[self.offset..bytes.len().min(self.offset + fragment)];
        if let Body::Lent(region) = &item.body {
            packet.way = Way::Region(region.len() as u64);
        } else if self.offset > 0 {
            packet = Packet::new(PacketKind::Fragment, place);
        } else if part.len() < bytes.len() {
            packet.way = Way::Long(item.body.len());
        }
        let message = packet.encode(part);
        self.offset += part.len();
        if self.offset == bytes.len() {
            self.next += 1;
            self.offset = 0;
        }
        Some(Next::Packet(message))
    }

    /// Whether something waits to leave.
    #[must_use]
    pub fn has_next(&self) -> bool {
        let next = self.items.get(self.next);
        !self.untold.is_empty() || next.is_some_and(|item| item.charged.is_within(self.granted))
    }

    /// Items that are kept because the peer has not said that it has them.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.items.len()
    }

    /// The peer has all items up to `place`; gives how many messages of our credit that gives back to it.
    ///
    /// # Errors
    /// [`BadAck`]: it cannot have what has not left.
    pub fn ack(&mut self, place: u64) -> Result<u64, BadAck> {
        let first = self.last + 1 - self.items.len() as u64;
        let left = first + self.next as u64 - 1;
        if place > left {
            return Err(BadAck { said: place, left });
        }
        Ok(self.drop_to(place))
    }

    fn drop_to(&mut self, place: u64) -> u64 {
        let mut released = 0;
        while self.last + 1 - (self.items.len() as u64) <= place {
            let Some(item) = self.items.pop_front() else {
                break;
            };
            if matches!(item.body, Body::Bytes(_)) {
                released += item.releases;
            }
            self.next = self.next.saturating_sub(1);
        }
        released
    }

    /// The peer fetched what was lent in `place`; how many messages of credit that gives back to it.
    pub fn done(&mut self, place: u64) -> u64 {
        self.untold.retain(|untold| *untold != place);
        self.lent.remove(&place).map_or(0, |(_, releases)| releases)
    }

    /// The peer lets so much come; `true` if that is more than before.
    pub fn grant(&mut self, granted: Amount) -> bool {
        let before = self.granted;
        self.granted = before.or_more(granted);
        self.granted != before
    }

    /// A new connection: everything behind `place`, the last that the peer has, goes again (SX-1). How
    /// many messages of credit go back to it, as with [`ack`](Self::ack).
    ///
    /// # Errors
    /// [`BadAck`].
    pub fn rewind(&mut self, place: u64) -> Result<u64, BadAck> {
        let left = self.last
            - self
                .items
                .iter()
                .rev()
                .take_while(|item| !item.has_left)
                .count() as u64;
        if place > left {
            return Err(BadAck { said: place, left });
        }
        self.next = 0;
        self.offset = 0;
        let released = self.drop_to(place);
        self.untold = self.lent.keys().copied().collect();
        Ok(released)
    }

    /// Takes out the items that never left, and drops the others: the peer begins anew. Gives them, and
    /// how many messages among the others had left and may not have come.
    pub fn begin_anew(&mut self, granted: Amount) -> (Vec<Pushed>, u64) {
        let items = std::mem::take(&mut self.items);
        *self = Self::new(granted);
        let mut lost = 0;
        let mut unsent = Vec::new();
        for item in items {
            match item.kind {
                // Answers to a peer that has forgotten the question.
                PacketKind::Reply | PacketKind::Cancel | PacketKind::Done | PacketKind::Void => {}
                PacketKind::Message if item.has_left => lost += 1,
                _ if item.has_left => {}
                kind => unsent.push(Pushed {
                    kind,
                    what: item.what,
                    about: item.about,
                    body: item.body,
                    releases: 0,
                }),
            }
        }
        (unsent, lost)
    }
}
