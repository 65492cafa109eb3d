//! Connections of sessions: who they are of, what is lost with one, and the next one.
//!
//! - LX-1 who connects says first which session it is for, how often it connected for it, and what it has
//!   (`Hello`); the other answers (`Welcome`). Nothing else leaves before. A connection that is not newer
//!   than the one that a session has is closed.
//! - LX-2 a session that one side does not know, or that an earlier life of it knew, begins anew: what had
//!   left is not sent again, but for calls that may have their effect twice.

use super::hello::Hello;
use super::notice::{CallError, LostReason, Notice, Peer};
use super::options::ns;
use super::packet::{PROTOCOL_VERSION, Packet, PacketKind};
use super::sending::Pushed;
use super::session::Session;
use super::{Amount, Protocol, Role};
use crate::endpoint::{Address, Endpoint};
use crate::request::WorkRequest;
use crate::transport::{ConnectError, Transport};
use std::collections::HashSet;

impl<T: Transport> Protocol<T> {
    /// Begins a session with the end at `to`; [`Notice::Up`] follows, or [`Notice::Lost`]. Calls and
    /// messages are taken at once.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn connect(&mut self, to: &Address) -> Result<Peer, ConnectError> {
        self.last_session += 1;
        let key = (self.options.epoch, self.last_session);
        let session = Session::new(key, Some(to.clone()), &self.options, self.now_ns);
        let max = self.transport.limits().max_endpoints;
        let place = self.sessions.insert(|_| session);
        let peer = Peer(place.ok_or(ConnectError::TooMany { max })?);
        if let Err(error) = self.dial(peer) {
            self.sessions.remove(peer.0);
            return Err(error);
        }
        Ok(peer)
    }

    /// Ends a session; the peer is told. [`Notice::Lost`] follows, after all that was under way.
    pub fn end(&mut self, peer: Peer) {
        let session = self.sessions.get(peer.0);
        if let Some(endpoint) = session.and_then(|session| session.endpoint) {
            self.say_bye(endpoint);
        }
        self.lose(peer, LostReason::Ended);
    }

    /// Nothing more is said on a connection than that its session is over.
    pub(super) fn say_bye(&mut self, endpoint: Endpoint) {
        let bye = Packet::new(PacketKind::Bye, 0).encode(&[]);
        // A peer that cannot be told finds out when it connects again.
        let _outcome = self.transport.post(endpoint, WorkRequest::Send(bye), None);
        self.transport.close(endpoint);
    }

    pub(super) fn dial(&mut self, peer: Peer) -> Result<(), ConnectError> {
        let Some(session) = self.sessions.get_mut(peer.0) else {
            return Ok(());
        };
        let Some(address) = session.address.clone() else {
            return Ok(());
        };
        self.counts.connections += 1;
        session.attempt += 1;
        session.dialled_ns = self.now_ns;
        let endpoint = self.transport.connect(&address)?;
        session.endpoint = Some(endpoint);
        let hello = self.hello(peer);
        self.set_role(endpoint, Some(Role::Session(peer)));
        self.say_hello(endpoint, PacketKind::Hello, PROTOCOL_VERSION, 0, hello);
        let limit_ns = ns(self.options.resume.min(self.options.greeting));
        self.is_due_at(self.now_ns.saturating_add(limit_ns));
        Ok(())
    }

    fn hello(&mut self, peer: Peer) -> Hello {
        let epoch = self.options.epoch;
        let Some(session) = self.sessions.get_mut(peer.0) else {
            return Hello::default();
        };
        let (received, may) = session.receiving.tell();
        Hello {
            epoch,
            peer_epoch: session.their_epoch,
            session: session.key.1,
            attempt: session.attempt,
            received,
            messages: may.messages,
            bytes: may.bytes,
        }
    }

    fn say_hello(
        &mut self,
        endpoint: Endpoint,
        kind: PacketKind,
        what: u32,
        about: u64,
        hello: Hello,
    ) {
        let mut packet = Packet::new(kind, 0);
        (packet.what, packet.about) = (what, about);
        let request = WorkRequest::Send(packet.encode(&hello.encode()));
        if self.transport.post(endpoint, request, None).is_err() {
            // It has ended already, or takes no word: its end is told.
            self.transport.close(endpoint);
        }
    }

    /// A connection whose peer has not said yet who it is says something (LX-1).
    pub(super) fn stranger_says(&mut self, endpoint: Endpoint, message: &[u8]) {
        let said = Packet::decode(message).and_then(|(packet, begin)| {
            let hello = Hello::decode(packet.kind, &message[begin..])?;
            Ok((packet, hello))
        });
        match said {
            Ok((packet, hello))
                if packet.kind == PacketKind::Hello && packet.what == PROTOCOL_VERSION =>
            {
                self.greet(endpoint, hello);
            }
            _ => self.turn_away(endpoint),
        }
    }

    pub(super) fn turn_away(&mut self, endpoint: Endpoint) {
        self.counts.turned_away += 1;
        self.set_role(endpoint, Some(Role::Left));
        self.transport.close(endpoint);
    }

    fn greet(&mut self, endpoint: Endpoint, hello: Hello) {
        let key = (hello.epoch, hello.session);
        let known = self.keys.get(&key).copied();
        let is_of_now = [0, self.options.epoch].contains(&hello.peer_epoch);
        let peer = match known {
            Some(peer) if is_of_now => peer,
            Some(_) => return self.turn_away(endpoint),
            None => {
                let mut session = Session::new(key, None, &self.options, self.now_ns);
                session.their_epoch = hello.epoch;
                let Some(place) = self.sessions.insert(|_| session) else {
                    return self.turn_away(endpoint);
                };
                self.keys.insert(key, Peer(place));
                Peer(place)
            }
        };
        let Some(session) = self.sessions.get_mut(peer.0) else {
            return;
        };
        if session.over.is_some() || known.is_some() && hello.attempt <= session.attempt {
            return self.turn_away(endpoint);
        }
        session.attempt = hello.attempt;
        if let Some(old) = session.endpoint.take() {
            // The peer has given it up, and this end has not heard of it.
            self.set_role(old, Some(Role::Left));
            self.transport.close(old);
            self.came_down(peer, "the peer connected anew".into());
        }
        self.set_role(endpoint, Some(Role::Session(peer)));
        if let Some(session) = self.sessions.get_mut(peer.0) {
            session.endpoint = Some(endpoint);
        }
        let welcome = self.hello(peer);
        let about = u64::from(known.is_some());
        self.say_hello(
            endpoint,
            PacketKind::Welcome,
            PROTOCOL_VERSION,
            about,
            welcome,
        );
        // What a session that begins anew has was said to an earlier life.
        let received = if known.is_some() { hello.received } else { 0 };
        self.came_up(peer, Hello { received, ..hello });
    }

    /// The answer to a `Hello` of this end (LX-2).
    pub(super) fn is_welcome(&mut self, peer: Peer, packet: Packet, welcome: Hello) {
        let Some(session) = self.sessions.get_mut(peer.0) else {
            return;
        };
        let is_resumed = packet.about == 1 && welcome.epoch == session.their_epoch;
        let is_first = session.their_epoch == 0;
        session.their_epoch = welcome.epoch;
        if !is_resumed && !is_first {
            self.begin_anew(peer);
        }
        self.came_up(peer, welcome);
    }

    /// The peer has forgotten the session.
    fn begin_anew(&mut self, peer: Peer) {
        let options = self.options;
        let Some(session) = self.sessions.get_mut(peer.0) else {
            return;
        };
        session.expect_anew(&options);
        let (unsent, messages_lost) = session.sending.begin_anew(Session::FIRST);
        // What had left may be forgotten; what had not goes to the new one, and what may go twice.
        let is_unsent: HashSet<u64> = unsent.iter().map(|one| one.about).collect();
        let mut left: Vec<u64> = session.calls.keys().copied().collect();
        left.retain(|number| !is_unsent.contains(number));
        left.sort_unstable();
        let mut again = Vec::new();
        let mut failed = Vec::new();
        for number in left {
            let pending = session.calls.get_mut(&number);
            match pending.and_then(|pending| {
                // Its place is another's now.
                pending.place = 0;
                Some((pending.what, pending.again.clone()?))
            }) {
                None => failed.push(number),
                Some((what, body)) => again.push(Pushed {
                    kind: PacketKind::Call,
                    what,
                    about: number,
                    body,
                    releases: 0,
                }),
            }
        }
        for pushed in again.into_iter().chain(unsent) {
            let number = pushed.about;
            let place = session.sending.push(pushed);
            if let Some(pending) = session.calls.get_mut(&number) {
                pending.place = place;
            }
        }
        self.drop_lent(peer);
        for number in failed {
            self.abandon(peer, number, |pending, waited, _| CallError::Restarted {
                what: pending.what,
                from: peer,
                waited,
            });
        }
        self.tell(
            peer,
            Notice::Restarted {
                peer,
                messages_lost,
            },
        );
    }

    fn came_up(&mut self, peer: Peer, hello: Hello) {
        let back_off_ns = ns(self.options.back_off);
        let Some(session) = self.sessions.get_mut(peer.0) else {
            return;
        };
        let released = match session.sending.rewind(hello.received) {
            Ok(released) => released,
            Err(error) => return self.lose(peer, LostReason::Corrupt(error.to_string())),
        };
        session.receiving.consume(Amount {
            messages: released,
            bytes: 0,
        });
        session.sending.grant(Amount {
            messages: hello.messages,
            bytes: hello.bytes,
        });
        session.is_up = true;
        // Regions may come before the first word.
        let received = session.receiving.received();
        let early = std::mem::take(&mut session.early);
        for (place, region) in early {
            match session.lent.get_mut(&place) {
                Some(lent) if lent.region.is_none() => {
                    lent.region = Some(region);
                    self.unfetched.push_back((peer, place));
                }
                None if place > received => {
                    session.early.insert(place, region);
                }
                _ => {}
            }
        }
        session.back_off_ns = back_off_ns;
        let was_up = std::mem::replace(&mut session.was_up, true);
        let is_writable = std::mem::take(&mut session.is_awaited);
        if was_up {
            self.counts.resumed += 1;
            self.tell(peer, Notice::Resumed { peer });
        } else {
            self.tell(peer, Notice::Up { peer });
        }
        if is_writable {
            self.tell(peer, Notice::Writable { peer });
        }
        self.fetch_more();
        self.pump(peer);
    }
}
