//! What is posted, as far as there are credits and places.

use super::{
    CREDITS, Connection, Context, Finish, Pending, Posted, RESERVED, Stage, UNTOLD, stopped,
};
use crate::event::EndReason;
use crate::memory::{LocalSlice, RemoteSlice};
use crate::message::Message;
use crate::rdma::frame::{Frame, Kind};
use crate::rdma::memory::{Registered, remote_key};
use crate::rdma::pair::{How, Operation, Part, SENDS};
use crate::rdma::slots::{SLOT_BYTES, Slots};
use crate::request::{PutSource, Token, WorkRequest};
use std::io;
use std::sync::Arc;

/// What became of the next part of a request.
enum Step {
    /// It is posted, and there is more.
    Part,
    /// It is posted, and was the last.
    Last,
    /// There is no credit for it.
    NoCredit,
}

fn step(is_last: bool) -> Step {
    match is_last {
        true => Step::Last,
        false => Step::Part,
    }
}

impl Connection {
    /// Posts what can be posted.
    pub(in crate::rdma) fn pump(&mut self, context: &mut Context<'_>) -> Result<(), EndReason> {
        if !matches!(self.stage, Stage::Open | Stage::Closing) {
            return Ok(());
        }
        while self.posted.len() + RESERVED < SENDS {
            let Some(mut pending) = self.pending.pop_front() else {
                break;
            };
            match self.post_next(&mut pending, context) {
                Ok(Step::Last) => {}
                Ok(Step::Part) => self.pending.push_front(pending),
                Ok(Step::NoCredit) => {
                    self.pending.push_front(pending);
                    break;
                }
                Err(error) => {
                    self.pending.push_front(pending);
                    return Err(stopped(&error));
                }
            }
        }
        self.say()
    }

    /// Posts the next part of a request.
    fn post_next(&mut self, pending: &mut Pending, context: &mut Context<'_>) -> io::Result<Step> {
        let from = pending.posted;
        let how = How {
            is_told: true,
            is_inline: false,
            is_fenced: pending.is_fenced,
        };
        let step = match &pending.request {
            WorkRequest::Send(message) => {
                self.post_message(message, &mut pending.posted, pending.token, how, context)?
            }
            WorkRequest::Put {
                signal: Some(_), ..
            } if self.credits == 0 => Step::NoCredit,
            WorkRequest::Put {
                from: source,
                to,
                signal,
            } => {
                let max = match source {
                    PutSource::Bytes(_) => SLOT_BYTES,
                    PutSource::Region(_) => context.max_request_bytes,
                };
                let bytes = (source.len() - from).min(max);
                pending.posted += bytes;
                let is_last = pending.posted == source.len();
                let finish = Finish::of(is_last, pending.token);
                let (address, key) = at(to, from);
                let operation = match signal {
                    Some(word) if is_last => {
                        self.credits -= 1;
                        let word = *word;
                        Operation::WriteAndTell { address, key, word }
                    }
                    _ => Operation::Write { address, key },
                };
                match source {
                    PutSource::Bytes(message) => {
                        let part = &message[from..][..bytes];
                        self.post_bytes(operation, part, how, finish, context.slots)?;
                    }
                    PutSource::Region(slice) => {
                        self.post_slice(operation, slice, from, bytes, how, finish)?;
                    }
                }
                step(is_last)
            }
            WorkRequest::Get { from: source, to } => {
                let bytes = (to.len() - from).min(context.max_request_bytes);
                pending.posted += bytes;
                let is_last = pending.posted == to.len();
                let finish = Finish::of(is_last, pending.token);
                let (address, key) = at(source, from);
                // Nothing is read by writing nothing: not every device reads nothing.
                let operation = match bytes {
                    0 => Operation::Write { address, key },
                    _ => Operation::Read { address, key },
                };
                self.post_slice(operation, to, from, bytes, how, finish)?;
                step(is_last)
            }
            WorkRequest::FetchAdd { at: word, add } => {
                let slot = context.slots.take()?;
                let (address, key) = at(word, 0);
                let add = *add;
                let operation = Operation::FetchAdd { address, key, add };
                let posted = Posted {
                    slot: Some(slot),
                    finish: Finish::Word(pending.token),
                    ..Posted::default()
                };
                let part = Some(context.slots.part(slot, 8));
                // SAFETY: RQ-1, the slot is given back when it is completed.
                unsafe { self.post(operation, part, how, posted) }?;
                Step::Last
            }
            WorkRequest::Flush => {
                self.post_mark(Finish::Request(pending.token), pending.is_fenced)?;
                Step::Last
            }
            // It goes by the connection beside this one.
            WorkRequest::Control(_) => Step::Last,
        };
        pending.is_fenced &= matches!(step, Step::NoCredit);
        Ok(step)
    }

    /// The next part of a message.
    fn post_message(
        &mut self,
        message: &Message,
        posted: &mut usize,
        token: Option<Token>,
        how: How,
        context: &mut Context<'_>,
    ) -> io::Result<Step> {
        if self.credits == 0 {
            return Ok(Step::NoCredit);
        }
        let left = message.len() - *posted;
        let bytes = left.min(self.peer_slot_bytes).min(SLOT_BYTES);
        let part = &message[*posted..][..bytes];
        let has_more = bytes < left;
        let operation = Operation::Send(self.frame(Kind::Message { has_more }));
        let how = How {
            is_told: false,
            ..how
        };
        self.post_bytes(operation, part, how, Finish::Part, context.slots)?;
        self.credits -= 1;
        *posted += bytes;
        if !has_more {
            self.under_way -= 1;
            context
                .events
                .extend(token.map(|token| self.done(token, Ok(0))));
        }
        Ok(step(!has_more))
    }

