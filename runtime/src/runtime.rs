//! `init`, the guard it returns, and the main function as a task.
//!
//! - RT-1 any thread may close the node, but only the main thread can end the scheduler that it is
//!   itself. If another one closes, the main thread does that when it enters maser the next time,
//!   or when its body returns; nobody waits for it.
#![allow(
    unsafe_code,
    reason = "owns the scheduler of the main thread and its coroutines"
)]

use crate::config::{Config, Mode};
use crate::error::{Error, Result};
use crate::error_log::ErrorEvent;
use crate::executor::coroutine::Co;
use crate::executor::local::Local;
use crate::executor::shared::Shared;
use crate::executor::{overflow, thread};
use crate::node::Node;
use crate::task::raw::Header;
use crate::topology::Topology;
use crate::worker::doors::{Door, OwnDoors};
use maser_shm::sync::deque::{self, Worker};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// A running runtime; shuts it down when dropped.
///
/// Tasks and actors of a runtime that is shut down end with errors; nothing stays behind.
#[must_use = "the runtime is shut down when this is dropped"]
pub struct Maser {
    node: Arc<Node>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Schedulers with a thread of their own.
    spawned: std::ops::Range<usize>,
}

/// Starts the runtime with the default configuration and the environment.
///
/// # Errors
/// As [`Config::init`].
pub fn init() -> Result<Maser> {
    Config::new().init()
}

thread_local! {
    /// On the main thread of `#[maser::main]`: the root task, and its scheduler once there is one.
    static ROOT: RefCell<Option<Root>> = const { RefCell::new(None) };
    static ROOT_CO: Cell<Option<std::ptr::NonNull<Co>>> = const { Cell::new(None) };
}

struct Root {
    /// The main thread is to be scheduler 0 of the next runtime.
    free: bool,
    local: Option<Box<Local>>,
    /// The CPUs the thread might use before it was pinned.
    cpus: Vec<usize>,
    /// The scheduler that was left last: callers of the function in which that happened may still
    /// have references to it.
    left: Option<Box<Local>>,
}

/// RT-1: the main thread ends its scheduler `local` if the node is closed; false if it is not, or
/// if a task is running on the thread.
#[cold]
pub(crate) fn leave_closed(local: &Local) -> bool {
    if !local.node.is_closed() || !local.is_in_root() {
        return false;
    }
    let Some(left) = leave() else {
        return false;
    };
    let node = left.node.clone();
    let before = ROOT.with(|root| root.borrow_mut().as_mut()?.left.replace(left));
    drop(before);
    // The last to end, because the node is closed: what is left is settled on this very thread.
    node.ended();
    true
}

/// RT-1: the body has returned. If its guard went elsewhere and the node is still open, no wait may
/// go on here any more, so the shutdown begins.
fn leave_at_end() {
    if let Some(local) = Local::current() {
        if local.node.begin_closing() {
            local.node.graphs.close_all();
            local.node.collectives.close_all();
        }
        let node = local.node.clone();
        if let Some(left) = leave() {
            // First: the thread that closes may be last, and then touches what was left (RM-1).
            drop(left);
            node.ended();
        }
    }
}

/// Ends the main thread's scheduler, if it is one.
fn leave() -> Option<Box<Local>> {
    let local = ROOT.with(|root| root.borrow_mut().as_mut()?.local.take())?;
    thread::drain_from_root(&local);
    end_root(&local);
    Some(local)
}

/// The main thread is the program's again, and so are its CPUs.
fn end_root(local: &Local) {
    thread::end(local);
    ROOT.with(|root| {
        if let Some(root) = root.borrow_mut().as_mut() {
            root.free = true;
            if !root.cpus.is_empty() {
                drop(maser_shm::os::affinity::set(&root.cpus));
            }
        }
    });
}

