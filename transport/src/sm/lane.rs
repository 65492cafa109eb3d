//! The memory that the two ends of a connection share, and one end's part in it.
//!
//! ```text
//! sleep x 2    u64 each  written by the end that sleeps, and by the other when it wakes it
//! head  x 2    u64 each  how far the area of a direction was read; written by its reader
//! ring  x 2    `SLOTS` lines each, of the channel `spsc::line`: the end that connected writes the first
//! area  x 2    bytes that do not fit into a slot, a ring of them; each written by one end
//! ```
//!
//! - XA-1 all of it is control memory (CM-3): the words are atomics and checked, the bytes of an area are
//!   copied out before they are looked at. A peer that writes where it must not spoils the bytes of this
//!   connection, and nothing else.
//! - XA-2 a fragment lies in one piece in the area, begins at a multiple of 64 and is written before the
//!   slot that counts it is published. The slots say how many bytes each has, so both ends count the same
//!   positions, and no position of an area travels but the reader's.
//! - XA-3 the head is stored Release when a fragment was copied out, and loaded Acquire by the writer when
//!   its own copy of it says full. It is input: it never goes back, nor beyond what was written.
#![allow(unsafe_code, reason = "words and bytes of a region")]

use super::slot::Slot;
use maser_shm::channel::ChannelError;
use maser_shm::channel::Shared;
use maser_shm::channel::spsc::{
    LineReceiver, LineSender, line_bytes, line_receiver_in, line_sender_in,
};
use maser_shm::control::{Carver, ControlError, ControlMemory, Region};
use maser_shm::os::shared_memory::PageKind;
use maser_shm::sync::atomic::{AtomicU64, Ordering};
use std::ops::Deref;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

/// Slots of each ring: as many as stay in a first-level cache beside everything else.
pub(super) const SLOTS: usize = 64;
/// Fragments begin at multiples of it.
const FRAGMENT_ALIGN: usize = 64;
/// Bytes of an area at least, and at most.
pub(super) const AREA_BYTES: std::ops::RangeInclusive<usize> = 4096..=1 << 20;

