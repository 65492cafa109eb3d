//! Making a call of an actor's method.
//!
//! A call takes one of four ways, all in the order in which its caller made them: into the queue
//! of an actor of the same scheduler, over the lane to another scheduler, by letter from a foreign
//! thread, or through `stalled` when an argument is not there yet.
#![allow(unsafe_code, reason = "type-erased cells, questions and actor states")]

pub use super::call_options::CallOptions;
use super::core::{Access, ActorCore};
use super::handle::Actor;
use super::lane::{ANSWER_WORDS, ARG_WORDS, Answer, Question, Ticket, fits, serve_cancelled};
pub use super::method::{ByAsync, ByAsyncMut, ByMut, ByRef, Construct, Method};
use super::stalled;
use crate::error::{Error, Fault, Outcome};
use crate::executor::letter::{Letter, LetterKind};
use crate::executor::local::{Frame, Local};
use crate::object::reference::Ref;
use crate::task::args::Params;
use crate::task::failure::{Failure, drop_unstarted};
use crate::task::meta::Function;
use crate::task::portable;
use crate::task::raw::{self, ActorWord, Header, VTable};
use crate::task::spawn::run_guarded;
use crate::worker::values;
use maser_shm::arena::pool::SizeClass;
use maser_shm::sync::atomic::Ordering;
use maser_shm::sync::completion::Completion;
use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::{NonNull, null};

/// A method of the function `M` with its values sent through bytes (PB-1).
struct Portable<M, F>(F, PhantomData<fn() -> M>);

impl<M: Function, A, P: Params, T: 'static, F: Method<A, P, T>> Method<A, P, T> for Portable<M, F> {
    const ACCESS: Access = F::ACCESS;
    const IS_CONSTRUCTOR: bool = F::IS_CONSTRUCTOR;
    unsafe fn invoke(
        self,
        state: *mut A,
        params: P,
        core: NonNull<ActorCore>,
    ) -> Result<T, Failure> {
        // SAFETY: the caller's promise.
        portable::call::<M, P, T>(params, |params| unsafe {
            self.0.invoke(state, params, core)
        })
    }
}

/// The vtable of a call.
pub(super) struct Call<M, A, P, T, F>(PhantomData<(M, A, P, T, F)>);

