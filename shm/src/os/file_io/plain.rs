//! Files by `pwrite` and `pread`, one call after the other: works everywhere.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::io::{Errno, pread, pwrite};

use super::{FileIo, ReadPart, WritePart};

/// Plain system calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainFileIo;

impl FileIo for PlainFileIo {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn write_batch(&self, file: BorrowedFd<'_>, parts: &[WritePart<'_>]) -> io::Result<()> {
        for part in parts {
            let (mut bytes, mut offset) = (part.bytes, part.offset);
            while !bytes.is_empty() {
                match pwrite(file, bytes, offset) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(moved) => {
                        bytes = &bytes[moved..];
                        offset += moved as u64;
                    }
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    fn read_batch(&self, file: BorrowedFd<'_>, parts: &mut [ReadPart<'_>]) -> io::Result<()> {
        for part in parts {
            let (mut read, mut offset) = (0, part.offset);
            while read < part.bytes.len() {
                match pread(file, &mut part.bytes[read..], offset) {
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(moved) => {
                        read += moved;
                        offset += moved as u64;
                    }
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}
