//! Arguments: a value or a [`Ref`] wherever an argument goes.
//!
//! `IntoArg<T>` is what a caller may write for a parameter `x: T`, `IntoArgRef<T>` for `x: &T`.
//! Both turn it into a *holder*, which travels with the task and gives the value when it starts.
//! The kind of holder is known at compile time, so a task of plain values tests nothing.

use super::failure::Failure;
use super::portable::Arrived;
use super::raw::Header;
use crate::object::reference::Ref;
use std::any::Any;
use std::ptr::NonNull;

/// What every holder can say of itself.
pub trait Holder: Send + 'static {
    /// Whether there may be something to wait for.
    const MAY_WAIT: bool;
    /// The cell that must be done before the value can be had.
    #[doc(hidden)]
    fn cell(&self) -> Option<CellPtr>;
    /// Puts what arrives in the place of the value, which is there (PB-2).
    #[doc(hidden)]
    fn travel(&mut self, send: &mut dyn FnMut(&dyn Any) -> Arrived) -> Result<(), Failure>;
    /// Shows the value, which is there; it is the `index`th argument.
    #[doc(hidden)]
    fn show(
        &self,
        index: usize,
        to: &mut dyn FnMut(usize, &dyn Any) -> Result<(), Failure>,
    ) -> Result<(), Failure>;
}

/// `value` as it arrives; `None` if there is nothing to encode.
#[cold]
fn arrived<T: 'static>(
    value: &T,
    send: &mut dyn FnMut(&dyn Any) -> Arrived,
) -> Result<Option<T>, Failure> {
    let arrived = send(value)?.and_then(|value| value.downcast().ok());
    Ok(arrived.map(|value| *value))
}

/// An opaque pointer to a cell.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct CellPtr(pub(crate) NonNull<Header>);

/// A holder for a parameter `x: T`.
pub trait Arg<T>: Holder {
    /// The value; the `index`th argument of the function.
    fn value(self, index: usize) -> Result<T, Failure>;
}

/// A holder for a parameter `x: &T`.
pub trait ArgRef<T>: Holder {
    /// The value in place.
    fn borrow(&self, index: usize) -> Result<&T, Failure>;
}

/// What may be written for a parameter `x: T`: a `T`, a [`Ref<T>`](Ref) or `&Ref<T>`.
#[diagnostic::on_unimplemented(
    message = "an argument of type `{Self}` does not fit a parameter of type `{T}`",
    note = "write a value of type `{T}`, or a `Ref<{T}>` (or a reference to one)"
)]
pub trait IntoArg<T> {
    /// How it travels.
    type Holder: Arg<T>;
    /// Makes the holder.
    fn into_holder(self) -> Self::Holder;
}

/// What may be written for a parameter `x: &T`: a `T`, a [`Ref<T>`](Ref) or `&Ref<T>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be passed for a parameter that borrows a `{T}`",
    note = "write a value of type `{T}`, or a `Ref<{T}>` (or a reference to one)"
)]
pub trait IntoArgRef<T> {
    /// How it travels.
    type Holder: ArgRef<T>;
    /// Makes the holder.
    fn into_holder_ref(self) -> Self::Holder;
}

/// A value.
#[derive(Clone)]
pub struct ValueArg<T>(pub(crate) T);

impl<T: Send + 'static> Holder for ValueArg<T> {
    const MAY_WAIT: bool = false;
    #[inline(always)]
    fn cell(&self) -> Option<CellPtr> {
        None
    }
    fn travel(&mut self, send: &mut dyn FnMut(&dyn Any) -> Arrived) -> Result<(), Failure> {
        if let Some(value) = arrived(&self.0, send)? {
            self.0 = value;
        }
        Ok(())
    }
    fn show(
        &self,
        index: usize,
        to: &mut dyn FnMut(usize, &dyn Any) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        to(index, &self.0)
    }
}

impl<T: Send + 'static> Arg<T> for ValueArg<T> {
    #[inline(always)]
    fn value(self, _: usize) -> Result<T, Failure> {
        Ok(self.0)
    }
}

