//! `Member`: one rank's end of a group.

use super::communicator::{Communicator, HostStream, Spec};
use super::core::GroupCore;
use super::elsewhere::Elsewhere;
use super::hub::Hub;
use super::operation::{Contribution, Operation, ReduceOp};
use super::tensors::{CollectiveValue, Tensors};
use super::transport::Transport;
use crate::actor::handle::Actor;
use crate::error::{Error, Result};
use crate::node::Node;
use crate::object::tensor::Tensor;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// One rank's end of a [`Group`](super::Group): goes to its actor like any value, and is kept there
/// for as long as the group lasts.
///
/// Every rank calls the same operations in the same order; each call waits until all have come, and
/// blocks its task, not its core. Clones are the same rank.
///
/// # Cancel safety
/// A call that ends by its limit, or because its task is cancelled, is taken back: for the others
/// this rank has not come yet, and the same call can be made again.
#[derive(Clone)]
pub struct Member {
    way: Way,
    rank: usize,
    timeout: Option<Duration>,
}

/// How a member reaches its group.
#[derive(Clone)]
enum Way {
    /// It is in this process.
    Here(Arc<GroupCore>),
    /// It is in another one.
    There(Arc<Elsewhere>),
}

impl Member {
    pub(super) fn new(core: Arc<GroupCore>, rank: usize, timeout: Option<Duration>) -> Self {
        Self {
            way: Way::Here(core),
            rank,
            timeout,
        }
    }

    fn group_name(&self) -> &str {
        match &self.way {
            Way::Here(core) => &core.name,
            Way::There(elsewhere) => &elsewhere.name,
        }
    }

    /// Its place in the group.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// How many members there are.
    #[must_use]
    pub fn world_size(&self) -> usize {
        match &self.way {
            Way::Here(core) => core.world_size(),
            Way::There(elsewhere) => elsewhere.world_size,
        }
    }

    /// The same member, which waits for the others no longer than this in each operation.
    #[must_use]
    pub fn with_timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// All ranks' tensors as one, element by element; the same on every rank. They have one type
    /// and one shape.
    ///
    /// # Errors
    /// [`CollectiveError`](super::CollectiveError) in [`Error::Collective`]; [`Error::Cancelled`] and
    /// [`Error::ShutDown`], as for `get`.
    pub fn allreduce(&self, tensor: &Tensor, op: ReduceOp) -> Result<Tensor> {
        self.tensor_of(Operation::Allreduce(op), Some(tensor))
    }

    /// All ranks' tensors, one after the other along the first dimension. They have one type and one
    /// shape; scalars become a vector.
    ///
    /// # Errors
    /// As [`allreduce`](Self::allreduce).
    pub fn allgather(&self, tensor: &Tensor) -> Result<Tensor> {
        self.tensor_of(Operation::Allgather, Some(tensor))
    }

    /// As [`allreduce`](Self::allreduce), but of the result's first dimension only the part of this
    /// rank, which is an equal share.
    ///
    /// # Errors
    /// As [`allreduce`](Self::allreduce), and if the first dimension is not divisible by the world
    /// size.
    pub fn reduce_scatter(&self, tensor: &Tensor, op: ReduceOp) -> Result<Tensor> {
        self.tensor_of(Operation::ReduceScatter(op), Some(tensor))
    }

    /// The tensor of `root`, which alone gives one: its memory, not a copy.
    ///
    /// # Errors
    /// As [`allreduce`](Self::allreduce); [`Error::InvalidArgument`] if `root` is no rank, if it gives
    /// no tensor, or if another rank gives one.
    pub fn broadcast(&self, root: usize, tensor: Option<&Tensor>) -> Result<Tensor> {
        self.check_root(root, tensor.is_some())?;
        self.tensor_of(Operation::Broadcast { root }, tensor)
    }

    /// As [`allreduce`](Self::allreduce), of all tensors in `values` in one operation: of a vector, an
    /// array or a tuple of tensors and arrays, which may be nested. Each is worked on as if it were alone,
    /// so they may be of different types and shapes.
    ///
    /// ```
    /// # use maser::collective::{Member, ReduceOp};
    /// # use maser::Tensor;
    /// fn step(member: &Member, weights: Vec<Tensor>, bias: Tensor) -> maser::Result<()> {
    ///     let (weights, bias) = member.allreduce_all(&(weights, bias), ReduceOp::Average)?;
    ///     # let _ = (weights, bias);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`allreduce`](Self::allreduce); ranks that give lists of different lengths are a mismatch.
    pub fn allreduce_all<T: CollectiveValue>(&self, values: &T, op: ReduceOp) -> Result<T> {
        self.values_of(Operation::Allreduce(op), Some(values))
    }

