//! A segment that is one method whose arguments are the question of a call slot as it is: question, call
//! and answer, with no slot and no call through a table in between.
//!
//! What the method takes is known where it is bound, and what the graph asks where it is compiled. So the
//! step is asked whether it answers questions of that type ([`Step::answers`]), and made into a segment
//! if it does. All others are a [`Segment`](super::segment::Segment) with a head.
//!
//! - DM-1 it is a segment: SG-1, SG-3 and SG-4 hold. The end of the call slot is touched before the method
//!   runs and after it, by the one run that it is at, and never while user code runs.
#![allow(
    unsafe_code,
    reason = "the end of a call slot that one run uses at a time"
)]

use super::core::Core;
use super::observe::progress::Progress;
use super::observe::watched::{SegmentWatch, Watching};
use super::segment::{Place, RUNS_PER_TURN, method_frame, take_turn};
use super::slot::{GraphValue, Held, Sent};
use super::source::StepInputs;
use crate::actor::core::{Access, ActorCore};
use crate::error::Fault;
use crate::executor::local::Local;
use crate::executor::sources::{Probes, Source};
use crate::task::failure::{Failure, discard};
use crate::task::meta::Function;
use crate::task::spawn::run_guarded;
use maser_shm::channel::call_slot::Callee;
use std::any::{Any, TypeId};
use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;

/// Largest values of such a method: larger ones would lie on the scheduler's stack several times, and
/// their copies cost more than what is saved.
pub(super) const WHOLE_BYTES: usize = 256;

/// The answering end of the call slot of a graph.
pub(crate) struct Answering<Q, T> {
    pub(crate) callee: Callee<Held<Q>, Sent<T>>,
    pub(crate) core: Arc<Core>,
}

/// The type of an [`Answering`].
pub(crate) fn answering<Q: 'static, T: 'static>() -> TypeId {
    TypeId::of::<Answering<Q, T>>()
}

/// What a segment is told when it is installed.
pub(crate) struct Site {
    pub(crate) graph: u64,
    pub(crate) progress: Progress,
    pub(crate) watch: Option<SegmentWatch>,
}

/// A segment on its way to its scheduler.
pub(crate) trait Whole: Send {
    fn into_source(self: Box<Self>, site: Site) -> Rc<dyn Source>;
}

/// A method and its call slot.
pub(crate) struct Method<M, A, I: StepInputs, T, F> {
    core: NonNull<ActorCore>,
    body: F,
    ends: Answering<I::Question, T>,
    function: PhantomData<fn(M, A)>,
}

// SAFETY: AC-2: it moves to the actor's home and is used there alone; the graph holds a handle of the
// actor.
unsafe impl<M, A, I: StepInputs, T: Send, F: Send> Send for Method<M, A, I, T, F> {}

impl<M, A, I, T, F> Method<M, A, I, T, F>
where
    M: Function,
    A: 'static,
    I: StepInputs,
    T: GraphValue,
    F: Fn(*mut A, I::Args) -> Result<T, Failure> + Send + 'static,
{
    /// `ends` are an [`Answering`] of the questions that `I` takes.
    pub(crate) fn whole(core: NonNull<ActorCore>, body: F, ends: Box<dyn Any>) -> Box<dyn Whole> {
        let ends = match ends.downcast::<Answering<I::Question, T>>() {
            Ok(ends) => *ends,
            Err(_) => unreachable!("it was asked whether it answers them"),
        };
        Box::new(Self {
            core,
            body,
            ends,
            function: PhantomData,
        })
    }
}

impl<M, A, I, T, F> Whole for Method<M, A, I, T, F>
where
    M: Function,
    A: 'static,
    I: StepInputs,
    T: GraphValue,
    F: Fn(*mut A, I::Args) -> Result<T, Failure> + Send + 'static,
{
    fn into_source(self: Box<Self>, site: Site) -> Rc<dyn Source> {
        let Answering { callee, core } = self.ends;
        Rc::new(Direct::<M, A, I, T, F> {
            callee: UnsafeCell::new(callee),
            actor: self.core,
            body: self.body,
            watch: site.watch,
            core,
            place: Place::new(site.graph, site.progress.clone()),
            progress: site.progress,
            function: PhantomData,
        })
    }
}

