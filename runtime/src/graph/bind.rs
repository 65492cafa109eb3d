//! What `method.bind(..)` and `task::bind(..)` put into a graph.
#![allow(unsafe_code, reason = "runs methods on type-erased actor states")]

pub(crate) use super::source::StepInputs;
pub use super::source::{IntoNode, Source};

use super::async_step::{AsyncStep, Turn};
use super::build::{
    Action, BoundActor, Elsewhere, Node, NodeDef, NodeId, Place, Slots, add, clone_ref,
};
use super::segment::{MethodStep, Step};
use super::slot::{GraphValue, Slot, ValueType, slot_of};
use super::source::{SlotsPtr, Sources};
use super::step_options::StepOptions;
use super::task_step::TaskStep;
use super::transport::Wanted;
use crate::actor::address::SendCore;
use crate::actor::call::{ByAsync, ByAsyncMut, ByMut, ByRef, Method, call};
use crate::actor::core::{Access, ActorCore};
use crate::actor::handle::{Actor, ActorType};
use crate::task::failure::Failure;
use crate::task::meta::{Function, Meta};
use crate::task::options::TaskOptions;
use crate::task::portable;
use crate::task::spawn::{spawn, spawn_with};
use crate::worker::incoming::HeldActor;
use std::any::Any;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::Arc;

fn define<T: GraphValue>(
    meta: &'static Meta,
    action: Action,
    sources: impl Sources,
    options: &StepOptions,
) -> Node<T> {
    let args: Vec<Option<NodeId>> = sources.nodes().iter().map(|at| at.map(|at| at.0)).collect();
    let ids: Vec<NodeId> = args.iter().copied().flatten().collect();
    let def = NodeDef {
        meta,
        name: options.name.clone(),
        action,
        reads: ids.iter().map(|id| id.index).collect(),
        args: args.iter().map(|id| id.map(|id| id.index)).collect(),
        constant: Box::new(move |index, to| sources.constant(index, to)),
        wanted: Wanted::default(),
        rank: None,
        value: ValueType::of::<T>(),
        clone_ref: clone_ref::<T>,
    };
    add(def, &ids, |label| options.problem(label))
}

fn bound<A: ActorType>(actor: &Actor<A>) -> BoundActor {
    let handle = actor.clone();
    BoundActor {
        core: SendCore::new(actor.core()),
        home: actor.block().home,
        node_id: actor.block().node.id,
        elsewhere: actor.block().remote.as_ref().map(|remote| {
            let (peer, number) = remote.now();
            let name = actor.block().display_name();
            Elsewhere { peer, number, name }
        }),
        death: Box::new(move || handle.block().death()),
    }
}

/// The same of an actor whose class is not known.
pub(super) fn bound_held(held: &Arc<HeldActor>) -> BoundActor {
    let handle = held.clone();
    let block = held.block();
    BoundActor {
        core: SendCore::new(held.core()),
        home: block.home,
        node_id: block.node.id,
        elsewhere: block.remote.as_ref().map(|remote| {
            let (peer, number) = remote.now();
            let name = block.display_name();
            Elsewhere { peer, number, name }
        }),
        death: Box::new(move || handle.block().death()),
    }
}

impl BoundActor {
    /// One more handle, unless the last one is gone.
    pub(crate) fn held(&self) -> Option<HeldActor> {
        let held = ManuallyDrop::new(self.core.try_hold()?);
        // SAFETY: the handle just taken, which is not dropped.
        Some(unsafe { HeldActor::from_core(NonNull::from(held.core())) })
    }

    /// What errors call it.
    pub(crate) fn name(&self) -> String {
        // SAFETY: AC-1, `death` holds a handle; the name never changes.
        unsafe { self.core.get().as_ref() }.display_name()
    }

    /// Its number.
    pub(crate) fn id(&self) -> u64 {
        // SAFETY: AC-1, as above.
        unsafe { self.core.get().as_ref() }.id
    }

    /// The name that it was given.
    pub(crate) fn given_name(&self) -> Option<String> {
        // SAFETY: AC-1, as above.
        unsafe { self.core.get().as_ref() }.name.clone()
    }
}

