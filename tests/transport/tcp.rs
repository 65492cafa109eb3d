//! TCP on loopback in the suite.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use maser_transport::tcp::{PollerChoice, TcpOptions, TcpTransport, TcpTuning};
use maser_transport::wire::{Identity, Integrity, Role, Secret};

use crate::ends::Lab;

/// Without a secret.
pub struct TcpLab;

/// Without a secret, and by epoll.
pub struct EpollTcpLab;

/// With a secret, and data that is not sealed.
pub struct ClearTcpLab;

/// With a secret, and frames that are sealed.
pub struct SealedTcpLab;

fn open(secret: Option<Secret>, integrity: Integrity) -> TcpTransport {
    open_by(PollerChoice::Best, secret, integrity)
}

/// How an end on loopback is opened.
pub fn options(secret: Option<Secret>, integrity: Integrity) -> TcpOptions {
    TcpOptions {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        identity: Identity {
            job: [1; 16],
            node: 1,
            role: Role::Node,
        },
        integrity: Some(integrity),
        epoch: 1,
        secret,
        peer_timeout: Duration::from_secs(600),
        handshake_timeout: Duration::from_secs(600),
    }
}

pub fn open_by(poller: PollerChoice, secret: Option<Secret>, integrity: Integrity) -> TcpTransport {
    let options = options(secret, integrity);
    TcpTransport::open_tuned(options, TcpTuning { poller }).expect("a port of loopback")
}

impl Lab for TcpLab {
    type End = TcpTransport;

    fn open() -> Result<Self, String> {
        Ok(Self)
    }

    fn end(&self) -> TcpTransport {
        open(None, Integrity::None)
    }

    fn crash(&self, end: TcpTransport) {
        end.abort();
    }
}

impl Lab for EpollTcpLab {
    type End = TcpTransport;

    fn open() -> Result<Self, String> {
        Ok(Self)
    }

    fn end(&self) -> TcpTransport {
        open_by(PollerChoice::Epoll, None, Integrity::None)
    }

    fn crash(&self, end: TcpTransport) {
        end.abort();
    }
}

impl Lab for ClearTcpLab {
    type End = TcpTransport;

    fn open() -> Result<Self, String> {
        Ok(Self)
    }

    fn end(&self) -> TcpTransport {
        open(Some(Secret::new([7; 32])), Integrity::None)
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
        open(Some(Secret::new([7; 32])), Integrity::Mac)
    }

    fn crash(&self, end: TcpTransport) {
        end.abort();
    }
}
