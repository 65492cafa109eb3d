//! What can go wrong with a spill file, with figures.

use std::io;
use std::path::PathBuf;

/// Why an object was not spilled or did not come back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpillError {
    /// There can be no file in the directory.
    #[error(
        "cannot make a spill file in {} ({source}); create the directory, owned by this user and \
         on a disk, or set `spill_directory` to another", directory.display()
    )]
    Directory {
        /// Where the file was to be.
        directory: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The disk, or the user's share of it, is full.
    #[error(
        "no room to spill {asked} bytes to {}: {free} bytes are free and {spilled} are spilled \
         already ({source}); free some, or set `spill_directory` to a larger disk",
        directory.display()
    )]
    DiskFull {
        /// Where the file is.
        directory: PathBuf,
        /// Bytes of disk that were asked for.
        asked: u64,
        /// Bytes of disk that an ordinary user could still have.
        free: u64,
        /// Bytes of disk that this file takes up.
        spilled: u64,
        /// What the kernel said.
        source: io::Error,
    },
    /// Reading or writing failed for another reason.
    #[error(
        "the spill file in {} cannot be used ({source}); look at the disk's health, or set \
         `spill_directory` to another disk", directory.display()
    )]
    Io {
        /// Where the file is.
        directory: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// What was read is not what was written.
    #[error(
        "{bytes} bytes came back changed from the spill file in {} (checksum {found:08x} instead of \
         {expected:08x}); look at the disk's health, or set `spill_directory` to another disk",
        directory.display()
    )]
    Corrupt {
        /// Where the file is.
        directory: PathBuf,
        /// Bytes of the object.
        bytes: usize,
        /// The checksum of what was written.
        expected: u32,
        /// The checksum of what was read.
        found: u32,
    },
    /// The ticket names nothing in this file.
    #[error("the ticket names no object of this spill file: it was discarded, or is another's")]
    Unknown,
    /// The memory to read into is not as long as the object.
    #[error("the spilled object has {bytes} bytes; read it into as many, not into {asked}")]
    WrongSize {
        /// Bytes to read into.
        asked: usize,
        /// Bytes of the object.
        bytes: usize,
    },
}
