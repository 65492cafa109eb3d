//! What the parts of all ranks come to: checks that they fit together, and the result.
//!
//! - GP-5 parts are combined in the order of the ranks, each element on its own, so that the result
//!   depends on nothing else: not on who came last, not on how the elements were divided up.

use super::error::{CollectiveError, Who};
use super::operation::{Contribution, Operation, ReduceOp};
use super::reduce::{Number, reduce};
use crate::error::{Error, Result};
use crate::object::array::Array;
use crate::object::tensor::Tensor;
use maser_shm::tensor::dtype::{bf16, f16};
use maser_shm::tensor::{Bool, Complex, DType, Element};
use std::sync::Arc;

/// What an operation came to, for all ranks.
pub(super) type Outcome = std::result::Result<Shared, Arc<CollectiveError>>;

/// What it came to for one of them.
pub(super) type Taken = std::result::Result<Option<Tensor>, Arc<CollectiveError>>;

/// A result before each rank has taken its own.
#[derive(Clone, Debug)]
pub(super) enum Shared {
    /// Everybody has come.
    Nothing,
    /// The same memory for all.
    Same(Tensor),
    /// Each its part.
    Parts(Arc<[Tensor]>),
}

impl Shared {
    pub(super) fn of(self, rank: usize) -> Option<Tensor> {
        match self {
            Self::Nothing => None,
            Self::Same(tensor) => Some(tensor),
            Self::Parts(parts) => parts.get(rank).cloned(),
        }
    }
}

/// The group and the operation, for errors.
pub(super) struct Naming<'a> {
    pub(super) group: &'a str,
    pub(super) number: u64,
    pub(super) who: &'a dyn Fn(usize) -> Who,
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

/// What `given`, by rank, comes to.
pub(super) fn combine(given: Vec<Contribution>, naming: &Naming<'_>) -> Outcome {
    let operation = agreed(&given, naming)?;
    let first = given[0].clone();
    let tensors: Vec<Tensor> = given.into_iter().filter_map(tensor_of).collect();
    if let Operation::ReduceScatter(_) = operation {
        divisible(&first, &tensors, naming)?;
    }
    perform(operation, &tensors).map_err(|error| match error {
        Error::Collective(error) => error,
        other => naming.impossible(&first, other.to_string(), "see the cause"),
    })
}

fn tensor_of(part: Contribution) -> Option<Tensor> {
    match part {
        Contribution::Part(_, tensor) => tensor,
        Contribution::Failed(_) => None,
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
            (_, Some(one), Some(other)) => {
                one.dtype() == other.dtype() && one.shape() == other.shape()
            }
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
    let dtype = model.as_ref().map(Tensor::dtype);
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

/// Calls the function with the type of the elements.
macro_rules! for_type {
    ($dtype:expr, $name:ident => $call:expr, else $other:expr) => {
        match $dtype {
            DType::U8 => {
                type $name = u8;
                $call
            }
            DType::I8 => {
                type $name = i8;
                $call
            }
            DType::U16 => {
                type $name = u16;
                $call
            }
            DType::I16 => {
                type $name = i16;
                $call
            }
            DType::U32 => {
                type $name = u32;
                $call
            }
            DType::I32 => {
                type $name = i32;
                $call
            }
            DType::U64 => {
                type $name = u64;
                $call
            }
            DType::I64 => {
                type $name = i64;
                $call
            }
            DType::F16 => {
                type $name = f16;
                $call
            }
            DType::Bf16 => {
                type $name = bf16;
                $call
            }
            DType::F32 => {
                type $name = f32;
                $call
            }
            DType::F64 => {
                type $name = f64;
                $call
            }
            _ => $other,
        }
    };
}

fn perform(operation: Operation, tensors: &[Tensor]) -> Result<Shared> {
    match operation {
        Operation::Barrier => Ok(Shared::Nothing),
        Operation::Broadcast { .. } | Operation::Message { .. } => {
            Ok(Shared::Same(tensors[0].clone()))
        }
        Operation::Allgather => gathered(tensors).map(Shared::Same),
        Operation::Allreduce(op) => reduced(op, tensors).map(Shared::Same),
        Operation::ReduceScatter(op) => {
            let whole = reduced(op, tensors)?;
            let rows = whole.shape()[0] / tensors.len();
            let parts =
                (0..tensors.len()).map(|rank| whole.slice(0, rank * rows..(rank + 1) * rows, 1));
            Ok(Shared::Parts(parts.collect::<Result<_>>()?))
        }
    }
}

fn reduced(op: ReduceOp, tensors: &[Tensor]) -> Result<Tensor> {
    for_type!(tensors[0].dtype(), T => reduced_as::<T>(op, tensors), else unreachable!("refused before"))
}

fn reduced_as<T: Number>(op: ReduceOp, tensors: &[Tensor]) -> Result<Tensor> {
    let arrays = arrays_of::<T>(tensors)?;
    let parts: Vec<&[T]> = arrays.iter().map(|array| &array[..]).collect();
    let make = |whole: &mut [T]| reduce(op, whole, &parts);
    made(
        parts[0].len(),
        is_for_others(tensors),
        make,
        tensors[0].shape(),
    )
}

/// Results from this size on lie where other processes can read them, if the parts do.
const IN_STORE_BYTES: usize = 4096;

fn is_for_others(tensors: &[Tensor]) -> bool {
    tensors.iter().any(Tensor::is_in_store)
}

/// A tensor whose elements `make` writes.
fn made<T: Element + Default>(
    len: usize,
    for_others: bool,
    make: impl FnOnce(&mut [T]),
    shape: &[usize],
) -> Result<Tensor> {
    if for_others && len * size_of::<T>() >= IN_STORE_BYTES {
        // A store that is full is no reason to fail: who needs it there copies it later.
        if let Ok(mut whole) = Array::<T>::in_store(len) {
            make(&mut whole);
            return Tensor::new(&whole.seal(), shape);
        }
    }
    let mut whole = vec![T::default(); len];
    make(&mut whole);
    Tensor::from_vec(whole, shape)
}

fn gathered(tensors: &[Tensor]) -> Result<Tensor> {
    let mut shape = tensors[0].shape().to_vec();
    match shape.first_mut() {
        Some(rows) => *rows *= tensors.len(),
        None => shape.push(tensors.len()),
    }
    let dtype = tensors[0].dtype();
    for_type!(dtype, T => joined::<T>(tensors, &shape), else match dtype {
        DType::C64 => joined::<Complex<f32>>(tensors, &shape),
        DType::C128 => joined::<Complex<f64>>(tensors, &shape),
        _ => joined::<Bool>(tensors, &shape),
    })
}

fn joined<T: Element + Default>(tensors: &[Tensor], shape: &[usize]) -> Result<Tensor> {
    let arrays = arrays_of::<T>(tensors)?;
    let make = |whole: &mut [T]| {
        let mut rest = whole;
        for array in &arrays {
            let (part, after) = rest.split_at_mut(array.len());
            part.copy_from_slice(array);
            rest = after;
        }
    };
    let len = arrays.iter().map(|array| array.len()).sum();
    made(len, is_for_others(tensors), make, shape)
}

/// The elements row by row; those of a view that are not are copied.
fn arrays_of<T: Element>(tensors: &[Tensor]) -> Result<Vec<Array<T>>> {
    let arrays = tensors
        .iter()
        .map(|tensor| tensor.to_contiguous()?.to_array());
    arrays.collect()
}
