//! Long messages over endpoints of UCX that cannot be given up: the receiver gets them.
//!
//! ```text
//! offer (frame)   byte  0 number u64   of the offer, by its sender
//!                 byte  8 start  u64   address of the message there
//!                 byte 16 bytes  u64
//!                 byte 24 key          as UCX packs it
//! taken (frame)   byte  0 number u64
//! ```
//!
//! - UX-11 nothing of UCX refers to the message at its sender, who may drop it when its peer dies. What was
//!   got is told only after a look at the connection beside UCX: a sender that drops it before it was taken
//!   ends that one first.
//! - UX-12 offers are taken over such endpoints alone, which reach no other host: a key in a frame was not
//!   authenticated.

use super::UcxTransport;
use super::connection::Came;
use super::sys::Posted;
use super::what::{Task, What};
use super::work::{OFFER, TAKEN};
use crate::endpoint::Endpoint;
use crate::event::EndReason;
use crate::memory::{Access, MAX_KEY_BYTES, Memory, SharedBytes};
use crate::message::Message;
use crate::request::Token;
use std::sync::Arc;

/// Offers among the numbers of what UCX knows of.
const OFFERS: u64 = 1 << 63;

impl UcxTransport {
    /// Offers a message to the peer.
    pub(super) fn offer(&mut self, of: Endpoint, message: Message, token: Option<Token>) {
        self.offers += 1;
        let number = OFFERS | self.offers;
        let memory = Arc::new(SharedBytes::new(message.into_bytes()));
        let (start, bytes) = (memory.start().addr().get() as u64, memory.len() as u64);
        let packed = match self.worker.map(number, memory, Access::READ) {
            Ok(packed) => packed,
            Err(status) => {
                let problem = format!("UCX cannot read a message: {status}");
                return self.break_off(of, EndReason::Corrupt(problem));
            }
        };
        if let Some(connection) = self.connections.get_mut(of) {
            connection.active += 1;
            connection.offers.insert(number, token);
        }
        let mut frame = [number, start, bytes].map(u64::to_le_bytes).concat();
        frame.extend_from_slice(&packed);
        self.send_copied(of, OFFER, &frame);
    }

    /// A message is offered: it is got.
    pub(super) fn offered(&mut self, of: Endpoint, sequence: u32, frame: &[u8]) {
        let Err(problem) = self.try_take(of, sequence, frame) else {
            return;
        };
        self.break_off(of, EndReason::Corrupt(problem));
    }

    fn try_take(&mut self, of: Endpoint, sequence: u32, frame: &[u8]) -> Result<(), String> {
        let (numbers, packed) = frame
            .split_first_chunk::<24>()
            .ok_or("an offer that is cut off")?;
        let number = |at: usize| {
            let bytes = numbers[at..].first_chunk();
            bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
        };
        let (offer, start, bytes) = (number(0), number(8), number(16));
        let max = super::LIMITS.max_message_bytes;
        let bytes = usize::try_from(bytes)
            .ok()
            .filter(|bytes| (1..=max).contains(bytes))
            .ok_or_else(|| format!("an offer of {bytes} bytes"))?;
        if !(1..=MAX_KEY_BYTES).contains(&packed.len()) {
            return Err("an offer with a key that cannot be one".into());
        }
        let Some(connection) = self.connections.get_mut(of) else {
            return Ok(());
        };
        let Some((_, ep)) = connection.peer else {
            return Err("an offer of nobody".into());
        };
        if self.worker.can_be_forced(ep) {
            return Err("an offer over a network".into());
        }
        connection.inbound.come(sequence, None)?;
        let key = self.worker.unpack(ep, packed);
        let key = key.map_err(|status| format!("UCX cannot use a key: {status}"))?;
        let slot = self.worker.take_slot();
        self.worker.slot(slot).what = What::Of(of, Task::Collect(sequence, bytes, offer));
        let posted: Posted = self.worker.collect(ep, slot, key, (start, bytes));
        self.worker.forget(key);
        self.begun(slot, posted);
        Ok(())
    }

    /// An offered message was got (UX-11).
    pub(super) fn collected(&mut self, of: Endpoint, sequence: u32, offer: u64, message: Message) {
        self.look();
        self.send_copied(of, TAKEN, &offer.to_le_bytes());
        self.comes(of, sequence, Came::Message(message));
    }

    /// The peer took an offered message.
    pub(super) fn taken(&mut self, of: Endpoint, offer: u64) {
        let Some(connection) = self.connections.get_mut(of) else {
            return;
        };
        let Some(token) = connection.offers.remove(&offer) else {
            let problem = "it took what was not offered";
            return self.break_off(of, EndReason::Corrupt(problem.into()));
        };
        connection.active -= 1;
        self.worker.unmap(offer);
        if let Some(token) = token {
            self.complete(of, token, Ok(0));
        }
        self.goes_on(of);
    }
}
