//! How queue pairs are connected, over the connection beside them, and what else happens there.

use super::connection::{Connection, Stage};
use super::hello::{Hello, READY};
use super::pair::{COMPLETIONS, Pair};
use super::slots::SLOT_BYTES;
use super::{GENERATION_MASK, GENERATION_SHIFT, INDEX_SHIFT, RdmaTransport};
use crate::endpoint::Endpoint;
use crate::event::{Completion, EndReason, Event};
use crate::message::Message;
use crate::request::{Refused, Token, WorkRequest};
use crate::transport::Transport;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;

impl RdmaTransport {
    /// A connection with this one beside it; `None` if there is no place.
    pub(super) fn begin(&mut self, beside: Endpoint, stage: Stage) -> Option<Endpoint> {
        let (max, now_ns) = (self.limits.max_message_bytes, self.now_ns);
        let endpoint = self.connections.insert(|endpoint| {
            let generation = u64::from(endpoint.generation() & GENERATION_MASK);
            let id = (endpoint.index() as u64) << INDEX_SHIFT | generation << GENERATION_SHIFT;
            let mut connection = Connection::new(endpoint, beside, stage, id, max);
            connection.began_ns = now_ns;
            connection
        })?;
        self.waiting += 1;
        self.beside.insert(beside, endpoint);
        Some(endpoint)
    }

    /// Something happened to a connection beside a queue pair.
    pub(super) fn happened_beside(&mut self, event: Event) {
        match event {
            Event::Accepted { endpoint: beside } => {
                match self.begin(beside, Stage::Awaited) {
                    Some(endpoint) => {
                        let set_up = self.set_up(endpoint);
                        self.or_unreachable(endpoint, set_up);
                    }
                    // It hears that this is over, and that it was not connected yet.
                    None => self.tcp.close(beside),
                }
            }
            Event::Connected { endpoint: beside } => {
                if let Some(&endpoint) = self.beside.get(&beside) {
                    let greeted = self.set_up(endpoint).and_then(|()| self.greet(endpoint));
                    self.or_unreachable(endpoint, greeted);
                }
            }
            Event::Message { endpoint, message } => {
                if let Some(&endpoint) = self.beside.get(&endpoint)
                    && let Err(reason) = self.said(endpoint, &message)
                {
                    self.end(endpoint, reason);
                }
            }
            Event::Control { endpoint, message } => {
                if let Some(&endpoint) = self.beside.get(&endpoint) {
                    self.events.push_back(Event::Control { endpoint, message });
                }
            }
            Event::Completed(done) => {
                if let Some(&endpoint) = self.beside.get(&done.endpoint) {
                    self.control_left(endpoint, done);
                }
            }
            Event::Writable { endpoint } => {
                if let Some(&endpoint) = self.beside.get(&endpoint) {
                    self.events.push_back(Event::Writable { endpoint });
                }
            }
            // Nothing is put by it.
            Event::Signal { .. } => {}
            Event::Ended { endpoint, reason } => self.ended_beside(endpoint, reason),
        }
    }

    fn or_unreachable(&mut self, endpoint: Endpoint, outcome: io::Result<()>) {
        if let Err(error) = outcome {
            let problem = format!("its queue pair cannot be set up: {error}");
            self.end(endpoint, EndReason::Unreachable(problem));
        }
    }

    /// Makes its queue pair, which receives from now on.
    fn set_up(&mut self, endpoint: Endpoint) -> io::Result<()> {
        let queue = self.queues.place(COMPLETIONS)?;
        let pair = match Pair::new(&queue, &self.port, &self.options) {
            Ok(pair) => pair,
            Err(error) => {
                self.queues.leave(&queue, COMPLETIONS);
                return Err(error);
            }
        };
        let Some(connection) = self.connections.get_mut(endpoint) else {
            return Ok(());
        };
        // Packets of a queue pair that had its number before do not fit. The state of the standard library's
        // hashes is of the system's random bytes.
        connection.first_packet = RandomState::new().build_hasher().finish() as u32 >> 8;
        connection.set_up(pair, &mut self.slots)
    }

    /// Tells the peer what it needs.
    fn greet(&mut self, endpoint: Endpoint) -> io::Result<()> {
        let Some(connection) = self.connections.get_mut(endpoint) else {
            return Ok(());
        };
        let Some(pair) = &connection.pair else {
            return Ok(());
        };
        let hello = Hello {
            mtu: self.port.mtu,
            credits: super::connection::CREDITS.into(),
            slot_bytes: SLOT_BYTES as u32,
            queue_pair: pair.number(),
            first_packet: connection.first_packet,
            lid: self.port.lid,
            reads: pair.reads(),
            gid: self.port.gid.raw,
        };
        connection.stage = match connection.stage {
            Stage::Awaited => Stage::Offered,
            _ => Stage::Answered,
        };
        let beside = connection.beside;
        self.say(beside, &hello.to_wire())
    }