impl<M, A, P, T, F> Call<M, A, P, T, F>
where
    M: Function,
    A: 'static,
    P: Params,
    T: Send + Sync + 'static,
    F: Method<A, P, T>,
{
    pub(super) const VTABLE: VTable = Self::vtable(
        Self::run,
        match M::META.codec {
            Some(_) => Some(&Self::PORTABLE),
            None => None,
        },
    );
    const PORTABLE: VTable = Self::vtable(Self::run_portable, None);
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
            progress,
            accept: Self::accept,
            refuse: Self::refuse,
            keep: Self::keep,
            travel: values::of::<M, P, F, T>(),
            access: F::ACCESS,
            layout: raw::layout::<(P, F), T>(),
            class: SizeClass::of(raw::layout::<(P, F), T>()),
            meta: M::META,
            portable,
        }
    }
    const ARGS_ON_LINE: bool = fits::<(P, F)>(ARG_WORDS);
    const OUTCOME_ON_LINE: bool = fits::<Outcome<T>>(ANSWER_WORDS);

    /// Runs the method; the caller has claimed the actor's turn.
    #[inline(always)]
    fn invoke(
        cell: NonNull<Header>,
        core: NonNull<ActorCore>,
        (params, method): (P, F),
        local: &Local,
        ticket: *const Ticket<'_>,
    ) -> Outcome<T> {
        // SAFETY: AC-1, a call that runs.
        let actor = unsafe { core.as_ref() };
        actor.begin(F::ACCESS);
        let frame = Frame {
            header: cell.as_ptr(),
            meta: M::META,
            actor: core.as_ptr(),
            ticket: ticket.cast(),
            access: F::ACCESS,
            below: local.frame.get(),
            mark: Cell::default(),
        };
        let state = actor.state::<A>();
        // SAFETY: AC-3, `begin`; the handle's type is the state's type.
        let outcome = run_guarded(local, &frame, || unsafe {
            method.invoke(state, params, core)
        });
        if F::IS_CONSTRUCTOR {
            Self::constructed(core, &outcome, local);
        }
        outcome
    }

    /// An actor without a state is dead.
    #[cold]
    fn constructed(core: NonNull<ActorCore>, outcome: &Outcome<T>, local: &Local) {
        local.residents.borrow_mut().insert(core);
        // SAFETY: AC-1, a call that runs.
        let actor = unsafe { core.as_ref() };
        if actor.node.is_closing() {
            // Perhaps the residents were closed before it was one.
            actor.close();
        }
        if let Err(fault) = outcome {
            // SAFETY: AC-1, a call that runs.
            let actor = unsafe { core.as_ref() }.display_name();
            let reason = format!("its constructor failed: {}", fault.0);
            ActorCore::die(core, Error::ActorDied { actor, reason });
        }
    }

    /// Arguments in the cell.
    unsafe fn run(cell: NonNull<Header>, local: &Local) {
        // SAFETY: the caller's promise.
        unsafe { Self::run_as(cell, local, |method| method) }
    }

    /// PB-4.
    unsafe fn run_portable(cell: NonNull<Header>, local: &Local) {
        // SAFETY: the caller's promise.
        unsafe { Self::run_as(cell, local, |method| Portable::<M, F>(method, PhantomData)) }
    }

    #[inline(always)]
    unsafe fn run_as<G: Method<A, P, T>>(
        cell: NonNull<Header>,
        local: &Local,
        method: impl FnOnce(F) -> G,
    ) {
        // SAFETY: TC-1, TC-3; only actor calls have this vtable, so `actor` is set.
        let (job, core, cancelled) = unsafe {
            let header = cell.as_ref();
            (
                Header::args::<(P, F)>(cell).read(),
                NonNull::new_unchecked(header.actor.core()),
                header.completion.is_cancel_requested(),
            )
        };
        if cancelled {
            let why = Fault::new(Error::Cancelled {
                what: M::META.name.into(),
            });
            drop_unstarted(job, &why);
            // SAFETY: TC-1, TC-3.
            unsafe { Header::finish::<T>(cell, Err(why)) };
            return;
        }
        let job = (job.0, method(job.1));
        let outcome = Call::<M, A, P, T, G>::invoke(cell, core, job, local, null());
        ActorCore::end(core, F::ACCESS, local);
        // SAFETY: TC-1, TC-3.
        unsafe { Header::finish::<T>(cell, outcome) };
    }

    /// An actor whose constructor never runs is dead.
    fn never_made(core: NonNull<ActorCore>, why: &Fault) {
        if F::IS_CONSTRUCTOR {
            ActorCore::die(core, why.to_error());
        }
    }

    unsafe fn fail(cell: NonNull<Header>, fault: Fault) {
        // SAFETY: TC-1, TC-3; AC-1, a call that was sent.
        unsafe {
            let core = NonNull::new_unchecked(cell.as_ref().actor.core());
            Self::never_made(core, &fault);
            drop_unstarted(Header::args::<(P, F)>(cell).read(), &fault);
            Header::finish::<T>(cell, Err(fault));
        }
    }

    /// Serves a question of a lane.
    unsafe fn serve(question: Question, ticket: &Ticket<'_>, local: &Local) {
        let (cell, core) = (question.cell, question.actor);
        // SAFETY: AC-1, a call that was sent.
        let actor = unsafe { core.as_ref() };
        if local.shared.cancelled_calls.load(Ordering::Relaxed) != 0
            // SAFETY: a call that was sent is not DONE, hence alive.
            && unsafe { cell.as_ref() }.completion.is_cancel_requested()
        {
            // SAFETY: TC-1, not served yet (CL-3).
            return unsafe { serve_cancelled(question, ticket, local) };
        }
        if !actor.is_free_for(F::ACCESS) {
            // SAFETY: TC-1, TC-3; fresh memory for the arguments in the cell.
            unsafe {
                if Self::ARGS_ON_LINE {
                    let job = question.args.as_ptr().cast::<(P, F)>().read();
                    Header::args::<(P, F)>(cell).write(job);
                }
            }
            ticket.defer();
            ActorCore::arrive(core, cell, local);
            return;
        }
        // SAFETY: TC-1, TC-3; written by `question_of`.
        let job = unsafe {
            if Self::ARGS_ON_LINE {
                question.args.as_ptr().cast::<(P, F)>().read()
            } else {
                Header::args::<(P, F)>(cell).read()
            }
        };
        let outcome = Self::invoke(cell, core, job, local, ticket);
        ActorCore::end(core, F::ACCESS, local);
        if Self::OUTCOME_ON_LINE && ticket.is_open() {
            let mut words = [MaybeUninit::<u64>::uninit(); ANSWER_WORDS];
            // SAFETY: it fits, by size and alignment.
            unsafe { words.as_mut_ptr().cast::<Outcome<T>>().write(outcome) };
            ticket.answer(Answer(words));
        } else {
            // Before the slot is free, so that the caller finds the cell done.
            // SAFETY: TC-1, TC-3.
            unsafe { Header::finish::<T>(cell, outcome) };
            ticket.defer();
        }
    }

    /// The answer of a lane arrived at the caller's scheduler.
    unsafe fn accept(cell: NonNull<Header>, answer: Answer) {
        // SAFETY: TC-3; `serve` wrote an `Outcome<T>` there.
        unsafe { Header::finish::<T>(cell, answer.0.as_ptr().cast::<Outcome<T>>().read()) };
    }

    /// The arguments of a question that goes to another process than its line does.
    unsafe fn keep(question: Question) {
        if Self::ARGS_ON_LINE && !question.is_in_cell() {
            // SAFETY: TC-1, TC-3; fresh memory for the arguments in the cell.
            unsafe {
                let job = question.args.as_ptr().cast::<(P, F)>().read();
                Header::args::<(P, F)>(question.cell).write(job);
            }
        }
    }

    unsafe fn refuse(question: Question, fault: Fault) {
        // SAFETY: TC-1, TC-3; as in `serve`.
        unsafe {
            if Self::ARGS_ON_LINE && !question.is_in_cell() {
                Self::never_made(question.core(), &fault);
                drop_unstarted(question.args.as_ptr().cast::<(P, F)>().read(), &fault);
                Header::finish::<T>(question.cell, Err(fault));
            } else {
                Self::fail(question.cell, fault);
            }
        }
    }
}

