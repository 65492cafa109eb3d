//! What leaves on a connection, in its order: requests of this end and answers to those of the peer.
//!
//! - OG-1 one after the other: a message or a put that needs several slots is not interrupted, so a slot
//!   need not say to which of them it belongs.
//! - OG-2 the peer serves requests in their order and answers leave in theirs, so the answer that comes
//!   next is to the oldest question.
//! - OG-3 a get is answered when its bytes leave, which may be after the requests behind it took effect.
//!   So what stands behind a fence leaves when all gets before it are answered.

use super::LIMITS;
use super::lane::Lane;
use super::slot::{Ask, Frame, PutHead, RegionRefusal};
use crate::endpoint::Endpoint;
use crate::event::{Completion, EndReason, Event};
use crate::memory::{LocalSlice, Memory, RemoteSlice};
use crate::message::INLINE_BYTES;
use crate::regions::Regions;
use crate::request::{PutSource, Token, WorkError, WorkRequest};
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes that pass from a region to an area at once.
pub(super) const STEP_BYTES: usize = 4096;

/// Something that leaves.
enum Leaving {
    Request(WorkRequest, Option<Token>),
    Done {
        call: u64,
        outcome: Result<u64, RegionRefusal>,
    },
    Data {
        call: u64,
        memory: Arc<dyn Memory>,
        offset: usize,
        bytes: u64,
    },
    Fence,
}

/// A question that was asked.
pub(super) struct Awaiting {
    pub(super) call: u64,
    pub(super) token: Option<Token>,
    /// Where the bytes of a get go.
    pub(super) to: Option<LocalSlice>,
}

/// See the module's page.
#[derive(Default)]
pub(super) struct Outgoing {
    leaving: VecDeque<Leaving>,
    /// Bytes of the first that have left, if its head has.
    sent: Option<u64>,
    /// Requests among those that leave.
    requests: usize,
    awaiting: VecDeque<Awaiting>,
    /// Gets among what is awaited.
    gets: usize,
    last_call: u64,
}

impl Outgoing {
    /// Requests that are not done.
    pub(super) fn under_way(&self) -> usize {
        self.requests + self.awaiting.len()
    }

