//! One connection: its socket, what is on its way out, what came in part, and the calls that wait.
//!
//! - TC-1 requests of the peer are checked against what is registered (MR-3) before anything is touched;
//!   one that asks for what there is not gets [`FrameKind::Failed`], and one that makes no sense ends the
//!   connection.
//! - TC-2 nothing is allocated for a peer beyond a message that it is in the middle of, which has a limit,
//!   and frames of [`MAX_PAYLOAD_BYTES`] at most; who is not admitted yet has a hello and no more.
//! - TC-3 a peer that does not read what it asked for is not read any more until it does: answers wait in
//!   memory of [`MAX_ANSWERS`] frames at most.

use super::outgoing::{Leaving, Outgoing, Payload};
use super::sys;
use crate::endpoint::Endpoint;
use crate::event::{Completion, EndReason, Event};
use crate::memory::{Access, LocalSlice, Memory, RemoteSlice};
use crate::message::Message;
use crate::regions::Regions;
use crate::request::{PutSource, Token, WorkError, WorkRequest};
use crate::wire::handshake::{
    ANSWER_BYTES, HELLO_BYTES, Identity, Initiator, NotAdmitted, Secret, Session, answer,
};
use crate::wire::seal::Opener;
use crate::wire::{CallId, Flags, FrameHeader, FrameKind, HEADER_BYTES, MAX_PAYLOAD_BYTES};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::TcpStream;
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Arc;

/// Answers that may wait for a peer to read them (TC-3).
const MAX_ANSWERS: usize = 4096;

/// How far a connection is.
pub(super) enum Stage {
    /// The kernel connects it; then the hello leaves.
    Connecting(Box<(Initiator, [u8; HELLO_BYTES])>),
    /// The hello left, the answer is awaited.
    Greeted(Box<Initiator>),
    /// Somebody connected; the hello is awaited.
    Accepted,
    Open,
    /// Closed here; what is under way goes on.
    Closing,
}

/// A request whose answer is awaited.
enum Call {
    Put(Option<Token>),
    Get(Option<Token>, LocalSlice, usize),
    FetchAdd(Option<Token>),
    Flush(Option<Token>),
}

impl Call {
    fn token(&self) -> Option<Token> {
        match self {
            Self::Put(token)
            | Self::Get(token, ..)
            | Self::FetchAdd(token)
            | Self::Flush(token) => *token,
        }
    }
}

/// See the module's page.
pub(super) struct Connection {
    pub(super) endpoint: Endpoint,
    pub(super) socket: TcpStream,
    pub(super) stage: Stage,
    pub(super) outgoing: Outgoing,
    opener: Option<Opener>,
    /// Bytes of a header, or of a handshake, that did not come whole.
    inbox: Vec<u8>,
    /// The frame whose payload did not come whole, and how many bytes of it are missing.
    partial: Option<(FrameHeader, usize)>,
    /// What came of that payload, but for messages: theirs is in `message`.
    body: Vec<u8>,
    /// Frames of a message that did not come whole.
    message: Vec<u8>,
    /// A put whose first frames failed: its others are passed over.
    failed_put: Option<u64>,
    calls: HashMap<u64, Call>,
    epoch: u64,
    last_call: u64,
    /// Sends that have not left.
    sends: usize,
    /// Somebody was refused.
    pub(super) is_awaited: bool,
    /// Whether the socket is looked at for bytes, and for room.
    pub(super) interest: (bool, bool),
    /// Somebody was told of it, and is told of its end.
    pub(super) is_known: bool,
    pub(super) heard_ns: u64,
    pub(super) pinged_ns: u64,
}

/// What serving a connection tells and needs.
pub(super) struct Context<'a> {
    pub(super) events: &'a mut VecDeque<Event>,
    pub(super) regions: &'a Regions,
    pub(super) max_message_bytes: usize,
    pub(super) identity: &'a Identity,
    pub(super) secret: Option<&'a Secret>,
}

fn corrupt(problem: impl Into<String>) -> EndReason {
    EndReason::Corrupt(problem.into())
}

