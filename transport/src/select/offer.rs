//! What an end offers to those who want to connect to it.
//!
//! ```text
//! byte  0  version  u8
//! byte  1  count    u8   of ways, 8 at most
//! byte  2  0        u16
//! byte  4  user     u32  little endian, as all numbers
//! byte  8  boot     u128
//! byte 24  network  u64
//! byte 32  ways, each: capabilities u32, bytes u32, an address of so many bytes
//! ```
//!
//! - XO-1 an offer is input: its lengths are checked before anything is taken from it, and what it claims
//!   is tried, not believed.

use super::host::Host;
use crate::capabilities::Capabilities;
use crate::endpoint::{Address, BadAddress, MAX_ADDRESS_BYTES, TransportKind};
use std::io;

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 32;
const WAY_BYTES: usize = 8;
/// Ways of an offer at most.
const MAX_WAYS: usize = 8;

/// One transport of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Where it is connected to.
    pub address: Address,
    /// What it can do.
    pub capabilities: Capabilities,
}

/// What an end offers: who is asked, and by which transports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Where the end is.
    pub host: Host,
    /// Its transports, in no order.
    pub ways: Vec<Way>,
}

/// An offer that cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadOffer {
    /// Another build.
    #[error("an offer of version {found}, and this process knows version {VERSION}; run one build")]
    Version {
        /// What it says.
        found: u8,
    },
    /// Bytes are missing, or there are more.
    #[error("{bytes} bytes that are no offer: {problem}")]
    Bytes {
        /// How many came.
        bytes: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// An address in it is none.
    #[error("an offer with {0}")]
    Address(#[from] BadAddress),
}

impl Offer {
    /// The way by one transport.
    #[must_use]
    pub fn way(&self, kind: TransportKind) -> Option<&Way> {
        self.ways.iter().find(|way| way.address.kind() == kind)
    }

    /// As it travels.
    ///
    /// # Panics
    /// If it has more ways than there are transports.
    #[must_use]
    pub fn to_wire(&self) -> Vec<u8> {
        assert!(self.ways.len() <= MAX_WAYS, "{} ways", self.ways.len());
        let mut wire = vec![VERSION, self.ways.len() as u8, 0, 0];
        wire.extend_from_slice(&self.host.user.to_le_bytes());
        wire.extend_from_slice(&self.host.boot.to_le_bytes());
        wire.extend_from_slice(&self.host.network.to_le_bytes());
        for way in &self.ways {
            let address = way.address.to_wire();
            wire.extend_from_slice(&way.capabilities.bits().to_le_bytes());
            wire.extend_from_slice(&(address.len() as u32).to_le_bytes());
            wire.extend_from_slice(&address);
        }
        wire
    }

    /// What [`to_wire`](Self::to_wire) made (XO-1). Capabilities that this build does not know are left
    /// out.
    ///
    /// # Errors
    /// [`BadOffer`].
    pub fn from_wire(wire: &[u8]) -> Result<Self, BadOffer> {
        let bad = |problem| BadOffer::Bytes {
            bytes: wire.len(),
            problem,
        };
        let cut_off = || bad("it is cut off");
        let mut rest = wire;
        let mut take = |bytes: usize| {
            let (taken, left) = rest.split_at_checked(bytes)?;
            rest = left;
            Some(taken)
        };
        let header = take(HEADER_BYTES).ok_or_else(cut_off)?;
        if header[0] != VERSION {
            return Err(BadOffer::Version { found: header[0] });
        }
        let count = usize::from(header[1]);
        if count > MAX_WAYS || header[2..4] != [0; 2] {
            return Err(bad(
                "it has more ways than there are, or bits that mean nothing",
            ));
        }
        let host = Host {
            user: u32::from_le_bytes(array(&header[4..])),
            boot: u128::from_le_bytes(array(&header[8..])),
            network: u64::from_le_bytes(array(&header[24..])),
        };
        let mut ways = Vec::with_capacity(count);
        for _ in 0..count {
            let head = take(WAY_BYTES).ok_or_else(cut_off)?;
            let capabilities = Capabilities::from_bits_truncate(u32::from_le_bytes(array(head)));
            let bytes = u32::from_le_bytes(array(&head[4..])) as usize;
            if bytes > 1 + MAX_ADDRESS_BYTES {
                return Err(bad("an address is longer than addresses are"));
            }
            let address = Address::from_wire(take(bytes).ok_or_else(cut_off)?)?;
            if ways
                .iter()
                .any(|way: &Way| way.address.kind() == address.kind())
            {
                return Err(bad("a transport is in it twice"));
            }
            ways.push(Way {
                address,
                capabilities,
            });
        }
        match rest.is_empty() {
            true => Ok(Self { host, ways }),
            false => Err(bad("bytes are left over")),
        }
    }
}

/// The first bytes of what is long enough.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[..N]);
    array
}

impl From<BadOffer> for io::Error {
    fn from(error: BadOffer) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn offer() -> Offer {
        let way = |kind, text: &'static str| Way {
            address: Address::new(kind, text).expect("short"),
            capabilities: Capabilities::EVENTS | Capabilities::PUT,
        };
        Offer {
            host: Host {
                boot: 1 << 100,
                network: 7,
                user: 1000,
            },
            ways: vec![
                way(TransportKind::Tcp, "127.0.0.1:5"),
                way(TransportKind::Sm, "maser-sm-1"),
            ],
        }
    }

    #[test]
    fn an_offer_comes_back_from_the_wire_and_a_part_of_it_does_not() {
        let wire = offer().to_wire();
        assert_eq!(Offer::from_wire(&wire), Ok(offer()));
        for cut in 0..wire.len() {
            assert!(Offer::from_wire(&wire[..cut]).is_err(), "{cut} bytes");
        }
        assert!(Offer::from_wire(&[&wire[..], &[0]].concat()).is_err());
        let twice = Offer {
            ways: vec![offer().ways[0].clone(), offer().ways[0].clone()],
            ..offer()
        };
        assert!(Offer::from_wire(&twice.to_wire()).is_err());
    }

    proptest! {
        #[test]
        fn bytes_are_an_offer_or_an_error(at in 0_usize..70, byte in any::<u8>(), cut in 0_usize..100) {
            let mut wire = offer().to_wire();
            wire.truncate(cut);
            if let Some(place) = wire.get_mut(at) {
                *place = byte;
            }
            if let Ok(found) = Offer::from_wire(&wire) {
                prop_assert_eq!(Offer::from_wire(&found.to_wire()), Ok(found));
            }
        }
    }
}
