//! Arrays in the stores of several processes: who has a reference to what, and which extents are
//! known where.
//!
//! A process writes into its own store alone. Another one is given a reference to an object: the
//! giver notes it in the other's row, and the other gives it back with a message ([`Kind::Release`])
//! when its last handle is dropped. Whoever got an object from another may pass it on: its own
//! reference stays while the third one has it, for it is noted as given like an object of its own.
//!
//! | file | holds |
//! |---|---|
//! | `extents` | which extents are known where |
//! | `budget` | how many bytes each process may have of them |
//! | `claims` | references that came with a value |
//! | `lending` | references that go over edges of graphs, and those that come |
//! | `returns` | references on their way back |
//! | `entry` | both as bytes |
//! | `estate`, `deaths` | what a dead process leaves, and what becomes of it |
//!
//! - BK-1 the giver of a reference is the owner of the object or the driver, which outlives all
//!   workers: so what a process reads is kept for it by somebody who is there. (What a worker passes
//!   on it passes to the driver, which has a reference of its own already.)
//! - BK-2 what a peer names is input: an object that is not there, or was not given, is an error.
//! - BK-3 an extent is announced by its owner to the driver before an object can lie in it; the
//!   driver tells a worker of an extent, its own or another worker's, before it gives it the first
//!   object there. News of extents come over the keeper's socket and objects over rings, so who gets
//!   an object waits for its extent, for a limited time.
//! - BK-4 a process that has died holds nothing and owns nothing that could be given: what others
//!   have of it stays readable while they have it, is counted against the driver's store, and is
//!   copied when it is passed on. What was on its way arrives: whoever was given an object of the
//!   dead is told that its extent is gone when it has given all of them back.
//! - BK-5 no lock of this module is held while handles are dropped, or another lock is taken but one
//!   of the store or of the keeper's list.
//! - BK-7 one worker gives another what it owns itself, and nothing else: what it has from elsewhere it
//!   copies first, so that its death takes nothing from those it gave to. Workers have no ring between
//!   them, so such a reference goes back through the driver. The driver tells the one of all extents
//!   of the other, and the other of the death of the one.
//! - BK-6 each process has a store of its own; their extents together are never above `store_bytes`
//!   (`budget`).
//! - BK-8 what a dead process held and owned is settled when everything that it had published was
//!   decoded. A scheduler may be decoding when the keeper has learned of the death: then it is the last
//!   of those who read that settles, else the keeper.
//! - BK-9 who was told of what is noted under the lock under which the news are put on the keeper's
//!   list, so they arrive in the order of the notes.

mod budget;
pub(crate) mod claims;
mod deaths;
mod entry;
pub(crate) mod estate;
mod extents;
mod lending;
mod returns;

use self::budget::{Counted, NodeBudget};
pub(crate) use self::entry::ENTRY_BYTES as NAME_BYTES;
use self::entry::Entry;
use self::extents::Announcer;
use self::returns::Returns;
use crate::config::{HugePages, Settings};
use crate::error::{Error, Result};
use crate::executor::local::Local;
use crate::node::Node;
use crate::object::buffer::Buffer;
use crate::worker::hello::FromWorker;
use crate::worker::peer::Peer;
use maser_shm::os::file_io;
use maser_shm::store::spill_file::SpillFile;
use maser_shm::store::{
    self, Descriptor, Foreign, ForeignObject, KeyHash, ObjectMut, PeerId, Release, Store,
    StoreConfig, StoreError,
};
use maser_shm::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

/// What names an object in the bytes of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Name {
    owner: u32,
    extent: u32,
    unit: u32,
    generation: u64,
    bytes: u64,
}

impl Name {
    fn of(owner: PeerId, descriptor: Descriptor) -> Self {
        let Descriptor {
            extent,
            unit,
            generation,
            bytes,
        } = descriptor;
        Self {
            owner: owner.0,
            extent,
            unit,
            generation,
            bytes,
        }
    }

    fn entry(self) -> Entry {
        Entry {
            owner: PeerId(self.owner),
            via: PeerId(0),
            descriptor: self.descriptor(),
        }
    }

    fn descriptor(self) -> Descriptor {
        Descriptor {
            extent: self.extent,
            unit: self.unit,
            generation: self.generation,
            bytes: self.bytes,
        }
    }
}

/// An extent of another process.
struct Known {
    /// In the driver: to tell others of it.
    file: Option<OwnedFd>,
    bytes: u64,
    /// In the driver, once its owner is dead (BG-2).
    counted: OnceLock<Counted>,
    /// In a worker: who is told when it is unmapped, and what it is.
    left: Option<(Weak<Bulk>, PeerId, u32)>,
}

