//! What `method.bind(..)` and `task::bind(..)` put into a graph.
#![allow(unsafe_code, reason = "runs methods on type-erased actor states")]

use super::build::{Action, BoundActor, Node, NodeDef, NodeId, Slots, add, clone_ref};
use super::segment::{MethodStep, Step, TaskStep};
use super::slot::{GraphValue, Reader, ValueType, cloned, slot_of};
use crate::actor::call::{ByMut, ByRef, call};
use crate::actor::core::SendCore;
use crate::actor::handle::{Actor, ActorType};
use crate::error::{Fault, Outcome};
use crate::object::reference::Ref;
use crate::task::args::{AnyArg, Params};
use crate::task::failure::Failure;
use crate::task::meta::Function;
use crate::task::spawn::spawn;
use std::any::Any;

/// Where an argument of a bound call comes from.
#[derive(Clone)]
pub enum Source<T> {
    /// Another node, by graph and position.
    #[doc(hidden)]
    Node(NodePosition),
    /// The same value in every run.
    Value(T),
}

/// An opaque position.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct NodePosition(pub(crate) NodeId);

/// What may be written for an argument of `bind`: a node, or a constant of the parameter's type.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be bound to a parameter of type `{T}`",
    note = "bind a `Node<{T}>`, or a value of type `{T}` that is the same in every run"
)]
pub trait IntoNode<T> {
    /// Where it comes from.
    fn into_source(self) -> Source<T>;
}

impl<T> IntoNode<T> for Node<T> {
    fn into_source(self) -> Source<T> {
        Source::Node(NodePosition(self.id))
    }
}

impl<T> IntoNode<T> for &Node<T> {
    fn into_source(self) -> Source<T> {
        Source::Node(NodePosition(self.id))
    }
}

impl<T: GraphValue> IntoNode<T> for T {
    fn into_source(self) -> Source<T> {
        Source::Value(self)
    }
}

impl IntoNode<String> for &str {
    fn into_source(self) -> Source<String> {
        Source::Value(self.to_owned())
    }
}

/// A source with its slot found.
#[doc(hidden)]
pub struct Input<T>(InputKind<T>);

enum InputKind<T> {
    Slot(Reader<T>),
    Value(T),
}

impl<T: GraphValue> Source<T> {
    fn read(&self) -> Option<NodeId> {
        match self {
            Source::Node(at) => Some(at.0),
            Source::Value(_) => None,
        }
    }

    fn resolve(&self, slots: Slots<'_>) -> Input<T> {
        match self {
            Source::Node(at) => {
                let (slot, last) = slots(at.0.index);
                Input(InputKind::Slot(Reader {
                    slot: slot_of::<T>(&*slot),
                    last,
                }))
            }
            Source::Value(value) => Input(InputKind::Value(value.clone())),
        }
    }

    fn as_arg(&self, refs: &dyn Fn(usize) -> Box<dyn Any>) -> AnyArg<T> {
        match self {
            Source::Node(at) => match refs(at.0.index).downcast::<Ref<T>>() {
                Ok(one) => AnyArg::Ref(*one),
                Err(_) => unreachable!("a node's refs are of the node's type"),
            },
            Source::Value(value) => AnyArg::Value(value.clone()),
        }
    }
}

impl<T: GraphValue> Input<T> {
    #[inline(always)]
    fn take(&self) -> Outcome<AnyArg<T>> {
        match &self.0 {
            InputKind::Slot(reader) => reader.read().map(AnyArg::Value),
            InputKind::Value(value) => cloned(value).map(AnyArg::Value),
        }
    }
}

/// A tuple of [`Source`]s.
pub trait Sources: Clone + Send + Sync + 'static {
    /// The tuple of arguments.
    type Args: Params;
    #[doc(hidden)]
    type Inputs: StepInputs<Args = Self::Args>;
    #[doc(hidden)]
    fn reads(&self) -> Vec<NodePosition>;
    #[doc(hidden)]
    fn resolve(&self, slots: SlotsPtr<'_, '_>) -> Self::Inputs;
    #[doc(hidden)]
    fn args(&self, refs: &dyn Fn(usize) -> Box<dyn Any>) -> Self::Args;
}

/// An opaque finder of slots.
#[doc(hidden)]
pub struct SlotsPtr<'a, 'b>(pub(crate) &'a mut Slots<'b>);

/// A tuple of inputs whose slots are found.
pub trait StepInputs: Send + 'static {
    /// The tuple of arguments.
    type Args: Params;
    /// Reads every one of them; the first error with its position otherwise.
    #[doc(hidden)]
    fn take(&self) -> Result<Self::Args, InputFault>;
}

/// An argument that is an error.
#[doc(hidden)]
pub struct InputFault(pub(crate) usize, pub(crate) Fault);

macro_rules! sources {
    ($($name:ident $at:tt)*) => {
        impl<$($name: GraphValue),*> Sources for ($(Source<$name>,)*) {
            type Args = ($(AnyArg<$name>,)*);
            type Inputs = InputsOf<($(Input<$name>,)*)>;
            fn reads(&self) -> Vec<NodePosition> {
                let reads: Vec<Option<NodeId>> = vec![$(self.$at.read()),*];
                reads.into_iter().flatten().map(NodePosition).collect()
            }
            #[allow(unused_variables, reason = "the empty tuple reads nothing")]
            fn resolve(&self, slots: SlotsPtr<'_, '_>) -> Self::Inputs {
                InputsOf(($(self.$at.resolve(&mut **slots.0),)*))
            }
            #[allow(unused_variables, clippy::unused_unit, reason = "the empty tuple reads nothing")]
            fn args(&self, refs: &dyn Fn(usize) -> Box<dyn Any>) -> Self::Args {
                ($(self.$at.as_arg(refs),)*)
            }
        }

        impl<$($name: GraphValue),*> StepInputs for InputsOf<($(Input<$name>,)*)> {
            type Args = ($(AnyArg<$name>,)*);
            #[inline(always)]
            #[allow(non_snake_case, clippy::unused_unit, reason = "the type parameter names the argument")]
            fn take(&self) -> Result<Self::Args, InputFault> {
                // Every slot is read, also after an error, so that nothing of a run stays behind.
                $(let $name = self.0.$at.take();)*
                Ok(($($name.map_err(|fault| InputFault($at, fault))?,)*))
            }
        }
    };
}

