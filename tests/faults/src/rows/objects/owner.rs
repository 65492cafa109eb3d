//! The process that makes objects dies: what it gave stays, what it had not finished is not seen,
//! and its memory goes when nobody reads it any more.
#![allow(
    unsafe_code,
    reason = "looks at an extent as anybody may, and writes where it must not"
)]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use maser_shm::store::extent::ForeignExtent;
use maser_shm::store::{
    Descriptor, Foreign, ForeignObject, HugePages, PeerId, Release, Store, StoreConfig, StoreEvents,
};

use super::{OWNER, READER, add, announce, fill, give, number_in, small_store};
use crate::row::{Outcome, Row, broken, check};
use crate::stepper::{Stepped, Survivor, Victim};
use crate::wire::{self, Message};

/// Bytes of the object that the operation makes.
const BYTES: usize = 300;

/// The rows of this file.
pub const ROWS: [Row; 4] = [
    Row {
        name: "A1.alloc",
        claim: "an owner killed while it takes memory for an object: what it had given is whole, \
                and all its memory goes with the last reader",
        canary: "the extents of the dead are not let go of",
        run: |run| ALLOC.run(run),
    },
    Row {
        name: "A1.seal",
        claim: "an owner killed while it writes and seals: whatever says that it is sealed is whole",
        canary: "an object is sealed before it is written",
        run: |run| SEAL.run(run),
    },
    Row {
        name: "A1.send_ref",
        claim: "an owner killed while it gives and sends a reference: what arrived can be opened",
        canary: "the reference is sent, and then the object made",
        run: |run| SEND.run(run),
    },
    Row {
        name: "A1.grow",
        claim: "an owner killed while it takes, seals and announces an extent: what arrived can be \
                mapped, and nothing is left",
        canary: "the extent is announced before it is sealed",
        run: |run| GROW.run(run),
    },
];

/// A store that has given object 1, with room for more in its extent.
fn prepared(link: &UnixStream) -> Outcome<Store> {
    let store = small_store()?;
    store.add_peer(READER, "the survivor");
    drop(store.try_create(BYTES).map_err(broken)?);
    announce(&store, link)?;
    give(&store, link, 1, BYTES)?;
    Ok(store)
}

const ALLOC: Stepped = Stepped {
    victim: |link, marks, _| {
        let store = prepared(link)?;
        marks.begin();
        let object = store.try_create(BYTES).map_err(broken)?;
        marks.end();
        std::mem::forget(object);
        Ok(())
    },
    survivor: |planted| Heir::new(1, planted),
};

const SEAL: Stepped = Stepped {
    victim: |link, marks, planted| {
        let store = prepared(link)?;
        let mut object = store.try_create(BYTES).map_err(broken)?;
        marks.begin();
        let object = if planted {
            let start = object.as_mut_ptr();
            let object = object.seal();
            let mut late = [0; BYTES];
            fill(&mut late, 2);
            // SAFETY: the object's own memory. Writing it now is the planted bug.
            unsafe { start.copy_from_nonoverlapping(late.as_ptr(), BYTES) };
            object
        } else {
            fill(&mut object, 2);
            object.seal()
        };
        marks.end();
        std::mem::forget(object);
        Ok(())
    },
    survivor: |_| Heir::new(1, false),
};

const SEND: Stepped = Stepped {
    victim: |link, marks, planted| {
        let store = prepared(link)?;
        let mut object = store.try_create(BYTES).map_err(broken)?;
        fill(&mut object, 2);
        if planted {
            // Its name can be guessed: the place of a freed object is the next one's.
            let guess = object.seal().descriptor();
            let generation = guess.generation + 1;
            marks.begin();
            wire::send_ref(
                link,
                Descriptor {
                    generation,
                    ..guess
                },
            )?;
            let mut object = store.try_create(BYTES).map_err(broken)?;
            fill(&mut object, 2);
            let object = object.seal();
            store.give(&object, READER).map_err(broken)?;
            marks.end();
            return Ok(());
        }
        let object = object.seal();
        marks.begin();
        let descriptor = store.give(&object, READER).map_err(broken)?;
        wire::send_ref(link, descriptor)?;
        marks.end();
        Ok(())
    },
    survivor: |_| Heir::new(1, false),
};

/// Announces an extent as soon as there is one.
struct Announcer(Mutex<UnixStream>);

impl StoreEvents for Announcer {
    fn extent_made(&self, id: u32, file: BorrowedFd<'_>, bytes: u64) {
        let link = self.0.lock().expect("nobody panics here");
        wire::send_memory(&link, u64::from(id), bytes, file).expect("the survivor listens");
    }
}