impl<T: Send + 'static> ArgRef<T> for ValueArg<T> {
    #[inline(always)]
    fn borrow(&self, _: usize) -> Result<&T, Failure> {
        Ok(&self.0)
    }
}

/// A ref whose value is taken when the task starts.
pub struct RefArg<T>(pub(crate) Ref<T>);

impl<T: Send + Sync + 'static> Holder for RefArg<T> {
    const MAY_WAIT: bool = true;
    fn cell(&self) -> Option<CellPtr> {
        Some(CellPtr(self.0.cell()))
    }
    fn travel(&mut self, send: &mut dyn FnMut(&dyn Any) -> Arrived) -> Result<(), Failure> {
        travel_in_ref(&mut self.0, send)
    }
    fn show(
        &self,
        index: usize,
        to: &mut dyn FnMut(usize, &dyn Any) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        to(index, self.borrow(index)?)
    }
}

/// A ref of an error stays as it is: the function gives the error on.
fn travel_in_ref<T: Send + Sync + 'static>(
    value: &mut Ref<T>,
    send: &mut dyn FnMut(&dyn Any) -> Arrived,
) -> Result<(), Failure> {
    let arrived = match value.outcome_ref() {
        Ok(value) => arrived(value, send)?,
        Err(_) => None,
    };
    if let Some(arrived) = arrived {
        *value = Ref::done(Ok(arrived));
    }
    Ok(())
}

impl<T: Clone + Send + Sync + 'static> Arg<T> for RefArg<T> {
    fn value(self, index: usize) -> Result<T, Failure> {
        self.0
            .into_value()
            .map_err(|fault| Failure::argument(index, fault))
    }
}

impl<T: Send + Sync + 'static> ArgRef<T> for RefArg<T> {
    fn borrow(&self, index: usize) -> Result<&T, Failure> {
        self.0
            .outcome_ref()
            .map_err(|fault| Failure::argument(index, fault))
    }
}

impl<T: Send + 'static> IntoArg<T> for T {
    type Holder = ValueArg<T>;
    #[inline(always)]
    fn into_holder(self) -> ValueArg<T> {
        ValueArg(self)
    }
}

impl<T: Clone + Send + Sync + 'static> IntoArg<T> for Ref<T> {
    type Holder = RefArg<T>;
    fn into_holder(self) -> RefArg<T> {
        RefArg(self)
    }
}

impl<T: Clone + Send + Sync + 'static> IntoArg<T> for &Ref<T> {
    type Holder = RefArg<T>;
    fn into_holder(self) -> RefArg<T> {
        RefArg(self.clone())
    }
}

impl IntoArg<String> for &str {
    type Holder = ValueArg<String>;
    fn into_holder(self) -> ValueArg<String> {
        ValueArg(self.to_owned())
    }
}

impl<T: Send + 'static> IntoArgRef<T> for T {
    type Holder = ValueArg<T>;
    #[inline(always)]
    fn into_holder_ref(self) -> ValueArg<T> {
        ValueArg(self)
    }
}

impl<T: Send + Sync + 'static> IntoArgRef<T> for Ref<T> {
    type Holder = RefArg<T>;
    fn into_holder_ref(self) -> RefArg<T> {
        RefArg(self)
    }
}

impl<T: Send + Sync + 'static> IntoArgRef<T> for &Ref<T> {
    type Holder = RefArg<T>;
    fn into_holder_ref(self) -> RefArg<T> {
        RefArg(self.clone())
    }
}

impl IntoArgRef<String> for &str {
    type Holder = ValueArg<String>;
    fn into_holder_ref(self) -> ValueArg<String> {
        ValueArg(self.to_owned())
    }
}

/// A value or a ref, where the kind is known only at run time: arguments of graph nodes.
pub enum AnyArg<T> {
    /// A value.
    Value(T),
    /// A ref.
    Ref(Ref<T>),
}

