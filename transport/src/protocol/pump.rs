//! What leaves: packets, acknowledgements, and gets of what was lent.

use super::fetch::{Fetch, Progress};
use super::notice::{FetchError, FetchId, LostReason, Notice, Peer};
use super::options::ns;
use super::packet::{Packet, PacketKind};
use super::sending::{Body, Next, Pushed};
use super::{Protocol, session::Session};
use crate::event::Completion;
use crate::memory::{Access, HeapMemory};
use crate::message::Message;
use crate::request::{Refusal, Refused, WorkError, WorkRequest};
use crate::transport::Transport;
use std::sync::Arc;

/// A fetch that is under way.
pub(super) struct Fetching {
    pub(super) peer: Peer,
    pub(super) fetch: Fetch,
    pub(super) for_whom: For,
    /// Why it was given up.
    pub(super) why: Option<FetchError>,
}

/// Whom a fetch is for.
pub(super) enum For {
    /// The program asked for it.
    Program,
    /// A lent item, and the memory that it comes to.
    Item(Packet, Arc<HeapMemory>),
    /// A lent item of a session that is over, or began anew.
    Nobody(u64),
}

impl<T: Transport> Protocol<T> {
    /// Lets everything leave that may.
    pub(super) fn pump(&mut self, peer: Peer) {
        let fragment = self.options.thresholds.fragment_bytes;
        loop {
            let Some(session) = self.sessions.get_mut(peer.0) else {
                return;
            };
            let Some(endpoint) = session.endpoint.filter(|_| session.is_up) else {
                return;
            };
            if session.is_blocked {
                return;
            }
            let request = match session.held.take() {
                Some(held) => held,
                None if session.receiving.owes_ack_now() => ack_of(session),
                None => match session.sending.next(fragment) {
                    Some(Next::Packet(message)) => WorkRequest::Send(message),
                    Some(Next::Control(message)) => WorkRequest::Control(message),
                    None => break,
                },
            };
            match self.transport.post(endpoint, request, None) {
                Ok(()) => {}
                Err(Refused {
                    refusal: Refusal::Full { .. },
                    request,
                }) => {
                    session.held = Some(request);
                    session.is_blocked = true;
                    return;
                }
                // Its end is on the way.
                Err(Refused {
                    refusal: Refusal::NotConnected { .. },
                    ..
                }) => return,
                Err(Refused { refusal, .. }) => {
                    let why = LostReason::Corrupt(format!("its transport refused: {refusal}"));
                    return self.lose(peer, why);
                }
            }
        }
        self.pump_fetches(peer);
        self.owe_ack(peer);
    }

    /// Tells the peer soon what came, or at once if it is much.
    pub(super) fn ack(&mut self, peer: Peer) {
        let Some(session) = self.sessions.get(peer.0) else {
            return;
        };
        if session.receiving.owes_ack_now() || session.sending.has_next() {
            self.pump(peer);
        } else {
            self.owe_ack(peer);
        }
    }

    fn owe_ack(&mut self, peer: Peer) {
        let at_ns = self.now_ns.saturating_add(ns(self.options.ack_delay));
        let Some(session) = self.sessions.get_mut(peer.0) else {
            return;
        };
        if !session.is_up || !session.receiving.owes_ack() {
            session.ack_due_ns = None;
        } else if session.ack_due_ns.is_none() {
            session.ack_due_ns = Some(at_ns);
            self.is_due_at(at_ns);
        }
    }

    /// Tells the peer what came.
    pub(super) fn ack_now(&mut self, peer: Peer) {
        let Some(session) = self.sessions.get_mut(peer.0) else {
            return;
        };
        session.ack_due_ns = None;
        if session.is_up && session.held.is_none() && session.receiving.owes_ack() {
            session.held = Some(ack_of(session));
        }
        self.pump(peer);
    }

    /// Begins the fetches of lent items, as many as there is room for.
    pub(super) fn fetch_more(&mut self) {
        while let Some((peer, place)) = self.unfetched.front().copied() {
            let session = self.sessions.get_mut(peer.0);
            let lent = session.and_then(|session| session.lent.get_mut(&place));
            let found = lent.and_then(|lent| {
                let region = lent.region.clone().filter(|_| !lent.is_fetched)?;
                Some((lent, region))
            });
            let Some((lent, region)) = found else {
                self.unfetched.pop_front();
                continue;
            };
            let after = self.fetched_bytes.saturating_add(lent.bytes);
            if after > self.options.max_fetched_bytes && self.fetched_bytes > 0 {
                return;
            }
            self.unfetched.pop_front();
            lent.is_fetched = true;
            let (packet, bytes) = (lent.packet, lent.bytes);
            if region.len() != bytes {
                let text = format!("{bytes} bytes are lent in a region of {}", region.len());
                self.lose(peer, LostReason::Corrupt(text));
                continue;
            }
            let memory = Arc::new(HeapMemory::new(bytes as usize));
            let to = match self.transport.register(memory.clone(), Access::empty()) {
                Ok(to) => to,
                Err(error) => {
                    self.lose(peer, LostReason::Corrupt(error.to_string()));
                    continue;
                }
            };
            self.fetched_bytes += bytes;
            let Ok(to) = to.slice(0..bytes as usize) else {
                unreachable!("the memory was made for it");
            };
            let fetch = Fetch::new(region.whole(), to, &self.options.thresholds);
            self.begin_fetch(peer, fetch, For::Item(packet, memory));
        }
    }

