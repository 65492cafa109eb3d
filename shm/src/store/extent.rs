//! Extents: the unit in which a process takes memory for objects and gives it back.
//!
//! An extent is a file without a name, mapped writable by the process that made it and by nobody
//! else. It leaves no name behind: its memory goes back when the last descriptor and the last
//! mapping of it are gone, however their processes end.
//!
//! - EX-1 one writer: the file is sealed after its owner has mapped it (SF-1), so no other process
//!   can ever write, shrink or punch it.
//! - EX-2 no touch of an extent faults for want of memory: huge pages are reserved when they are
//!   mapped, plain ones are allocated before the extent is handed out.
//! - EX-3 an extent that arrives from another process is mapped only if it has the seals and the
//!   size it is said to have, so no peer can take the ground away under a reader.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;

use crate::os::memory::{self, HugePool};
use crate::os::numa;
use crate::os::shared_memory::{self, PageKind, View};

/// Why there is no extent, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExtentError {
    /// No extent has this size.
    #[error("an extent of {bytes} bytes cannot be; ask for 1 byte to {max} bytes")]
    Size {
        /// Bytes asked for.
        bytes: usize,
        /// Bytes of the largest one.
        max: usize,
    },
    /// The machine has no pages of this size.
    #[error(
        "this machine has no huge pages of {page_bytes} bytes ({source}); boot it with \
         hugepagesz={page_bytes}, or use smaller pages (huge_pages = auto)"
    )]
    NoHugePages {
        /// Bytes of a page.
        page_bytes: usize,
        /// What the kernel said.
        source: io::Error,
    },
    /// The pool of huge pages is too small.
    #[error(
        "{asked} huge pages of {page_bytes} bytes are needed and {free} are free; as root: \
         echo {total} > /sys/kernel/mm/hugepages/hugepages-{kib}kB/nr_hugepages, or use plain \
         pages (huge_pages = auto)", kib = page_bytes >> 10
    )]
    HugePagesShort {
        /// Pages asked for.
        asked: u64,
        /// Pages that nobody uses or was promised.
        free: u64,
        /// Size of a pool that would do.
        total: u64,
        /// Bytes of a page.
        page_bytes: usize,
    },
    /// There is not enough memory.
    #[error(
        "{asked} bytes of memory are needed and {available} can be had; lower store_bytes, end \
         other programs, or raise the cgroup's memory.max"
    )]
    MemoryShort {
        /// Bytes asked for.
        asked: usize,
        /// Bytes that can be had.
        available: u64,
    },
    /// The kernel refused for another reason.
    #[error("cannot {what} an extent of {bytes} bytes: {source}{remedy}")]
    Refused {
        /// What was to be done.
        what: &'static str,
        /// Bytes of the extent.
        bytes: usize,
        /// What the kernel said.
        source: io::Error,
        /// What to do, if it is known.
        remedy: &'static str,
    },
    /// What arrived is no extent.
    #[error(
        "the extent of {from} is not sealed, so its memory could go away under its readers; both \
         processes must be of the same build"
    )]
    NotSealed {
        /// The process that sent it.
        from: String,
    },
    /// What arrived has another size.
    #[error("the extent of {from} has {found} bytes and not {claimed}; it is not used")]
    OtherSize {
        /// The process that sent it.
        from: String,
        /// Bytes it is said to have.
        claimed: u64,
        /// Bytes it has.
        found: u64,
    },
}

/// Bytes of the largest extent: offsets in it fit 48 bits.
pub const BYTES_MAX: usize = 1 << 47;

/// Memory that this process writes and others may read (EX-1).
#[derive(Debug)]
pub struct Extent {
    file: OwnedFd,
    view: View,
    pages: PageKind,
}

impl Extent {
    /// Takes `bytes`, rounded up to whole `pages`.
    ///
    /// # Errors
    /// [`ExtentError`] with the figures asked for and free; nothing is kept then.
    pub fn create(bytes: usize, pages: PageKind) -> Result<Self, ExtentError> {
        Self::create_on(bytes, pages, None)
    }