    /// Posts a request for a part of a region.
    fn post_slice(
        &mut self,
        operation: Operation,
        slice: &LocalSlice,
        from: usize,
        bytes: usize,
        how: How,
        finish: Finish,
    ) -> io::Result<()> {
        let registered = slice.region().held::<Arc<Registered>>();
        let pair = self.pair.as_ref();
        let registered = registered
            .filter(|registered| pair.is_some_and(|pair| registered.is_of(pair.domain())));
        let Some(registered) = registered else {
            return Err(io::Error::other(
                "a region here is registered with another device",
            ));
        };
        let part = Part {
            address: (slice.start().addr().get() + from) as u64,
            bytes: bytes as u32,
            key: registered.local_key(),
        };
        let posted = Posted {
            slot: None,
            _kept: Some(slice.clone()),
            finish,
        };
        // SAFETY: RQ-1, the slice is kept until it is completed.
        unsafe { self.post(operation, (bytes > 0).then_some(part), how, posted) }
    }

    /// Posts bytes that lie in no region: in the request, or by way of a slot.
    fn post_bytes(
        &mut self,
        operation: Operation,
        bytes: &[u8],
        how: How,
        finish: Finish,
        slots: &mut Slots,
    ) -> io::Result<()> {
        let max = self.pair.as_ref().map_or(0, |pair| pair.inline_bytes);
        let is_inline = bytes.len() <= max;
        let how = How {
            is_told: matches!(finish, Finish::Request(Some(_))),
            is_inline: is_inline && !bytes.is_empty(),
            ..how
        };
        let slot = match is_inline {
            true => None,
            false => Some(slots.take()?),
        };
        let part = match slot {
            None => Part {
                address: bytes.as_ptr().addr() as u64,
                bytes: bytes.len() as u32,
                key: 0,
            },
            Some(slot) => {
                slots.bytes_mut(slot, bytes.len()).copy_from_slice(bytes);
                slots.part(slot, bytes.len())
            }
        };
        let posted = Posted {
            slot,
            _kept: None,
            finish,
        };
        // SAFETY: RQ-1, inline bytes are copied here, and the slot is given back when it is completed.
        unsafe { self.post(operation, (!bytes.is_empty()).then_some(part), how, posted) }
    }

    /// Posts what writes nothing: when it is done all before it is (RQ-4).
    pub(super) fn post_mark(&mut self, finish: Finish, is_fenced: bool) -> io::Result<()> {
        let how = How {
            is_told: true,
            is_inline: false,
            is_fenced,
        };
        let posted = Posted {
            finish,
            ..Posted::default()
        };
        let operation = Operation::Write { address: 0, key: 0 };
        // SAFETY: RQ-1, it names no memory.
        unsafe { self.post(operation, None, how, posted) }
    }

    /// Posts a request that there is a place for.
    ///
    /// # Safety
    /// RQ-1, for what `part` names.
    unsafe fn post(
        &mut self,
        operation: Operation,
        part: Option<Part>,
        mut how: How,
        posted: Posted,
    ) -> io::Result<()> {
        let number = self.completed.wrapping_add(self.posted.len() as u32);
        how.is_told |= self.untold + 1 >= UNTOLD;
        // What it names is kept from now on, until the queue pair is gone if it is refused.
        self.posted.push_back(posted);
        let Some(pair) = &self.pair else {
            return Err(io::Error::other("there is none"));
        };
        // SAFETY: the contract.
        unsafe { pair.post(self.id | u64::from(number), operation, part, how) }?;
        self.untold = if how.is_told { 0 } else { self.untold + 1 };
        Ok(())
    }

    /// The word of something that is sent, with the credits that are owed.
    fn frame(&mut self, kind: Kind) -> u32 {
        let credits = std::mem::take(&mut self.owed);
        Frame { kind, credits }.to_word()
    }

    /// Says what needs no credit: credits, and the last word (RQ-5).
    fn say(&mut self) -> Result<(), EndReason> {
        let is_last = self.stage == Stage::Closing
            && self.pending.is_empty()
            && self.controls.is_empty()
            && !self.has_said_close;
        let (kind, finish) = match is_last {
            true => (Kind::Close, Finish::Close),
            false if self.owed >= CREDITS / 2 => (Kind::Credits, Finish::Part),
            false => return Ok(()),
        };
        if self.posted.len() >= SENDS {
            return Ok(());
        }
        self.has_said_close |= is_last;
        let operation = Operation::Send(self.frame(kind));
        let how = How {
            is_told: is_last,
            ..How::default()
        };
        let posted = Posted {
            finish,
            ..Posted::default()
        };
        // SAFETY: RQ-1, it names no memory.
        let outcome = unsafe { self.post(operation, None, how, posted) };
        outcome.map_err(|error| stopped(&error))
    }
}

/// Where a part of a peer's region begins, and its key.
fn at(slice: &RemoteSlice, from: usize) -> (u64, u32) {
    let address = slice.address().wrapping_add(from as u64);
    (address, remote_key(slice.region().key()))
}
