//! A group in another process, as its members in this one see it.

use super::error::CollectiveError;
use super::hub::{Hub, Reply};
use super::operation::{Contribution, Operation};
use crate::actor::handle::Actor;
use crate::error::{Error, Result};
use crate::node::Node;
use crate::object::reference::Ref;
use crate::object::tensor::Tensor;
use std::time::Duration;

/// See the module's page.
pub(super) struct Elsewhere {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) world_size: usize,
    /// None if the group was over before the member came here.
    pub(super) hub: Option<Actor<Hub>>,
}

impl Elsewhere {
    fn hub(&self) -> Result<&Actor<Hub>> {
        self.hub.as_ref().ok_or_else(|| self.closed().into())
    }

    fn closed(&self) -> CollectiveError {
        CollectiveError::Closed {
            group: self.name.clone(),
            reason: "it was destroyed, or its process has ended".into(),
        }
    }

    pub(super) fn perform(
        &self,
        rank: usize,
        operation: Operation,
        part: Contribution,
        limit: Option<Duration>,
    ) -> Result<Option<Tensor>> {
        let hub = self.hub()?;
        let node = Node::entered("an operation of a group")?;
        let token = node.random.next_u64();
        let reply = hub.contribute().remote(rank, operation, part, token);
        let waited = match limit {
            None => reply.get(),
            Some(limit) => reply.get_timeout(limit),
        };
        let error = match waited {
            Ok(reply) => return self.read(reply),
            Err(error) => error,
        };
        // The hub's process or the hub itself: there is nothing to be taken back.
        if let Error::Task(_) | Error::ActorDied { .. } | Error::WorkerCrashed { .. } = &error {
            return Err(match error.root() {
                Error::ActorDied { .. } | Error::ChannelClosed { .. } => self.closed().into(),
                _ => error,
            });
        }
        let waited = limit.unwrap_or_default();
        let taken = hub.take_back().remote(rank, operation, token, waited);
        match error {
            Error::Timeout { .. } => match taken.get()? {
                Some(error) => Err(error.into()),
                // Everybody has come after all.
                None => self.read(reply.get()?),
            },
            // Cancelled, and so no place to wait at.
            other => Err(other),
        }
    }

    fn read(&self, reply: Reply) -> Result<Option<Tensor>> {
        match reply {
            Reply::Done(tensor) => Ok(tensor),
            Reply::Failed(error) => Err(error.into()),
            Reply::TakenBack => Err(self.closed().into()),
        }
    }

    pub(super) fn close(&self, reason: String) {
        if let Some(hub) = &self.hub {
            // Whoever destroys a group does not wait for it.
            let _closed: Ref<()> = hub.close().remote(reason);
        }
    }
}