impl Config {
    /// Starts the runtime. In `#[maser::main]` the main thread becomes scheduler 0; elsewhere all
    /// schedulers have threads of their own and the caller keeps its thread.
    ///
    /// # Errors
    /// [`Error::Config`] names the first wrong field; [`Error::AlreadyRunning`];
    /// [`Error::System`] if threads or stacks cannot be had.
    pub fn init(self) -> Result<Maser> {
        let settings = self.resolve_from_env()?;
        Local::entered();
        if Node::is_installed() {
            return Err(Error::AlreadyRunning);
        }
        if let Some(notice) = settings.unknown_env_notice()
            && settings.mode == Mode::Script
        {
            eprintln!("maser: {notice}");
        }
        let topology = Topology::detect();
        let n = settings.num_cpus;
        let mut workers = Vec::with_capacity(n);
        let mut shared = Vec::with_capacity(n);
        let doors = OwnDoors::new(n);
        for index in 0..n {
            let (worker, stealer) = deque::new();
            workers.push(worker);
            shared.push(Arc::new(Shared::new(index, stealer, doors.door(index))));
        }
        let on_root = ROOT.with(|root| root.borrow().as_ref().is_some_and(|root| root.free));
        let cpus = topology.placement(n);
        let pins = settings.pin && n <= topology.usable_parallelism();
        let overflows = settings.name_stack_overflows;
        let spinners = if on_root { n } else { n + 1 };
        let node = Node::new(settings, topology, shared, spinners, Some(doors));
        Node::install(&node)?;
        if overflows {
            overflow::install();
        }
        crate::panic_hook::install();
        let first_thread = usize::from(on_root);
        let maser = Maser {
            node,
            threads: Mutex::default(),
            spawned: first_thread..n,
        };
        for (index, worker) in workers.into_iter().enumerate() {
            let cpu = pins.then(|| cpus[index]);
            if index < first_thread {
                maser.adopt_main_thread(worker, cpu);
            } else {
                let started = thread::start(&maser.node, index, worker, cpu)?;
                maser
                    .threads
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(started);
            }
        }
        Ok(maser)
    }
}

impl Maser {
    /// The main thread of `#[maser::main]` becomes scheduler 0.
    fn adopt_main_thread(&self, worker: Worker, cpu: Option<usize>) {
        let before = maser_shm::os::affinity::current().unwrap_or_default();
        thread::pin(cpu);
        let local = Box::new(Local::new(
            self.node.clone(),
            self.node.schedulers()[0].clone(),
            worker,
        ));
        if let Some(co) = ROOT_CO.with(Cell::get) {
            local.adopt(co);
        }
        self.node.add_root();
        Local::set_current(&raw const *local);
        ROOT.with(|root| {
            if let Some(root) = root.borrow_mut().as_mut() {
                root.free = false;
                root.cpus = before;
                root.local = Some(local);
            }
        });
    }

    /// Ends the runtime: no call starts any more, every wait ends with
    /// [`ShutDown`](Error::ShutDown), actors are dropped, threads are joined. Dropping does the
    /// same.
    pub fn shutdown(self) {}

    fn close(&self) {
        if Local::current().is_some_and(|local| {
            Arc::ptr_eq(&local.node, &self.node) && self.spawned.contains(&local.shared.index)
        }) {
            return self.close_from_task();
        }
        // The main function may have begun already (RT-1).
        self.node.begin_closing();
        self.node.graphs.close_all();
        self.node.collectives.close_all();
        for index in self.spawned.clone() {
            thread::ask_to_stop(&self.node, index);
        }
        let here = Local::current().filter(|local| Arc::ptr_eq(&local.node, &self.node));
        match here {
            Some(local) => thread::drain_from_root(local),
            None if self.spawned.start > 0 => thread::ask_to_close(&self.node),
            None => {}
        }
        for thread in self
            .threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .drain(..)
        {
            if thread.join().is_err() {
                eprintln!("maser: a scheduler thread panicked; this is a defect of maser");
            }
        }
        self.node.workers.end();
        self.node.rescue.end();
        for waiting in self.node.resources.drain() {
            // SAFETY: TC-1, taken from the ledger's queue.
            unsafe {
                let what = waiting.as_ref().meta().name.to_owned();
                Header::fail(waiting, Error::ShutDown { what });
            }
        }
        self.node.errors.finish();
        if let Some(local) = here {
            end_root(local);
            drop(ROOT.with(|root| root.borrow_mut().as_mut()?.local.take()));
            self.node.ended();
        }
        self.node.ended();
        self.node.finish_closing();
        Node::uninstall(&self.node);
    }

