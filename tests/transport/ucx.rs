//! UCX in the suite: over shared memory, and over TCP of this host.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use maser_transport::tcp::TcpOptions;
use maser_transport::ucx::{UcxOptions, UcxTransport};
use maser_transport::wire::{Identity, Role};

use crate::ends::Lab;

fn open(tls: &str) -> UcxTransport {
    let control = TcpOptions {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        identity: Identity {
            job: [1; 16],
            node: 1,
            role: Role::Node,
        },
        integrity: None,
        epoch: 1,
        secret: None,
        peer_timeout: Duration::from_secs(600),
        handshake_timeout: Duration::from_secs(600),
    };
    let mut options = UcxOptions::new(control);
    options.tls = Some(tls.into());
    UcxTransport::open(options).expect("UCX has these transports")
}

fn is_there() -> Result<(), String> {
    UcxTransport::available()
        .map(drop)
        .map_err(|error| error.to_string())
}

/// Over shared memory.
pub struct ShmUcxLab;

/// Over TCP.
pub struct TcpUcxLab;

impl Lab for ShmUcxLab {
    type End = UcxTransport;

    fn open() -> Result<Self, String> {
        is_there().map(|()| Self)
    }

    fn end(&self) -> UcxTransport {
        open("shm,self")
    }

    fn crash(&self, end: UcxTransport) {
        end.abort();
    }
}

impl Lab for TcpUcxLab {
    type End = UcxTransport;

    fn open() -> Result<Self, String> {
        is_there().map(|()| Self)
    }

    fn end(&self) -> UcxTransport {
        open("tcp,self")
    }

    fn crash(&self, end: UcxTransport) {
        end.abort();
    }
}
