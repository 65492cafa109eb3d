//! What the ends of one process share: who is there, what is on its way, what is registered.
//!
//! - LB-1 everything is under one lock, and nothing of a user's runs under it: values are dropped outside.

use super::Side;
use crate::endpoint::Endpoint;
use crate::event::EndReason;
use crate::message::Message;
use crate::regions::Regions;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Ends that can reach each other. A clone is the same network.
#[derive(Clone, Default)]
pub struct Network {
    state: Arc<Mutex<State>>,
    pub(super) regions: Regions,
}

#[derive(Default)]
pub(super) struct State {
    last_id: u64,
    pub(super) ends: HashMap<u64, End>,
    pub(super) connections: HashMap<u64, [Half; 2]>,
}

/// A transport.
pub(super) struct End {
    /// Where connections wait for it that have something for it.
    pub(super) ready: VecDeque<Side>,
    pub(super) sleeper: Arc<Sleeper>,
}

/// What one side of a connection has.
pub(super) struct Half {
    /// The transport.
    pub(super) end: u64,
    /// What it calls the connection, once it knows of it.
    pub(super) endpoint: Option<Endpoint>,
    /// What is on its way to it.
    pub(super) inbound: VecDeque<Inbound>,
    /// Messages among that.
    pub(super) messages: usize,
    /// The other side was refused for them.
    pub(super) is_awaited: bool,
}

pub(super) enum Inbound {
    Connect,
    Connected,
    Message(Message),
    Control(Message),
    Signal(u32),
    Writable,
    End(EndReason),
}

impl Inbound {
    /// Whether it is one of those whose number is limited.
    pub(super) fn is_message(&self) -> bool {
        matches!(self, Self::Message(_) | Self::Control(_))
    }
}

impl Half {
    pub(super) fn new(end: u64, endpoint: Option<Endpoint>) -> Self {
        Self {
            end,
            endpoint,
            inbound: VecDeque::new(),
            messages: 0,
            is_awaited: false,
        }
    }
}

impl State {
    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Puts something on its way to `to`; drops it if there is nobody any more.
    pub(super) fn push(&mut self, to: Side, inbound: Inbound) {
        let Some(halves) = self.connections.get_mut(&to.connection) else {
            return;
        };
        let half = &mut halves[to.half];
        let Some(end) = self.ends.get_mut(&half.end) else {
            return;
        };
        if half.inbound.is_empty() {
            end.ready.push_back(to);
        }
        half.messages += usize::from(inbound.is_message());
        half.inbound.push_back(inbound);
        end.sleeper.wake();
    }
}

impl State {
    /// Takes what was on its way to one side, which is there no more.
    pub(super) fn leave(&mut self, side: Side) -> VecDeque<Inbound> {
        let Some(halves) = self.connections.get_mut(&side.connection) else {
            return VecDeque::new();
        };
        halves[side.half].end = NOBODY;
        let inbound = std::mem::take(&mut halves[side.half].inbound);
        if halves.iter().all(|half| half.end == NOBODY) {
            self.connections.remove(&side.connection);
        }
        inbound
    }
}

/// The end of a half that was left.
const NOBODY: u64 = 0;

impl Network {
    /// One without ends.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the thread of an end sleeps.
#[derive(Default)]
pub(super) struct Sleeper {
    is_woken: Mutex<bool>,
    changed: Condvar,
}

impl Sleeper {
    pub(super) fn wake(&self) {
        *self.is_woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }

    /// Until it is woken, or was since the last time.
    pub(super) fn sleep(&self, limit: Option<Duration>) {
        let is_woken = self.is_woken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_woken = match limit {
            None => self
                .changed
                .wait_while(is_woken, |is_woken| !*is_woken)
                .unwrap_or_else(PoisonError::into_inner),
            Some(limit) => {
                self.changed
                    .wait_timeout_while(is_woken, limit, |is_woken| !*is_woken)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        };
        *is_woken = false;
    }
}
