//! A group in another process, as its members in this one see it.

use super::error::CollectiveError;
use super::hub::{Hub, Reply};
use super::operation::{Contribution, Operation};
use super::tensors::Tensors;
use crate::actor::handle::Actor;
use crate::error::{Error, Result};
use crate::node::Node;
use crate::object::reference::Ref;
use std::time::Duration;

/// How long a call whose limit is over waits for the group's process to say what became of it: one that
/// is stopped says nothing. It is told of the end of the call when it goes on.
const PATIENCE: Duration = Duration::from_secs(2);

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
    ) -> Result<Option<Tensors>> {
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
        if !error.is_timeout() {
            // Cancelled, and so no place to wait at.
            return Err(error);
        }
        let patience = waited.saturating_add(PATIENCE);
        let told = match taken.get_timeout(patience) {
            Ok(Some(told)) => return Err(told.into()),
            // Everybody has come after all.
            Ok(None) => reply.get_timeout(patience),
            Err(told) => Err(told),
        };
        match told {
            Ok(reply) => self.read(reply),
            Err(told) if told.is_timeout() => Err(error),
            Err(other) => Err(other),
        }
    }

    fn read(&self, reply: Reply) -> Result<Option<Tensors>> {
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
