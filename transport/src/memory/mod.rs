//! Memory that peers read and write: registered here, and named there.
//!
//! - MR-1 a region keeps its memory; it is registered until the last clone of it, and of every slice of
//!   it, is gone. Work that is under way has a clone.
//! - MR-2 peers may write a region that lets them at any time, so nobody here has a reference to its
//!   bytes: they are copied in and out by relaxed atomics. Who needs to know that a put is there waits
//!   for its signal, or for a message after a fence; the copy that follows sees it.
//! - MR-3 what a peer asks for is input: region, length and access are checked against what was
//!   registered before anything is touched.
#![allow(
    unsafe_code,
    reason = "copies to and from memory that peers write meanwhile"
)]

mod copy;
mod remote;
mod shared;

pub use remote::{BadRegion, MAX_KEY_BYTES, RemoteRegion, RemoteSlice};
pub use shared::SharedBytes;

use crate::endpoint::TransportKind;
use maser_shm::sync::atomic::AtomicU64;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

use bitflags::bitflags;
use bytes::Bytes;

/// Memory that can be registered.
///
/// # Safety
/// The bytes from [`start`](Self::start) on, [`len`](Self::len) of them, are mapped for reading as long
/// as the value lives, and for writing if [`is_writable`](Self::is_writable); they do not move, and all
/// that writes them meanwhile is atomic, a device or the kernel.
pub unsafe trait Memory: Send + Sync + 'static {
    /// The first byte.
    fn start(&self) -> NonNull<u8>;
    /// How many there are.
    fn len(&self) -> usize;
    /// Whether they may be written.
    fn is_writable(&self) -> bool {
        true
    }
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl dyn Memory {
    /// Copies `bytes` to `offset` (MR-2).
    ///
    /// # Errors
    /// [`OutOfRegion`].
    ///
    /// # Panics
    /// If it is not writable.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<(), OutOfRegion> {
        assert!(self.is_writable(), "memory that is not writable");
        let at = self.at(offset, bytes.len())?;
        // SAFETY: MR-2; within the memory, which is writable.
        unsafe { copy::copy_in(at, bytes) };
        Ok(())
    }

    /// Copies bytes from `offset` on into `to` (MR-2).
    ///
    /// # Errors
    /// [`OutOfRegion`].
    pub fn read(&self, offset: usize, to: &mut [u8]) -> Result<(), OutOfRegion> {
        let at = self.at(offset, to.len())?;
        // SAFETY: MR-2; within the memory.
        unsafe { copy::copy_out(at, to) };
        Ok(())
    }

    /// Copies `bytes` bytes of `from` to here, by way of a buffer.
    ///
    /// # Errors
    /// [`OutOfRegion`]; nothing is copied then.
    ///
    /// # Panics
    /// If it is not writable.
    pub fn copy_from(
        &self,
        offset: usize,
        from: &dyn Memory,
        from_offset: usize,
        bytes: usize,
    ) -> Result<(), OutOfRegion> {
        self.at(offset, bytes)?;
        from.at(from_offset, bytes)?;
        let mut buffer = [0; 4096];
        let mut done = 0;
        while done < bytes {
            let part = &mut buffer[..(bytes - done).min(4096)];
            from.read(from_offset + done, part)?;
            self.write(offset + done, part)?;
            done += part.len();
        }
        Ok(())
    }

    /// The word at `offset`, a multiple of 8, shared with whoever adds to it.
    ///
    /// # Errors
    /// [`OutOfRegion`], also if it is not aligned.
    pub fn word(&self, offset: usize) -> Result<&AtomicU64, OutOfRegion> {
        let at = self.at(offset, 8)?;
        if !at.cast::<u64>().is_aligned() {
            return Err(OutOfRegion::Unaligned { offset });
        }
        // SAFETY: MR-2: within the memory and aligned; everybody's writes are atomic.
        Ok(unsafe { at.cast::<AtomicU64>().as_ref() })
    }

    fn at(&self, offset: usize, bytes: usize) -> Result<NonNull<u8>, OutOfRegion> {
        within(&(offset..offset.saturating_add(bytes)), self.len() as u64)?;
        // SAFETY: within the memory.
        Ok(unsafe { self.start().add(offset) })
    }
}

/// Bytes of the heap, aligned to pages, zero at first.
#[derive(Debug)]
pub struct HeapMemory {
    start: NonNull<u8>,
    layout: Layout,
}

/// What [`HeapMemory`] is aligned to: pages of the smallest size there is.
const HEAP_ALIGN: usize = 4096;

impl HeapMemory {
    /// So many bytes, 1 at least.
    ///
    /// # Panics
    /// If `bytes` is more than an allocation can have.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let Ok(layout) = Layout::from_size_align(bytes.max(1), HEAP_ALIGN) else {
            panic!("{bytes} bytes are more than an allocation can have");
        };
        // SAFETY: the layout has a byte at least.
        let start = unsafe { alloc_zeroed(layout) };
        match NonNull::new(start) {
            Some(start) => Self { start, layout },
            None => handle_alloc_error(layout),
        }
    }
}

impl Drop for HeapMemory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

