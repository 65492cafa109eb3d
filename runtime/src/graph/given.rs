//! What may be given for the inputs of a run: values, and results of other calls and runs.
//!
//! Whether something may have to be waited for is known at compile time, so a run of plain values
//! tests nothing.

use super::build::Node;
use super::inputs::InputNodes;
use super::reference::GraphRef;
use super::slot::GraphValue;
use crate::error::{Fault, Outcome};
use crate::object::reference::Ref;
use crate::task::args::AnyArg;
use crate::task::failure::panicked;
use std::any::type_name;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Values, or what they will be when all results are there (opaque).
#[doc(hidden)]
pub type Given<I> = Result<<I as InputNodes>::Values, <I as InputNodes>::Later>;

/// The values of a run, or the first error among them (opaque).
#[doc(hidden)]
pub type Settled<I> = Result<<I as InputNodes>::Values, Why>;

/// An opaque error.
#[doc(hidden)]
pub struct Why(pub(crate) Fault);

impl From<Fault> for Why {
    fn from(fault: Fault) -> Self {
        Self(fault)
    }
}

/// What may be given for one input of type `T`: a `T`, a [`Ref<T>`](Ref) or a [`GraphRef<T>`], or a
/// reference to one of these two.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an input of type `{T}`",
    note = "give a value of type `{T}`, or a `Ref<{T}>` or `GraphRef<{T}>` (or a reference to one)"
)]
pub trait IntoInput<T> {
    /// The value, or the result that it will be.
    #[doc(hidden)]
    fn into_input(self) -> Result<T, Ref<T>>;
}

impl<T> IntoInput<T> for T {
    #[inline(always)]
    fn into_input(self) -> Result<T, Ref<T>> {
        Ok(self)
    }
}

impl IntoInput<String> for &str {
    #[inline(always)]
    fn into_input(self) -> Result<String, Ref<String>> {
        Ok(self.to_owned())
    }
}

impl<T: GraphValue> IntoInput<T> for Ref<T> {
    fn into_input(self) -> Result<T, Ref<T>> {
        if !self.is_ready() {
            return Err(self);
        }
        self.into_value().map_err(|fault| Ref::done(Err(fault)))
    }
}

impl<T: GraphValue> IntoInput<T> for &Ref<T> {
    fn into_input(self) -> Result<T, Ref<T>> {
        Err(self.clone())
    }
}

impl<T: GraphValue> IntoInput<T> for GraphRef<T> {
    fn into_input(mut self) -> Result<T, Ref<T>> {
        match self.take_now() {
            Some(outcome) => outcome.map_err(|fault| Ref::done(Err(fault))),
            None => Err(self.to_ref()),
        }
    }
}

impl<T: GraphValue> IntoInput<T> for &GraphRef<T> {
    fn into_input(self) -> Result<T, Ref<T>> {
        Err(self.to_ref())
    }
}

/// What may be given for the inputs of a graph of `I`: what its one node takes, a tuple of that for a
/// tuple of nodes, `()` for none.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the input of this graph, which is `{I}`",
    note = "several inputs are given as a tuple, no input as `()`; each is a value of its node's type, or a `Ref` or `GraphRef` of one"
)]
pub trait IntoInputs<I: InputNodes> {
    /// The inputs.
    #[doc(hidden)]
    fn into_inputs(self) -> Given<I>;
}

impl<T: GraphValue, X: IntoInput<T>> IntoInputs<Node<T>> for X {
    #[inline(always)]
    fn into_inputs(self) -> Given<Node<T>> {
        self.into_input().map_err(|one| (AnyArg::Ref(one),))
    }
}

fn any_arg<T>(one: Result<T, Ref<T>>) -> AnyArg<T> {
    match one {
        Ok(value) => AnyArg::Value(value),
        Err(one) => AnyArg::Ref(one),
    }
}

/// One input as a ref.
pub(super) fn as_ref<T: GraphValue>(one: AnyArg<T>) -> Ref<T> {
    match one {
        AnyArg::Value(value) => Ref::done(Ok(value)),
        AnyArg::Ref(one) => one,
    }
}

/// The value of one input, which is there; moved if nobody else has it.
pub(super) fn settled<T: GraphValue>(one: AnyArg<T>) -> Outcome<T> {
    match one {
        AnyArg::Value(value) => Ok(value),
        AnyArg::Ref(one) => {
            catch_unwind(AssertUnwindSafe(|| one.into_value())).unwrap_or_else(|payload| {
                let clone = format!("Clone of {}", type_name::<T>());
                Err(panicked(payload, &clone, None))
            })
        }
    }
}

macro_rules! given {
    ($($name:ident $given:ident $at:tt)*) => {
        impl<$($name: GraphValue, $given: IntoInput<$name>),*> IntoInputs<($(Node<$name>,)*)> for ($($given,)*) {
            #[inline(always)]
            #[allow(non_snake_case, unreachable_patterns, clippy::unused_unit, reason = "the type parameter names the value; the empty tuple has none")]
            fn into_inputs(self) -> Given<($(Node<$name>,)*)> {
                match ($(self.$at.into_input(),)*) {
                    ($(Ok($name),)*) => Ok(($($name,)*)),
                    ($($name,)*) => Err(($(any_arg($name),)*)),
                }
            }
        }
    };
}

given!();
given!(A XA 0);
given!(A XA 0 B XB 1);
given!(A XA 0 B XB 1 C XC 2);
given!(A XA 0 B XB 1 C XC 2 D XD 3);
given!(A XA 0 B XB 1 C XC 2 D XD 3 E XE 4);
given!(A XA 0 B XB 1 C XC 2 D XD 3 E XE 4 F XF 5);
given!(A XA 0 B XB 1 C XC 2 D XD 3 E XE 4 F XF 5 G XG 6);
given!(A XA 0 B XB 1 C XC 2 D XD 3 E XE 4 F XF 5 G XG 6 H XH 7);
