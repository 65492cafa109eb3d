//! One scheduler, as its own thread sees it: run queues, coroutines, timers and what it polls.
//!
//! - SC-1 a [`Local`] is reached through a thread-local pointer that is set for as long as its
//!   hub runs, so a reference from [`Local::current`] is good for the rest of the call.
//! - SC-2 no borrow of a `RefCell` here is held across a switch of coroutines or a call of user
//!   code.
#![allow(
    unsafe_code,
    reason = "the thread-local pointer to the running scheduler"
)]

use super::coroutine::Co;
pub(crate) use super::frame::Frame;
use super::hops::Hops;
use super::shared::{IsOpen, Shared};
use super::sources::{Source, Sources};
use super::timers::Timers;
use super::watch::Watch;
use crate::actor::address::Burial;
use crate::actor::core::ActorCore;
use crate::actor::lanes::Lanes;
use crate::error::{Error, Result};
use crate::node::Node;
use crate::task::failure::discard;
use crate::worker::links::Links;
use crate::worker::pool::Stays;
use maser_shm::store::Arena;
use maser_shm::sync::deque::Worker;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{NonNull, null};
use std::rc::Rc;
use std::sync::Arc;

/// Waits between two looks at the clock.
const WAITS_PER_CLOCK: u32 = 32;

/// An actor without handles that is not at rest yet.
struct Doomed {
    core: NonNull<ActorCore>,
    /// Where the lanes were that may still have calls which were sent before.
    marks: Vec<(Rc<dyn Source>, u64)>,
}

/// See the module's page.
pub(crate) struct Local {
    pub(crate) node: Arc<Node>,
    pub(crate) shared: Arc<Shared>,
    /// Tasks that have not started, newest last; others may steal the oldest.
    pub(crate) tasks: Worker,
    ready: RefCell<VecDeque<NonNull<Co>>>,
    /// Actors with calls that can start.
    actors: RefCell<VecDeque<NonNull<ActorCore>>>,
    pub(crate) sources: Sources,
    pub(crate) watches: RefCell<Vec<Watch>>,
    pub(crate) timers: Timers,
    current: Cell<NonNull<Co>>,
    idle_loops: RefCell<Vec<NonNull<Co>>>,
    pub(crate) coroutines: RefCell<Vec<NonNull<Co>>>,
    /// The coroutine of the main function, which is not this scheduler's to free.
    root: Cell<Option<NonNull<Co>>>,
    pub(crate) frame: Cell<*const Frame>,
    /// A task may be run on the present stack while the stack pointer is above this.
    inline_floor: Cell<usize>,
    /// A task's whole stack and the guard page below it.
    inline_margin: usize,
    pub(crate) blocked: Cell<usize>,
    /// Tasks and calls made here are queued: not in inline mode, not during shutdown.
    pub(crate) is_open: IsOpen,
    /// Whether tasks made here now leave the process.
    pub(crate) stays: Cell<Stays>,
    /// The root task unwinds from a panic and runs the other tasks to their ends meanwhile.
    pub(crate) root_panics: Cell<bool>,
    /// Set at shutdown: the loop ends once nothing is blocked.
    pub(crate) stopping: Cell<bool>,
    handovers: Cell<u64>,
    pub(crate) hops: Hops,
    waits: Cell<u32>,
    /// The lanes of calls to other schedulers, by index.
    pub(crate) lanes: Lanes,
    /// Links to other processes.
    pub(crate) links: Links,
    /// Actors that live here.
    pub(crate) residents: RefCell<HashSet<NonNull<ActorCore>>>,
    /// Actors without handles that are not at rest yet.
    doomed: RefCell<Vec<Doomed>>,
    /// Where arrays are made on this scheduler.
    pub(crate) arena: OnceCell<Arena>,
}

thread_local! {
    static CURRENT: Cell<*const Local> = const { Cell::new(null()) };
}

