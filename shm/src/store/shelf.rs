//! Objects that may leave memory while nobody uses them: copies that can be had again, and objects
//! that can be written to disk.
//!
//! ```text
//!            get               out of room             get
//!   here <--------- here  ------------------> on disk ----> here      Leave::ToDisk
//!                         ------------------> gone                    Leave::Dropped
//! ```
//!
//! - SH-1 an object leaves only while the shelf has its only handle. That is looked at under the
//!   entry's lock, which every new handle needs.
//! - SH-2 the one that was used longest ago leaves first. Use is noted in rounds: one round ends
//!   when the shelf looks for victims, and those used in the same round leave in any order.
//! - SH-3 an object is on disk before its memory is freed, and in memory before it is discarded
//!   there. A failure at either end leaves it where it is.
//! - SH-4 an entry's lock may be held while room is made, for its own return. So whoever makes room
//!   only tries other locks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

use super::error::StoreError;
use super::object::Object;
use super::shared::Shared;
use super::spill::{Spill, Ticket};
use crate::sync::atomic::{AtomicU64, Ordering};

/// How an object leaves memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// It is lost to this store: for copies of what others have.
    Dropped,
    /// It is written to disk and comes back when it is asked for.
    ToDisk,
}

#[derive(Debug)]
enum Whereabouts {
    Here(Object),
    OnDisk(Ticket),
    Gone,
}

#[derive(Debug)]
struct Entry {
    shared: Arc<Shared>,
    bytes: usize,
    leave: Leave,
    /// Round in which it was used last (SH-2).
    used: AtomicU64,
    whereabouts: Mutex<Whereabouts>,
}

/// A handle of an object that may leave memory while no [`Object`] of it is held. Clones are handles
/// of the same one.
#[derive(Clone, Debug)]
pub struct Shelved(Arc<Entry>);

impl Shelved {
    /// Puts an object on the shelf.
    pub(super) fn new(shared: &Arc<Shared>, object: Object, leave: Leave) -> Self {
        let entry = Arc::new(Entry {
            shared: Arc::clone(shared),
            bytes: object.len(),
            leave,
            used: AtomicU64::new(shared.shelf.round()),
            whereabouts: Mutex::new(Whereabouts::Here(object)),
        });
        shared.shelf.add(&entry);
        Self(entry)
    }

    /// The object, which stays in memory while the handle is held. Comes back from disk if it has to.
    ///
    /// # Errors
    /// [`StoreError::Evicted`]; [`StoreError::Full`] where there is no room for it to come back, and
    /// [`StoreError::Spill`] where it cannot be read: it is still on disk then.
    pub fn get(&self) -> Result<Object, StoreError> {
        let entry = &*self.0;
        let mut whereabouts = entry.lock();
        entry
            .used
            .store(entry.shared.shelf.round(), Ordering::Relaxed);
        match &*whereabouts {
            Whereabouts::Here(object) => Ok(object.clone()),
            Whereabouts::Gone => Err(StoreError::Evicted { bytes: entry.bytes }),
            &Whereabouts::OnDisk(ticket) => {
                let object = entry.restore(ticket)?;
                *whereabouts = Whereabouts::Here(object.clone()); // SH-3
                entry.discard(ticket);
                Ok(object)
            }
        }
    }

    /// Bytes of its payload.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.bytes
    }

    /// Whether it is in memory now.
    #[must_use]
    pub fn is_here(&self) -> bool {
        matches!(*self.0.lock(), Whereabouts::Here(_))
    }
}

