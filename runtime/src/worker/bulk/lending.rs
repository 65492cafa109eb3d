//! References that go to another process and those that come from there, one by one.

use super::entry::{ENTRY_BYTES, entries};
use super::{Bulk, Held, Known, Name};
use crate::error::Result;
use crate::object::buffer::Buffer;
use crate::worker::peer::Peer;
use maser_shm::channel::Probe;
use maser_shm::store::{PeerId, StoreError};
use maser_shm::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

impl Name {
    /// Appends it: [`NAME_BYTES`](super::NAME_BYTES).
    pub(crate) fn write(self, bytes: &mut Vec<u8>) {
        self.entry().write(bytes);
    }

    /// Names, one after the other.
    pub(crate) fn all(bytes: &[u8]) -> impl DoubleEndedIterator<Item = Self> + '_ {
        let whole = bytes.len() / ENTRY_BYTES * ENTRY_BYTES;
        let each = bytes[..whole].chunks_exact(ENTRY_BYTES);
        each.filter_map(|bytes| {
            let entry = entries(bytes).next()?;
            Some(Self::of(entry.owner, entry.descriptor))
        })
    }

    /// Owner and extent.
    pub(crate) fn place(self) -> (PeerId, u32) {
        (PeerId(self.owner), self.extent)
    }
}

impl Bulk {
    /// Notes that the process `to`, to which this name of a buffer goes now, has one reference more.
    pub(crate) fn lend(self: &Arc<Self>, to: PeerId, buffer: &Buffer, name: Name) {
        let mut state = self.lock();
        if state.gone.contains(&to) {
            return; // BK-4: nothing of this message arrives.
        }
        let owner = PeerId(name.owner);
        match (buffer, self.store.get()) {
            (Buffer::Own(object), Some(Ok(store))) => {
                if let Err(StoreError::UnknownPeer { .. }) = store.give(object, to) {
                    let known = state.peers.get(&to).map(|peer| peer.name());
                    let name = known.unwrap_or_else(|| "another worker".into());
                    store.add_peer(to, &name);
                    // It is there now, and the object was found to be of this store.
                    let _given = store.give(object, to);
                }
            }
            (Buffer::Foreign(held), _) => {
                let key = (to, owner, name.extent, name.unit);
                let passed = state.passed.entry(key);
                passed.or_insert_with(|| (held.clone(), 0)).1 += 1;
            }
            _ => return,
        }
        let is_news = self.is_driver() && owner != to;
        if is_news && state.told.insert((to, owner, name.extent)) {
            // Of the dead nothing is known any more but what is held (BK-4).
            let known = match buffer {
                Buffer::Foreign(held) => Some(held._extent.clone()),
                _ => state.known.get(&(owner, name.extent)).cloned(),
            };
            if let Some(peer) = state.peers.get(&to) {
                self.tell(peer, owner, name.extent, known); // BK-9
            }
        }
    }

    /// The buffer that the process `giver` gave a reference to; `None` if its extent has not come yet
    /// (BK-3), and then the reference is still the caller's.
    ///
    /// # Errors
    /// [`Error::Store`](crate::Error::Store) for what is not there (BK-2).
    pub(crate) fn borrow(self: &Arc<Self>, giver: PeerId, name: Name) -> Result<Option<Buffer>> {
        let (owner, descriptor) = (PeerId(name.owner), name.descriptor());
        if owner == self.own() {
            let found = self.store().map(|store| store.given(descriptor));
            self.give_back(giver, name.entry()); // BK-1: ours anyway.
            let object = found?.ok_or(StoreError::Gone {
                peer: owner,
                extent: descriptor.extent,
                offset: descriptor.offset(),
            })?;
            return Ok(Some(Buffer::Own(object)));
        }
        let (passed, known) = {
            let state = self.lock();
            let key = (giver, owner, descriptor.extent, descriptor.unit);
            let passed = state.passed.get(&key).map(|(held, _)| held.clone());
            let passed = passed.filter(|held| held.object.descriptor() == descriptor);
            let known = state.known.get(&(owner, descriptor.extent)).cloned();
            let may_come = self.may_come(&state, owner, giver);
            if passed.is_none() && known.is_none() && may_come {
                return Ok(None);
            }
            (passed, known)
        };
        if let Some(held) = passed {
            self.give_back(giver, name.entry()); // BK-1: we have one from its owner.
            return Ok(Some(Buffer::Foreign(held)));
        }
        let Some(known) = known else {
            self.give_back(giver, name.entry());
            let (peer, extent) = name.place();
            return Err(StoreError::UnknownExtent { peer, extent }.into());
        };
        self.open_held(giver, name, known).map(Some)
    }

    /// Opens an object in an extent that is known.
    pub(super) fn open_held(
        self: &Arc<Self>,
        giver: PeerId,
        name: Name,
        known: Arc<Known>,
    ) -> Result<Buffer> {
        let opened = self.foreign.open(PeerId(name.owner), name.descriptor());
        let object = opened.inspect_err(|_| self.give_back(giver, name.entry()))?;
        Ok(Buffer::Foreign(Arc::new(Held {
            object,
            _extent: known,
            giver,
            bulk: Arc::downgrade(self),
            copy: Mutex::default(),
        })))
    }

    /// A reference of this name that nobody wants.
    pub(crate) fn unwanted(self: &Arc<Self>, giver: PeerId, name: Name) {
        self.give_back(giver, name.entry());
    }

    /// What changes before it is known what became of an extent; `None` if that is known.
    pub(crate) fn awaited(&self, giver: PeerId, (owner, extent): (PeerId, u32)) -> Option<Probe> {
        let seen = self.came.load(Ordering::Acquire);
        let state = self.lock();
        let is_here = state.known.contains_key(&(owner, extent));
        (!is_here && self.may_come(&state, owner, giver)).then(|| Probe::new(&self.came, seen))
    }

    /// Objects of `from` go to `to` directly from now on (BK-7). In the driver.
    pub(crate) fn joins(self: &Arc<Self>, from: &Peer, to: &Arc<Peer>) {
        let (Some(&owner), Some(&number)) = (from.store_id.get(), to.store_id.get()) else {
            return;
        };
        let mut state = self.lock();
        if !state.joined.insert((owner, number)) {
            return;
        }
        let known: Vec<(u32, Arc<Known>)> = state
            .known
            .iter()
            .filter(|((of, _), _)| *of == owner)
            .map(|((_, extent), known)| (*extent, known.clone()))
            .collect();
        for (extent, known) in known {
            if state.told.insert((number, owner, extent)) {
                self.tell(to, owner, extent, Some(known)); // BK-9
            }
        }
    }

    /// Whoever waits for news of an extent looks again.
    pub(super) fn has_news(&self) {
        self.came.fetch_add(1, Ordering::Release);
        self.news.notify_all();
        let Some(node) = self.node() else { return };
        for scheduler in node.schedulers() {
            scheduler.event.notify();
        }
        node.graphs.has_news();
    }
}
