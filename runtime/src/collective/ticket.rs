//! One rank's part in one operation that is under way.

use super::combine::Taken;
use super::core::{GroupCore, Lane};
use super::error::CollectiveError;
use super::operation::Operation;
use super::round::Round;
use super::tensors::Tensors;
use crate::error::{Error, Result};
use crate::executor::local::Local;
use maser_shm::sync::hint::spin_loop;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Messages to one peer that it has not taken, before `send` waits for it.
pub(super) const MESSAGES_UNDER_WAY: usize = 16;

/// What [`GroupCore::contribute`] gives: the way to the result.
///
/// Dropping it takes nothing back: the operation goes on without a reader on this rank.
#[must_use = "the result of the operation, or its error, is in here"]
pub(crate) struct Ticket {
    pub(super) core: Arc<GroupCore>,
    pub(super) round: Arc<Round>,
    pub(super) lane: Lane,
    pub(super) rank: usize,
    pub(super) token: u64,
    pub(super) operation: Operation,
}

impl Ticket {
    /// Number of the operation, from 0.
    #[cfg_attr(not(test), allow(dead_code, reason = "for nodes of graphs"))]
    pub(crate) fn number(&self) -> u64 {
        self.round.number
    }

    /// The result, if all ranks have come: nothing for a barrier, a tensor otherwise.
    pub(crate) fn try_outcome(&self) -> Option<Taken> {
        self.round.outcome(GroupCore::party(self.lane, self.rank))
    }

    /// Takes the part back, as if this rank had not come yet. False if it is too late for that: then
    /// the result is there or about to be; or if the rank has begun a later operation.
    pub(crate) fn take_back(&self) -> bool {
        let taken = self.core.take_back(self.lane, self.rank, self.token);
        taken.is_some()
    }

    /// Whether the part was taken back.
    pub(super) fn is_taken_back(&self) -> bool {
        let party = GroupCore::party(self.lane, self.rank);
        self.round.is_withdrawn(party, self.token)
    }

    /// Waits for the result; blocks the task and not its core. After a timeout it can be waited for
    /// again.
    ///
    /// # Errors
    /// [`CollectiveError`]; [`Error::Cancelled`], [`Error::ShutDown`], as for `get`.
    pub(crate) fn wait(&self, limit: Option<Duration>) -> Result<Option<Tensors>> {
        let party = GroupCore::party(self.lane, self.rank);
        self.spin();
        let found = self.round.gate.wait("an operation of a group", limit, || {
            self.round.outcome_with_help(party)
        })?;
        match found {
            Some(taken) => taken.map_err(Error::from),
            None => Err(Error::from(self.timed_out(limit.unwrap_or_default()))),
        }
    }

    /// Looks for the outcome for as long as the idle policy says, while this scheduler has nothing
    /// else to do: the others are mostly near.
    fn spin(&self) {
        let Some(local) = Local::entered() else {
            return;
        };
        for _ in 0..local.node.idle.spin_looks() {
            if self.round.has_news() || local.has_work() {
                return;
            }
            spin_loop();
        }
    }

    /// As [`wait`](Self::wait), but what did not come to a result is taken back.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn wait_or_take_back(&self, limit: Option<Duration>) -> Result<Option<Tensors>> {
        let waited = self.wait(limit);
        let Err(error) = &waited else { return waited };
        let is_late = error.is_timeout();
        if !is_late && matches!(error, Error::Collective(_)) {
            return waited;
        }
        if !self.take_back() && is_late && self.round.is_full() {
            // Everybody has come after all: whoever was last is at work.
            return self.wait(None);
        }
        waited
    }

    /// Waits until the receiver of this message has few enough to take; else takes it back, unless this
    /// rank has sent another one since.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub(super) fn wait_for_room(&self, limit: Option<Duration>) -> Result<()> {
        let end_ns = limit.map(|limit| self.core.end_ns(limit));
        while let Some(oldest) = self.core.behind(self.lane, self.rank, MESSAGES_UNDER_WAY) {
            let left = end_ns.map(|end_ns| self.core.left(end_ns));
            let is_taken = || oldest.is_done().then_some(());
            let error = match oldest.gate.wait("room for a message", left, is_taken) {
                Ok(Some(())) => continue,
                Ok(None) => Error::from(self.timed_out(limit.unwrap_or_default())),
                Err(error) => error,
            };
            // Received already: then there is room.
            if self.take_back() || !error.is_timeout() || !self.round.is_full() {
                return Err(error);
            }
        }
        match self.try_outcome() {
            Some(Err(error)) => Err(error.into()),
            _ => Ok(()),
        }
    }

    pub(super) fn timed_out(&self, waited: Duration) -> CollectiveError {
        let Self {
            lane,
            rank,
            operation,
            ..
        } = *self;
        self.core
            .timed_out(lane, rank, operation, &self.round, waited)
    }
}

/// The result; none if the part was taken back.
impl Future for Ticket {
    type Output = Option<Taken>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.round.wake_when_done(context.waker()) {
            return Poll::Ready(self.try_outcome());
        }
        if self.is_taken_back() {
            return Poll::Ready(None);
        }
        Poll::Pending
    }
}

/// There may be room for a message: the oldest one was received, or this one was or is taken back.
pub(super) struct Room<'a> {
    pub(super) oldest: Arc<Round>,
    pub(super) ticket: &'a Ticket,
}

impl Future for Room<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let waits = self.oldest.wake_when_done(context.waker())
            && self.ticket.round.wake_when_done(context.waker())
            && !self.ticket.is_taken_back();
        match waits {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }
}
