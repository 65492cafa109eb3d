//! Who connects, and sockets that become connections.

use super::connection::{Connection, Stage};
use super::strangers::StrangerCounts;
use super::{PING_GROUPS, TcpTransport, options, poller};
use crate::endpoint::Endpoint;
use rustix::net::sockopt::{set_tcp_congestion, set_tcp_nodelay};
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// What paces what leaves, where the peer is on this host: there is no link to share, and a pacing one (BBR) is
/// as slow as half of it.
const CONGESTION_WITHIN_HOST: [&str; 2] = ["cubic", "reno"];

fn is_out_of_files(error: &io::Error) -> bool {
    [libc::EMFILE, libc::ENFILE]
        .map(Some)
        .contains(&error.raw_os_error())
}

impl TcpTransport {
    /// How many connected here, and what became of them.
    #[must_use]
    pub fn strangers(&self) -> StrangerCounts {
        self.strangers.counts
    }

    pub(super) fn accept(&mut self) {
        // Those that are left come with the next look.
        for _ in 0..16 {
            match self.poller.accept(&self.listener) {
                Ok(socket) => {
                    Self::tune(&socket, None);
                    self.begin(socket, Stage::Accepted);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_out_of_files(&error) && !self.turn_away() => {
                    self.poller.nobody_more();
                    return;
                }
                Err(_) => {}
            }
        }
    }

    /// There is no descriptor for who connects: it is told by the end of its connection, where it would wait
    /// for an answer otherwise. True if somebody was.
    fn turn_away(&mut self) -> bool {
        let Some(spare) = self.spare.take() else {
            return false;
        };
        drop(spare);
        let is_turned_away = poller::accept(&self.listener).is_ok();
        self.strangers.counts.out_of_files += u64::from(is_turned_away);
        self.spare = File::open("/dev/null").ok();
        is_turned_away
    }

    /// Sets what the kernel does with a socket that is connected, or is going to be to `peer`.
    pub(super) fn tune(socket: &OwnedFd, peer: Option<SocketAddr>) {
        // What is refused is refused by a socket whose peer is gone by now, which its first read tells.
        let _outcome = set_tcp_nodelay(socket, true);
        if options::is_within_host(socket, peer) {
            // Without one of them it goes by the system's choice.
            let _chosen = CONGESTION_WITHIN_HOST
                .iter()
                .find(|name| set_tcp_congestion(socket, name).is_ok());
        }
    }

    /// A connection of this socket; `None`, and the socket is closed, if there is no place.
    pub(super) fn begin(&mut self, socket: OwnedFd, stage: Stage) -> Option<Endpoint> {
        let (epoch, now_ns) = (self.options.epoch, self.now_ns);
        let is_stranger = matches!(stage, Stage::Accepted);
        if is_stranger {
            let connections = &self.connections;
            let is_one = |one| connections.get(one).is_some_and(Connection::is_stranger);
            let too_many = self.strangers.one_too_many(is_one);
            too_many
                .into_iter()
                .for_each(|(oldest, reason)| self.end(oldest, reason));
        }
        let is_known = matches!(stage, Stage::Connecting(_));
        // Not all at once.
        let first_ping_ns = Self::limit_ns(self.options.peer_timeout / 3) / PING_GROUPS;
        let endpoint = self.connections.insert(|endpoint| {
            let mut connection = Connection::new(endpoint, socket, stage, epoch);
            connection.heard_ns = now_ns;
            connection.pinged_ns =
                now_ns.saturating_sub(first_ping_ns * (endpoint.index() as u64 % PING_GROUPS));
            connection.is_known = is_known;
            connection
        })?;
        if is_stranger {
            self.strangers.came(endpoint);
        }
        self.attend(endpoint);
        Some(endpoint)
    }
}
