//! Operations on files: read, write, flush, take and give back room.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use io_uring::squeue::Entry;
use io_uring::{opcode, types};

use crate::os::uring::Buffer;

/// An operation on a file, which stays open for as long as it is under way.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileOperation {
    /// Reads into the buffer, as much as it counts at most; the buffer then counts what was read.
    Read {
        /// From where.
        file: Arc<OwnedFd>,
        /// To where.
        buffer: Buffer,
        /// Byte of the file to begin at; a pipe or a socket takes no notice of it.
        offset: u64,
    },
    /// Writes the buffer.
    Write {
        /// To where.
        file: Arc<OwnedFd>,
        /// From where.
        buffer: Buffer,
        /// Byte of the file to begin at.
        offset: u64,
    },
    /// Returns once the file's data is on the device (`fdatasync`).
    Flush {
        /// Which file.
        file: Arc<OwnedFd>,
    },
    /// Takes room for a range, so that writing it cannot fail for lack of it.
    Allocate {
        /// Which file.
        file: Arc<OwnedFd>,
        /// First byte of the range.
        offset: u64,
        /// Bytes of the range.
        bytes: u64,
    },
    /// Gives the room of a range back; it reads as zeros then, and the file keeps its length.
    PunchHole {
        /// Which file.
        file: Arc<OwnedFd>,
        /// First byte of the range.
        offset: u64,
        /// Bytes of the range.
        bytes: u64,
    },
}

impl FileOperation {
    /// The buffer, if it has one.
    #[must_use]
    pub fn into_buffer(self) -> Option<Buffer> {
        match self {
            Self::Read { buffer, .. } | Self::Write { buffer, .. } => Some(buffer),
            Self::Flush { .. } | Self::Allocate { .. } | Self::PunchHole { .. } => None,
        }
    }

    pub(super) fn entry(&self) -> Entry {
        let descriptor = |file: &Arc<OwnedFd>| types::Fd(file.as_raw_fd());
        match self {
            Self::Read {
                file,
                buffer,
                offset,
            } => opcode::Read::new(descriptor(file), buffer.pointer(), length(buffer))
                .offset(*offset)
                .build(),
            Self::Write {
                file,
                buffer,
                offset,
            } => opcode::Write::new(descriptor(file), buffer.pointer(), length(buffer))
                .offset(*offset)
                .build(),
            Self::Flush { file } => opcode::Fsync::new(descriptor(file))
                .flags(types::FsyncFlags::DATASYNC)
                .build(),
            Self::Allocate {
                file,
                offset,
                bytes,
            } => opcode::Fallocate::new(descriptor(file), *bytes)
                .offset(*offset)
                .build(),
            Self::PunchHole {
                file,
                offset,
                bytes,
            } => opcode::Fallocate::new(descriptor(file), *bytes)
                .offset(*offset)
                .mode(libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE)
                .build(),
        }
    }

    pub(super) fn finish(&mut self, bytes: usize) {
        if let Self::Read { buffer, .. } = self {
            buffer.set_len(bytes.min(buffer.len()));
        }
    }
}

/// A buffer's bytes as the queue has them: at most 1 GiB (UR-5).
fn length(buffer: &Buffer) -> u32 {
    u32::try_from(buffer.len()).expect("a buffer has at most 1 GiB")
}