impl Local {
    pub(crate) fn new(node: Arc<Node>, shared: Arc<Shared>, tasks: Worker) -> Self {
        let is_open = IsOpen::new(shared.clone(), !node.runs_inline(), !node.isolates());
        let lanes = Lanes::new(node.schedulers_planned());
        let inline_margin = node.settings.stack_bytes + rustix::param::page_size();
        Self {
            node,
            shared,
            tasks,
            ready: RefCell::default(),
            actors: RefCell::default(),
            sources: Sources::default(),
            watches: RefCell::default(),
            timers: Timers::default(),
            current: Cell::new(NonNull::dangling()),
            idle_loops: RefCell::default(),
            coroutines: RefCell::default(),
            root: Cell::new(None),
            frame: Cell::new(null()),
            inline_floor: Cell::new(usize::MAX),
            inline_margin,
            blocked: Cell::new(0),
            is_open,
            stays: Cell::default(),
            root_panics: Cell::new(false),
            stopping: Cell::new(false),
            handovers: Cell::new(0),
            hops: Hops::default(),
            waits: Cell::new(0),
            lanes,
            links: Links::default(),
            residents: RefCell::default(),
            doomed: RefCell::default(),
            arena: OnceCell::new(),
        }
    }

    /// The scheduler that runs on this thread.
    #[inline(always)]
    pub(crate) fn current<'a>() -> Option<&'a Local> {
        let pointer = CURRENT.with(Cell::get);
        // SAFETY: SC-1; the lifetime ends with the caller, which runs on the scheduler.
        unsafe { pointer.as_ref() }
    }

    /// As [`current`](Self::current), where the program enters maser: the main thread leaves a
    /// node that others closed (RT-1).
    #[inline(always)]
    pub(crate) fn entered<'a>() -> Option<&'a Local> {
        match Self::current() {
            Some(local) if !local.is_open.get() => local.unless_left(),
            other => other,
        }
    }

    #[cold]
    fn unless_left(&self) -> Option<&Self> {
        (!crate::runtime::leave_closed(self)).then_some(self)
    }

    /// Whether the main function itself runs here, and no task.
    pub(crate) fn is_in_root(&self) -> bool {
        self.root.get() == Some(self.current.get()) && self.frame.get().is_null()
    }

    /// Makes `local` this thread's scheduler, or takes it away.
    pub(crate) fn set_current(local: *const Local) {
        CURRENT.with(|current| current.set(local));
    }

    /// The hub: runs coroutines from `first` on until one of them ends. One that unwinds is
    /// replaced (CR-1).
    pub(crate) fn run_hub(&self, first: NonNull<Co>) {
        let mut next = first;
        while let Err(payload) = catch_unwind(AssertUnwindSafe(|| self.run_until_end(next))) {
            next = super::thread::survive(self, payload);
        }
    }

    fn run_until_end(&self, first: NonNull<Co>) {
        let mut next = first;
        loop {
            self.enter(next);
            // SAFETY: CO-2, control blocks outlive the hub.
            match unsafe { next.as_ref() }.resume() {
                Some(other) => next = other,
                None => return,
            }
        }
    }

    /// Notes that the hub is about to resume `co`.
    pub(crate) fn enter(&self, co: NonNull<Co>) {
        // SAFETY: CO-2.
        let block = unsafe { co.as_ref() };
        self.current.set(co);
        let (base, limit) = (block.stack_base.get(), block.stack_limit.get());
        // Whatever runs on top has a whole task's stack.
        self.inline_floor
            .set((limit + self.inline_margin).min(base));
    }

    /// The running coroutine.
    #[inline(always)]
    pub(crate) fn current_co(&self) -> NonNull<Co> {
        self.current.get()
    }

    /// Whether the present stack has room to run another task on top.
    #[inline(always)]
    pub(crate) fn may_run_inline(&self) -> bool {
        let here = 0_u8;
        (&raw const here).addr() > self.inline_floor.get()
    }

    pub(crate) fn push_ready(&self, co: NonNull<Co>) {
        self.ready.borrow_mut().push_back(co);
    }

    pub(crate) fn pop_ready(&self) -> Option<NonNull<Co>> {
        self.ready.borrow_mut().pop_front()
    }

    pub(crate) fn push_actor(&self, actor: NonNull<ActorCore>) {
        self.actors.borrow_mut().push_back(actor);
    }

    pub(crate) fn pop_actor(&self) -> Option<NonNull<ActorCore>> {
        self.actors.borrow_mut().pop_front()
    }

    /// Whether the running task unwinds from a panic. The flag of std is the thread's, not the
    /// task's: while the root task unwinds it is set for all others too.
    pub(crate) fn is_unwinding(&self) -> bool {
        std::thread::panicking() && !self.root_panics.get()
    }

