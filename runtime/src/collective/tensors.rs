//! What one member gives to an operation, and gets: a tensor, or several of them in lists, tuples and
//! arrays, each of which is worked on as if it were alone.
//!
//! - TL-1 what is given has one shape on every rank: as many members of each list, in the same order.
//!   What it comes to has that shape again.

use crate::error::{Error, Result};
use crate::graph::members::TensorValue;
use crate::object::tensor::Tensor;
use serde::{Deserialize, Serialize};
use std::any::type_name;

/// A tensor, or several of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Tensors {
    /// One.
    One(Tensor),
    /// A list of what may be lists again.
    Many(Vec<Tensors>),
}

impl Tensors {
    /// Members of the list, if it is one.
    pub(super) fn count(&self) -> Option<usize> {
        match self {
            Self::One(_) => None,
            Self::Many(members) => Some(members.len()),
        }
    }

    /// The tensor that it is.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if it is a list.
    pub fn into_one(self) -> Result<Tensor> {
        match self {
            Self::One(tensor) => Ok(tensor),
            Self::Many(members) => Err(wrong(format!("a list of {}", members.len()), "one tensor")),
        }
    }

    /// The members of the list that it is; `count` of them if that is known.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if it is none, or one of another length.
    pub fn into_members(self, count: Option<usize>) -> Result<Vec<Tensors>> {
        match self {
            Self::Many(members) if count.is_none_or(|count| count == members.len()) => Ok(members),
            Self::Many(members) => Err(wrong(
                format!("a list of {}", members.len()),
                "another length",
            )),
            Self::One(_) => Err(wrong("one tensor".into(), "a list")),
        }
    }
}

#[cold]
fn wrong(found: String, expected: &str) -> Error {
    Error::InvalidArgument {
        argument: "tensors",
        problem: format!("{found} came, and not {expected}"),
        remedy: "give values of one type on every rank".into(),
    }
}

impl From<Tensor> for Tensors {
    fn from(tensor: Tensor) -> Self {
        Self::One(tensor)
    }
}

/// A value that collectives can work on: a [`TensorValue`], or a vector, an array or a tuple of such
/// values, which may be nested. Each tensor in it is worked on as if it were alone, all of them in one
/// operation.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a value that collectives work on",
    note = "give a `Tensor` or an `Array<T>`, or a vector, an array or a tuple of those"
)]
pub trait CollectiveValue: Clone + Send + Sync + 'static {
    /// Its tensors, in the same memory.
    ///
    /// # Errors
    /// [`Error::Tensor`] if one of them cannot be one.
    fn to_tensors(&self) -> Result<Tensors>;
    /// From the tensors that a collective gave.
    ///
    /// # Errors
    /// [`Error::Tensor`] if elements are of another type; [`Error::InvalidArgument`] if there are more
    /// or fewer of them.
    fn from_tensors(tensors: Tensors) -> Result<Self>;
}

impl<T: TensorValue> CollectiveValue for T {
    fn to_tensors(&self) -> Result<Tensors> {
        self.to_tensor().map(Tensors::One)
    }
    fn from_tensors(tensors: Tensors) -> Result<Self> {
        T::from_tensor(tensors.into_one()?)
    }
}

impl<T: CollectiveValue> CollectiveValue for Vec<T> {
    fn to_tensors(&self) -> Result<Tensors> {
        let members = self.iter().map(T::to_tensors);
        members.collect::<Result<_>>().map(Tensors::Many)
    }
    fn from_tensors(tensors: Tensors) -> Result<Self> {
        let members = tensors.into_members(None)?.into_iter();
        members.map(T::from_tensors).collect()
    }
}

impl<T: CollectiveValue, const N: usize> CollectiveValue for [T; N] {
    fn to_tensors(&self) -> Result<Tensors> {
        let members = self.iter().map(T::to_tensors);
        members.collect::<Result<_>>().map(Tensors::Many)
    }
    fn from_tensors(tensors: Tensors) -> Result<Self> {
        let members = tensors.into_members(Some(N))?.into_iter();
        let members: Vec<T> = members.map(T::from_tensors).collect::<Result<_>>()?;
        members.try_into().map_err(|members: Vec<T>| {
            wrong(format!("a list of {}", members.len()), type_name::<Self>())
        })
    }
}

macro_rules! tuple {
    ($count:literal: $($name:ident)*) => {
        #[allow(non_snake_case, reason = "the type parameter names the member")]
        impl<$($name: CollectiveValue),*> CollectiveValue for ($($name,)*) {
            fn to_tensors(&self) -> Result<Tensors> {
                let ($($name,)*) = self;
                Ok(Tensors::Many(vec![$($name.to_tensors()?),*]))
            }
            fn from_tensors(tensors: Tensors) -> Result<Self> {
                let mut members = tensors.into_members(Some($count))?.into_iter();
                $(let $name = match members.next() {
                    Some(member) => $name::from_tensors(member)?,
                    None => return Err(wrong("a shorter list".into(), type_name::<Self>())),
                };)*
                Ok(($($name,)*))
            }
        }
    };
}

tuple!(1: A);
tuple!(2: A B);
tuple!(3: A B C);
tuple!(4: A B C D);
tuple!(5: A B C D E);
tuple!(6: A B C D E F);
tuple!(7: A B C D E F G);
tuple!(8: A B C D E F G H);