const GROW: Stepped = Stepped {
    victim: |link, marks, planted| {
        let announcer = Announcer(Mutex::new(link.try_clone().map_err(broken)?));
        let config = StoreConfig {
            huge_pages: HugePages::Off,
            extent_bytes_first: 64 << 10,
            populate: false,
            owner: OWNER,
            events: Some(Arc::new(announcer)),
            ..StoreConfig::new(8 << 20)
        };
        let store = Store::new(config).map_err(broken)?;
        store.add_peer(READER, "the survivor");
        marks.begin();
        if planted {
            use maser_shm::os::shared_memory::{self, PageKind};
            let bytes = 64 << 10;
            let file = shared_memory::create("early", PageKind::Plain, bytes).map_err(broken)?;
            wire::send_memory(link, 0, bytes as u64, file.as_fd())?;
            shared_memory::seal(file.as_fd()).map_err(broken)?;
        } else {
            give(&store, link, 1, BYTES)?;
        }
        marks.end();
        Ok(())
    },
    survivor: |_| Heir::new(0, false),
};

/// Reads what a dead owner left.
struct Heir {
    foreign: Foreign,
    /// Objects that were given before the operation began.
    given: usize,
    planted: bool,
}

/// The dead need not be told.
struct Nobody;

impl Release for Nobody {
    fn release(&self, _owner: PeerId, _descriptor: Descriptor, _count: u64) {}
}

impl Heir {
    #[allow(clippy::new_ret_no_self, reason = "rows want any survivor")]
    fn new(given: usize, planted: bool) -> Outcome<Box<dyn Survivor>> {
        Ok(Box::new(Self {
            foreign: Foreign::new(Arc::new(Nobody)),
            given,
            planted,
        }))
    }
}

impl Survivor for Heir {
    fn round(&mut self, link: UnixStream, victim: Victim<'_>) -> Outcome<()> {
        let mut extents: Vec<(OwnedFd, u64)> = Vec::new();
        let mut objects: Vec<ForeignObject> = Vec::new();
        victim.wait_for_death()?;
        // All that was sent is still there.
        while let Some(message) = wire::receive(&link)? {
            match message {
                Message::Memory {
                    number,
                    bytes,
                    file,
                } => {
                    add(&self.foreign, number, bytes, &file)?;
                    extents.push((file, bytes));
                }
                Message::Ref(descriptor) => {
                    let object = self.foreign.open(OWNER, descriptor).map_err(broken)?;
                    check(number_in(&object)? == objects.len() + 1, || {
                        "an object is another".into()
                    })?;
                    objects.push(object);
                }
                other => return Err(broken(format!("{other:?} came"))),
            }
        }
        check(objects.len() >= self.given, || {
            "an object that was given did not come".into()
        })?;
        if !self.planted {
            self.foreign.remove_peer(OWNER);
        }
        for (file, bytes) in &extents {
            sealed_is_whole(file, *bytes)?;
        }
        // They stay readable without their owner and without its entry in the list.
        for object in &objects {
            number_in(object)?;
        }
        if self.planted {
            // The next owner's extents have the same numbers.
            std::mem::forget(std::mem::replace(
                &mut self.foreign,
                Foreign::new(Arc::new(Nobody)),
            ));
        }
        Ok(())
    }
}

/// Looks at all lines that could be a mark: what says that it is sealed must be whole.
fn sealed_is_whole(file: &OwnedFd, bytes: u64) -> Outcome<()> {
    const UNIT: usize = 64;
    const SEALED: u64 = 2;
    let extent = ForeignExtent::attach(file.as_fd(), bytes, "the victim").map_err(broken)?;
    let end = extent.bytes();
    // SAFETY: inside of the extent and aligned; words of a peer's are read once.
    let word = |at: usize| unsafe {
        extent
            .start()
            .as_ptr()
            .add(at)
            .cast::<u64>()
            .read_volatile()
    };
    for at in (0..end - UNIT).step_by(UNIT) {
        let (stamp, size) = (word(at), word(at + 8));
        let rest_is_zero = (16..UNIT).step_by(8).all(|more| word(at + more) == 0);
        if stamp & 3 != SEALED || !rest_is_zero {
            continue;
        }
        let size = usize::try_from(size).map_err(broken)?;
        check(size <= end - at - UNIT, || {
            format!("a sealed object of {size} bytes at {at}")
        })?;
        let mut payload = vec![0; size];
        for (index, byte) in payload.iter_mut().enumerate() {
            // SAFETY: inside by the check above.
            *byte = unsafe {
                extent
                    .start()
                    .as_ptr()
                    .add(at + UNIT + index)
                    .read_volatile()
            };
        }
        number_in(&payload)?;
    }
    Ok(())
}
