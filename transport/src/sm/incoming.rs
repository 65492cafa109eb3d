//! What comes on a connection, slot by slot.
//!
//! - IC-1 a slot or a length that cannot be ends the connection; nothing is allocated for what is said to
//!   come before some of it came.
//! - IC-2 a request for a region that is gone, or is not allowed, is read to its end and answered so
//!   (MR-3).

use super::LIMITS;
use super::lane::{InArea, Lane};
use super::outgoing::{Awaiting, Outgoing, STEP_BYTES};
use super::slot::{Ask, Frame, PutHead, RegionRefusal, Slot};
use crate::endpoint::Endpoint;
use crate::event::{Completion, EndReason, Event};
use crate::memory::{Access, Memory};
use crate::message::{INLINE_BYTES, Message};
use crate::regions::Regions;
use crate::request::{MAX_CONTROL_BYTES, Token, WorkError};
use maser_shm::sync::atomic::Ordering;
use std::sync::Arc;

/// Bytes that are reserved at once for a message of which the first came.
const RESERVED_BYTES: u64 = 1 << 20;

/// What has begun to come.
enum Open {
    Message {
        bytes: Vec<u8>,
        total: u64,
        is_control: bool,
    },
    Put {
        head: PutHead,
        /// Where it goes, or why it goes nowhere.
        to: Result<Arc<dyn Memory>, RegionRefusal>,
        done: u64,
    },
    Data {
        question: Awaiting,
        total: u64,
        done: u64,
    },
}

/// See the module's page.
#[derive(Default)]
pub(super) struct Incoming(Option<Open>);

/// What a slot gave.
pub(super) enum Received {
    /// Nothing that is told.
    Served,
    /// The peer took the connection.
    Welcome,
    Event(Event),
}

fn corrupt(problem: impl Into<String>) -> EndReason {
    EndReason::Corrupt(problem.into())
}

impl Incoming {
    /// The question whose answer has begun to come, of a connection that is over.
    pub(super) fn end(&mut self) -> Option<Token> {
        match self.0.take()? {
            Open::Data { question, .. } => question.token,
            _ => None,
        }
    }

    /// Whether a slot may begin something.
    #[inline(always)]
    pub(super) fn is_between(&self) -> bool {
        self.0.is_none()
    }

    /// What a slot gives.
    ///
    /// # Errors
    /// The connection is over.
    pub(super) fn serve(
        &mut self,
        slot: &Slot,
        endpoint: Endpoint,
        lane: &mut Lane,
        outgoing: &mut Outgoing,
        regions: &Regions,
    ) -> Result<Received, EndReason> {
        let frame = Frame::from_slot(slot).map_err(corrupt)?;
        // IC-1.
        if self.0.is_some() != matches!(frame, Frame::More(_)) {
            return Err(corrupt("a slot that does not belong to what has begun"));
        }
        let fragment = match frame {
            Frame::Welcome => return Ok(Received::Welcome),
            Frame::Close => return Err(EndReason::ClosedByPeer),
            Frame::Inline {
                message,
                is_control,
            } => {
                return Ok(Received::Event(of_message(endpoint, message, is_control)));
            }
            Frame::Long {
                bytes,
                is_control,
                fragment,
            } => {
                let most = match is_control {
                    true => MAX_CONTROL_BYTES,
                    false => LIMITS.max_message_bytes,
                };
                if bytes > most as u64 {
                    return Err(corrupt(format!(
                        "a message of {bytes} bytes; the limit is {most}"
                    )));
                }
                self.0 = Some(Open::Message {
                    bytes: Vec::new(),
                    total: bytes,
                    is_control,
                });
                fragment
            }
            Frame::Put(head, fragment) => {
                let to = find(regions, head.region, Access::WRITE, head.offset, head.bytes);
                self.0 = Some(Open::Put { head, to, done: 0 });
                fragment
            }
            Frame::Data {
                call,
                bytes,
                fragment,
            } => {
                let is_asked = |question: &Awaiting| {
                    let wanted = question.to.as_ref().map(|to| to.len() as u64);
                    question.call == call && wanted == Some(bytes)
                };
                let Some(question) = outgoing.answered(is_asked) else {
                    return Err(corrupt(format!("{bytes} bytes that were not asked for")));
                };
                self.0 = Some(Open::Data {
                    question,
                    total: bytes,
                    done: 0,
                });
                fragment
            }
            Frame::More(fragment) => fragment,
            Frame::Get(ask) => {
                match find(regions, ask.region, Access::READ, ask.offset, ask.amount) {
                    Ok(memory) => {
                        outgoing.data(ask.call, memory, ask.offset as usize, ask.amount);
                    }
                    Err(refusal) => outgoing.done(ask.call, Err(refusal)),
                }
                return served(outgoing);
            }
            Frame::Add(ask) => {
                let outcome = add(regions, ask);
                if ask.call != 0 || outcome.is_err() {
                    outgoing.done(ask.call, outcome);
                }
                return served(outgoing);
            }
            Frame::Flush { call } => {
                outgoing.done(call, Ok(0));
                return served(outgoing);
            }
            Frame::Done { call, outcome } => {
                return done(call, outcome, endpoint, outgoing);
            }
        };
        self.fragment(fragment, endpoint, lane, outgoing)
    }