impl Connection {
    pub(super) fn new(endpoint: Endpoint, socket: TcpStream, stage: Stage, epoch: u64) -> Self {
        Self {
            endpoint,
            socket,
            stage,
            outgoing: Outgoing::default(),
            opener: None,
            inbox: Vec::new(),
            partial: None,
            body: Vec::new(),
            message: Vec::new(),
            failed_put: None,
            calls: HashMap::new(),
            epoch,
            last_call: 0,
            sends: 0,
            is_awaited: false,
            interest: (true, false),
            is_known: false,
            heard_ns: 0,
            pinged_ns: 0,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }

    /// Requests that are not done.
    pub(super) fn under_way(&self) -> usize {
        self.calls.len() + self.sends
    }

    pub(super) fn is_idle(&self) -> bool {
        self.calls.is_empty() && self.outgoing.is_empty()
    }

    /// What the socket is to be looked at for.
    pub(super) fn wanted(&self) -> (bool, bool) {
        let is_connecting = matches!(self.stage, Stage::Connecting(_));
        let has_more = !self.outgoing.is_empty() && !matches!(self.stage, Stage::Greeted(_));
        (self.may_be_read(), is_connecting || has_more)
    }

    /// The last frame.
    pub(super) fn queue_close(&mut self) {
        let close = FrameHeader::new(FrameKind::Close, 0);
        self.outgoing.push(Leaving::frame(close, Payload::None));
    }

    /// The socket is connected, or is not: says hello.
    pub(super) fn greet(&mut self) -> Result<(), EndReason> {
        let outcome = match self.socket.take_error() {
            Ok(None) => Ok(()),
            Ok(Some(error)) | Err(error) => Err(error),
        };
        outcome.map_err(|error| EndReason::Unreachable(error.to_string()))?;
        if let Stage::Connecting(both) = std::mem::replace(&mut self.stage, Stage::Accepted) {
            let (initiator, hello) = *both;
            self.outgoing.push_first(Leaving::raw(&hello));
            self.stage = Stage::Greeted(Box::new(initiator));
        }
        Ok(())
    }

    /// Takes what a handshake needs from the front of the inbox, once it is there.
    fn handshake(&mut self, context: &mut Context<'_>) -> Result<(), EndReason> {
        let refused = |error: NotAdmitted| EndReason::NotAdmitted(error.to_string());
        let endpoint = self.endpoint;
        match &self.stage {
            Stage::Accepted => {
                // Who begins otherwise is not waited for.
                let begin = &self.inbox[..self.inbox.len().min(3)];
                if !b"msr".starts_with(begin) {
                    let problem = "what came is no hello of this protocol".to_owned();
                    return Err(EndReason::NotAdmitted(problem));
                }
                let Some(hello) = self.inbox.first_chunk::<HELLO_BYTES>() else {
                    return Ok(());
                };
                let (said, outcome) = answer(hello, context.identity, context.secret);
                if let Some(said) = said {
                    self.outgoing.push_first(Leaving::raw(&said));
                }
                let session = outcome.map_err(refused)?;
                self.inbox.drain(..HELLO_BYTES);
                self.admit(session);
                self.is_known = true;
                context.events.push_back(Event::Accepted { endpoint });
            }
            Stage::Greeted(_) => {
                let Some(answer) = self.inbox.first_chunk::<ANSWER_BYTES>() else {
                    return Ok(());
                };
                let Stage::Greeted(initiator) = std::mem::replace(&mut self.stage, Stage::Open)
                else {
                    return Ok(());
                };
                let session = initiator.read(answer).map_err(refused)?;
                self.inbox.drain(..ANSWER_BYTES);
                self.admit(session);
                context.events.push_back(Event::Connected { endpoint });
            }
            Stage::Connecting(_) | Stage::Open | Stage::Closing => {}
        }
        Ok(())
    }

    /// Both ends know each other.
    pub(super) fn admit(&mut self, session: Session) {
        if session.is_sealed {
            self.outgoing.seal_by(session.sealer);
            self.opener = Some(session.opener);
        }
        self.stage = Stage::Open;
    }

    /// Takes a request that was checked. What leaves is queued; [`send_now`](Self::send_now) sends it.
    pub(super) fn take(&mut self, request: WorkRequest, token: Option<Token>) {
        match request {
            WorkRequest::Send(message) => {
                self.sends += 1;
                let bytes = message.len();
                self.queue_parts(FrameHeader::new(FrameKind::Message, 0), bytes, |range| {
                    Payload::Bytes(message.clone(), range)
                });
                if let Some(last) = self.outgoing.last() {
                    last.token = token;
                    last.is_last_of_send = true;
                }
            }
            WorkRequest::Put { from, to, signal } => {
                let mut header = self.call(FrameKind::Put, &to, Call::Put(token));
                if let Some(signal) = signal {
                    header.flags |= Flags::SIGNAL;
                    header.argument = signal;
                }
                let bytes = from.len();
                self.queue_parts(header, bytes, |range| match &from {
                    PutSource::Bytes(bytes) => Payload::Bytes(bytes.clone(), range),
                    PutSource::Region(slice) => {
                        let (start, end) =
                            (slice.offset() + range.start, slice.offset() + range.end);
                        Payload::Memory(slice.region().memory().clone(), start..end)
                    }
                });
            }
            WorkRequest::Get { from, to } => {
                let bytes = from.len();
                let header = self.call(FrameKind::Get, &from, Call::Get(token, to, 0));
                self.queue_words(header, &[bytes]);
            }
            WorkRequest::FetchAdd { at, add } => {
                let header = self.call(FrameKind::FetchAdd, &at, Call::FetchAdd(token));
                self.queue_words(header, &[add]);
            }
            WorkRequest::Flush => {
                let mut header = FrameHeader::new(FrameKind::Flush, 0);
                header.call = self.next_call(Call::Flush(token));
                self.outgoing.push(Leaving::frame(header, Payload::None));
            }
        }
    }

    fn next_call(&mut self, call: Call) -> CallId {
        self.last_call += 1;
        self.calls.insert(self.last_call, call);
        CallId {
            epoch: self.epoch,
            sequence: self.last_call,
        }
    }

    fn call(&mut self, kind: FrameKind, at: &RemoteSlice, call: Call) -> FrameHeader {
        let mut header = FrameHeader::new(kind, 0);
        header.call = self.next_call(call);
        header.region = Regions::number(at.region());
        header.offset = at.offset();
        header
    }

    fn queue_words(&mut self, mut header: FrameHeader, words: &[u64]) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        header.payload_bytes = bytes.len() as u32;
        let payload = Payload::Bytes(Message::copied(&bytes), 0..bytes.len());
        self.outgoing.push(Leaving::frame(header, payload));
    }

