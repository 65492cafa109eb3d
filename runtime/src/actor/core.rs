//! The block of an actor.
//!
//! - AC-1 these may follow a pointer to the block: handles, the home scheduler while it has a
//!   running call, and calls that were sent but not served.
//! - AC-2 everything but the atomics and `death` is touched by the home scheduler alone.
//! - AC-3 a method with `&mut self` runs when nothing else of the actor runs, one with `&self`
//!   beside others of its kind. `running` is -1, 0 or their number.
//! - AC-4 when the last handle is gone the home scheduler serves what was sent before, then drops
//!   the state and frees the block. A call that is sent holds no handle of its own: it was made
//!   before its caller's handle was dropped, so it is visible when the last drop is.
//! - AC-5 the constructor is the first call. A handle may travel faster than it, so calls and steps
//!   that come before the state is there wait for it.
#![allow(
    unsafe_code,
    reason = "type-erased state and a block with a manual count"
)]

use crate::actor::address::{Burial, HeldCore};
use crate::actor::create::ActorOptions;
use crate::actor::handle::ActorType;
use crate::error::{Error, Fault};
use crate::executor::coroutine::Co;
use crate::executor::letter;
use crate::executor::local::Local;
use crate::node::Node;
use crate::resources::Grant;
use crate::task::meta::Meta;
use crate::task::raw::Header;
use crate::worker::remote::Remote;
use crate::worker::restart::Supervisor;
use maser_shm::arena::pool;
use maser_shm::sync::atomic::{AtomicUsize, Ordering};
use std::alloc::Layout;
use std::any::TypeId;
use std::cell::{Cell, RefCell, UnsafeCell};
use std::collections::VecDeque;
use std::ptr::{NonNull, null_mut};
use std::sync::{Arc, OnceLock};

/// How a call uses the state (AC-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// `&mut self`.
    Exclusive,
    /// `&self`; this many at once.
    Shared,
    /// `async fn(&self)`.
    Async,
    /// Makes it (AC-5).
    Construct,
}

/// Async methods under way at once, unless the class says otherwise.
const ASYNC_CONCURRENCY: i32 = 1000;

/// See the module's page.
pub(crate) struct ActorCore {
    pub(crate) node: Arc<Node>,
    pub(crate) home: usize,
    pub(crate) meta: &'static Meta,
    /// The type of the state.
    pub(crate) class: TypeId,
    pub(crate) id: u64,
    pub(crate) name: Option<String>,
    max_concurrency: i32,
    handles: AtomicUsize,
    pub(super) death: OnceLock<Error>,
    state: Cell<*mut ()>,
    drop_state: Cell<Option<unsafe fn(*mut ())>>,
    pub(super) running: Cell<i32>,
    pub(super) queue: RefCell<VecDeque<NonNull<Header>>>,
    /// Steps of graphs that wait for the end of a call.
    waiting_steps: RefCell<Vec<NonNull<Co>>>,
    steps_wait: Cell<bool>,
    pub(super) scheduled: Cell<bool>,
    /// The last handle is gone.
    doomed: Cell<bool>,
    grant: UnsafeCell<Option<Grant>>,
    /// Where it is, if it lives in another process: then there is no state here, and the gate does
    /// what its home would do (RA-1).
    pub(crate) remote: Option<Remote>,
}

impl ActorCore {
    const LAYOUT: Layout = Layout::new::<ActorCore>();

    /// A block of an actor of class `A`, with one handle and no state yet.
    pub(crate) fn new<A: ActorType>(
        node: Arc<Node>,
        home: usize,
        name: Option<String>,
        max_concurrency: u32,
        grant: Option<Grant>,
        remote: Option<Remote>,
    ) -> NonNull<ActorCore> {
        let class = (A::META, TypeId::of::<A>());
        Self::of_class(node, class, home, name, max_concurrency, grant, remote)
    }

