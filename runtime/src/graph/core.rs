//! The part of a compiled graph that is the same for all types: its limits, its lock, and how it
//! ends. Who waits for it stands in `waiters` (DR-4).
//!
//! - DR-1 everything in a `Cell` or `UnsafeCell` of a graph's driver is used under the core's lock
//!   alone. The lock is held for a few loads and stores, never while waiting or running user code.
//! - DR-5 a ref holds no count of its own (two locked instructions a run would be a tenth of it):
//!   the number of refs is kept under the lock, and the outputs of a graph that is dropped before
//!   its refs go with the last of them.
#![allow(
    unsafe_code,
    reason = "cells that the lock of this very type protects; posts letters"
)]

use super::crew::Crew;
use super::waiters::Waiters;
use crate::actor::address::HeldCore;
use crate::error::Error;
use crate::executor::gate::Gate;
use crate::executor::letter;
use crate::executor::local::Local;
use crate::graph::observe::board::Board;
use crate::graph::observe::chart::Chart;
use crate::graph::observe::text::Owner;
use crate::graph::observe::watched::Observe;
use crate::graph::relay::sight::Elsewhere;
use crate::graph::remote::parts::Parts;
use crate::node::Node;
use crate::worker::peer::Peer;
use maser_shm::channel::Probe;
use maser_shm::sync::CachePadded;
use maser_shm::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use maser_shm::sync::owner_lock::{OwnerLock, thread_number};
use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

/// The part of a compiled graph that does not depend on its types.
pub(crate) struct Core {
    pub(crate) id: u64,
    pub(crate) node: Arc<Node>,
    lock: CachePadded<OwnerLock>,
    /// Results of one run.
    pub(crate) outputs: usize,
    /// Those that were wired to the driver.
    outputs_wired: AtomicUsize,
    /// Refs that are there (DR-1, DR-5).
    live_refs: Cell<usize>,
    /// The outputs of a graph that is gone while refs of it are left (DR-5).
    orphan: UnsafeCell<Option<Box<dyn Any + Send>>>,
    /// Number of the next run (DR-1).
    next_run: Cell<u64>,
    /// Every run below has all its results with the driver (DR-1); a lower bound.
    finished: Cell<u64>,
    pub(crate) max_inflight: usize,
    pub(crate) max_buffered: usize,
    /// Bytes of bodies that an edge to another process holds before it grows.
    pub(crate) buffer_bytes: usize,
    pub(crate) submit_timeout: Option<Duration>,
    pub(crate) get_timeout: Option<Duration>,
    /// Waiters that may be asleep (DR-4). Read by segments after every run, hence on a line of its
    /// own.
    pub(super) waiting: CachePadded<AtomicU32>,
    pub(super) waiters: Waiters,
    over: OnceLock<Error>,
    is_over: CachePadded<AtomicU64>,
    /// Schedulers that still have segments.
    pub(crate) installed: AtomicUsize,
    pub(crate) removed: Gate,
    actors: Crew,
    pub(crate) homes: Vec<usize>,
    /// Its parts in other processes.
    pub(crate) parts: Parts,
    /// All its steps run one after the other.
    pub(crate) is_one_segment: bool,
    /// Its steps by name, for those who ask what it waits for.
    pub(crate) chart: OnceLock<Chart>,
    /// Whom to ask that, of a graph in another process.
    pub(crate) owner: OnceLock<Weak<dyn Owner>>,
    /// What is measured of it, and where.
    pub(crate) observe: Observe,
    pub(crate) board: OnceLock<Board>,
    /// Of a graph that another process drives: who asks there.
    pub(crate) elsewhere: OnceLock<Weak<dyn Elsewhere>>,
}

// SAFETY: DR-1.
unsafe impl Send for Core {}
// SAFETY: DR-1.
unsafe impl Sync for Core {}

