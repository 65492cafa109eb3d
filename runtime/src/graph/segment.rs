//! A segment: steps of one graph that run one after the other on one scheduler.
//!
//! A segment waits for a value on each of its incoming edges (or for a question on its call slot),
//! runs its steps in bind order, and sends each value on as soon as it is there. It is looked at
//! on every turn of its scheduler's loop.
//!
//! - SG-1 a segment runs one run at a time, in the order of the runs. While a step is blocked the
//!   segment is at that step and is left alone by the loop. It never runs on the stack of a task that
//!   waits for it: a step that blocks there would keep the task from its limit, from its actor's
//!   death and from what only the task itself can give.
//! - SG-2 an actor's steps run in bind order, and those of one run are over before its first step
//!   of the next: segments that share an actor wait for each other (`after`).
//! - SG-3 errors are values: a step whose input is an error passes it on, so every edge carries
//!   exactly one value a run.
//! - SG-4 a graph may end while a step is blocked. That step is the last: nothing is sent any more,
//!   so a run that was in flight at the end of the graph never has a result.
#![allow(unsafe_code, reason = "steps call methods on type-erased actor states")]

use super::bind::StepInputs;
use super::direct::{Method, Site, WHOLE_BYTES, Whole, answering};
use super::observe::progress::Progress;
use super::observe::watched::{SegmentWatch, Watching};
use super::plan::After;
use super::slot::{GraphValue, InPort, OutPort, Slot};
use crate::actor::core::{Access, ActorCore};
use crate::error::{Error, Fault};
use crate::executor::local::{Frame, Local};
use crate::executor::sources::{Probes, Source};
use crate::executor::wait::interrupted;
use crate::task::failure::{Failure, discard};
use crate::task::meta::Function;
use crate::task::spawn::run_guarded;
use crate::wait_graph::StepEdge;
use std::any::{Any, TypeId};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::marker::PhantomData;
use std::ptr::{NonNull, null};
use std::rc::Rc;
use std::sync::Arc;

/// Runs of one segment in a row before the loop looks elsewhere.
pub(super) const RUNS_PER_TURN: usize = 16;

/// Where a step runs.
pub(crate) struct Place {
    graph: u64,
    /// How far its segment is.
    progress: Progress,
    /// SG-4.
    pub(crate) removed: Cell<bool>,
}

impl Place {
    pub(super) fn new(graph: u64, progress: Progress) -> Self {
        Self {
            graph,
            progress,
            removed: Cell::new(false),
        }
    }

    pub(super) fn graph(&self) -> u64 {
        self.graph
    }

    /// The run that its segment is in.
    pub(crate) fn run(&self) -> u64 {
        self.progress.runs()
    }

    /// The step of this name waits for its turn on an actor.
    pub(crate) fn enter<'a>(
        &'a self,
        local: &'a Local,
        step: &'static str,
        actor: (NonNull<ActorCore>, Access),
    ) -> Result<HeldUp<'a>, Error> {
        let run = (self.graph, self.progress.runs());
        let edge = local.node.waits.enter_step(local, step, run, actor)?;
        self.progress.is_held_up(local.node.clock.now_ns());
        Ok(HeldUp {
            progress: &self.progress,
            _edge: edge,
        })
    }
}

/// A step that waits for its turn on its actor.
pub(crate) struct HeldUp<'a> {
    progress: &'a Progress,
    _edge: StepEdge<'a>,
}

impl Drop for HeldUp<'_> {
    fn drop(&mut self) {
        self.progress.goes_on();
    }
}

/// One step of a segment.
pub(crate) trait Step: Send {
    /// Reads its inputs, runs, fills its slot; does not run once its place was `removed` (SG-4).
    fn run(&self, local: &Local, place: &Place);
    /// Whether it takes the question of a call slot whose end is of this type as it is; `inputs` are the
    /// slots that the question would be read into, in their order.
    fn answers(&self, _end: TypeId, _inputs: &[&(dyn Any + Send)]) -> bool {
        false
    }
    /// A segment of itself and such an end.
    fn into_whole(self: Box<Self>, _end: Box<dyn Any>) -> Box<dyn Whole> {
        unreachable!("it answers no questions")
    }
}

/// A method as a step.
#[repr(align(128))]
pub(crate) struct MethodStep<M, A, I, T, F> {
    core: NonNull<ActorCore>,
    inputs: I,
    body: F,
    out: Arc<Slot<T>>,
    function: PhantomData<fn(M, A)>,
}

// SAFETY: AC-2: it moves to the actor's home with its segment and is used there alone; the graph
// holds a handle of the actor.
unsafe impl<M, A, I: Send, T: Send, F: Send> Send for MethodStep<M, A, I, T, F> {}

impl<M, A, I, T, F> MethodStep<M, A, I, T, F> {
    pub(crate) fn new(core: NonNull<ActorCore>, inputs: I, body: F, out: Arc<Slot<T>>) -> Self {
        Self {
            core,
            inputs,
            body,
            out,
            function: PhantomData,
        }
    }
}

