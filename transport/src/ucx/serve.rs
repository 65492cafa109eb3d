//! What comes: frames of UCX, and words over the connections beside it.

use super::connection::{Behind, Came, Connection, Grant, Region, Stage, Waiting};
use super::control::{RegionKey, Word};
use super::sys::{Arrival, Body, Posted};
use super::what::{Task, What};
use super::work::{MESSAGE, OFFER, SIGNAL, TAKEN};
use super::{LIMITS, POLLS_AFTER_WORD, UcxTransport};
use crate::endpoint::Endpoint;
use crate::event::{EndReason, Event};
use crate::message::Message;
use crate::request::{MAX_CONTROL_BYTES, Refusal, WorkRequest};
use crate::transport::Transport;

/// Control messages that are kept until the connection is told.
const MAX_EARLY: usize = 4096;
/// Events of the connections beside UCX that one look takes.
const EVENTS_PER_LOOK: usize = 64;

pub(super) fn name_of(endpoint: Endpoint) -> u64 {
    u64::from(endpoint.generation()) << 32 | endpoint.index() as u64
}

fn endpoint_of(name: u64) -> Endpoint {
    Endpoint::new(name as u32, (name >> 32) as u32)
}

impl UcxTransport {
    /// Takes what UCX called back.
    pub(super) fn take_news(&mut self) {
        while let Some(arrival) = self.worker.next_arrival() {
            self.arrives(arrival);
        }
        while let Some((slot, status)) = self.worker.next_done() {
            self.done(slot, status);
        }
        while let Some((ep, status)) = self.worker.next_failure() {
            if let Some(peer) = self.peers.with_ep(ep) {
                let reason = EndReason::PeerGone(format!("UCX says: {status}"));
                self.peer_failed(peer, &reason);
            }
        }
    }

    /// The next frame, if it is all that happened and is a message whose turn it is: the short way of what
    /// [`take_news`](Self::take_news) does.
    #[inline]
    pub(super) fn next_message(&mut self) -> Option<Event> {
        let head = self.worker.only_arrival()?;
        let endpoint = endpoint_of(head.to);
        let connection = self.connections.get_mut(endpoint)?;
        let is_plain = head.kind == MESSAGE
            && connection.is_told()
            && connection.bye.is_none()
            && connection.inbound.is_next(head.sequence);
        if !is_plain {
            return None;
        }
        let message = self.worker.take_arrival_here()?;
        connection.inbound.next = head.sequence.wrapping_add(1);
        Some(Event::Message { endpoint, message })
    }

    /// A frame came. Whom it is for is the peer's word: one that names nobody, or somebody it is not for,
    /// is dropped, or breaks that one's order, which ends it.
    fn arrives(&mut self, arrival: Arrival) {
        let of = endpoint_of(arrival.head.to);
        let head = arrival.head;
        let found = self.connections.get_mut(of);
        let is_awaited = found.is_some_and(|found| !matches!(found.stage, Stage::Ending(_)));
        match arrival.body {
            Body::There(fetchable) if !is_awaited || head.kind != MESSAGE => {
                self.worker.refuse(fetchable);
            }
            Body::There(fetchable) if fetchable.bytes > LIMITS.max_message_bytes => {
                let problem = format!("a message of {} bytes", fetchable.bytes);
                self.worker.refuse(fetchable);
                self.break_off(of, EndReason::Corrupt(problem));
            }
            Body::There(fetchable) => {
                let Some(connection) = self.connections.get_mut(of) else {
                    return;
                };
                if let Err(problem) = connection.inbound.come(head.sequence, None) {
                    self.worker.refuse(fetchable);
                    return self.break_off(of, EndReason::Corrupt(problem));
                }
                let task = Task::Fetch(head.sequence, fetchable.bytes);
                let slot = self.worker.take_slot();
                self.worker.slot(slot).what = What::Of(of, task);
                let posted: Posted = self.worker.receive(fetchable, slot);
                self.begun(slot, posted);
            }
            Body::Here(_) if !is_awaited => {}
            Body::Here(bytes) => match (head.kind, bytes.first_chunk()) {
                (MESSAGE, _) => self.comes(of, head.sequence, Came::Message(bytes)),
                (SIGNAL, Some(signal)) => {
                    let signal = u32::from_le_bytes(*signal);
                    self.comes(of, head.sequence, Came::Signal(signal));
                }
                (OFFER, _) => self.offered(of, head.sequence, &bytes),
                (TAKEN, _) if bytes.len() == 8 => {
                    let offer = bytes
                        .first_chunk()
                        .map_or(0, |offer| u64::from_le_bytes(*offer));
                    self.comes(of, head.sequence, Came::Taken(offer));
                }
                (kind, _) => {
                    let problem = format!("a frame of the unknown kind {kind}");
                    self.break_off(of, EndReason::Corrupt(problem));
                }
            },
        }
    }

