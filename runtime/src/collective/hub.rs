//! The way of members in other processes: an actor beside the group, which contributes for them.
//!
//! Its calls are those of any actor, so order, cancellation and death are what they always are, and
//! tensors travel by name. It lives on the first scheduler of the process that made the group.

use super::core::{GroupCore, Lane};
use super::error::CollectiveError;
use super::operation::{Contribution, Operation};
use super::tensors::Tensors;
use super::ticket::{MESSAGES_UNDER_WAY, Room};
use crate::error::{Error, Result};
use crate::node::Node;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// What became of a contribution.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Reply {
    /// What the operation came to.
    Done(Option<Tensors>),
    /// It failed.
    Failed(CollectiveError),
    /// It was taken back.
    TakenBack,
}

impl Reply {
    fn failed(error: &CollectiveError) -> Self {
        Self::Failed(error.clone())
    }
}

/// See the module's page.
pub struct Hub {
    core: Arc<GroupCore>,
}

#[maser::actor]
impl Hub {
    /// For the group with this number.
    pub fn new(id: u64) -> Result<Self> {
        let node = Node::current("a group of actors")?;
        let core = node.collectives.find(id).ok_or(Error::ChannelClosed {
            what: "a group of actors".into(),
            reason: "it was destroyed before its members joined".into(),
        })?;
        Ok(Self { core })
    }

    /// The next part of a rank; answered when the operation is done. `token` names the call.
    pub async fn contribute(
        &self,
        rank: usize,
        operation: Operation,
        part: Contribution,
        token: u64,
    ) -> Reply {
        if let Some(error) = self.check(rank, part.operation().unwrap_or(operation)) {
            return Reply::Failed(error);
        }
        let ticket = match self.core.contribute_as(rank, operation, part, token) {
            Ok(ticket) => ticket,
            Err(error) => return Reply::failed(&error),
        };
        match operation {
            Operation::Message { from, to } if rank == from => {
                let lane = Lane::Pair(from, to);
                while let Some(oldest) = self.core.behind(lane, from, MESSAGES_UNDER_WAY)
                    && !ticket.is_taken_back()
                {
                    let ticket = &ticket;
                    Room { oldest, ticket }.await;
                }
                match ticket.try_outcome() {
                    Some(Err(error)) => Reply::failed(&error),
                    _ => Reply::Done(None),
                }
            }
            _ => match ticket.await {
                Some(Ok(tensor)) => Reply::Done(tensor),
                Some(Err(error)) => Reply::failed(&error),
                None => Reply::TakenBack,
            },
        }
    }

    /// Takes back what the call with this token contributed; the error of a call that waited so long
    /// for the others. None: they have come after all.
    pub async fn take_back(
        &self,
        rank: usize,
        operation: Operation,
        token: u64,
        waited: Duration,
    ) -> Option<CollectiveError> {
        if self.check(rank, operation).is_some() {
            return None;
        }
        self.core.take_back_as(rank, operation, token, waited)
    }

    /// Ends the group.
    pub async fn close(&self, reason: String) {
        self.core.close(&reason);
    }

    /// What a message says may be anything.
    fn check(&self, rank: usize, operation: Operation) -> Option<CollectiveError> {
        let world_size = self.core.world_size();
        let makes_sense = rank < world_size
            && match operation {
                Operation::Message { from, to } => {
                    from < world_size && to < world_size && from != to && [from, to].contains(&rank)
                }
                _ => true,
            };
        (!makes_sense).then(|| CollectiveError::Impossible {
            group: self.core.name.clone(),
            number: 0,
            operation: operation.to_string(),
            problem: format!("rank {rank} of {world_size} has no part in it"),
            remedy: "call the methods of Member".into(),
        })
    }
}