impl<M, A, I: StepInputs, T, F> MethodStep<M, A, I, T, F> {
    const IS_SMALL: bool = size_of::<I::Question>() <= WHOLE_BYTES && size_of::<T>() <= WHOLE_BYTES;

    /// Its turn does not come.
    #[cold]
    #[inline(never)]
    fn give_up(&self, args: I::Args, error: Error) {
        discard(args);
        self.out.set(Err(Fault::new(error)));
    }
}

impl<M, A, I, T, F> Step for MethodStep<M, A, I, T, F>
where
    M: Function,
    A: 'static,
    I: StepInputs,
    T: GraphValue,
    F: Fn(*mut A, I::Args) -> Result<T, Failure> + Send + 'static,
{
    #[inline]
    fn run(&self, local: &Local, place: &Place) {
        let args = match self.inputs.take() {
            Ok(args) => args,
            Err(fault) => return self.out.set(Err(fault.through::<M>())),
        };
        if let Err(error) = take_turn::<M>(self.core, local, place) {
            return self.give_up(args, error);
        }
        // SAFETY: the graph holds a handle.
        let actor = unsafe { self.core.as_ref() };
        actor.begin(Access::Exclusive);
        let frame = method_frame::<M>(self.core, local);
        let state = actor.state::<A>();
        // Every closure more is a copy of large arguments more on this stack.
        let outcome = run_guarded(local, &frame, || (self.body)(state, args));
        ActorCore::end(self.core, Access::Exclusive, local);
        self.out.set(outcome);
    }

    fn answers(&self, end: TypeId, inputs: &[&(dyn Any + Send)]) -> bool {
        Self::IS_SMALL && end == answering::<I::Question, T>() && self.inputs.are(inputs)
    }

    fn into_whole(self: Box<Self>, end: Box<dyn Any>) -> Box<dyn Whole> {
        if const { !Self::IS_SMALL } {
            unreachable!("it answers no questions");
        }
        let this = *self;
        Method::<M, A, I, T, F>::whole(this.core, this.body, end)
    }
}

/// Waits until it is a step's turn on the actor, if it is not.
#[inline(always)]
pub(super) fn take_turn<M: Function>(
    core: NonNull<ActorCore>,
    local: &Local,
    place: &Place,
) -> Result<(), Error> {
    // SAFETY: the graph holds a handle.
    match unsafe { core.as_ref() }.can_step() {
        true => Ok(()),
        false => wait_for_turn::<M>(core, local, place),
    }
}

/// The frame of a method with `&mut self`.
#[inline(always)]
pub(super) fn method_frame<M: Function>(core: NonNull<ActorCore>, local: &Local) -> Frame {
    Frame {
        header: null(),
        meta: M::META,
        actor: core.as_ptr(),
        access: Access::Exclusive,
        ticket: null(),
        below: local.frame.get(),
        mark: Cell::default(),
    }
}

/// The actor is in the middle of a call that is blocked, not there yet, or dead.
#[cold]
fn wait_for_turn<M: Function>(
    core: NonNull<ActorCore>,
    local: &Local,
    place: &Place,
) -> Result<(), Error> {
    let _edge = place.enter(local, M::META.name, (core, Access::Exclusive))?;
    // SAFETY: the graph holds a handle.
    let actor = unsafe { core.as_ref() };
    while !actor.can_step() {
        if let Some(error) = actor.death() {
            return Err(error);
        }
        interrupted(local, "a graph's step")?;
        actor.wait_for_end(local)?;
        if place.removed.get() {
            return Err(Error::Cancelled {
                what: "a graph's step".into(),
            });
        }
    }
    Ok(())
}

/// Where a segment's runs come from and, on a call slot, go to.
pub(crate) trait Head: Send {
    /// `None` if the next run's inputs are there; else what changes before they are.
    fn idle(&self) -> Option<Probes>;
    /// Moves them into their slots, if they are there.
    fn try_load(&mut self) -> bool;
    /// The run is over.
    fn finish(&mut self);
}

/// Runs that come over edges.
pub(crate) struct Edges {
    ports: Vec<Box<dyn InPort>>,
    /// How many of them have filled their slots for the next run.
    loaded: usize,
}

impl Edges {
    pub(crate) fn new(ports: Vec<Box<dyn InPort>>) -> Self {
        Self { ports, loaded: 0 }
    }
}

impl Head for Edges {
    #[inline]
    fn idle(&self) -> Option<Probes> {
        let mut ports = self.ports[self.loaded..].iter();
        ports.find_map(|port| port.idle()).map(Probes::one)
    }

    #[inline]
    fn try_load(&mut self) -> bool {
        if self.idle().is_some() {
            return false;
        }
        for port in &mut self.ports[self.loaded..] {
            if !port.load() {
                return false;
            }
            self.loaded += 1;
        }
        self.loaded = 0;
        true
    }

    fn finish(&mut self) {}
}

/// A step and the edges its value leaves by.
pub(crate) struct Stage {
    pub(crate) step: Box<dyn Step>,
    pub(crate) out: Vec<Box<dyn OutPort>>,
}

