//! What frames of the peer do here (TX-1).

use super::super::outgoing::{Leaving, Payload};
use super::incoming::check_message;
use super::{Call, Connection, Context, corrupt, done};
use crate::event::{EndReason, Event};
use crate::memory::{Access, Memory};
use crate::message::Message;
use crate::request::WorkError;
use crate::wire::{Flags, FrameHeader, FrameKind};
use maser_shm::sync::atomic::Ordering;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

impl Connection {
    pub(super) fn serve(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        context: &mut Context<'_>,
    ) -> Result<(), EndReason> {
        let endpoint = self.endpoint;
        match header.kind {
            FrameKind::Message => {
                check_message(self.message.len() + payload.len(), context)?;
                if header.flags.contains(Flags::MORE) {
                    self.message.extend_from_slice(payload);
                    return Ok(());
                }
                let message = match self.message.is_empty() {
                    true => Message::copied(payload),
                    false => {
                        self.message.extend_from_slice(payload);
                        Message::from(std::mem::take(&mut self.message))
                    }
                };
                context
                    .events
                    .push_back(Event::Message { endpoint, message });
            }
            FrameKind::Control => {
                let message = Message::copied(payload);
                context
                    .events
                    .push_back(Event::Control { endpoint, message });
            }
            FrameKind::Put => self.serve_put(header, payload, context),
            FrameKind::Get => {
                let bytes = word(payload, "the length of a get")?;
                match self.there(header, bytes, Access::READ, context) {
                    Ok((memory, range)) => {
                        let mut answer = FrameHeader::new(FrameKind::Data, 0);
                        answer.call = header.call;
                        let start = range.start;
                        self.queue_parts(answer, range.len(), |part| {
                            Payload::Memory(memory.clone(), start + part.start..start + part.end)
                        });
                    }
                    Err(problem) => self.fail(header, &problem),
                }
            }
            FrameKind::FetchAdd => {
                let add = word(payload, "what is added")?;
                let added =
                    self.there(header, 8, Access::ATOMIC, context)
                        .and_then(|(memory, range)| {
                            let word = memory
                                .word(range.start)
                                .map_err(|error| error.to_string())?;
                            Ok(word.fetch_add(add, Ordering::AcqRel))
                        });
                match added {
                    Ok(before) => self.answer(header, before),
                    Err(problem) => self.fail(header, &problem),
                }
            }
            // Everything before it was served.
            FrameKind::Flush => self.answer(header, 0),
            FrameKind::Data => return self.serve_data(header, payload, context.events),
            FrameKind::Done => {
                let call = self.calls.remove(&header.call.sequence);
                let call = call.ok_or_else(|| corrupt("an answer to a call that is not open"))?;
                let value = match call {
                    Call::FetchAdd(_) => header.offset,
                    Call::Put(_) | Call::Flush(_) => 0,
                    Call::Get(..) => return Err(corrupt("a get that is done without its bytes")),
                };
                context
                    .events
                    .extend(call.token().map(|token| done(endpoint, token, Ok(value))));
            }
            FrameKind::Failed => {
                let call = self.calls.remove(&header.call.sequence);
                let call = call.ok_or_else(|| corrupt("an error of a call that is not open"))?;
                let problem = String::from_utf8_lossy(&payload[..payload.len().min(1024)]);
                let error = WorkError::Region(problem.into_owned());
                match call.token() {
                    Some(token) => context.events.push_back(done(endpoint, token, Err(error))),
                    None => return Err(corrupt(error.to_string())),
                }
            }
            FrameKind::Ping => {
                let pong = FrameHeader::new(FrameKind::Pong, 0);
                self.outgoing.push(Leaving::frame(pong, Payload::None));
            }
            FrameKind::Pong => {}
            FrameKind::Close => return Err(EndReason::ClosedByPeer),
        }
        Ok(())
    }

    fn serve_put(&mut self, header: &FrameHeader, payload: &[u8], context: &mut Context<'_>) {
        let Some((memory, range)) = self.place_of_put(header, context) else {
            return;
        };
        match memory.write(range.start, payload) {
            Ok(()) => self.put_is_there(header, context),
            Err(error) => unreachable!("the range was checked: {error}"),
        }
    }