    /// As [`allgather`](Self::allgather), of all tensors in `values` in one operation.
    ///
    /// # Errors
    /// As [`allreduce_all`](Self::allreduce_all).
    pub fn allgather_all<T: CollectiveValue>(&self, values: &T) -> Result<T> {
        self.values_of(Operation::Allgather, Some(values))
    }

    /// As [`reduce_scatter`](Self::reduce_scatter), of all tensors in `values` in one operation.
    ///
    /// # Errors
    /// As [`allreduce_all`](Self::allreduce_all), and if one of the first dimensions is not divisible
    /// by the world size.
    pub fn reduce_scatter_all<T: CollectiveValue>(&self, values: &T, op: ReduceOp) -> Result<T> {
        self.values_of(Operation::ReduceScatter(op), Some(values))
    }

    /// As [`broadcast`](Self::broadcast), of all tensors in `values` in one operation.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast), and if what came has not the shape of a `T`.
    pub fn broadcast_all<T: CollectiveValue>(&self, root: usize, values: Option<&T>) -> Result<T> {
        self.check_root(root, values.is_some())?;
        self.values_of(Operation::Broadcast { root }, values)
    }

    /// Waits until every rank has come.
    ///
    /// # Errors
    /// As [`allreduce`](Self::allreduce).
    pub fn barrier(&self) -> Result<()> {
        self.perform(Operation::Barrier, None).map(drop)
    }

    /// Gives a tensor to `peer`, which takes what this rank sent in the order in which it was sent:
    /// its memory, not a copy. Returns at once, unless the peer has many to take yet.
    ///
    /// # Errors
    /// As [`allreduce`](Self::allreduce); [`Error::InvalidArgument`] if `peer` is no other rank.
    pub fn send(&self, tensor: &Tensor, peer: usize) -> Result<()> {
        self.check_peer(peer)?;
        let (from, to) = (self.rank, peer);
        self.perform(Operation::Message { from, to }, Some(tensor))
            .map(drop)
    }

    /// The next tensor that `peer` sent to this rank.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn recv(&self, peer: usize) -> Result<Tensor> {
        self.check_peer(peer)?;
        let (from, to) = (peer, self.rank);
        self.tensor_of(Operation::Message { from, to }, None)
    }

    fn check_rank(&self, argument: &'static str, rank: usize) -> Result<()> {
        if rank < self.world_size() {
            return Ok(());
        }
        Err(Error::InvalidArgument {
            argument,
            problem: format!("{rank}, in a group of {} members", self.world_size()),
            remedy: format!("name a rank from 0 to {}", self.world_size() - 1),
        })
    }

    fn check_root(&self, root: usize, gives: bool) -> Result<()> {
        self.check_rank("root", root)?;
        if gives == (root == self.rank) {
            return Ok(());
        }
        Err(Error::InvalidArgument {
            argument: "tensor",
            problem: match gives {
                true => format!("rank {} gives one, and the root is {root}", self.rank),
                false => format!("rank {root} is the root and gives none"),
            },
            remedy: "give Some(tensor) on the root, and None on all others".into(),
        })
    }

    fn check_peer(&self, peer: usize) -> Result<()> {
        self.check_rank("peer", peer)?;
        if peer != self.rank {
            return Ok(());
        }
        Err(Error::InvalidArgument {
            argument: "peer",
            problem: format!("rank {peer} is this member itself"),
            remedy: "name another rank".into(),
        })
    }

    fn tensor_of(&self, operation: Operation, tensor: Option<&Tensor>) -> Result<Tensor> {
        self.tensors_of(operation, tensor.cloned().map(Tensors::One))?
            .into_one()
    }

    fn values_of<T: CollectiveValue>(&self, operation: Operation, values: Option<&T>) -> Result<T> {
        let given = values.map(T::to_tensors).transpose()?;
        T::from_tensors(self.tensors_of(operation, given)?)
    }

    fn tensors_of(&self, operation: Operation, given: Option<Tensors>) -> Result<Tensors> {
        match self.take_part(operation, Contribution::Part(operation, given))? {
            Some(tensors) => Ok(tensors),
            None => unreachable!("a barrier alone comes to nothing, and what is sent"),
        }
    }

    fn perform(&self, operation: Operation, tensor: Option<&Tensor>) -> Result<Option<Tensors>> {
        let given = tensor.cloned().map(Tensors::One);
        self.take_part(operation, Contribution::Part(operation, given))
    }

    /// Gives this to the next operation of this rank, and waits for what it comes to: for nodes of
    /// graphs, which may have nothing to give but an error.
    ///
    /// # Errors
    /// As [`allreduce`](Self::allreduce).
    pub(crate) fn take_part(
        &self,
        operation: Operation,
        part: Contribution,
    ) -> Result<Option<Tensors>> {
        let core = match &self.way {
            Way::Here(core) => core,
            Way::There(elsewhere) => {
                return elsewhere.perform(self.rank, operation, part, self.timeout);
            }
        };
        let ticket = core.contribute(self.rank, operation, part)?;
        match operation {
            Operation::Message { from, .. } if from == self.rank => {
                ticket.wait_for_room(self.timeout)?;
                Ok(None)
            }
            _ => ticket.wait_or_take_back(self.timeout),
        }
    }
}

