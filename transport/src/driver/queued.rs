//! A transport whose events wait in a queue while a helper turns it.

use super::Drive;
use crate::endpoint::Endpoint;
use crate::event::Event;
use crate::transport::Transport;
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::time::Duration;

/// Events that wait at most; nothing more is asked of the transport then.
const MAX_EVENTS: usize = 1024;

/// See the module's page.
pub struct Queued<T> {
    transport: T,
    events: VecDeque<Event>,
    connected: BTreeSet<Endpoint>,
}

impl<T: Transport> Queued<T> {
    /// Over `transport`, whose events are from now on asked for here alone.
    pub fn new(transport: T) -> Self {
        Self {
            transport,
            events: VecDeque::new(),
            connected: BTreeSet::new(),
        }
    }

    /// The transport, to post to.
    pub fn transport(&mut self) -> &mut T {
        &mut self.transport
    }

    /// The next thing that happened, if anything did.
    pub fn poll(&mut self) -> Option<Event> {
        match self.events.pop_front() {
            Some(event) => Some(event),
            None => self.ask(),
        }
    }

    fn ask(&mut self) -> Option<Event> {
        let event = self.transport.poll()?;
        match &event {
            Event::Accepted { endpoint } | Event::Connected { endpoint } => {
                self.connected.insert(*endpoint);
            }
            Event::Ended { endpoint, .. } => {
                self.connected.remove(endpoint);
            }
            _ => {}
        }
        Some(event)
    }
}

impl<T: Transport + 'static> Drive for Queued<T> {
    fn progress(&mut self) -> bool {
        if self.events.len() >= MAX_EVENTS {
            return false;
        }
        let event = self.ask();
        let is_one = event.is_some();
        self.events.extend(event);
        is_one
    }

    fn advance(&mut self, now_ns: u64) {
        self.transport.advance(now_ns);
    }

    fn is_needed(&self) -> bool {
        !self.connected.is_empty()
    }

    fn wait(&mut self, limit: Option<Duration>) -> io::Result<()> {
        match self.events.is_empty() {
            true => self.transport.wait(limit),
            false => Ok(()),
        }
    }
}