// SAFETY: MR-2, its bytes are copied by atomics alone.
unsafe impl Send for HeapMemory {}
// SAFETY: as above.
unsafe impl Sync for HeapMemory {}

// SAFETY: allocated for as long as it lives.
unsafe impl Memory for HeapMemory {
    fn start(&self) -> NonNull<u8> {
        self.start
    }
    fn len(&self) -> usize {
        self.layout.size()
    }
}

bitflags! {
    /// What peers may do with a region.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Access: u8 {
        /// Read it.
        const READ = 1;
        /// Write it.
        const WRITE = 1 << 1;
        /// Add to its words.
        const ATOMIC = 1 << 2;
    }
}

/// Memory that is registered with a transport. A clone is the same region.
#[derive(Clone)]
pub struct MemoryRegion(Arc<Registration>);

struct Registration {
    /// Dropped before the memory (MR-1).
    held: Box<dyn Any + Send + Sync>,
    memory: Arc<dyn Memory>,
    kind: TransportKind,
    access: Access,
    key: Bytes,
}

impl MemoryRegion {
    /// For transports: `memory`, which peers name by `key`. `held` is dropped when nobody has the region
    /// any more, before the memory is.
    ///
    /// # Panics
    /// If the key is longer than keys are.
    #[must_use]
    pub fn new(
        kind: TransportKind,
        memory: Arc<dyn Memory>,
        access: Access,
        key: Bytes,
        held: impl Any + Send + Sync,
    ) -> Self {
        assert!(key.len() <= MAX_KEY_BYTES, "a key of {} bytes", key.len());
        Self(Arc::new(Registration {
            held: Box::new(held),
            memory,
            kind,
            access,
            key,
        }))
    }

    /// Its bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.memory.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What peers may do with it.
    #[must_use]
    pub fn access(&self) -> Access {
        self.0.access
    }

    /// The memory under it.
    #[must_use]
    pub fn memory(&self) -> &Arc<dyn Memory> {
        &self.0.memory
    }

    /// The transport it is registered with.
    #[must_use]
    pub fn kind(&self) -> TransportKind {
        self.0.kind
    }

    /// What peers name it by.
    #[must_use]
    pub fn key(&self) -> &Bytes {
        &self.0.key
    }

    /// For transports: what they gave it to hold, if it is a `T`.
    pub(crate) fn held<T: Any>(&self) -> Option<&T> {
        self.0.held.downcast_ref()
    }

    /// A part of it.
    ///
    /// # Errors
    /// [`OutOfRegion`].
    pub fn slice(&self, range: Range<usize>) -> Result<LocalSlice, OutOfRegion> {
        within(&range, self.len() as u64)?;
        Ok(LocalSlice {
            region: self.clone(),
            range,
        })
    }

    /// All of it.
    #[must_use]
    pub fn whole(&self) -> LocalSlice {
        LocalSlice {
            region: self.clone(),
            range: 0..self.len(),
        }
    }

    /// As `write` of its memory.
    ///
    /// # Errors
    /// [`OutOfRegion`].
    ///
    /// # Panics
    /// If its memory is not writable.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<(), OutOfRegion> {
        self.0.memory.write(offset, bytes)
    }

    /// As `read` of its memory.
    ///
    /// # Errors
    /// [`OutOfRegion`].
    pub fn read(&self, offset: usize, to: &mut [u8]) -> Result<(), OutOfRegion> {
        self.0.memory.read(offset, to)
    }

    /// As `word` of its memory.
    ///
    /// # Errors
    /// [`OutOfRegion`].
    pub fn word(&self, offset: usize) -> Result<&AtomicU64, OutOfRegion> {
        self.0.memory.word(offset)
    }
}

impl fmt::Debug for MemoryRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} B with {}", self.len(), self.0.kind)
    }
}

/// A part that its region does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutOfRegion {
    /// It ends behind the region.
    #[error("bytes {start} to {end} of a region of {bytes} bytes")]
    Range {
        /// Its first byte.
        start: u64,
        /// The byte behind its last.
        end: u64,
        /// Bytes of the region.
        bytes: u64,
    },
    /// A word that does not begin where words do.
    #[error("a word at offset {offset}; words are aligned to 8 bytes")]
    Unaligned {
        /// Where it is.
        offset: usize,
    },
}

fn within(range: &Range<usize>, bytes: u64) -> Result<(), OutOfRegion> {
    let (start, end) = (range.start as u64, range.end as u64);
    match start <= end && end <= bytes {
        true => Ok(()),
        false => Err(OutOfRegion::Range { start, end, bytes }),
    }
}

/// A part of a region, which it keeps.
#[derive(Clone, Debug)]
pub struct LocalSlice {
    region: MemoryRegion,
    range: Range<usize>,
}

impl LocalSlice {
    /// The region that it is a part of.
    #[must_use]
    pub fn region(&self) -> &MemoryRegion {
        &self.region
    }

    /// Where it begins in the region.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.range.start
    }

    /// Its bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Its first byte.
    #[must_use]
    pub fn start(&self) -> NonNull<u8> {
        // SAFETY: within the memory of the region, which was checked when the slice was made.
        unsafe { self.region.0.memory.start().add(self.range.start) }
    }
}
