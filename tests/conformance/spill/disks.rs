//! Disks that are full, broken or watched.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use maser_shm::os::file_io::{FileIo, ReadPart, WritePart};

/// Does as another does, and counts holes.
#[derive(Debug)]
pub struct CountedHoles {
    pub good: Arc<dyn FileIo>,
    pub calls: Arc<AtomicUsize>,
}

impl FileIo for CountedHoles {
    fn name(&self) -> &'static str {
        "counted holes"
    }
    fn write_batch(&self, file: BorrowedFd<'_>, parts: &[WritePart<'_>]) -> io::Result<()> {
        self.good.write_batch(file, parts)
    }
    fn read_batch(&self, file: BorrowedFd<'_>, parts: &mut [ReadPart<'_>]) -> io::Result<()> {
        self.good.read_batch(file, parts)
    }
    fn punch_hole(&self, file: BorrowedFd<'_>, offset: u64, bytes: u64) -> io::Result<()> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.good.punch_hole(file, offset, bytes)
    }
}

/// Does as another does, but has room for so many bytes only and may change what is read.
#[derive(Debug)]
pub struct BadDisk {
    pub good: Arc<dyn FileIo>,
    pub room: u64,
    pub is_full_late: bool,
    pub flips: bool,
}

impl FileIo for BadDisk {
    fn name(&self) -> &'static str {
        "bad disk"
    }
    fn write_batch(&self, file: BorrowedFd<'_>, parts: &[WritePart<'_>]) -> io::Result<()> {
        let end = parts.iter().map(|p| p.offset + p.bytes.len() as u64).max();
        if self.is_full_late && end.unwrap_or(0) > self.room {
            self.good.write_batch(file, &parts[..parts.len() / 2])?;
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        self.good.write_batch(file, parts)
    }
    fn read_batch(&self, file: BorrowedFd<'_>, parts: &mut [ReadPart<'_>]) -> io::Result<()> {
        self.good.read_batch(file, parts)?;
        if self.flips {
            let middle = parts[0].bytes.len() / 2;
            parts[0].bytes[middle] ^= 1;
        }
        Ok(())
    }
    fn allocate(&self, file: BorrowedFd<'_>, offset: u64, bytes: u64) -> io::Result<()> {
        if self.is_full_late {
            return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
        }
        if offset + bytes > self.room {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        self.good.allocate(file, offset, bytes)
    }
}
