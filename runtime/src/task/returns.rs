//! Functions with several results: a tuple of values becomes a tuple of refs.

use super::failure::Failure;
use super::meta::Function;
use super::portable;
use crate::error::{Fault, Outcome};
use crate::object::reference::{Promise, Ref};

/// A tuple of values that a function with `num_returns` returns.
pub trait Returns: Send + Sync + 'static {
    /// A ref for each.
    type Refs;
    #[doc(hidden)]
    type Promises: Send + 'static;
    #[doc(hidden)]
    fn promise() -> (Self::Promises, Self::Refs);
    #[doc(hidden)]
    fn fulfil(self, promises: Self::Promises);
    #[doc(hidden)]
    fn fail(promises: Self::Promises, fault: FaultPtr);
    /// Sends every part through bytes (PB-1).
    #[doc(hidden)]
    fn travel<M: Function>(self) -> Result<Self, Failure>
    where
        Self: Sized;
}

/// An opaque failure.
#[doc(hidden)]
pub struct FaultPtr(pub(crate) Fault);

/// Completes all results at once.
pub(crate) fn settle<R: Returns>(promises: R::Promises, outcome: Outcome<R>) {
    match outcome {
        Ok(values) => values.fulfil(promises),
        Err(fault) => R::fail(promises, FaultPtr(fault)),
    }
}

macro_rules! returns {
    ($($name:ident $at:tt)*) => {
        impl<$($name: Send + Sync + 'static),*> Returns for ($($name,)*) {
            type Refs = ($(Ref<$name>,)*);
            type Promises = ($(PromiseOf<$name>,)*);
            #[allow(non_snake_case, reason = "the type parameter names the pair")]
            fn promise() -> (Self::Promises, Self::Refs) {
                $(let $name = Promise::<$name>::new();)*
                let refs = ($($name.1,)*);
                (($(PromiseOf($name.0),)*), refs)
            }
            #[allow(non_snake_case, reason = "the type parameter names the value")]
            fn fulfil(self, promises: Self::Promises) {
                let ($($name,)*) = self;
                returns!(@fulfil promises $($name)*);
            }
            #[allow(non_snake_case, reason = "the type parameter names the promise")]
            fn fail(promises: Self::Promises, fault: FaultPtr) {
                let ($($name,)*) = promises;
                $($name.0.fulfil(Err(fault.0.clone()));)*
            }
            fn travel<M: Function>(self) -> Result<Self, Failure> {
                Ok(($(portable::result::<M, $name>($at, self.$at)?,)*))
            }
        }
    };
    (@fulfil $promises:ident $($name:ident)*) => {
        let values = ($($name,)*);
        returns!(@each $promises values; $($name)*; 0 1 2 3 4 5 6 7)
    };
    (@each $promises:ident $values:ident; ; $($rest:tt)*) => {};
    (@each $promises:ident $values:ident; $first:ident $($name:ident)*; $at:tt $($rest:tt)*) => {
        $promises.$at.0.fulfil(Ok($values.$at));
        returns!(@each $promises $values; $($name)*; $($rest)*)
    };
}

/// An opaque promise.
#[doc(hidden)]
pub struct PromiseOf<T: Send + Sync + 'static>(Promise<T>);

returns!(A 0);
returns!(A 0 B 1);
returns!(A 0 B 1 C 2);
returns!(A 0 B 1 C 2 D 3);
returns!(A 0 B 1 C 2 D 3 E 4);
returns!(A 0 B 1 C 2 D 3 E 4 F 5);
returns!(A 0 B 1 C 2 D 3 E 4 F 5 G 6);
returns!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7);