impl Drop for Known {
    fn drop(&mut self) {
        if let Some((bulk, owner, extent)) = &self.left
            && let Some(bulk) = bulk.upgrade()
        {
            let (owner, extent) = (owner.0, *extent);
            bulk.tell_driver(&FromWorker::ExtentLeft { owner, extent });
        }
    }
}

/// A reference to an object of another process.
pub(crate) struct Held {
    object: ForeignObject,
    /// Counted as long as it is used (BK-4).
    _extent: Arc<Known>,
    giver: PeerId,
    bulk: Weak<Bulk>,
    /// BK-4.
    copy: Mutex<Option<store::Object>>,
}

impl Held {
    /// The object's bytes, where their owner wrote them.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.object
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(bulk) = self.bulk.upgrade() {
            let name = Name::of(self.object.owner(), self.object.descriptor());
            bulk.give_back(self.giver, name.entry());
        }
    }
}

/// References go back by [`Held`], which knows who gave them.
struct Quiet;

impl Release for Quiet {
    fn release(&self, _: PeerId, _: Descriptor, _: u64) {}
}

/// To whom, whose, extent and unit.
type Passed = (PeerId, PeerId, u32, u32);

#[derive(Default)]
struct State {
    /// Processes by their numbers.
    peers: HashMap<PeerId, Arc<Peer>, KeyHash>,
    /// BK-4.
    gone: HashSet<PeerId, KeyHash>,
    /// What they had announced is known, and nothing more will come from them.
    silent: HashSet<PeerId, KeyHash>,
    /// Extents of others, by owner and number.
    known: HashMap<(PeerId, u32), Arc<Known>, KeyHash>,
    /// Who was told of which extent of whom.
    told: HashSet<(PeerId, PeerId, u32), KeyHash>,
    /// What was passed on.
    passed: HashMap<Passed, (Arc<Held>, u64), KeyHash>,
    /// In the driver: whose objects go to whom directly (BK-7).
    joined: HashSet<(PeerId, PeerId), KeyHash>,
    /// In the driver: who may have mapped which extent of a dead process (BG-2).
    mapped: HashMap<(PeerId, PeerId, u32), Arc<Known>, KeyHash>,
}

/// See the module's page.
pub(crate) struct Bulk {
    settings: Settings,
    node: OnceLock<Weak<Node>>,
    /// The number of this process; the driver's is 0.
    own: OnceLock<PeerId>,
    next_peer: AtomicU32,
    store: OnceLock<Result<Store>>,
    budget: Arc<NodeBudget>,
    foreign: Foreign,
    state: Mutex<State>,
    /// An extent came, or a process died.
    news: Condvar,
    /// How often there was news. Written under the lock (Release), read by waiting edges (Acquire).
    came: AtomicU64,
    returns: Mutex<Returns>,
    /// Whether there are any. Written under their lock, read as a hint. Relaxed.
    has_returns: AtomicBool,
}

impl Bulk {
    /// No store yet.
    pub(crate) fn new(settings: &Settings) -> Arc<Self> {
        let foreign = match settings.huge_page_dir {
            Some(_) => Foreign::with_unsealed(Arc::new(Quiet)),
            None => Foreign::new(Arc::new(Quiet)),
        };
        Arc::new_cyclic(|bulk| Self {
            budget: NodeBudget::new(bulk.clone(), settings.store_bytes),
            settings: settings.clone(),
            node: OnceLock::new(),
            own: OnceLock::new(),
            next_peer: AtomicU32::new(1),
            store: OnceLock::new(),
            foreign,
            state: Mutex::default(),
            news: Condvar::new(),
            came: AtomicU64::new(0),
            returns: Mutex::default(),
            has_returns: AtomicBool::new(false),
        })
    }

    /// Whose it is.
    pub(crate) fn belongs_to(&self, node: &Arc<Node>) {
        let _first = self.node.set(Arc::downgrade(node));
    }

    /// The number of this process, if it is not the driver.
    pub(in crate::worker) fn is_peer(&self, own: PeerId) {
        let _first = self.own.set(own);
    }

    fn own(&self) -> PeerId {
        *self.own.get_or_init(|| PeerId(0))
    }

    fn is_driver(&self) -> bool {
        self.own() == PeerId(0)
    }

    /// A number for a process that is to be started.
    pub(in crate::worker) fn number(&self) -> PeerId {
        PeerId(self.next_peer.fetch_add(1, Ordering::Relaxed))
    }

