//! Collectives: what a group of actors does together with tensors in host memory.
//!
//! A group is made of handles of actors, wherever they live; a place in the list is a rank. Each
//! actor is given its [`Member`] and calls the same operations in the same order as the others. A
//! call waits for all of them and blocks its task, not its core.
//!
//! ```
//! use maser::collective::{self, Member, ReduceOp};
//! use maser::{Ref, Tensor};
//!
//! struct Trainer {
//!     member: Option<Member>,
//! }
//!
//! #[maser::actor]
//! impl Trainer {
//!     fn new() -> Self {
//!         Trainer { member: None }
//!     }
//!     fn join(&mut self, member: Member) {
//!         self.member = Some(member);
//!     }
//!     fn step(&mut self, gradient: Vec<f32>) -> maser::Result<Tensor> {
//!         let len = gradient.len();
//!         let gradient = Tensor::from_vec(gradient, &[len])?;
//!         let member = self.member.as_ref().expect("it has joined");
//!         member.allreduce(&gradient, ReduceOp::Average)
//!     }
//! }
//!
//! # fn main() -> maser::Result<()> {
//! # let maser = maser::init()?;
//! let trainers = [Trainer::remote(), Trainer::remote()];
//! let group = collective::create_group(&trainers, "gloo")?;
//! for (trainer, member) in trainers.iter().zip(group.members()) {
//!     trainer.join().remote(member).get()?;
//! }
//! let steps: Vec<Ref<Tensor>> = vec![
//!     trainers[0].step().remote(vec![1.0, 10.0]),
//!     trainers[1].step().remote(vec![3.0, 30.0]),
//! ];
//! for step in steps {
//!     assert_eq!(step.get()?, Tensor::from_vec(vec![2.0_f32, 20.0], &[2])?);
//! }
//! group.destroy();
//! # drop(maser);
//! # Ok(())
//! # }
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `communicator` | the trait that every transport implements |
//! | `group` | `Group`: who makes a group, and ends it |
//! | `hub` | the way of members in other processes |
//! | `elsewhere` | a group of another process, as its members see it |
//! | `member` | `Member`: one rank's end, with the operations |
//! | `operation` | the operations, `ReduceOp`, what a rank contributes |
//! | `tensors`, `several` | one tensor or several in one value, and what several come to |
//! | `core` | a group without its threads; nothing in it waits |
//! | `sequence`, `round` | operations by number; one operation |
//! | `ticket` | a rank's part in an operation that is under way |
//! | `combine` | do the parts fit together, and what do they come to |
//! | `make`, `work` | results by the types of their elements; large ones, made in pieces |
//! | `reduce` | elements of several arrays made one, in vector registers |
//! | `error` | what can go wrong, by rank |
//! | `transport` | names of transports |
//! | `registry` | the groups of a node, for death and shutdown |
//!
//! # Nodes of compiled graphs
//!
//! `allreduce::bind(nodes, op)` and its kin make collectives nodes of a graph. Such a collective has no
//! group and no tickets: it is a step that reads the values of all members and combines them, and a
//! step a member that takes its share (`runtime/src/graph/collective.rs`).
//!
//! # How it is done
//!
//! Arrays are immutable, shared by count within a process and by name between processes, so giving
//! one copies nothing. The table of a group lies in the process that made it. When the last rank has
//! come, the parts of all are combined there, in the order of the ranks, and all get one and the same
//! memory: each input is read once, and the result is written once. A result of 128 KiB or more is
//! made in pieces of 64 KiB by all members of that process, who wait for it anyway. What is sent, and
//! what is broadcast, is the very memory of the sender.
//!
//! The classic ways, recursive doubling for short messages and reduce-scatter followed by allgather
//! for long ones (R. Thakur, R. Rabenseifner, W. Gropp, "Optimization of Collective Communication
//! Operations in MPICH", 2005), divide work among ranks that cannot read each other's memory. Here
//! the second would move, per rank, its share of all inputs and then a copy of the whole result,
//! since a result is one array and only its owner writes to a store: more memory traffic than one
//! pass, up to the point where a rank's share is small against the whole. The price is that ranks in
//! other processes do not help with the sum.
//!
//! # What is measured
//!
//! `maser bench collective`.

pub(crate) mod combine;
mod communicator;
pub(crate) mod core;
mod elsewhere;
mod error;
mod group;
#[allow(
    unsafe_code,
    reason = "what the macro of an actor writes: a table that the linker makes"
)]
pub(crate) mod hub;
pub(crate) mod make;
mod member;
mod operation;
mod reduce;
pub(crate) mod registry;
mod round;
mod sequence;
mod several;
mod tensors;
pub(crate) mod ticket;
mod transport;
pub(crate) mod work;

pub use crate::graph::collective::{allgather, allreduce, broadcast, reduce_scatter};
pub use crate::graph::members::{Members, TensorValue};
pub use communicator::{Communicator, HostStream, Spec};
pub use error::{CollectiveError, Missing, Who};
pub use group::{Group, GroupOptions, Participant, create_group};
pub use member::Member;
pub(crate) use operation::Contribution;
pub use operation::{Operation, ReduceOp};
pub use tensors::{CollectiveValue, Tensors};
pub use transport::Transport;

#[cfg(test)]
mod tests;
