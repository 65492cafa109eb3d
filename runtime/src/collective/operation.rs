//! What a group does together, and what a member gives to it.

use super::tensors::Tensors;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How elements of the same place become one.
///
/// Integers wrap in sums and products. An average of integers is their exact sum, divided and cut
/// off towards zero. A NaN stays one in `Min` and `Max`, as in all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum ReduceOp {
    /// All of them added up.
    Sum = 0,
    /// All of them multiplied.
    Product = 1,
    /// The greatest.
    Max = 2,
    /// The least.
    Min = 3,
    /// The sum divided by the number of ranks.
    Average = 4,
}

impl ReduceOp {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] = [
        Self::Sum,
        Self::Product,
        Self::Max,
        Self::Min,
        Self::Average,
    ];
}

impl fmt::Display for ReduceOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sum => "sum",
            Self::Product => "product",
            Self::Max => "max",
            Self::Min => "min",
            Self::Average => "average",
        })
    }
}

/// What all members of a group do at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Operation {
    /// Everybody gets the tensors of all ranks as one, element by element.
    Allreduce(ReduceOp),
    /// Everybody gets the tensors of all ranks, one after the other along the first dimension.
    Allgather,
    /// As [`Allreduce`](Self::Allreduce), but each rank gets its part of the first dimension alone.
    ReduceScatter(ReduceOp),
    /// Everybody gets the tensor of `root`.
    Broadcast {
        /// The rank that gives it.
        root: usize,
    },
    /// Nobody goes on before everybody has come.
    Barrier,
    /// One rank gives a tensor to another; the others have no part in it.
    Message {
        /// Who gives it.
        from: usize,
        /// Who gets it.
        to: usize,
    },
}

impl Operation {
    /// Whether `rank` gives a tensor to it.
    #[must_use]
    pub fn takes_from(self, rank: usize) -> bool {
        match self {
            Self::Allreduce(_) | Self::Allgather | Self::ReduceScatter(_) => true,
            Self::Broadcast { root } => rank == root,
            Self::Message { from, .. } => rank == from,
            Self::Barrier => false,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allreduce(op) => write!(f, "allreduce ({op})"),
            Self::Allgather => f.write_str("allgather"),
            Self::ReduceScatter(op) => write!(f, "reduce_scatter ({op})"),
            Self::Broadcast { root } => write!(f, "broadcast from rank {root}"),
            Self::Barrier => f.write_str("barrier"),
            Self::Message { from, to } => write!(f, "message from rank {from} to rank {to}"),
        }
    }
}

/// What one rank gives to one operation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Contribution {
    /// It takes part, with a tensor or several where the operation takes some from it.
    Part(Operation, Option<Tensors>),
    /// It came this far and has nothing to give, for this reason: the operation fails on every
    /// rank, and the next one is not affected.
    Failed(String),
}

impl Contribution {
    /// The operation that it is a part of.
    pub(super) fn operation(&self) -> Option<Operation> {
        match self {
            Self::Part(operation, _) => Some(*operation),
            Self::Failed(_) => None,
        }
    }

    /// For errors: the operation, with type and shape of the tensor.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Part(operation, None) => operation.to_string(),
            Self::Part(operation, Some(Tensors::One(tensor))) => {
                format!("{operation} of {} {:?}", tensor.dtype(), tensor.shape())
            }
            Self::Part(operation, Some(Tensors::Many(members))) => {
                format!("{operation} of a list of {}", members.len())
            }
            Self::Failed(reason) => format!("an error ({reason})"),
        }
    }
}