    /// A process with which this one exchanges values.
    pub(in crate::worker) fn has_peer(&self, peer: &Arc<Peer>, number: PeerId) {
        let _first = peer.store_id.set(number);
        self.lock().peers.insert(number, peer.clone());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn node(&self) -> Option<Arc<Node>> {
        self.node.get()?.upgrade()
    }

    /// The store, which takes no memory before the first object.
    pub(crate) fn store(self: &Arc<Self>) -> Result<&Store> {
        let store = self.store.get_or_init(|| self.open());
        store.as_ref().map_err(Error::clone)
    }

    /// An object of `bytes`, to be written: from the arena of this scheduler, on other threads from
    /// one that they share. Does not wait.
    pub(crate) fn create(self: &Arc<Self>, bytes: usize) -> Result<ObjectMut> {
        let store = self.store()?;
        let local = Local::current().filter(|local| Arc::ptr_eq(&local.node.bulk, self));
        Ok(match local {
            Some(local) => local.arena.get_or_init(|| store.arena()).create(bytes)?,
            None => store.create(bytes)?,
        })
    }

    /// An object with these bytes; as [`create`](Self::create).
    pub(crate) fn put(self: &Arc<Self>, bytes: &[u8]) -> Result<store::Object> {
        let mut object = self.create(bytes.len())?;
        store::copy::copy(&mut object, bytes);
        Ok(object.seal())
    }

    fn open(self: &Arc<Self>) -> Result<Store> {
        let settings = &self.settings;
        let mut config = StoreConfig::new(settings.store_bytes);
        config.huge_pages = match settings.huge_pages {
            HugePages::Auto => store::HugePages::Auto,
            HugePages::Require => store::HugePages::Require,
            HugePages::Off => store::HugePages::Off,
        };
        config.huge_page_dir.clone_from(&settings.huge_page_dir);
        config.warm_bytes = settings.store_warm_bytes;
        config.warm_time = settings.store_warm_time.limit();
        config.owner = self.own();
        config.budget = Some(self.budget.clone());
        config.events = Some(Arc::new(Announcer(Arc::downgrade(self))));
        if let Some(directory) = &settings.spill_directory {
            let file = SpillFile::create(directory, file_io::recommended(|_| {}));
            let file = file.map_err(|error| Error::System {
                what: "cannot use spill_directory".into(),
                reason: error.to_string(),
            })?;
            config.spill = Some(Arc::new(file));
        }
        Ok(Store::new(config)?)
    }

    /// A buffer with the same bytes that other processes can read: itself, or the copy that is made
    /// of it once. An `own` one lies in the store of this process (BK-7).
    pub(crate) fn place(self: &Arc<Self>, buffer: &Buffer, own: bool) -> Result<Buffer> {
        let copied = |bytes: &[u8]| self.put(bytes);
        Ok(Buffer::Own(match buffer {
            Buffer::Heap(heap) => heap.in_store(self.store()?, copied)?,
            Buffer::Own(object) if self.store()?.is_own(object) => return Ok(buffer.clone()),
            // Of a runtime that has ended.
            Buffer::Own(object) => copied(object)?,
            Buffer::Foreign(held) => {
                let is_ours = held.bulk.as_ptr() == Arc::as_ptr(self);
                // BK-1, BK-7.
                let may_pass = self.is_driver() || !own && held.giver == PeerId(0);
                if is_ours && may_pass && !self.lock().gone.contains(&held.object.owner()) {
                    return Ok(buffer.clone());
                }
                // BK-4.
                let mut copy = held.copy.lock().unwrap_or_else(PoisonError::into_inner);
                match &*copy {
                    Some(object) if self.store()?.is_own(object) => object.clone(),
                    _ => copy.insert(copied(held.bytes())?).clone(),
                }
            }
        }))
    }

    /// What names a buffer that [`place`](Self::place) gave.
    pub(crate) fn name(&self, buffer: &Buffer) -> Option<Name> {
        match buffer {
            Buffer::Heap(_) => None,
            Buffer::Own(object) => Some(Name::of(self.own(), object.descriptor())),
            Buffer::Foreign(held) => {
                let object = &held.object;
                Some(Name::of(object.owner(), object.descriptor()))
            }
        }
    }

    /// Notes that a peer, to which its name goes now, has one reference more to a buffer.
    pub(crate) fn give(self: &Arc<Self>, peer: &Arc<Peer>, buffer: &Buffer) {
        if let (Some(name), Some(&to)) = (self.name(buffer), peer.store_id.get()) {
            self.lend(to, buffer, name);
        }
    }

    /// The buffer that a peer gave a reference to; waits for its extent (BK-3).
    ///
    /// # Errors
    /// [`Error::Store`] for what is not there (BK-2).
    pub(crate) fn receive(self: &Arc<Self>, peer: &Arc<Peer>, name: Name) -> Result<Buffer> {
        let owner = PeerId(name.owner);
        let Some(&giver) = peer.store_id.get() else {
            return Err(StoreError::UnknownPeer { peer: owner }.into());
        };
        if let Some(buffer) = self.borrow(giver, name)? {
            return Ok(buffer);
        }
        let known = self.await_extent(owner, name.extent, giver);
        let known = known.inspect_err(|_| self.give_back(giver, name.entry()))?;
        self.open_held(giver, name, known)
    }
}
