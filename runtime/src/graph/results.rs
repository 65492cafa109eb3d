//! Results of one output with the driver, found by the number of their run (DR-2).

use super::slot::Sent;
use maser_shm::channel::Probe;
use maser_shm::channel::spsc::LineReceiver;
use std::any::Any;
use std::collections::{BTreeSet, VecDeque};

/// Values of users that turned up under the lock, for its holder to drop outside of it (DR-1).
#[doc(hidden)]
#[derive(Default)]
pub struct Refused(Option<Box<(Box<dyn Any + Send>, Refused)>>);

impl Refused {
    #[cold]
    pub(crate) fn push(&mut self, value: impl Any + Send) {
        let before = std::mem::take(self);
        self.0 = Some(Box::new((Box::new(value), before)));
    }
}

/// Where the results of one output come from, in the order of the runs.
pub(crate) trait Arrivals<T>: Send {
    /// `None` if the next result is there; else what changes when it is.
    fn idle(&self) -> Option<Probe>;
    fn take(&mut self) -> Option<Sent<T>>;
}

impl<T: Send> Arrivals<T> for LineReceiver<Sent<T>> {
    #[inline]
    fn idle(&self) -> Option<Probe> {
        LineReceiver::idle(self)
    }
    #[inline]
    fn take(&mut self) -> Option<Sent<T>> {
        self.try_recv().ok()
    }
}

/// A result with the driver.
pub(crate) enum Kept<T> {
    Here(Sent<T>),
    /// Taken or dropped.
    Gone,
}

/// What a look at a result found.
pub(crate) enum Found<T> {
    Here(Sent<T>),
    NotYet,
    Gone,
}

/// A result that has not arrived.
#[derive(Clone, Copy)]
pub(crate) struct Awaited {
    /// Changes when the next result arrives.
    pub(crate) next: Probe,
    /// Whether that is this one.
    pub(crate) is_next: bool,
}

pub(crate) struct Results<T> {
    arrivals: Box<dyn Arrivals<T>>,
    /// Results of the runs `first..first + kept.len()`.
    kept: VecDeque<Kept<T>>,
    first: u64,
    /// How many of `kept` are there.
    pub(crate) held: usize,
    /// Runs whose ref was dropped before the result came.
    unwanted: BTreeSet<u64>,
    /// Results of such runs, for whoever holds the lock to drop outside of it (DR-1).
    refused: Vec<Sent<T>>,
}

impl<T> Results<T> {
    pub(crate) fn new(arrivals: Box<dyn Arrivals<T>>, max_inflight: usize) -> Self {
        Self {
            arrivals,
            kept: VecDeque::with_capacity(max_inflight * 2),
            first: 0,
            held: 0,
            unwanted: BTreeSet::new(),
            refused: Vec::new(),
        }
    }

    /// As [`awaited`](Self::awaited), if that is known without moving results.
    #[inline(always)]
    pub(crate) fn awaited_next(&self, run: u64) -> Option<Option<Awaited>> {
        if run < self.arrived() {
            return Some(None);
        }
        let is_next = run == self.arrived();
        match self.arrivals.idle() {
            Some(next) => Some(Some(Awaited { next, is_next })),
            None => is_next.then_some(None),
        }
    }

    /// `None` if the result of `run` has arrived. The very next one stays where it is: whoever asks
    /// takes it from there.
    pub(crate) fn awaited(&mut self, run: u64) -> Option<Awaited> {
        loop {
            if let Some(known) = self.awaited_next(run) {
                return known;
            }
            self.pull(run + 1);
        }
    }

    /// What arrived and nobody wants.
    #[inline(always)]
    #[must_use = "dropped outside of the lock"]
    pub(crate) fn refused(&mut self) -> Option<Vec<Sent<T>>> {
        (!self.refused.is_empty()).then(|| std::mem::take(&mut self.refused))
    }

    /// The result of `run`, which has not arrived, is to be dropped when it does.
    pub(crate) fn drop_on_arrival(&mut self, run: u64) {
        self.unwanted.insert(run);
    }

    #[inline(always)]
    pub(crate) fn arrived(&self) -> u64 {
        self.first + self.kept.len() as u64
    }

    /// Takes in what has arrived of the first `runs` runs; gives how many of them have. What another
    /// process says of a run that nobody submitted is left alone.
    #[inline(always)]
    pub(crate) fn pull(&mut self, runs: u64) -> u64 {
        while self.arrived() < runs {
            let Some(outcome) = self.arrivals.take() else {
                break;
            };
            let run = self.arrived();
            if !self.unwanted.is_empty() && self.unwanted.remove(&run) {
                self.refused.push(outcome);
                self.kept.push_back(Kept::Gone);
                self.trim();
            } else {
                self.kept.push_back(Kept::Here(outcome));
                self.held += 1;
            }
        }
        self.arrived()
    }

    #[inline(always)]
    fn trim(&mut self) {
        while let Some(Kept::Gone) = self.kept.front() {
            self.kept.pop_front();
            self.first += 1;
        }
    }

    /// Moves the result of `run` out in the usual case, the next result while none is kept, past
    /// the queue. `None` is any other case: [`take_kept`](Self::take_kept).
    #[inline(always)]
    pub(crate) fn take_next(&mut self, run: u64) -> Option<Found<T>> {
        if !(self.kept.is_empty() && run == self.first && self.unwanted.is_empty()) {
            return None;
        }
        Some(match self.arrivals.take() {
            Some(outcome) => {
                self.first += 1;
                Found::Here(outcome)
            }
            None => Found::NotYet,
        })
    }

    /// Moves the result of `run` out.
    pub(crate) fn take_kept(&mut self, run: u64) -> Found<T> {
        let Some(kept) = self.find(run) else {
            return if run < self.arrived() {
                Found::Gone
            } else {
                Found::NotYet
            };
        };
        match std::mem::replace(kept, Kept::Gone) {
            Kept::Here(outcome) => {
                self.held -= 1;
                self.trim();
                Found::Here(outcome)
            }
            Kept::Gone => Found::Gone,
        }
    }

    /// The place of the result of `run`, if it has arrived.
    #[inline(always)]
    pub(crate) fn find(&mut self, run: u64) -> Option<&mut Kept<T>> {
        if run >= self.arrived() {
            self.pull(run + 1);
        }
        let at = run.checked_sub(self.first)?;
        self.kept.get_mut(at as usize)
    }
}