    /// As [`new`](Self::new), of an actor whose class is known by its meta alone.
    pub(crate) fn of_class(
        node: Arc<Node>,
        (meta, class): (&'static Meta, TypeId),
        home: usize,
        name: Option<String>,
        max_concurrency: u32,
        grant: Option<Grant>,
        remote: Option<Remote>,
    ) -> NonNull<ActorCore> {
        let id = node.random.next_u64();
        let core = pool::alloc_layout(Self::LAYOUT).cast::<ActorCore>();
        // SAFETY: fresh memory of this layout.
        unsafe {
            core.write(ActorCore {
                node,
                home: remote.as_ref().map_or(home, Remote::home),
                meta,
                class,
                id,
                name,
                max_concurrency: i32::try_from(max_concurrency).unwrap_or(i32::MAX),
                handles: AtomicUsize::new(1),
                death: OnceLock::new(),
                state: Cell::new(null_mut()),
                drop_state: Cell::new(None),
                running: Cell::new(0),
                queue: RefCell::default(),
                waiting_steps: RefCell::default(),
                steps_wait: Cell::new(false),
                scheduled: Cell::new(false),
                doomed: Cell::new(false),
                grant: UnsafeCell::new(grant),
                remote,
            });
            if let Some(remote) = &core.as_ref().remote {
                remote.peer.has_proxy(core);
            }
        }
        core
    }

    /// Name in errors: `Class "name"` or `Class#id`.
    pub(crate) fn display_name(&self) -> String {
        let class = self.meta.actor.unwrap_or(self.meta.name);
        match &self.name {
            Some(name) => format!("{class} {name:?}"),
            None => format!("{class}#{:08x}", self.id >> 32),
        }
    }

    /// Why it is dead, if it is.
    #[inline(always)]
    pub(crate) fn death(&self) -> Option<Error> {
        self.death.get().cloned()
    }

    #[inline(always)]
    pub(crate) fn is_dead(&self) -> bool {
        self.death.get().is_some()
    }

    /// One more handle.
    pub(crate) fn retain(&self) {
        self.handles.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether somebody holds it. It never gets a handle again once it has none.
    pub(crate) fn has_handles(&self) -> bool {
        self.handles.load(Ordering::Relaxed) != 0
    }

    /// One more handle, unless the last one is gone.
    pub(crate) fn try_retain(&self) -> bool {
        let mut handles = self.handles.load(Ordering::Relaxed);
        while handles != 0 {
            match self.handles.compare_exchange_weak(
                handles,
                handles + 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => handles = now,
            }
        }
        false
    }

    /// Gives a handle back (AC-4).
    ///
    /// # Safety
    /// The caller owns a handle and uses it no more.
    pub(crate) unsafe fn release(core: NonNull<ActorCore>) {
        // SAFETY: AC-1, our handle.
        let this = unsafe { core.as_ref() };
        if this.handles.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        let node = this.node.clone();
        if let Some(name) = &this.name {
            node.names.is_let_go(name, core);
        }
        let burial = Burial::new(core);
        if node.is_closed() {
            // The schedulers are gone, and the state with them: only the block is left.
            drop(burial);
            return;
        }
        let doom = letter::closure(move |local| {
            let core = burial.take();
            // SAFETY: AC-4, the block is freed by `bury` alone, which only this can start.
            let this = unsafe { core.as_ref() };
            if this.remote.is_some() {
                crate::worker::remote::let_go(local, this);
                // SAFETY: AC-4: every call of it held a handle (RA-2).
                return unsafe { Self::free(core) };
            }
            this.doomed.set(true);
            local.doom(core);
        });
        // SAFETY: LT-1, a fresh letter.
        unsafe { node.door(this.home).post(doom) };
    }

    /// Frees a doomed block if it is at rest; the lanes to this scheduler are empty. True if done.
    pub(crate) fn bury(core: NonNull<ActorCore>, local: &Local) -> bool {
        // SAFETY: AC-4, not freed before.
        let this = unsafe { core.as_ref() };
        if this.running.get() != 0 || !this.queue.borrow().is_empty() {
            return false;
        }
        this.drop_state();
        if this.scheduled.get() {
            local.forget_actor(core);
        }
        local.residents.borrow_mut().remove(&core);
        // SAFETY: AC-4, nobody can reach the block any more.
        unsafe { Self::free(core) };
        crate::worker::member::an_actor_is_gone(local);
        true
    }

    /// # Safety
    /// Nobody can reach the block any more.
    pub(super) unsafe fn free(core: NonNull<ActorCore>) {
        // SAFETY: the caller's promise; allocated by `new`.
        unsafe {
            if let Some(remote) = &core.as_ref().remote {
                remote.now().0.forget(core);
            }
            if let Some(name) = &core.as_ref().name {
                core.as_ref().node.names.remove(name, core);
            }
            core.drop_in_place();
            pool::free_layout(core.cast(), Self::LAYOUT);
        }
    }

    fn drop_state(&self) {
        let state = self.state.replace(null_mut());
        if let Some(drop_state) = self.drop_state.take()
            && !state.is_null()
        {
            // UD-1: the state is gone either way.
            let class = || self.meta.actor.unwrap_or(self.meta.name);
            // SAFETY: the pair was set together by `install`, and is taken out once.
            crate::task::failure::discard_with(class, || unsafe { drop_state(state) });
        }
        // SAFETY: AC-2; the grant is touched here alone.
        unsafe { *self.grant.get() = None };
    }

    /// Gives the actor its state.
    pub(crate) fn install<A: 'static>(&self, state: A) {
        unsafe fn drop_box<A>(state: *mut ()) {
            // SAFETY: made by `Box::into_raw` of the same type below.
            drop(unsafe { Box::from_raw(state.cast::<A>()) });
        }
        self.state.set(Box::into_raw(Box::new(state)).cast());
        self.drop_state.set(Some(drop_box::<A>));
    }

    /// The state; null before construction and after death.
    #[inline(always)]
    pub(crate) fn state<A>(&self) -> *mut A {
        self.state.get().cast()
    }

    /// Whether a call with `access` could run now (AC-3).
    #[inline(always)]
    pub(crate) fn admits(&self, access: Access) -> bool {
        let running = self.running.get();
        if self.state.get().is_null() {
            return access == Access::Construct && running == 0;
        }
        match access {
            Access::Exclusive | Access::Construct => running == 0,
            Access::Shared | Access::Async => running >= 0 && running < self.limit(access),
        }
    }

    /// How many calls may run at once for one with `access` to be among them.
    #[inline(always)]
    fn limit(&self, access: Access) -> i32 {
        match access {
            Access::Async if self.max_concurrency == 0 => ASYNC_CONCURRENCY,
            Access::Shared | Access::Async => self.max_concurrency.max(1),
            Access::Exclusive | Access::Construct => 1,
        }
    }

    /// As [`limit`](Self::limit), for whoever counts.
    pub(crate) fn places(&self, access: Access) -> usize {
        self.limit(access).unsigned_abs() as usize
    }

    /// Whether a call with `access` that arrives now may run before anything else.
    #[inline(always)]
    pub(crate) fn is_free_for(&self, access: Access) -> bool {
        self.admits(access)
            && self.queue.borrow().is_empty()
            && !self.steps_wait.get()
            && !self.is_dead()
    }

    /// Whether a step of a graph may use the state now.
    #[inline(always)]
    pub(crate) fn can_step(&self) -> bool {
        self.running.get() == 0 && !self.state.get().is_null() && !self.is_dead()
    }

    /// A call begins; `admits` said yes.
    #[inline(always)]
    pub(crate) fn begin(&self, access: Access) {
        match access {
            Access::Exclusive | Access::Construct => self.running.set(-1),
            Access::Shared | Access::Async => self.running.set(self.running.get() + 1),
        }
    }

    /// A call is over: lets the next one in.
    #[inline(always)]
    pub(crate) fn end(core: NonNull<ActorCore>, access: Access, local: &Local) {
        // SAFETY: AC-1, a block with a running call is not freed.
        let this = unsafe { core.as_ref() };
        match access {
            Access::Exclusive | Access::Construct => this.running.set(0),
            Access::Shared | Access::Async => this.running.set(this.running.get() - 1),
        }
        if this.steps_wait.get() {
            this.wake_steps(local);
        }
        if !this.queue.borrow().is_empty() {
            Self::schedule(core, local);
        }
        if this.is_dead() {
            this.settle_dead();
        }
    }

    /// The running coroutine has a step that waits for a call to be over: it goes before calls that
    /// are not under way yet. Wake-ups may be spurious, and have to be asked for each time.
    #[cold]
    pub(crate) fn wait_for_end(&self, local: &Local) -> crate::error::Result<()> {
        let me = local.current_co();
        self.waiting_steps.borrow_mut().push(me);
        self.steps_wait.set(true);
        let outcome = local.block();
        let mut waiting = self.waiting_steps.borrow_mut();
        waiting.retain(|other| *other != me);
        self.steps_wait.set(!waiting.is_empty());
        outcome
    }

    #[cold]
    fn wake_steps(&self, local: &Local) {
        for co in self.waiting_steps.borrow().iter() {
            // SAFETY: CO-2, it waits.
            unsafe { co.as_ref() }.wake_local(local);
        }
    }

    /// Ends the actor; the first reason counts. Any thread.
    pub(crate) fn die(core: NonNull<ActorCore>, error: Error) {
        // SAFETY: AC-1, the caller has a handle or runs on it.
        let this = unsafe { core.as_ref() };
        if this.death.set(error).is_err() {
            return;
        }
        if let Some(name) = &this.name {
            this.node.names.remove(name, core);
        }
        if this.node.is_closed() {
            return;
        }
        // The block must outlive the letter. Without a handle it is on its way to its end, and
        // only a constructor that runs can get here: its end settles the rest.
        if !this.try_retain() {
            return;
        }
        // SAFETY: the handle just taken; given back also where the letter cannot be delivered.
        let held = unsafe { HeldCore::new(core) };
        let settle = letter::closure(move |local| {
            held.core().settle_dead();
            local.wake_all();
        });
        // SAFETY: LT-1, a fresh letter.
        unsafe { this.node.door(this.home).post(settle) };
        this.node.wake_graphs();
    }

    /// Fails what is queued and drops the state once nothing runs (AC-2).
    pub(super) fn settle_dead(&self) {
        let Some(error) = self.death.get() else {
            return;
        };
        let queued = std::mem::take(&mut *self.queue.borrow_mut());
        for cell in queued {
            // SAFETY: TC-1, taken from the queue.
            unsafe { (cell.as_ref().vtable().fail)(cell, Fault::new(error.clone())) };
        }
        if self.running.get() == 0 {
            self.drop_state();
        }
        if let Some(supervisor) = self.supervisor() {
            supervisor.ends(self, &Fault::new(error.clone()));
        }
    }

    /// What is kept of it, if it lives in another process and may come back.
    pub(crate) fn supervisor(&self) -> Option<&Supervisor> {
        self.remote.as_ref()?.supervisor.as_deref()
    }

    /// Whether it has this number in its process.
    pub(crate) fn is_number(&self, number: u32) -> bool {
        let remote = self.remote.as_ref();
        remote.is_some_and(|remote| remote.now().1 == number)
    }

    /// Ends its process as a crash would, so that it is made again; without another process, or
    /// when it may not come back any more, it ends like by [`kill`](Self::kill).
    pub(crate) fn restart(core: NonNull<ActorCore>) {
        // SAFETY: AC-1, the caller has a handle.
        let this = unsafe { core.as_ref() };
        match (this.supervisor(), &this.remote) {
            (Some(supervisor), Some(remote)) if supervisor.would_return() => {
                remote.end(&this.node, true);
            }
            (None, Some(remote)) if remote.is_of_others() => remote.end(&this.node, true),
            _ => Self::kill(core),
        }
    }

    /// Ends it because the program says so. Any thread.
    pub(crate) fn kill(core: NonNull<ActorCore>) {
        // SAFETY: AC-1, the caller has a handle.
        let this = unsafe { core.as_ref() };
        let actor = this.display_name();
        let reason = "it was ended by maser::kill".into();
        Self::die(core, Error::ActorDied { actor, reason });
        if let Some(remote) = &this.remote {
            remote.end(&this.node, false);
        }
    }

    /// Appends what another process has to know of it to make it there.
    pub(crate) fn encode_options(&self, bytes: &mut Vec<u8>) {
        ActorOptions::encode(self.name.as_deref(), self.max_concurrency, bytes);
    }

    /// The shutdown of the node: as a death, on the home scheduler.
    pub(crate) fn close(&self) {
        drop(self.death.set(Error::ShutDown {
            what: self.display_name(),
        }));
        self.settle_dead();
    }
}
