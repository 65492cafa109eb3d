//! The store of a process.

use std::sync::Arc;

use super::arena::{Arena, Books};
use super::config::{HugePages, StoreConfig};
use super::copy;
use super::descriptor::Descriptor;
use super::error::{Holder, StoreError};
use super::object::{Object, ObjectMut};
use super::peer::PeerId;
use super::shared::Shared;
use super::shelf::{Leave, Shelved};
use crate::arena::classes::GRANULE_BYTES;
use crate::os::memory;
use crate::os::shared_memory::PageKind;

/// Objects of this process, for all of the node to read. Clones are handles of one store; objects
/// may outlive it.
#[derive(Clone, Debug)]
pub struct Store(Arc<Handles>);

/// What ends with the last handle.
#[derive(Debug)]
struct Handles {
    shared: Arc<Shared>,
    /// For threads that have no arena of their own.
    common: Arc<Books>,
}

impl Drop for Handles {
    fn drop(&mut self) {
        self.shared.peers.clear();
        self.common.close();
    }
}

/// Memory that is counted against a store while this is there.
#[derive(Debug)]
#[must_use = "it is counted while this value is there"]
pub struct Charge {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.shared.grounds.discharge(self.number);
        self.shared.freed();
    }
}

/// What a store has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Usage {
    /// Objects that are there.
    pub objects: u64,
    /// Bytes of their payloads.
    pub payload_bytes: u64,
    /// Extents that are there.
    pub extents: usize,
    /// Bytes of them.
    pub extent_bytes: usize,
    /// Objects on disk.
    pub spilled: u64,
    /// Their bytes.
    pub spilled_bytes: u64,
}

impl Store {
    /// A store. It takes no memory before the first object.
    ///
    /// # Errors
    /// [`StoreError::Setting`] and [`StoreError::Budget`] for what could never be.
    pub fn new(config: StoreConfig) -> Result<Self, StoreError> {
        check(&config)?;
        crate::os::membarrier::register();
        let shared = Arc::new(Shared::new(config));
        shared.grounds.attendant.belongs_to(&shared);
        let common = Books::open(&shared, 0);
        shared.set_common(&common);
        Ok(Self(Arc::new(Handles { shared, common })))
    }

    /// An arena of this thread: for threads that make many objects.
    #[must_use]
    pub fn arena(&self) -> Arena {
        Arena::open(&self.0.shared)
    }

    /// An object of `bytes`, to be written; from any thread. Throws out what is only cached, does
    /// not wait, and writes nothing to disk.
    ///
    /// # Errors
    /// [`StoreError::Full`] where there is no room.
    pub fn try_create(&self, bytes: usize) -> Result<ObjectMut, StoreError> {
        match self.0.common.alloc(bytes) {
            Some(object) => Ok(object),
            None => self.0.shared.create(&self.0.common, bytes, false),
        }
    }

    /// As [`try_create`](Self::try_create), but cold objects are written to disk where that makes
    /// room.
    ///
    /// # Errors
    /// [`StoreError::Full`] where there is none then either.
    pub fn create(&self, bytes: usize) -> Result<ObjectMut, StoreError> {
        match self.0.common.alloc(bytes) {
            Some(object) => Ok(object),
            None => self.0.shared.create(&self.0.common, bytes, true),
        }
    }

    /// An object with these bytes, to be read; as [`create`](Self::create).
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn put(&self, bytes: &[u8]) -> Result<Object, StoreError> {
        let mut object = self.create(bytes.len())?;
        copy::copy(&mut object, bytes);
        Ok(object.seal())
    }

    /// Lets an object leave memory while the shelf has its only handle.
    ///
    /// # Errors
    /// [`StoreError::OtherStore`]; [`StoreError::Setting`] if it is to go to disk and there is no
    /// place for it.
    pub fn shelve(&self, object: Object, leave: Leave) -> Result<Shelved, StoreError> {
        self.check_own(&object)?;
        if leave == Leave::ToDisk && self.0.shared.grounds.config().spill.is_none() {
            return Err(StoreError::Setting {
                name: "spill",
                value: 0,
                reason: "the store has no place on disk; give it one (spill_directory)",
            });
        }
        Ok(Shelved::new(&self.0.shared, object, leave))
    }

    /// Whether an object lies in this store.
    #[must_use]
    pub fn is_own(&self, object: &Object) -> bool {
        self.check_own(object).is_ok()
    }

    /// An object that a peer has, by what names it in messages. `None` if no peer was given it, or
    /// all gave it back.
    #[must_use]
    pub fn given(&self, descriptor: Descriptor) -> Option<Object> {
        self.0.shared.peers.find(descriptor)
    }

    fn check_own(&self, object: &Object) -> Result<(), StoreError> {
        if Arc::ptr_eq(&object.record().books().shared, &self.0.shared) {
            return Ok(());
        }
        Err(StoreError::OtherStore)
    }

    /// Calls `then` once, on whichever thread frees memory next. Register first, then try once more,
    /// then wait: what is freed in between calls it too.
    pub fn when_freed(&self, then: impl FnOnce() + Send + 'static) {
        self.0.shared.when_freed(Box::new(then));
    }

