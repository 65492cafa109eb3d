//! TCP on loopback in the suite.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use maser_transport::tcp::{TcpOptions, TcpTransport};
use maser_transport::wire::handshake::{Identity, Role, Secret};

use crate::ends::Lab;

/// Without a secret.
pub struct TcpLab;

/// With a secret, and frames that are sealed.
pub struct SealedTcpLab;

fn open(secret: Option<Secret>, seals: bool) -> TcpTransport {
    let options = TcpOptions {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        identity: Identity {
            seals,
            job: [1; 16],
            node: 1,
            role: Role::Node,
        },
        epoch: 1,
        secret,
        peer_timeout: Duration::from_secs(600),
        handshake_timeout: Duration::from_secs(600),
    };
    TcpTransport::open(options).expect("a port of loopback")
}

impl Lab for TcpLab {
    type End = TcpTransport;

    fn open() -> Result<Self, String> {
        Ok(Self)
    }

    fn end(&self) -> TcpTransport {
        open(None, false)
    }

    fn crash(&self, end: TcpTransport) {
        end.abort();
    }
}

impl Lab for SealedTcpLab {
    type End = TcpTransport;

    fn open() -> Result<Self, String> {
        Ok(Self)
    }

    fn end(&self) -> TcpTransport {
        open(Some(Secret::new([7; 32])), true)
    }

    fn crash(&self, end: TcpTransport) {
        end.abort();
    }
}