    /// What a frame brought is told in its order.
    #[inline]
    pub(super) fn comes(&mut self, of: Endpoint, sequence: u32, came: Came) {
        let Some(connection) = self.connections.get_mut(of) else {
            return;
        };
        if connection.is_told() && connection.inbound.is_next(sequence) {
            connection.inbound.next = sequence.wrapping_add(1);
            let is_last = connection.bye == Some(connection.inbound.next);
            self.tell(of, came);
            if is_last {
                self.peer_closed(of);
            }
            return;
        }
        match connection.inbound.come(sequence, Some(came)) {
            Ok(()) => self.tell_come(of),
            Err(problem) => self.break_off(of, EndReason::Corrupt(problem)),
        }
    }

    /// Tells what came, as far as it is in its order.
    pub(super) fn tell_come(&mut self, of: Endpoint) {
        let Some(connection) = self.connections.get_mut(of) else {
            return;
        };
        if !connection.is_told() {
            return;
        }
        let mut is_over = false;
        while let Some(connection) = self.connections.get_mut(of) {
            let Some(came) = connection.inbound.pop() else {
                is_over = connection.bye == Some(connection.inbound.next);
                break;
            };
            self.tell(of, came);
        }
        if is_over {
            self.peer_closed(of);
        }
    }

    #[inline]
    fn tell(&mut self, endpoint: Endpoint, came: Came) {
        self.events.push_back(match came {
            Came::Message(message) => Event::Message { endpoint, message },
            Came::Signal(signal) => Event::Signal { endpoint, signal },
            Came::Taken(offer) => return self.taken(endpoint, offer),
        });
    }

    /// Looks at the connections beside UCX.
    pub(super) fn look(&mut self) {
        for _ in 0..EVENTS_PER_LOOK {
            let Some(event) = self.inner.as_mut().and_then(Transport::poll) else {
                return;
            };
            self.happened(event);
        }
    }

    fn happened(&mut self, event: Event) {
        let inner = match event {
            Event::Accepted { endpoint } => {
                let made = self
                    .connections
                    .insert(|_| Connection::new(endpoint, false));
                match (made, &mut self.inner) {
                    (Some(made), _) => drop(self.by_inner.insert(endpoint, made)),
                    (None, Some(inner)) => inner.close(endpoint),
                    (None, None) => {}
                }
                self.looks = POLLS_AFTER_WORD;
                return;
            }
            Event::Connected { endpoint }
            | Event::Control { endpoint, .. }
            | Event::Message { endpoint, .. }
            | Event::Signal { endpoint, .. }
            | Event::Writable { endpoint }
            | Event::Ended { endpoint, .. } => endpoint,
            Event::Completed(ref done) => done.endpoint,
        };
        let Some(of) = self.by_inner.get(&inner).copied() else {
            return;
        };
        match event {
            Event::Connected { .. } => self.greet(of),
            Event::Control { message, .. } => {
                self.looks = self.looks.max(16);
                self.heard(of, &message);
            }
            Event::Writable { .. } => {
                self.say_more(of);
                self.goes_on(of);
            }
            Event::Ended { reason, .. } => self.inner_ended(of, reason),
            Event::Message { .. } | Event::Signal { .. } => {
                let problem = "data on the connection for control".into();
                self.break_off(of, EndReason::Corrupt(problem));
            }
            Event::Accepted { .. } | Event::Completed(_) => {}
        }
    }

