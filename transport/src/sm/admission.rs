//! How a connection begins: whom this end calls, and who calls it.
//!
//! - AD-1 of a stranger no more is read than its greeting, and there are only so many strangers at once;
//!   who says nothing is turned away after a limit.

use super::connection::{Connection, Stage};
use super::lane::Lane;
use super::socket::{self, Attempt, Greeting};
use super::{LIMITS, STRANGER, SmTransport};
use crate::endpoint::Endpoint;
use crate::event::{EndReason, Event};
use maser_shm::control::ControlMemory;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

/// Strangers that may be there at once (AD-1).
const MAX_STRANGERS: usize = 64;
/// Who is accepted at one look.
const ACCEPTS_PER_LOOK: usize = 16;

/// Who connected and has not greeted.
#[derive(Default)]
pub(super) struct Strangers {
    /// And since when they are here.
    all: HashMap<u64, (UnixStream, u64)>,
    last: u64,
}

impl Strangers {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// When the first of them came.
    pub(super) fn since_ns(&self) -> Option<u64> {
        self.all.values().map(|(_, since_ns)| *since_ns).min()
    }
}

impl SmTransport {
    /// Takes calls.
    pub(super) fn accept(&mut self) {
        for _ in 0..ACCEPTS_PER_LOOK {
            if self.strangers.all.len() >= MAX_STRANGERS {
                return;
            }
            // What the system refuses now it may give later; the caller waits.
            let Ok(Some(called)) = self.listener.accept() else {
                return;
            };
            let Ok(socket) = called else {
                continue;
            };
            self.strangers.last += 1;
            let key = STRANGER | self.strangers.last;
            if self.poller.add(&socket, key).is_err() {
                socket::turn_away(&socket, "this end cannot watch one more socket");
                continue;
            }
            self.strangers.all.insert(key, (socket, self.now_ns));
            // Its greeting is there as a rule.
            self.hear(key);
        }
    }

    /// Something came from a stranger.
    pub(super) fn hear(&mut self, key: u64) {
        let Some((socket, _)) = self.strangers.all.get(&key) else {
            return;
        };
        let greeting = socket::hear(socket);
        if matches!(greeting, Greeting::None) {
            return;
        }
        let Some((socket, _)) = self.strangers.all.remove(&key) else {
            return;
        };
        match greeting {
            Greeting::None | Greeting::Gone => {}
            Greeting::Bad(reason) => socket::turn_away(&socket, &reason),
            Greeting::Memory(file, area_bytes) => {
                if let Err((socket, reason)) = self.admit(socket, file, area_bytes) {
                    socket::turn_away(&socket, &reason);
                }
            }
        }
    }

    fn admit(
        &mut self,
        socket: UnixStream,
        file: OwnedFd,
        area_bytes: usize,
    ) -> Result<(), (UnixStream, String)> {
        let lane = Lane::memory_bytes(area_bytes)
            .and_then(|bytes| Ok(ControlMemory::attach(file, bytes as u64, "the peer")?))
            .and_then(|memory| Lane::open(&memory, area_bytes, false));
        let lane = match lane {
            Ok(lane) => lane,
            Err(error) => return Err((socket, error.to_string())),
        };
        let connection = |endpoint| Connection::new(endpoint, Stage::Open, lane, None);
        let Some(endpoint) = self.connections.insert(connection) else {
            let max = LIMITS.max_endpoints;
            return Err((socket, format!("{max} endpoints are open, the limit")));
        };
        if let Err(error) = self.poller.rename(&socket, Self::key(endpoint)) {
            self.connections.remove(endpoint);
            return Err((socket, error.to_string()));
        }
        if let Some(connection) = self.connections.get_mut(endpoint) {
            connection.socket = Some(socket);
            connection.say_welcome();
            Self::tell(&mut self.told, connection);
        }
        self.events.push_back(Event::Accepted { endpoint });
        Ok(())
    }

    /// Calls again whoever did not take the call.
    pub(super) fn dial(&mut self) {
        for place in (0..self.greeting.len()).rev() {
            let endpoint = self.greeting[place];
            let connection = self.connections.get_mut(endpoint);
            let name = connection.and_then(|connection| match &connection.stage {
                Stage::Dialing(name) => Some(name.clone()),
                _ => None,
            });
            if let Some(name) = name
                && let Err(reason) = self.call(endpoint, &name)
            {
                self.end(endpoint, reason);
            }
        }
    }

    /// Calls the end of this name.
    pub(super) fn call(&mut self, endpoint: Endpoint, name: &str) -> Result<(), EndReason> {
        let unreachable = |error: std::io::Error| EndReason::Unreachable(error.to_string());
        let socket = match socket::connect(name).map_err(unreachable)? {
            Attempt::Connected(socket) => socket,
            Attempt::Later => return Ok(()),
            Attempt::Nobody(reason) => return Err(EndReason::Unreachable(reason)),
            Attempt::Stranger(reason) => return Err(EndReason::NotAdmitted(reason)),
        };
        let Some(connection) = self.connections.get_mut(endpoint) else {
            return Ok(());
        };
        let area_bytes = self.options.area_bytes;
        socket::greet(&socket, area_bytes, connection.lane.file()).map_err(unreachable)?;
        self.poller
            .add(&socket, Self::key(endpoint))
            .map_err(unreachable)?;
        connection.socket = Some(socket);
        connection.stage = Stage::Greeting;
        Ok(())
    }

    /// Turns away who has said nothing for the limit (AD-1).
    pub(super) fn turn_silent_away(&mut self, limit_ns: u64) {
        let now_ns = self.now_ns;
        self.strangers.all.retain(|_, (socket, since_ns)| {
            let is_early = now_ns.saturating_sub(*since_ns) < limit_ns;
            if !is_early {
                socket::turn_away(socket, "it said nothing for longer than the limit");
            }
            is_early
        });
    }
}
