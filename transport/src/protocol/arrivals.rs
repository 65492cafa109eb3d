//! What comes from the transport.

use super::credit::Amount;
use super::hello::Hello;
use super::notice::{LostReason, Notice, Peer};
use super::packet::{self, Packet, PacketKind};
use super::receiving::Came;
use super::session::{Lent, Ordered, Served};
use super::{Protocol, Role};
use crate::endpoint::Endpoint;
use crate::event::Event;
use crate::message::Message;
use crate::transport::Transport;
use crate::wire::CallId;

impl<T: Transport> Protocol<T> {
    pub(super) fn serve(&mut self, event: Event) {
        match event {
            Event::Accepted { endpoint } => {
                self.set_role(endpoint, Some(Role::Stranger(self.now_ns)));
                let greeting_ns = super::options::ns(self.options.greeting);
                self.is_due_at(self.now_ns.saturating_add(greeting_ns));
            }
            Event::Message { endpoint, message } => match self.role(endpoint) {
                Some(Role::Session(peer)) => self.peer_says(peer, message),
                Some(Role::Stranger(_)) => self.stranger_says(endpoint, &message),
                Some(Role::Left) | None => {}
            },
            Event::Control { endpoint, message } => self.is_controlled(endpoint, &message),
            Event::Completed(completion) => self.got(completion),
            Event::Writable { endpoint } => {
                if let Some(Role::Session(peer)) = self.role(endpoint) {
                    if let Some(session) = self.sessions.get_mut(peer.0) {
                        session.is_blocked = false;
                    }
                    self.pump(peer);
                }
            }
            Event::Ended { endpoint, reason } => self.ended(endpoint, reason),
            Event::Connected { .. } | Event::Signal { .. } => {}
        }
    }

    /// The peer broke the protocol: nothing that it says can be relied on.
    pub(super) fn is_corrupt(&mut self, peer: Peer, error: &dyn std::error::Error) {
        self.lose(peer, LostReason::Corrupt(error.to_string()));
    }

    fn peer_says(&mut self, peer: Peer, message: Message) {
        let (packet, begin) = match Packet::decode(&message) {
            Ok(found) => found,
            Err(error) => return self.is_corrupt(peer, &error),
        };
        let Some(session) = self.sessions.get_mut(peer.0) else {
            return;
        };
        if session.over.is_some() {
            return;
        }
        if !session.is_up && !matches!(packet.kind, PacketKind::Welcome | PacketKind::Bye) {
            return self.is_corrupt(peer, &OutOfPlace(packet.kind));
        }
        if packet.kind.is_item() || packet.kind == PacketKind::Fragment {
            let is_old = packet.sequence <= session.receiving.received();
            self.counts.duplicates += u64::from(is_old && packet.kind != PacketKind::Fragment);
            match session.receiving.take(packet, message, begin) {
                Ok(None) => {}
                Ok(Some((packet, came))) => self.item(peer, packet, came),
                Err(error) => return self.is_corrupt(peer, &error),
            }
            return self.ack(peer);
        }
        let body = &message[begin..];
        match packet.kind {
            PacketKind::Ack => match packet::ack_bytes(body) {
                Ok(bytes) => self.is_acked(peer, packet, bytes),
                Err(error) => self.is_corrupt(peer, &error),
            },
            PacketKind::Welcome => match Hello::decode(packet.kind, body) {
                Ok(welcome) if !session.is_up => self.is_welcome(peer, packet, welcome),
                Ok(_) => self.is_corrupt(peer, &OutOfPlace(packet.kind)),
                Err(error) => self.is_corrupt(peer, &error),
            },
            PacketKind::Bye => self.lose(peer, LostReason::EndedByPeer),
            kind => self.is_corrupt(peer, &OutOfPlace(kind)),
        }
    }

