//! Where the bodies lie that do not fit into a line: a ring of bytes beside the edge's ring of lines.
//!
//! ```text
//! byte   0  freed   u64, bytes that the reader is through with. Written by the reader (Release),
//!                   read by the writer (Acquire) only when its own copy says full
//! byte 128  bytes   `capacity` of them; a body is in one piece, what is left before the end is skipped
//! ```
//!
//! The first pool stands behind the edge's lines. When a body does not fit the writer makes a pool of
//! its own memory, at least twice as large, and sends its descriptor over the keeper's socket; the line
//! may be there first, and then the reader waits for it. A held value pins nothing: its bytes are
//! copied out when its run begins.
//!
//! - BP-1 positions count from the beginning of a pool and never wrap. The bytes `freed..` of a body
//!   that was published are the reader's, all others the writer's.
//! - BP-2 what the reader gets is input: place and length must lie inside, or nothing is read. What the
//!   writer gets is too: a `freed` that cannot be is as if it had not been read.
//! - BP-3 bodies are read in the order in which they were written, so the first that lies in another
//!   pool says that the one before is done with.
#![allow(
    unsafe_code,
    reason = "copies from and to memory that two processes share"
)]

use super::inbox::Inbox;
use super::packet::{Kind, Packed, Packet, head};
use super::word::Word;
use maser_shm::channel::Probe;
use maser_shm::control::{ControlError, ControlMemory, REGION_ALIGN, Region};
use maser_shm::sync::atomic::Ordering;
use std::sync::Arc;

const HEAD_BYTES: usize = REGION_ALIGN;

/// Bytes of the region of a pool that holds bodies of so many bytes in all.
pub(crate) fn pool_bytes(buffer_bytes: usize) -> usize {
    HEAD_BYTES + buffer_bytes.next_multiple_of(REGION_ALIGN)
}

/// The number of an edge's first pool.
const FIRST: u64 = 0;

/// One pool, as one process sees it.
struct Pool {
    number: u64,
    region: Region,
    /// BP-1.
    freed: Word,
    capacity: u64,
}

impl Pool {
    fn new(number: u64, region: Region) -> Result<Self, ControlError> {
        let capacity = region.bytes().saturating_sub(HEAD_BYTES) as u64;
        Ok(Self {
            number,
            freed: Word::new(&region)?,
            region,
            capacity,
        })
    }

    /// Where the byte at `position` lies, if `bytes` from there on are in one piece (BP-2).
    fn at(&self, position: u64, bytes: usize) -> Option<*mut u8> {
        let place = position.checked_rem(self.capacity)?;
        let end = place.checked_add(bytes as u64)?;
        (end <= self.capacity).then(|| {
            let start = self.region.start().as_ptr();
            start.wrapping_add(HEAD_BYTES).wrapping_add(place as usize)
        })
    }
}

/// Hands the memory of a new pool to the reader; `None` if it is gone.
pub(crate) type HandOver = Box<dyn Fn(u64, &ControlMemory) -> Option<()> + Send>;

/// The writing end.
pub(crate) struct PoolWriter {
    pool: Pool,
    /// Where the next body goes (BP-1).
    next: u64,
    /// As last read.
    freed: u64,
    last_number: u64,
    hand_over: HandOver,
}

impl PoolWriter {
    /// The writing end of the edge whose pool is `region`.
    pub(crate) fn new(region: Region, hand_over: HandOver) -> Result<Self, ControlError> {
        Ok(Self {
            pool: Pool::new(FIRST, region)?,
            next: 0,
            freed: 0,
            last_number: FIRST,
            hand_over,
        })
    }

    /// Puts the body of `packed` into the pool; the line that says so.
    pub(crate) fn put(&mut self, packed: &Packed) -> Packet {
        let body = packed.body();
        let placed = self.place(body.len()).or_else(|| {
            self.grow(body.len())?;
            self.place(body.len())
        });
        match placed {
            Some((position, at)) => {
                // SAFETY: BP-1: `place` gave bytes inside of the pool that the reader is through with.
                unsafe { std::ptr::copy_nonoverlapping(body.as_ptr(), at, body.len()) };
                [packed.head(), position, self.pool.number, 0, 0, 0, 0]
            }
            None => [head(Kind::Lost, 0), 0, 0, 0, 0, 0, 0],
        }
    }