    /// Says who we are, before everything else.
    fn greet(&mut self, of: Endpoint) {
        let hello = Word::Hello {
            name: name_of(of),
            worker: &self.worker_address,
        };
        let hello = hello.to_message();
        let Some(connection) = self.connections.get_mut(of) else {
            return;
        };
        connection.has_greeted = true;
        connection.said.push_front((hello, None));
        self.say_more(of);
    }

    /// Says something to the peer.
    pub(super) fn say(&mut self, of: Endpoint, word: &Word<'_>) {
        self.say_message(of, word.to_message());
    }

    pub(super) fn say_message(&mut self, of: Endpoint, message: Message) {
        if let Some(connection) = self.connections.get_mut(of) {
            connection.said.push_back((message, None));
            self.say_more(of);
        }
    }

    /// Says what is to be said, as far as there is room.
    pub(super) fn say_more(&mut self, of: Endpoint) {
        self.looks = POLLS_AFTER_WORD;
        let (Some(connection), Some(inner)) = (self.connections.get_mut(of), &mut self.inner)
        else {
            return;
        };
        let mut done = Vec::new();
        while connection.has_greeted
            && let Some((message, token)) = connection.said.pop_front()
        {
            match inner.post(connection.inner, WorkRequest::Control(message), None) {
                Ok(()) => done.extend(token),
                Err(refused) => {
                    // The end of it is told if it is over.
                    if let (Refusal::Full { .. }, WorkRequest::Control(message)) =
                        (refused.refusal, refused.request)
                    {
                        connection.said.push_front((message, token));
                    }
                    break;
                }
            }
        }
        for token in done {
            self.complete(of, token, Ok(0));
        }
    }

    /// The peer said something.
    fn heard(&mut self, of: Endpoint, message: &Message) {
        let word = match Word::read(message) {
            Ok(word) => word,
            Err(problem) => return self.break_off(of, EndReason::Corrupt(problem.into())),
        };
        let Some(connection) = self.connections.get_mut(of) else {
            return;
        };
        let is_hello = matches!(word, Word::Hello { .. });
        if is_hello != connection.peer.is_none() {
            let problem = "a hello where none belongs, or none where one does".into();
            return self.break_off(of, EndReason::Corrupt(problem));
        }
        match word {
            Word::Hello { name, worker } => self.meet(of, name, worker),
            Word::Bye { frames } => {
                connection.bye = Some(frames);
                self.tell_come(of);
            }
            Word::Ask(key) => {
                self.revoke();
                let answer = self.exports.ask(of, key, &self.worker);
                self.say_message(of, answer);
            }
            Word::Grant(key, granted) => {
                let (base, bytes, access) = (granted.base, granted.bytes, granted.access);
                let is_asked = matches!(connection.grants.get(&key), Some(Grant::Asked));
                let (true, Some((_, ep))) = (is_asked, connection.peer) else {
                    let problem = "a grant that nobody asked for".into();
                    return self.break_off(of, EndReason::Corrupt(problem));
                };
                let grant = match self.worker.unpack(ep, granted.packed) {
                    Ok(key) => Grant::Here(Region {
                        key,
                        base,
                        bytes,
                        access,
                    }),
                    Err(status) => {
                        let problem = format!("UCX cannot use a key: {status}");
                        return self.break_off(of, EndReason::Corrupt(problem));
                    }
                };
                connection.grants.insert(key, grant);
                self.goes_on(of);
            }
            Word::NoRegion(key) => {
                connection.grants.insert(key, Grant::Gone);
                self.begin_waiting(of);
                // It is asked for again if it is used again.
                if let Some(connection) = self.connections.get_mut(of) {
                    connection.grants.remove(&key);
                }
                self.goes_on(of);
            }
            Word::Revoke(key) => self.lose(of, key),
            Word::LetGo(key) => self.exports.let_go(of, key, &mut self.worker),
            Word::User(part) | Word::More(part)
                if connection.heard.len() + part.len() > MAX_CONTROL_BYTES =>
            {
                let problem = "a control message that is too long".into();
                self.break_off(of, EndReason::Corrupt(problem));
            }
            Word::More(part) => connection.heard.extend_from_slice(part),
            Word::User(part) => {
                let message = match connection.heard.is_empty() {
                    true => Message::copied(part),
                    false => {
                        let mut whole = std::mem::take(&mut connection.heard);
                        whole.extend_from_slice(part);
                        whole.into()
                    }
                };
                match connection.is_known && connection.stage != Stage::Greeting {
                    true => self.events.push_back(Event::Control {
                        endpoint: of,
                        message,
                    }),
                    false if connection.early.len() < MAX_EARLY => {
                        connection.early.push(message);
                    }
                    false => {
                        let problem = "control messages before the connection is there";
                        self.break_off(of, EndReason::Corrupt(problem.into()));
                    }
                }
            }
        }
    }

