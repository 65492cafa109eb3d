//! The parts of one graph, as its driver sees them: which processes still have something of it.

use super::word::Word;
use crate::graph::core::Core;
use crate::worker::part::{Request, ToPart};
use crate::worker::peer::Peer;
use maser_shm::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// See the module's page.
pub(crate) struct Parts {
    peers: Vec<Arc<Peer>>,
    /// Those that still have something of it, by their number.
    left: Mutex<Vec<u64>>,
    /// In the memory shared with each: whether somebody waits for results (RR-1).
    waiting: OnceLock<Vec<Word>>,
}

impl Parts {
    /// Parts in these processes.
    pub(crate) fn new(peers: Vec<Arc<Peer>>) -> Self {
        Self {
            left: Mutex::new(peers.iter().map(|peer| peer.id).collect()),
            peers,
            waiting: OnceLock::new(),
        }
    }

    /// The graph is over.
    pub(crate) fn end(&self, core: &Core) {
        let workers = &core.node.workers;
        workers.inbox().close(core.id);
        for peer in &self.peers {
            workers.request(Request::Tell {
                to: peer.id,
                message: ToPart::End { graph: core.id },
                memory: None,
            });
            // Whoever learns of a death later looks through all graphs.
            if peer.death().is_some() {
                core.part_is_gone(peer.id);
            }
        }
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