/// `found`, if it is what was expected.
fn checked(found: Tensor, expected: Option<&Spec>) -> Result<Tensor> {
    match expected {
        Some(spec) if found.dtype() != spec.dtype || found.shape() != spec.shape => {
            Err(Error::InvalidArgument {
                argument: "expected",
                problem: format!(
                    "{} {:?}, and {} {:?} came",
                    spec.dtype,
                    spec.shape,
                    found.dtype(),
                    found.shape()
                ),
                remedy: "expect what the other rank gives".into(),
            })
        }
        _ => Ok(found),
    }
}

impl Communicator for Member {
    type Tensor = Tensor;
    type Stream = HostStream;

    fn transport(&self) -> &'static str {
        Transport::SharedMemory.name()
    }

    fn rank(&self) -> usize {
        self.rank
    }

    fn world_size(&self) -> usize {
        self.world_size()
    }

    fn allreduce(&self, tensor: &Tensor, op: ReduceOp, _: &HostStream) -> Result<Tensor> {
        self.allreduce(tensor, op)
    }

    fn allgather(&self, tensor: &Tensor, _: &HostStream) -> Result<Tensor> {
        self.allgather(tensor)
    }

    fn reduce_scatter(&self, tensor: &Tensor, op: ReduceOp, _: &HostStream) -> Result<Tensor> {
        self.reduce_scatter(tensor, op)
    }

    fn broadcast(
        &self,
        root: usize,
        tensor: Option<&Tensor>,
        expected: Option<&Spec>,
        _: &HostStream,
    ) -> Result<Tensor> {
        checked(self.broadcast(root, tensor)?, expected)
    }

    fn send(&self, tensor: &Tensor, peer: usize, _: &HostStream) -> Result<()> {
        self.send(tensor, peer)
    }

    fn recv(&self, peer: usize, expected: Option<&Spec>, _: &HostStream) -> Result<Tensor> {
        checked(self.recv(peer)?, expected)
    }

    fn barrier(&self, _: &HostStream) -> Result<()> {
        self.barrier()
    }

    fn destroy(&self) {
        let reason = format!("rank {} destroyed it", self.rank);
        match &self.way {
            Way::Here(core) => core.close(&reason),
            Way::There(elsewhere) => elsewhere.close(reason),
        }
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} of {}", self.rank, self.group_name())
    }
}

/// A member in the bytes of a value: group, rank, limit, world size and name of the group, and the
/// way of other processes, while the group lasts.
type Mark = (
    u64,
    usize,
    Option<Duration>,
    usize,
    String,
    Option<Actor<Hub>>,
);

impl Serialize for Member {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (id, hub) = match &self.way {
            Way::Here(core) => (core.id, core.hub()),
            Way::There(elsewhere) => (elsewhere.id, elsewhere.hub.clone()),
        };
        let name = self.group_name().to_owned();
        let mark: Mark = (id, self.rank, self.timeout, self.world_size(), name, hub);
        mark.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (id, rank, timeout, world_size, name, hub) = Mark::deserialize(deserializer)?;
        if rank >= world_size {
            return Err(D::Error::custom(
                "a member whose rank its group does not have",
            ));
        }
        let node = Node::current("a member of a group").map_err(D::Error::custom)?;
        let way = match node.collectives.find(id) {
            Some(core) if core.world_size() == world_size => Way::Here(core),
            _ => Way::There(Arc::new(Elsewhere {
                id,
                name,
                world_size,
                hub,
            })),
        };
        Ok(Self { way, rank, timeout })
    }
}
