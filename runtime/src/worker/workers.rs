//! The processes that this one knows of, and how it got to be one of them.
#![allow(unsafe_code, reason = "hands type-erased cells on")]

use super::doors::{Doors, OwnDoors};
use super::hello::{Hello, PROTOCOL, ToWorker};
use super::keeper::{Errand, Keeper};
use super::kept::Start;
use super::limit::Limit;
use super::member::Membership;
use super::output::Outputs;
use super::part::Request;
use super::part_here::Parts;
use super::peer::{Peer, pair_bytes};
use super::pool::Pool;
use super::registry;
use crate::error::{Error, Result};
use crate::executor::letter;
use crate::executor::local::Local;
use crate::graph::remote::inbox::Inbox;
use crate::node::Node;
use crate::task::raw::Header;
use maser_shm::control::ControlMemory;
use maser_shm::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use maser_shm::sync::deque::Worker as Queue;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

/// See the module's page.
pub(crate) struct Workers {
    /// Where the schedulers of this process sleep.
    doors: Option<OwnDoors>,
    /// By number.
    peers: RwLock<Vec<Option<Arc<Peer>>>>,
    keeper: Mutex<Option<Keeper>>,
    /// Of a worker.
    membership: OnceLock<Membership>,
    queue: Mutex<Option<Queue>>,
    next_number: AtomicU32,
    /// Whether other processes can write to the doors. Relaxed.
    share_doors: AtomicBool,
    /// Of the driver.
    pool: OnceLock<Arc<Pool>>,
    /// Of the driver, once a worker was started whose output goes there.
    outputs: OnceLock<Outputs>,
    parts: Parts,
}

impl Workers {
    /// No other processes, for schedulers with these doors.
    pub(crate) fn new(doors: Option<OwnDoors>) -> Self {
        Self {
            doors,
            peers: RwLock::default(),
            keeper: Mutex::default(),
            membership: OnceLock::new(),
            queue: Mutex::default(),
            next_number: AtomicU32::new(0),
            share_doors: AtomicBool::new(false),
            pool: OnceLock::new(),
            outputs: OnceLock::new(),
            parts: Parts::default(),
        }
    }

    /// What this process has of graphs that reach into others.
    pub(super) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Memory that came for edges of graphs.
    pub(crate) fn inbox(&self) -> &Arc<Inbox> {
        &self.parts.inbox
    }

    /// Asks the keeper for something for a graph.
    pub(crate) fn request(&self, request: Request) {
        if let Some(keeper) = &*self.keeper() {
            keeper.ask(Errand::Graph(Box::new(request)));
        }
    }

    /// The memory of the doors of this process.
    pub(super) fn doors(&self) -> Result<&ControlMemory> {
        let doors = self.doors.as_ref().ok_or(Error::NotRunning {
            what: "a worker process",
        })?;
        doors.memory()
    }

    fn keeper(&self) -> MutexGuard<'_, Option<Keeper>> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this process is a worker.
    pub(crate) fn membership(&self) -> Option<&Membership> {
        self.membership.get()
    }

    /// This process is a worker, whose scheduler has this queue.
    pub(super) fn is_member(&self, membership: Membership, queue: Queue) {
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        peers.push(Some(membership.driver.clone()));
        drop(peers);
        *self.queue.lock().unwrap_or_else(PoisonError::into_inner) = Some(queue);
        self.share_doors.store(true, Ordering::Relaxed);
        let _first = self.membership.set(membership);
    }

