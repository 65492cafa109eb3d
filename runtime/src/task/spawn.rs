//! Making a task: the cell, its arguments, and the queue it goes to.
#![allow(
    unsafe_code,
    reason = "writes fresh cells and queues them as untyped words"
)]

use super::args::Params;
use super::failure::{Failure, drop_unstarted, panicked};
use super::meta::Function;
use super::options::TaskOptions;
use super::portable;
use super::raw::{self, ActorWord, Extra, Header, VTable};
use super::retry::{self, Plan};
use crate::actor::core::Access;
use crate::error::{Error, Fault, Outcome};
use crate::executor::letter::{Letter, LetterKind};
use crate::executor::local::{Frame, Local};
use crate::executor::wait::wait_done;
use crate::node::Node;
use crate::object::reference::Ref;
use crate::resources::{Admission, Demand, Grant};
use crate::worker::pool::Stays;
use crate::worker::stream::{Producer, Sink};
use crate::worker::values;
use maser_shm::arena::pool::SizeClass;
use std::cell::Cell;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{NonNull, null};
use std::sync::Arc;

/// The vtable of a task of function `M` with parameters `P`, value `T` and code `F`.
struct Job<M, P, T, F>(PhantomData<(M, P, T, F)>);

impl<M, P, T, F> Job<M, P, T, F>
where
    M: Function,
    P: Params,
    T: Send + Sync + 'static,
    F: FnOnce(P) -> Result<T, Failure> + Send + 'static,
{
    const VTABLE: VTable = Self::vtable(
        Self::run,
        match M::META.codec {
            Some(_) => Some(&Self::PORTABLE),
            None => None,
        },
    );
    const PORTABLE: VTable = Self::vtable(Self::run_portable, None);
    /// With `retry_errors`.
    const RETRYING: VTable = Self::vtable(Self::run_retrying, None);

    const fn vtable(
        run: unsafe fn(NonNull<Header>, &Local),
        portable: Option<&'static VTable>,
    ) -> VTable {
        VTable {
            kind: LetterKind {
                deliver,
                undeliverable: Header::undeliverable,
            },
            run,
            fail: Self::fail,
            drop_outcome: raw::drop_outcome::<T>,
            progress: raw::no_progress,
            accept: raw::no_accept,
            refuse: raw::no_refuse,
            keep: raw::no_keep,
            travel: values::of::<M, P, F, T>(),
            access: Access::Exclusive,
            layout: raw::layout::<(P, F), T>(),
            class: SizeClass::of(raw::layout::<(P, F), T>()),
            meta: M::META,
            portable,
        }
    }

    unsafe fn run(cell: NonNull<Header>, local: &Local) {
        // SAFETY: the caller's promise.
        unsafe { Self::run_as(cell, local, |params, function| function(params)) }
    }

    /// PB-4.
    unsafe fn run_portable(cell: NonNull<Header>, local: &Local) {
        // SAFETY: the caller's promise.
        unsafe {
            Self::run_as(cell, local, |params, function| {
                portable::call::<M, P, T>(params, function)
            })
        }
    }

    /// TA-1.
    unsafe fn run_retrying(cell: NonNull<Header>, local: &Local) {
        // SAFETY: the caller's promise; it runs, so its extra stays until it has ended.
        unsafe {
            let plan = Plan::of(cell);
            Self::run_as(cell, local, |params, function| {
                retry::run::<M, P, T>(local, plan, params, function)
            });
        }
    }

    #[inline(always)]
    unsafe fn run_as(
        cell: NonNull<Header>,
        local: &Local,
        run: impl FnOnce(P, F) -> Result<T, Failure>,
    ) {
        // SAFETY: TC-1, the caller has the right to start; TC-3.
        let (params, function) = unsafe { Header::args::<(P, F)>(cell).read() };
        // SAFETY: the cell is not DONE, hence alive (CP-2).
        let cancelled = unsafe { cell.as_ref() }.completion.is_cancel_requested();
        let outcome = if cancelled {
            let why = Fault::new(Error::Cancelled {
                what: M::META.name.into(),
            });
            drop_unstarted((params, function), &why);
            Err(why)
        } else {
            let frame = Frame {
                header: cell.as_ptr(),
                meta: M::META,
                actor: null(),
                ticket: null(),
                access: Access::Exclusive,
                below: local.frame.get(),
                mark: Cell::default(),
            };
            run_guarded(local, &frame, || run(params, function))
        };
        // SAFETY: TC-1, TC-3.
        unsafe { Header::finish::<T>(cell, outcome) };
    }

    unsafe fn fail(cell: NonNull<Header>, fault: Fault) {
        // SAFETY: TC-1, TC-3.
        unsafe {
            drop_unstarted(Header::args::<(P, F)>(cell).read(), &fault);
            Header::finish::<T>(cell, Err(fault));
        }
    }
}