    /// As many frames as `bytes` need, one at least.
    fn queue_parts(
        &mut self,
        mut header: FrameHeader,
        bytes: usize,
        payload: impl Fn(Range<usize>) -> Payload,
    ) {
        let offset = header.offset;
        let mut at = 0;
        loop {
            let end = bytes.min(at + MAX_PAYLOAD_BYTES as usize);
            header.flags.set(Flags::MORE, end < bytes);
            header.payload_bytes = (end - at) as u32;
            header.offset = offset + at as u64;
            let mut leaving = Leaving::frame(header, payload(at..end));
            leaving.is_first = at == 0;
            self.outgoing.push(leaving);
            at = end;
            if at == bytes {
                return;
            }
        }
    }

    /// Sends what the socket takes.
    pub(super) fn send_now(&mut self, events: &mut VecDeque<Event>) -> Result<(), EndReason> {
        if matches!(self.stage, Stage::Connecting(_)) {
            return Ok(());
        }
        let is_open = matches!(self.stage, Stage::Open | Stage::Closing);
        let (endpoint, sends) = (self.endpoint, &mut self.sends);
        let outcome = self.outgoing.pump(self.socket.as_fd(), is_open, |leaving| {
            *sends -= usize::from(leaving.is_last_of_send);
            events.extend(leaving.token.map(|token| done(endpoint, token, Ok(0))));
        });
        outcome.map_err(|error| EndReason::PeerGone(error.to_string()))
    }