    /// Whether this is the main thread.
    pub(crate) fn has_root(&self) -> bool {
        self.root.get().is_some()
    }

    /// Whether a panic here becomes an error: all do but those of the main function.
    pub(crate) fn reports_panics(&self) -> bool {
        !self.has_root() || !self.frame.get().is_null()
    }

    /// Whether the loop is to end now.
    pub(crate) fn must_stop(&self) -> bool {
        self.stopping.get() && self.blocked.get() == 0 && !self.has_work()
    }

    /// Forgets the segments of a graph.
    pub(crate) fn remove_graph(&self, graph: u64) {
        let gone = self.sources.remove_graph(graph);
        gone.iter().for_each(|source| source.was_removed(self));
        // SC-2: values in flight are user types, dropped with nothing borrowed.
        gone.into_iter().for_each(discard);
    }

    /// Whether the loop would find something to do now. Reads no clock.
    #[inline]
    pub(crate) fn has_work(&self) -> bool {
        self.sources.any_ready() || self.has_other_work()
    }

    /// As [`has_work`](Self::has_work), the sources aside.
    #[inline]
    pub(crate) fn has_other_work(&self) -> bool {
        self.shared.has_letters()
            || !self.ready.borrow().is_empty()
            || self.watches.borrow().iter().any(Watch::is_ready)
            || self.tasks.peek().is_some()
            || !self.actors.borrow().is_empty()
    }

    /// A wait begins: now and then it looks at the timers, so that a task whose waits are all
    /// short does not keep others from theirs.
    #[inline(always)]
    pub(crate) fn count_wait(&self) {
        let waits = self.waits.get().wrapping_add(1);
        self.waits.set(waits);
        if waits.is_multiple_of(WAITS_PER_CLOCK) {
            super::turn::fire_timers(self);
        }
    }

    /// Blocks the running task until its coroutine is woken; the loop goes on in another one.
    /// May return early: look at the condition again.
    pub(crate) fn block(&self) -> Result<()> {
        let me = self.current.get();
        // SAFETY: CO-2; `me` is the running coroutine.
        let block = unsafe { me.as_ref() };
        if block.take_token() {
            return Ok(());
        }
        // Hand over directly, but let the loop have its turn now and then: coroutines that wake
        // each other for ever must not keep it from letters, timers and sources.
        let handovers = self.handovers.get() + 1;
        self.handovers.set(handovers);
        let direct = if handovers.is_multiple_of(8) {
            None
        } else {
            self.pop_ready()
        };
        let next = match direct {
            Some(ready) => ready,
            None => self.idle_loop()?,
        };
        self.defer_lane_calls();
        self.blocked.set(self.blocked.get() + 1);
        block.set_parked(true);
        // What runs next is not on top of the task that blocks here.
        let frame = self.frame.replace(null());
        block.switch_to(next);
        self.frame.set(frame);
        block.take_token();
        self.blocked.set(self.blocked.get() - 1);
        Ok(())
    }

    /// Lets other tasks have their turn; the loop comes back to this one.
    pub(crate) fn yield_now(&self) -> Result<()> {
        let me = self.current.get();
        let next = self.idle_loop()?;
        self.defer_lane_calls();
        self.blocked.set(self.blocked.get() + 1);
        self.push_ready(me);
        let frame = self.frame.replace(null());
        // SAFETY: CO-2; `me` is the running coroutine.
        unsafe { me.as_ref() }.switch_to(next);
        self.frame.set(frame);
        self.blocked.set(self.blocked.get() - 1);
        Ok(())
    }

    /// Tasks that another process asked for, and that wait from now on, leave it room for others.
    #[cold]
    fn tasks_wait(&self) {
        let mut frame = self.frame.get();
        // SAFETY: frames live on the stack of the running coroutine.
        while let Some(one) = unsafe { frame.as_ref() } {
            self.links.serving.waits(one.header);
            frame = one.below;
        }
    }

    /// LN-1: what came over a lane and blocks is answered in another way.
    fn defer_lane_calls(&self) {
        if self.links.serving.has_tasks() {
            self.tasks_wait();
        }
        let mut frame = self.frame.get();
        // SAFETY: frames and tickets live on the stack of the running coroutine.
        while let Some(one) = unsafe { frame.as_ref() } {
            // SAFETY: as above.
            if let Some(ticket) = unsafe { one.ticket.as_ref() } {
                ticket.defer();
            }
            frame = one.below;
        }
    }

