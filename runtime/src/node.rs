//! The node: what all schedulers of this process share, from `init` to shutdown.
#![allow(unsafe_code, reason = "queues untyped cells and letters")]

use crate::actor::registry::Names;
use crate::actor::stalled::StalledForeign;
use crate::clock::{Clock, MonotonicClock};
use crate::config::{Isolation, Mode, Settings};
use crate::error::{Error, Result};
use crate::error_log::ErrorLog;
use crate::executor::idle::{FutexParker, Idle, Parker};
use crate::executor::injector::Injector;
use crate::executor::letter;
use crate::executor::local::Local;
use crate::executor::remains::Remains;
use crate::executor::rescue::Rescue;
use crate::executor::shared::Shared;
use crate::process::{OsProcess, ProcessControl};
use crate::random::{Random, SeededRandom};
use crate::resources::Resources;
use crate::task::raw::Header;
use crate::topology::Topology;
use crate::wait_graph::WaitGraph;
use crate::worker::bulk::Bulk;
use crate::worker::doors::OwnDoors;
use crate::worker::errand::Lendings;
use crate::worker::pool::Stays;
use crate::worker::workers::Workers;
use maser_shm::os::membarrier;
use maser_shm::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::ptr::NonNull;
use std::sync::{Arc, PoisonError, RwLock};

const OPEN: u8 = 0;
const CLOSING: u8 = 1;
const CLOSED: u8 = 2;

/// See the module's page.
pub(crate) struct Node {
    pub(crate) id: u64,
    pub(crate) settings: Settings,
    pub(crate) topology: Topology,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) process: Arc<dyn ProcessControl>,
    pub(crate) parker: Box<dyn Parker>,
    pub(crate) idle: Idle,
    pub(crate) resources: Resources,
    pub(crate) names: Names,
    pub(crate) lendings: Lendings,
    pub(crate) errors: ErrorLog,
    pub(crate) waits: WaitGraph,
    schedulers: Vec<Arc<Shared>>,
    /// Written by shutdown, read by everybody; Release/Acquire.
    state: AtomicU8,
    /// A scheduler's own code panicked (CR-1). Relaxed.
    crashed: AtomicBool,
    /// The shutdown, and the root's scheduler if there is one. AcqRel: who is last sees the rest.
    not_ended: AtomicUsize,
    pub(crate) injector: Injector,
    pub(crate) remains: Remains,
    pub(crate) rescue: Rescue,
    next_home: AtomicUsize,
    stacks: AtomicUsize,
    pub(crate) stalled: StalledForeign,
    pub(crate) graphs: crate::graph::registry::Graphs,
    pub(crate) collectives: crate::collective::registry::Groups,
    pub(crate) workers: Workers,
    pub(crate) bulk: Arc<Bulk>,
}

static CURRENT: RwLock<Option<Arc<Node>>> = RwLock::new(None);

/// Name of this process's node in errors.
pub(crate) fn name() -> String {
    match Node::current("naming the node") {
        Ok(node) => format!("node 0 (pid {})", node.process.id()),
        Err(_) => "no node".to_owned(),
    }
}

impl Node {
    /// A node with these schedulers, not yet current.
    pub(crate) fn new(
        settings: Settings,
        topology: Topology,
        schedulers: Vec<Arc<Shared>>,
        spinners: usize,
        doors: Option<OwnDoors>,
    ) -> Arc<Self> {
        membarrier::register();
        let random = match settings.id_seed {
            Some(seed) => SeededRandom::new(seed),
            None => SeededRandom::from_os(),
        };
        let errors = ErrorLog::new(settings.error_log_len, settings.mode == Mode::Script);
        let idle = Idle::new(spinners, topology.usable_parallelism(), settings.spin);
        let node = Arc::new(Self {
            bulk: Bulk::new(&settings),
            id: random.next_u64(),
            idle,
            resources: Resources::new(settings.num_cpus, settings.num_gpus, &settings.resources),
            names: Names::default(),
            lendings: Lendings::default(),
            errors,
            waits: WaitGraph::default(),
            topology,
            clock: Arc::new(MonotonicClock),
            random: Arc::new(random),
            process: Arc::new(OsProcess),
            parker: Box::new(FutexParker),
            settings,
            schedulers,
            state: AtomicU8::new(OPEN),
            crashed: AtomicBool::new(false),
            not_ended: AtomicUsize::new(1),
            injector: Injector::default(),
            remains: Remains::default(),
            rescue: Rescue::default(),
            next_home: AtomicUsize::new(0),
            stacks: AtomicUsize::new(0),
            stalled: StalledForeign::default(),
            graphs: crate::graph::registry::Graphs::default(),
            collectives: crate::collective::registry::Groups::default(),
            workers: Workers::new(doors),
        });
        node.bulk.belongs_to(&node);
        node
    }

    /// Makes `node` the process's node.
    pub(crate) fn install(node: &Arc<Node>) -> Result<()> {
        let mut current = CURRENT.write().unwrap_or_else(PoisonError::into_inner);
        if current.is_some() {
            return Err(Error::AlreadyRunning);
        }
        *current = Some(node.clone());
        Ok(())
    }