    /// The peer said who it is.
    fn meet(&mut self, of: Endpoint, name: u64, worker: &[u8]) {
        let joined = self.peers.join(worker, &mut self.worker);
        let Some(connection) = self.connections.get_mut(of) else {
            return;
        };
        match joined {
            Ok(peer) => {
                connection.peer = Some(peer);
                connection.name_there = name;
                if !connection.is_first {
                    self.greet(of);
                }
                let slot = self.worker.take_slot();
                self.worker.slot(slot).what = What::Of(of, Task::Meet);
                let posted = self.worker.flush(peer.1, slot);
                self.begun(slot, posted);
                self.goes_on(of);
            }
            Err(status) => {
                let problem = format!("UCX finds no way to the peer: {status}");
                self.break_off(of, EndReason::Unreachable(problem));
            }
        }
    }

    /// UCX has made its way to the peer (UX-10).
    pub(super) fn met(&mut self, of: Endpoint) {
        let Some(connection) = self.connections.get_mut(of) else {
            return;
        };
        if connection.stage != Stage::Greeting {
            return;
        }
        connection.stage = Stage::Open;
        connection.is_known = true;
        let early = std::mem::take(&mut connection.early);
        let endpoint = of;
        self.events.push_back(match connection.is_first {
            true => Event::Connected { endpoint },
            false => Event::Accepted { endpoint },
        });
        let early = early
            .into_iter()
            .map(|message| Event::Control { endpoint, message });
        self.events.extend(early);
        self.begin_waiting(of);
        self.tell_come(of);
    }

    /// The peer wants a region back: it is let go when what began with it has arrived.
    fn lose(&mut self, of: Endpoint, key: RegionKey) {
        let Some(connection) = self.connections.get_mut(of) else {
            return;
        };
        // One that was not granted has nothing under way.
        if let Some(Grant::Here(region)) = connection.grants.insert(key, Grant::Gone) {
            self.worker.forget(region.key);
        }
        let barrier = Waiting::Barrier(Behind::LetGo(key));
        connection.waiting.push_back(barrier);
        self.goes_on(of);
    }

    /// Regions that were dropped are revoked.
    pub(super) fn revoke(&mut self) {
        if self.exports.has_dropped() {
            for (of, word) in self.exports.take_dropped(&mut self.worker) {
                self.say_message(of, word);
            }
        }
    }
}
