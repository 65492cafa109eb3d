//! What the device says is done, and what the peer sent.

use super::{CREDITS, Connection, Context, Finish, corrupt, stopped};
use crate::event::{EndReason, Event};
use crate::message::Message;
use crate::rdma::RECEIVE;
use crate::rdma::frame::{Frame, Kind};
use crate::rdma::pair::SENDS;
use crate::rdma::slots::SLOT_BYTES;
use crate::request::WorkError;

const _: () = assert!(CREDITS >= 2, "half of them is one at least");

impl Connection {
    /// Request `number` and all before it are done (RQ-4, RQ-6).
    pub(in crate::rdma) fn sent(
        &mut self,
        number: u32,
        context: &mut Context<'_>,
    ) -> Result<(), EndReason> {
        let count = number.wrapping_sub(self.completed).wrapping_add(1) as usize;
        if count > self.posted.len() {
            return Err(corrupt("the device completed what was not posted"));
        }
        (0..count).try_for_each(|_| self.complete(Ok(()), context))?;
        self.pump(context)
    }

    /// Request `number` failed: those before it are done, and the connection is over.
    pub(in crate::rdma) fn failed(
        &mut self,
        number: u32,
        error: WorkError,
        context: &mut Context<'_>,
    ) {
        let before = number.wrapping_sub(self.completed) as usize;
        if before < self.posted.len() {
            // The last word among them ends the connection as well.
            let _outcome = (0..before).try_for_each(|_| self.complete(Ok(()), context));
            let _outcome = self.complete(Err(error), context);
        }
    }

    /// The first request that is posted is done, or failed.
    fn complete(
        &mut self,
        outcome: Result<(), WorkError>,
        context: &mut Context<'_>,
    ) -> Result<(), EndReason> {
        let Some(posted) = self.posted.pop_front() else {
            return Ok(());
        };
        self.completed = self.completed.wrapping_add(1);
        let mut word = 0;
        if let Some(slot) = posted.slot {
            if let Finish::Word(_) = posted.finish {
                let bytes = context.slots.bytes(slot, 8);
                word = bytes.try_into().map_or(0, u64::from_ne_bytes);
            }
            context.slots.give(slot);
        }
        match posted.finish {
            Finish::Part => {}
            Finish::Request(token) | Finish::Word(token) => {
                self.under_way -= 1;
                let event = token.map(|token| self.done(token, outcome.map(|()| word)));
                context.events.extend(event);
            }
            Finish::Close if outcome.is_ok() => return Err(EndReason::Closed),
            Finish::Close => {}
        }
        Ok(())
    }

    /// Something came into receive `at`, or a word was told there.
    pub(in crate::rdma) fn received(
        &mut self,
        at: usize,
        bytes: usize,
        word: u32,
        is_signal: bool,
        context: &mut Context<'_>,
    ) -> Result<(), EndReason> {
        let slot = *self
            .receives
            .get(at)
            .ok_or_else(|| corrupt("the device completed a receive that was not posted"))?;
        let endpoint = self.endpoint;
        let kind = if is_signal {
            self.owed += 1;
            let signal = word;
            context.events.push_back(Event::Signal { endpoint, signal });
            Kind::Credits
        } else {
            let frame = Frame::from_word(word).ok_or_else(|| corrupt("a word that is none"))?;
            self.credits += u16::from(frame.credits);
            if self.credits > self.max_credits {
                return Err(corrupt("more credits than there are"));
            }
            frame.kind
        };
        match kind {
            Kind::Message { has_more } => {
                self.owed += 1;
                let part = context.slots.bytes(slot, bytes.min(SLOT_BYTES));
                if self.partial.len() + part.len() > self.max_message_bytes {
                    return Err(corrupt("a message that is longer than messages are"));
                }
                if has_more || !self.partial.is_empty() {
                    self.partial.extend_from_slice(part);
                }
                if !has_more {
                    let message = match self.partial.is_empty() {
                        true => Message::copied(part),
                        false => std::mem::take(&mut self.partial).into(),
                    };
                    context
                        .events
                        .push_back(Event::Message { endpoint, message });
                }
            }
            Kind::Credits => {}
            Kind::Close => self.is_closed_by_peer = true,
        }
        let Some(pair) = &self.pair else {
            return Ok(());
        };
        let id = self.id | RECEIVE | at as u64;
        // SAFETY: RQ-1, RQ-3: what came was copied, and the slot is given back when the queue pair is gone.
        let again = unsafe { pair.receive(id, context.slots.part(slot, SLOT_BYTES)) };
        again.map_err(|error| stopped(&error))?;
        self.pump(context)
    }

    /// The queue pair stopped: its receives come back. Whether all requests are done; else they come back as
    /// well, behind one that is told.
    pub(in crate::rdma) fn is_stopped(&mut self) -> bool {
        if self.posted.is_empty() {
            return true;
        }
        // One is enough; where there is no place for it one of the others is told.
        let is_first = !std::mem::replace(&mut self.has_stopped, true);
        is_first && self.posted.len() < SENDS && self.post_mark(Finish::Part, false).is_err()
    }
}
