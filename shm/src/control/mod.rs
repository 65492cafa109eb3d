//! Control memory: what several processes write, mapped by all of them.
//!
//! Rings, call slots and events between processes lie here; data does not (`store::extent`).
//!
//! ```text
//! file      plain pages, one for each pair of processes where possible
//! region    a part of it that begins on a boundary of REGION_ALIGN bytes: one ring, one event
//! ```
//!
//! - CM-1 the file is sealed before anybody else has it (SF-5) and all its memory is taken before
//!   it is used, so no touch of it ever faults for want of memory.
//! - CM-2 fresh memory is zero, and zero is the initial state of all that lies in it. So no side
//!   initialises anything for another, and none waits for that.
//! - CM-3 every word is input: read once, through an atomic or by a copy, checked, then used. No
//!   reference is made to what is not an atomic. A value is [`Plain`], so that any bytes are one.
//! - CM-4 a [`Region`] keeps the mapping alive and lies inside it, at the boundary it promises.
//! - CM-5 what arrives from another process is mapped only with the seals and the size it is said
//!   to have.

mod error;
mod plain;
mod region;

pub use error::ControlError;
pub use plain::Plain;
pub use region::{Carver, REGION_ALIGN, Region};

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;

use rustix::process::{Resource, getrlimit};

use crate::os::memory;
use crate::os::shared_memory::{self, PageKind, View};

/// Bytes of the largest control memory.
pub const BYTES_MAX: usize = 1 << 40;

/// Memory that this process and others write. Clones are the same mapping.
#[derive(Clone, Debug)]
pub struct ControlMemory(Arc<Mapped>);

/// A file and where this process sees it.
#[derive(Debug)]
pub(crate) struct Mapped {
    file: OwnedFd,
    view: View,
}

impl ControlMemory {
    /// Takes `bytes`, rounded up to whole pages, all zero.
    ///
    /// # Errors
    /// [`ControlError`] with the figures asked for and free; nothing is kept then.
    pub fn create(bytes: usize) -> Result<Self, ControlError> {
        let whole = bytes
            .checked_next_multiple_of(PageKind::Plain.bytes())
            .filter(|whole| (1..=BYTES_MAX).contains(whole))
            .ok_or(ControlError::Size {
                bytes,
                max: BYTES_MAX,
            })?;
        let short = || ControlError::MemoryShort {
            asked: whole,
            available: memory::available_bytes().unwrap_or(0),
        };
        if memory::available_bytes().is_some_and(|available| available < whole as u64) {
            return Err(short());
        }
        let refused = |what| refused(what, whole);
        let file =
            shared_memory::create("maser-control", PageKind::Plain, whole).map_err(|source| {
                match getrlimit(Resource::Fsize).current {
                    Some(limit) if source.raw_os_error() == Some(libc::EFBIG) => {
                        ControlError::FileSize {
                            asked: whole,
                            limit,
                        }
                    }
                    _ => refused("make")(source),
                }
            })?;
        shared_memory::allocate(file.as_fd(), whole).map_err(|source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::OutOfMemory => short(),
            _ => refused("allocate")(source),
        })?;
        shared_memory::seal_size(file.as_fd()).map_err(refused("seal"))?;
        Self::map(file, whole)
    }

    /// Maps the control memory that arrived from the process `from`, which says that it has
    /// `claimed` bytes (CM-5).
    ///
    /// # Errors
    /// [`ControlError::NotSealed`], [`ControlError::OtherSize`], or what the kernel said.
    pub fn attach(file: OwnedFd, claimed: u64, from: &str) -> Result<Self, ControlError> {
        let bytes = usize::try_from(claimed).unwrap_or(usize::MAX);
        if !(1..=BYTES_MAX).contains(&bytes) {
            return Err(ControlError::Size {
                bytes,
                max: BYTES_MAX,
            });
        }
        let from = from.to_owned();
        if !shared_memory::is_size_sealed(file.as_fd()).unwrap_or(false) {
            return Err(ControlError::NotSealed { from });
        }
        // The size cannot change any more.
        let found = shared_memory::file_bytes(file.as_fd()).map_err(refused("measure", bytes))?;
        if found != claimed {
            return Err(ControlError::OtherSize {
                from,
                claimed,
                found,
            });
        }
        // Whoever made it may have skipped this; CM-1 must hold here all the same.
        shared_memory::allocate(file.as_fd(), bytes).map_err(refused("allocate", bytes))?;
        Self::map(file, bytes)
    }

    fn map(file: OwnedFd, bytes: usize) -> Result<Self, ControlError> {
        let view = View::map(file.as_fd(), bytes, true).map_err(refused("map", bytes))?;
        // Spares the first round its page faults. Older kernels do not know it.
        let _populated = view.populate(0, bytes);
        Ok(Self(Arc::new(Mapped { file, view })))
    }

    /// The descriptor to send to other processes.
    #[must_use]
    pub fn file(&self) -> BorrowedFd<'_> {
        self.0.file.as_fd()
    }

    /// Bytes of the memory, whole pages.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.view.bytes()
    }

    /// The part of `bytes` bytes that begins at `offset`.
    ///
    /// # Errors
    /// [`ControlError::Region`] if it is empty, lies outside, or does not begin on a boundary of
    /// [`REGION_ALIGN`] bytes.
    pub fn region(&self, offset: usize, bytes: usize) -> Result<Region, ControlError> {
        Region::new(self, offset, bytes)
    }

    /// All of it.
    #[must_use]
    pub fn whole(&self) -> Region {
        Region::new(self, 0, self.bytes()).expect("a mapping is not empty and begins at a page")
    }

    fn start(&self) -> NonNull<u8> {
        self.0.view.start()
    }

    /// The mapping itself, for ends that count it in a way of their own (`channel::mapped`).
    #[cfg(not(loom))]
    pub(crate) fn mapping(&self) -> Arc<Mapped> {
        self.0.clone()
    }
}

fn refused(what: &'static str, bytes: usize) -> impl Fn(io::Error) -> ControlError {
    move |source| ControlError::Refused {
        what,
        bytes,
        source,
    }
}