/// Binds a method: how its step is made, and what its ordinary call runs.
fn bind_method<M, A, S, T, G>(
    actor: &Actor<A>,
    sources: S,
    step: impl Fn(NonNull<ActorCore>, S::Inputs, Arc<Slot<T>>) -> Box<dyn Step> + Send + Sync + 'static,
    method: impl Fn() -> G + Send + Sync + 'static,
) -> Node<T>
where
    M: Function,
    A: ActorType,
    S: Sources,
    T: GraphValue,
    G: Method<A, S::Args, T>,
{
    let described = sources.clone();
    let core = SendCore::new(actor.core());
    let for_step = sources.clone();
    let make = move |mut slots: Slots<'_>, out: &(dyn Any + Send)| -> Box<dyn Step> {
        let inputs = for_step.resolve(SlotsPtr(&mut slots));
        step(core.get(), inputs, slot_of::<T>(out))
    };
    let handle = actor.clone();
    let submit = move |refs: &dyn Fn(usize) -> Box<dyn Any>| -> Box<dyn Any> {
        let args = sources.args(refs);
        Box::new(call::<M, A, S::Args, T, G>(&handle, args, method()))
    };
    let action = Action::Call {
        actor: Some(bound(actor)),
        place: Place::default(),
        make: Box::new(make),
        submit: Box::new(submit),
    };
    define::<T>(M::META, action, described, &StepOptions::default())
}

/// The step of a method that does not wait for a future.
fn method_step<M, A, I, T, F>(
    core: NonNull<ActorCore>,
    inputs: I,
    body: F,
    out: Arc<Slot<T>>,
) -> Box<dyn Step>
where
    M: Function,
    A: 'static,
    I: StepInputs,
    T: GraphValue,
    F: Fn(*mut A, I::Args) -> Result<T, Failure> + Send + 'static,
{
    if portable::applies_to::<M>() {
        let body = move |state: *mut A, args: I::Args| {
            portable::call::<M, I::Args, T>(args, |args| body(state, args))
        };
        Box::new(MethodStep::<M, A, I, T, _>::new(core, inputs, body, out))
    } else {
        Box::new(MethodStep::<M, A, I, T, F>::new(core, inputs, body, out))
    }
}

/// Binds a method with `&mut self`.
pub fn bind_mut<M, A, S, T, F>(actor: &Actor<A>, sources: S, run: F) -> Node<T>
where
    M: Function,
    A: ActorType,
    S: Sources,
    T: GraphValue,
    F: Fn(&mut A, S::Args) -> Result<T, Failure> + Send + Sync + Clone + 'static,
{
    let for_step = run.clone();
    let step = move |core, inputs, out| {
        let run = for_step.clone();
        // SAFETY: AC-3, the step has begun an exclusive call.
        let body = move |state: *mut A, args: S::Args| run(unsafe { &mut *state }, args);
        method_step::<M, A, S::Inputs, T, _>(core, inputs, body, out)
    };
    bind_method::<M, A, S, T, _>(actor, sources, step, move || {
        let run = run.clone();
        ByMut(move |this: &mut A, args: S::Args| run(this, args))
    })
}

/// Binds a method with `&self`.
pub fn bind_ref<M, A, S, T, F>(actor: &Actor<A>, sources: S, run: F) -> Node<T>
where
    M: Function,
    A: ActorType,
    S: Sources,
    T: GraphValue,
    F: Fn(&A, S::Args) -> Result<T, Failure> + Send + Sync + Clone + 'static,
{
    let for_step = run.clone();
    let step = move |core, inputs, out| {
        let run = for_step.clone();
        // SAFETY: AC-3, the step has begun an exclusive call.
        let body = move |state: *mut A, args: S::Args| run(unsafe { &*state }, args);
        method_step::<M, A, S::Inputs, T, _>(core, inputs, body, out)
    };
    bind_method::<M, A, S, T, _>(actor, sources, step, move || {
        let run = run.clone();
        ByRef(move |this: &A, args: S::Args| run(this, args))
    })
}

/// The step of a method that waits for its future.
fn async_step<M, A, I, T, F>(
    core: NonNull<ActorCore>,
    access: Access,
    inputs: I,
    body: F,
    out: Arc<Slot<T>>,
) -> Box<dyn Step>
where
    M: Function,
    A: 'static,
    I: StepInputs,
    T: GraphValue,
    F: Fn(*mut A, I::Args, &Turn<'_>) -> Result<Option<T>, Failure> + Send + 'static,
{
    if portable::applies_to::<M>() {
        let body = move |state: *mut A, mut args: I::Args, turn: &Turn<'_>| {
            portable::arguments::<M, I::Args>(&mut args)?;
            let value = body(state, args, turn)?;
            value
                .map(|value| portable::result::<M, T>(0, value))
                .transpose()
        };
        Box::new(AsyncStep::<M, A, I, T, _>::new(
            core, access, inputs, body, out,
        ))
    } else {
        Box::new(AsyncStep::<M, A, I, T, F>::new(
            core, access, inputs, body, out,
        ))
    }
}