    /// Where the payload of a put goes; `None` if the put has failed.
    pub(super) fn place_of_put(
        &mut self,
        header: &FrameHeader,
        context: &Context<'_>,
    ) -> Option<(Arc<dyn Memory>, Range<usize>)> {
        let call = header.call.sequence;
        if self.failed_put == Some(call) {
            return None;
        }
        match self.there(header, header.payload_bytes.into(), Access::WRITE, context) {
            Ok(place) => Some(place),
            Err(problem) => {
                self.failed_put = Some(call);
                self.fail(header, &problem);
                None
            }
        }
    }

    /// The payload of a put is in memory.
    pub(super) fn put_is_there(&mut self, header: &FrameHeader, context: &mut Context<'_>) {
        if header.flags.contains(Flags::MORE) {
            return;
        }
        if header.flags.contains(Flags::SIGNAL) {
            context.events.push_back(Event::Signal {
                endpoint: self.endpoint,
                signal: header.argument,
            });
        }
        self.answer(header, 0);
    }

    fn serve_data(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        events: &mut VecDeque<Event>,
    ) -> Result<(), EndReason> {
        let (memory, at) = self.place_of_data(header)?;
        let written = memory.write(at, payload);
        written.map_err(|error| corrupt(error.to_string()))?;
        self.data_is_there(header, events)
    }

    /// Where bytes that were asked for go.
    pub(super) fn place_of_data(
        &self,
        header: &FrameHeader,
    ) -> Result<(Arc<dyn Memory>, usize), EndReason> {
        let Some(Call::Get(_, to, filled)) = self.calls.get(&header.call.sequence) else {
            return Err(corrupt("bytes that nobody asked for"));
        };
        let is_last = !header.flags.contains(Flags::MORE);
        let end = *filled + header.payload_bytes as usize;
        if end > to.len() || is_last && end != to.len() {
            return Err(corrupt("another number of bytes than was asked for"));
        }
        Ok((to.region().memory().clone(), to.offset() + *filled))
    }

    /// Bytes that were asked for are in memory.
    pub(super) fn data_is_there(
        &mut self,
        header: &FrameHeader,
        events: &mut VecDeque<Event>,
    ) -> Result<(), EndReason> {
        let call = header.call.sequence;
        let Some(Call::Get(token, _, filled)) = self.calls.get_mut(&call) else {
            return Err(corrupt("bytes that nobody asked for"));
        };
        *filled += header.payload_bytes as usize;
        if !header.flags.contains(Flags::MORE) {
            let token = *token;
            self.calls.remove(&call);
            events.extend(token.map(|token| done(self.endpoint, token, Ok(0))));
        }
        Ok(())
    }

    /// The memory that a request of the peer is about (TX-1).
    fn there(
        &self,
        header: &FrameHeader,
        bytes: u64,
        wanted: Access,
        context: &Context<'_>,
    ) -> Result<(Arc<dyn Memory>, Range<usize>), String> {
        let memory = context.regions.find(header.region, wanted)?;
        let end = header.offset.checked_add(bytes);
        match end.filter(|end| *end <= memory.len() as u64) {
            Some(end) => Ok((memory, header.offset as usize..end as usize)),
            None => Err(format!(
                "{bytes} bytes at offset {} of a region of {}",
                header.offset,
                memory.len()
            )),
        }
    }

    fn answer(&mut self, to: &FrameHeader, value: u64) {
        let mut header = FrameHeader::new(FrameKind::Done, 0);
        header.call = to.call;
        header.offset = value;
        self.outgoing.push(Leaving::frame(header, Payload::None));
    }

    fn fail(&mut self, to: &FrameHeader, problem: &str) {
        let mut header = FrameHeader::new(FrameKind::Failed, problem.len() as u32);
        header.call = to.call;
        let payload = Payload::Bytes(Message::copied(problem.as_bytes()), 0..problem.len());
        self.outgoing.push(Leaving::frame(header, payload));
    }
}

fn word(payload: &[u8], what: &str) -> Result<u64, EndReason> {
    let word = <[u8; 8]>::try_from(payload);
    let word = word.map_err(|_| corrupt(format!("{} bytes for {what}", payload.len())))?;
    Ok(u64::from_le_bytes(word))
}
