//! Many reads or writes of borrowed memory at once, waited for to the end (UR-3).
//!
//! A batch is cut into chunks, of which as many as the ring is deep are under way. What comes back
//! short is asked for again; after the first error no more is asked for, and what is under way is
//! still waited for.
#![allow(unsafe_code, reason = "lends borrowed memory to the kernel")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use io_uring::squeue::Entry;
use io_uring::{opcode, types};

use super::{Completion, Operation, Ring};
use crate::os::file_io::{ReadPart, WritePart};

/// Bytes of one operation: large enough for the device, small enough that several share the work.
pub const CHUNK_BYTES: usize = 1 << 20;

/// Memory of the caller that is lent to the kernel.
#[derive(Debug)]
pub struct Piece {
    file: RawFd,
    start: *mut u8,
    bytes: usize,
    offset: u64,
    is_write: bool,
}

// SAFETY: UR-3, pieces are used only inside of the batch that borrows their memory.
unsafe impl Send for Piece {}

impl Piece {
    pub(super) fn entry(&self) -> Entry {
        let file = types::Fd(self.file);
        let bytes = u32::try_from(self.bytes).expect("a chunk is short");
        if self.is_write {
            let write = opcode::Write::new(file, self.start, bytes);
            write.offset(self.offset).build()
        } else {
            let read = opcode::Read::new(file, self.start, bytes);
            read.offset(self.offset).build()
        }
    }

    /// Cuts up to `bytes` off the front.
    fn take(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        let front = Self { bytes, ..*self };
        // SAFETY: `bytes` is within the piece.
        self.start = unsafe { self.start.add(bytes) };
        self.bytes -= bytes;
        self.offset += bytes as u64;
        front
    }
}

/// Ends the process if it is dropped by a panic (UR-3).
struct NoUnwind;

impl Drop for NoUnwind {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

impl Ring {
    /// Writes all the parts, in any order.
    ///
    /// # Errors
    /// The first that occurred; the parts are then written in part. `WouldBlock` if operations of
    /// others take up all of the ring.
    pub fn write_batch(&mut self, file: BorrowedFd<'_>, parts: &[WritePart<'_>]) -> io::Result<()> {
        let piece = |part: &WritePart<'_>| Piece {
            file: file.as_raw_fd(),
            start: part.bytes.as_ptr().cast_mut(),
            bytes: part.bytes.len(),
            offset: part.offset,
            is_write: true,
        };
        self.transfer(parts.iter().rev().map(piece).collect())
    }

    /// Reads all the parts, in any order.
    ///
    /// # Errors
    /// The first that occurred, `UnexpectedEof` beyond the file's end; the parts then hold anything.
    /// `WouldBlock` if operations of others take up all of the ring.
    pub fn read_batch(
        &mut self,
        file: BorrowedFd<'_>,
        parts: &mut [ReadPart<'_>],
    ) -> io::Result<()> {
        let piece = |part: &mut ReadPart<'_>| Piece {
            file: file.as_raw_fd(),
            start: part.bytes.as_mut_ptr(),
            bytes: part.bytes.len(),
            offset: part.offset,
            is_write: false,
        };
        self.transfer(parts.iter_mut().rev().map(piece).collect())
    }

    /// Moves the pieces, the last of them first, and returns when none is under way.
    fn transfer(&mut self, mut rest: Vec<Piece>) -> io::Result<()> {
        let _until_all_is_back = NoUnwind;
        let mut failure = None;
        let mut under_way = 0_usize;
        loop {
            while failure.is_none() {
                let Some(piece) = next_chunk(&mut rest) else {
                    break;
                };
                match self.push(0, Operation::Piece(piece)) {
                    Ok(_) => under_way += 1,
                    Err(Operation::Piece(piece)) => {
                        rest.push(piece);
                        break;
                    }
                    Err(_) => unreachable!("what was pushed comes back"),
                }
            }
            if under_way == 0 {
                return match failure {
                    Some(error) => Err(error),
                    None if rest.is_empty() => Ok(()),
                    None => Err(io::ErrorKind::WouldBlock.into()),
                };
            }
            let (piece, result) = self.next_piece();
            under_way -= 1;
            match outcome(&piece, result) {
                Ok(moved) if moved == piece.bytes => {}
                Ok(moved) => {
                    let mut piece = piece;
                    piece.take(moved);
                    rest.push(piece);
                }
                Err(error) => failure = failure.or(Some(error)),
            }
        }
    }

    /// Waits for a piece to come back, however often the wait is refused.
    fn next_piece(&mut self) -> (Piece, io::Result<usize>) {
        loop {
            if let Some(Completion {
                operation: Operation::Piece(piece),
                result,
                ..
            }) = self.finished_piece()
            {
                return (piece, result);
            }
            match self.reap() {
                Some(completion) => self.keep(completion),
                None => self.enter(1),
            }
        }
    }
}

fn next_chunk(rest: &mut Vec<Piece>) -> Option<Piece> {
    loop {
        let last = rest.last_mut()?;
        if last.bytes > CHUNK_BYTES {
            return Some(last.take(CHUNK_BYTES));
        }
        let piece = rest.pop()?;
        if piece.bytes > 0 {
            return Some(piece);
        }
    }
}

/// Bytes that were moved; what is worth another try has moved none.
fn outcome(piece: &Piece, result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Ok(0) if piece.is_write => Err(io::ErrorKind::WriteZero.into()),
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(moved) => Ok(moved.min(piece.bytes)),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN)) => Ok(0),
        Err(error) => Err(error),
    }
}
