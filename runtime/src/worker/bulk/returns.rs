//! References that go back to who gave them.
//!
//! - BR-1 one scheduler sends them. What it drops itself it collects, and sends when it has nothing
//!   else to do, or after a while, or when there are [`TOGETHER`]: so a call that brings an array does not
//!   wait for the thanks of the one before. For what other threads drop it gets a letter.

use super::Bulk;
use crate::executor::letter;
use crate::executor::local::Local;
use crate::worker::bulk::entry::{Entry, entries};
use crate::worker::message::{Head, Kind};
use crate::worker::peer::Peer;
use maser_shm::store::{Descriptor, PeerId, StoreError};
use maser_shm::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

/// References that go back in one message at most.
const RETURNS_MAX: usize = 1024;

/// References that wait for more at most (BR-1).
const TOGETHER: usize = 16;

/// What waits to go back.
#[derive(Default)]
pub(super) struct Returns {
    entries: Vec<(PeerId, Entry)>,
    /// Memory for the next ones.
    spare: Vec<(PeerId, Entry)>,
    /// A letter is under way.
    is_posted: bool,
}

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
        let local = Local::current().filter(|local| self.is_gate(local));
        let post = {
            let mut returns = self.returns.lock().unwrap_or_else(PoisonError::into_inner);
            returns.entries.push((to, entry));
            let many = returns.entries.len() >= TOGETHER;
            let posts = !returns.is_posted && (local.is_none() || many);
            returns.is_posted |= posts;
            self.has_returns.store(true, Ordering::Relaxed);
            posts
        };
        // One letter for all that come until it is read.
        if post && let Some(node) = self.node() {
            let bulk = self.clone();
            let errand = letter::closure(move |local: &Local| bulk.send_returns(local));
            if let Some(gate) = node.schedulers().len().checked_sub(1) {
                node.post_to(gate, errand);
            }
        }
    }

    /// Whether this scheduler sends what goes back.
    fn is_gate(&self, local: &Local) -> bool {
        std::ptr::eq(&raw const *local.node.bulk, self)
            && local.shared.index + 1 == local.node.schedulers().len()
    }

    /// The scheduler has time (BR-1); true if something was sent.
    #[inline]
    pub(crate) fn returns_may_go(&self, local: &Local) -> bool {
        let goes = self.has_returns.load(Ordering::Relaxed) && self.is_gate(local);
        if goes {
            self.send_returns(local);
        }
        goes
    }

    fn send_returns(&self, local: &Local) {
        let mut returns = {
            let mut returns = self.returns.lock().unwrap_or_else(PoisonError::into_inner);
            self.has_returns.store(false, Ordering::Relaxed);
            returns.is_posted = false;
            let spare = std::mem::take(&mut returns.spare);
            std::mem::replace(&mut returns.entries, spare)
        };
        if returns.is_empty() {
            return;
        }
        if returns.iter().any(|(giver, _)| *giver != returns[0].0) {
            returns.sort_by_key(|(giver, _)| *giver);
        }
        for of_one in returns.chunk_by(|one, other| one.0 == other.0) {
            let peer = self.lock().peers.get(&of_one[0].0).cloned();
            let Some(peer) = peer else { continue };
            let Ok(link) = local.links.get(local, &peer, 0) else {
                continue;
            };
            for part in of_one.chunks(RETURNS_MAX) {
                let mut body = link.peer.buffer();
                part.iter().for_each(|(_, entry)| entry.write(&mut body));
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
        returns.clear();
        let mut all = self.returns.lock().unwrap_or_else(PoisonError::into_inner);
        all.spare = returns;
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
