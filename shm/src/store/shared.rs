//! What the handles, arenas and objects of one store have in common; how room is made.
//!
//! When an arena has no room: an extent if the budget has one, then what others dropped or hold
//! empty, then room in another arena, then what is only cached, then disk if the caller allows it.
//!
//! - STO-1 no lock is held while another one of the store is taken, nor while user code runs; the
//!   shelf says where that is otherwise (SH-4).

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use super::arena::Books;
use super::config::StoreConfig;
use super::error::{Holder, HolderKind, StoreError, StoreFull};
use super::extent::ExtentError;
use super::ground::Grounds;
use super::object::ObjectMut;
use super::peer::Peers;
use super::shelf::Shelf;
use crate::arena::classes::{GRANULE_BYTES, UNIT_BYTES};

/// Bytes of the largest object: units of its extent fit 32 bits.
pub const OBJECT_BYTES_MAX: usize = (UNIT_BYTES << 32) - GRANULE_BYTES;

/// Called once, when memory was freed.
type OnFreed = Box<dyn FnOnce() + Send>;

/// See the module's page.
pub(super) struct Shared {
    pub(super) grounds: Grounds,
    pub(super) peers: Peers,
    pub(super) shelf: Shelf,
    /// The books for all threads that have none of their own.
    common: OnceLock<Weak<Books>>,
    arenas: Mutex<Vec<Weak<Books>>>,
    waiting: Mutex<Vec<OnFreed>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("grounds", &self.grounds)
            .finish_non_exhaustive()
    }
}

fn open<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(config: StoreConfig) -> Self {
        let shelf = Shelf::new(config.store_bytes);
        Self {
            shelf,
            grounds: Grounds::new(config),
            peers: Peers::default(),
            common: OnceLock::new(),
            arenas: Mutex::default(),
            waiting: Mutex::default(),
        }
    }

    /// Notes an arena. One that opens while somebody waits for memory reports its frees as well.
    pub(super) fn enlist(&self, books: &Arc<Books>) {
        let mut arenas = open(&self.arenas);
        arenas.retain(|arena| arena.strong_count() > 0);
        arenas.push(Arc::downgrade(books));
        drop(arenas);
        if !open(&self.waiting).is_empty() {
            books.press(true);
        }
    }

    fn arenas(&self) -> Vec<Arc<Books>> {
        open(&self.arenas)
            .iter()
            .filter_map(Weak::upgrade)
            .collect()
    }

    /// Takes back what was dropped, gives back what nothing lies in.
    pub(super) fn trim(&self) {
        for books in self.arenas() {
            books.trim();
        }
    }

    /// Gives back what nothing lay in since the last call; whether there is more that is empty.
    pub(super) fn cool(&self) -> bool {
        let arenas = self.arenas().into_iter();
        arenas.fold(false, |is_warm, books| books.cool() | is_warm)
    }

    /// Makes room for an object and the object in it.
    #[cold]
    pub(super) fn create(
        &self,
        books: &Books,
        bytes: usize,
        may_spill: bool,
    ) -> Result<ObjectMut, StoreError> {
        if bytes > OBJECT_BYTES_MAX {
            let max = OBJECT_BYTES_MAX;
            return Err(StoreError::TooLarge { asked: bytes, max });
        }
        let mut trimmed = false;
        loop {
            let short = match self.grounds.make(bytes) {
                Ok(Some(ground)) => {
                    books.add(ground);
                    None
                }
                Ok(None) => Some(None),
                Err(error) if is_shortage(&error) => Some(Some(error)),
                Err(error) => return Err(error),
            };
            // Another thread may have used up the new extent of books that all share.
            if let Some(object) = books.alloc(bytes) {
                return Ok(object);
            }
            let Some(error) = short else { continue };
            if !std::mem::replace(&mut trimmed, true) {
                self.trim();
                continue;
            }
            let others = self.arenas();
            if let Some(object) = others.iter().find_map(|books| books.alloc(bytes)) {
                return Ok(object);
            }
            if self.shelf.evict(bytes, may_spill)? {
                trimmed = false;
                continue;
            }
            return Err(error.unwrap_or_else(|| self.full(bytes).into()));
        }
    }

    /// Notes the books for all threads.
    pub(super) fn set_common(&self, books: &Arc<Books>) {
        let set = self.common.set(Arc::downgrade(books));
        debug_assert!(set.is_ok(), "a store has one");
    }

    /// An object in the books for all threads, whatever it takes.
    pub(super) fn create_common(&self, bytes: usize) -> Result<ObjectMut, StoreError> {
        let common = self.common.get().and_then(Weak::upgrade);
        let common = common.ok_or(StoreError::Closed)?;
        match common.alloc(bytes) {
            Some(object) => Ok(object),
            None => self.create(&common, bytes, true),
        }
    }

    fn full(&self, asked: usize) -> StoreFull {
        let arenas = self.arenas();
        let inside: usize = arenas.iter().map(|books| books.figures().2).sum();
        let config = self.grounds.config();
        let budget = config.store_bytes;
        let mut free = budget.saturating_sub(self.grounds.used());
        let mut holders = self.holders();
        if let Some(shared) = config.budget.as_deref() {
            let (left, others) = shared.others();
            free = free.min(left);
            holders.extend(others);
            holders.sort_by_key(|holder| std::cmp::Reverse(holder.bytes));
        }
        StoreFull {
            asked,
            free: free + inside,
            budget,
            holders,
        }
    }

    /// Objects and bytes of their payloads.
    pub(super) fn live(&self) -> (u64, u64) {
        let figures = self.arenas().into_iter().map(|books| books.figures());
        figures.fold((0, 0), |(objects, bytes), figures| {
            (objects + figures.0 as u64, bytes + figures.1 as u64)
        })
    }

    /// Who keeps memory, the largest first.
    pub(super) fn holders(&self) -> Vec<Holder> {
        let (mut holders, given, given_bytes) = self.peers.holders();
        let (objects, bytes) = self.live();
        holders.push(Holder {
            kind: HolderKind::Own,
            objects: objects.saturating_sub(given),
            bytes: bytes.saturating_sub(given_bytes),
        });
        for (name, bytes) in self.grounds.charges() {
            holders.push(Holder {
                kind: HolderKind::Charged { name },
                objects: 0,
                bytes: bytes as u64,
            });
        }
        holders.retain(|holder| holder.bytes > 0);
        holders.sort_by_key(|holder| std::cmp::Reverse(holder.bytes));
        holders
    }

    /// Calls `then` once, when memory is freed from now on.
    pub(super) fn when_freed(&self, then: OnFreed) {
        open(&self.waiting).push(then);
        for books in self.arenas() {
            books.press(true);
        }
    }

    /// Memory was freed while somebody waited.
    pub(super) fn freed(&self) {
        let waiting = std::mem::take(&mut *open(&self.waiting));
        if waiting.is_empty() {
            return;
        }
        for books in self.arenas() {
            books.press(false);
        }
        for then in waiting {
            then();
        }
        // One that came in between has to be heard of as well.
        if !open(&self.waiting).is_empty() {
            for books in self.arenas() {
                books.press(true);
            }
        }
    }
}

/// Whether it helps to throw something out.
fn is_shortage(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Extent(
            ExtentError::MemoryShort { .. }
                | ExtentError::HugePagesShort { .. }
                | ExtentError::HugePagesLimited { .. }
                | ExtentError::OpenFiles { .. }
                | ExtentError::AddressSpace { .. }
        )
    )
}