/// Values above this size keep the user's function out of the code around it: LLVM needs minutes to
/// follow a large value through moves to ever other offsets of one stack frame.
const LARGE_BYTES: usize = 256;

#[inline(never)]
fn apart<R>(run: impl FnOnce() -> R) -> R {
    run()
}

/// Runs user code as the task that `frame` describes.
#[inline(always)]
pub(crate) fn run_guarded<T>(
    local: &Local,
    frame: &Frame,
    run: impl FnOnce() -> Result<T, Failure>,
) -> Outcome<T> {
    local.frame.set(frame);
    let result = catch_unwind(AssertUnwindSafe(|| {
        if const { size_of::<T>() > LARGE_BYTES } || size_of_val(&run) > LARGE_BYTES {
            apart(run)
        } else {
            run()
        }
    }));
    local.frame.set(frame.below);
    match result {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(failure)) => Err(failed(local, frame, failure)),
        Err(payload) => Err(unwound(local, frame, payload)),
    }
}

#[cold]
fn failed(local: &Local, frame: &Frame, failure: Failure) -> Fault {
    let (fault, began_here) = failure.into_fault(function_name(frame), actor_name(frame));
    if began_here {
        local.node.errors.record(&fault.0);
    }
    fault
}

#[cold]
fn unwound(local: &Local, frame: &Frame, payload: Box<dyn std::any::Any + Send>) -> Fault {
    let fault = panicked(payload, function_name(frame), actor_name(frame));
    local.node.errors.record(&fault.0);
    fault
}

/// The name given by `options().name(..)`, else the function's.
fn function_name(frame: &Frame) -> &str {
    // SAFETY: the frame's task runs: its cell is alive, its extra untouched until it ends.
    let extra = unsafe {
        frame
            .header
            .as_ref()
            .and_then(|header| header.extra.as_ref())
    };
    extra
        .and_then(|extra| extra.name.as_deref())
        .unwrap_or(frame.meta.name)
}

fn actor_name(frame: &Frame) -> Option<String> {
    // SAFETY: an actor's block outlives the calls that run on it.
    unsafe { frame.actor.as_ref() }.map(|actor| actor.display_name())
}

/// A task came through a mailbox: queue it here.
unsafe fn deliver(letter: NonNull<Letter>, local: &Local) {
    local.tasks.push(letter.cast());
}

/// Starts a task of default demands.
#[inline(always)]
pub fn spawn<M, P, T, F>(params: P, run: F) -> Ref<T>
where
    M: Function,
    P: Params,
    T: Send + Sync + 'static,
    F: FnOnce(P) -> Result<T, Failure> + Send + 'static,
{
    if const { !M::META.defaults.is_default_task() } {
        return spawn_with::<M, P, T, F>(TaskOptions::of(M::META), params, run);
    }
    let cell = new_cell::<M, P, T, F>(params, run);
    if P::MAY_WAIT {
        // SAFETY: a fresh cell of exactly these types that is in no queue.
        unsafe { start_when_ready::<P, F>(cell) };
    } else {
        start_fresh(cell);
    }
    // SAFETY: TC-3; the cell's one handle goes to the ref.
    unsafe { Ref::from_cell(cell) }
}

