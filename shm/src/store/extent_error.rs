//! Why there is no extent.

use std::io;
use std::path::PathBuf;

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
    /// A cgroup allows fewer huge pages.
    #[error(
        "{asked} huge pages of {page_bytes} bytes are needed and the cgroup leaves {free}; raise its \
         hugetlb.*.max, or use plain pages (huge_pages = auto)"
    )]
    HugePagesLimited {
        /// Pages asked for.
        asked: u64,
        /// Pages that the limit leaves.
        free: u64,
        /// Bytes of a page.
        page_bytes: usize,
    },
    /// The directory is not one of huge pages.
    #[error(
        "{} cannot hold huge pages ({source}); mount a hugetlbfs there (mount -t hugetlbfs none DIR), \
         make it writable, or take huge_page_dir away", .directory.display()
    )]
    NoHugeDirectory {
        /// The directory.
        directory: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The process has as many descriptors as it may.
    #[error("this process may have {limit} descriptors and has them; raise `ulimit -n`")]
    OpenFiles {
        /// Most descriptors.
        limit: u64,
    },
    /// The process has as much address space as it may.
    #[error(
        "{asked} bytes are to be mapped and this process may map {limit} in all; raise `ulimit -v`"
    )]
    AddressSpace {
        /// Bytes asked for.
        asked: usize,
        /// Most bytes of the process.
        limit: u64,
    },
    /// The process may not make files as large as this, and memory without a name is a file too.
    #[error(
        "{asked} bytes of memory are needed and this process may make files of {limit} bytes; \
         raise `ulimit -f`, or lower store_bytes"
    )]
    FileSize {
        /// Bytes asked for.
        asked: usize,
        /// Most bytes of a file.
        limit: u64,
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
