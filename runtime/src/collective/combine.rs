//! What the parts of all ranks come to: checks that they fit together, and the result.
//!
//! - GP-5 parts are combined in the order of the ranks, each element on its own, so that the result
//!   depends on nothing else: not on who came last, not on how the elements were divided up.

use super::error::{CollectiveError, Who};
use super::make::{Made, perform};
use super::operation::{Contribution, Operation};
use super::several::combine_each;
use super::tensors::Tensors;
use crate::object::tensor::Tensor;
use maser_shm::tensor::DType;
use std::sync::Arc;

/// What an operation came to, for all ranks.
pub(super) type Outcome = std::result::Result<Shared, Arc<CollectiveError>>;

/// What it came to for one of them.
pub(super) type Taken = std::result::Result<Option<Tensors>, Arc<CollectiveError>>;

/// A result before each rank has taken its own.
#[derive(Clone, Debug)]
pub(crate) enum Shared {
    /// Everybody has come.
    Nothing,
    /// The same memory for all.
    Same(Tensor),
    /// Each its part.
    Parts(Arc<[Tensor]>),
    /// Of each tensor of a list.
    Many(Arc<[Shared]>),
}

impl Shared {
    pub(crate) fn of(self, rank: usize) -> Option<Tensors> {
        match self {
            Self::Nothing => None,
            Self::Same(tensor) => Some(Tensors::One(tensor)),
            Self::Parts(parts) => parts.get(rank).cloned().map(Tensors::One),
            Self::Many(members) => {
                let members = members.iter().map(|member| member.clone().of(rank));
                members.collect::<Option<_>>().map(Tensors::Many)
            }
        }
    }
}

/// The group and the operation, for errors.
pub(crate) struct Naming<'a> {
    pub(crate) group: &'a str,
    pub(crate) number: u64,
    pub(crate) who: &'a dyn Fn(usize) -> Who,
}

impl Naming<'_> {
    fn mismatch(&self, given: &[Contribution], other: usize) -> Arc<CollectiveError> {
        Arc::new(CollectiveError::Mismatch {
            group: self.group.to_owned(),
            number: self.number,
            one: (self.who)(0),
            one_gave: given[0].text(),
            other: (self.who)(other),
            other_gave: given[other].text(),
        })
    }

    fn impossible(
        &self,
        part: &Contribution,
        problem: String,
        remedy: &str,
    ) -> Arc<CollectiveError> {
        Arc::new(CollectiveError::Impossible {
            group: self.group.to_owned(),
            number: self.number,
            operation: part.text(),
            problem,
            remedy: remedy.to_owned(),
        })
    }
}

/// What `given`, by rank, comes to, or the work that is left to do.
pub(crate) fn combine(
    given: Vec<Contribution>,
    naming: &Naming<'_>,
) -> std::result::Result<Made, Arc<CollectiveError>> {
    let operation = agreed(&given, naming)?;
    let count = given.iter().find_map(|part| match part {
        Contribution::Part(_, Some(tensors)) => tensors.count(),
        _ => None,
    });
    if let Some(count) = count {
        return combine_each(&given, operation, count, naming);
    }
    let first = given[0].clone();
    let tensors: Vec<Tensor> = given.into_iter().filter_map(tensor_of).collect();
    if let Operation::ReduceScatter(_) = operation {
        divisible(&first, &tensors, naming)?;
    }
    perform(operation, &tensors)
        .map_err(|error| naming.impossible(&first, error.to_string(), "see the cause"))
}

fn tensor_of(part: Contribution) -> Option<Tensor> {
    match part {
        Contribution::Part(_, Some(Tensors::One(tensor))) => Some(tensor),
        Contribution::Part(..) | Contribution::Failed(_) => None,
    }
}

/// The operation that all ranks named, with parts that fit together.
fn agreed(
    given: &[Contribution],
    naming: &Naming<'_>,
) -> std::result::Result<Operation, Arc<CollectiveError>> {
    for (rank, part) in given.iter().enumerate() {
        if let Contribution::Failed(reason) = part {
            return Err(Arc::new(CollectiveError::MemberFailed {
                group: naming.group.to_owned(),
                number: naming.number,
                who: (naming.who)(rank),
                reason: reason.clone(),
            }));
        }
    }
    let Contribution::Part(operation, model) = &given[0] else {
        unreachable!("looked at above")
    };
    for (rank, part) in given.iter().enumerate() {
        let Contribution::Part(other, tensor) = part else {
            unreachable!("looked at above")
        };
        let is_alike = match (operation, model, tensor) {
            (Operation::Broadcast { .. } | Operation::Message { .. } | Operation::Barrier, ..) => {
                true
            }
            (_, Some(Tensors::One(one)), Some(Tensors::One(other))) => {
                one.dtype() == other.dtype() && one.shape() == other.shape()
            }
            // Their members are compared one by one.
            (_, Some(Tensors::Many(one)), Some(Tensors::Many(other))) => one.len() == other.len(),
            _ => false,
        };
        if operation != other || !is_alike {
            return Err(naming.mismatch(given, rank));
        }
        if operation.takes_from((naming.who)(rank).rank) != tensor.is_some() {
            let problem = format!("{} must give a tensor or must not", (naming.who)(rank));
            return Err(naming.impossible(part, problem, "call the methods of Member"));
        }
    }
    if let Operation::Broadcast { root } = operation
        && *root >= given.len()
    {
        let problem = format!("there are ranks 0 to {}", given.len() - 1);
        return Err(naming.impossible(&given[0], problem, "name one of them as root"));
    }
    let dtype = match model {
        Some(Tensors::One(tensor)) => Some(tensor.dtype()),
        Some(Tensors::Many(_)) | None => None,
    };
    match (operation, dtype) {
        (
            Operation::Allreduce(_) | Operation::ReduceScatter(_),
            Some(dtype @ (DType::Bool | DType::C64 | DType::C128)),
        ) => Err(naming.impossible(
            &given[0],
            format!("elements of type {dtype} are not reduced"),
            "use integers or floats, or gather them and reduce on your own",
        )),
        _ => Ok(*operation),
    }
}

fn divisible(
    first: &Contribution,
    tensors: &[Tensor],
    naming: &Naming<'_>,
) -> std::result::Result<(), Arc<CollectiveError>> {
    let world_size = tensors.len();
    match tensors[0].shape().first() {
        Some(rows) if rows.is_multiple_of(world_size) => Ok(()),
        Some(rows) => Err(naming.impossible(
            first,
            format!("the first dimension, {rows}, is not divisible by the world size {world_size}"),
            "pad the tensor, or use allreduce",
        )),
        None => Err(naming.impossible(
            first,
            format!("a scalar has no first dimension to divide among {world_size} ranks"),
            "use allreduce",
        )),
    }
}
