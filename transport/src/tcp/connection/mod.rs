//! One connection: its socket, what is on its way out, what came in part, and the calls that wait.
//!
//! - TX-1 requests of the peer are checked against what is registered (MR-3) before anything is touched;
//!   one that asks for what there is not gets [`FrameKind::Failed`], and one that makes no sense ends the
//!   connection.
//! - TX-2 nothing is allocated for a peer beyond a message that it is in the middle of, which has a limit,
//!   and frames of [`MAX_PAYLOAD_BYTES`] at most; who is not admitted yet has a hello and no more.
//! - TX-3 a peer that does not read what it asked for is not read any more until it does: answers wait in
//!   memory of [`MAX_ANSWERS`] frames, and those of one request. What came with the last one waits as well.

mod greet;
mod incoming;
mod partial;
mod serve;

use super::MAX_UNDER_WAY;
use super::outgoing::{Leaving, Outgoing, Payload, SHORT_BYTES};
use super::poller::Watched;
use crate::endpoint::Endpoint;
use crate::event::{Completion, EndReason, Event};
use crate::memory::{LocalSlice, RemoteSlice};
use crate::message::Message;
use crate::regions::Regions;
use crate::request::{MAX_CONTROL_BYTES, PutSource, Token, WorkError, WorkRequest};
use crate::wire::handshake::{HELLO_BYTES, Identity, Initiator, Integrity, Secret};
use crate::wire::seal::{Opener, Sealed};
use crate::wire::{CallId, Flags, FrameHeader, FrameKind, HEADER_BYTES, MAX_PAYLOAD_BYTES};
use partial::Partial;
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

// A control message is one frame.
const _: () = assert!(MAX_CONTROL_BYTES <= MAX_PAYLOAD_BYTES as usize);

/// Answers that may wait for a peer to read them (TX-3).
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
    /// The peer was not admitted: nothing leaves for it.
    Refused,
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
    pub(super) socket: Arc<OwnedFd>,
    pub(super) stage: Stage,
    pub(super) outgoing: Outgoing,
    /// Which frames the opener is for.
    sealed: Sealed,
    opener: Option<Opener>,
    /// Bytes of a header, or of a handshake, that did not come whole.
    inbox: Vec<u8>,
    /// The frame whose payload did not come whole.
    partial: Option<Partial>,
    /// What came of that payload, if it has to be opened first.
    body: Vec<u8>,
    /// The last frame was long, and so may be the next.
    is_bulk: bool,
    /// What is in `inbox` waits for answers to leave (TX-3).
    pub(super) is_held: bool,
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
    pub(super) watched: Watched,
    /// The last read had all there was, and nobody has asked yet.
    pub(super) is_drained: bool,
    /// The last read had all there was, or found nothing.
    pub(super) is_empty: bool,
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
    pub(super) integrity: Option<Integrity>,
    pub(super) secret: Option<&'a Secret>,
}

fn corrupt(problem: impl Into<String>) -> EndReason {
    EndReason::Corrupt(problem.into())
}

impl Connection {
    pub(super) fn new(
        endpoint: Endpoint,
        socket: impl Into<Arc<OwnedFd>>,
        stage: Stage,
        epoch: u64,
    ) -> Self {
        Self {
            endpoint,
            socket: socket.into(),
            stage,
            outgoing: Outgoing::default(),
            sealed: Sealed::Nothing,
            opener: None,
            inbox: Vec::new(),
            partial: None,
            body: Vec::new(),
            is_bulk: false,
            is_held: false,
            message: Vec::new(),
            failed_put: None,
            calls: HashMap::new(),
            epoch,
            last_call: 0,
            sends: 0,
            is_awaited: false,
            watched: Watched::default(),
            is_drained: false,
            is_empty: false,
            is_known: false,
            heard_ns: 0,
            pinged_ns: 0,
        }
    }

    /// Somebody connected and has not said who it is.
    pub(super) fn is_stranger(&self) -> bool {
        matches!(self.stage, Stage::Accepted)
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

    /// Sends a short message at once, if nothing is before it and there is room; false if it is to be queued.
    #[inline]
    pub(super) fn send_at_once(
        &mut self,
        message: &Message,
        token: Option<Token>,
        piece: &mut Vec<u8>,
        events: &mut VecDeque<Event>,
    ) -> bool {
        let bytes = message.len();
        if !self.is_open()
            || !self.outgoing.is_empty()
            || bytes > SHORT_BYTES - HEADER_BYTES
            || self.calls.len() >= MAX_UNDER_WAY
        {
            return false;
        }
        let header = FrameHeader::new(FrameKind::Message, bytes as u32);
        let socket = self.socket.as_fd();
        if self.outgoing.send_at_once(socket, header, message, piece) {
            events.extend(token.map(|token| done(self.endpoint, token, Ok(0))));
        } else if let Some(rest) = self.outgoing.last() {
            self.sends += 1;
            rest.token = token;
            rest.is_last_of_send = true;
        }
        true
    }

    /// Whether nothing is to be done but to read it.
    pub(super) fn is_quiet(&self) -> bool {
        self.is_open() && self.outgoing.is_empty() && !self.is_awaited
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
            WorkRequest::Control(message) => {
                self.sends += 1;
                let bytes = message.len();
                let header = FrameHeader::new(FrameKind::Control, bytes as u32);
                let mut leaving = Leaving::frame(header, Payload::Bytes(message, 0..bytes));
                leaving.token = token;
                leaving.is_last_of_send = true;
                self.outgoing.push(leaving);
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

    /// Gives back buffers that are kept for later; they come again when they are needed.
    pub(super) fn rest(&mut self) {
        if self.partial.is_none() {
            self.body = Vec::new();
        }
        self.outgoing.rest();
    }

    /// TX-3.
    pub(super) fn may_be_read(&self) -> bool {
        self.outgoing.len() < MAX_ANSWERS
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
