//! Memory that other processes sent for the edges of graphs, until somebody asks for it.
//!
//! What ends of edges leave when they go away is kept here too, until their graph is settled (EO-2).
//!
//! - IX-1 memory is kept for graphs that are open, so what comes late for one that is gone goes back at
//!   once.

use super::detour::Waiting;
use super::objects::Leftover;
use crate::node::Node;
use maser_shm::channel::Probe;
use maser_shm::control::ControlMemory;
use maser_shm::sync::atomic::{AtomicU64, Ordering};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Graph, edge, number of the pool.
pub(crate) type Address = (u64, u64, u64);

#[derive(Default)]
struct State {
    open: HashSet<u64>,
    memory: HashMap<Address, ControlMemory>,
    /// Values that came through the driver, by their numbers (DW-1).
    relayed: HashMap<Address, Waiting>,
    left: HashMap<u64, Vec<Leftover>>,
}

/// See the module's page.
#[derive(Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    /// How often something came. Written under the lock (Release), read by waiting edges (Acquire).
    came: AtomicU64,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on memory for `graph` is kept.
    pub(crate) fn open(&self, graph: u64) {
        self.lock().open.insert(graph);
    }

    /// Keeps what an end of an edge of `graph` leaves; hands it back if the graph is settled.
    pub(crate) fn leave(&self, graph: u64, leftover: Leftover) -> Option<Leftover> {
        let mut state = self.lock();
        if !state.open.contains(&graph) {
            return Some(leftover);
        }
        state.left.entry(graph).or_default().push(leftover);
        None
    }

    /// Nothing of `graph` is left in any process: what was not taken goes back (EO-2, IX-1).
    pub(crate) fn settle(&self, graph: u64, node: &Arc<Node>) {
        loop {
            let left = {
                let mut state = self.lock();
                let left = state.left.remove(&graph);
                if left.is_none() {
                    state.open.remove(&graph);
                }
                left
            };
            match left {
                // Bodies may lie in pools that nobody has asked for yet.
                Some(left) => left.into_iter().for_each(Leftover::give_back),
                None => break,
            }
        }
        let mut state = self.lock();
        let gone: Vec<_> = state.memory.extract_if(|at, _| at.0 == graph).collect();
        let relayed: Vec<_> = state.relayed.extract_if(|at, _| at.0 == graph).collect();
        drop(state);
        drop(gone);
        for (_, value) in relayed {
            value.give_back(node);
        }
    }

    /// A value came through the driver; handed back if the graph is settled (DW-3).
    pub(crate) fn put_relayed(&self, address: Address, value: Waiting) -> Option<Waiting> {
        let mut state = self.lock();
        if !state.open.contains(&address.0) {
            return Some(value);
        }
        let before = state.relayed.insert(address, value);
        self.came.fetch_add(1, Ordering::Release);
        before
    }

    /// The value, if it came.
    pub(crate) fn take_relayed(&self, address: Address) -> Option<Waiting> {
        self.lock().relayed.remove(&address)
    }

    /// What changes before the value is there; `None` if it is.
    pub(crate) fn awaited_relayed(&self, address: Address) -> Option<Probe> {
        let seen = self.came.load(Ordering::Acquire);
        let is_here = self.lock().relayed.contains_key(&address);
        (!is_here).then(|| Probe::new(&self.came, seen))
    }

    /// Memory came.
    pub(crate) fn put(&self, address: Address, memory: ControlMemory) {
        let mut state = self.lock();
        if state.open.contains(&address.0) {
            state.memory.insert(address, memory);
            self.came.fetch_add(1, Ordering::Release);
        }
    }

    /// The memory, if it came.
    pub(crate) fn take(&self, address: Address) -> Option<ControlMemory> {
        self.lock().memory.remove(&address)
    }

    /// What changes before the memory is there; `None` if it is.
    pub(crate) fn awaited(&self, address: Address) -> Option<Probe> {
        let seen = self.came.load(Ordering::Acquire);
        let is_here = self.lock().memory.contains_key(&address);
        (!is_here).then(|| Probe::new(&self.came, seen))
    }
}
