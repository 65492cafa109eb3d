//! What becomes of the arrays of a process that has died, and of those that it had (BK-4).

use super::{Bulk, State};
use crate::worker::hello::ToWorker;
use crate::worker::peer::Peer;
use maser_shm::store::PeerId;
use std::collections::HashSet;
use std::sync::Arc;

impl Bulk {
    /// A process has died, and what it had published was taken (BK-4, BK-8).
    pub(super) fn peer_is_gone(self: &Arc<Self>, peer: &Arc<Peer>) {
        let Some(&number) = peer.store_id.get() else {
            return;
        };
        let survivors: Vec<Arc<Peer>> = {
            let mut state = self.lock();
            state.peers.remove(&number);
            let joined = state
                .joined
                .extract_if(|(a, b)| *a == number || *b == number);
            let joined: HashSet<PeerId> = joined.flat_map(|(a, b)| [a, b]).collect();
            joined
                .iter()
                .filter_map(|id| state.peers.get(id).cloned())
                .collect()
        };
        self.is_counted_as_dead(number, &peer.name());
        self.is_gone(number);
        for peer in survivors {
            let process = number.0;
            self.tell_gone(&peer, ToWorker::ProcessGone { process }); // BK-7
        }
    }

    /// What others may have mapped of a worker counts as that of the dead (BG-2).
    fn is_counted_as_dead(self: &Arc<Self>, number: PeerId, name: &str) {
        let (known, let_go) = {
            let mut state = self.lock();
            let of_dead = state
                .known
                .iter()
                .filter(|((owner, _), _)| *owner == number);
            let known: Vec<_> = of_dead
                .map(|((_, extent), known)| (*extent, known.clone()))
                .collect();
            let State {
                told,
                mapped,
                peers,
                ..
            } = &mut *state;
            for (to, owner, extent) in told.iter() {
                let its = known
                    .iter()
                    .find(|(of_dead, _)| *owner == number && of_dead == extent);
                if let (Some((_, known)), true) = (its, peers.contains_key(to)) {
                    mapped.insert((*to, *owner, *extent), known.clone());
                }
            }
            let let_go: Vec<_> = mapped.extract_if(|(to, ..), _| *to == number).collect();
            (known, let_go)
        };
        let sizes = known
            .iter()
            .map(|(_, known)| usize::try_from(known.bytes).unwrap_or(0));
        self.budget.died(number, sizes.sum());
        for (_, known) in known {
            let bytes = usize::try_from(known.bytes).unwrap_or(0);
            let store = self.store().ok();
            let charge = store.map(|store| store.charge(&format!("arrays of {name}"), bytes));
            let _first = known.counted.set(self.budget.counted(bytes, charge));
        }
        drop(let_go);
    }

    /// Another worker has died: it holds nothing more, and gives nothing. What this process has of it
    /// goes when the driver says so, which may still give objects of the dead (BK-4).
    pub(super) fn sibling_is_gone(self: &Arc<Self>, number: PeerId) {
        {
            let mut state = self.lock();
            state.gone.insert(number);
            state.silent.insert(number);
        }
        self.has_news();
        if let Some(Ok(store)) = self.store.get() {
            store.peer_died(number);
        }
    }

    /// The process of this number has died (BK-4). In the driver.
    fn is_gone(self: &Arc<Self>, number: PeerId) {
        let (passed, known) = {
            let mut state = self.lock();
            state.gone.insert(number);
            state.silent.insert(number);
            state.told.retain(|(to, ..)| *to != number);
            let passed: Vec<_> = state
                .passed
                .extract_if(|(to, ..), _| *to == number)
                .collect();
            let known: Vec<_> = state
                .known
                .extract_if(|(owner, _), _| *owner == number)
                .collect();
            self.says_gone(&mut state, number, None);
            (passed, known)
        };
        self.has_news();
        drop(passed);
        if let Some(Ok(store)) = self.store.get() {
            store.peer_died(number);
        }
        self.foreign.remove_peer(number);
        // What nobody has a handle of goes now, and its charge.
        drop(known);
    }
}