impl<T: Send + Sync + 'static> Holder for AnyArg<T> {
    const MAY_WAIT: bool = true;
    fn cell(&self) -> Option<CellPtr> {
        match self {
            AnyArg::Value(_) => None,
            AnyArg::Ref(value) => Some(CellPtr(value.cell())),
        }
    }
    fn travel(&mut self, send: &mut dyn FnMut(&dyn Any) -> Arrived) -> Result<(), Failure> {
        match self {
            AnyArg::Value(value) => {
                if let Some(arrived) = arrived(value, send)? {
                    *value = arrived;
                }
                Ok(())
            }
            AnyArg::Ref(value) => travel_in_ref(value, send),
        }
    }
    fn show(
        &self,
        index: usize,
        to: &mut dyn FnMut(usize, &dyn Any) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        to(index, self.borrow(index)?)
    }
}

impl<T: Clone + Send + Sync + 'static> Arg<T> for AnyArg<T> {
    #[inline(always)]
    fn value(self, index: usize) -> Result<T, Failure> {
        match self {
            AnyArg::Value(value) => Ok(value),
            AnyArg::Ref(value) => RefArg(value).value(index),
        }
    }
}

impl<T: Send + Sync + 'static> ArgRef<T> for AnyArg<T> {
    #[inline(always)]
    fn borrow(&self, index: usize) -> Result<&T, Failure> {
        match self {
            AnyArg::Value(value) => Ok(value),
            AnyArg::Ref(value) => value
                .outcome_ref()
                .map_err(|fault| Failure::argument(index, fault)),
        }
    }
}

/// A tuple of holders.
pub trait Params: Send + 'static {
    /// Whether any of them may have to be waited for.
    const MAY_WAIT: bool;
    /// Names every cell that must be done first.
    #[doc(hidden)]
    fn cells(&self, visit: &mut dyn FnMut(CellPtr));
    /// Sends every value through bytes, with its position; the values are there.
    #[doc(hidden)]
    fn travel(&mut self, send: &mut dyn FnMut(usize, &dyn Any) -> Arrived) -> Result<(), Failure>;
    /// Shows every value with its position; the values are there.
    #[doc(hidden)]
    fn each(
        &self,
        to: &mut dyn FnMut(usize, &dyn Any) -> Result<(), Failure>,
    ) -> Result<(), Failure>;
}

macro_rules! params {
    ($($name:ident $at:tt)*) => {
        impl<$($name: Holder),*> Params for ($($name,)*) {
            const MAY_WAIT: bool = false $(|| $name::MAY_WAIT)*;
            #[allow(non_snake_case, unused_variables, reason = "the type parameter names the field; the empty tuple visits nothing")]
            fn cells(&self, visit: &mut dyn FnMut(CellPtr)) {
                let ($($name,)*) = self;
                $(if let Some(cell) = $name.cell() { visit(cell); })*
            }
            #[allow(unused_variables, reason = "the empty tuple sends nothing")]
            fn travel(
                &mut self,
                send: &mut dyn FnMut(usize, &dyn Any) -> Arrived,
            ) -> Result<(), Failure> {
                $(self.$at.travel(&mut |value| send($at, value))?;)*
                Ok(())
            }
            #[allow(unused_variables, reason = "the empty tuple shows nothing")]
            fn each(
                &self,
                to: &mut dyn FnMut(usize, &dyn Any) -> Result<(), Failure>,
            ) -> Result<(), Failure> {
                $(self.$at.show($at, to)?;)*
                Ok(())
            }
        }
    };
}

params!();
params!(A 0);
params!(A 0 B 1);
params!(A 0 B 1 C 2);
params!(A 0 B 1 C 2 D 3);
params!(A 0 B 1 C 2 D 3 E 4);
params!(A 0 B 1 C 2 D 3 E 4 F 5);
params!(A 0 B 1 C 2 D 3 E 4 F 5 G 6);
params!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7);
params!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8);
params!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9);
params!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10);
params!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11);
