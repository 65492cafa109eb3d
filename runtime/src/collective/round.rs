//! One operation of a group: what the ranks gave, and what came of it.
//!
//! ```text
//! gathering --(the last rank has come)--> working --(the last piece is made)--> done
//! ```
//!
//! - GP-4 a round is done once and stays so; every rank takes its result when it likes, also more
//!   than once.

use super::combine::{self, Outcome};
use super::operation::Contribution;
use super::work::{Step, Work};
use crate::executor::gate::Gate;
use maser_shm::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// See the module's page.
pub(super) struct Round {
    /// Of the operation, from 0.
    pub(super) number: u64,
    /// There is an outcome, or work to help with: for those who look without the lock. Release, and
    /// whoever sees it asks under the lock.
    news: AtomicBool,
    inner: Mutex<Inner>,
    /// Where those wait who are blocked.
    pub(super) gate: Gate,
}

struct Inner {
    /// By party, with the token of the call.
    given: Vec<Option<(Contribution, u64)>>,
    arrived: usize,
    /// What is left to do of a large result.
    work: Option<Arc<dyn Work>>,
    outcome: Option<Outcome>,
    wakers: Vec<Waker>,
}

impl Round {
    pub(super) fn new(number: u64, world_size: usize) -> Self {
        Self {
            number,
            news: AtomicBool::new(false),
            inner: Mutex::new(Inner {
                given: (0..world_size).map(|_| None).collect(),
                arrived: 0,
                work: None,
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
            let given: Vec<_> = inner.given.iter_mut().map(Option::take).collect();
            (
                (given, inner.work.take()),
                std::mem::take(&mut inner.wakers),
            )
        };
        drop(dropped);
        self.news.store(true, Ordering::Release);
        self.gate.notify_all();
        for waker in wakers {
            waker.wake();
        }
    }

    /// All have come, and this is to be done: by the caller, and by those who wait.
    pub(super) fn share(&self, work: Arc<dyn Work>) {
        self.lock().work = Some(work.clone());
        self.news.store(true, Ordering::Release);
        self.gate.notify_all();
        self.help(&*work);
    }

    /// Does pieces of the work until all are claimed; whoever does the last one finishes the round.
    fn help(&self, work: &dyn Work) {
        loop {
            match work.step() {
                Step::Done => {}
                Step::Last(shared) => return self.finish(Ok(shared)),
                Step::Nothing => return,
            }
        }
    }

    /// As [`outcome`](Self::outcome), after helping with what is left to do.
    pub(super) fn outcome_with_help(&self, rank: usize) -> Option<combine::Taken> {
        let work = {
            let inner = self.lock();
            if let Some(outcome) = inner.outcome.clone() {
                drop(inner);
                return Some(outcome.map(|shared| shared.of(rank)));
            }
            inner.work.clone()?
        };
        self.help(&*work);
        self.outcome(rank)
    }

    /// Whether it is worth while to look for the outcome.
    #[inline]
    pub(super) fn has_news(&self) -> bool {
        self.news.load(Ordering::Acquire)
    }

    /// What `rank` has of it, once it is done.
    pub(super) fn outcome(&self, rank: usize) -> Option<combine::Taken> {
        let outcome = self.lock().outcome.clone()?;
        Some(outcome.map(|shared| shared.of(rank)))
    }

    /// Whether `rank` gave something under this token, and somebody is missing.
    pub(super) fn is_open_for(&self, rank: usize, token: u64) -> bool {
        let inner = self.lock();
        let is_given = matches!(&inner.given[rank], Some((_, given)) if *given == token);
        is_given && inner.outcome.is_none() && inner.arrived < inner.given.len()
    }

    /// Whether all have come, or it is done.
    pub(super) fn is_full(&self) -> bool {
        let inner = self.lock();
        inner.outcome.is_some() || inner.arrived == inner.given.len()
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
