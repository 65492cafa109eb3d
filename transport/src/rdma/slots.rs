//! Memory of the end's own that the device reads and writes: bytes on their way out that lie in no region, and
//! what peers send.
//!
//! - RQ-3 a slot is the device's from when a request that names it is posted until that is completed, or its
//!   queue pair is destroyed; else it is the end's, and nobody else's.

use super::device::Domain;
use super::memory::{Registered, register_own};
use super::pair::Part;
use crate::memory::{HeapMemory, Memory};
use std::io;
use std::sync::Arc;

/// Bytes of one: a packet of the greatest size.
pub(super) const SLOT_BYTES: usize = 4096;
/// Slots that are registered at once.
const BLOCK: usize = 64;

/// The number of a slot.
pub(super) type Slot = u32;

/// See the module's page. There are as many as were ever needed at once.
pub(super) struct Slots {
    domain: Arc<Domain>,
    /// A registration goes before its memory does.
    blocks: Vec<(Arc<Registered>, Arc<dyn Memory>)>,
    free: Vec<Slot>,
}

impl Slots {
    pub(super) fn new(domain: &Arc<Domain>) -> Self {
        Self {
            domain: domain.clone(),
            blocks: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(super) fn take(&mut self) -> io::Result<Slot> {
        if self.free.is_empty() {
            let memory: Arc<dyn Memory> = Arc::new(HeapMemory::new(BLOCK * SLOT_BYTES));
            let registered = register_own(&self.domain, &memory)?;
            let first = (self.blocks.len() * BLOCK) as Slot;
            self.blocks.push((registered, memory));
            self.free.extend((first..first + BLOCK as Slot).rev());
        }
        match self.free.pop() {
            Some(slot) => Ok(slot),
            None => Err(io::Error::other("no slot in a block that was just made")),
        }
    }

    pub(super) fn give(&mut self, slot: Slot) {
        self.free.push(slot);
    }

    fn start(&self, slot: Slot) -> *mut u8 {
        let memory = &self.blocks[slot as usize / BLOCK].1;
        // SAFETY: within the block.
        unsafe {
            memory
                .start()
                .as_ptr()
                .add(slot as usize % BLOCK * SLOT_BYTES)
        }
    }

    /// As much of it as a request names.
    pub(super) fn part(&self, slot: Slot, bytes: usize) -> Part {
        assert!(bytes <= SLOT_BYTES, "{bytes} bytes of a slot");
        Part {
            address: self.start(slot).addr() as u64,
            bytes: bytes as u32,
            key: self.blocks[slot as usize / BLOCK].0.local_key(),
        }
    }

    /// Its first bytes, to be filled before it is posted.
    pub(super) fn bytes_mut(&mut self, slot: Slot, bytes: usize) -> &mut [u8] {
        assert!(bytes <= SLOT_BYTES, "{bytes} bytes of a slot");
        // SAFETY: RQ-3, and this is borrowed; the block's bytes were written, by zeros at first.
        unsafe { std::slice::from_raw_parts_mut(self.start(slot), bytes) }
    }

    /// Its first bytes, which a completed request wrote.
    pub(super) fn bytes(&self, slot: Slot, bytes: usize) -> &[u8] {
        assert!(bytes <= SLOT_BYTES, "{bytes} bytes of a slot");
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts(self.start(slot), bytes) }
    }
}
