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
//! - EX-4 files of a hugetlbfs directory cannot be sealed: whoever holds a descriptor can write and
//!   truncate them. They are mapped only where that was asked for, and then a process that truncates
//!   its extent ends its readers.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::ptr::NonNull;

use rustix::process::{Resource, getrlimit};

pub use super::extent_error::ExtentError;
use crate::os::memory;
use crate::os::numa;
use crate::os::shared_memory::{self, PageKind, View};

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
        let whole = whole(bytes, pages)?;
        if pages == PageKind::Plain {
            check_memory(whole)?;
        }
        let file = shared_memory::create("maser-extent", pages, whole).map_err(|source| {
            let of_any_kind = [Some(libc::EMFILE), Some(libc::EFBIG)];
            if pages == PageKind::Plain || of_any_kind.contains(&source.raw_os_error()) {
                refused("make", whole, pages)(source)
            } else {
                ExtentError::NoHugePages {
                    page_bytes: pages.bytes(),
                    source,
                }
            }
        })?;
        let extent = Self::map(file, whole, pages, node)?;
        shared_memory::seal(extent.file()).map_err(refused("seal", whole, pages))?;
        Ok(extent)
    }

    /// As [`create_on`](Self::create_on), as a file without a name in a directory of huge pages: for
    /// sites that hand these out by directories. Such files cannot be sealed (EX-4).
    ///
    /// # Errors
    /// [`ExtentError::NoHugeDirectory`], or as [`create`](Self::create).
    pub fn create_in(
        directory: &Path,
        bytes: usize,
        node: Option<u32>,
    ) -> Result<Self, ExtentError> {
        let unfit = |source| ExtentError::NoHugeDirectory {
            directory: directory.to_owned(),
            source,
        };
        let probe = std::fs::File::open(directory).map_err(unfit)?;
        let pages = shared_memory::huge_file_pages(probe.as_fd());
        let pages = pages.ok_or_else(|| unfit(io::ErrorKind::Unsupported.into()))?;
        let whole = whole(bytes, pages)?;
        let file = shared_memory::create_in(directory, whole).map_err(|source| {
            match source.raw_os_error() {
                Some(libc::EFBIG) => refused("make", whole, pages)(source),
                _ => unfit(source),
            }
        })?;
        Self::map(file, whole, pages, node)
    }

    /// Maps a file and makes sure of its pages (EX-2).
    fn map(
        file: OwnedFd,
        whole: usize,
        pages: PageKind,
        node: Option<u32>,
    ) -> Result<Self, ExtentError> {
        let view =
            View::map(file.as_fd(), whole, true).map_err(|source| {
                match memory::huge_pool(pages) {
                    Some(pool)
                        if source.kind() == io::ErrorKind::OutOfMemory
                            && pool.available() < (whole / pages.bytes()) as u64 =>
                    {
                        short_of_pages(whole, pages, pool.available(), pool.total)
                    }
                    _ => refused("map", whole, pages)(source),
                }
            })?;
        view.leave_out_of_dumps();
        if let Some(node) = node {
            numa::prefer(&view, node).map_err(refused("place", whole, pages))?;
        }
        let limit = memory::huge_pages_left(pages);
        if pages == PageKind::Plain {
            view.advise_huge();
        }
        if pages == PageKind::Plain || limit.is_some() {
            shared_memory::allocate(file.as_fd(), whole).map_err(|source| {
                match (source.kind(), limit) {
                    (io::ErrorKind::StorageFull | io::ErrorKind::OutOfMemory, Some(left)) => {
                        ExtentError::HugePagesLimited {
                            asked: (whole / pages.bytes()) as u64,
                            free: left / pages.bytes() as u64,
                            page_bytes: pages.bytes(),
                        }
                    }
                    (io::ErrorKind::StorageFull | io::ErrorKind::OutOfMemory, None) => {
                        ExtentError::MemoryShort {
                            asked: whole,
                            available: memory::available_bytes().unwrap_or(0),
                        }
                    }
                    _ => refused("allocate", whole, pages)(source),
                }
            })?;
        }
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
        populated(&self.view, from, bytes)
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
        if !shared_memory::is_sealed(file).unwrap_or(false) {
            let from = from.to_owned();
            return Err(ExtentError::NotSealed { from });
        }
        Self::map(file, claimed, from)
    }

    /// As [`attach`](Self::attach), but a file of huge pages need not be sealed (EX-4).
    ///
    /// # Errors
    /// As [`attach`](Self::attach).
    pub fn attach_unsealed(
        file: BorrowedFd<'_>,
        claimed: u64,
        from: &str,
    ) -> Result<Self, ExtentError> {
        match shared_memory::huge_file_pages(file) {
            Some(_) => Self::map(file, claimed, from),
            None => Self::attach(file, claimed, from),
        }
    }

    fn map(file: BorrowedFd<'_>, claimed: u64, from: &str) -> Result<Self, ExtentError> {
        let bytes = usize::try_from(claimed).unwrap_or(usize::MAX);
        if !(1..=BYTES_MAX).contains(&bytes) {
            let max = BYTES_MAX;
            return Err(ExtentError::Size { bytes, max });
        }
        let refused = |what| refused(what, bytes, PageKind::Plain);
        let from = from.to_owned();
        // The size of a sealed file cannot change any more.
        let found = shared_memory::file_bytes(file).map_err(refused("measure"))?;
        if found != claimed {
            return Err(ExtentError::OtherSize {
                from,
                claimed,
                found,
            });
        }
        let view = View::map(file, bytes, false).map_err(refused("map"))?;
        view.leave_out_of_dumps();
        let file_number = shared_memory::file_number(file).map_err(refused("measure"))?;
        Ok(Self { view, file_number })
    }

    /// As [`Extent::populate`], for its readers.
    ///
    /// # Errors
    /// As [`Extent::populate`].
    pub fn populate(&self, from: usize, bytes: usize) -> Result<(), ExtentError> {
        populated(&self.view, from, bytes)
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

/// Bytes rounded up to pages.
fn whole(bytes: usize, pages: PageKind) -> Result<usize, ExtentError> {
    let whole = bytes.checked_next_multiple_of(pages.bytes());
    let possible = whole.filter(|whole| (1..=BYTES_MAX).contains(whole));
    possible.ok_or(ExtentError::Size {
        bytes,
        max: BYTES_MAX,
    })
}

fn populated(view: &View, from: usize, bytes: usize) -> Result<(), ExtentError> {
    let populated = view.populate(from, bytes);
    populated.map_err(|source| ExtentError::Refused {
        what: "populate a part of",
        bytes: view.bytes(),
        source,
        remedy: "",
    })
}

/// What the kernel's refusal means.
fn refused(
    what: &'static str,
    bytes: usize,
    pages: PageKind,
) -> impl FnOnce(io::Error) -> ExtentError {
    move |source| {
        let limits = |resource| getrlimit(resource).current;
        match (source.raw_os_error(), limits(Resource::As)) {
            (Some(libc::EMFILE), _) => ExtentError::OpenFiles {
                limit: limits(Resource::Nofile).unwrap_or(u64::MAX),
            },
            (Some(libc::EFBIG), _) => ExtentError::FileSize {
                asked: bytes,
                limit: limits(Resource::Fsize).unwrap_or(u64::MAX),
            },
            (Some(libc::ENOMEM), Some(limit)) if what == "map" => ExtentError::AddressSpace {
                asked: bytes,
                limit,
            },
            _ => ExtentError::Refused {
                what,
                bytes,
                source,
                remedy: remedy(what, pages),
            },
        }
    }
}

/// What to do about a refusal.
fn remedy(what: &str, pages: PageKind) -> &'static str {
    match (what, pages) {
        ("make", _) => "; let the sandbox pass memfd_create",
        ("map", PageKind::Plain) => "; check `sysctl vm.max_map_count`",
        ("map", _) => "; check hugetlb.*.rsvd.max of the cgroup and `sysctl vm.max_map_count`",
        ("place", _) => "; see /sys/devices/system/node/has_memory for the nodes there are",
        ("seal", _) => "; Linux 5.1 or later is needed",
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

fn short_of_pages(bytes: usize, pages: PageKind, free: u64, total: u64) -> ExtentError {
    let asked = (bytes / pages.bytes()) as u64;
    ExtentError::HugePagesShort {
        asked,
        free,
        total: total + asked.saturating_sub(free),
        page_bytes: pages.bytes(),
    }
}