    /// Whether nothing waits to leave.
    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.leaving.is_empty()
    }

    /// Whether the peer has asked more than it may.
    pub(super) fn has_too_many_answers(&self) -> bool {
        self.leaving.len() - self.requests > 4 * LIMITS.max_under_way
    }

    pub(super) fn request(&mut self, request: WorkRequest, token: Option<Token>) {
        // Nobody would hear of it.
        if matches!(request, WorkRequest::Flush) && token.is_none() {
            return;
        }
        self.requests += 1;
        self.leaving.push_back(Leaving::Request(request, token));
    }

    pub(super) fn done(&mut self, call: u64, outcome: Result<u64, RegionRefusal>) {
        self.leaving.push_back(Leaving::Done { call, outcome });
    }

    pub(super) fn data(&mut self, call: u64, memory: Arc<dyn Memory>, offset: usize, bytes: u64) {
        self.leaving.push_back(Leaving::Data {
            call,
            memory,
            offset,
            bytes,
        });
    }

    pub(super) fn fence(&mut self) {
        let has_gets = self.gets > 0
            || self
                .leaving
                .iter()
                .any(|one| matches!(one, Leaving::Request(WorkRequest::Get { .. }, _)));
        if has_gets {
            self.leaving.push_back(Leaving::Fence);
        }
    }

    /// The oldest question, if it is the one that is answered (OG-2).
    pub(super) fn answered(
        &mut self,
        is_answered: impl FnOnce(&Awaiting) -> bool,
    ) -> Option<Awaiting> {
        if !is_answered(self.awaiting.front()?) {
            return None;
        }
        let awaiting = self.awaiting.pop_front()?;
        self.gets -= usize::from(awaiting.to.is_some());
        Some(awaiting)
    }

    /// Takes out the requests of this token that have not begun to leave.
    pub(super) fn cancel(
        &mut self,
        endpoint: Endpoint,
        token: Token,
        events: &mut VecDeque<Event>,
    ) {
        let mut has_begun = self.sent.is_some();
        let before = self.leaving.len();
        self.leaving.retain(|one| {
            let keeps = std::mem::take(&mut has_begun)
                || !matches!(one, Leaving::Request(_, Some(found)) if *found == token);
            if !keeps {
                events.push_back(Event::Completed(Completion {
                    endpoint,
                    token,
                    outcome: Err(WorkError::Cancelled),
                }));
            }
            keeps
        });
        self.requests -= before - self.leaving.len();
    }

    /// Nothing leaves any more, and nothing is answered, also not what has begun to be `answered`.
    pub(super) fn end(
        &mut self,
        endpoint: Endpoint,
        reason: &EndReason,
        answered: Option<Token>,
        events: &mut VecDeque<Event>,
    ) {
        let asked = self.awaiting.drain(..).filter_map(|one| one.token);
        let asked = answered.into_iter().chain(asked);
        let unasked = self.leaving.drain(..).filter_map(|one| match one {
            Leaving::Request(_, token) => token,
            _ => None,
        });
        let completed = asked.chain(unasked).map(|token| {
            Event::Completed(Completion {
                endpoint,
                token,
                outcome: Err(WorkError::Ended(reason.clone())),
            })
        });
        events.extend(completed);
    }

    /// Writes what the ring and the area take; whether that was anything.
    ///
    /// # Errors
    /// What the peer wrote makes no sense.
    pub(super) fn pump(
        &mut self,
        lane: &mut Lane,
        endpoint: Endpoint,
        events: &mut VecDeque<Event>,
    ) -> Result<bool, String> {
        let mut has_sent = false;
        loop {
            match self.step(lane)? {
                Step::Blocked => return Ok(has_sent),
                Step::Part => {}
                Step::Whole => {
                    self.sent = None;
                    if let Some(Leaving::Request(request, token)) = self.leaving.pop_front() {
                        self.requests -= 1;
                        self.has_left(request, token, endpoint, events);
                    }
                }
            }
            has_sent = true;
        }
    }

    /// Writes one slot for the first that leaves.
    fn step(&mut self, lane: &mut Lane) -> Result<Step, String> {
        let first = match self.leaving.front() {
            None => return Ok(Step::Blocked),
            Some(Leaving::Fence) if self.gets > 0 => return Ok(Step::Blocked),
            Some(Leaving::Fence) => return Ok(Step::Whole),
            Some(first) => first,
        };
        if lane.sender.is_full() {
            return Ok(Step::Blocked);
        }
        let (mut frame, source) = first.describe(self.last_call + 1);
        let mut step = Step::Whole;
        if let Some((source, bytes)) = source {
            let sent = self.sent.unwrap_or(0);
            let Some(fragment) = source.write(lane, sent, bytes)? else {
                return Ok(Step::Blocked);
            };
            match self.sent {
                None => frame.set_fragment(fragment as u32),
                Some(_) => frame = Frame::More(fragment as u32),
            }
            let sent = sent + fragment as u64;
            if sent < bytes {
                (self.sent, step) = (Some(sent), Step::Part);
            }
        }
        // Refused only if the peer has left, which is seen where it is read.
        match lane.sender.try_send(frame.to_slot()) {
            Ok(()) => Ok(step),
            Err(_) => Ok(Step::Blocked),
        }
    }

    /// A request has left as a whole.
    fn has_left(
        &mut self,
        request: WorkRequest,
        token: Option<Token>,
        endpoint: Endpoint,
        events: &mut VecDeque<Event>,
    ) {
        let to = match request {
            WorkRequest::Send(_) | WorkRequest::Control(_) => {
                let completed = token.map(|token| {
                    Event::Completed(Completion {
                        endpoint,
                        token,
                        outcome: Ok(0),
                    })
                });
                return events.extend(completed);
            }
            WorkRequest::Get { to, .. } => Some(to),
            _ if token.is_none() => return,
            _ => None,
        };
        self.last_call += 1;
        self.gets += usize::from(to.is_some());
        self.awaiting.push_back(Awaiting {
            call: self.last_call,
            token,
            to,
        });
    }
}