    pub(super) fn take_queue(&self) -> Option<Queue> {
        self.queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// A number for an actor in another process.
    pub(super) fn number(&self) -> u32 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether other processes can write to the events of this one's schedulers.
    pub(crate) fn share_doors(&self) -> bool {
        self.share_doors.load(Ordering::Relaxed)
    }

    /// Sends a task to another process; the caller hands the right to start over.
    pub(crate) fn submit(&self, cell: NonNull<Header>) {
        if let Some(membership) = self.membership() {
            return membership.submit(cell);
        }
        match (self.pool.get(), Node::current("starting a task")) {
            (Some(pool), _) => pool.submit(cell),
            (None, Ok(node)) => {
                let pool = Pool::new(&node, node.settings.num_cpus);
                self.pool.get_or_init(|| pool).submit(cell);
            }
            // SAFETY: TC-1, the caller's right.
            (None, Err(error)) => unsafe { Header::fail(cell, error) },
        }
    }

    /// The directory for what workers print, made at the first call.
    ///
    /// # Errors
    /// [`Error::System`] if it cannot be made.
    pub(crate) fn outputs(&self, node: &Node) -> Result<Option<&Outputs>> {
        if !node.settings.redirect_output {
            return Ok(None);
        }
        if self.outputs.get().is_none() {
            let (pid, random) = (node.process.id(), node.random.next_u64());
            let made = Outputs::new(&node.settings, pid, random)?;
            // Another thread may have been faster; the directory made here stays empty then.
            let _first = self.outputs.set(made);
        }
        Ok(self.outputs.get())
    }

    /// Starts a worker process: for tasks of the pool, or for one actor, which may have a memory limit
    /// of its own.
    pub(crate) fn start(
        &self,
        node: &Arc<Node>,
        pool: bool,
        memory_bytes: Option<u64>,
    ) -> Result<Arc<Peer>> {
        let shared = node.settings.worker_memory_bytes;
        let memory_bytes = memory_bytes.or(shared.map(|bytes| bytes as u64));
        let limit = memory_bytes.map(Limit::of).transpose();
        let limit = limit.map_err(|error| Error::System {
            what: "cannot limit the memory of a worker".into(),
            reason: error.to_string(),
        })?;
        let schedulers = node.schedulers().len();
        self.share_doors.store(true, Ordering::Relaxed);
        let doors = self.doors()?.clone();
        let bytes = pair_bytes(schedulers);
        let memory = ControlMemory::create(bytes).map_err(|error| Error::System {
            what: "cannot start a worker".into(),
            reason: error.to_string(),
        })?;
        let store_id = node.bulk.number();
        let (peer, threads) = {
            let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
            if peers.is_empty() {
                peers.push(None);
            }
            let free = peers.iter().skip(1).position(Option::is_none);
            let slot = free.map_or(peers.len(), |at| at + 1);
            if slot == peers.len() {
                peers.push(None);
            }
            let id = node.random.next_u64();
            let name = format!("worker {slot}");
            let doors = Doors::unknown(1);
            let memory = memory.clone();
            let peer = Peer::new(slot as u32, id, name, memory, true, schedulers, doors);
            peers[slot] = Some(peer.clone());
            node.bulk.has_peer(&peer, store_id);
            (peer, node.idle.beside(peers.iter().flatten().count()))
        };
        let output = match self.outputs(node)? {
            None => None,
            Some(outputs) => {
                let files = outputs.files(peer.slot).map_err(|error| Error::System {
                    what: format!("cannot make a file in {}", outputs.directory().display()),
                    reason: error.to_string(),
                })?;
                Some(files)
            }
        };
        let hello = Hello {
            store_id: store_id.0,
            protocol: PROTOCOL,
            fingerprint: registry::fingerprint(),
            id: peer.id,
            slot: peer.slot,
            driver_pid: node.process.id(),
            driver_schedulers: schedulers as u32,
            pair_bytes: memory.bytes() as u64,
            doors_bytes: doors.bytes() as u64,
            pool,
            cpu: cpu_of(node, threads).map(|cpu| cpu as u32),
            threads: threads as u32,
            memory_bytes,
            settings: node.settings.clone(),
        };
        for index in 0..schedulers {
            let peer = peer.clone();
            let open = letter::closure(move |local: &Local| {
                // A process that has ended by now needs no link.
                drop(local.links.get(local, &peer, 0));
            });
            node.post_to(index, open);
        }
        let mut keeper = self.keeper();
        if keeper.is_none() {
            *keeper = Some(Keeper::start(node)?);
        }
        if let Some(keeper) = &*keeper {
            keeper.ask(Errand::Start(Box::new(Start {
                peer: peer.clone(),
                memory,
                doors,
                hello,
                output,
                limit,
            })));
        }
        Ok(peer)
    }

    /// The caller of `cell` has given up: tells the process that runs it, if another one does.
    pub(crate) fn cancel(&self, cell: NonNull<Header>) {
        let peers: Vec<Arc<Peer>> = {
            let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
            peers.iter().flatten().cloned().collect()
        };
        let _found = peers.iter().any(|peer| peer.cancel(cell));
    }

    /// Ends the worker of this id at once.
    pub(crate) fn kill(&self, id: u64) {
        if let Some(keeper) = &*self.keeper() {
            keeper.ask(Errand::Kill(id));
        }
    }

    /// Tells a worker something, with a descriptor.
    pub(super) fn tell(&self, id: u64, news: ToWorker, file: Option<OwnedFd>) {
        if let Some(keeper) = &*self.keeper() {
            keeper.ask(Errand::Tell(id, news, file));
        }
    }

    /// Asks a worker to end.
    pub(crate) fn stop(&self, id: u64) {
        if let Some(keeper) = &*self.keeper() {
            keeper.ask(Errand::Stop(id));
        }
    }

    /// A worker has ended, and what it held is settled.
    pub(super) fn is_gone(&self, node: &Node, slot: u32) {
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = peers.get_mut(slot as usize) {
            drop(peer.take());
        }
        node.idle.beside(peers.iter().flatten().count());
    }

    /// The runtime ends: so do the workers.
    pub(crate) fn end(&self) {
        if let Some(pool) = self.pool.get() {
            pool.close();
        }
        let keeper = self.keeper().take();
        drop(keeper);
    }
}

/// The CPU of a worker that is the last of so many threads: one of its own, while there is one.
fn cpu_of(node: &Node, threads: usize) -> Option<usize> {
    let pins = node.settings.pin && threads <= node.topology.usable_parallelism();
    let cpus = node.topology.placement(threads);
    pins.then(|| cpus.get(threads - 1).copied()).flatten()
}
