//! How a [`TcpTransport`](super::TcpTransport) is opened.

use super::poller::PollerChoice;
use crate::wire::{Identity, Integrity, Secret};
use rustix::net::{getpeername, getsockname};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

/// How a [`TcpTransport`](super::TcpTransport) is opened.
#[derive(Clone, Debug)]
pub struct TcpOptions {
    /// Where it listens. Port 0 is any.
    pub listen: SocketAddr,
    /// Who it is.
    pub identity: Identity,
    /// How data is to be protected; if nothing is said, as it is usual between the two addresses
    /// ([`Integrity::between`]). A peer that asks for more gets it.
    pub integrity: Option<Integrity>,
    /// A number that no earlier life of this end had: part of the names of its calls.
    pub epoch: u64,
    /// What the job shares. Without it nothing listens but on a loopback address.
    pub secret: Option<Secret>,
    /// After so much silence a peer is taken for dead. Pings are sent three times in it.
    pub peer_timeout: Duration,
    /// How long a stranger may take to say who it is.
    pub handshake_timeout: Duration,
}

/// What a connection asks for, of which the peer's address may be known before the socket knows it.
pub(super) fn integrity_of(
    asked: Option<Integrity>,
    socket: impl AsFd,
    peer: Option<SocketAddr>,
) -> Integrity {
    asked.unwrap_or_else(|| between(socket, peer).unwrap_or(Integrity::Mac))
}

/// Whether a socket and its peer, whose address may be known before the socket knows it, are on one host.
pub(super) fn is_within_host(socket: impl AsFd, peer: Option<SocketAddr>) -> bool {
    // There nobody but the kernel is on the way.
    between(socket, peer) == Some(Integrity::None)
}

fn between(socket: impl AsFd, peer: Option<SocketAddr>) -> Option<Integrity> {
    let address = |any| SocketAddr::try_from(any).ok();
    let here = getsockname(&socket).ok().and_then(address)?;
    let there = peer.or_else(|| getpeername(&socket).ok()?.and_then(address))?;
    Some(Integrity::between(here.ip(), there.ip()))
}

/// What makes no difference but in speed.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpTuning {
    /// How it finds out what its sockets have.
    pub poller: PollerChoice,
}

/// Why there is no transport.
#[derive(Debug, thiserror::Error)]
pub enum TcpError {
    /// Others could reach it, and there is nothing to know them by.
    #[error(
        "cannot listen on {listen} without a secret: every host could connect; give the job's secret, or \
         listen on a loopback address"
    )]
    NoSecret {
        /// Where it was to listen.
        listen: SocketAddr,
    },
    /// The system refused.
    #[error("cannot listen on {listen}: {source}")]
    Listen {
        /// Where.
        listen: SocketAddr,
        /// What it said.
        source: io::Error,
    },
}
