//! Bytes into files and out of them, through io_uring or without it.
//!
//! | file | holds |
//! |---|---|
//! | [`plain`] | `pwrite` and `pread`, one after the other |
//! | [`uring`] | chunks in flight side by side |
//!
//! ```
//! # #[cfg(not(miri))] {
//! use std::os::fd::AsFd;
//! use maser_shm::os::file_io;
//!
//! let io = file_io::recommended(|refusal| eprintln!("plain reads and writes: {refusal}"));
//! let file = std::fs::File::open("/proc/self/exe")?;
//! let mut magic = [0; 4];
//! io.read_at(file.as_fd(), &mut magic, 0)?;
//! assert_eq!(&magic, b"\x7fELF");
//! # }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! - FO-1 a call returns when all of it is done or has failed; the memory it was lent is the
//!   caller's again in either case.
//! - FO-2 the implementations differ in speed alone: same results, same errors. Conformance:
//!   `file_io_suite!`.
//! - FO-3 where io_uring is refused the process is told so once, however many ask.

pub mod plain;
pub mod uring;

use std::fmt::Debug;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Once};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::uring::refusal::{Refusal, availability};
use plain::PlainFileIo;
use uring::UringFileIo;

/// Bytes to write, and where.
#[derive(Clone, Copy, Debug)]
pub struct WritePart<'a> {
    /// Byte of the file to begin at.
    pub offset: u64,
    /// What to write.
    pub bytes: &'a [u8],
}

/// Bytes to read, and from where.
#[derive(Debug)]
pub struct ReadPart<'a> {
    /// Byte of the file to begin at.
    pub offset: u64,
    /// Where to, as much as there is.
    pub bytes: &'a mut [u8],
}

/// Reading and writing regular files.
///
/// Each call blocks its thread until it is done (FO-1); several threads may call at a time.
pub trait FileIo: Debug + Send + Sync {
    /// Which implementation this is, for messages.
    fn name(&self) -> &'static str;

    /// Writes all of all the parts, in any order.
    ///
    /// # Errors
    /// The first that occurred; the parts are then written in part.
    fn write_batch(&self, file: BorrowedFd<'_>, parts: &[WritePart<'_>]) -> io::Result<()>;

    /// Fills all the parts, in any order.
    ///
    /// # Errors
    /// The first that occurred, `UnexpectedEof` beyond the file's end; the parts then hold anything.
    fn read_batch(&self, file: BorrowedFd<'_>, parts: &mut [ReadPart<'_>]) -> io::Result<()>;

    /// Writes all the bytes at `offset`.
    ///
    /// # Errors
    /// As [`Self::write_batch`].
    fn write_at(&self, file: BorrowedFd<'_>, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_batch(file, &[WritePart { offset, bytes }])
    }

    /// Fills all the bytes from `offset`.
    ///
    /// # Errors
    /// As [`Self::read_batch`].
    fn read_at(&self, file: BorrowedFd<'_>, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_batch(file, &mut [ReadPart { offset, bytes }])
    }

    /// Returns once the file's data is on the device. One call, so all implementations make it
    /// plainly; the same holds for the next two.
    ///
    /// # Errors
    /// What the kernel said.
    fn flush(&self, file: BorrowedFd<'_>) -> io::Result<()> {
        uninterrupted(|| rustix::fs::fdatasync(file))
    }

    /// Takes room for a range, so that writing it cannot fail for lack of it.
    ///
    /// # Errors
    /// `ENOSPC`; `EOPNOTSUPP` where the file system takes room only as it is written.
    fn allocate(&self, file: BorrowedFd<'_>, offset: u64, bytes: u64) -> io::Result<()> {
        uninterrupted(|| rustix::fs::fallocate(file, FallocateFlags::empty(), offset, bytes))
    }

    /// Gives the room of a range back; it reads as zeros then, and the file keeps its length.
    ///
    /// # Errors
    /// `EOPNOTSUPP` where the file system cannot.
    fn punch_hole(&self, file: BorrowedFd<'_>, offset: u64, bytes: u64) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        uninterrupted(|| rustix::fs::fallocate(file, flags, offset, bytes))
    }
}

/// io_uring if this process may have it, else plain calls.
///
/// `notice` is told why it may not, once in the process (FO-3).
pub fn recommended(notice: impl FnOnce(&Refusal)) -> Arc<dyn FileIo> {
    static TOLD: Once = Once::new();
    match availability() {
        Ok(()) => Arc::new(UringFileIo::new()),
        Err(refusal) => {
            TOLD.call_once(|| notice(refusal));
            Arc::new(PlainFileIo)
        }
    }
}

fn uninterrupted(call: impl Fn() -> rustix::io::Result<()>) -> io::Result<()> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}
