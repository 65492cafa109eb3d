//! One connection.
//!
//! ```text
//! Dialing ---> Greeting ---> Open ---> Closing ---> over
//!                 (who connects)   (who is connected to begins here)
//! ```
//!
//! Requests may be written into the ring as soon as it is there: the memory is made by who connects.
//!
//! - XW-1 an end that sleeps sets its word (`MESSAGES`, or `ROOM` if it waits for room as well), passes a
//!   full fence, looks at its rings once more and sleeps at its sockets. An end that published a slot, or
//!   gave room back, passes a full fence, looks at the word of the peer, takes it back to `AWAKE` by an
//!   exchange and sends a byte. One of the two sees the other's store (EV-2, EV-7).
//! - XW-2 the fence and the look come with the next poll, so that many slots share them. Who publishes and
//!   never polls wakes nobody, as [`Transport`](crate::Transport) says.

use super::incoming::{Incoming, Received};
use super::lane::Lane;
use super::outgoing::Outgoing;
use super::slot::{self, Frame, Slot, inline, message};
use super::{LIMITS, socket};
use crate::endpoint::Endpoint;
use crate::event::{EndReason, Event};
use crate::message::Message;
use crate::regions::Regions;
use maser_shm::channel::PeerFault;
use maser_shm::sync::atomic::Ordering;
use std::collections::VecDeque;
use std::os::unix::net::UnixStream;

/// How an end sleeps: 0 is awake, as fresh memory is.
const AWAKE: u64 = 0;
/// It wakes for slots.
const MESSAGES: u64 = 1;
/// It wakes for slots, and for room.
const ROOM: u64 = 2;

/// Bytes of a message that is copied into the area as a whole, where it fits.
const SHORT_BYTES: usize = 4096;

/// How far a connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nobody has taken the call at the socket of this name so far.
    Dialing(String),
    /// The greeting was said.
    Greeting,
    Open,
    Closing,
}

/// See the module's page.
pub(super) struct Connection {
    pub(super) endpoint: Endpoint,
    pub(super) stage: Stage,
    pub(super) lane: Lane,
    pub(super) outgoing: Outgoing,
    incoming: Incoming,
    pub(super) socket: Option<UnixStream>,
    /// A request was refused as full.
    pub(super) is_awaited: bool,
    /// It is in the transport's list of those that have something to do.
    pub(super) is_busy: bool,
    /// It is in the transport's list of those whose peer may have to be woken.
    pub(super) is_told: bool,
    /// Slots were published since the last look at the peer's word; if not, room was given.
    has_published: bool,
    /// The own word may say that this end sleeps.
    is_armed: bool,
    /// Slots that were taken since the last look at the peer's word.
    consumed: u32,
}

impl Connection {
    pub(super) fn new(
        endpoint: Endpoint,
        stage: Stage,
        lane: Lane,
        socket: Option<UnixStream>,
    ) -> Self {
        Self {
            endpoint,
            stage,
            lane,
            outgoing: Outgoing::default(),
            incoming: Incoming::default(),
            socket,
            is_awaited: false,
            is_busy: false,
            is_told: false,
            has_published: false,
            is_armed: false,
            consumed: 0,
        }
    }

    /// Sends a message that needs one slot, if nothing waits before it; whether it has gone.
    #[inline(always)]
    pub(super) fn send_inline(&mut self, message: &Message, is_control: bool) -> bool {
        let has_gone = self.outgoing.is_empty()
            && !matches!(self.stage, Stage::Closing)
            && inline(message, is_control)
                .is_some_and(|slot| self.lane.sender.try_send(slot).is_ok());
        self.has_published |= has_gone;
        has_gone
    }

    /// Sends a message that is one fragment, if nothing waits before it and there is room; whether it has
    /// gone.
    pub(super) fn send_short(&mut self, message: &Message) -> Result<bool, EndReason> {
        if !self.outgoing.is_empty()
            || matches!(self.stage, Stage::Closing)
            || message.len() > SHORT_BYTES
            || self.lane.sender.is_full()
        {
            return Ok(false);
        }
        let area = &mut self.lane.area_out;
        if area.room(message.len()).map_err(EndReason::Corrupt)? < message.len() {
            return Ok(false);
        }
        area.write(0, message);
        area.commit(message.len());
        let slot = slot::short(message.len() as u32);
        // Refused only if the peer has left, which is seen where it is read.
        let has_gone = self.lane.sender.try_send(slot).is_ok();
        self.has_published |= has_gone;
        Ok(has_gone)
    }

    /// The message that is all of a slot and its one fragment.
    pub(super) fn short(&mut self, slot: &Slot) -> Result<Option<Message>, EndReason> {
        let Some(bytes) = slot::short_bytes(slot).filter(|_| self.incoming.is_between()) else {
            return Ok(None);
        };
        let area = &mut self.lane.area_in;
        let count = area.check(bytes).map_err(EndReason::Corrupt)?;
        let mut message = Vec::with_capacity(count);
        area.append(count, &mut message);
        area.release(count);
        Ok(Some(message.into()))
    }

    /// Whether one more request is refused as full.
    pub(super) fn is_full(&self) -> bool {
        self.outgoing.under_way() >= LIMITS.max_under_way
    }