/// Why two ends share nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum LaneError {
    #[error(transparent)]
    Memory(#[from] ControlError),
    #[error(transparent)]
    Channel(#[from] ChannelError),
}

/// A word of a region.
pub(super) struct Word {
    word: NonNull<AtomicU64>,
    _region: Region,
}

// SAFETY: XA-1: an atomic in memory that the value keeps mapped.
unsafe impl Send for Word {}

impl Word {
    fn new(region: Region) -> Self {
        Self {
            word: region.start().cast(),
            _region: region,
        }
    }
}

impl Deref for Word {
    type Target = AtomicU64;

    #[inline(always)]
    fn deref(&self) -> &AtomicU64 {
        // SAFETY: XA-1, CM-4: the region has 8 bytes, is aligned for them and stays mapped.
        unsafe { self.word.as_ref() }
    }
}

/// A ring of bytes.
struct Area {
    start: NonNull<u8>,
    bytes: usize,
    head: Word,
    _region: Region,
}

// SAFETY: XA-1: bytes that are copied, in memory that the value keeps mapped.
unsafe impl Send for Area {}

impl Area {
    fn new(region: Region, bytes: usize, head: Word) -> Self {
        assert!(bytes.is_power_of_two() && bytes <= region.bytes());
        Self {
            start: region.start(),
            bytes,
            head,
            _region: region,
        }
    }

    fn at(&self, position: u64) -> usize {
        (position & (self.bytes as u64 - 1)) as usize
    }

    /// Bytes from a position to the end of the area.
    fn in_one_piece(&self, position: u64) -> usize {
        self.bytes - self.at(position)
    }
}

fn whole(bytes: usize) -> u64 {
    bytes.next_multiple_of(FRAGMENT_ALIGN) as u64
}

/// The area that this end writes.
pub(super) struct OutArea {
    area: Area,
    /// Where the next fragment goes.
    tail: u64,
    /// The head that was seen last.
    head: u64,
}

impl OutArea {
    /// How many of `wanted` bytes the next fragment may have; 0 if it has to wait for the reader.
    ///
    /// # Errors
    /// What the peer wrote makes no sense.
    pub(super) fn room(&mut self, wanted: usize) -> Result<usize, String> {
        // A quarter: the reader copies one while the next is written.
        let fragment = wanted
            .min(self.area.bytes / 4)
            .min(self.area.in_one_piece(self.tail));
        if self.free() < whole(fragment) {
            let head = self.area.head.load(Ordering::Acquire); // XA-3
            if !(self.head..=self.tail).contains(&head) {
                return Err(format!(
                    "it read up to {head} of an area, and {} to {} can be",
                    self.head, self.tail
                ));
            }
            self.head = head;
        }
        Ok(if self.free() < whole(fragment) {
            0
        } else {
            fragment
        })
    }

    fn free(&self) -> u64 {
        self.area.bytes as u64 - (self.tail - self.head)
    }

    /// Writes a part of the next fragment, which begins `skipped` bytes before it.
    ///
    /// # Panics
    /// If there is no [`room`](Self::room) for it.
    pub(super) fn write(&self, skipped: usize, bytes: &[u8]) {
        let end = skipped + bytes.len();
        assert!(end <= self.area.in_one_piece(self.tail) && whole(end) <= self.free());
        // SAFETY: XA-2: inside the area, and the reader has left it.
        unsafe {
            let to = self.area.start.add(self.area.at(self.tail) + skipped);
            to.as_ptr()
                .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
    }

    /// The next fragment has so many bytes.
    pub(super) fn commit(&mut self, bytes: usize) {
        assert!(whole(bytes) <= self.free());
        self.tail += whole(bytes);
    }
}

/// The area that the peer writes.
pub(super) struct InArea {
    area: Area,
    /// Where the next fragment lies.
    head: u64,
}

impl InArea {
    /// Whether a fragment can have so many bytes.
    ///
    /// # Errors
    /// What the peer wrote makes no sense.
    pub(super) fn check(&self, bytes: u32) -> Result<usize, String> {
        let bytes = bytes as usize;
        match bytes <= self.area.in_one_piece(self.head) {
            true => Ok(bytes),
            false => Err(format!("a fragment of {bytes} bytes")),
        }
    }

    /// Copies a part of the next fragment, which was checked and begins `skipped` bytes before.
    pub(super) fn copy(&self, skipped: usize, to: &mut [u8]) {
        assert!(skipped + to.len() <= self.area.in_one_piece(self.head));
        // SAFETY: XA-1, XA-2: inside the area; what a peer writes meanwhile changes bytes alone.
        unsafe {
            let from = self.area.start.add(self.area.at(self.head) + skipped);
            to.as_mut_ptr()
                .copy_from_nonoverlapping(from.as_ptr(), to.len());
        }
    }

    /// Copies the next fragment, which was checked, behind the bytes of `to`.
    pub(super) fn append(&self, bytes: usize, to: &mut Vec<u8>) {
        assert!(bytes <= self.area.in_one_piece(self.head));
        to.reserve(bytes);
        // SAFETY: XA-1, XA-2, as above; there is room for so many bytes behind those of `to`, and they
        // are written before they count.
        unsafe {
            let from = self.area.start.add(self.area.at(self.head));
            to.spare_capacity_mut()
                .as_mut_ptr()
                .cast::<u8>()
                .copy_from_nonoverlapping(from.as_ptr(), bytes);
            to.set_len(to.len() + bytes);
        }
    }

    /// Gives a fragment of so many bytes back.
    pub(super) fn release(&mut self, bytes: usize) {
        self.head += whole(bytes);
        self.area.head.store(self.head, Ordering::Release); // XA-3
    }
}

/// One end's part.
pub(super) struct Lane {
    pub(super) sender: LineSender<Slot, Shared>,
    pub(super) receiver: LineReceiver<Slot, Shared>,
    pub(super) area_out: OutArea,
    pub(super) area_in: InArea,
    /// How this end sleeps.
    pub(super) own_sleep: Word,
    /// How the peer does.
    pub(super) peer_sleep: Word,
    memory: ControlMemory,
}

fn sizes(area_bytes: usize) -> Result<[usize; 8], ChannelError> {
    let word = size_of::<AtomicU64>();
    let ring = line_bytes::<Slot>(SLOTS)?;
    Ok([word, word, word, word, ring, ring, area_bytes, area_bytes])
}

impl Lane {
    /// Bytes of the memory for two ends: whole pages.
    pub(super) fn memory_bytes(area_bytes: usize) -> Result<usize, LaneError> {
        let bytes = Carver::bytes(&sizes(area_bytes)?);
        Ok(bytes.next_multiple_of(PageKind::Plain.bytes()))
    }

    /// Memory for two ends.
    pub(super) fn memory(area_bytes: usize) -> Result<ControlMemory, LaneError> {
        Ok(ControlMemory::create(Self::memory_bytes(area_bytes)?)?)
    }

    /// What the peer is sent.
    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.memory.file()
    }

    /// The part of the end that connected, or of the one that was connected to.
    pub(super) fn open(
        memory: &ControlMemory,
        area_bytes: usize,
        has_connected: bool,
    ) -> Result<Self, LaneError> {
        let sizes = sizes(area_bytes)?;
        let mut carver = Carver::new(memory.whole());
        let mut take = |index: usize| carver.take(sizes[index]);
        let mut sleep = [Word::new(take(0)?), Word::new(take(1)?)];
        let mut heads = [Word::new(take(2)?), Word::new(take(3)?)];
        let mut rings = [take(4)?, take(5)?];
        let mut areas = [take(6)?, take(7)?];
        if !has_connected {
            sleep.reverse();
            heads.reverse();
            rings.reverse();
            areas.reverse();
        }
        let [own_sleep, peer_sleep] = sleep;
        let [head_out, head_in] = heads;
        let [area_out, area_in] = areas;
        Ok(Self {
            sender: line_sender_in(&rings[0], SLOTS)?,
            receiver: line_receiver_in(&rings[1], SLOTS)?,
            area_out: OutArea {
                area: Area::new(area_out, area_bytes, head_out),
                tail: 0,
                head: 0,
            },
            area_in: InArea {
                area: Area::new(area_in, area_bytes, head_in),
                head: 0,
            },
            own_sleep,
            peer_sleep,
            memory: memory.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Lane, Lane) {
        let memory = Lane::memory(4096).expect("a few pages");
        let open = |side| Lane::open(&memory, 4096, side).expect("fresh memory");
        (open(true), open(false))
    }

    #[test]
    fn fragments_come_whole_around_the_end_of_an_area() {
        let (mut a, mut b) = pair();
        let mut sent = 0_u8;
        for round in 0..100 {
            let wanted = 1 + round * 37 % 1000;
            let bytes = a.area_out.room(wanted).expect("it makes sense");
            assert!((1..=wanted).contains(&bytes));
            sent = sent.wrapping_add(1);
            a.area_out.write(0, &vec![sent; bytes - 1]);
            a.area_out.write(bytes - 1, &[sent]);
            a.area_out.commit(bytes);
            let mut came = Vec::new();
            let bytes = b.area_in.check(bytes as u32).expect("it can be");
            b.area_in.append(bytes, &mut came);
            let mut last = [0];
            b.area_in.copy(bytes - 1, &mut last);
            b.area_in.release(bytes);
            assert_eq!((came, last), (vec![sent; bytes], [sent]));
        }
    }

    #[test]
    fn a_full_area_has_room_when_it_was_read() {
        let (mut a, mut b) = pair();
        for _ in 0..4 {
            assert_eq!(a.area_out.room(5000), Ok(1024));
            a.area_out.commit(1024);
        }
        assert_eq!(a.area_out.room(1), Ok(0));
        b.area_in.release(1024);
        assert_eq!(a.area_out.room(5000), Ok(1024));
    }

    #[test]
    fn a_head_that_cannot_be_is_no_room() {
        let (mut a, b) = pair();
        for _ in 0..4 {
            assert_eq!(a.area_out.room(1024), Ok(1024));
            a.area_out.commit(1024);
        }
        b.area_in.area.head.store(1 << 40, Ordering::Release);
        assert!(a.area_out.room(1).is_err());
        assert!(b.area_in.check(4097).is_err());
    }
}