/// See the module's page.
#[repr(align(128))]
struct Direct<M, A, I: StepInputs, T, F> {
    callee: UnsafeCell<Callee<Held<I::Question>, Sent<T>>>,
    actor: NonNull<ActorCore>,
    body: F,
    watch: Option<SegmentWatch>,
    core: Arc<Core>,
    progress: Progress,
    place: Place,
    function: PhantomData<fn(M, A)>,
}

// SAFETY: its end of the call slot is its own.
unsafe impl<M, A, I, T, F> Source for Direct<M, A, I, T, F>
where
    M: Function,
    A: 'static,
    I: StepInputs,
    T: GraphValue,
    F: Fn(*mut A, I::Args) -> Result<T, Failure> + Send + 'static,
{
    #[inline]
    fn idle(&self) -> Option<Probes> {
        if self.progress.is_running() {
            return Some(Probes::always());
        }
        // SAFETY: DM-1, no run is under way.
        let callee = unsafe { &*self.callee.get() };
        callee.idle().map(Probes::questions)
    }

    fn serve(self: Rc<Self>, local: &Local) -> bool {
        let mut any = false;
        for round in 0..RUNS_PER_TURN {
            if self.progress.is_running() {
                break;
            }
            let run = self.progress.runs();
            let is_seen = self.watch.wants(run);
            if is_seen {
                self.watch.will_read(local);
            }
            // SAFETY: DM-1, before the method.
            let asked = unsafe { &mut *self.callee.get() }.try_next();
            let Some((number, question)) = asked else {
                break;
            };
            any = true;
            if round > 0 {
                // Where questions wait the next one does.
                // SAFETY: as above.
                unsafe { &*self.callee.get() }.prepare_next();
            }
            self.progress.step(0);
            if is_seen {
                self.watch.has_read(run, local);
            }
            let outcome = self.call(local, question.into_inner());
            if self.place.removed.get() {
                // SG-4: it stays where it is; nobody looks at it any more.
                discard(outcome);
                break;
            }
            if is_seen {
                self.watch.has_computed(run, 0, local);
                self.watch.has_sent(run, 0, local);
                self.watch.will_answer(run, local);
            }
            // SAFETY: DM-1, after the method.
            unsafe { &mut *self.callee.get() }.answer(number, Held::new(outcome));
            self.core.results_were_sent();
            if is_seen {
                self.watch.is_over(run, local);
            }
            self.progress.end();
        }
        any
    }

    fn belongs_to(&self, graph: u64) -> bool {
        self.place.graph() == graph
    }

    fn was_removed(&self, local: &Local) {
        self.place.removed.set(true);
        if self.progress.is_running() {
            local.wake_all();
        }
    }
}

impl<M, A, I, T, F> Direct<M, A, I, T, F>
where
    M: Function,
    A: 'static,
    I: StepInputs,
    T: GraphValue,
    F: Fn(*mut A, I::Args) -> Result<T, Failure> + Send + 'static,
{
    #[inline(always)]
    fn call(&self, local: &Local, question: I::Question) -> Result<T, Fault> {
        if let Err(error) = take_turn::<M>(self.actor, local, &self.place) {
            discard(question);
            return Err(Fault::new(error));
        }
        // SAFETY: the graph holds a handle.
        let actor = unsafe { self.actor.as_ref() };
        actor.begin(Access::Exclusive);
        let frame = method_frame::<M>(self.actor, local);
        let state = actor.state::<A>();
        let outcome = run_guarded(local, &frame, || (self.body)(state, I::asked(question)));
        ActorCore::end(self.actor, Access::Exclusive, local);
        outcome
    }
}