/// How far the first that leaves got.
enum Step {
    /// It waits for the peer.
    Blocked,
    Part,
    Whole,
}

impl Leaving {
    /// Its head, and the bytes behind it.
    fn describe(&self, call: u64) -> (Frame, Option<(Source<'_>, u64)>) {
        let (request, token) = match self {
            Self::Fence => unreachable!("a fence does not leave"),
            Self::Done { call, outcome } => {
                let (call, outcome) = (*call, *outcome);
                return (Frame::Done { call, outcome }, None);
            }
            Self::Data {
                call,
                memory,
                offset,
                bytes,
            } => {
                let frame = Frame::Data {
                    call: *call,
                    bytes: *bytes,
                    fragment: 0,
                };
                return (frame, Some((Source::Memory(&**memory, *offset), *bytes)));
            }
            Self::Request(request, token) => (request, token),
        };
        let ask = |at: &RemoteSlice, amount, call| Ask {
            region: Regions::number(at.region()),
            offset: at.offset(),
            amount,
            call,
        };
        // Who asks for no answer is told of a refusal alone.
        let wanted = token.map_or(0, |_| call);
        match request {
            WorkRequest::Send(message) | WorkRequest::Control(message) => {
                let is_control = matches!(request, WorkRequest::Control(_));
                if message.len() <= INLINE_BYTES {
                    let message = message.clone();
                    return (
                        Frame::Inline {
                            message,
                            is_control,
                        },
                        None,
                    );
                }
                let bytes = message.len() as u64;
                let frame = Frame::Long {
                    bytes,
                    is_control,
                    fragment: 0,
                };
                (frame, Some((Source::Bytes(message), bytes)))
            }
            WorkRequest::Put { from, to, signal } => {
                let head = PutHead {
                    region: Regions::number(to.region()),
                    offset: to.offset(),
                    bytes: to.len(),
                    call: wanted,
                    signal: *signal,
                };
                let source = match from {
                    PutSource::Bytes(bytes) => Source::Bytes(bytes),
                    PutSource::Region(from) => {
                        Source::Memory(&**from.region().memory(), from.offset())
                    }
                };
                (Frame::Put(head, 0), Some((source, head.bytes)))
            }
            WorkRequest::Get { from, .. } => (Frame::Get(ask(from, from.len(), call)), None),
            WorkRequest::FetchAdd { at, add } => (Frame::Add(ask(at, *add, wanted)), None),
            WorkRequest::Flush => (Frame::Flush { call }, None),
        }
    }
}

/// Where bytes lie that are to be copied into an area.
enum Source<'a> {
    Bytes(&'a [u8]),
    Memory(&'a dyn Memory, usize),
}

impl Source<'_> {
    /// Copies what the area takes of the bytes behind the first `sent` of `bytes`; nothing if there is no
    /// room.
    fn write(&self, lane: &mut Lane, sent: u64, bytes: u64) -> Result<Option<usize>, String> {
        let left = usize::try_from(bytes - sent).unwrap_or(usize::MAX);
        if left == 0 {
            return Ok(Some(0));
        }
        let fragment = lane.area_out.room(left)?;
        if fragment == 0 {
            return Ok(None);
        }
        let sent = sent as usize;
        match self {
            Source::Bytes(all) => lane.area_out.write(0, &all[sent..sent + fragment]),
            Source::Memory(memory, offset) => {
                let mut step = [0; STEP_BYTES];
                for skipped in (0..fragment).step_by(STEP_BYTES) {
                    let part = &mut step[..(fragment - skipped).min(STEP_BYTES)];
                    match memory.read(offset + sent + skipped, part) {
                        Ok(()) => lane.area_out.write(skipped, part),
                        Err(error) => unreachable!("it was checked: {error}"),
                    }
                }
            }
        }
        lane.area_out.commit(fragment);
        Ok(Some(fragment))
    }
}
