//! What a program asks for.

use super::notice::{CallError, CallOptions, NotTaken, NotTakenReason, Notice, Peer};
use super::options::ns;
use super::packet::PacketKind;
use super::pump::{Fetching, For};
use super::sending::{Body, Pushed};
use super::session::Pending;
use super::{Amount, FetchId, Protocol, Retry, fetch::Fetch};
use crate::memory::{Access, LocalSlice, RemoteSlice, SharedBytes};
use crate::message::Message;
use crate::transport::Transport;
use crate::wire::CallId;
use std::sync::Arc;
use std::time::Duration;

impl<T: Transport> Protocol<T> {
    /// Calls: the peer gets [`Notice::Call`], and [`Notice::Reply`] follows here, once. It has its effect
    /// once at most, whatever happens to connections, unless [`Retry::Again`] is asked
    /// for.
    ///
    /// # Errors
    /// [`NotTaken`], with the payload; nothing was done then.
    pub fn call(
        &mut self,
        peer: Peer,
        what: u32,
        payload: impl Into<Message>,
        options: CallOptions,
    ) -> Result<CallId, NotTaken> {
        let number = self.last_call + 1;
        let payload = payload.into();
        let (place, body) = self.push(peer, PacketKind::Call, what, number, payload, 0)?;
        self.last_call = number;
        let limit_ns = options.limit.map(ns);
        let deadline_ns = limit_ns.map(|limit| self.now_ns.saturating_add(limit));
        if let Some(at_ns) = deadline_ns {
            self.deadlines.insert((at_ns, peer, number));
            self.is_due_at(at_ns);
        }
        let begun_ns = self.now_ns;
        if let Some(session) = self.sessions.get_mut(peer.0) {
            let pending = Pending {
                place,
                what,
                retry: options.retry,
                again: (options.retry == Retry::Again).then_some(body),
                begun_ns,
                deadline_ns,
            };
            session.calls.insert(number, pending);
        }
        self.pump(peer);
        Ok(CallId {
            epoch: self.options.epoch,
            sequence: number,
        })
    }

    /// Sends a message: the peer gets [`Notice::Message`], once, in order with the others. It is lost only
    /// together with the session, or if the peer is restarted ([`Notice::Restarted`]).
    ///
    /// # Errors
    /// [`NotTaken`], with the payload; nothing was done then.
    pub fn send(
        &mut self,
        peer: Peer,
        what: u32,
        payload: impl Into<Message>,
    ) -> Result<(), NotTaken> {
        self.push(peer, PacketKind::Message, what, 0, payload.into(), 0)?;
        self.pump(peer);
        Ok(())
    }

    /// Replies to a call. A reply is never refused as full: the call kept room for it.
    ///
    /// # Errors
    /// [`NotTaken`], with the payload; nothing was done then.
    pub fn reply(
        &mut self,
        peer: Peer,
        call: CallId,
        payload: impl Into<Message>,
    ) -> Result<(), NotTaken> {
        let payload = payload.into();
        let refuse = |refusal, payload| Err(NotTaken { refusal, payload });
        let Some(session) = self.sessions.get_mut(peer.0) else {
            return refuse(NotTakenReason::NoPeer { peer }, payload);
        };
        let served = session.served.get(&call.sequence).copied();
        let served = served.filter(|served| served.is_told && call.epoch == session.their_epoch);
        let Some(served) = served else {
            return refuse(NotTakenReason::NoCall { peer, call }, payload);
        };
        if served.is_cancelled {
            session.served.remove(&call.sequence);
            session.receiving.consume(Amount::one(0));
            self.ack(peer);
            return Ok(());
        }
        // A reply of any length may go; what is too long leaves the call as it was.
        self.push(peer, PacketKind::Reply, 0, call.sequence, payload, 1)?;
        if let Some(session) = self.sessions.get_mut(peer.0) {
            session.served.remove(&call.sequence);
        }
        self.pump(peer);
        Ok(())
    }

    /// Gives a call up. [`Notice::Reply`] follows, with [`CallError::Cancelled`], or with the reply if it
    /// has come already. The peer is told, if the call had left.
    pub fn cancel(&mut self, peer: Peer, call: CallId) {
        self.abandon(peer, call.sequence, |pending, _, has_left| {
            CallError::Cancelled {
                what: pending.what,
                from: peer,
                has_left,
            }
        });
    }