/// What a segment does.
pub(crate) enum Body {
    Stages(Box<dyn Head>, Vec<Stage>),
    /// Everything at once.
    Whole(Box<dyn Whole>),
}

/// A segment on its way to its scheduler.
pub(crate) struct SegmentParts {
    pub(crate) index: usize,
    /// What it notes of its runs, if that was asked for.
    pub(crate) watch: Option<SegmentWatch>,
    pub(crate) body: Body,
    /// Segments that must be through with a run before this one begins it.
    pub(crate) after: Vec<After>,
    pub(crate) progress: Progress,
}

/// See the module's page.
#[repr(align(128))]
pub(crate) struct Segment<W> {
    watch: W,
    head: RefCell<Box<dyn Head>>,
    stages: RefCell<Vec<Stage>>,
    /// Runs that another segment is through with, and how many ahead it has to be (SG-2).
    after: Vec<(Progress, u64)>,
    /// How far this one is.
    progress: Progress,
    place: Place,
}

/// Puts the segments of a graph that live on this scheduler into its list.
pub(crate) fn install(parts: Vec<SegmentParts>, graph: u64, local: &Local) {
    let progress: HashMap<usize, Progress> = parts
        .iter()
        .map(|part| (part.index, part.progress.clone()))
        .collect();
    // Segments that share an actor share its scheduler, so all of them are here.
    let through = |after: &After| (progress[&after.segment].clone(), after.ahead);
    let made = parts.into_iter().map(|part| -> Rc<dyn Source> {
        let after = part.after.iter().map(through).collect();
        let (watch, progress) = (part.watch, part.progress);
        match (part.body, watch) {
            (Body::Whole(whole), watch) => whole.into_source(Site {
                graph,
                progress,
                watch,
            }),
            (Body::Stages(head, stages), None) => {
                Segment::new(Place::new(graph, progress), (), head, stages, after)
            }
            (Body::Stages(head, stages), Some(watch)) => {
                Segment::new(Place::new(graph, progress), watch, head, stages, after)
            }
        }
    });
    made.for_each(|segment| local.sources.push(segment));
}

// SAFETY: its ends of channels are its own.
unsafe impl<W: Watching> Source for Segment<W> {
    #[inline]
    fn idle(&self) -> Option<Probes> {
        if self.progress.is_running() {
            return Some(Probes::always());
        }
        let idle = self.head.borrow().idle();
        if idle.is_some() {
            return idle;
        }
        (!self.is_its_turn()).then(Probes::always)
    }

    fn serve(self: Rc<Self>, local: &Local) -> bool {
        let mut any = false;
        for _ in 0..RUNS_PER_TURN {
            if self.progress.is_running() || !self.is_its_turn() {
                break;
            }
            let run = self.progress.runs();
            let is_seen = self.watch.wants(run);
            if is_seen {
                self.watch.will_read(local);
            }
            if !self.head.borrow_mut().try_load() {
                break;
            }
            any = true;
            if is_seen {
                self.watch.has_read(run, local);
            }
            self.run_stages(local, run, is_seen);
            if self.place.removed.get() {
                // It stays where it is: nobody looks at it any more.
                break;
            }
            if is_seen {
                self.watch.will_answer(run, local);
            }
            self.head.borrow_mut().finish();
            if is_seen {
                self.watch.is_over(run, local);
            }
            self.progress.end();
        }
        any
    }

    fn belongs_to(&self, graph: u64) -> bool {
        self.place.graph == graph
    }

    fn was_removed(&self, local: &Local) {
        self.place.removed.set(true);
        if self.progress.is_running() {
            local.wake_all();
        }
    }
}

impl<W: Watching> Segment<W> {
    fn new(
        place: Place,
        watch: W,
        head: Box<dyn Head>,
        stages: Vec<Stage>,
        after: Vec<(Progress, u64)>,
    ) -> Rc<Self> {
        Rc::new(Self {
            watch,
            head: RefCell::new(head),
            stages: RefCell::new(stages),
            after,
            progress: place.progress.clone(),
            place,
        })
    }

    /// SG-2.
    #[inline(always)]
    fn is_its_turn(&self) -> bool {
        let mut others = self.after.iter();
        others.all(|(other, ahead)| other.runs() >= self.progress.runs() + ahead)
    }

    #[inline(always)]
    fn run_stages(&self, local: &Local, run: u64, is_seen: bool) {
        // SG-1: only the one run borrows the list, also while a step of it is blocked.
        let mut stages = self.stages.borrow_mut();
        for (number, stage) in stages.iter_mut().enumerate() {
            self.progress.step(number);
            stage.step.run(local, &self.place);
            // SG-4.
            if self.place.removed.get() {
                return;
            }
            if is_seen {
                self.watch.has_computed(run, number, local);
            }
            for port in &mut stage.out {
                port.send();
            }
            if is_seen {
                self.watch.has_sent(run, number, local);
            }
        }
    }
}