    /// Reads the socket once and serves what came; `None` if there is nothing.
    pub(super) fn read(
        &mut self,
        scratch: &mut Vec<u8>,
        context: &mut Context<'_>,
    ) -> Option<Result<(), EndReason>> {
        let (into, limit) = match self.partial {
            Some((header, missing)) if self.is_straight(&header) => (&mut self.message, missing),
            Some((_, missing)) => (&mut self.body, missing),
            None => {
                scratch.clear();
                let limit = scratch.capacity();
                (&mut *scratch, limit)
            }
        };
        match sys::receive_more(self.socket.as_fd(), into, limit) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => Some(Err(EndReason::PeerGone(error.to_string()))),
            Ok(0) => Some(Err(EndReason::PeerGone(
                "it closed the connection without a word".into(),
            ))),
            Ok(bytes) if self.partial.is_some() => Some(self.came(bytes, context)),
            Ok(_) => Some(self.receive(scratch, context)),
        }
    }

    /// Serves what came.
    fn receive(&mut self, bytes: &[u8], context: &mut Context<'_>) -> Result<(), EndReason> {
        let is_open = matches!(self.stage, Stage::Open | Stage::Closing);
        if !is_open {
            self.inbox.extend_from_slice(bytes);
            self.handshake(context)?;
            let is_open = matches!(self.stage, Stage::Open | Stage::Closing);
            return match is_open {
                true => self.receive(&[], context),
                false => Ok(()),
            };
        }
        let mut inbox = std::mem::take(&mut self.inbox);
        let mut rest = match inbox.is_empty() {
            true => bytes,
            false => {
                inbox.extend_from_slice(bytes);
                &inbox[..]
            }
        };
        while !rest.is_empty() {
            if self.partial.is_some() {
                rest = self.fill(rest, context)?;
                continue;
            }
            let Some((wire, behind)) = rest.split_first_chunk::<HEADER_BYTES>() else {
                break;
            };
            let header =
                FrameHeader::from_wire(wire).map_err(|error| corrupt(error.to_string()))?;
            rest = match behind.split_at_checked(header.payload_bytes as usize) {
                Some((payload, behind)) => {
                    self.open_and_serve(&header, payload, context)?;
                    behind
                }
                None => {
                    self.expect(header, context)?;
                    behind
                }
            };
        }
        self.inbox = rest.to_vec();
        Ok(())
    }

    fn open_and_serve(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        context: &mut Context<'_>,
    ) -> Result<(), EndReason> {
        let Some(opener) = &mut self.opener else {
            return self.serve(header, payload, context);
        };
        let mut payload = payload.to_vec();
        let opened = opener.open(header, &mut payload);
        opened.map_err(|error| corrupt(error.to_string()))?;
        self.serve(header, &payload, context)
    }

    /// Whether the payload of this frame comes straight to where messages are.
    fn is_straight(&self, header: &FrameHeader) -> bool {
        header.kind == FrameKind::Message && self.opener.is_none()
    }

    /// A payload that comes in parts (TC-2).
    fn expect(&mut self, header: FrameHeader, context: &Context<'_>) -> Result<(), EndReason> {
        let bytes = header.payload_bytes as usize;
        if header.kind == FrameKind::Message {
            check_message(self.message.len() + bytes, context)?;
        }
        match self.is_straight(&header) {
            true => self.message.reserve(bytes),
            false => {
                self.body.clear();
                self.body.reserve(bytes);
            }
        }
        self.partial = Some((header, bytes));
        Ok(())
    }

    /// So many bytes came there.
    fn came(&mut self, bytes: usize, context: &mut Context<'_>) -> Result<(), EndReason> {
        let Some((header, missing)) = self.partial else {
            return Ok(());
        };
        if bytes < missing {
            self.partial = Some((header, missing - bytes));
            return Ok(());
        }
        self.partial = None;
        if self.is_straight(&header) {
            // All of it is in `message` already.
            return self.serve(&header, &[], context);
        }
        let body = std::mem::take(&mut self.body);
        self.open_and_serve(&header, &body, context)
    }

    /// The rest of a payload from `bytes`; what is behind it.
    fn fill<'a>(
        &mut self,
        bytes: &'a [u8],
        context: &mut Context<'_>,
    ) -> Result<&'a [u8], EndReason> {
        let Some((header, missing)) = self.partial else {
            return Ok(bytes);
        };
        let (here, behind) = bytes.split_at(bytes.len().min(missing));
        match self.is_straight(&header) {
            true => self.message.extend_from_slice(here),
            false => self.body.extend_from_slice(here),
        }
        self.came(here.len(), context)?;
        Ok(behind)
    }

    /// TC-3.
    pub(super) fn may_be_read(&self) -> bool {
        self.outgoing.len() < MAX_ANSWERS
    }

    fn serve(
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
                            Ok(word.fetch_add(add, maser_shm::sync::atomic::Ordering::AcqRel))
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
        let has_more = header.flags.contains(Flags::MORE);
        let call = header.call.sequence;
        if self.failed_put == Some(call) {
            return;
        }
        let bytes = payload.len() as u64;
        let written =
            self.there(header, bytes, Access::WRITE, context)
                .and_then(|(memory, range)| {
                    memory
                        .write(range.start, payload)
                        .map_err(|error| error.to_string())
                });
        match written {
            Err(problem) => {
                self.failed_put = Some(call);
                self.fail(header, &problem);
            }
            Ok(()) if has_more => {}
            Ok(()) => {
                if header.flags.contains(Flags::SIGNAL) {
                    context.events.push_back(Event::Signal {
                        endpoint: self.endpoint,
                        signal: header.argument,
                    });
                }
                self.answer(header, 0);
            }
        }
    }

    fn serve_data(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        events: &mut VecDeque<Event>,
    ) -> Result<(), EndReason> {
        let Some(Call::Get(token, to, filled)) = self.calls.get_mut(&header.call.sequence) else {
            return Err(corrupt("bytes that nobody asked for"));
        };
        let is_last = !header.flags.contains(Flags::MORE);
        let end = *filled + payload.len();
        if end > to.len() || is_last && end != to.len() {
            return Err(corrupt("another number of bytes than was asked for"));
        }
        let written = to.region().write(to.offset() + *filled, payload);
        written.map_err(|error| corrupt(error.to_string()))?;
        *filled = end;
        if is_last {
            let token = *token;
            self.calls.remove(&header.call.sequence);
            events.extend(token.map(|token| done(self.endpoint, token, Ok(0))));
        }
        Ok(())
    }

    /// The memory that a request of the peer is about (TC-1).
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

    /// Takes back what has this token and has not left.
    pub(super) fn cancel(&mut self, token: Token, events: &mut VecDeque<Event>) {
        let sends = self.outgoing.cancel_sends(token);
        self.sends -= sends;
        let calls = self
            .calls
            .iter()
            .filter(|(_, call)| call.token() == Some(token));
        let calls: Vec<u64> = calls.map(|(number, _)| *number).collect();
        let mut cancelled = sends;
        for number in calls {
            if self.outgoing.cancel_call(number) {
                self.calls.remove(&number);
                cancelled += 1;
            }
        }
        let outcome = || Err(WorkError::Cancelled);
        events.extend((0..cancelled).map(|_| done(self.endpoint, token, outcome())));
    }

    /// Completes everything: the connection is over.
    pub(super) fn fail_all(&mut self, reason: &EndReason, events: &mut VecDeque<Event>) {
        let left = self.outgoing.take_all();
        let of_sends = left.iter().filter_map(|leaving| leaving.token);
        let mut calls: Vec<_> = self.calls.drain().collect();
        calls.sort_unstable_by_key(|(number, _)| *number);
        let of_calls = calls.iter().filter_map(|(_, call)| call.token());
        for token in of_sends.chain(of_calls) {
            let outcome = Err(WorkError::Ended(reason.clone()));
            events.push_back(done(self.endpoint, token, outcome));
        }
        self.sends = 0;
    }
}

fn done(endpoint: Endpoint, token: Token, outcome: Result<u64, WorkError>) -> Event {
    Event::Completed(Completion {
        endpoint,
        token,
        outcome,
    })
}

fn check_message(bytes: usize, context: &Context<'_>) -> Result<(), EndReason> {
    let max = context.max_message_bytes;
    match bytes <= max {
        true => Ok(()),
        false => Err(corrupt(format!(
            "a message of {bytes} bytes and more; the limit is {max}"
        ))),
    }
}

fn word(payload: &[u8], what: &str) -> Result<u64, EndReason> {
    let word = <[u8; 8]>::try_from(payload);
    let word = word.map_err(|_| corrupt(format!("{} bytes for {what}", payload.len())))?;
    Ok(u64::from_le_bytes(word))
}