    /// Writes what there is room for; whether that was anything.
    pub(super) fn pump(&mut self, events: &mut VecDeque<Event>) -> Result<bool, EndReason> {
        let outcome = self.outgoing.pump(&mut self.lane, self.endpoint, events);
        let has_sent = outcome.map_err(EndReason::Corrupt)?;
        self.has_published |= has_sent;
        if self.is_awaited && self.outgoing.under_way() <= LIMITS.max_under_way / 2 {
            let has_room = !self.lane.sender.is_full();
            if has_room {
                self.is_awaited = false;
                let endpoint = self.endpoint;
                events.push_back(Event::Writable { endpoint });
            }
        }
        Ok(has_sent)
    }

    /// Whether it has to be pumped again when the peer gives room.
    pub(super) fn wants_room(&self) -> bool {
        !self.outgoing.is_empty() || self.is_awaited || self.stage == Stage::Closing
    }

    /// Says that nothing more comes; whether there was room for it.
    pub(super) fn say_close(&mut self) -> bool {
        let has_gone = self.lane.sender.try_send(Frame::Close.to_slot()).is_ok();
        self.has_published |= has_gone;
        has_gone
    }

    /// Says that the connection is taken; the ring is fresh.
    pub(super) fn say_welcome(&mut self) {
        self.has_published = self.lane.sender.try_send(Frame::Welcome.to_slot()).is_ok();
    }

    /// The next slot, if one is there.
    #[inline(always)]
    pub(super) fn take(&mut self) -> Option<Slot> {
        if !self.lane.receiver.is_ready() {
            return None;
        }
        let slot = self.lane.receiver.try_recv().ok()?;
        self.consumed += 1;
        if self.is_armed {
            self.disarm();
        }
        Some(slot)
    }

    /// The message that is all of a slot.
    #[inline(always)]
    pub(super) fn message(&self, slot: &Slot) -> Option<Message> {
        match self.incoming.is_between() {
            true => message(slot),
            false => None,
        }
    }

    /// What a slot gives that is more than a message.
    ///
    /// # Errors
    /// The connection is over.
    pub(super) fn serve(&mut self, slot: &Slot, regions: &Regions) -> Result<Received, EndReason> {
        let (lane, outgoing) = (&mut self.lane, &mut self.outgoing);
        self.incoming
            .serve(slot, self.endpoint, lane, outgoing, regions)
    }

    /// Why it is over, if its ring is closed and empty.
    pub(super) fn end_of_ring(&self) -> Option<EndReason> {
        let receiver = &self.lane.receiver;
        let is_over = receiver.is_closed() && !receiver.is_ready();
        is_over.then(|| match receiver.fault() {
            None => EndReason::PeerGone("its end went without a word".into()),
            Some(PeerFault::Died) => EndReason::PeerGone("its process ended".into()),
            Some(fault) => EndReason::Corrupt(fault.to_string()),
        })
    }

    /// The peer's process, or its transport, is gone; what it had published still comes.
    pub(super) fn peer_died(&mut self) {
        self.lane.receiver.peer_died();
        self.lane.sender.peer_died();
    }

    /// All that is under way ends with it.
    pub(super) fn end(&mut self, reason: &EndReason, events: &mut VecDeque<Event>) {
        let answered = self.incoming.end();
        self.outgoing.end(self.endpoint, reason, answered, events);
    }

    /// Whether so much was taken, and not told, that the peer may go on.
    #[inline(always)]
    pub(super) fn has_given_room(&self, least: u32) -> bool {
        self.consumed >= least
    }

    /// Announces that this end is about to sleep (XW-1); the fence follows.
    pub(super) fn arm(&mut self) {
        let how = if self.wants_room() { ROOM } else { MESSAGES };
        if self.lane.own_sleep.load(Ordering::Relaxed) != how {
            self.lane.own_sleep.store(how, Ordering::Relaxed);
        }
        self.is_armed = true;
    }

    /// Takes the announcement back.
    pub(super) fn disarm(&mut self) {
        self.is_armed = false;
        if self.lane.own_sleep.load(Ordering::Relaxed) != AWAKE {
            self.lane.own_sleep.store(AWAKE, Ordering::Relaxed);
        }
    }

    /// Whether there is something to do for which no request needs to be written, after the fence (XW-1).
    pub(super) fn has_work(&mut self) -> bool {
        let under_way = self.outgoing.under_way();
        let goes_on = match self.stage {
            Stage::Closing => under_way == 0,
            _ => self.is_awaited && under_way <= LIMITS.max_under_way / 2,
        };
        self.lane.receiver.is_ready()
            || self.lane.receiver.is_closed()
            || (goes_on && !self.lane.sender.is_full())
    }

    /// Wakes the peer if it sleeps for what happened since the last time, after a fence (XW-1).
    #[inline(always)]
    pub(super) fn wake_peer(&mut self) {
        self.consumed = 0;
        let least = if std::mem::take(&mut self.has_published) {
            MESSAGES
        } else {
            ROOM
        };
        let how = self.lane.peer_sleep.load(Ordering::Relaxed);
        if how >= least {
            self.wake(how);
        }
    }

    #[cold]
    fn wake(&self, how: u64) {
        let word = &self.lane.peer_sleep;
        let exchanged = word.compare_exchange(how, AWAKE, Ordering::AcqRel, Ordering::Relaxed);
        if let (Ok(_), Some(socket)) = (exchanged, &self.socket) {
            socket::wake(socket);
        }
    }
}
