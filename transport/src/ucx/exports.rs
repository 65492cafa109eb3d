//! Regions that are registered here, and who uses them.
//!
//! - UX-6 a peer asks for a region before it uses it first, and has it until it lets it go or its connection
//!   ends. A region that nobody has any more is revoked from those peers, and its memory is kept until the
//!   last of them has let it go: what is under way never reaches memory that is something else by then.

use super::control::{Granted, RegionKey, Word};
use super::sys::{Status, Worker};
use crate::endpoint::{Endpoint, TransportKind};
use crate::memory::{Access, Memory, MemoryRegion};
use crate::message::Message;
use bytes::Bytes;
use maser_shm::sync::atomic::{AtomicBool, Ordering};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// See the module's page.
pub(super) struct Exports {
    last: u64,
    all: HashMap<u64, Export>,
    dropped: Arc<Dropped>,
}

struct Export {
    base: u64,
    bytes: u64,
    access: Access,
    packed: Vec<u8>,
    users: Vec<Endpoint>,
    is_over: bool,
}

/// Numbers of regions that nobody has any more, from whichever thread.
#[derive(Default)]
struct Dropped {
    /// Written Release after the list is, read Acquire before it is (by whoever polls).
    is_any: AtomicBool,
    numbers: Mutex<Vec<u64>>,
}

struct Held {
    number: u64,
    dropped: Arc<Dropped>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut numbers = self
            .dropped
            .numbers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        numbers.push(self.number);
        self.dropped.is_any.store(true, Ordering::Release);
    }
}

impl Exports {
    pub(super) fn new() -> Self {
        Self {
            last: 0,
            all: HashMap::new(),
            dropped: Arc::default(),
        }
    }

    pub(super) fn register(
        &mut self,
        worker: &mut Worker,
        memory: Arc<dyn Memory>,
        access: Access,
    ) -> Result<MemoryRegion, Status> {
        self.last += 1;
        let number = self.last;
        let packed = worker.map(number, memory.clone(), access)?;
        let export = Export {
            base: memory.start().addr().get() as u64,
            bytes: memory.len() as u64,
            access,
            packed,
            users: Vec::new(),
            is_over: false,
        };
        self.all.insert(number, export);
        let held = Held {
            number,
            dropped: self.dropped.clone(),
        };
        let key = Bytes::copy_from_slice(&worker.region_key(number));
        let kind = TransportKind::Ucx;
        Ok(MemoryRegion::new(kind, memory, access, key, held))
    }

    /// Whether a region was dropped since it was asked last.
    #[inline]
    pub(super) fn has_dropped(&self) -> bool {
        self.dropped.is_any.load(Ordering::Acquire)
    }

    /// Forgets regions that were dropped: from whom they are to be revoked.
    pub(super) fn take_dropped(&mut self, worker: &mut Worker) -> Vec<(Endpoint, Message)> {
        let dropped = {
            let mut numbers = self
                .dropped
                .numbers
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            self.dropped.is_any.store(false, Ordering::Release);
            std::mem::take(&mut *numbers)
        };
        let mut revoked = Vec::new();
        for number in dropped {
            let Some(export) = self.all.get_mut(&number) else {
                continue;
            };
            export.is_over = true;
            let word = Word::Revoke(worker.region_key(number)).to_message();
            revoked.extend(export.users.iter().map(|user| (*user, word.clone())));
            self.end_unused(number, worker);
        }
        revoked
    }

    /// What to answer a peer that asks for a region.
    pub(super) fn ask(&mut self, user: Endpoint, key: RegionKey, worker: &Worker) -> Message {
        let found = worker
            .number_of(&key)
            .and_then(|number| self.all.get_mut(&number));
        let Some(export) = found.filter(|export| !export.is_over) else {
            return Word::NoRegion(key).to_message();
        };
        if !export.users.contains(&user) {
            export.users.push(user);
        }
        let granted = Granted {
            base: export.base,
            bytes: export.bytes,
            access: export.access,
            packed: &export.packed,
        };
        Word::Grant(key, granted).to_message()
    }

    /// A peer has let a region go.
    pub(super) fn let_go(&mut self, user: Endpoint, key: RegionKey, worker: &mut Worker) {
        let Some(number) = worker.number_of(&key) else {
            return;
        };
        if let Some(export) = self.all.get_mut(&number) {
            export.users.retain(|other| *other != user);
            self.end_unused(number, worker);
        }
    }

    /// A connection is over.
    pub(super) fn forget(&mut self, user: Endpoint, worker: &mut Worker) {
        let mut unused = Vec::new();
        for (number, export) in &mut self.all {
            export.users.retain(|other| *other != user);
            if export.is_over && export.users.is_empty() {
                unused.push(*number);
            }
        }
        for number in unused {
            self.end_unused(number, worker);
        }
    }

    fn end_unused(&mut self, number: u64, worker: &mut Worker) {
        let is_unused = |export: &Export| export.is_over && export.users.is_empty();
        if self.all.get(&number).is_some_and(is_unused) {
            self.all.remove(&number);
            worker.unmap(number);
        }
    }
}