    fn place(&mut self, bytes: usize) -> Option<(u64, *mut u8)> {
        let capacity = self.pool.capacity;
        let mut position = self.next;
        let left = capacity - position % capacity;
        if left < bytes as u64 {
            position += left;
        }
        let end = position + bytes as u64;
        if end > self.freed + capacity {
            let freed = self.pool.freed.load(Ordering::Acquire);
            // BP-2.
            if (self.freed..=self.next).contains(&freed) {
                self.freed = freed;
            }
            if self.freed == self.next {
                // Everything was read: the bytes that are skipped are nobody's.
                self.freed = position;
            }
            if end > self.freed + capacity {
                return None;
            }
        }
        let at = self.pool.at(position, bytes)?;
        self.next = end;
        Some((position, at))
    }

    #[cold]
    fn grow(&mut self, bytes: usize) -> Option<()> {
        let capacity = (self.pool.capacity as usize)
            .saturating_mul(2)
            .max(bytes.checked_next_power_of_two()?);
        let memory = ControlMemory::create(capacity.checked_add(HEAD_BYTES)?).ok()?;
        let pool = Pool::new(self.last_number + 1, memory.whole()).ok()?;
        (self.hand_over)(pool.number, &memory)?;
        self.last_number = pool.number;
        self.pool = pool;
        self.next = 0;
        self.freed = 0;
        Some(())
    }
}

/// What became of a body.
pub(crate) enum Read {
    /// It is there.
    Done,
    /// Its pool has not come yet.
    NotYet,
    /// It cannot be read (BP-2).
    Garbled(&'static str),
}

/// The reading end.
pub(crate) struct PoolReader {
    pool: Pool,
    inbox: Arc<Inbox>,
    /// Graph and edge.
    key: (u64, u64),
}

impl PoolReader {
    /// The reading end of edge `key` whose first pool is `region`; others come into `inbox`.
    pub(crate) fn new(
        region: Region,
        inbox: Arc<Inbox>,
        key: (u64, u64),
    ) -> Result<Self, ControlError> {
        Ok(Self {
            pool: Pool::new(FIRST, region)?,
            inbox,
            key,
        })
    }

    /// Memory that came for the graph's edges.
    pub(crate) fn inbox(&self) -> &Arc<Inbox> {
        &self.inbox
    }

    /// The graph.
    pub(crate) fn graph(&self) -> u64 {
        self.key.0
    }

    /// The edge.
    pub(crate) fn edge(&self) -> u64 {
        self.key.1
    }

    /// What changes before the body of `packet` can be read; `None` if it can be.
    pub(crate) fn awaited(&self, packet: &Packet) -> Option<Probe> {
        let number = packet[2];
        match number == self.pool.number {
            true => None,
            false => self.inbox.awaited((self.key.0, self.key.1, number)),
        }
    }

    /// Copies the body of `bytes` bytes that `packet` describes.
    pub(crate) fn take(&mut self, packet: &Packet, bytes: usize, into: &mut Packed) -> Read {
        let [_, position, number, ..] = *packet;
        if number != self.pool.number {
            // BP-3: a number only grows.
            if number < self.pool.number {
                return Read::Garbled("it names a pool that was given up");
            }
            let (graph, edge) = self.key;
            match self.inbox.take((graph, edge, number)) {
                Some(memory) => match Pool::new(number, memory.whole()) {
                    Ok(pool) => self.pool = pool,
                    Err(_) => return Read::Garbled("its pool is too small"),
                },
                None => return Read::NotYet,
            }
        }
        let Some(from) = self.pool.at(position, bytes) else {
            return Read::Garbled("it lies outside of its pool");
        };
        let Some(end) = position.checked_add(bytes as u64) else {
            return Read::Garbled("it lies outside of its pool");
        };
        let copied = into.fill_came(packet[0], |body| {
            body.try_reserve(bytes)
                .map_err(|error| format!("{bytes} bytes: {error}"))?;
            // SAFETY: BP-2: inside of the pool; the vector has room for as many, and shares nothing
            // with the mapping.
            unsafe {
                std::ptr::copy_nonoverlapping(from, body.as_mut_ptr(), bytes);
                body.set_len(bytes);
            }
            Ok(())
        });
        self.pool.freed.store(end, Ordering::Release);
        match copied {
            Ok(()) => Read::Done,
            Err(_) => Read::Garbled("there is no memory for it here"),
        }
    }
}
