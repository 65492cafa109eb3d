//! An owner that dies while it makes an extent, and a reader that dies while it maps one.
#![allow(unsafe_code, reason = "reads and writes mapped memory")]

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::ptr::NonNull;

use maser_shm::os::shared_memory::{self, PageKind, View};
use maser_shm::store::extent::{Extent, ForeignExtent};

use crate::marks::Marks;
use crate::row::{Outcome, Row, broken, check};
use crate::stepper::{Stepped, Survivor, Victim};

const BYTES: usize = 64 << 10;
const PATTERN: u8 = 0xa5;

/// The rows of this file.
pub const ROWS: [Row; 2] = [
    Row {
        name: "A1.extent",
        claim: "an owner killed while it makes, seals and sends an extent leaves nothing behind, \
                and what has arrived can be read",
        canary: "the extent is sent before it is sealed",
        run: |run| OWNER.run(run),
    },
    Row {
        name: "A1.map",
        claim: "a reader killed while it maps, reads and unmaps an extent harms neither the bytes \
                nor the owner",
        canary: "the reader gets memory that it can write, and cleans it on its way out",
        run: |run| READER.run(run),
    },
];

const OWNER: Stepped = Stepped {
    victim: make_and_send,
    survivor: |_| Ok(Box::new(Receiver)),
};

fn make_and_send(link: &UnixStream, marks: &Marks, planted: bool) -> Outcome<()> {
    marks.begin();
    if planted {
        let file = shared_memory::create("early", PageKind::Plain, BYTES).map_err(broken)?;
        shared_memory::allocate(file.as_fd(), BYTES).map_err(broken)?;
        let view = View::map(file.as_fd(), BYTES, true).map_err(broken)?;
        write_pattern(view.start());
        shared_memory::send(link, b"e", &[file.as_fd()]).map_err(broken)?;
        shared_memory::seal(file.as_fd()).map_err(broken)?;
    } else {
        let extent = Extent::create(BYTES, PageKind::Plain).map_err(broken)?;
        write_pattern(extent.start());
        shared_memory::send(link, b"e", &[extent.file()]).map_err(broken)?;
    }
    marks.end();
    Ok(())
}

/// Reads what arrived from an owner that is dead.
struct Receiver;

impl Survivor for Receiver {
    fn round(&mut self, link: UnixStream, victim: Victim<'_>) -> Outcome<()> {
        victim.wait_for_death()?;
        let (count, files) = shared_memory::receive(&link, &mut [0; 8]).map_err(broken)?;
        check(files.len() == count, || {
            format!("{count} bytes and {} files", files.len())
        })?;
        for file in files {
            let extent = attach(&file)?;
            check(is_pattern(extent.start()), || {
                "bytes of an extent that was sent are not there".into()
            })?;
        }
        Ok(())
    }
}

const READER: Stepped = Stepped {
    victim: map_and_read,
    survivor: |planted| Ok(Box::new(Owner::new(planted)?)),
};

fn map_and_read(link: &UnixStream, marks: &Marks, planted: bool) -> Outcome<()> {
    let (_, mut files) = shared_memory::receive(link, &mut [0; 1]).map_err(broken)?;
    let file = files.pop().ok_or_else(|| broken("no extent came"))?;
    marks.begin();
    let sum = if planted {
        let view = View::map(file.as_fd(), BYTES, true).map_err(broken)?;
        // SAFETY: inside of the view.
        unsafe { view.start().as_ptr().write(0) };
        0
    } else {
        let extent = attach(&file)?;
        u32::from(is_pattern(extent.start()))
    };
    std::hint::black_box(sum);
    drop(file);
    marks.end();
    Ok(())
}

/// Has one extent, and shows it to all victims.
struct Owner {
    file: OwnedFd,
    memory: Memory,
}

/// What the owner wrote into.
enum Memory {
    Extent(Extent),
    /// As an extent would be without its seals.
    Open(View),
}

impl Owner {
    fn new(planted: bool) -> Outcome<Self> {
        let (file, memory) = if planted {
            let file = shared_memory::create("open", PageKind::Plain, BYTES).map_err(broken)?;
            let view = View::map(file.as_fd(), BYTES, true).map_err(broken)?;
            (file, Memory::Open(view))
        } else {
            let extent = Extent::create(BYTES, PageKind::Plain).map_err(broken)?;
            let file = extent.file().try_clone_to_owned().map_err(broken)?;
            (file, Memory::Extent(extent))
        };
        write_pattern(memory.start());
        Ok(Self { file, memory })
    }
}

impl Memory {
    fn start(&self) -> NonNull<u8> {
        match self {
            Self::Extent(extent) => extent.start(),
            Self::Open(view) => view.start(),
        }
    }
}

impl Survivor for Owner {
    fn round(&mut self, link: UnixStream, victim: Victim<'_>) -> Outcome<()> {
        shared_memory::send(&link, b"e", &[self.file.as_fd()]).map_err(broken)?;
        victim.wait_for_death()?;
        check(is_pattern(self.memory.start()), || {
            "a reader changed the bytes of the extent".into()
        })?;
        if let Memory::Extent(_) = self.memory {
            let again = attach(&self.file)?;
            check(is_pattern(again.start()), || {
                "the extent cannot be read any more".into()
            })?;
        }
        Ok(())
    }
}

fn attach(file: &OwnedFd) -> Outcome<ForeignExtent> {
    ForeignExtent::attach(file.as_fd(), BYTES as u64, "the victim").map_err(broken)
}

/// Bytes that are looked at: a whole extent would be a million steps.
const PLACES: [usize; 4] = [0, 1, BYTES / 2, BYTES - 1];

fn write_pattern(start: NonNull<u8>) {
    for at in PLACES {
        // SAFETY: inside of a mapping of `BYTES` bytes that nobody else has seen.
        unsafe { start.as_ptr().add(at).write_volatile(PATTERN) };
    }
}

fn is_pattern(start: NonNull<u8>) -> bool {
    PLACES.into_iter().all(|at| {
        // SAFETY: inside of a mapping of `BYTES` bytes; a byte others may write is read once.
        unsafe { start.as_ptr().add(at).read_volatile() == PATTERN }
    })
}