impl Entry {
    fn lock(&self) -> MutexGuard<'_, Whereabouts> {
        let locked = self.whereabouts.lock();
        locked.unwrap_or_else(PoisonError::into_inner)
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, Whereabouts>> {
        match self.whereabouts.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(guard)) => Some(guard.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn spill(&self) -> Option<&dyn Spill> {
        self.shared.grounds.config().spill.as_deref()
    }

    fn restore(&self, ticket: Ticket) -> Result<Object, StoreError> {
        let mut object = self.shared.create_common(self.bytes)?;
        let spill = self.spill().expect("SH-3: what is on disk was spilled");
        spill
            .read(ticket, &mut object)
            .map_err(|source| StoreError::Spill {
                what: "read back",
                bytes: self.bytes,
                source,
            })?;
        self.shared.shelf.moved(self.bytes, false);
        Ok(object.seal())
    }

    fn discard(&self, ticket: Ticket) {
        if let Some(spill) = self.spill() {
            spill.discard(ticket);
        }
    }

    /// A handle of an object that may leave, if it has not been used since `used`.
    fn candidate(&self, used: u64) -> Option<Object> {
        if self.used.load(Ordering::Relaxed) != used {
            return None;
        }
        match &*self.try_lock()? {
            Whereabouts::Here(object) if object.is_unique() => Some(object.clone()),
            _ => None,
        }
    }

    /// Lets the object go, if the caller's handle is the only one beside the shelf's (SH-1).
    fn let_go(&self, object: Object, into: Whereabouts) -> bool {
        let Some(mut whereabouts) = self.try_lock() else {
            return false;
        };
        let alone = matches!(&*whereabouts, Whereabouts::Here(here) if here.is_same(&object))
            && object.handles() == 2;
        if alone {
            let here = std::mem::replace(&mut *whereabouts, into);
            drop(whereabouts);
            drop((here, object));
        }
        alone
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let whereabouts = self.whereabouts.get_mut();
        if let Whereabouts::OnDisk(ticket) = *whereabouts.unwrap_or_else(PoisonError::into_inner) {
            self.discard(ticket);
            self.shared.shelf.moved(self.bytes, false);
        }
    }
}

#[derive(Debug, Default)]
struct State {
    entries: Vec<Weak<Entry>>,
    /// Entries are looked through for dead ones when there are so many.
    prune_at: usize,
    spilled: (u64, u64),
}

/// The shelf of a store.
#[derive(Debug)]
pub(super) struct Shelf {
    /// What is thrown out at least, when something is.
    least_bytes: usize,
    state: Mutex<State>,
    round: AtomicU64,
    /// One thread at a time throws out; what the next one sees is then settled.
    making_room: Mutex<()>,
}

/// Bytes and objects that are written in one go.
const BATCH_BYTES: usize = 64 << 20;
const BATCH_OBJECTS: usize = 256;

impl Shelf {
    pub(super) fn new(store_bytes: usize) -> Self {
        Self {
            least_bytes: store_bytes / 64,
            state: Mutex::default(),
            round: AtomicU64::new(0),
            making_room: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn round(&self) -> u64 {
        self.round.load(Ordering::Relaxed)
    }

    fn add(&self, entry: &Arc<Entry>) {
        let mut state = self.state();
        if state.entries.len() >= state.prune_at {
            state.entries.retain(|entry| entry.strong_count() > 0);
            state.prune_at = (2 * state.entries.len()).max(64);
        }
        state.entries.push(Arc::downgrade(entry));
    }

    fn moved(&self, bytes: usize, to_disk: bool) {
        let (objects, on_disk) = &mut self.state().spilled;
        if to_disk {
            (*objects, *on_disk) = (*objects + 1, *on_disk + bytes as u64);
        } else {
            (*objects, *on_disk) = (*objects - 1, *on_disk - bytes as u64);
        }
    }

    /// Objects on disk, and their bytes.
    pub(super) fn spilled(&self) -> (u64, u64) {
        self.state().spilled
    }

    /// Throws `bytes` out, or as much as may go; whether anything went.
    pub(super) fn evict(&self, bytes: usize, may_spill: bool) -> Result<bool, StoreError> {
        let busy = self.making_room.lock();
        let _one = busy.unwrap_or_else(PoisonError::into_inner);
        let entries: Vec<Arc<Entry>> = {
            let state = self.state();
            state.entries.iter().filter_map(Weak::upgrade).collect()
        };
        // Looking through all of them is worth it for more than one small object.
        let bytes = bytes.max(self.least_bytes);
        self.round.fetch_add(1, Ordering::Relaxed);
        let mut coldest: Vec<(u64, Arc<Entry>)> = entries
            .into_iter()
            .map(|entry| (entry.used.load(Ordering::Relaxed), entry))
            .collect();
        coldest.sort_by_key(|(used, _)| *used); // SH-2
        let mut freed = 0;
        for (used, entry) in coldest.iter().filter(|(_, e)| e.leave == Leave::Dropped) {
            if freed >= bytes {
                break;
            }
            if let Some(object) = entry.candidate(*used)
                && entry.let_go(object, Whereabouts::Gone)
            {
                freed += entry.bytes;
            }
        }
        let to_disk = coldest.iter().filter(|(_, e)| e.leave == Leave::ToDisk);
        let mut to_disk = to_disk.filter_map(|(used, e)| Some((e, e.candidate(*used)?)));
        while may_spill && freed < bytes {
            let mut batch = Vec::new();
            let mut batched = 0;
            while batched < (bytes - freed).min(BATCH_BYTES)
                && batch.len() < BATCH_OBJECTS
                && let Some((entry, object)) = to_disk.next()
            {
                batched += entry.bytes;
                batch.push((entry, object));
            }
            if batch.is_empty() {
                break;
            }
            freed += self.write(batch)?;
        }
        Ok(freed > 0)
    }

    /// Writes objects and lets those go that nobody has asked for meanwhile; their bytes.
    fn write(&self, batch: Vec<(&Arc<Entry>, Object)>) -> Result<usize, StoreError> {
        let Some(spill) = batch.first().and_then(|(entry, _)| entry.spill()) else {
            return Ok(0);
        };
        let payloads: Vec<&[u8]> = batch.iter().map(|(_, object)| &object[..]).collect();
        let tickets = spill.write_all(&payloads);
        let tickets = tickets.map_err(|source| StoreError::Spill {
            what: "write",
            bytes: payloads.iter().map(|bytes| bytes.len()).sum(),
            source,
        })?;
        let mut freed = 0;
        for ((entry, object), ticket) in batch.into_iter().zip(tickets) {
            self.moved(entry.bytes, true);
            if entry.let_go(object, Whereabouts::OnDisk(ticket)) {
                freed += entry.bytes; // SH-3
            } else {
                self.moved(entry.bytes, false);
                spill.discard(ticket);
            }
        }
        Ok(freed)
    }
}