    fn is_controlled(&mut self, endpoint: Endpoint, message: &[u8]) {
        let Some(Role::Session(peer)) = self.role(endpoint) else {
            return;
        };
        let said = Packet::decode(message).and_then(|(packet, begin)| {
            let region = packet::region(&message[begin..])?;
            Ok((packet, region))
        });
        let (packet, region) = match said {
            Ok((packet, region)) if packet.kind == PacketKind::Region => (packet, region),
            Ok((packet, _)) => return self.is_corrupt(peer, &OutOfPlace(packet.kind)),
            Err(error) => return self.is_corrupt(peer, &error),
        };
        let place = packet.sequence;
        let max_early = 2 * self.options.window_messages as usize;
        let Some(session) = self.sessions.get_mut(peer.0) else {
            return;
        };
        let lent = session.lent.get_mut(&place);
        if let Some(lent) = lent.filter(|_| session.is_up) {
            // It may have come on an earlier connection.
            if lent.region.is_none() {
                lent.region = Some(region);
                self.unfetched.push_back((peer, place));
                self.fetch_more();
            }
        } else if place > session.receiving.received() || !session.is_up {
            session.early.insert(place, region);
            if session.early.len() > max_early + session.calls.len() {
                self.is_corrupt(peer, &OutOfPlace(packet.kind));
            }
        }
    }

    fn is_acked(&mut self, peer: Peer, ack: Packet, bytes: u64) {
        let Some(session) = self.sessions.get_mut(peer.0) else {
            return;
        };
        let released = match session.sending.ack(ack.sequence) {
            Ok(released) => released,
            Err(error) => return self.is_corrupt(peer, &error),
        };
        session.receiving.consume(Amount {
            messages: released,
            bytes: 0,
        });
        let has_more = session.sending.grant(Amount {
            messages: ack.about,
            bytes,
        });
        if has_more && std::mem::take(&mut session.is_awaited) {
            self.tell(peer, Notice::Writable { peer });
        }
        self.ack(peer);
    }

    /// An item is here, for the first and only time (RX-1).
    fn item(&mut self, peer: Peer, packet: Packet, came: Came) {
        let Some(session) = self.sessions.get_mut(peer.0) else {
            return;
        };
        match packet.kind {
            PacketKind::Call => {
                let before = session.served.insert(packet.about, Served::default());
                if before.is_some() {
                    return self.is_corrupt(peer, &OutOfPlace(packet.kind));
                }
            }
            PacketKind::Message => {
                // Those behind one whose bytes are fetched wait for it.
                let is_lent = matches!(came, Came::Lent(_));
                if is_lent || !session.order.is_empty() {
                    let payload = match &came {
                        Came::Bytes(payload) => Some((payload.clone(), 0)),
                        Came::Lent(_) => None,
                    };
                    let bytes = payload.as_ref().map_or(0, |(payload, _)| payload.len());
                    session.order.push_back(Ordered {
                        place: packet.sequence,
                        what: packet.what,
                        payload,
                        charge: Amount::one(bytes as u64),
                    });
                    if !is_lent {
                        return;
                    }
                }
            }
            PacketKind::Cancel => {
                let told = session.served.get_mut(&packet.about).map(|served| {
                    served.is_cancelled = true;
                    served.is_told
                });
                if told == Some(true) {
                    let call = CallId {
                        epoch: session.their_epoch,
                        sequence: packet.about,
                    };
                    self.tell(peer, Notice::Cancelled { peer, call });
                }
                return;
            }
            PacketKind::Done => {
                let released = session.sending.done(packet.about);
                session.receiving.consume(Amount {
                    messages: released,
                    bytes: 0,
                });
                return;
            }
            _ => {}
        }
        match came {
            Came::Bytes(payload) => self.deliver(peer, packet, payload, 0),
            Came::Lent(bytes) => {
                let region = session.early.remove(&packet.sequence);
                let is_there = region.is_some();
                let lent = Lent {
                    packet,
                    bytes,
                    region,
                    is_fetched: false,
                };
                session.lent.insert(packet.sequence, lent);
                if is_there {
                    self.unfetched.push_back((peer, packet.sequence));
                    self.fetch_more();
                }
            }
        }
    }

