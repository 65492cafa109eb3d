//! A type for each transport, which opens two ends of it.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use maser_transport::Transport;
use maser_transport::loopback::{LoopbackTransport, Network};
use maser_transport::sm::{SmOptions, SmTransport};
use maser_transport::tcp::{TcpOptions, TcpTransport};
use maser_transport::ucx::{UcxOptions, UcxTransport};
use maser_transport::wire::{Identity, Integrity, Role, Secret};

use super::net::{At, Net};
use crate::harness::{BenchError, Offer, Skip};

/// No limit is met in a window.
const NEVER: Duration = Duration::from_secs(3_600);

/// What a transport is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// Bare sockets, and what else uses sockets.
    Sockets,
    /// Cache lines.
    Lines,
    /// Cache lines, and UCX over shared memory.
    Memory,
    /// UCX's own benchmark.
    Ucx {
        /// The transports that UCX may use.
        tls: &'static str,
    },
}

/// Opens ends of one transport.
pub trait Open {
    /// What it is compared with.
    const BESIDE: Beside;

    /// The transport.
    type End: Transport + 'static;

    /// Where its sockets are.
    ///
    /// # Errors
    /// A skip, where that cannot be.
    fn net() -> Offer<Rc<Net>> {
        Ok(Rc::new(Net::Loopback))
    }

    /// An end that others can connect to.
    ///
    /// # Errors
    /// The transport's.
    fn ends(net: &Net, integrity: Integrity) -> Result<Offer<[Self::End; 2]>, BenchError>;
}

/// Ends in one process.
#[derive(Debug)]
pub struct Loopback;

impl Open for Loopback {
    const BESIDE: Beside = Beside::Lines;
    type End = LoopbackTransport;

    fn ends(_: &Net, _: Integrity) -> Result<Offer<[Self::End; 2]>, BenchError> {
        let network = Network::new();
        Ok(Ok([(); 2].map(|()| LoopbackTransport::open(&network))))
    }
}

/// How an end of TCP is opened at `at`.
pub(crate) fn tcp_options(
    net: &Net,
    at: At,
    integrity: Integrity,
    peer_timeout: Duration,
) -> TcpOptions {
    TcpOptions {
        listen: SocketAddr::from((net.address(at), 0)),
        identity: Identity {
            job: [1; 16],
            node: 1,
            role: Role::Node,
        },
        integrity: Some(integrity),
        epoch: 1,
        secret: Some(Secret::new([7; 32])),
        peer_timeout,
        handshake_timeout: NEVER,
    }
}

fn tcp_ends(net: &Net, integrity: Integrity) -> Result<[TcpTransport; 2], BenchError> {
    let open = |at| {
        let opened = net.within(at, || {
            TcpTransport::open(tcp_options(net, at, integrity, NEVER))
        })?;
        opened.map_err(|error| BenchError::contender("tcp", error))
    };
    Ok([open(At::Here)?, open(At::There)?])
}

/// TCP on the loopback address.
#[derive(Debug)]
pub struct Tcp;

impl Open for Tcp {
    const BESIDE: Beside = Beside::Sockets;
    type End = TcpTransport;

    fn ends(net: &Net, integrity: Integrity) -> Result<Offer<[Self::End; 2]>, BenchError> {
        tcp_ends(net, integrity).map(Ok)
    }
}

/// TCP between two network namespaces.
#[derive(Debug)]
pub struct TcpVeth;

impl Open for TcpVeth {
    const BESIDE: Beside = Beside::Sockets;
    type End = TcpTransport;

    fn net() -> Offer<Rc<Net>> {
        Net::veth()
    }

    fn ends(net: &Net, integrity: Integrity) -> Result<Offer<[Self::End; 2]>, BenchError> {
        tcp_ends(net, integrity).map(Ok)
    }
}

/// Shared memory.
#[derive(Debug)]
pub struct Sm;

impl Open for Sm {
    const BESIDE: Beside = Beside::Memory;

    type End = SmTransport;

    fn ends(_: &Net, _: Integrity) -> Result<Offer<[Self::End; 2]>, BenchError> {
        let open = || {
            let opened = SmTransport::open(SmOptions::default());
            opened.map_err(|error| BenchError::contender("sm", error))
        };
        Ok(Ok([open()?, open()?]))
    }
}

fn ucx_ends(net: &Net, tls: &str) -> Result<Offer<[UcxTransport; 2]>, BenchError> {
    if let Err(missing) = UcxTransport::available() {
        return Ok(Err(Skip(missing.to_string())));
    }
    let open = |at| {
        let control = tcp_options(net, at, Integrity::None, NEVER);
        let mut options = UcxOptions::new(control);
        options.tls = Some(tls.to_owned());
        UcxTransport::open(options).map_err(|error| BenchError::contender("ucx", error))
    };
    Ok(Ok([open(At::Here)?, open(At::There)?]))
}

/// UCX over shared memory.
#[derive(Debug)]
pub struct UcxShm;

impl Open for UcxShm {
    const BESIDE: Beside = Beside::Ucx { tls: "shm,self" };

    type End = UcxTransport;

    fn ends(net: &Net, _: Integrity) -> Result<Offer<[Self::End; 2]>, BenchError> {
        ucx_ends(net, "shm,self")
    }
}

/// UCX over TCP.
#[derive(Debug)]
pub struct UcxTcp;

impl Open for UcxTcp {
    const BESIDE: Beside = Beside::Ucx { tls: "tcp,self" };

    type End = UcxTransport;

    fn ends(net: &Net, _: Integrity) -> Result<Offer<[Self::End; 2]>, BenchError> {
        ucx_ends(net, "tcp,self")
    }
}
