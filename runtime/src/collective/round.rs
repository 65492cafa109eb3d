//! One operation of a group: what the ranks gave, and what came of it.
//!
//! ```text
//! gathering --(the last rank has come)--> working --(whoever came last is done)--> done
//! ```
//!
//! - GP-4 a round is done once and stays so; every rank takes its result when it likes, also more
//!   than once.

use super::combine::{self, Outcome, Shared};
use super::operation::Contribution;
use crate::executor::gate::Gate;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// See the module's page.
pub(super) struct Round {
    /// Of the operation, from 0.
    pub(super) number: u64,
    inner: Mutex<Inner>,
    /// Where those wait who are blocked.
    pub(super) gate: Gate,
}

struct Inner {
    given: Vec<Option<Contribution>>,
    arrived: usize,
    outcome: Option<Outcome>,
    wakers: Vec<Waker>,
}

impl Round {
    pub(super) fn new(number: u64, world_size: usize) -> Self {
        Self {
            number,
            inner: Mutex::new(Inner {
                given: (0..world_size).map(|_| None).collect(),
                arrived: 0,
                outcome: None,
                wakers: Vec::new(),
            }),
            gate: Gate::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that was given, if `rank` was the last to come: it is the caller's to finish the round.
    pub(super) fn give(&self, rank: usize, part: Contribution) -> Option<Vec<Contribution>> {
        let mut inner = self.lock();
        inner.arrived += usize::from(inner.given[rank].is_none());
        inner.given[rank] = Some(part);
        (inner.arrived == inner.given.len())
            .then(|| inner.given.iter_mut().filter_map(Option::take).collect())
    }

    /// Takes back what `rank` gave, if somebody is still missing.
    pub(super) fn withdraw(&self, rank: usize) -> bool {
        let mut inner = self.lock();
        let may = inner.outcome.is_none()
            && inner.arrived < inner.given.len()
            && inner.given[rank].is_some();
        if may {
            inner.given[rank] = None;
            inner.arrived -= 1;
        }
        may
    }

    /// GP-4.
    pub(super) fn finish(&self, outcome: Outcome) {
        let (dropped, wakers) = {
            let mut inner = self.lock();
            inner.outcome.get_or_insert(outcome);
            let dropped: Vec<_> = inner.given.iter_mut().map(Option::take).collect();
            (dropped, std::mem::take(&mut inner.wakers))
        };
        drop(dropped);
        self.gate.notify_all();
        for waker in wakers {
            waker.wake();
        }
    }

    /// What `rank` has of it, once it is done.
    pub(super) fn outcome(&self, rank: usize) -> Option<combine::Taken> {
        let outcome = self.lock().outcome.clone()?;
        Some(outcome.map(|shared| shared.of(rank)))
    }

    /// As it is shared by the ranks.
    pub(super) fn shared(&self) -> Option<Result<Shared, super::CollectiveError>> {
        self.lock().outcome.clone()
    }

    /// Calls `waker` when it is done; false if it is.
    pub(super) fn wake_when_done(&self, waker: &Waker) -> bool {
        let mut inner = self.lock();
        if inner.outcome.is_some() {
            return false;
        }
        if !inner.wakers.iter().any(|other| other.will_wake(waker)) {
            inner.wakers.push(waker.clone());
        }
        true
    }

    /// Ranks that have not come.
    pub(super) fn missing(&self) -> Vec<usize> {
        let inner = self.lock();
        let given = inner.given.iter().enumerate();
        given
            .filter(|(_, part)| part.is_none())
            .map(|(rank, _)| rank)
            .collect()
    }
}