/// The limits of one graph.
pub(crate) struct Limits {
    pub(crate) outputs: usize,
    pub(crate) segments: usize,
    pub(crate) max_inflight: usize,
    pub(crate) max_buffered: usize,
    pub(crate) buffer_bytes: usize,
    pub(crate) submit_timeout: Option<Duration>,
    pub(crate) get_timeout: Option<Duration>,
    pub(crate) observe: Observe,
}

impl Core {
    pub(crate) fn new(
        id: u64,
        node: Arc<Node>,
        limits: &Limits,
        actors: Vec<HeldCore>,
        homes: Vec<usize>,
        peers: Vec<(Arc<Peer>, String)>,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            node,
            lock: CachePadded::new(OwnerLock::new()),
            outputs: limits.outputs,
            outputs_wired: AtomicUsize::new(0),
            live_refs: Cell::new(0),
            orphan: UnsafeCell::new(None),
            next_run: Cell::new(0),
            finished: Cell::new(0),
            max_inflight: limits.max_inflight,
            max_buffered: limits.max_buffered,
            buffer_bytes: limits.buffer_bytes,
            submit_timeout: limits.submit_timeout,
            get_timeout: limits.get_timeout,
            waiting: CachePadded::new(AtomicU32::new(0)),
            waiters: Waiters::default(),
            over: OnceLock::new(),
            is_over: CachePadded::new(AtomicU64::new(0)),
            installed: AtomicUsize::new(homes.len() + peers.len()),
            removed: Gate::default(),
            actors: Crew::new(actors),
            homes,
            parts: Parts::new(peers),
            is_one_segment: limits.segments == 1,
            chart: OnceLock::new(),
            owner: OnceLock::new(),
            observe: limits.observe,
            board: OnceLock::new(),
            elsewhere: OnceLock::new(),
        })
    }

    /// Runs `body` under the lock (DR-1).
    #[inline(always)]
    pub(crate) fn locked<R>(&self, body: impl FnOnce() -> R) -> R {
        let _inside = self.lock.lock(thread_number());
        body()
    }

    /// A run was submitted: a ref for each of its results comes to be. Under the lock.
    #[inline(always)]
    pub(crate) fn refs_were_made(&self) {
        self.live_refs.set(self.live_refs.get() + self.outputs);
    }

    /// One more ref of a result. Under the lock.
    pub(crate) fn ref_was_made(&self) {
        self.live_refs.set(self.live_refs.get() + 1);
    }

    /// The place of an output that is being wired; they are wired in their order.
    pub(crate) fn next_output(&self) -> usize {
        self.outputs_wired.fetch_add(1, Ordering::Relaxed)
    }

    /// A ref is going away; what it gives is dropped by the caller outside of the lock. Under the
    /// lock.
    #[inline(always)]
    pub(crate) fn ref_goes(&self) -> Option<Box<dyn Any + Send>> {
        let left = self.live_refs.get() - 1;
        self.live_refs.set(left);
        if left == 0 {
            // SAFETY: DR-1, under the lock.
            unsafe { (*self.orphan.get()).take() }
        } else {
            None
        }
    }

    /// The graph itself goes away: its outputs stay for as long as there are refs of them (DR-5).
    pub(crate) fn abandon(&self, outputs: Box<dyn Any + Send>) {
        let now = self.locked(|| {
            if self.live_refs.get() == 0 {
                return Some(outputs);
            }
            // SAFETY: DR-1, under the lock.
            unsafe { *self.orphan.get() = Some(outputs) };
            None
        });
        drop(now);
    }

    /// Why the graph takes no more runs, if it does not.
    pub(crate) fn over(&self) -> Option<Error> {
        if self.is_over.load(Ordering::Acquire) != 0 {
            self.over.get().cloned()
        } else {
            None
        }
    }

    /// Ends the graph: the first reason counts. Its segments are taken off their schedulers.
    pub(crate) fn end(self: &Arc<Self>, reason: Error) -> bool {
        if self.over.set(reason).is_err() {
            return false;
        }
        self.is_over.store(1, Ordering::Release);
        if !self.parts.are_none() {
            self.node.graphs.keep(self); // GR-2
            if self.installed.load(Ordering::Acquire) == 0 {
                // The last of its processes ended meanwhile, before it was kept.
                self.node.graphs.let_go(self.id);
            }
        }
        let id = self.id;
        for home in &self.homes {
            let core = self.clone();
            let remove = letter::closure(move |local: &Local| {
                local.remove_graph(id);
                core.was_removed();
            });
            // SAFETY: LT-1, a fresh letter.
            unsafe { self.node.schedulers()[*home].post(remove) };
        }
        self.parts.end(self);
        self.wake_waiters();
        self.tell_of_end();
        true
    }

    /// Nothing of the graph is left in the process `peer`.
    pub(crate) fn part_is_gone(&self, peer: u64) {
        if self.parts.is_gone(peer) {
            self.was_removed();
        }
    }

    /// If one of its processes has ended the graph is over.
    pub(crate) fn check_parts(self: &Arc<Self>) {
        if let Some(error) = self.parts.any_death() {
            self.end(error);
        }
    }

    /// A process has ended. An actor that comes back in a new one is not dead, but its part of the
    /// graph is gone.
    pub(crate) fn peer_is_gone(self: &Arc<Self>, peer: &Peer) {
        if let Some(error) = self.parts.death(peer) {
            self.end(error);
        }
        self.part_is_gone(peer.id);
        self.part_is_settled(peer.id);
    }

    /// The process `peer` has nothing of the graph any more.
    pub(crate) fn part_is_settled(&self, peer: u64) {
        self.parts.is_settled(peer);
        self.removed.notify_all();
    }

    /// Whether no process has anything of it any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.installed.load(Ordering::Acquire) == 0 && self.parts.are_settled()
    }

    /// One of those that had something of it has nothing any more.
    pub(super) fn was_removed(&self) {
        if self.installed.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.locked(|| ()); // Who submits has looked whether the graph is over (EO-2).
            self.parts.settle(self);
            self.node.graphs.let_go(self.id); // GR-2
        }
        self.removed.notify_all();
    }

    /// If one of its actors is dead the graph is over.
    pub(crate) fn check_actors(self: &Arc<Self>) {
        if let Some(death) = self.actors.death() {
            self.end(death);
        }
    }

    /// Ends its actors.
    pub(crate) fn kill_actors(&self) {
        self.actors.kill();
    }

    /// The graph goes: so do its handles, unless a scheduler still has something of it (CW-1).
    pub(crate) fn let_go_of_actors(&self) {
        if self.is_gone() {
            self.actors.let_go();
        }
    }

    /// Runs that were submitted. Under the lock.
    pub(crate) fn submitted(&self) -> u64 {
        self.next_run.get()
    }

    /// Those that are not finished, as far as the driver has seen. Under the lock.
    pub(crate) fn in_flight(&self) -> usize {
        (self.submitted() - self.finished.get()) as usize
    }

    pub(crate) fn set_finished(&self, runs: u64) {
        self.finished.set(runs);
    }

    /// The oldest run that is not known to be finished. Under the lock.
    pub(crate) fn oldest_run(&self) -> u64 {
        self.finished.get()
    }

    /// Takes the number of a run that is being submitted. Under the lock.
    #[inline(always)]
    pub(crate) fn take_run(&self) -> u64 {
        let run = self.next_run.get();
        self.next_run.set(run + 1);
        run
    }
}

impl Core {
    /// Whether it takes no more runs. One load.
    #[inline(always)]
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed) != 0
    }

    /// What changes when it is over; `None` if it is.
    #[inline(always)]
    pub(crate) fn not_over(&self) -> Option<Probe> {
        (!self.is_over()).then(|| Probe::new(&self.is_over, 0))
    }
}

/// The result of `run` was taken by its ref.
#[cold]
pub(crate) fn gone(run: u64) -> Error {
    Error::ObjectLost {
        what: format!("run {run}"),
        reason: "it was taken before".into(),
    }
}
