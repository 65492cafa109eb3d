//! Objects of which the owner or the reader dies.
//!
//! | file | who dies |
//! |---|---|
//! | [`owner`] | `A1.grow`, `A1.alloc`, `A1.seal`, `A1.send_ref`: the process that makes objects |
//! | [`reader`] | `A1.get`, `A1.release`, `A1.receive_ref`: a process that was given some |

mod owner;
mod reader;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use maser_shm::store::{Foreign, HugePages, PeerId, Store, StoreConfig};

use crate::pattern::{fill, number_in};
use crate::row::{Outcome, Row, broken, check};
use crate::wire::{self, Message};

/// The rows of this folder.
pub fn rows() -> impl Iterator<Item = Row> {
    owner::ROWS.into_iter().chain(reader::ROWS)
}

/// Whoever makes objects in a row.
const OWNER: PeerId = PeerId(1);
/// Whoever reads them.
const READER: PeerId = PeerId(2);

/// A store without threads of its own, so that the points of an operation are always the same.
fn small_store() -> Outcome<Store> {
    let config = StoreConfig {
        huge_pages: HugePages::Off,
        extent_bytes_first: 64 << 10,
        populate: false,
        owner: OWNER,
        ..StoreConfig::new(8 << 20)
    };
    Store::new(config).map_err(broken)
}

/// Makes a sealed object with this number in it, gives it to the reader and sends it.
fn give(store: &Store, link: &UnixStream, number: usize, bytes: usize) -> Outcome<()> {
    let mut object = store.try_create(bytes).map_err(broken)?;
    fill(&mut object, number);
    let object = object.seal();
    let descriptor = store.give(&object, READER).map_err(broken)?;
    wire::send_ref(link, descriptor)
}

/// Sends all extents.
fn announce(store: &Store, link: &UnixStream) -> Outcome<()> {
    let mut outcome = Ok(());
    store.extents(|number, file, bytes| {
        let sent = wire::send_memory(link, u64::from(number), bytes, file);
        if sent.is_err() {
            outcome = sent;
        }
    });
    outcome
}

/// Maps an extent that was announced.
fn add(foreign: &Foreign, number: u64, bytes: u64, file: &OwnedFd) -> Outcome<()> {
    use std::os::fd::AsFd;
    let number = u32::try_from(number).map_err(broken)?;
    foreign
        .add_extent(OWNER, number, file.as_fd(), bytes)
        .map_err(broken)
}

/// Takes in extents until something else comes.
fn next_ref(foreign: &Foreign, link: &UnixStream) -> Outcome<Option<Message>> {
    loop {
        match wire::receive(link)? {
            Some(Message::Memory {
                number,
                bytes,
                file,
            }) => add(foreign, number, bytes, &file)?,
            other => return Ok(other),
        }
    }
}

/// Whether the store has so many objects, and whether its peers hold any.
fn has(store: &Store, objects: u64, held: bool, when: &str) -> Outcome<()> {
    let usage = store.usage();
    check(usage.objects == objects, || {
        format!("{} objects and not {objects} {when}", usage.objects)
    })?;
    let holders = store.holders();
    let peers = holders.iter().any(|holder| {
        holder.objects > 0 && !matches!(holder.kind, maser_shm::store::HolderKind::Own)
    });
    check(peers == held, || {
        format!("the holders are {holders:?} {when}")
    })
}