/// A call came by letter.
unsafe fn deliver(letter: NonNull<Letter>, local: &Local) {
    let cell = letter.cast::<Header>();
    // SAFETY: TC-1; only actor calls have this kind, so `actor` is set.
    let core = unsafe { NonNull::new_unchecked(cell.as_ref().actor.core()) };
    // SAFETY: AC-1, a call that was sent.
    if unsafe { core.as_ref() }.remote.is_some() {
        return crate::worker::remote::send(local, core, cell);
    }
    ActorCore::arrive(core, cell, local);
}

/// A waiter runs the call itself if the actor is at home here and the call is next; else it looks
/// for the answer on the lane.
unsafe fn progress(cell: NonNull<Header>, local: Option<&Local>, may_run: bool) {
    let Some(local) = local else { return };
    // SAFETY: the waiter holds a handle.
    let actor = &unsafe { cell.as_ref() }.actor;
    if actor.home() != local.shared.index {
        local.lanes.harvest(local, actor.home());
    } else if may_run {
        // SAFETY: AC-1: the call is pending and could only end on this very thread, so its actor
        // is there; TC-1, taken from the queue.
        unsafe {
            let core = &*actor.core();
            if !core.is_dead() && core.claim_first(cell) {
                Header::run(cell, local);
            }
        }
    }
}

