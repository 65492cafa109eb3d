//! Collectives: what a group of actors does together with tensors in host memory.
//!
//! ```
//! use maser::collective::{self, Member, ReduceOp};
//! use maser::Tensor;
//!
//! struct Worker(Option<Member>);
//!
//! #[maser::actor]
//! impl Worker {
//!     fn new() -> Self {
//!         Worker(None)
//!     }
//!     fn join(&mut self, member: Member) {
//!         self.0 = Some(member);
//!     }
//!     fn train(&mut self, gradient: Tensor) -> maser::Result<Tensor> {
//!         self.0.as_ref().unwrap().allreduce(&gradient, ReduceOp::Sum)
//!     }
//! }
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `communicator` | the trait that every transport implements |
//! | `group` | `Group`: who makes a group, and ends it |
//! | `member` | `Member`: one rank's end, with the operations |
//! | `operation` | the operations, `ReduceOp`, what a rank contributes |
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
//! A collective node of a graph is one contribution per rank and run to a core that the graph makes
//! at compile: `GroupCore::contribute(rank, operation, part) -> Ticket`, then `Ticket::try_outcome`
//! (never waits), `Ticket` as a future, or `Ticket::wait` (blocks the task). A rank whose input of a
//! run is an error contributes `Contribution::Failed`, so that the numbers of operations and runs
//! stay the same on all ranks.
//!
//! # How it is done
//!
//! Arrays are immutable and shared by count, so nothing is copied to be given. The rank that comes
//! last combines the parts of all, in the order of the ranks, and all get one and the same result.
//! Compare the two classic ways, recursive doubling for short and reduce-scatter with allgather for
//! long messages (R. Thakur, R. Rabenseifner, W. Gropp, "Optimization of Collective Communication
//! Operations in MPICH", 2005): both divide work among ranks that cannot see each other's memory.

mod combine;
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
mod make;
mod member;
mod operation;
mod reduce;
pub(crate) mod registry;
mod round;
mod sequence;
pub(crate) mod ticket;
mod transport;
mod work;

pub use communicator::{Communicator, HostStream, Spec};
pub use error::{CollectiveError, Missing, Who};
pub use group::{Group, GroupOptions, Participant, create_group};
pub use member::Member;
pub use operation::{Operation, ReduceOp};
pub use transport::Transport;
