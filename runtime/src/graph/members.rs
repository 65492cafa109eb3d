//! What can be a member of a collective in a graph: nodes of tensors, as a vector, a slice or an array.

use super::build::Node;
use super::slot::GraphValue;
use crate::collective::CollectiveValue;
use crate::error::Result;
use crate::object::array::Array;
use crate::object::tensor::Tensor;
use maser_shm::tensor::Element;

/// A value that is one tensor for collectives: [`Tensor`], or an [`Array`] as a tensor of one dimension.
pub trait TensorValue: GraphValue {
    /// As a tensor, in the same memory.
    ///
    /// # Errors
    /// [`Error::Tensor`](crate::Error::Tensor) if it cannot be one.
    fn to_tensor(&self) -> Result<Tensor>;
    /// From the tensor that a collective gave.
    ///
    /// # Errors
    /// [`Error::Tensor`](crate::Error::Tensor) if its elements are of another type.
    fn from_tensor(tensor: Tensor) -> Result<Self>;
}

impl TensorValue for Tensor {
    fn to_tensor(&self) -> Result<Tensor> {
        Ok(self.clone())
    }
    fn from_tensor(tensor: Tensor) -> Result<Self> {
        Ok(tensor)
    }
}

impl<T: Element> TensorValue for Array<T> {
    fn to_tensor(&self) -> Result<Tensor> {
        Tensor::new(self, &[self.len()])
    }
    fn from_tensor(tensor: Tensor) -> Result<Self> {
        tensor.to_contiguous()?.to_array()
    }
}

/// The members of a collective, one node of each: a vector, a slice or an array of nodes. The rank of a
/// member is its place among them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the members of a collective",
    note = "give a vector, a slice or an array of nodes whose values are `Tensor` or `Array<T>`, or vectors, arrays or tuples of those"
)]
pub trait Members {
    /// What each of them gives and gets.
    type Value: CollectiveValue + GraphValue;
    /// A node of each member, in the shape that was given.
    type Nodes;
    #[doc(hidden)]
    fn given(&self) -> &[Node<Self::Value>];
    #[doc(hidden)]
    fn made(nodes: Vec<Node<Self::Value>>) -> Self::Nodes;
}

impl<T: CollectiveValue + GraphValue> Members for Vec<Node<T>> {
    type Value = T;
    type Nodes = Vec<Node<T>>;
    fn given(&self) -> &[Node<T>] {
        self
    }
    fn made(nodes: Vec<Node<T>>) -> Vec<Node<T>> {
        nodes
    }
}

impl<T: CollectiveValue + GraphValue> Members for [Node<T>] {
    type Value = T;
    type Nodes = Vec<Node<T>>;
    fn given(&self) -> &[Node<T>] {
        self
    }
    fn made(nodes: Vec<Node<T>>) -> Vec<Node<T>> {
        nodes
    }
}

impl<T: CollectiveValue + GraphValue, const N: usize> Members for [Node<T>; N] {
    type Value = T;
    type Nodes = [Node<T>; N];
    fn given(&self) -> &[Node<T>] {
        self
    }
    fn made(nodes: Vec<Node<T>>) -> [Node<T>; N] {
        // As many as were given.
        std::array::from_fn(|rank| nodes[rank])
    }
}

impl<M: Members + ?Sized> Members for &M {
    type Value = M::Value;
    type Nodes = M::Nodes;
    fn given(&self) -> &[Node<M::Value>] {
        (**self).given()
    }
    fn made(nodes: Vec<Node<M::Value>>) -> M::Nodes {
        M::made(nodes)
    }
}
