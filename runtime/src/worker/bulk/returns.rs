//! References that go back to who gave them.

use super::Bulk;
use crate::executor::letter;
use crate::executor::local::Local;
use crate::worker::bulk::entry::{Entry, entries};
use crate::worker::message::{Head, Kind};
use crate::worker::peer::Peer;
use maser_shm::store::{Descriptor, PeerId, StoreError};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

/// References that go back in one message at most.
const RETURNS_MAX: usize = 1024;

impl Bulk {
    /// A reference goes back to who gave it. On any thread.
    pub(super) fn give_back(self: &Arc<Self>, giver: PeerId, mut entry: Entry) {
        let mut to = giver;
        if !self.is_driver() {
            // BK-7: the driver passes on what another worker gave.
            (to, entry.via) = (PeerId(0), giver);
        }
        self.send_back(to, entry);
    }

    fn send_back(self: &Arc<Self>, to: PeerId, entry: Entry) {
        let is_first = {
            let mut returns = self.returns.lock().unwrap_or_else(PoisonError::into_inner);
            returns.push((to, entry));
            returns.len() == 1
        };
        // One letter for all that come until it is read.
        if is_first && let Some(node) = self.node() {
            let bulk = self.clone();
            let errand = letter::closure(move |local: &Local| bulk.send_returns(local));
            if let Some(gate) = node.schedulers().len().checked_sub(1) {
                node.post_to(gate, errand);
            }
        }
    }

    fn send_returns(&self, local: &Local) {
        let returns = {
            let mut returns = self.returns.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *returns)
        };
        let mut by_giver: HashMap<PeerId, Vec<Entry>> = HashMap::new();
        for (giver, entry) in returns {
            by_giver.entry(giver).or_default().push(entry);
        }
        for (giver, entries) in by_giver {
            let peer = self.lock().peers.get(&giver).cloned();
            let Some(peer) = peer else { continue };
            let Ok(link) = local.links.get(local, &peer, 0) else {
                continue;
            };
            for part in entries.chunks(RETURNS_MAX) {
                let mut body = link.peer.buffer();
                part.iter().for_each(|entry| entry.write(&mut body));
                let head = Head {
                    kind: Kind::Release,
                    flag: 0,
                    a: part.len() as u64,
                    b: 0,
                };
                link.send(head, &body);
                link.peer.give_buffer(body);
            }
        }
    }

    /// A peer gives references back.
    pub(in crate::worker) fn take_back(self: &Arc<Self>, peer: &Arc<Peer>, body: &[u8]) {
        let Some(&from) = peer.store_id.get() else {
            return;
        };
        for entry in entries(body) {
            if entry.via == PeerId(0) {
                if let Err(error) = self.take_one(from, &entry) {
                    peer.distrust(&error.to_string()); // BK-2
                }
            } else if self.is_driver() {
                // BK-7: who gave it knows whether that is so.
                self.send_back(entry.via, Entry { via: from, ..entry });
            } else {
                // It may have died meanwhile, or say what is not so: that changes nothing.
                let _taken = self.take_one(entry.via, &entry);
            }
        }
    }

    fn take_one(&self, from: PeerId, entry: &Entry) -> std::result::Result<(), StoreError> {
        let Entry {
            owner, descriptor, ..
        } = *entry;
        match self.store.get() {
            Some(Ok(store)) if owner == self.own() => store.take_back(from, descriptor, 1),
            _ => self.take_passed(from, owner, descriptor),
        }
    }

    fn take_passed(
        &self,
        from: PeerId,
        owner: PeerId,
        descriptor: Descriptor,
    ) -> std::result::Result<(), StoreError> {
        let key = (from, owner, descriptor.extent, descriptor.unit);
        let mut state = self.lock();
        let passed = state.passed.get_mut(&key);
        let Some((_, count)) = passed.filter(|(held, _)| held.object.descriptor() == descriptor)
        else {
            return Err(StoreError::NotHeld {
                peer: from,
                extent: descriptor.extent,
                offset: descriptor.offset(),
                count: 1,
                held: 0,
            });
        };
        *count -= 1;
        let last = if *count == 0 {
            state.passed.remove(&key)
        } else {
            None
        };
        if last.is_some() && state.gone.contains(&owner) {
            self.says_gone(&mut state, owner, Some(descriptor.extent)); // BK-4
        }
        drop(state);
        drop(last); // BK-5
        Ok(())
    }
}
