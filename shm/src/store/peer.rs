//! What other processes were given.
//!
//! - PE-1 one row a peer, in private memory: how many references to which object it was given and
//!   has not given back. A row keeps its objects.
//! - PE-2 what a peer says it gives back is input: more than it has is an error and changes nothing.
//! - PE-3 a peer that died, and one that is taken off the list, holds nothing; nothing is given to
//!   it any more.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::descriptor::Descriptor;
use super::error::{Holder, HolderKind, StoreError};
use super::keys::KeyHash;
use super::object::Object;

/// Number of a process of the node. Never used for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u32);

#[derive(Debug)]
struct Held {
    object: Object,
    count: u64,
}

#[derive(Debug)]
struct Row {
    name: String,
    /// By extent and unit: there is one object in a place at a time.
    held: HashMap<(u32, u32), Held, KeyHash>,
}

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Peers(Mutex<HashMap<PeerId, Row, KeyHash>>);

impl Peers {
    fn rows(&self) -> MutexGuard<'_, HashMap<PeerId, Row, KeyHash>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, peer: PeerId, name: &str) {
        let mut rows = self.rows();
        let row = rows.entry(peer).or_insert_with(|| Row {
            name: String::new(),
            held: HashMap::default(),
        });
        name.clone_into(&mut row.name);
    }

    pub(super) fn give(&self, peer: PeerId, object: &Object) -> Result<Descriptor, StoreError> {
        let descriptor = object.descriptor();
        let mut rows = self.rows();
        let Some(row) = rows.get_mut(&peer) else {
            return Err(StoreError::UnknownPeer { peer }); // PE-3
        };
        match row.held.entry((descriptor.extent, descriptor.unit)) {
            Entry::Occupied(mut held) => held.get_mut().count += 1,
            Entry::Vacant(place) => {
                let object = object.clone(); // PE-1
                place.insert(Held { object, count: 1 });
            }
        }
        Ok(descriptor)
    }

    /// A handle of an object that some peer has.
    pub(super) fn find(&self, descriptor: Descriptor) -> Option<Object> {
        let key = (descriptor.extent, descriptor.unit);
        let rows = self.rows();
        let held = rows.values().find_map(|row| row.held.get(&key))?;
        // PE-2.
        (held.object.descriptor() == descriptor).then(|| held.object.clone())
    }

    /// What is let go of is handed out, to be dropped outside of the lock.
    pub(super) fn take_back(
        &self,
        peer: PeerId,
        descriptor: Descriptor,
        count: u64,
    ) -> Result<Option<Object>, StoreError> {
        let not_held = |held| StoreError::NotHeld {
            peer,
            extent: descriptor.extent,
            offset: descriptor.offset(),
            count,
            held,
        };
        let mut rows = self.rows();
        let Some(row) = rows.get_mut(&peer) else {
            return Err(StoreError::UnknownPeer { peer });
        };
        let key = (descriptor.extent, descriptor.unit);
        let Entry::Occupied(mut held) = row.held.entry(key) else {
            return Err(not_held(0));
        };
        // PE-2.
        if held.get().object.descriptor() != descriptor {
            return Err(not_held(0));
        }
        let left = held.get().count.checked_sub(count);
        match left.ok_or_else(|| not_held(held.get().count))? {
            0 => Ok(Some(held.remove().object)),
            left => {
                held.get_mut().count = left;
                Ok(None)
            }
        }
    }

    /// PE-3; what it held is handed out, to be dropped outside of the lock.
    pub(super) fn remove(&self, peer: PeerId) -> Vec<Object> {
        let row = self.rows().remove(&peer);
        let held = row.into_iter().flat_map(|row| row.held.into_values());
        held.map(|held| held.object).collect()
    }

    pub(super) fn clear(&self) {
        let rows = std::mem::take(&mut *self.rows());
        drop(rows);
    }

    /// One a peer, and the objects and bytes of all of them, each object once.
    pub(super) fn holders(&self) -> (Vec<Holder>, u64, u64) {
        let rows = self.rows();
        let mut seen = HashMap::new();
        let mut holders = Vec::new();
        for (&peer, row) in rows.iter() {
            let mut bytes = 0;
            for (key, held) in &row.held {
                bytes += held.object.len() as u64;
                seen.insert(*key, held.object.len() as u64);
            }
            let kind = HolderKind::Peer {
                peer,
                name: row.name.clone(),
            };
            let objects = row.held.len() as u64;
            holders.push(Holder {
                kind,
                objects,
                bytes,
            });
        }
        (holders, seen.len() as u64, seen.values().sum())
    }
}
