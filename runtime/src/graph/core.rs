//! The part of a compiled graph that is the same for all types: its limits, its lock, who waits for
//! it, and how it ends.
//!
//! - DR-1 everything in a `Cell` or `UnsafeCell` of a graph's driver is used under the core's lock
//!   alone. The lock is held for a few loads and stores, never while waiting or running user code.
//! - DR-4 waiting: a parked waiter registers first (`waiting`), then looks again after the heavy
//!   barrier of its event; a segment sends first, then reads `waiting` after a light barrier.
//!   A future's waker is registered once however often it is polled, and goes with the future.
//! - DR-5 a ref holds no count of its own (two locked instructions a run would be a tenth of it):
//!   the number of refs is kept under the lock, and the outputs of a graph that is dropped before
//!   its refs go with the last of them.
#![allow(
    unsafe_code,
    reason = "cells that the lock of this very type protects; posts letters"
)]

use super::crew::Crew;
use crate::actor::address::HeldCore;
use crate::error::Error;
use crate::executor::gate::Gate;
use crate::executor::letter;
use crate::executor::local::Local;
use crate::executor::shared::Shared;
use crate::graph::observe::chart::Chart;
use crate::graph::remote::parts::Parts;
use crate::node::Node;
use crate::task::failure::discard_with;
use crate::worker::peer::Peer;
use maser_shm::channel::Probe;
use maser_shm::os::membarrier;
use maser_shm::sync::CachePadded;
use maser_shm::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use maser_shm::sync::event::Event;
use maser_shm::sync::owner_lock::{OwnerLock, thread_number};
use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// The part of a compiled graph that does not depend on its types.
pub(crate) struct Core {
    pub(crate) id: u64,
    pub(crate) node: Arc<Node>,
    lock: CachePadded<OwnerLock>,
    /// Results of one run.
    pub(crate) outputs: usize,
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
    pub(crate) submit_timeout: Option<Duration>,
    pub(crate) get_timeout: Option<Duration>,
    /// Waiters that may be asleep (DR-4). Read by segments after every run, hence on a line of its
    /// own.
    waiting: CachePadded<AtomicU32>,
    sleepers: Mutex<Vec<Arc<Event>>>,
    wakers: Mutex<Wakers>,
    schedulers_waiting: Mutex<Vec<Arc<Shared>>>,
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
}

// SAFETY: DR-1.
unsafe impl Send for Core {}
// SAFETY: DR-1.
unsafe impl Sync for Core {}

/// Futures that wait.
#[derive(Default)]
struct Wakers {
    /// By ascending key.
    list: Vec<(u64, Waker)>,
    last_key: u64,
}

impl Wakers {
    fn find(&self, key: u64) -> Result<usize, usize> {
        self.list.binary_search_by_key(&key, |(key, _)| *key)
    }
}

/// A future that waits for a graph (DR-4); dropped with it.
pub(crate) struct Polls<'a> {
    core: &'a Core,
    /// Where its waker is, unless it was woken since; 0 is no key.
    key: u64,
}

impl Polls<'_> {
    /// Looks, registers, looks again.
    pub(crate) fn poll_until<R>(
        &mut self,
        context: &Context<'_>,
        mut look: impl FnMut() -> Option<R>,
    ) -> Poll<R> {
        if let Some(value) = look() {
            return Poll::Ready(value);
        }
        self.register(context.waker());
        membarrier::heavy();
        look().map_or(Poll::Pending, Poll::Ready)
    }

    fn register(&mut self, waker: &Waker) {
        // Wakers are the program's: cloned and dropped outside of the lock.
        let mut fresh = Some(waker.clone());
        let mut wakers = self.core.wakers();
        match wakers.find(self.key) {
            Ok(at) if wakers.list[at].1.will_wake(waker) => {}
            Ok(at) => {
                fresh = fresh.map(|fresh| std::mem::replace(&mut wakers.list[at].1, fresh));
            }
            Err(_) => {
                wakers.last_key += 1;
                self.key = wakers.last_key;
                wakers
                    .list
                    .extend(fresh.take().map(|fresh| (self.key, fresh)));
                self.core.add_waiting(1);
            }
        }
        drop(wakers);
        drop(fresh);
    }
}

