//! Files by io_uring: the chunks of a batch are in flight side by side.
//!
//! - FO-4 a ring serves one call at a time; idle rings are kept for the next, so concurrent calls
//!   do not wait for each other.
//! - FO-5 a call that gets no ring, or whose ring is refused on the way (a filter that came late, a
//!   limit), is done by plain calls instead: writing or reading the same bytes again changes nothing.
//! - FO-6 so is a call that a ring would only make slower: a single chunk, which has nothing to be in
//!   flight beside, and small writes, which end in the page cache sooner than a ring hears of them
//!   (measured: parts of 4 KiB 0.8 GB/s plain and 0.4 by a ring; of 1 MiB 0.5 and 2.8).

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, PoisonError};

use super::plain::PlainFileIo;
use super::{FileIo, ReadPart, WritePart};
use crate::os::uring::Ring;
use crate::os::uring::batch::CHUNK_BYTES;

/// Chunks under way for one call.
const DEPTH: u32 = 16;

/// From this size on parts of a batch are worth a ring.
const LARGE_PART_BYTES: usize = 128 << 10;

/// Rings that are kept while nobody uses them.
const IDLE_RINGS: usize = 4;

/// A few rings, made as they are needed.
pub struct UringFileIo {
    idle: Mutex<Vec<Ring>>,
}

impl UringFileIo {
    /// Makes none yet; see [`Ring::available`] for whether there will be any.
    #[must_use]
    pub fn new() -> Self {
        Self {
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Runs `call` on a ring; `None` if it cannot be done by a ring (FO-5).
    fn on_ring(&self, call: impl FnOnce(&mut Ring) -> io::Result<()>) -> Option<io::Result<()>> {
        let idle = self.rings().pop();
        let mut ring = match idle {
            Some(ring) => ring,
            None => Ring::new(DEPTH).ok()?,
        };
        let result = call(&mut ring);
        if ring.refusal().is_err() {
            return None;
        }
        let mut rings = self.rings();
        if rings.len() < IDLE_RINGS {
            rings.push(ring);
        }
        Some(result)
    }

    fn rings(&self) -> std::sync::MutexGuard<'_, Vec<Ring>> {
        // Rings in the list are idle and whole, whatever panicked elsewhere.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for UringFileIo {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for UringFileIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UringFileIo({} idle rings)", self.rings().len())
    }
}

impl FileIo for UringFileIo {
    fn name(&self) -> &'static str {
        "io_uring"
    }

    fn write_batch(&self, file: BorrowedFd<'_>, parts: &[WritePart<'_>]) -> io::Result<()> {
        let bytes: usize = parts.iter().map(|part| part.bytes.len()).sum();
        if bytes <= CHUNK_BYTES || bytes / parts.len() < LARGE_PART_BYTES {
            return PlainFileIo.write_batch(file, parts);
        }
        self.on_ring(|ring| ring.write_batch(file, parts))
            .unwrap_or_else(|| PlainFileIo.write_batch(file, parts))
    }

    fn read_batch(&self, file: BorrowedFd<'_>, parts: &mut [ReadPart<'_>]) -> io::Result<()> {
        if let [part] = &parts
            && part.bytes.len() <= CHUNK_BYTES
        {
            return PlainFileIo.read_batch(file, parts);
        }
        self.on_ring(|ring| ring.read_batch(file, parts))
            .unwrap_or_else(|| PlainFileIo.read_batch(file, parts))
    }
}
