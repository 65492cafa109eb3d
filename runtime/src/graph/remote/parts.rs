//! The parts of one graph, as its driver sees them: which processes still have something of it.

use super::word::Word;
use crate::error::Error;
use crate::graph::core::Core;
use crate::worker::part::{Request, ToPart};
use crate::worker::peer::Peer;
use maser_shm::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// See the module's page.
pub(crate) struct Parts {
    /// With the name of an actor in each.
    peers: Vec<(Arc<Peer>, String)>,
    /// Those that still run something of it, by their number.
    left: Mutex<Vec<u64>>,
    /// Those that have not said that it is settled (EO-2).
    unsettled: Mutex<Vec<u64>>,
    /// In the memory shared with each: whether somebody waits for results (RR-1).
    waiting: OnceLock<Vec<Word>>,
}

impl Parts {
    /// Parts in these processes.
    pub(crate) fn new(peers: Vec<(Arc<Peer>, String)>) -> Self {
        let all = || Mutex::new(peers.iter().map(|(peer, _)| peer.id).collect());
        Self {
            left: all(),
            unsettled: all(),
            peers,
            waiting: OnceLock::new(),
        }
    }

    /// The process of one of them, by its number.
    pub(crate) fn peer(&self, id: u64) -> Option<Arc<Peer>> {
        let mut peers = self.peers.iter().map(|(peer, _)| peer);
        peers.find(|peer| peer.id == id).cloned()
    }

    /// Whether all of it is in this process.
    pub(crate) fn are_none(&self) -> bool {
        self.peers.is_empty()
    }

    /// The graph is over.
    pub(crate) fn end(&self, core: &Core) {
        let workers = &core.node.workers;
        for (peer, _) in &self.peers {
            workers.request(Request::Tell {
                to: peer.id,
                message: ToPart::End { graph: core.id },
                memory: None,
            });
            // Whoever learns of a death later looks through all graphs.
            if peer.death().is_some() {
                core.part_is_gone(peer.id);
                self.is_settled(peer.id);
            }
        }
    }

    /// The process `peer` has nothing of the graph any more.
    pub(crate) fn is_settled(&self, peer: u64) {
        let mut unsettled = self
            .unsettled
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        unsettled.retain(|other| *other != peer);
    }

    /// Whether that holds for all of them.
    pub(crate) fn are_settled(&self) -> bool {
        let unsettled = self
            .unsettled
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        unsettled.is_empty()
    }

    /// Nothing of the graph runs anywhere (EO-2).
    pub(crate) fn settle(&self, core: &Core) {
        let workers = &core.node.workers;
        for (peer, _) in &self.peers {
            workers.request(Request::Tell {
                to: peer.id,
                message: ToPart::Settle { graph: core.id },
                memory: None,
            });
        }
        if !self.peers.is_empty() {
            workers.inbox().settle(core.id, &core.node);
        }
    }

    /// Why the graph cannot go on now that `peer` has ended, if it has a part there.
    pub(crate) fn death(&self, peer: &Peer) -> Option<Error> {
        let (_, actor) = self.peers.iter().find(|(other, _)| other.id == peer.id)?;
        let death = peer.death()?;
        Some(death.error("a compiled graph", Some(actor.clone())))
    }

    /// The same for whichever of its processes has ended.
    pub(crate) fn any_death(&self) -> Option<Error> {
        self.peers.iter().find_map(|(peer, _)| self.death(peer))
    }

    /// Nothing is left in the process `peer`; true if something was until now.
    #[must_use]
    pub(crate) fn is_gone(&self, peer: u64) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let before = left.len();
        left.retain(|other| *other != peer);
        left.len() < before
    }

    /// Where senders of results in other processes look whether somebody waits.
    pub(crate) fn waits_across(&self, words: Vec<Word>) {
        let _first = self.waiting.set(words);
    }

    /// So many more waiters may be asleep.
    pub(crate) fn add_waiting(&self, count: u32) {
        for word in self.waiting.get().into_iter().flatten() {
            word.fetch_add(u64::from(count), Ordering::Relaxed);
        }
    }

    /// So many fewer.
    pub(crate) fn remove_waiting(&self, count: u32) {
        for word in self.waiting.get().into_iter().flatten() {
            word.fetch_sub(u64::from(count), Ordering::Relaxed);
        }
    }
}