/// Calls a method.
#[inline(always)]
pub fn call<M, A, P, T, F>(actor: &Actor<A>, params: P, method: F) -> Ref<T>
where
    M: Function,
    A: 'static + super::handle::ActorType,
    P: Params,
    T: Send + Sync + 'static,
    F: Method<A, P, T>,
{
    call_with::<M, A, P, T, F>(actor, CallOptions::default(), params, method)
}

/// Calls a method with options.
#[inline(always)]
pub fn call_with<M, A, P, T, F>(
    actor: &Actor<A>,
    options: CallOptions,
    params: P,
    method: F,
) -> Ref<T>
where
    M: Function,
    A: 'static + super::handle::ActorType,
    P: Params,
    T: Send + Sync + 'static,
    F: Method<A, P, T>,
{
    let core = actor.core();
    let vtable = &Call::<M, A, P, T, F>::VTABLE;
    let cell = Header::alloc(vtable.layout);
    // SAFETY: fresh memory of the vtable's layout; the one handle goes to the ref.
    let result = unsafe {
        let actor = ActorWord::new(core, core.as_ref().home);
        let mut header = Header::pending(vtable, 1, actor);
        header.extra = options.extra();
        cell.write(header);
        Ref::from_cell(cell)
    };
    if let Some(local) = Local::current()
        && !stalled::any(local)
        && local.is_open.get()
        && (!P::MAY_WAIT || crate::task::dependencies::of(&params).is_empty())
    {
        // SAFETY: AC-1, the handle.
        let home = unsafe { core.as_ref() }.home;
        if home != local.shared.index {
            let mut args = [MaybeUninit::uninit(); ARG_WORDS];
            // SAFETY: it fits on the line, or goes into the fresh cell.
            unsafe {
                if Call::<M, A, P, T, F>::ARGS_ON_LINE {
                    args.as_mut_ptr().cast::<(P, F)>().write((params, method));
                } else {
                    Header::args::<(P, F)>(cell).write((params, method));
                }
            }
            let serve = Call::<M, A, P, T, F>::serve;
            local.lanes.send(
                local,
                home,
                Question {
                    serve,
                    cell,
                    actor: core,
                    args,
                },
            );
            return result;
        }
        // SAFETY: fresh memory for the arguments.
        unsafe { Header::args::<(P, F)>(cell).write((params, method)) };
        ActorCore::enqueue(core, cell, local);
        return result;
    }
    // SAFETY: as above.
    unsafe { Header::args::<(P, F)>(cell).write((params, method)) };
    // SAFETY: nobody else reaches the arguments yet.
    let waits = unsafe { crate::task::dependencies::of::<P>(&(*Header::args::<(P, F)>(cell)).0) };
    let serve = Call::<M, A, P, T, F>::serve_from_cell;
    stalled::send(actor, cell, waits, serve);
    result
}

impl<M, A, P, T, F> Call<M, A, P, T, F>
where
    M: Function,
    A: 'static,
    P: Params,
    T: Send + Sync + 'static,
    F: Method<A, P, T>,
{
    /// As `serve`, with the arguments in the cell whatever their size.
    pub(super) unsafe fn serve_from_cell(question: Question, ticket: &Ticket<'_>, local: &Local) {
        ticket.defer();
        ActorCore::arrive(question.core(), question.cell, local);
    }
}

/// A completion to wait for a call that was just made, in inline mode.
pub(crate) fn completion_of(cell: NonNull<Header>) -> *const Completion {
    // SAFETY: the caller holds a handle.
    unsafe { &raw const (*cell.as_ptr()).completion }
}