    /// Reads a part of a peer's region, in chunks, over as many connections as it takes.
    /// [`Notice::Fetched`] follows, once; `to` is not written after it.
    ///
    /// # Errors
    /// [`NotTakenReason::NoPeer`], or [`NotTakenReason::TooLong`] if the two are not as long as each other.
    pub fn fetch(
        &mut self,
        peer: Peer,
        from: RemoteSlice,
        to: LocalSlice,
    ) -> Result<FetchId, NotTakenReason> {
        let session = self.sessions.get_mut(peer.0);
        if session.is_none_or(|session| session.over.is_some()) {
            return Err(NotTakenReason::NoPeer { peer });
        }
        if from.len() != to.len() as u64 {
            return Err(NotTakenReason::TooLong {
                bytes: from.len(),
                max: to.len() as u64,
            });
        }
        let fetch = Fetch::new(from, to, &self.options.thresholds);
        Ok(FetchId(self.begin_fetch(peer, fetch, For::Program)))
    }

    /// Gives a fetch up. [`Notice::Fetched`] follows.
    pub fn cancel_fetch(&mut self, fetch: FetchId) {
        if let Some(Fetching {
            fetch: state,
            why,
            for_whom: For::Program,
            ..
        }) = self.fetches.get_mut(&fetch.0)
        {
            state.give_up();
            why.get_or_insert(super::FetchError::Cancelled);
            self.settle_fetch(fetch.0);
        }
    }

    /// Puts an item into the stream to a peer; its place, and its payload as it is kept.
    fn push(
        &mut self,
        peer: Peer,
        kind: PacketKind,
        what: u32,
        about: u64,
        payload: Message,
        releases: u64,
    ) -> Result<(u64, Body), NotTaken> {
        let bytes = payload.len() as u64;
        let max = self.options.max_payload_bytes;
        let is_lent = payload.len() >= self.options.thresholds.rendezvous_bytes;
        let session = self.sessions.get_mut(peer.0);
        let refusal = match session.filter(|session| session.over.is_none()) {
            None => Some(NotTakenReason::NoPeer { peer }),
            Some(_) if bytes > max => Some(NotTakenReason::TooLong { bytes, max }),
            Some(session) => {
                let copied = if is_lent { 0 } else { bytes };
                let has_room = kind == PacketKind::Reply || session.sending.has_room(copied);
                session.is_awaited |= !has_room;
                let (sent, granted) = session.sending.credit();
                (!has_room).then_some(NotTakenReason::Full {
                    peer,
                    sent,
                    granted,
                    bytes: copied,
                })
            }
        };
        if let Some(refusal) = refusal {
            return Err(NotTaken { refusal, payload });
        }
        let body = if is_lent {
            let memory = Arc::new(SharedBytes::new(payload.clone().into_bytes()));
            match self.transport.register(memory, Access::READ) {
                Ok(region) => Body::Lent(region),
                Err(error) => {
                    let refusal = NotTakenReason::Register(error.to_string());
                    return Err(NotTaken { refusal, payload });
                }
            }
        } else {
            Body::Bytes(payload)
        };
        let pushed = Pushed {
            kind,
            what,
            about,
            body: body.clone(),
            releases,
        };
        let session = self.sessions.get_mut(peer.0);
        let place = session.map_or(0, |session| session.sending.push(pushed));
        Ok((place, body))
    }

    /// Ends a call here: with an error that `why` makes of it, how long it waited, and whether it had
    /// left.
    pub(super) fn abandon(
        &mut self,
        peer: Peer,
        number: u64,
        why: impl FnOnce(&Pending, Duration, bool) -> CallError,
    ) {
        let now_ns = self.now_ns;
        let Some(session) = self.sessions.get_mut(peer.0) else {
            return;
        };
        let Some(pending) = session.calls.remove(&number) else {
            return;
        };
        let has_left = !session.sending.give_up(pending.place, session.is_up);
        if has_left && session.over.is_none() {
            session.sending.push(Pushed {
                kind: PacketKind::Cancel,
                what: 0,
                about: number,
                body: Body::Bytes(Message::EMPTY),
                releases: 0,
            });
        }
        if let Some(at_ns) = pending.deadline_ns {
            self.deadlines.remove(&(at_ns, peer, number));
        }
        let waited = Duration::from_nanos(now_ns.saturating_sub(pending.begun_ns));
        let error = why(&pending, waited, has_left);
        self.tell_reply(peer, number, Err(error));
        self.pump(peer);
    }

    pub(super) fn tell_reply(
        &mut self,
        peer: Peer,
        number: u64,
        outcome: Result<Message, CallError>,
    ) {
        let call = CallId {
            epoch: self.options.epoch,
            sequence: number,
        };
        let notice = Notice::Reply {
            peer,
            call,
            outcome,
        };
        self.tell(peer, notice);
    }
}
