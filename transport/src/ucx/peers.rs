//! Workers of others: one endpoint of UCX for all connections with one (UX-7).

use super::sys::{Ep, Status, Worker};
use crate::endpoint::Endpoint;
use crate::table::Endpoints;
use std::collections::HashMap;

/// See the module's page. A peer is named by its place, as a connection is.
pub(super) struct Peers {
    all: Endpoints<Peer>,
    by_worker: HashMap<Vec<u8>, Endpoint>,
}

struct Peer {
    worker: Vec<u8>,
    ep: Ep,
    /// Connections that use it.
    users: usize,
}

/// Peers without connections that are kept for the next one.
const MAX_IDLE: usize = 256;
const MAX_PEERS: usize = 1 << 16;

impl Default for Peers {
    fn default() -> Self {
        Self {
            all: Endpoints::new(MAX_PEERS),
            by_worker: HashMap::new(),
        }
    }
}

impl Peers {
    /// A connection with the worker of this address begins.
    ///
    /// # Errors
    /// Of UCX.
    pub(super) fn join(
        &mut self,
        address: &[u8],
        worker: &mut Worker,
    ) -> Result<(Endpoint, Ep), Status> {
        if let Some(name) = self.by_worker.get(address)
            && let Some(peer) = self.all.get_mut(*name)
        {
            peer.users += 1;
            return Ok((*name, peer.ep));
        }
        let ep = worker.connect(address)?;
        let peer = Peer {
            worker: address.to_vec(),
            ep,
            users: 1,
        };
        let Some(name) = self.all.insert(|_| peer) else {
            worker.close(ep);
            return Err(Status(maser_ucx_sys::UCS_ERR_EXCEEDS_LIMIT));
        };
        self.by_worker.insert(address.to_vec(), name);
        Ok((name, ep))
    }

    /// A connection with it is over.
    pub(super) fn leave(&mut self, name: Endpoint, worker: &mut Worker) {
        if let Some(peer) = self.all.get_mut(name) {
            peer.users -= 1;
        }
        if self.by_worker.len() <= MAX_IDLE {
            return;
        }
        let idle = self.all.names().filter(|(_, peer)| peer.users == 0);
        let idle: Vec<Endpoint> = idle.map(|(name, _)| name).collect();
        let too_many = idle.len().saturating_sub(MAX_IDLE);
        for name in &idle[..too_many] {
            self.give_up(*name, worker);
        }
    }

    /// It failed: its endpoint is closed. True if what is under way with it comes back then; `None` if it
    /// was given up before.
    pub(super) fn give_up(&mut self, name: Endpoint, worker: &mut Worker) -> Option<bool> {
        let peer = self.all.remove(name)?;
        self.by_worker.remove(&peer.worker);
        let comes_back = worker.can_be_forced(peer.ep);
        worker.close(peer.ep);
        Some(comes_back)
    }

    /// Which one has this endpoint of UCX.
    pub(super) fn with_ep(&self, ep: Ep) -> Option<Endpoint> {
        let found = self.all.names().find(|(_, peer)| peer.ep == ep);
        found.map(|(name, _)| name)
    }
}