#[inline(always)]
fn new_cell<M, P, T, F>(params: P, run: F) -> NonNull<Header>
where
    M: Function,
    P: Params,
    T: Send + Sync + 'static,
    F: FnOnce(P) -> Result<T, Failure> + Send + 'static,
{
    let vtable = &Job::<M, P, T, F>::VTABLE;
    let cell = Header::alloc(vtable.layout);
    // SAFETY: fresh memory of the vtable's layout.
    unsafe {
        cell.write(Header::pending(vtable, 1, ActorWord::none()));
        Header::args::<(P, F)>(cell).write((params, run));
    }
    cell
}

/// Queues a cell that was just made and whose arguments are there.
#[inline(always)]
fn start_fresh(cell: NonNull<Header>) {
    match Local::current() {
        Some(local) if local.is_open.queues_tasks() => {
            local.tasks.push(cell.cast());
            local.node.work_was_pushed();
        }
        _ => start_fresh_slow(cell),
    }
}

#[cold]
fn start_fresh_slow(cell: NonNull<Header>) {
    if portable::runs_inline() {
        // SAFETY: a fresh cell, still the caller's alone.
        unsafe { Header::make_portable(cell) };
    }
    start(cell);
}

/// Queues a cell whose arguments are there.
pub(crate) fn start(cell: NonNull<Header>) {
    match Local::current() {
        Some(local) if local.is_open.queues_tasks() => {
            local.tasks.push(cell.cast());
            local.node.work_was_pushed();
        }
        _ => start_slow(cell),
    }
}

#[cold]
fn start_slow(cell: NonNull<Header>) {
    match Node::entered("starting a task") {
        Ok(node) => node.start_task(cell),
        // SAFETY: a fresh cell that is in no queue.
        Err(error) => unsafe { Header::fail(cell, error) },
    }
}

/// # Safety
/// A fresh cell with arguments `(P, F)`, in no queue.
unsafe fn start_when_ready<P: Params, F>(cell: NonNull<Header>) {
    // SAFETY: the arguments are there, and nobody else can reach them (TC-1). The reference is
    // used up before the cell may start.
    let waits = unsafe { super::dependencies::of::<P>(&(*Header::args::<(P, F)>(cell)).0) };
    if waits.is_empty() {
        return start_fresh(cell);
    }
    let inline = portable::runs_inline();
    if inline {
        // SAFETY: a fresh cell, still the caller's alone.
        unsafe { Header::make_portable(cell) };
    }
    super::dependencies::when_ready(waits, cell, Box::new(start));
    if inline {
        done_at_the_call(cell);
    }
}

/// Inline mode: the task is done before `remote` returns. A failure of the wait shows at `get`.
#[cold]
fn done_at_the_call(cell: NonNull<Header>) {
    drop(wait_done(cell, None));
}

/// Starts a task with demands of its own.
pub fn spawn_with<M, P, T, F>(options: TaskOptions, params: P, run: F) -> Ref<T>
where
    M: Function,
    P: Params,
    T: Send + Sync + 'static,
    F: FnOnce(P) -> Result<T, Failure> + Send + 'static,
{
    spawn_extra::<M, P, T, F>(options, params, run, None)
}

/// Starts a task that another process runs, whose items go into `sink`.
pub(crate) fn spawn_elsewhere<M, P, T, F>(
    options: TaskOptions,
    params: P,
    run: F,
    sink: Box<dyn Sink>,
    way: Arc<Producer>,
) -> Ref<T>
where
    M: Function,
    P: Params,
    T: Send + Sync + 'static,
    F: FnOnce(P) -> Result<T, Failure> + Send + 'static,
{
    spawn_extra::<M, P, T, F>(options, params, run, Some((sink, way)))
}