impl Drop for Polls<'_> {
    fn drop(&mut self) {
        if self.key == 0 {
            return;
        }
        let mut wakers = self.core.wakers();
        let waker = wakers.find(self.key).ok().map(|at| wakers.list.remove(at));
        drop(wakers);
        if waker.is_some() {
            self.core.remove_waiting(1);
        }
    }
}

/// The limits of one graph.
pub(crate) struct Limits {
    pub(crate) outputs: usize,
    pub(crate) segments: usize,
    pub(crate) max_inflight: usize,
    pub(crate) max_buffered: usize,
    pub(crate) submit_timeout: Option<Duration>,
    pub(crate) get_timeout: Option<Duration>,
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
            live_refs: Cell::new(0),
            orphan: UnsafeCell::new(None),
            next_run: Cell::new(0),
            finished: Cell::new(0),
            max_inflight: limits.max_inflight,
            max_buffered: limits.max_buffered,
            submit_timeout: limits.submit_timeout,
            get_timeout: limits.get_timeout,
            waiting: CachePadded::new(AtomicU32::new(0)),
            sleepers: Mutex::default(),
            wakers: Mutex::default(),
            schedulers_waiting: Mutex::default(),
            over: OnceLock::new(),
            is_over: CachePadded::new(AtomicU64::new(0)),
            installed: AtomicUsize::new(homes.len() + peers.len()),
            removed: Gate::default(),
            actors: Crew::new(actors),
            homes,
            parts: Parts::new(peers),
            is_one_segment: limits.segments == 1,
            chart: OnceLock::new(),
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

    /// So many more waiters may be asleep.
    fn add_waiting(&self, count: u32) {
        self.waiting.fetch_add(count, Ordering::Relaxed);
        self.parts.add_waiting(count);
    }

    /// So many fewer.
    fn remove_waiting(&self, count: u32) {
        self.waiting.fetch_sub(count, Ordering::Relaxed);
        self.parts.remove_waiting(count);
    }

    fn was_removed(&self) {
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

    /// The graph goes: so do its handles, unless a scheduler still has something of it (CW-1).
    pub(crate) fn let_go_of_actors(&self) {
        if self.is_gone() {
            self.actors.let_go();
        }
    }

    /// A segment sent results.
    #[inline(always)]
    pub(crate) fn results_were_sent(&self) {
        membarrier::light();
        if self.waiting.load(Ordering::Relaxed) != 0 {
            self.wake_waiters();
        }
    }

    #[cold]
    fn wake_waiters(&self) {
        for event in self
            .sleepers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            event.notify();
        }
        for scheduler in self
            .schedulers_waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            scheduler.event.notify();
        }
        let wakers = std::mem::take(&mut self.wakers().list);
        self.remove_waiting(wakers.len() as u32);
        for (_, waker) in wakers {
            // Wakers are the program's, and this may be a scheduler (UD-1).
            discard_with(|| "a waker", || waker.wake());
        }
    }

    fn wakers(&self) -> MutexGuard<'_, Wakers> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The registration of a future that waits for this graph.
    pub(crate) fn polls(&self) -> Polls<'_> {
        Polls { core: self, key: 0 }
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
    /// A foreign thread is about to sleep (DR-4).
    pub(crate) fn add_sleeper(&self, event: &Arc<Event>) {
        self.sleepers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(event.clone());
        self.add_waiting(1);
    }

    /// It sleeps no more.
    pub(crate) fn remove_sleeper(&self, event: &Arc<Event>) {
        self.remove_waiting(1);
        let mut sleepers = self.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = sleepers.iter().position(|other| Arc::ptr_eq(other, event)) {
            sleepers.swap_remove(at);
        }
    }

    /// A scheduler with a task that waits for this graph is about to park, or runs again (DR-4).
    pub(crate) fn arm(&self, scheduler: &Arc<Shared>, armed: bool) {
        let mut waiting = self
            .schedulers_waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if armed {
            waiting.push(scheduler.clone());
            self.add_waiting(1);
        } else if let Some(at) = waiting
            .iter()
            .position(|other| Arc::ptr_eq(other, scheduler))
        {
            waiting.swap_remove(at);
            self.remove_waiting(1);
        }
    }

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
