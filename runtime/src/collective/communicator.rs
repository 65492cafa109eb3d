//! What every transport of a group can do.

use super::operation::ReduceOp;
use crate::error::Result;
use maser_shm::tensor::DType;

/// Type and shape of a tensor that is to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Type of its elements.
    pub dtype: DType,
    /// Elements along each axis.
    pub shape: Vec<usize>,
}

/// Where operations on host memory are ordered: nowhere, they are done when they return.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostStream;

/// One member's end of a group: its rank, and the operations that all ranks do together.
///
/// Each rank calls the same operations in the same order. An operation is *enqueued* on a stream:
/// what it returns may be used by whatever is enqueued on the same stream later. On the host there
/// is no stream, and an operation is done when it returns; a transport between devices returns at
/// once and the device waits. Nothing here says where tensors lie, nor how they travel.
///
/// An error of an operation is told to every rank that takes part, and the next operation is not
/// affected, unless the error is the end of the group.
pub trait Communicator: Send + Sync {
    /// A tensor where this transport moves tensors.
    type Tensor;
    /// What orders the operations of a rank.
    type Stream: ?Sized;

    /// `gloo`, `nccl`.
    fn transport(&self) -> &'static str;

    /// This member's place, `0..world_size`.
    fn rank(&self) -> usize;

    /// How many members there are.
    fn world_size(&self) -> usize;

    /// All ranks' tensors as one, element by element, on every rank.
    ///
    /// # Errors
    /// If the ranks do not fit together, or one of them is late or dead.
    fn allreduce(
        &self,
        tensor: &Self::Tensor,
        op: ReduceOp,
        stream: &Self::Stream,
    ) -> Result<Self::Tensor>;

    /// All ranks' tensors along the first dimension, on every rank.
    ///
    /// # Errors
    /// As [`allreduce`](Self::allreduce).
    fn allgather(&self, tensor: &Self::Tensor, stream: &Self::Stream) -> Result<Self::Tensor>;

    /// This rank's part, along the first dimension, of all tensors as one.
    ///
    /// # Errors
    /// As [`allreduce`](Self::allreduce), and if the first dimension is not divisible by the world
    /// size.
    fn reduce_scatter(
        &self,
        tensor: &Self::Tensor,
        op: ReduceOp,
        stream: &Self::Stream,
    ) -> Result<Self::Tensor>;

    /// The tensor of `root`, on every rank. The root gives one, the others give none, and say what
    /// they expect if the transport has to know beforehand.
    ///
    /// # Errors
    /// As [`allreduce`](Self::allreduce).
    fn broadcast(
        &self,
        root: usize,
        tensor: Option<&Self::Tensor>,
        expected: Option<&Spec>,
        stream: &Self::Stream,
    ) -> Result<Self::Tensor>;

    /// Gives a tensor to `peer`, which takes those of this rank in the order in which they were
    /// sent.
    ///
    /// # Errors
    /// If the peer is dead, or late in taking what was sent before.
    fn send(&self, tensor: &Self::Tensor, peer: usize, stream: &Self::Stream) -> Result<()>;

    /// The next tensor of `peer`. What is expected is checked where it is given, and needed by
    /// transports that make the memory beforehand.
    ///
    /// # Errors
    /// If the peer is late or dead, or sent something else.
    fn recv(
        &self,
        peer: usize,
        expected: Option<&Spec>,
        stream: &Self::Stream,
    ) -> Result<Self::Tensor>;

    /// Returns when every rank has come, and what each had enqueued is done.
    ///
    /// # Errors
    /// As [`allreduce`](Self::allreduce).
    fn barrier(&self, stream: &Self::Stream) -> Result<()>;

    /// Ends the group for all ranks: what is under way fails, and everything later.
    fn destroy(&self);
}