    /// Takes a block that is being freed out of the run queue.
    pub(crate) fn forget_actor(&self, actor: NonNull<ActorCore>) {
        self.actors.borrow_mut().retain(|other| *other != actor);
    }

    /// The last handle of `core` is gone: it is freed when every call that was sent before has
    /// been served (AC-4). Those that came by letter have been, for this came by letter too.
    pub(crate) fn doom(&self, core: NonNull<ActorCore>) {
        let marks = self.sources.ready_marks();
        self.doomed.borrow_mut().push(Doomed { core, marks });
    }

    /// Frees the actors without handles that are at rest.
    pub(crate) fn bury_doomed(&self) {
        if self.doomed.borrow().is_empty() {
            return;
        }
        let mut left = self.doomed.take();
        left.retain_mut(|doomed| {
            doomed
                .marks
                .retain(|(source, mark)| !source.has_passed(*mark));
            !(doomed.marks.is_empty() && ActorCore::bury(doomed.core, self))
        });
        self.doomed.borrow_mut().append(&mut left);
    }

    /// The scheduler ends: nothing of any actor runs any more. Calls that came over lanes and were
    /// not served may name the blocks, so they go with what remains.
    pub(crate) fn bury_all(&self) {
        for doomed in self.doomed.take() {
            self.residents.borrow_mut().remove(&doomed.core);
            // SAFETY: AC-4, it is freed below.
            unsafe { doomed.core.as_ref() }.close();
            self.node.remains.keep_block(Burial::new(doomed.core));
        }
    }

    /// A coroutine to run the loop in: a pooled one, or a new one within the limit.
    fn idle_loop(&self) -> Result<NonNull<Co>> {
        if let Some(co) = self.idle_loops.borrow_mut().pop() {
            return Ok(co);
        }
        // The first one runs the loop while others are blocked.
        let counted = !self.coroutines.borrow().is_empty();
        if counted {
            self.node.count_stack()?;
        }
        let pointer: *const Local = self;
        let made = Co::new(
            self.shared.clone(),
            // As much again for a task that runs on top of one that waits for it.
            2 * self.node.settings.stack_bytes,
            move || {
                // SAFETY: SC-1, the scheduler outlives its coroutines.
                super::turn::run_loop(unsafe { &*pointer });
            },
        );
        match made {
            Ok(co) => {
                self.coroutines.borrow_mut().push(co);
                Ok(co)
            }
            Err(error) => {
                if counted {
                    self.node.uncount_stack();
                }
                Err(Error::System {
                    what: "cannot map a coroutine's stack".into(),
                    reason: format!(
                        "{error}; lower max_blocked_tasks or stack_bytes, or raise vm.max_map_count"
                    ),
                })
            }
        }
    }

    /// Makes the coroutine that runs now one of this scheduler's.
    pub(crate) fn adopt(&self, co: NonNull<Co>) {
        // SAFETY: CO-2; the block was made by this thread and nobody else has it yet.
        unsafe { (*co.as_ptr()).settle(self.shared.clone()) };
        self.root.set(Some(co));
        self.enter(co);
    }

    /// Wakes everything that is blocked here, so that it looks at its condition again.
    pub(crate) fn wake_all(&self) {
        for co in self.coroutines.borrow().iter().chain(&self.root.get()) {
            // SAFETY: CO-2.
            unsafe { co.as_ref() }.wake_local(self);
        }
    }

    /// The first coroutine of a scheduler thread, which runs the loop.
    pub(crate) fn first_loop(&self) -> Result<NonNull<Co>> {
        self.idle_loop()
    }

    /// From the loop: goes on in `co`, and keeps the present coroutine as an idle loop.
    pub(crate) fn resume_blocked(&self, co: NonNull<Co>) {
        let me = self.current.get();
        if me == co {
            return;
        }
        self.idle_loops.borrow_mut().push(me);
        // SAFETY: CO-2; the loop runs in `me`.
        unsafe { me.as_ref() }.switch_to(co);
    }

    /// Name of the innermost running task.
    pub(crate) fn running(&self) -> &'static str {
        // SAFETY: frames live on the stack of the task they name, which runs.
        unsafe { self.frame.get().as_ref() }.map_or("main", |frame| frame.meta.name)
    }
}