    fn say(&mut self, beside: Endpoint, bytes: &[u8]) -> io::Result<()> {
        let request = WorkRequest::Send(Message::copied(bytes));
        let posted = self.tcp.post(beside, request, None);
        posted.map_err(|refused| io::Error::other(refused.refusal))
    }

    /// The peer said something beside.
    fn said(&mut self, endpoint: Endpoint, message: &[u8]) -> Result<(), EndReason> {
        let Some(connection) = self.connections.get_mut(endpoint) else {
            return Ok(());
        };
        let unreachable = |error: io::Error| {
            EndReason::Unreachable(format!("its queue pair cannot be connected: {error}"))
        };
        match connection.stage {
            Stage::Awaited | Stage::Answered => {
                let peer = Hello::from_wire(message).map_err(|what| {
                    EndReason::Corrupt(format!("a hello of a queue pair: {what}"))
                })?;
                connection.learn(&peer);
                let (port, first) = (self.port, connection.first_packet);
                if let Some(pair) = &connection.pair {
                    pair.connect(&port, &self.options, first, &peer)
                        .map_err(unreachable)?;
                }
                if connection.stage == Stage::Awaited {
                    return self.greet(endpoint).map_err(unreachable);
                }
                let beside = connection.beside;
                self.say(beside, READY).map_err(unreachable)?;
                self.opened(endpoint);
                Ok(())
            }
            Stage::Offered if message == READY => {
                self.opened(endpoint);
                Ok(())
            }
            // Something that was sent came first.
            Stage::Open | Stage::Closing if message == READY => Ok(()),
            _ => Err(EndReason::Corrupt(
                "what is said beside a queue pair at no time".into(),
            )),
        }
    }

    /// Both ends are set up.
    pub(super) fn opened(&mut self, endpoint: Endpoint) {
        let Some(connection) = self.connections.get_mut(endpoint) else {
            return;
        };
        let is_accepted = connection.stage == Stage::Offered;
        connection.stage = Stage::Open;
        connection.is_known = true;
        connection.is_waiting = false;
        self.waiting -= 1;
        let early = std::mem::take(&mut connection.early);
        self.events.push_back(match is_accepted {
            true => Event::Accepted { endpoint },
            false => Event::Connected { endpoint },
        });
        for (message, token) in early {
            // As many wait here as may be under way there.
            if self.control(endpoint, message, token).is_err() {
                let problem = "the connection beside the queue pair takes nothing";
                self.end(endpoint, EndReason::PeerGone(problem.into()));
                return;
            }
        }
        self.pump(endpoint);
    }

    /// Sends a control message beside an open queue pair.
    ///
    /// # Errors
    /// The message, if it is refused.
    #[expect(
        clippy::result_large_err,
        reason = "the request comes back with its memory"
    )]
    pub(super) fn control(
        &mut self,
        endpoint: Endpoint,
        message: Message,
        token: Option<Token>,
    ) -> Result<(), Refused> {
        let Some(connection) = self.connections.get_mut(endpoint) else {
            return Ok(());
        };
        let request = WorkRequest::Control(message);
        self.tcp.post(connection.beside, request, token)?;
        connection.controls.extend(token);
        // It may have left already.
        self.is_due = true;
        Ok(())
    }

    fn control_left(&mut self, endpoint: Endpoint, done: Completion) {
        if let Some(connection) = self.connections.get_mut(endpoint) {
            connection.control_left(done.token);
            self.events
                .push_back(Event::Completed(Completion { endpoint, ..done }));
            // It may have been the last thing before the end.
            self.pump(endpoint);
        }
    }

    /// The connection beside a queue pair is over.
    fn ended_beside(&mut self, beside: Endpoint, reason: EndReason) {
        let Some(&endpoint) = self.beside.get(&beside) else {
            return;
        };
        self.drain();
        let Some(connection) = self.connections.get_mut(endpoint) else {
            return;
        };
        let reason = match (connection.stage, reason) {
            // It had to tell us what was sent before.
            (_, EndReason::PeerGone(_)) if connection.is_closed_by_peer => EndReason::ClosedByPeer,
            (Stage::Closing, EndReason::ClosedByPeer) => EndReason::Closed,
            (Stage::Open | Stage::Closing, reason) => reason,
            (_, EndReason::ClosedByPeer) => EndReason::Unreachable(
                "the peer closed it before its queue pair was connected".into(),
            ),
            (_, reason) => reason,
        };
        self.end(endpoint, reason);
    }
}
