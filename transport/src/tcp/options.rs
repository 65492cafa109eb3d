//! How a [`TcpTransport`](super::TcpTransport) is opened.

use crate::wire::handshake::{Identity, Secret};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// How a [`TcpTransport`](super::TcpTransport) is opened.
#[derive(Clone, Debug)]
pub struct TcpOptions {
    /// Where it listens. Port 0 is any.
    pub listen: SocketAddr,
    /// Who it is.
    pub identity: Identity,
    /// A number that no earlier life of this end had: part of the names of its calls.
    pub epoch: u64,
    /// What the job shares. Without it nothing listens but on a loopback address.
    pub secret: Option<Secret>,
    /// After so much silence a peer is taken for dead. Pings are sent three times in it.
    pub peer_timeout: Duration,
    /// How long a stranger may take to say who it is.
    pub handshake_timeout: Duration,
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
