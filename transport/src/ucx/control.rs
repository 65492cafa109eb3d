//! What the ends say to each other over the connection beside UCX.
//!
//! ```text
//! byte 0  what   u8
//! byte 1  fields, numbers little endian
//!
//! 1 hello     version u8, name u64 that frames to here have, address of the worker
//! 2 bye       frames u32: so many were sent, and all are with the peer's worker
//! 3 ask       key 16 bytes: for a region
//! 4 grant     key, base u64, bytes u64, access u8, the key as UCX packs it
//! 5 no region key
//! 6 revoke    key: the region is to be let go
//! 7 let go    key: nothing is under way with it any more
//! 8 user      the last part of a control message of the users
//! 9 more      a part before it
//! ```

use crate::memory::{Access, MAX_KEY_BYTES};
use crate::message::Message;
use crate::request::MAX_CONTROL_BYTES;

/// Of what the ends say.
const VERSION: u8 = 1;
/// Bytes of the address of a worker, at most.
const MAX_WORKER_BYTES: usize = 64 << 10;

/// What a region is called between ends: who registered it, and its number there.
pub(super) type RegionKey = [u8; 16];

/// See the module's page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word<'a> {
    Hello { name: u64, worker: &'a [u8] },
    Bye { frames: u32 },
    Ask(RegionKey),
    Grant(RegionKey, Granted<'a>),
    NoRegion(RegionKey),
    Revoke(RegionKey),
    LetGo(RegionKey),
    User(&'a [u8]),
    More(&'a [u8]),
}

/// A region that may be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Granted<'a> {
    pub(super) base: u64,
    pub(super) bytes: u64,
    pub(super) access: Access,
    pub(super) packed: &'a [u8],
}

impl<'a> Word<'a> {
    pub(super) fn to_message(&self) -> Message {
        let mut bytes = Vec::new();
        match self {
            Self::Hello { name, worker } => {
                bytes.extend_from_slice(&[1, VERSION]);
                bytes.extend_from_slice(&name.to_le_bytes());
                bytes.extend_from_slice(worker);
            }
            Self::Bye { frames } => {
                bytes.push(2);
                bytes.extend_from_slice(&frames.to_le_bytes());
            }
            Self::Ask(key) => bytes.extend_from_slice(&[&[3], &key[..]].concat()),
            Self::Grant(key, granted) => {
                bytes.push(4);
                bytes.extend_from_slice(key);
                bytes.extend_from_slice(&granted.base.to_le_bytes());
                bytes.extend_from_slice(&granted.bytes.to_le_bytes());
                bytes.push(granted.access.bits());
                bytes.extend_from_slice(granted.packed);
            }
            Self::NoRegion(key) => bytes.extend_from_slice(&[&[5], &key[..]].concat()),
            Self::Revoke(key) => bytes.extend_from_slice(&[&[6], &key[..]].concat()),
            Self::LetGo(key) => bytes.extend_from_slice(&[&[7], &key[..]].concat()),
            Self::User(part) => bytes.extend_from_slice(&[&[8], *part].concat()),
            Self::More(part) => bytes.extend_from_slice(&[&[9], *part].concat()),
        }
        bytes.into()
    }

    /// What came.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let (what, rest) = bytes.split_first().ok_or("it says nothing")?;
        let key = || RegionKey::try_from(rest).map_err(|_| "a key of another length");
        Ok(match what {
            1 => {
                let (version, rest) = rest.split_first().ok_or("a hello that is cut off")?;
                if *version != VERSION {
                    return Err("another version of ucx ends");
                }
                let (name, worker) = number(rest).ok_or("a hello that is cut off")?;
                match worker.len() {
                    1..=MAX_WORKER_BYTES => Self::Hello { name, worker },
                    _ => return Err("an address of a worker that cannot be one"),
                }
            }
            2 => Self::Bye {
                frames: u32::from_le_bytes(rest.try_into().map_err(|_| "a bye of another length")?),
            },
            3 => Self::Ask(key()?),
            4 => {
                let (key, rest) = rest.split_first_chunk().ok_or("a grant that is cut off")?;
                Self::Grant(*key, granted(rest).ok_or("a grant that cannot be one")?)
            }
            5 => Self::NoRegion(key()?),
            6 => Self::Revoke(key()?),
            7 => Self::LetGo(key()?),
            8 => Self::User(rest),
            9 => Self::More(rest),
            _ => return Err("an unknown word"),
        })
    }
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}

fn granted(bytes: &[u8]) -> Option<Granted<'_>> {
    let (base, rest) = number(bytes)?;
    let (bytes, rest) = number(rest)?;
    let (access, packed) = rest.split_first()?;
    base.checked_add(bytes)?;
    (1..=MAX_KEY_BYTES)
        .contains(&packed.len())
        .then_some(Granted {
            base,
            bytes,
            access: Access::from_bits(*access)?,
            packed,
        })
}

/// A control message of the users, in words that are not too long.
pub(super) fn words_of(message: &[u8]) -> impl Iterator<Item = Message> {
    let most = MAX_CONTROL_BYTES - 1;
    let (first, last) = match message.split_at_checked(most) {
        Some((first, last)) if !last.is_empty() => (Some(first), last),
        _ => (None, message),
    };
    let first = first.map(|part| Word::More(part).to_message());
    first.into_iter().chain([Word::User(last).to_message()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all<'a>(key: RegionKey, bytes: &'a [u8]) -> Vec<Word<'a>> {
        let granted = Granted {
            base: 1 << 40,
            bytes: 77,
            access: Access::READ,
            packed: bytes,
        };
        vec![
            Word::Hello {
                name: 7,
                worker: bytes,
            },
            Word::Bye { frames: 3 },
            Word::Ask(key),
            Word::Grant(key, granted),
            Word::NoRegion(key),
            Word::Revoke(key),
            Word::LetGo(key),
            Word::User(bytes),
            Word::More(bytes),
        ]
    }

    proptest! {
        #[test]
        fn what_is_said_is_what_was_meant(
            key: RegionKey,
            bytes in prop::collection::vec(any::<u8>(), 1..200),
        ) {
            for word in all(key, &bytes) {
                let said = word.to_message();
                prop_assert_eq!(Word::read(&said), Ok(word));
            }
        }

        #[test]
        fn whatever_comes_is_read_or_refused(
            what in 0_u8..12,
            mut bytes in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            bytes.insert(0, what);
            if let Ok(word) = Word::read(&bytes) {
                prop_assert_eq!(&*word.to_message(), &*bytes);
            }
        }
    }

    #[test]
    fn a_region_that_ends_behind_the_last_address_is_none() {
        let granted = Granted {
            base: u64::MAX,
            bytes: 1,
            access: Access::READ,
            packed: b"k",
        };
        let said = Word::Grant([0; 16], granted).to_message();
        assert_eq!(Word::read(&said), Err("a grant that cannot be one"));
    }
}
