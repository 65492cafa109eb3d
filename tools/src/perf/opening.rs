//! Transports and addresses by name.
//!
//! An address is written as the name of its transport, a colon, and its bytes: as they are if they can be
//! read, else as `0x` and hexadecimal digits.

use super::error::PerfError;
use maser_transport::loopback::{LoopbackTransport, Network};
use maser_transport::rdma::{RdmaOptions, RdmaTransport};
use maser_transport::sm::{SmOptions, SmTransport};
use maser_transport::tcp::{TcpOptions, TcpTransport};
use maser_transport::ucx::{UcxOptions, UcxTransport};
use maser_transport::wire::{Identity, Integrity, Role, Secret};
use maser_transport::{Address, Transport, TransportKind};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

/// Where servers listen if they are not told.
pub const PORT: u16 = 7471;

/// How an end is opened.
#[derive(Clone)]
pub struct Opening {
    pub kind: TransportKind,
    /// How what travels between hosts is protected.
    pub integrity: Integrity,
    pub secret: Option<Secret>,
    /// After so much silence a peer is taken for dead.
    pub timeout: Duration,
    /// What UCX may choose from.
    pub tls: Option<String>,
    /// The device of RDMA, or those of UCX.
    pub device: Option<String>,
    /// Which address of the device's port.
    pub gid_index: Option<u32>,
    /// Of the transport that joins ends of one process.
    pub network: Network,
}

impl Opening {
    /// Where a server of this process listens.
    pub fn listen_here(&self) -> String {
        "127.0.0.1:0".into()
    }

    /// An end that nobody is to connect to.
    ///
    /// # Errors
    /// [`PerfError`].
    pub fn open_client(&self) -> Result<Box<dyn Transport>, PerfError> {
        self.open(&self.listen_here())
    }

    /// An end that listens there, where its transport has such places.
    ///
    /// # Errors
    /// [`PerfError`].
    pub fn open(&self, listen: &str) -> Result<Box<dyn Transport>, PerfError> {
        match self.kind {
            TransportKind::Loopback => Ok(Box::new(LoopbackTransport::open(&self.network))),
            TransportKind::Tcp => {
                let listen = socket_address(listen)?;
                Ok(Box::new(TcpTransport::open(self.tcp(listen))?))
            }
            TransportKind::Sm => {
                let options = SmOptions {
                    handshake_timeout: self.timeout,
                    ..SmOptions::default()
                };
                Ok(Box::new(SmTransport::open(options)?))
            }
            TransportKind::Rdma => {
                let mut options = RdmaOptions::new(self.tcp(socket_address(listen)?));
                options.device.clone_from(&self.device);
                options.gid_index = self.gid_index;
                Ok(Box::new(RdmaTransport::open(options)?))
            }
            TransportKind::Ucx => {
                let mut options = UcxOptions::new(self.tcp(socket_address(listen)?));
                options.tls.clone_from(&self.tls);
                options.net_devices.clone_from(&self.device);
                Ok(Box::new(UcxTransport::open(options)?))
            }
        }
    }

    fn tcp(&self, listen: SocketAddr) -> TcpOptions {
        // Ends that use different transports above the same connection do not talk to each other.
        let mut job = *b"maser perf      ";
        job[15] = self.kind as u8;
        TcpOptions {
            listen,
            identity: Identity {
                job,
                node: 0,
                role: Role::Client,
            },
            integrity: Some(self.integrity),
            epoch: 1,
            secret: self.secret.clone(),
            peer_timeout: self.timeout,
            handshake_timeout: self.timeout,
        }
    }
}

/// The address as it is written.
pub fn text_of(address: &Address) -> String {
    let bytes = address.bytes();
    match std::str::from_utf8(bytes) {
        Ok(text) if text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.starts_with("0x") => {
            format!("{}:{text}", address.kind())
        }
        _ => {
            let mut text = format!("{}:0x", address.kind());
            for byte in bytes {
                // Writing to a string cannot fail.
                let _outcome = write!(text, "{byte:02x}");
            }
            text
        }
    }
}

