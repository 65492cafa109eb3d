//! What is lost with a connection, and what the time has come for.
//!
//! - LX-3 a session whose connection is lost keeps all that it has, and connects again after a pause that
//!   doubles, until it was down for too long. Then everything that was asked of it fails, once.

use super::notice::{CallError, FetchError, LostReason, Notice, Peer, Retry};
use super::options::ns;
use super::pump::For;
use super::{Protocol, Role};
use crate::endpoint::Endpoint;
use crate::event::EndReason;
use crate::transport::Transport;
use std::time::Duration;

impl<T: Transport> Protocol<T> {
    /// A connection of the transport is over.
    pub(super) fn ended(&mut self, endpoint: Endpoint, reason: EndReason) {
        let role = self.role(endpoint);
        self.set_role(endpoint, None);
        let Some(Role::Session(peer)) = role else {
            return;
        };
        let Some(session) = self.sessions.get_mut(peer.0) else {
            return;
        };
        if let Some(why) = session.over.take() {
            session.cut();
            return self.settle_lost(peer, why);
        }
        let is_hopeless = matches!(reason, EndReason::NotAdmitted(_));
        self.came_down(peer, reason.to_string());
        if is_hopeless {
            self.is_unreachable(peer, Duration::ZERO);
        }
    }

    pub(super) fn came_down(&mut self, peer: Peer, reason: String) {
        let (now_ns, resume_ns) = (self.now_ns, ns(self.options.resume));
        let back_off_max = ns(self.options.back_off_max);
        let Some(session) = self.sessions.get_mut(peer.0) else {
            return;
        };
        let was_up = session.is_up;
        session.cut();
        session.last.clone_from(&reason);
        if was_up {
            session.down_since_ns = now_ns;
        }
        session.next_try_ns = now_ns.saturating_add(session.back_off_ns);
        session.back_off_ns = session.back_off_ns.saturating_mul(2).min(back_off_max);
        let next_ns = session.next_try_ns;
        let over_ns = session.down_since_ns.saturating_add(resume_ns);
        let once = session.calls.iter().filter(|(_, pending)| {
            pending.retry == Retry::Never && session.sending.has_left(pending.place)
        });
        let mut once: Vec<u64> = once.map(|(number, _)| *number).collect();
        once.sort_unstable();
        self.is_due_at(next_ns.min(over_ns));
        for number in once {
            self.abandon(peer, number, |pending, waited, _| {
                CallError::ConnectionLost {
                    what: pending.what,
                    from: peer,
                    waited,
                    reason: reason.clone(),
                }
            });
        }
        if was_up {
            self.tell(peer, Notice::Down { peer, reason });
        }
    }

    /// A session is over: at once if it has no connection, else when that has ended, and with it all that
    /// was under way on it.
    pub(super) fn lose(&mut self, peer: Peer, why: LostReason) {
        let Some(session) = self.sessions.get_mut(peer.0) else {
            return;
        };
        if session.over.is_some() {
            return;
        }
        self.keys.remove(&session.key);
        match session.endpoint {
            Some(endpoint) => {
                session.over = Some(why);
                session.is_up = false;
                self.transport.close(endpoint);
            }
            None => self.settle_lost(peer, why),
        }
    }

    fn settle_lost(&mut self, peer: Peer, why: LostReason) {
        self.drop_lent(peer);
        let mut own: Vec<u64> = Vec::new();
        for (number, fetching) in &mut self.fetches {
            if fetching.peer == peer && matches!(fetching.for_whom, For::Program) {
                fetching.fetch.give_up();
                fetching.why.get_or_insert(FetchError::Lost(why.clone()));
                own.push(*number);
            }
        }
        own.into_iter().for_each(|number| self.settle_fetch(number));
        let calls = self
            .sessions
            .get(peer.0)
            .map(|session| session.calls.keys());
        let mut calls: Vec<u64> = calls.map_or_else(Vec::new, |keys| keys.copied().collect());
        calls.sort_unstable();
        for number in calls {
            self.abandon(peer, number, |pending, waited, has_left| CallError::Lost {
                what: pending.what,
                from: peer,
                waited,
                reason: why.clone(),
                has_left,
            });
        }
        if let Some(session) = self.sessions.remove(peer.0) {
            self.keys.remove(&session.key);
        }
        self.tell(peer, Notice::Lost { peer, reason: why });
    }

    fn is_unreachable(&mut self, peer: Peer, limit: Duration) {
        let Some(session) = self.sessions.get(peer.0) else {
            return;
        };
        let down = Duration::from_nanos(self.now_ns.saturating_sub(session.down_since_ns));
        let last = session.last.clone();
        let limit = if limit.is_zero() { down } else { limit };
        self.lose(peer, LostReason::Unreachable { down, limit, last });
    }

    /// Whatever the time has come for.
    pub(super) fn serve_due(&mut self) {
        let now_ns = self.now_ns;
        self.due_ns = u64::MAX;
        let greeting_ns = ns(self.options.greeting);
        let mut silent = Vec::new();
        let mut due_ns = u64::MAX;
        for (endpoint, role) in self.roles.iter().flatten() {
            if let Role::Stranger(since_ns) = role {
                let at_ns = since_ns.saturating_add(greeting_ns);
                match now_ns >= at_ns {
                    true => silent.push(*endpoint),
                    false => due_ns = due_ns.min(at_ns),
                }
            }
        }
        self.is_due_at(due_ns);
        for endpoint in silent {
            self.turn_away(endpoint);
        }
        while let Some((at_ns, peer, number)) = self.deadlines.first().copied() {
            if now_ns < at_ns {
                self.is_due_at(at_ns);
                break;
            }
            self.deadlines.pop_first();
            let session = self.sessions.get(peer.0);
            let is_connected = session.is_some_and(|session| session.is_up);
            self.abandon(peer, number, |pending, waited, has_left| {
                CallError::TimedOut {
                    what: pending.what,
                    from: peer,
                    waited,
                    is_connected,
                    has_left,
                }
            });
        }
        let peers: Vec<Peer> = self.sessions.iter().map(|(place, _)| Peer(place)).collect();
        for peer in peers {
            self.serve_due_of(peer);
        }
    }

    fn serve_due_of(&mut self, peer: Peer) {
        let now_ns = self.now_ns;
        let (resume, greeting) = (self.options.resume, self.options.greeting);
        let Some(session) = self.sessions.get_mut(peer.0) else {
            return;
        };
        if session.over.is_some() {
            return;
        }
        if session.is_up {
            match session.ack_due_ns {
                Some(at_ns) if now_ns >= at_ns => self.ack_now(peer),
                Some(at_ns) => self.is_due_at(at_ns),
                None => {}
            }
            return;
        }
        let over_ns = session.down_since_ns.saturating_add(ns(resume));
        if now_ns >= over_ns {
            return self.is_unreachable(peer, resume);
        }
        self.is_due_at(over_ns);
        let Some(session) = self.sessions.get_mut(peer.0) else {
            return;
        };
        if session.address.is_none() {
            return;
        }
        if let Some(endpoint) = session.endpoint {
            let at_ns = session.dialled_ns.saturating_add(ns(greeting));
            if now_ns < at_ns {
                return self.is_due_at(at_ns);
            }
            self.set_role(endpoint, Some(Role::Left));
            self.transport.close(endpoint);
            return self.came_down(peer, format!("no word for {greeting:?}"));
        }
        if now_ns < session.next_try_ns {
            let at_ns = session.next_try_ns;
            return self.is_due_at(at_ns);
        }
        if let Err(error) = self.dial(peer) {
            self.came_down(peer, error.to_string());
        }
    }
}