    /// A task drops the guard: its thread cannot wait for its own end, so another one does.
    #[cold]
    fn close_from_task(&self) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let guard = Maser {
            node: self.node.clone(),
            threads: Mutex::new(std::mem::take(&mut *threads)),
            spawned: self.spawned.clone(),
        };
        let guard = Arc::new(Mutex::new(Some(guard)));
        let theirs = guard.clone();
        let closing = std::thread::Builder::new().name("maser-close".into());
        let closed = closing.spawn(move || {
            let guard = theirs.lock().unwrap_or_else(PoisonError::into_inner).take();
            drop(guard);
        });
        if let Err(error) = closed {
            eprintln!("maser: cannot shut down from a task: {error}");
            // Dropped here, it would come here again.
            std::mem::forget(guard);
        }
    }

    /// What this node has in all and what is free, by resource.
    pub fn resources(&self) -> (BTreeMap<String, f64>, BTreeMap<String, f64>) {
        self.node.resources.snapshot()
    }

    /// The part of the machine that the schedulers were laid out on.
    pub fn topology(&self) -> &Topology {
        &self.node.topology
    }

    /// Where the files are to which worker processes print, if `redirect_output` is set.
    ///
    /// # Errors
    /// [`Error::System`] if the directory cannot be made.
    pub fn output_dir(&self) -> Result<Option<std::path::PathBuf>> {
        let outputs = self.node.workers.outputs(&self.node)?;
        Ok(outputs.map(|outputs| outputs.directory().to_owned()))
    }

    /// How many schedulers there are.
    pub fn num_cpus(&self) -> usize {
        self.node.schedulers().len()
    }
}

impl Drop for Maser {
    fn drop(&mut self) {
        self.close();
    }
}

/// Errors of tasks so far, oldest first; a bounded list (`error_log_len`).
///
/// # Errors
/// [`Error::NotRunning`].
pub fn error_info() -> Result<Vec<ErrorEvent>> {
    Ok(Node::entered("error_info")?.errors.events())
}

/// Runs `body` as the root task of this thread, which `init` makes scheduler 0. What
/// `#[maser::main]` expands to; tests and benches use it through [`run`].
pub fn run_main<R>(body: impl FnOnce() -> R) -> R {
    if Local::current().is_some() || ROOT_CO.with(Cell::get).is_some() {
        return body();
    }
    ROOT.with(|root| {
        *root.borrow_mut() = Some(Root {
            free: true,
            local: None,
            cpus: Vec::new(),
            left: None,
        })
    });
    let mut result: Option<std::result::Result<R, Box<dyn Any + Send>>> = None;
    let slot = &raw mut result;
    let boxed: Box<dyn FnOnce() + '_> = Box::new(|| {
        let outcome = catch_unwind(AssertUnwindSafe(body));
        // The guard went elsewhere: what is left of the scheduler ends here, with its coroutine.
        leave_at_end();
        // SAFETY: `result` outlives the hub, which ends after this.
        unsafe { *slot = Some(outcome) };
    });
    // SAFETY: the coroutine ends before this function returns (`hub` runs it to its end), so
    // nothing it borrows is gone before.
    let boxed: Box<dyn FnOnce() + 'static> = unsafe { std::mem::transmute(boxed) };
    let co = match Co::new(
        Arc::new(Shared::new(0, deque::new().1, Door::Own(Box::default()))),
        ROOT_STACK_BYTES,
        boxed,
    ) {
        Ok(co) => co,
        Err(error) => {
            eprintln!("maser: cannot map the main task's stack: {error}");
            std::process::exit(1);
        }
    };
    ROOT_CO.with(|root| root.set(Some(co)));
    let mut next = co;
    // The hub of this thread: the same loop as `Local::run_hub`, but there may be no scheduler yet.
    let hub = |mut next: std::ptr::NonNull<Co>| {
        loop {
            if let Some(local) = Local::current() {
                local.enter(next);
            }
            // SAFETY: CO-2.
            match unsafe { next.as_ref() }.resume() {
                Some(other) => next = other,
                None => break,
            }
        }
    };
    while let Err(payload) = catch_unwind(AssertUnwindSafe(|| hub(next))) {
        match Local::current() {
            Some(local) => next = thread::survive(local, payload),
            None => resume_unwind(payload),
        }
    }
    ROOT_CO.with(|root| root.set(None));
    ROOT.with(|root| *root.borrow_mut() = None);
    // SAFETY: the root has ended, and no runtime of it is left that could wake it.
    unsafe { Co::destroy(co) };
    match result {
        Some(Ok(value)) => value,
        Some(Err(payload)) => resume_unwind(payload),
        None => unreachable!("the hub ends with the root task"),
    }
}

/// Stack of the root task: what a main thread has by default (`ulimit -s`), committed as used.
const ROOT_STACK_BYTES: usize = 8 << 20;

/// Runs `body` with a runtime of its own, on this thread as scheduler 0: `#[maser::main]` for
/// tests and libraries.
///
/// # Errors
/// As [`Config::init`].
pub fn run<R>(config: Config, body: impl FnOnce(&Maser) -> R) -> Result<R> {
    run_main(|| {
        let maser = config.init()?;
        Ok(body(&maser))
    })
}
