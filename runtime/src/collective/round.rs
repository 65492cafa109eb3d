//! One operation of a group: what the ranks gave, and what came of it.
//!
//! ```text
//! gathering --(the last rank has come)--> working --(whoever came last is done)--> done
//! ```
//!
//! - GP-4 a round is done once and stays so; every rank takes its result when it likes, also more
//!   than once.

use super::combine::{self, Outcome};
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
    /// By party, with the token of the call.
    given: Vec<Option<(Contribution, u64)>>,
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
    pub(super) fn give(
        &self,
        rank: usize,
        part: Contribution,
        token: u64,
    ) -> Option<Vec<Contribution>> {
        let mut inner = self.lock();
        inner.arrived += usize::from(inner.given[rank].is_none());
        inner.given[rank] = Some((part, token));
        (inner.arrived == inner.given.len()).then(|| {
            let given = inner.given.iter_mut().filter_map(Option::take);
            given.map(|(part, _)| part).collect()
        })
    }

    /// Takes back what `rank` gave under this token, if somebody is still missing.
    pub(super) fn withdraw(&self, rank: usize, token: u64) -> bool {
        let (taken, wakers) = {
            let mut inner = self.lock();
            let is_given = matches!(&inner.given[rank], Some((_, given)) if *given == token);
            if !is_given || inner.outcome.is_some() || inner.arrived == inner.given.len() {
                return false;
            }
            inner.arrived -= 1;
            (inner.given[rank].take(), std::mem::take(&mut inner.wakers))
        };
        drop(taken);
        for waker in wakers {
            waker.wake();
        }
        true
    }

    /// Whether `rank` gave nothing under this token, or took it back, and nothing came of it.
    pub(super) fn is_withdrawn(&self, rank: usize, token: u64) -> bool {
        let inner = self.lock();
        let is_given = matches!(&inner.given[rank], Some((_, given)) if *given == token);
        inner.outcome.is_none() && inner.arrived < inner.given.len() && !is_given
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

    /// Whether it is done.
    pub(super) fn is_done(&self) -> bool {
        self.lock().outcome.is_some()
    }

    /// Calls `waker` when it is done, or when a part is taken back; false if it is done.
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