    /// Calls those who wait for memory (`when_freed`): there may be room although nothing was freed
    /// here, because others have given back what this store may take.
    pub fn tell_freed(&self) {
        self.0.shared.freed();
    }

    /// Adds a process that may be given objects, or renames it.
    pub fn add_peer(&self, peer: PeerId, name: &str) {
        self.0.shared.peers.add(peer, name);
    }

    /// Gives a peer one reference: the object stays until the peer gave it back or died.
    ///
    /// # Errors
    /// [`StoreError::UnknownPeer`], [`StoreError::OtherStore`].
    pub fn give(&self, object: &Object, peer: PeerId) -> Result<Descriptor, StoreError> {
        self.check_own(object)?;
        self.0.shared.peers.give(peer, object)
    }

    /// Takes references back that a peer says it has no more use for.
    ///
    /// # Errors
    /// [`StoreError::NotHeld`] if it was not given so many; nothing changes then.
    pub fn take_back(
        &self,
        peer: PeerId,
        descriptor: Descriptor,
        count: u64,
    ) -> Result<(), StoreError> {
        let object = self.0.shared.peers.take_back(peer, descriptor, count)?;
        drop(object);
        Ok(())
    }

    /// Takes all back that a peer was given; nothing is given to it any more.
    pub fn peer_died(&self, peer: PeerId) {
        drop(self.0.shared.peers.remove(peer));
    }

    /// Counts memory against the budget that is no extent of this store, an extent of a dead process
    /// for instance. It may leave the store above its budget, which then makes no more extents.
    pub fn charge(&self, name: &str, bytes: usize) -> Charge {
        let shared = Arc::clone(&self.0.shared);
        let number = shared.grounds.charge(name, bytes);
        Charge { shared, number }
    }

    /// Who keeps memory, the largest first.
    #[must_use]
    pub fn holders(&self) -> Vec<Holder> {
        self.0.shared.holders()
    }

    /// What the store has now.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let (objects, payload_bytes) = self.0.shared.live();
        let (extent_bytes, extents) = self.0.shared.grounds.extents();
        let (spilled, spilled_bytes) = self.0.shared.shelf.spilled();
        Usage {
            objects,
            payload_bytes,
            extents,
            extent_bytes,
            spilled,
            spilled_bytes,
        }
    }

    /// Gives the system back all extents in which nothing lies.
    pub fn trim(&self) {
        self.0.shared.trim();
    }

    /// Gives the system back the extents that nothing was in since the last call. Whether there are
    /// others that the next call may give back.
    pub fn cool(&self) -> bool {
        self.0.shared.cool()
    }

    /// Waits until the pages of all extents are faulted in.
    pub fn settle(&self) {
        self.0.shared.grounds.settle();
    }

    /// Calls `each` with number, descriptor and bytes of every extent: what a new peer needs to know.
    pub fn extents(&self, mut each: impl FnMut(u32, std::os::fd::BorrowedFd<'_>, u64)) {
        for ground in self.0.shared.grounds.live() {
            let extent = &ground.extent;
            each(ground.id, extent.file(), extent.bytes() as u64);
        }
    }
}

fn check(config: &StoreConfig) -> Result<(), StoreError> {
    let setting = |name, value: usize, reason| {
        let value = value as u64;
        Err(StoreError::Setting {
            name,
            value,
            reason,
        })
    };
    if config.store_bytes < GRANULE_BYTES {
        return setting(
            "store_bytes",
            config.store_bytes,
            "at least 16384 are needed",
        );
    }
    if config.extent_bytes_first == 0 || config.extent_bytes_first > config.extent_bytes_max {
        let reason = "from 1 to extent_bytes_max";
        return setting("extent_bytes_first", config.extent_bytes_first, reason);
    }
    if config.extent_bytes_max > 1 << 36 {
        return setting(
            "extent_bytes_max",
            config.extent_bytes_max,
            "at most 64 GiB",
        );
    }
    if config.huge_page == PageKind::Plain {
        let bytes = PageKind::Plain.bytes();
        return setting("huge_page", bytes, "2 MiB or 1 GiB; use huge_pages = off");
    }
    let asked = config.store_bytes;
    let budget = |memory, what, remedy| {
        Err(StoreError::Budget {
            asked,
            memory,
            what,
            remedy,
        })
    };
    match memory::huge_pool(config.huge_page) {
        Some(pool) if config.huge_pages == HugePages::Require => {
            let bytes = pool.total.saturating_mul(config.huge_page.bytes() as u64);
            if bytes < asked as u64 {
                let remedy = ", or reserve more huge pages (vm.nr_hugepages)";
                return budget(bytes, "huge pages", remedy);
            }
        }
        None if config.huge_pages == HugePages::Require => {
            return budget(0, "huge pages", ", or use huge_pages = auto");
        }
        _ => {}
    }
    match memory::total_bytes() {
        Some(total) if total < asked as u64 => budget(total, "memory of this machine", ""),
        _ => Ok(()),
    }
}