    /// The bytes of an item are all here; `fetched` of them were lent.
    pub(super) fn deliver(&mut self, peer: Peer, packet: Packet, payload: Message, fetched: u64) {
        let Some(session) = self.sessions.get_mut(peer.0) else {
            self.fetched_bytes -= fetched;
            return;
        };
        let copied = if fetched > 0 { 0 } else { payload.len() as u64 };
        match packet.kind {
            PacketKind::Call => {
                let Some(served) = session.served.get_mut(&packet.about) else {
                    self.fetched_bytes -= fetched;
                    return;
                };
                if served.is_cancelled {
                    session.served.remove(&packet.about);
                    session.receiving.consume(Amount::one(copied));
                    self.fetched_bytes -= fetched;
                    return;
                }
                served.is_told = true;
                let call = CallId {
                    epoch: session.their_epoch,
                    sequence: packet.about,
                };
                let notice = Notice::Call {
                    peer,
                    call,
                    what: packet.what,
                    payload,
                };
                // Its message of credit goes back with the reply (RX-3).
                let consumes = Amount {
                    messages: 0,
                    bytes: copied,
                };
                self.tell_and_free(peer, notice, consumes, fetched);
            }
            PacketKind::Message => {
                if session.order.is_empty() {
                    let notice = Notice::Message {
                        peer,
                        what: packet.what,
                        payload,
                    };
                    return self.tell_and_free(peer, notice, Amount::one(copied), fetched);
                }
                let mut order = session.order.iter_mut();
                if let Some(ordered) = order.find(|one| one.place == packet.sequence) {
                    ordered.payload = Some((payload, fetched));
                }
                self.tell_in_order(peer);
            }
            PacketKind::Reply => {
                match session.calls.remove(&packet.about) {
                    Some(pending) => {
                        if let Some(at_ns) = pending.deadline_ns {
                            self.deadlines.remove(&(at_ns, peer, packet.about));
                        }
                        let call = CallId {
                            epoch: self.options.epoch,
                            sequence: packet.about,
                        };
                        let notice = Notice::Reply {
                            peer,
                            call,
                            outcome: Ok(payload),
                        };
                        self.tell_and_free(peer, notice, Amount::default(), fetched);
                    }
                    // Nobody waits for it any more.
                    None => self.fetched_bytes -= fetched,
                }
            }
            _ => self.fetched_bytes -= fetched,
        }
    }

    fn tell_in_order(&mut self, peer: Peer) {
        while let Some(session) = self.sessions.get_mut(peer.0) {
            if session
                .order
                .front()
                .is_none_or(|one| one.payload.is_none())
            {
                return;
            }
            let Some(Ordered {
                what,
                payload: Some((payload, fetched)),
                charge,
                ..
            }) = session.order.pop_front()
            else {
                return;
            };
            let notice = Notice::Message {
                peer,
                what,
                payload,
            };
            self.tell_and_free(peer, notice, charge, fetched);
        }
    }

    /// The bytes of a lent item will never be here: who lent them gave it up.
    pub(super) fn give_up_lent(&mut self, peer: Peer, packet: Packet) {
        let Some(session) = self.sessions.get_mut(peer.0) else {
            return;
        };
        match packet.kind {
            PacketKind::Call => {
                session.served.remove(&packet.about);
                session.receiving.consume(Amount::one(0));
            }
            PacketKind::Message => {
                session.order.retain(|one| one.place != packet.sequence);
                session.receiving.consume(Amount::one(0));
            }
            // The call waits on, for its limit or the end of the session.
            _ => {}
        }
        self.tell_in_order(peer);
    }
}

/// A packet where none of its kind may come.
#[derive(Debug, thiserror::Error)]
#[error("a packet {0:?} where none may come")]
struct OutOfPlace(PacketKind);
