//! The arguments of a bound call: nodes and constants, and where a step reads them.

use super::build::{Node, NodeId, Slots};
use super::slot::{GraphValue, Held, Reader, Slot, cloned, slot_of};
use crate::error::{Fault, Outcome};
use crate::object::reference::Ref;
use crate::task::args::{AnyArg, Params};
use crate::task::failure::{Failure, discard};
use crate::task::meta::Function;
use std::any::Any;
use std::sync::Arc;

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

impl<T> IntoNode<T> for T {
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
    Value(Held<T>),
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
            Source::Value(value) => Input(InputKind::Value(Held::new(value.clone()))),
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
            InputKind::Value(value) => cloned(value.get()).map(AnyArg::Value),
        }
    }

    /// Whether it alone reads this slot.
    fn is(&self, slot: &(dyn Any + Send)) -> bool {
        let InputKind::Slot(reader) = &self.0 else {
            return false;
        };
        let slot = slot.downcast_ref::<Arc<Slot<T>>>();
        reader.last && slot.is_some_and(|slot| Arc::ptr_eq(slot, &reader.slot))
    }
}

/// A tuple of [`Source`]s.
pub trait Sources: Clone + Send + Sync + 'static {
    /// The tuple of arguments.
    type Args: Params;
    #[doc(hidden)]
    type Inputs: StepInputs<Args = Self::Args>;
    /// The node behind each argument, or none for a constant.
    #[doc(hidden)]
    fn nodes(&self) -> Vec<Option<NodePosition>>;
    /// Shows the `index`th argument if it is a constant.
    #[doc(hidden)]
    fn constant(&self, index: usize, to: &mut dyn FnMut(&dyn Any));
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
    /// The arguments as the inputs of a graph: one value, or a tuple of them.
    type Question: Send + 'static;
    /// Reads every one of them; the first error with its position otherwise.
    #[doc(hidden)]
    fn take(&self) -> Result<Self::Args, InputFault>;
    /// Whether they read just these slots, in this order, and nobody else does.
    #[doc(hidden)]
    fn are(&self, slots: &[&(dyn Any + Send)]) -> bool;
    /// The arguments of a question.
    #[doc(hidden)]
    fn asked(question: Self::Question) -> Self::Args;
}

/// An argument that is an error.
#[doc(hidden)]
pub struct InputFault(pub(crate) usize, pub(crate) Fault);

impl InputFault {
    /// The error of the step of `M` that got it (SG-3).
    #[cold]
    pub(crate) fn through<M: Function>(self) -> Fault {
        let failure = Failure::argument(self.0, self.1);
        failure.into_fault(M::META.name, None).0
    }
}

/// Drops an argument that stands beside an error, which takes its place (SL-3).
#[cold]
#[inline(never)]
fn give_up<T>(argument: &mut Outcome<T>, beside: &Fault) {
    discard(std::mem::replace(argument, Err(beside.clone())));
}

/// The type of a question: what [`InputNodes::Values`](super::inputs::InputNodes::Values) is for so many
/// nodes.
macro_rules! question {
    ($one:ident) => { $one };
    ($($name:ident)*) => { ($($name,)*) };
}

/// Takes one apart.
macro_rules! asked {
    ($one:ident) => { $one };
    ($($name:ident)*) => { ($($name,)*) };
}

macro_rules! sources {
    ($($name:ident $at:tt)*) => {
        impl<$($name: GraphValue),*> Sources for ($(Source<$name>,)*) {
            type Args = ($(AnyArg<$name>,)*);
            type Inputs = InputsOf<($(Input<$name>,)*)>;
            fn nodes(&self) -> Vec<Option<NodePosition>> {
                vec![$(self.$at.read().map(NodePosition)),*]
            }
            #[allow(unused_variables, reason = "the empty tuple has no constants")]
            fn constant(&self, index: usize, to: &mut dyn FnMut(&dyn Any)) {
                $(if let (Source::Value(value), true) = (&self.$at, index == $at) {
                    to(value);
                })*
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
            type Question = question!($($name)*);
            #[allow(unused_variables, reason = "the empty tuple reads nothing")]
            fn are(&self, slots: &[&(dyn Any + Send)]) -> bool {
                slots.len() == <[&str]>::len(&[$(stringify!($name)),*]) $(&& self.0.$at.is(slots[$at]))*
            }
            #[inline(always)]
            #[allow(non_snake_case, unused_variables, clippy::unused_unit, reason = "the type parameter names the argument")]
            fn asked(question: Self::Question) -> Self::Args {
                let asked!($($name)*) = question;
                ($(AnyArg::Value($name),)*)
            }
            #[inline(always)]
            #[allow(non_snake_case, clippy::unused_unit, reason = "the type parameter names the argument")]
            fn take(&self) -> Result<Self::Args, InputFault> {
                // Every slot is read, also after an error, so that nothing of a run stays behind.
                $(let mut $name = self.0.$at.take();)*
                if $($name.is_err() ||)* false {
                    let first: Option<InputFault> = None;
                    $(let first = first.or_else(|| {
                        $name.as_ref().err().map(|fault| InputFault($at, fault.clone()))
                    });)*
                    if let Some(first) = first {
                        $(give_up(&mut $name, &first.1);)*
                        return Err(first);
                    }
                }
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
