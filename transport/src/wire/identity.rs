//! Who an end is, and what it asks of its peers.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// What a job's processes share and others do not know.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl Secret {
    /// These 256 bits.
    #[must_use]
    pub const fn new(bits: [u8; 32]) -> Self {
        Self(bits)
    }

    pub(super) const fn bits(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret")
    }
}

/// What an end is in its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Role {
    /// The node that has the job's control store.
    Head = 1,
    /// Any other node.
    Node = 2,
    /// A program that runs on no node.
    Client = 3,
}

impl Role {
    pub(super) fn from_wire(number: u8) -> Option<Self> {
        [Self::Head, Self::Node, Self::Client]
            .into_iter()
            .find(|role| *role as u8 == number)
    }
}

/// Who an end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The job.
    pub job: [u8; 16],
    /// The node in it.
    pub node: u64,
    /// What it is.
    pub role: Role,
}

/// How data is protected on its way. Control messages are encrypted whenever there is a secret, whatever
/// this is; of two ends the stricter one has its will.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Integrity {
    /// It is not: for networks that nobody else is in.
    None = 0,
    /// Nobody on the way can change, repeat, reorder or leave out anything. Nor read it, as it is now: the
    /// cheapest way to authenticate encrypts as well ([`seal`](super::seal)).
    Mac = 1,
    /// Nor can anybody read it.
    Aead = 2,
}

impl Integrity {
    const ALL: [Self; 3] = [Self::None, Self::Mac, Self::Aead];

    /// What there is between two addresses if nobody asks for anything: [`Mac`](Self::Mac), and
    /// [`None`](Self::None) within one host, where only the kernel is on the way.
    #[must_use]
    pub fn between(here: IpAddr, there: IpAddr) -> Self {
        match here.to_canonical() == there.to_canonical() || there.to_canonical().is_loopback() {
            true => Self::None,
            false => Self::Mac,
        }
    }

    pub(super) fn from_wire(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|one| *one as u8 == number)
    }

    /// What knobs call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Mac => "mac",
            Self::Aead => "aead",
        }
    }
}

impl fmt::Display for Integrity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that means none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no kind of integrity; there are none, mac and aead")]
pub struct UnknownIntegrity {
    /// The name.
    pub found: String,
}

impl FromStr for Integrity {
    type Err = UnknownIntegrity;

    fn from_str(name: &str) -> Result<Self, UnknownIntegrity> {
        let found = Self::ALL.into_iter().find(|one| one.name() == name);
        found.ok_or_else(|| UnknownIntegrity { found: name.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_protected_between_hosts_and_not_within_one() {
        let between = |here: &str, there: &str| {
            let parse = |text: &str| text.parse().expect("an address");
            Integrity::between(parse(here), parse(there))
        };
        for (here, there) in [
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            ("10.0.0.1", "10.0.0.1"),
            ("::ffff:127.0.0.1", "127.0.0.2"),
        ] {
            assert_eq!(between(here, there), Integrity::None, "{here} {there}");
        }
        for (here, there) in [("10.0.0.1", "10.0.0.2"), ("127.0.0.1", "10.0.0.2")] {
            assert_eq!(between(here, there), Integrity::Mac, "{here} {there}");
        }
    }

    #[test]
    fn kinds_of_integrity_are_found_by_name() {
        for one in Integrity::ALL {
            assert_eq!(one.name().parse(), Ok(one));
            assert_eq!(Integrity::from_wire(one as u8), Some(one));
        }
        let error = "sha".parse::<Integrity>().expect_err("there is none");
        assert!(error.to_string().contains("aead"), "{error}");
        assert_eq!(Integrity::from_wire(3), None);
        assert!(Integrity::Aead > Integrity::Mac && Integrity::Mac > Integrity::None);
    }

    #[test]
    fn a_secret_is_not_printed() {
        let printed = format!("{:?}", Secret::new([7; 32]));
        assert_eq!(printed, "a secret");
    }
}
