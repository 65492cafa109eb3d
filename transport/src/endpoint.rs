//! Names of ends: what is connected to, and what a connection is called here.

use bytes::Bytes;
use std::fmt;
use std::str::FromStr;

/// The transports there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum TransportKind {
    /// Ends in one process.
    Loopback = 1,
    /// Processes of one host, through shared memory.
    Sm = 2,
    /// TCP.
    Tcp = 3,
    /// RDMA verbs.
    Rdma = 4,
    /// Whatever UCX finds.
    Ucx = 5,
}

impl TransportKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Loopback, Self::Sm, Self::Tcp, Self::Rdma, Self::Ucx];

    /// Its name, as in `MASER_TRANSPORT`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Sm => "sm",
            Self::Tcp => "tcp",
            Self::Rdma => "rdma",
            Self::Ucx => "ucx",
        }
    }

    /// The one of this number on the wire.
    #[must_use]
    pub fn from_wire(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// There is no transport of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no transport '{0}'; there are loopback, sm, tcp, rdma and ucx")]
pub struct UnknownTransport(pub String);

impl FromStr for TransportKind {
    type Err = UnknownTransport;
    fn from_str(name: &str) -> Result<Self, UnknownTransport> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| UnknownTransport(name.into()))
    }
}

/// Bytes of the longest address.
pub const MAX_ADDRESS_BYTES: usize = 4096;

/// Where a transport can be connected to. What the bytes say is the transport's own affair.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address {
    kind: TransportKind,
    bytes: Bytes,
}

/// An address that cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// Longer than addresses are.
    #[error("an address of {bytes} bytes; at most {MAX_ADDRESS_BYTES} are taken")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It has no bytes, or names no transport.
    #[error("an address of transport number {number}, which is none")]
    Kind {
        /// The number.
        number: u8,
    },
    /// The address is of another transport.
    #[error(
        "an address of {found} was given to {wanted}; connect it through a transport of {found}"
    )]
    OtherTransport {
        /// What it is of.
        found: TransportKind,
        /// Who was to connect to it.
        wanted: TransportKind,
    },
    /// Its bytes say nothing to its transport.
    #[error("an address of {kind} that cannot be read: {problem}")]
    Unreadable {
        /// What it is of.
        kind: TransportKind,
        /// What is wrong.
        problem: String,
    },
}

impl Address {
    /// An address of `kind`.
    ///
    /// # Errors
    /// [`BadAddress::TooLong`].
    pub fn new(kind: TransportKind, bytes: impl Into<Bytes>) -> Result<Self, BadAddress> {
        let bytes = bytes.into();
        match bytes.len() {
            0..=MAX_ADDRESS_BYTES => Ok(Self { kind, bytes }),
            bytes => Err(BadAddress::TooLong { bytes }),
        }
    }

    /// The transport it is of.
    #[must_use]
    pub fn kind(&self) -> TransportKind {
        self.kind
    }

    /// What it says.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What it says, to a transport of `kind`.
    ///
    /// # Errors
    /// [`BadAddress::OtherTransport`].
    pub fn bytes_for(&self, kind: TransportKind) -> Result<&Bytes, BadAddress> {
        match self.kind == kind {
            true => Ok(&self.bytes),
            false => Err(BadAddress::OtherTransport {
                found: self.kind,
                wanted: kind,
            }),
        }
    }

    /// As it travels: the number of its transport, and its bytes.
    #[must_use]
    pub fn to_wire(&self) -> Vec<u8> {
        let mut wire = vec![self.kind as u8];
        wire.extend_from_slice(&self.bytes);
        wire
    }

    /// What [`to_wire`](Self::to_wire) made.
    ///
    /// # Errors
    /// [`BadAddress`].
    pub fn from_wire(wire: &[u8]) -> Result<Self, BadAddress> {
        let (number, bytes) = wire.split_first().ok_or(BadAddress::Kind { number: 0 })?;
        let kind = TransportKind::from_wire(*number).ok_or(BadAddress::Kind { number: *number })?;
        if bytes.len() > MAX_ADDRESS_BYTES {
            return Err(BadAddress::TooLong { bytes: bytes.len() });
        }
        Self::new(kind, Bytes::copy_from_slice(bytes))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.bytes.escape_ascii())
    }
}

/// A connection, as its own transport calls it. It is never used again for another one, so a late use
/// of one that is over is an error and nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    index: u32,
    generation: u32,
}

impl Endpoint {
    /// The one in place `index`, used for the `generation`th time.
    #[must_use]
    pub const fn new(index: u32, generation: u32) -> Self {
        Self { index, generation }
    }

    /// Its place in its transport's table.
    #[must_use]
    pub const fn index(self) -> usize {
        self.index as usize
    }

    /// How often the place was used before.
    #[must_use]
    pub const fn generation(self) -> u32 {
        self.generation
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}