    /// Whether the process has a node.
    pub(crate) fn is_installed() -> bool {
        CURRENT
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    /// Takes it away again.
    pub(crate) fn uninstall(node: &Arc<Node>) {
        let mut current = CURRENT.write().unwrap_or_else(PoisonError::into_inner);
        if current
            .as_ref()
            .is_some_and(|installed| Arc::ptr_eq(installed, node))
        {
            *current = None;
        }
    }

    /// The node of this thread's scheduler, else of the process.
    pub(crate) fn current(what: &'static str) -> Result<Arc<Node>> {
        if let Some(local) = Local::current() {
            return Ok(local.node.clone());
        }
        let current = CURRENT.read().unwrap_or_else(PoisonError::into_inner);
        current.clone().ok_or(Error::NotRunning { what })
    }

    /// As [`current`](Self::current), where the program enters maser (RT-1).
    pub(crate) fn entered(what: &'static str) -> Result<Arc<Node>> {
        Local::entered();
        Self::current(what)
    }

    /// The main thread becomes a scheduler of this node: one more who has to end.
    pub(crate) fn add_root(&self) {
        self.not_ended.fetch_add(1, Ordering::Relaxed);
    }

    /// The root's scheduler has ended, or all the others and with them the shutdown: whoever is
    /// last settles what they left (RM-1).
    pub(crate) fn ended(&self) {
        if self.not_ended.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.remains.settle();
        }
    }

    /// A node that is over, for handles that were made without one.
    pub(crate) fn nowhere() -> Arc<Node> {
        static NOWHERE: std::sync::OnceLock<Arc<Node>> = std::sync::OnceLock::new();
        NOWHERE
            .get_or_init(|| {
                let settings = crate::config::Config::new()
                    .num_cpus(1)
                    .resolve(&|_| None)
                    .unwrap_or_else(|error| unreachable!("the defaults are valid: {error}"));
                let node = Node::new(
                    settings,
                    Topology {
                        cpus: Vec::new(),
                        numa_nodes: Vec::new(),
                        quota: None,
                    },
                    Vec::new(),
                    1,
                    None,
                );
                // What its handles leave is freed at once: nobody else will.
                node.ended();
                node.finish_closing();
                node
            })
            .clone()
    }

    /// The scheduler for the next actor: in turn, the driver's last.
    pub(crate) fn pick_home(&self) -> usize {
        (self.next_home.fetch_add(1, Ordering::Relaxed) + 1) % self.schedulers.len()
    }

    #[inline(always)]
    pub(crate) fn schedulers(&self) -> &[Arc<Shared>] {
        &self.schedulers
    }

    /// The scheduler that does what an actor's home has to do: its home, or the gate for one that
    /// lives in another process (RA-1). The gate is the last one, which is not the main thread if
    /// there are others.
    pub(crate) fn door(&self, home: usize) -> &Arc<Shared> {
        let gate = self.schedulers.len() - 1;
        &self.schedulers[if home < self.schedulers.len() {
            home
        } else {
            gate
        }]
    }

    /// Posts a letter that was just made to scheduler `index`.
    pub(crate) fn post_to(&self, index: usize, letter: NonNull<letter::Letter>) {
        // SAFETY: LT-1, a fresh letter that is in no mailbox.
        unsafe { self.schedulers[index].post(letter) };
    }

    pub(crate) fn schedulers_planned(&self) -> usize {
        self.schedulers.len()
    }

    /// Whether calls run at the call.
    #[inline(always)]
    pub(crate) fn runs_inline(&self) -> bool {
        self.settings.mode == Mode::Inline
    }

    /// Whether tasks run in processes of their own.
    pub(crate) fn isolates(&self) -> bool {
        self.settings.isolation == Isolation::Process && !self.runs_inline()
    }

    /// Whether tasks that are made on this thread now go to another process.
    pub(crate) fn tasks_leave(&self) -> bool {
        let stays = Local::current().map_or(Stays::No, |local| local.stays.get());
        self.isolates() && stays != Stays::Here
    }

    /// Whether the driver is asked to run tasks that are made on this thread now.
    pub(crate) fn asks_driver(&self) -> bool {
        self.workers.membership().is_some() && self.tasks_leave()
    }

    /// Whether a task that is about to be queued goes to another process.
    pub(crate) fn leaves(&self, cell: NonNull<Header>) -> bool {
        // SAFETY: TC-1, the caller has the right to start it, so it is alive.
        self.tasks_leave() && unsafe { cell.as_ref() }.meta().entry.is_some()
    }