    pub(super) fn begin_fetch(&mut self, peer: Peer, fetch: Fetch, for_whom: For) -> u64 {
        self.last_fetch += 1;
        let number = self.last_fetch;
        let fetching = Fetching {
            peer,
            fetch,
            for_whom,
            why: None,
        };
        self.fetches.insert(number, fetching);
        self.pump_fetch(number);
        self.settle_fetch(number);
        number
    }

    fn pump_fetches(&mut self, peer: Peer) {
        if self.fetches.is_empty() {
            return;
        }
        let of = self.fetches.iter().filter(|(_, one)| one.peer == peer);
        let of: Vec<u64> = of.map(|(number, _)| *number).collect();
        of.into_iter().for_each(|number| self.pump_fetch(number));
    }

    fn pump_fetch(&mut self, number: u64) {
        let Some(fetching) = self.fetches.get_mut(&number) else {
            return;
        };
        let peer = fetching.peer;
        let Some(session) = self.sessions.get_mut(peer.0) else {
            return;
        };
        let Some(endpoint) = session.endpoint.filter(|_| session.is_up) else {
            return;
        };
        while !session.is_blocked
            && let Some(range) = fetching.fetch.next_chunk()
        {
            let Ok(request) = fetching.fetch.request(&range) else {
                unreachable!("a chunk is within both sides");
            };
            self.last_token += 1;
            let token = self.last_token;
            match self.transport.post(endpoint, request, Some(token)) {
                Ok(()) => {
                    self.gets.insert(token, (number, range));
                }
                Err(Refused { refusal, .. }) => {
                    fetching.fetch.came(&range, false);
                    match refusal {
                        Refusal::Full { .. } => session.is_blocked = true,
                        Refusal::NotConnected { .. } => {}
                        refusal => {
                            fetching.fetch.give_up();
                            let why = FetchError::Region(refusal.to_string());
                            fetching.why.get_or_insert(why);
                        }
                    }
                    return;
                }
            }
        }
    }

    /// A get is done, or failed.
    pub(super) fn got(&mut self, completion: Completion) {
        let Some((number, range)) = self.gets.remove(&completion.token) else {
            return;
        };
        let Some(fetching) = self.fetches.get_mut(&number) else {
            return;
        };
        fetching.fetch.came(&range, completion.outcome.is_ok());
        if let Err(WorkError::Region(why)) = completion.outcome {
            fetching.fetch.give_up();
            fetching.why.get_or_insert(FetchError::Region(why));
        }
        self.pump_fetch(number);
        self.settle_fetch(number);
    }

    /// Tells of a fetch that is over.
    pub(super) fn settle_fetch(&mut self, number: u64) {
        let progress = self.fetches.get(&number).map(|one| one.fetch.progress());
        if matches!(progress, None | Some(Progress::GoesOn)) {
            return;
        }
        let Some(Fetching {
            peer,
            fetch,
            for_whom,
            why,
        }) = self.fetches.remove(&number)
        else {
            return;
        };
        let is_done = progress == Some(Progress::Done);
        let bytes = fetch.bytes();
        // Its slice goes before the memory is given on.
        drop(fetch);
        match for_whom {
            For::Program => {
                let outcome = match why {
                    Some(why) if !is_done => Err(why),
                    _ => Ok(()),
                };
                let fetch = FetchId(number);
                self.tell(
                    peer,
                    Notice::Fetched {
                        peer,
                        fetch,
                        outcome,
                    },
                );
            }
            For::Nobody(bytes) => self.fetched_bytes -= bytes,
            For::Item(packet, memory) => {
                if let Some(session) = self.sessions.get_mut(peer.0) {
                    session.lent.remove(&packet.sequence);
                    session.sending.push(Pushed {
                        kind: PacketKind::Done,
                        what: 0,
                        about: packet.sequence,
                        body: Body::Bytes(Message::EMPTY),
                        releases: 0,
                    });
                }
                if is_done {
                    self.deliver(peer, packet, whole(memory), bytes);
                } else {
                    self.fetched_bytes -= bytes;
                    self.give_up_lent(peer, packet);
                }
                self.pump(peer);
            }
        }
        self.fetch_more();
    }

    /// What was lent by a peer that is lost, or began anew, comes no more.
    pub(super) fn drop_lent(&mut self, peer: Peer) {
        let mut over = Vec::new();
        for (number, fetching) in &mut self.fetches {
            if fetching.peer == peer && matches!(fetching.for_whom, For::Item(..)) {
                fetching.for_whom = For::Nobody(fetching.fetch.bytes());
                fetching.fetch.give_up();
                over.push(*number);
            }
        }
        self.unfetched.retain(|(of, _)| *of != peer);
        over.into_iter()
            .for_each(|number| self.settle_fetch(number));
    }
}

/// What was fetched, without a copy if nobody else has it any more.
fn whole(memory: Arc<HeapMemory>) -> Message {
    match Arc::try_unwrap(memory) {
        Ok(memory) => memory.into_bytes().into(),
        Err(memory) => {
            let memory: Arc<dyn crate::memory::Memory> = memory;
            let mut bytes = vec![0; memory.len()];
            match memory.read(0, &mut bytes) {
                Ok(()) => bytes.into(),
                Err(error) => unreachable!("all of it: {error}"),
            }
        }
    }
}

fn ack_of(session: &mut Session) -> WorkRequest {
    session.ack_due_ns = None;
    let (received, may) = session.receiving.tell();
    let mut packet = Packet::new(PacketKind::Ack, received);
    packet.about = may.messages;
    WorkRequest::Send(packet.encode(&may.bytes.to_le_bytes()))
}
