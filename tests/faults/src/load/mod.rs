//! A supervisor and workers that make objects, give them to each other, read them and let go.
//!
//! ```text
//! supervisor  --- down ring: Given, Released --->  worker
//!             <--- up ring: Given, Released ---
//!             <------ socket: extents ------>
//! ```
//!
//! Every object says which bytes it must have. The supervisor may kill a worker at any instant; what
//! the worker had published must all be there, and nothing may stay behind.
//!
//! - LD-1 an extent is on its way before the first descriptor that names it.
//! - LD-2 each reference that is given is taken back once, or settled when its holder died.

mod supervisor;
mod worker;

pub use supervisor::{Supervisor, WORKERS};

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use maser_shm::channel::Shared;
use maser_shm::channel::spsc::{
    LineReceiver, LineSender, line_bytes, line_receiver_in, line_sender_in,
};
use maser_shm::control::ControlMemory;
use maser_shm::store::{
    Descriptor, Foreign, ForeignObject, HugePages, PeerId, Release, Store, StoreConfig, StoreError,
    StoreEvents,
};

use crate::row::{Outcome, broken, check};
use crate::wire::{self, Message};

/// Slots of a ring.
const CAPACITY: usize = 64;
/// References that one side has given to the other and not got back.
const GIVEN_MAX: u64 = 8;

/// A message in a ring: its kind, and a descriptor.
type Line = [u64; 4];

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Given(Descriptor),
    Released(Descriptor),
}

impl News {
    fn line(self) -> Line {
        let (kind, descriptor) = match self {
            Self::Given(descriptor) => (1, descriptor),
            Self::Released(descriptor) => (2, descriptor),
        };
        let place = u64::from(descriptor.extent) << 32 | u64::from(descriptor.unit);
        [kind, place, descriptor.generation, descriptor.bytes]
    }

    fn of([kind, place, generation, bytes]: Line) -> Outcome<Self> {
        let descriptor = Descriptor {
            extent: (place >> 32) as u32,
            unit: place as u32,
            generation,
            bytes,
        };
        match kind {
            1 => Ok(Self::Given(descriptor)),
            2 => Ok(Self::Released(descriptor)),
            _ => Err(broken(format!("a line of kind {kind} came"))),
        }
    }
}

/// What is to be sent back, from whichever thread drops.
#[derive(Clone, Default)]
struct Releases(Arc<Mutex<Vec<(PeerId, Descriptor)>>>);

impl Releases {
    fn take(&self) -> Vec<(PeerId, Descriptor)> {
        std::mem::take(&mut *self.0.lock().expect("nobody panics here"))
    }
}

impl Release for Releases {
    fn release(&self, owner: PeerId, descriptor: Descriptor, count: u64) {
        let mut list = self.0.lock().expect("nobody panics here");
        for _ in 0..count {
            list.push((owner, descriptor));
        }
    }
}

/// Announces extents to all that listen (LD-1).
#[derive(Default)]
struct Announcer(Mutex<Vec<(PeerId, UnixStream)>>);

impl StoreEvents for Announcer {
    fn extent_made(&self, id: u32, file: BorrowedFd<'_>, bytes: u64) {
        for (_, link) in self.0.lock().expect("nobody panics here").iter() {
            // One that is dead hears nothing.
            let _sent = wire::send_memory(link, u64::from(id), bytes, file);
        }
    }
}

fn store(announcer: &Arc<Announcer>, owner: PeerId, huge: bool) -> Outcome<Store> {
    let config = StoreConfig {
        huge_pages: if huge {
            HugePages::Auto
        } else {
            HugePages::Off
        },
        extent_bytes_first: 128 << 10,
        populate: false,
        owner,
        events: Some(Arc::<Announcer>::clone(announcer)),
        ..StoreConfig::new(16 << 20)
    };
    Store::new(config).map_err(broken)
}

/// Both rings of a pair of processes.
struct Rings {
    sender: LineSender<Line, Shared>,
    receiver: LineReceiver<Line, Shared>,
}

impl Rings {
    fn bytes() -> Outcome<usize> {
        let bytes = line_bytes::<Line>(CAPACITY).map_err(broken)?;
        Ok(2 * bytes.next_multiple_of(4096))
    }

    /// This side of them; the supervisor sends over the first.
    fn open(memory: &ControlMemory, is_supervisor: bool) -> Outcome<Self> {
        let half = memory.bytes() / 2;
        let down = memory.region(0, half).map_err(broken)?;
        let up = memory.region(half, half).map_err(broken)?;
        let (to, from) = if is_supervisor {
            (down, up)
        } else {
            (up, down)
        };
        Ok(Self {
            sender: line_sender_in(&to, CAPACITY).map_err(broken)?,
            receiver: line_receiver_in(&from, CAPACITY).map_err(broken)?,
        })
    }
}

/// Opens what was given; extents that were announced meanwhile are taken in before.
fn open(
    foreign: &Foreign,
    owner: PeerId,
    descriptor: Descriptor,
    link: &UnixStream,
) -> Outcome<ForeignObject> {
    let object = loop {
        match foreign.open(owner, descriptor) {
            Err(StoreError::UnknownExtent { .. }) => {}
            other => break other.map_err(broken)?,
        }
        match wire::receive(link)? {
            Some(Message::Memory {
                number,
                bytes,
                file,
            }) => {
                let number = u32::try_from(number).map_err(broken)?;
                let added = foreign.add_extent(owner, number, file.as_fd(), bytes);
                added.map_err(broken)?;
            }
            other => return Err(broken(format!("an extent should come, not {other:?}"))),
        }
    };
    check(object.len() as u64 == descriptor.bytes, || {
        "another size".into()
    })?;
    Ok(object)
}