/// Reads an address; one without a transport's name is of `wanted`, or of TCP.
///
/// # Errors
/// [`PerfError::Address`], [`PerfError::OtherTransport`].
pub fn address_of(text: &str, wanted: Option<TransportKind>) -> Result<Address, PerfError> {
    let bad = |problem: String| PerfError::Address {
        text: text.into(),
        problem,
    };
    let named = text
        .split_once(':')
        .and_then(|(name, rest)| Some((name.parse::<TransportKind>().ok()?, rest)));
    let (kind, rest) = match (named, wanted) {
        (Some((found, _)), Some(wanted)) if found != wanted => {
            return Err(PerfError::OtherTransport { found, wanted });
        }
        (Some(named), _) => named,
        (None, wanted) => (wanted.unwrap_or(TransportKind::Tcp), text),
    };
    let bytes = match kind {
        TransportKind::Loopback => return Err(PerfError::OneProcess { kind }),
        TransportKind::Sm => match rest.strip_prefix("0x") {
            Some(digits) => {
                bytes_of(digits).ok_or_else(|| bad("its hexadecimal digits are none".into()))?
            }
            None => rest.as_bytes().to_vec(),
        },
        _ => socket_address(rest)?.to_string().into_bytes(),
    };
    Address::new(kind, bytes).map_err(|error| bad(error.to_string()))
}

/// `ADDRESS:PORT`, `ADDRESS`, `HOST:PORT` or `HOST`.
fn socket_address(text: &str) -> Result<SocketAddr, PerfError> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(SocketAddr::from((address, PORT)));
    }
    let bad = |problem: String| PerfError::Address {
        text: text.into(),
        problem,
    };
    let found = match text.contains(':') {
        true => text.to_socket_addrs(),
        false => (text, PORT).to_socket_addrs(),
    };
    let mut addresses = found.map_err(|error| bad(error.to_string()))?;
    addresses
        .next()
        .ok_or_else(|| bad("that name has no address".into()))
}

/// Where a server listens by default.
pub fn default_listen() -> String {
    SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)).to_string()
}

fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    let nibble = |digit: &u8| char::from(*digit).to_digit(16).map(|value| value as u8);
    let digits: Option<Vec<u8>> = digits.as_bytes().iter().map(nibble).collect();
    let digits = digits?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty()
        .then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

/// The secret that a file holds: 32 bytes, or 64 hexadecimal digits and a line's end.
///
/// # Errors
/// [`PerfError::SecretFile`], [`PerfError::Secret`].
pub fn secret_of(path: &Path) -> Result<Secret, PerfError> {
    let content = std::fs::read(path).map_err(|source| PerfError::SecretFile {
        path: path.into(),
        source,
    })?;
    let digits = || bytes_of(std::str::from_utf8(&content).ok()?.trim_end());
    let bits = <[u8; 32]>::try_from(&content[..]).ok();
    bits.or_else(|| digits()?.try_into().ok())
        .map(Secret::new)
        .ok_or_else(|| PerfError::Secret {
            path: path.into(),
            bytes: content.len(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_was_written() {
        let addresses = [
            (TransportKind::Tcp, &b"10.0.0.1:7471"[..]),
            (TransportKind::Ucx, b"[::1]:80"),
            (TransportKind::Sm, b"maser-12"),
            (TransportKind::Sm, b"0xtext"),
            (TransportKind::Sm, b"\0abstract\xff"),
        ];
        for (kind, bytes) in addresses {
            let address = Address::new(kind, bytes.to_vec()).expect("short");
            let text = text_of(&address);
            assert_eq!(address_of(&text, None).expect("it reads"), address);
            assert_eq!(address_of(&text, Some(kind)).expect("it reads"), address);
        }
    }

    #[test]
    fn an_address_without_port_and_transport_is_of_tcp_and_the_usual_port() {
        let address = address_of("10.0.0.1", None).expect("it reads");
        assert_eq!(text_of(&address), "tcp:10.0.0.1:7471");
        let address = address_of("::1", Some(TransportKind::Rdma)).expect("it reads");
        assert_eq!(text_of(&address), "rdma:[::1]:7471");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["tcp:10.0.0.1:99999", "sm:0xabc", "sm:0xzz", "tcp:"] {
            let error = address_of(text, None).expect_err("it is none");
            assert!(matches!(error, PerfError::Address { .. }), "{error}");
        }
        let error = address_of("tcp:10.0.0.1", Some(TransportKind::Ucx)).expect_err("of tcp");
        assert!(error.to_string().contains("--transport ucx"), "{error}");
        let error = address_of("loopback:1", None).expect_err("of another process");
        assert!(error.to_string().contains("--local"), "{error}");
    }
}