/// An opaque tuple of inputs.
#[doc(hidden)]
pub struct InputsOf<I>(I);

sources!();
sources!(A 0);
sources!(A 0 B 1);
sources!(A 0 B 1 C 2);
sources!(A 0 B 1 C 2 D 3);
sources!(A 0 B 1 C 2 D 3 E 4);
sources!(A 0 B 1 C 2 D 3 E 4 F 5);
sources!(A 0 B 1 C 2 D 3 E 4 F 5 G 6);
sources!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7);
sources!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8);
sources!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9);
sources!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10);
sources!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11);

fn define<T: GraphValue>(
    meta: &'static crate::task::meta::Meta,
    action: Action,
    reads: &[NodePosition],
) -> Node<T> {
    let ids: Vec<NodeId> = reads.iter().map(|read| read.0).collect();
    let def = NodeDef {
        meta,
        action,
        reads: ids.iter().map(|id| id.index).collect(),
        value: ValueType::of::<T>(),
        clone_ref: clone_ref::<T>,
    };
    add(def, &ids)
}

fn bound<A: ActorType>(actor: &Actor<A>) -> BoundActor {
    let handle = actor.clone();
    BoundActor {
        core: SendCore::new(actor.core()),
        home: actor.block().home,
        node_id: actor.block().node.id,
        death: Box::new(move || handle.block().death()),
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
    let core = SendCore::new(actor.core());
    let (for_step, step_run) = (sources.clone(), run.clone());
    let make = move |mut slots: Slots<'_>, out: &(dyn Any + Send)| -> Box<dyn Step> {
        let inputs = for_step.resolve(SlotsPtr(&mut slots));
        let run = step_run.clone();
        let body = move |state: *mut A, args: S::Args| {
            // SAFETY: AC-3, the step has begun an exclusive call.
            run(unsafe { &mut *state }, args)
        };
        Box::new(MethodStep::<M, A, S::Inputs, T, _>::new(
            core.get(),
            inputs,
            body,
            slot_of::<T>(out),
        ))
    };
    let (handle, for_call) = (actor.clone(), sources.clone());
    let submit = move |refs: &dyn Fn(usize) -> Box<dyn Any>| -> Box<dyn Any> {
        let run = run.clone();
        let method = ByMut(move |this: &mut A, args: S::Args| run(this, args));
        Box::new(call::<M, A, S::Args, T, _>(
            &handle,
            for_call.args(refs),
            method,
        ))
    };
    let action = Action::Call {
        actor: Some(bound(actor)),
        make: Box::new(make),
        submit: Box::new(submit),
    };
    define::<T>(M::META, action, &sources.reads())
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
    let core = SendCore::new(actor.core());
    let (for_step, step_run) = (sources.clone(), run.clone());
    let make = move |mut slots: Slots<'_>, out: &(dyn Any + Send)| -> Box<dyn Step> {
        let inputs = for_step.resolve(SlotsPtr(&mut slots));
        let run = step_run.clone();
        let body = move |state: *mut A, args: S::Args| {
            // SAFETY: AC-3, the step has begun an exclusive call.
            run(unsafe { &*state }, args)
        };
        Box::new(MethodStep::<M, A, S::Inputs, T, _>::new(
            core.get(),
            inputs,
            body,
            slot_of::<T>(out),
        ))
    };
    let (handle, for_call) = (actor.clone(), sources.clone());
    let submit = move |refs: &dyn Fn(usize) -> Box<dyn Any>| -> Box<dyn Any> {
        let run = run.clone();
        let method = ByRef(move |this: &A, args: S::Args| run(this, args));
        Box::new(call::<M, A, S::Args, T, _>(
            &handle,
            for_call.args(refs),
            method,
        ))
    };
    let action = Action::Call {
        actor: Some(bound(actor)),
        make: Box::new(make),
        submit: Box::new(submit),
    };
    define::<T>(M::META, action, &sources.reads())
}

/// Binds a task.
pub fn bind_task<M, S, T, F>(sources: S, run: F) -> Node<T>
where
    M: Function,
    S: Sources,
    T: GraphValue,
    F: Fn(S::Args) -> Result<T, Failure> + Send + Sync + Clone + 'static,
{
    let (for_step, step_run) = (sources.clone(), run.clone());
    let make = move |mut slots: Slots<'_>, out: &(dyn Any + Send)| -> Box<dyn Step> {
        let inputs = for_step.resolve(SlotsPtr(&mut slots));
        Box::new(TaskStep::<M, S::Inputs, T, F>::new(
            inputs,
            step_run.clone(),
            slot_of::<T>(out),
        ))
    };
    let for_call = sources.clone();
    let submit = move |refs: &dyn Fn(usize) -> Box<dyn Any>| -> Box<dyn Any> {
        let run = run.clone();
        Box::new(spawn::<M, S::Args, T, _>(for_call.args(refs), run))
    };
    let action = Action::Call {
        actor: None,
        make: Box::new(make),
        submit: Box::new(submit),
    };
    define::<T>(M::META, action, &sources.reads())
}
