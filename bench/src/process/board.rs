//! Memory that both processes write, for what is measured with bare hands.
//!
//! - BD-1 a word is an atomic inside the mapping, aligned; bytes are copied through raw pointers
//!   inside the mapping, and no reference to them is made.
#![allow(
    unsafe_code,
    reason = "atomics and copies at computed offsets of a mapping"
)]

use std::os::fd::{BorrowedFd, OwnedFd};
use std::ptr::NonNull;

use maser_shm::control::{ControlError, ControlMemory, Region};
use maser_shm::sync::atomic::AtomicU64;

/// See the module's page.
#[derive(Debug)]
pub struct Board(Region);

impl Board {
    /// A board of at least `bytes`, all zero.
    ///
    /// # Errors
    /// The memory's own.
    pub fn create(bytes: usize) -> Result<Self, ControlError> {
        Ok(Self(ControlMemory::create(bytes)?.whole()))
    }

    /// The board of the other process.
    ///
    /// # Errors
    /// The memory's own.
    pub fn attach(file: OwnedFd, bytes: u64) -> Result<Self, ControlError> {
        Ok(Self(
            ControlMemory::attach(file, bytes, "the first process")?.whole(),
        ))
    }

    /// The descriptor to send.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.0.memory().file()
    }

    /// Bytes of the board.
    pub fn bytes(&self) -> u64 {
        self.0.bytes() as u64
    }

    fn at(&self, offset: usize, bytes: usize) -> NonNull<u8> {
        let end = offset.checked_add(bytes);
        assert!(end.is_some_and(|end| end <= self.0.bytes()), "BD-1: inside");
        // SAFETY: BD-1: inside the mapping by the line above.
        unsafe { self.0.start().add(offset) }
    }

    /// The word at `offset`.
    ///
    /// # Panics
    /// If it is not inside, or not at a multiple of 8.
    pub fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8), "BD-1: aligned");
        let word = self.at(offset, 8).cast::<AtomicU64>();
        // SAFETY: BD-1: inside and aligned, and the mapping lives as long as `self`.
        unsafe { word.as_ref() }
    }

    /// Copies `from` to `offset`.
    ///
    /// # Panics
    /// If it is not inside.
    #[inline]
    pub fn write(&self, offset: usize, from: &[u8]) {
        let to = self.at(offset, from.len());
        // SAFETY: BD-1: inside; memory of this process does not overlap with it.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to.as_ptr(), from.len()) };
    }

    /// Copies from `offset` to `to`.
    ///
    /// # Panics
    /// If it is not inside.
    #[inline]
    pub fn read(&self, offset: usize, to: &mut [u8]) {
        let from = self.at(offset, to.len());
        // SAFETY: BD-1: inside; memory of this process does not overlap with it.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to.as_mut_ptr(), to.len()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use maser_shm::sync::atomic::Ordering;

    #[test]
    fn what_is_written_on_one_mapping_is_read_on_the_other() {
        let here = Board::create(8_192).unwrap();
        let file = here.file().try_clone_to_owned().unwrap();
        let there = Board::attach(file, here.bytes()).unwrap();
        here.word(128).store(7, Ordering::Release);
        here.write(4_096, b"payload");
        let mut found = [0; 7];
        there.read(4_096, &mut found);
        assert_eq!(
            (there.word(128).load(Ordering::Acquire), &found),
            (7, b"payload")
        );
    }

    #[test]
    #[should_panic(expected = "BD-1: inside")]
    fn nothing_outside_is_touched() {
        Board::create(4_096).unwrap().write(4_095, &[1, 2]);
    }
}