fn spawn_extra<M, P, T, F>(
    options: TaskOptions,
    params: P,
    run: F,
    stream: Option<(Box<dyn Sink>, Arc<Producer>)>,
) -> Ref<T>
where
    M: Function,
    P: Params,
    T: Send + Sync + 'static,
    F: FnOnce(P) -> Result<T, Failure> + Send + 'static,
{
    let mut cell = new_cell::<M, P, T, F>(params, run);
    // SAFETY: TC-3; the cell's one handle goes to the ref.
    let result = unsafe { Ref::from_cell(cell) };
    let mut asks = None;
    let prepared = Node::entered("starting a task").and_then(|node| {
        if stays_here() {
            // What it asks for was granted where it was made.
            return Ok((node, Demand::default(), None));
        }
        let wanted = options.retry_errors.as_ref();
        let errors = retry::here(&node, wanted, M::META, options.is_stream)?;
        if node.asks_driver() && M::META.entry.is_some() {
            // Who runs it counts it.
            asks = (!options.are_default()).then(|| Box::new(options.clone()));
            return Ok((node, Demand::default(), None));
        }
        let demand = options.demand(M::META)?;
        node.resources.check_feasible(&demand, M::META.name)?;
        options.check_scheduler(&node)?;
        Ok((node, demand, errors))
    });
    match prepared {
        Ok((node, demand, errors)) => {
            let inline = node.runs_inline();
            if errors.is_some() {
                // SAFETY: a fresh cell, still ours alone; the same types.
                unsafe { Header::set_vtable(cell, &Job::<M, P, T, F>::RETRYING) };
            } else if inline {
                // SAFETY: a fresh cell, still ours alone.
                unsafe { Header::make_portable(cell) };
            }
            let grant = (!demand.is_empty()).then(|| Grant::pending(demand, node));
            // SAFETY: the fresh cell is in no queue, so nobody else looks at `extra`.
            unsafe {
                cell.as_mut().extra = Box::into_raw(Box::new(Extra {
                    grant,
                    name: options.name,
                    scheduler: options.scheduler,
                    stream,
                    max_retries: options.max_retries,
                    max_calls: options.max_calls,
                    retry_errors: errors.or(options.retry_errors),
                    asks,
                }));
                let waits = super::dependencies::of::<P>(&(*Header::args::<(P, F)>(cell)).0);
                super::dependencies::when_ready(waits, cell, Box::new(start_admitted));
            }
            if inline {
                done_at_the_call(cell);
            }
        }
        // SAFETY: as above.
        Err(error) => unsafe { Header::fail(cell, error) },
    }
    result
}

/// Whether this process was asked to run what is made on this thread now.
pub(crate) fn stays_here() -> bool {
    Local::current().is_some_and(|local| local.stays.get() == Stays::Here)
}

/// Starts a cell with demands as soon as they are met.
fn start_admitted(cell: NonNull<Header>) {
    // SAFETY: the cell is in no queue: its extra is ours (set by `spawn_with`).
    let Some(extra) = (unsafe { cell.as_ref().extra.as_mut() }) else {
        return start(cell);
    };
    let Some(grant) = &mut extra.grant else {
        return start_placed(cell, extra.scheduler);
    };
    let node = grant.node().clone();
    match node.resources.admit(grant.demand(), cell) {
        // A queued cell may have been started by now: it is not looked at any more.
        Admission::Queued => {}
        Admission::Granted => {
            grant.mark_held();
            start_placed(cell, extra.scheduler);
        }
    }
}

fn start_placed(cell: NonNull<Header>, scheduler: Option<usize>) {
    match (scheduler, Node::current("starting a task")) {
        (Some(index), Ok(node)) if !node.leaves(cell) => node.start_task_on(cell, index),
        _ => start(cell),
    }
}
