//! Where an end is: what decides whether shared memory reaches it.

use maser_shm::liveness::{LivenessError, ProcessIdentity};
use std::fs;

/// A host, as far as its processes can find each other by names of Unix sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// The boot of the machine. Two machines never have the same.
    pub boot: u128,
    /// The network namespace: names of abstract sockets mean something in it. 0 if it is not known.
    pub network: u64,
    /// The user.
    pub user: u32,
}

impl Host {
    /// That of this process.
    ///
    /// # Errors
    /// [`LivenessError`] where `/proc` cannot be read.
    pub fn own() -> Result<Self, LivenessError> {
        let boot = ProcessIdentity::own()?.boot;
        let link = fs::read_link("/proc/self/ns/net").ok();
        let network = link.as_ref().and_then(|link| {
            let (_, number) = link.to_str()?.split_once('[')?;
            number.strip_suffix(']')?.parse().ok()
        });
        Ok(Self {
            boot,
            network: network.unwrap_or(0),
            user: rustix::process::geteuid().as_raw(),
        })
    }

    /// Why processes of this host cannot share memory with those of another, if they cannot.
    #[must_use]
    pub fn why_not_shared(&self, other: &Self) -> Option<&'static str> {
        if self.boot != other.boot {
            Some("the peer is on another host")
        } else if self.network != other.network || self.network == 0 {
            Some("the peer is in another network namespace (a container of its own)")
        } else if self.user != other.user {
            Some("the peer is of another user")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_shared_within_a_boot_a_namespace_and_a_user() {
        let own = Host::own().expect("/proc");
        assert_eq!(own.why_not_shared(&own), None);
        let elsewhere = Host {
            boot: !own.boot,
            ..own
        };
        let container = Host {
            network: own.network + 1,
            ..own
        };
        let somebody = Host {
            user: own.user + 1,
            ..own
        };
        for (other, word) in [
            (elsewhere, "host"),
            (container, "namespace"),
            (somebody, "user"),
        ] {
            let why = own.why_not_shared(&other).expect("it is not shared");
            assert!(why.contains(word), "{why}");
        }
    }
}