    /// As [`create`](Self::create), of the memory of a NUMA node while that has any.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_on(
        bytes: usize,
        pages: PageKind,
        node: Option<u32>,
    ) -> Result<Self, ExtentError> {
        let whole = bytes
            .checked_next_multiple_of(pages.bytes())
            .filter(|whole| (1..=BYTES_MAX).contains(whole));
        let Some(whole) = whole else {
            let max = BYTES_MAX;
            return Err(ExtentError::Size { bytes, max });
        };
        let refused = |what| {
            move |source| ExtentError::Refused {
                what,
                bytes: whole,
                source,
                remedy: remedy(what),
            }
        };
        if pages == PageKind::Plain {
            check_memory(whole)?;
        }
        let file = shared_memory::create("maser-extent", pages, whole).map_err(|source| {
            if pages == PageKind::Plain {
                refused("make")(source)
            } else {
                ExtentError::NoHugePages {
                    page_bytes: pages.bytes(),
                    source,
                }
            }
        })?;
        let view = View::map(file.as_fd(), whole, true).map_err(|source| {
            if pages != PageKind::Plain && source.kind() == io::ErrorKind::OutOfMemory {
                short_of_pages(whole, pages, memory::huge_pool(pages))
            } else {
                refused("map")(source)
            }
        })?;
        if let Some(node) = node {
            numa::prefer(&view, node).map_err(refused("place"))?;
        }
        if pages == PageKind::Plain {
            view.advise_huge();
            shared_memory::allocate(file.as_fd(), whole).map_err(|source| match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::OutOfMemory => {
                    ExtentError::MemoryShort {
                        asked: whole,
                        available: memory::available_bytes().unwrap_or(0),
                    }
                }
                _ => refused("allocate")(source),
            })?;
        }
        shared_memory::seal(file.as_fd()).map_err(refused("seal"))?;
        Ok(Self { file, view, pages })
    }

    /// First byte; this process may write from here on.
    #[must_use]
    pub fn start(&self) -> NonNull<u8> {
        self.view.start()
    }

    /// Bytes of the extent, whole pages.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.view.bytes()
    }

    /// What it is made of.
    #[must_use]
    pub fn pages(&self) -> PageKind {
        self.pages
    }

    /// Faults the pages of a part in, so that its first use costs no fault. In the background, part
    /// by part: a page of 1 GiB takes a tenth of a second.
    ///
    /// # Errors
    /// [`ExtentError::Refused`] outside of the extent.
    pub fn populate(&self, from: usize, bytes: usize) -> Result<(), ExtentError> {
        let populated = self.view.populate(from, bytes);
        populated.map_err(|source| ExtentError::Refused {
            what: "populate a part of",
            bytes: self.bytes(),
            source,
            remedy: "",
        })
    }

    /// The descriptor to send to readers.
    #[must_use]
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Another process's extent, to be read. It stays readable after its owner is dead.
#[derive(Debug)]
pub struct ForeignExtent {
    view: View,
    file_number: (u64, u64),
}

impl ForeignExtent {
    /// Maps an extent that arrived from the process `from`, which says that it has `claimed` bytes
    /// (EX-3).
    ///
    /// # Errors
    /// [`ExtentError::NotSealed`], [`ExtentError::OtherSize`], or what the kernel said.
    pub fn attach(file: BorrowedFd<'_>, claimed: u64, from: &str) -> Result<Self, ExtentError> {
        let bytes = usize::try_from(claimed).unwrap_or(usize::MAX);
        if !(1..=BYTES_MAX).contains(&bytes) {
            let max = BYTES_MAX;
            return Err(ExtentError::Size { bytes, max });
        }
        let refused = |what| {
            move |source| ExtentError::Refused {
                what,
                bytes,
                source,
                remedy: remedy(what),
            }
        };
        let from = from.to_owned();
        if !shared_memory::is_sealed(file).unwrap_or(false) {
            return Err(ExtentError::NotSealed { from });
        }
        // The size cannot change any more.
        let found = shared_memory::file_bytes(file).map_err(refused("measure"))?;
        if found != claimed {
            return Err(ExtentError::OtherSize {
                from,
                claimed,
                found,
            });
        }
        let view = View::map(file, bytes, false).map_err(refused("map"))?;
        let file_number = shared_memory::file_number(file).map_err(refused("measure"))?;
        Ok(Self { view, file_number })
    }

    /// What tells its memory from that of every other extent that is there.
    #[must_use]
    pub fn file_number(&self) -> (u64, u64) {
        self.file_number
    }

    /// First byte; nobody in this process can write from here on.
    #[must_use]
    pub fn start(&self) -> NonNull<u8> {
        self.view.start()
    }

    /// Bytes of the extent.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.view.bytes()
    }
}

/// What to do about a refusal.
fn remedy(what: &str) -> &'static str {
    match what {
        "make" => "; raise `ulimit -n`, or let the sandbox pass memfd_create",
        "map" => "; check `ulimit -v` and `sysctl vm.max_map_count`",
        "place" => "; see /sys/devices/system/node/has_memory for the nodes there are",
        "seal" => "; Linux 5.1 or later is needed",
        _ => "",
    }
}

fn check_memory(asked: usize) -> Result<(), ExtentError> {
    match memory::available_bytes() {
        Some(available) if available < asked as u64 => {
            Err(ExtentError::MemoryShort { asked, available })
        }
        _ => Ok(()),
    }
}

fn short_of_pages(bytes: usize, pages: PageKind, pool: Option<HugePool>) -> ExtentError {
    let asked = (bytes / pages.bytes()) as u64;
    let (free, total) = pool.map_or((0, 0), |pool| (pool.available(), pool.total));
    ExtentError::HugePagesShort {
        asked,
        free,
        total: total + asked.saturating_sub(free),
        page_bytes: pages.bytes(),
    }
}