/// Binds an `async fn` with `&mut self`.
pub fn bind_async_mut<M, A, S, T, F>(actor: &Actor<A>, sources: S, run: F) -> Node<T>
where
    M: Function,
    A: ActorType,
    S: Sources,
    T: GraphValue,
    F: AsyncFn(&mut A, S::Args) -> Result<T, Failure> + Send + Sync + Clone + 'static,
{
    let for_step = run.clone();
    let step = move |core, inputs, out| {
        let run = for_step.clone();
        let body = move |state: *mut A, args: S::Args, turn: &Turn<'_>| {
            // SAFETY: AC-3, the step has begun an exclusive call.
            turn.drive(run(unsafe { &mut *state }, args))
        };
        async_step::<M, A, S::Inputs, T, _>(core, Access::Exclusive, inputs, body, out)
    };
    bind_method::<M, A, S, T, _>(actor, sources, step, move || {
        let run = run.clone();
        ByAsyncMut(async move |this: &mut A, args: S::Args| run(this, args).await)
    })
}

/// Binds an `async fn` with `&self`.
pub fn bind_async<M, A, S, T, F>(actor: &Actor<A>, sources: S, run: F) -> Node<T>
where
    M: Function,
    A: ActorType,
    S: Sources,
    T: GraphValue,
    F: AsyncFn(&A, S::Args) -> Result<T, Failure> + Send + Sync + Clone + 'static,
{
    let for_step = run.clone();
    let step = move |core, inputs, out| {
        let run = for_step.clone();
        let body = move |state: *mut A, args: S::Args, turn: &Turn<'_>| {
            // SAFETY: AC-3, the step has begun a call beside others with `&self`.
            turn.drive(run(unsafe { &*state }, args))
        };
        async_step::<M, A, S::Inputs, T, _>(core, Access::Async, inputs, body, out)
    };
    bind_method::<M, A, S, T, _>(actor, sources, step, move || {
        let run = run.clone();
        ByAsync(async move |this: &A, args: S::Args| run(this, args).await)
    })
}

/// Binds a task.
pub fn bind_task<M, S, T, F>(sources: S, run: F) -> Node<T>
where
    M: Function,
    S: Sources,
    T: GraphValue,
    F: Fn(S::Args) -> Result<T, Failure> + Send + Sync + Clone + 'static,
{
    if const { !M::META.defaults.is_default_task() } || portable::applies_to::<M>() {
        return bind_task_with::<M, S, T, F>(TaskOptions::of(M::META), sources, run);
    }
    let described = sources.clone();
    let (for_step, step_run) = (sources.clone(), run.clone());
    let make = move |mut slots: Slots<'_>, out: &(dyn Any + Send)| -> Box<dyn Step> {
        let inputs = for_step.resolve(SlotsPtr(&mut slots));
        let (run, out) = (step_run.clone(), slot_of::<T>(out));
        Box::new(TaskStep::<M, S::Inputs, T, F>::new(inputs, run, out))
    };
    let submit = move |refs: &dyn Fn(usize) -> Box<dyn Any>| -> Box<dyn Any> {
        let args = sources.args(refs);
        Box::new(spawn::<M, S::Args, T, _>(args, run.clone()))
    };
    let action = Action::Call {
        actor: None,
        place: Place::default(),
        make: Box::new(make),
        submit: Box::new(submit),
    };
    define::<T>(M::META, action, described, &StepOptions::default())
}

/// Binds a task with options.
pub fn bind_task_with<M, S, T, F>(options: TaskOptions, sources: S, run: F) -> Node<T>
where
    M: Function,
    S: Sources,
    T: GraphValue,
    F: Fn(S::Args) -> Result<T, Failure> + Send + Sync + Clone + 'static,
{
    let described = sources.clone();
    let step_options = StepOptions::of(&options, M::META);
    let place = step_options.place();
    let (for_step, step_run) = (sources.clone(), run.clone());
    let (reserved, name) = (place.reserved.clone(), options.name.clone());
    let make = move |mut slots: Slots<'_>, out: &(dyn Any + Send)| -> Box<dyn Step> {
        let inputs = for_step.resolve(SlotsPtr(&mut slots));
        let body = reserved.body::<M, _, T>(name.clone(), step_run.clone());
        Box::new(TaskStep::<M, S::Inputs, T, _>::new(
            inputs,
            body,
            slot_of::<T>(out),
        ))
    };
    let submit = move |refs: &dyn Fn(usize) -> Box<dyn Any>| -> Box<dyn Any> {
        let args = sources.args(refs);
        let options = options.clone();
        Box::new(spawn_with::<M, S::Args, T, _>(options, args, run.clone()))
    };
    let action = Action::Call {
        actor: None,
        place,
        make: Box::new(make),
        submit: Box::new(submit),
    };
    define::<T>(M::META, action, described, &step_options)
}
