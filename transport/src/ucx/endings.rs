//! Connections end.

use super::UcxTransport;
use super::connection::{Behind, Grant, Stage, Waiting};
use super::control::Word;
use super::sys::Posted;
use super::what::{Task, What};
use crate::endpoint::Endpoint;
use crate::event::{EndReason, Event};
use crate::request::{Token, WorkError};
use crate::transport::Transport;

impl UcxTransport {
    /// It was closed here, and nothing is under way: puts arrive, then the peer is told.
    pub(super) fn finish_and_leave(&mut self, of: Endpoint) {
        let Some(connection) = self.connections.get_mut(of) else {
            return;
        };
        let (true, Some((_, ep))) = (connection.has_put, connection.peer) else {
            return self.say_bye(of);
        };
        connection.has_put = false;
        let slot = self.worker.take_slot();
        self.worker.slot(slot).what = What::Of(of, Task::Close);
        let posted: Posted = self.worker.flush(ep, slot);
        self.begun(slot, posted);
    }

    /// All that was sent is with UCX, and all that was put with the peer (UX-9).
    pub(super) fn say_bye(&mut self, of: Endpoint) {
        let Some(connection) = self.connections.get_mut(of) else {
            return;
        };
        let frames = connection.frames;
        let inner = connection.inner;
        self.say(of, &Word::Bye { frames });
        if let Some(transport) = &mut self.inner {
            transport.close(inner);
        }
        self.finish(of, EndReason::Closed);
    }

    /// The peer said bye, and all that it sent was told.
    pub(super) fn peer_closed(&mut self, of: Endpoint) {
        self.break_off(of, EndReason::ClosedByPeer);
    }

    /// The connection beside it is over.
    pub(super) fn inner_ended(&mut self, of: Endpoint, reason: EndReason) {
        let Some(connection) = self.connections.get_mut(of) else {
            return;
        };
        match (&connection.stage, reason) {
            (Stage::Ending(_), _) => {}
            // What it sent comes, or UCX tells of its death.
            (_, EndReason::ClosedByPeer) if connection.bye.is_some() => {}
            (Stage::Greeting, reason) => self.break_off(of, reason),
            (_, EndReason::ClosedByPeer) => {
                let reason = "it went without waiting for what it had sent";
                self.break_off(of, EndReason::PeerGone(reason.into()));
            }
            (_, reason) => self.peer_failed_of(of, reason),
        }
    }

    /// The peer of a connection is gone.
    pub(super) fn peer_failed_of(&mut self, of: Endpoint, reason: EndReason) {
        match self.connections.get(of).and_then(|found| found.peer) {
            Some((peer, _)) => self.peer_failed(peer, &reason),
            None => self.break_off(of, reason),
        }
    }

    /// A peer is gone, and all connections with it are over.
    pub(super) fn peer_failed(&mut self, peer: Endpoint, reason: &EndReason) {
        let Some(comes_back) = self.peers.give_up(peer, &mut self.worker) else {
            return;
        };
        let with_it = self
            .connections
            .names()
            .filter(|(_, found)| found.peer.is_some_and(|(of, _)| of == peer));
        let with_it: Vec<Endpoint> = with_it.map(|(name, _)| name).collect();
        for of in with_it {
            self.leave(of, reason.clone(), comes_back);
        }
    }

    /// A connection is over, whatever is under way; its peer is not.
    pub(super) fn break_off(&mut self, of: Endpoint, reason: EndReason) {
        self.leave(of, reason, false);
    }

    /// Ends a connection, when UCX has let go of what is under way if it does so by itself, else at once.
    fn leave(&mut self, of: Endpoint, reason: EndReason, comes_back: bool) {
        let Some(connection) = self.connections.get_mut(of) else {
            return;
        };
        if !matches!(connection.stage, Stage::Ending(_)) {
            let mut tokens: Vec<Token> = Vec::new();
            for waiting in connection.waiting.drain(..) {
                tokens.extend(token_of(waiting));
            }
            for (_, token) in connection.said.drain(..) {
                tokens.extend(token);
            }
            let is_known = connection.is_known;
            connection.stage = Stage::Ending(reason.clone());
            let inner = connection.inner;
            if let Some(transport) = &mut self.inner {
                transport.close(inner);
            }
            if is_known {
                self.fail(of, tokens, &reason);
            }
        }
        let is_over = self
            .connections
            .get(of)
            .is_some_and(|found| !comes_back || found.active == 0);
        if is_over {
            self.ended(of);
        }
    }

    fn fail(&mut self, of: Endpoint, tokens: Vec<Token>, reason: &EndReason) {
        for token in tokens {
            self.complete(of, token, Err(WorkError::Ended(reason.clone())));
        }
    }

    /// A connection that failed is over now.
    pub(super) fn ended(&mut self, of: Endpoint) {
        if let Some(connection) = self.connections.get(of)
            && let Stage::Ending(reason) = &connection.stage
        {
            let reason = reason.clone();
            self.finish(of, reason);
        }
    }

    /// Forgets a connection. What UCX still has of it is completed now, and kept until UCX lets go.
    pub(super) fn finish(&mut self, of: Endpoint, reason: EndReason) {
        let Some(connection) = self.connections.get_mut(of) else {
            return;
        };
        let is_known = connection.is_known;
        let mut tokens = Vec::new();
        if connection.active > 0 {
            for slot in self.worker.slots() {
                if let What::Of(found, task) = slot.what
                    && found == of
                {
                    tokens.extend(task.token());
                    slot.what = What::OfNobody;
                }
            }
        }
        if let Some(connection) = self.connections.get_mut(of) {
            for (offer, token) in connection.offers.drain() {
                tokens.extend(token);
                self.worker.unmap(offer);
            }
        }
        self.fail(of, tokens, &reason);
        let Some(connection) = self.connections.remove(of) else {
            return;
        };
        self.by_inner.remove(&connection.inner);
        for grant in connection.grants.into_values() {
            if let Grant::Here(region) = grant {
                self.worker.forget(region.key);
            }
        }
        self.exports.forget(of, &mut self.worker);
        if let Some((peer, _)) = connection.peer {
            self.peers.leave(peer, &mut self.worker);
        }
        if is_known {
            let endpoint = of;
            self.events.push_back(Event::Ended { endpoint, reason });
        }
    }

    /// Completes as cancelled what waits under `token`.
    pub(super) fn cancel_waiting(&mut self, of: Endpoint, token: Token) {
        let Some(connection) = self.connections.get_mut(of) else {
            return;
        };
        let before = connection.waiting.len();
        connection.waiting.retain(|waiting| match waiting {
            Waiting::Request(_, found) => *found != Some(token),
            Waiting::Barrier(_) => true,
        });
        for _ in connection.waiting.len()..before {
            self.complete(of, token, Err(WorkError::Cancelled));
        }
        self.goes_on(of);
    }
}

fn token_of(waiting: Waiting) -> Option<Token> {
    match waiting {
        Waiting::Request(_, token) | Waiting::Barrier(Behind::Flush(token)) => token,
        Waiting::Barrier(_) => None,
    }
}