    /// The next part of what has begun.
    fn fragment(
        &mut self,
        bytes: u32,
        endpoint: Endpoint,
        lane: &mut Lane,
        outgoing: &mut Outgoing,
    ) -> Result<Received, EndReason> {
        let area = &mut lane.area_in;
        let count = area.check(bytes).map_err(corrupt)?;
        let Some(open) = &mut self.0 else {
            unreachable!("it was looked at");
        };
        let (total, done) = match open {
            Open::Message { bytes, total, .. } => (*total, bytes.len() as u64),
            Open::Put { head, done, .. } => (head.bytes, *done),
            Open::Data { total, done, .. } => (*total, *done),
        };
        let now = done + count as u64;
        if now > total || (count == 0 && total > 0) {
            return Err(corrupt(format!("{count} bytes after {done} of {total}")));
        }
        match open {
            Open::Message { bytes, total, .. } => {
                // IC-1.
                if bytes.is_empty() {
                    bytes.reserve_exact((*total).min(RESERVED_BYTES) as usize);
                }
                area.append(count, bytes);
            }
            Open::Put { head, to, done } => {
                if let Ok(memory) = to {
                    copy(area, count, &**memory, (head.offset + *done) as usize);
                }
                *done = now;
            }
            Open::Data { question, done, .. } => {
                if let Some(to) = &question.to {
                    let memory = to.region().memory();
                    copy(area, count, &**memory, to.offset() + *done as usize);
                }
                *done = now;
            }
        }
        area.release(count);
        if now < total {
            return Ok(Received::Served);
        }
        match self.0.take() {
            Some(Open::Message {
                bytes, is_control, ..
            }) => {
                let message = match bytes.len() {
                    0..=INLINE_BYTES => Message::copied(&bytes),
                    _ => Message::from(bytes),
                };
                Ok(Received::Event(of_message(endpoint, message, is_control)))
            }
            Some(Open::Put { head, to, .. }) => {
                let refusal = to.err();
                if head.call != 0 || refusal.is_some() {
                    outgoing.done(head.call, refusal.map_or(Ok(0), Err));
                }
                match head.signal.filter(|_| refusal.is_none()) {
                    Some(signal) => Ok(Received::Event(Event::Signal { endpoint, signal })),
                    None => served(outgoing),
                }
            }
            Some(Open::Data { question, .. }) => Ok(completed(endpoint, question, Ok(0))),
            None => unreachable!("it was looked at"),
        }
    }
}

fn of_message(endpoint: Endpoint, message: Message, is_control: bool) -> Event {
    match is_control {
        true => Event::Control { endpoint, message },
        false => Event::Message { endpoint, message },
    }
}

/// A peer has only so many questions under way.
fn served(outgoing: &Outgoing) -> Result<Received, EndReason> {
    match outgoing.has_too_many_answers() {
        true => Err(corrupt("it asks more at once than it may")),
        false => Ok(Received::Served),
    }
}

/// An answer without bytes.
fn done(
    call: u64,
    outcome: Result<u64, RegionRefusal>,
    endpoint: Endpoint,
    outgoing: &mut Outgoing,
) -> Result<Received, EndReason> {
    if let (0, Err(refusal)) = (call, outcome) {
        return Err(corrupt(format!("it refused: {}", refusal.text())));
    }
    // A get is answered by its bytes.
    let is_asked =
        |question: &Awaiting| question.call == call && (question.to.is_none() || outcome.is_err());
    let Some(question) = outgoing.answered(is_asked) else {
        return Err(corrupt(format!(
            "an answer to call {call}, which was not asked"
        )));
    };
    if let (None, Err(refusal)) = (question.token, outcome) {
        return Err(corrupt(format!("it refused: {}", refusal.text())));
    }
    Ok(completed(endpoint, question, outcome))
}

fn completed(
    endpoint: Endpoint,
    question: Awaiting,
    outcome: Result<u64, RegionRefusal>,
) -> Received {
    let Some(token) = question.token else {
        return Received::Served;
    };
    let outcome = outcome.map_err(|refusal| WorkError::Region(refusal.text().into()));
    Received::Event(Event::Completed(Completion {
        endpoint,
        token,
        outcome,
    }))
}

/// Copies a fragment to where there is room for it.
fn copy(area: &InArea, bytes: usize, to: &dyn Memory, offset: usize) {
    let mut step = [0; STEP_BYTES];
    for skipped in (0..bytes).step_by(STEP_BYTES) {
        let part = &mut step[..(bytes - skipped).min(STEP_BYTES)];
        area.copy(skipped, part);
        if let Err(error) = to.write(offset + skipped, part) {
            unreachable!("it was checked: {error}");
        }
    }
}

/// The memory of a region here (MR-3).
fn find(
    regions: &Regions,
    number: u64,
    wanted: Access,
    offset: u64,
    bytes: u64,
) -> Result<Arc<dyn Memory>, RegionRefusal> {
    let Ok(memory) = regions.find(number, wanted) else {
        return Err(match regions.find(number, Access::empty()) {
            Ok(_) => RegionRefusal::NotAllowed,
            Err(_) => RegionRefusal::Gone,
        });
    };
    let is_inside = offset
        .checked_add(bytes)
        .is_some_and(|end| end <= memory.len() as u64);
    is_inside.then_some(memory).ok_or(RegionRefusal::Outside)
}

fn add(regions: &Regions, ask: Ask) -> Result<u64, RegionRefusal> {
    let memory = find(regions, ask.region, Access::ATOMIC, ask.offset, 8)?;
    match memory.word(ask.offset as usize) {
        Ok(word) => Ok(word.fetch_add(ask.amount, Ordering::AcqRel)),
        Err(_) => Err(RegionRefusal::Outside),
    }
}