    #[inline(always)]
    pub(crate) fn is_closing(&self) -> bool {
        self.state.load(Ordering::Acquire) != OPEN
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) == CLOSED
    }

    /// No new work from now on; true for the first caller.
    pub(crate) fn begin_closing(&self) -> bool {
        self.state
            .compare_exchange(OPEN, CLOSING, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// CR-1: closes without the guard, which still has to settle the rest. True for the first
    /// caller while it was open.
    #[cold]
    pub(crate) fn crash(&self) -> bool {
        let first = self.begin_closing();
        if first {
            self.crashed.store(true, Ordering::Relaxed);
        }
        first
    }

    /// Whether it closes because of a [`crash`](Self::crash).
    pub(crate) fn has_crashed(&self) -> bool {
        self.crashed.load(Ordering::Relaxed)
    }

    pub(crate) fn finish_closing(&self) {
        self.state.store(CLOSED, Ordering::Release);
    }

    /// A task was put into this thread's queue: wakes somebody who could steal it.
    #[inline(always)]
    pub(crate) fn work_was_pushed(&self) {
        membarrier::light();
        if self.idle.any_parked() {
            self.wake_one();
        }
    }

    #[cold]
    fn wake_one(&self) {
        if let Some(parked) = self
            .schedulers
            .iter()
            .find(|scheduler| scheduler.event.is_parked())
        {
            parked.event.notify();
        }
    }

    /// Whether another scheduler than `index` has tasks that may be stolen, or anybody may take
    /// some.
    pub(crate) fn has_stealable(&self, index: usize) -> bool {
        !self.injector.is_empty()
            || self
                .schedulers
                .iter()
                .any(|other| other.index != index && !other.stealer.is_empty())
    }

    /// An actor died: graphs and groups that use it have to see it.
    pub(crate) fn wake_graphs(&self) {
        self.graphs.actor_died();
        self.collectives.actor_died();
    }

    /// Wakes every blocked task, so that it looks whether it was cancelled.
    pub(crate) fn wake_blocked(&self) {
        for scheduler in &self.schedulers {
            let wake = letter::closure(Local::wake_all);
            // SAFETY: LT-1, a fresh letter.
            unsafe { scheduler.post(wake) };
        }
    }

    /// Queues a task that was made on any thread.
    pub(crate) fn start_task(&self, cell: NonNull<Header>) {
        if let Some(local) = Local::current()
            && self.runs_inline()
        {
            // SAFETY: TC-1, the caller hands the right to start over.
            return unsafe { Header::run(cell, local) };
        }
        if self.leaves(cell) {
            return self.workers.submit(cell);
        }
        self.start_anywhere(cell);
        if self.runs_inline() {
            // SAFETY: the caller of `remote` holds a handle until it got its ref.
            let completion = unsafe { &(*cell.as_ptr()).completion };
            // The outcome is the ref's; a wait that fails here fails again at `get`.
            drop(crate::executor::wait::wait_foreign(
                completion,
                None,
                "a task in inline mode",
            ));
        }
    }

    /// Queues a task whose demand was just met.
    pub(crate) fn start_granted(&self, mut cell: NonNull<Header>) {
        // SAFETY: TC-1, taken from the ledger's queue: its extra is ours until it starts.
        let scheduler = unsafe {
            match cell.as_mut().extra.as_mut() {
                Some(extra) => {
                    if let Some(grant) = &mut extra.grant {
                        grant.mark_held();
                    }
                    extra.scheduler
                }
                None => None,
            }
        };
        match scheduler {
            _ if self.leaves(cell) => self.workers.submit(cell),
            Some(index) => self.start_task_on(cell, index),
            None => self.start_anywhere(cell),
        }
    }

    /// Queues a task where any scheduler may take it.
    fn start_anywhere(&self, cell: NonNull<Header>) {
        match Local::current() {
            Some(local) => self.start_task_on(cell, local.shared.index),
            None if self.injector.push(cell, || self.is_closing()) => self.work_was_pushed(),
            None => self.refuse(cell),
        }
    }

    /// The node closes: fails a task that was to be queued.
    #[cold]
    fn refuse(&self, cell: NonNull<Header>) {
        // SAFETY: TC-1, the caller hands the right to start over, so the cell is alive.
        unsafe {
            let what = cell.as_ref().meta().name.to_owned();
            Header::fail(cell, Error::ShutDown { what });
        }
    }

    /// Queues a task on one scheduler.
    pub(crate) fn start_task_on(&self, cell: NonNull<Header>, index: usize) {
        if self.is_closing() {
            return self.refuse(cell);
        }
        match Local::current() {
            Some(local) if local.shared.index == index => {
                local.tasks.push(cell.cast());
                self.work_was_pushed();
            }
            // SAFETY: LT-1; a cell begins with its letter, and is in no other queue.
            _ => unsafe { self.schedulers[index].post(cell.cast()) },
        }
    }

    /// One more coroutine, within the limit.
    pub(crate) fn count_stack(&self) -> Result<()> {
        let blocked = self.stacks.fetch_add(1, Ordering::Relaxed);
        let limit = self.settings.max_blocked_tasks;
        if blocked >= limit {
            self.stacks.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::TooManyBlockedTasks { blocked, limit });
        }
        Ok(())
    }

    pub(crate) fn uncount_stack(&self) {
        self.stacks.fetch_sub(1, Ordering::Relaxed);
    }
}
