//! The end of a graph that submits runs and keeps their results.
//!
//! The state here is protected by the core's lock (DR-1).
//!
//! - DR-2 results arrive in the order of the runs and are found by their run's number: a run whose
//!   `get` timed out keeps its place, and nothing is ever shifted. What nobody wants any more is
//!   dropped when it arrives.
//! - DR-3 a held ref keeps its result, not a place in a channel: results are moved into the
//!   driver's own memory, so held results stall no run, and from there into the ref that asks
//!   first (OW-1).
#![allow(
    unsafe_code,
    reason = "the driver's state is protected by a lock of its own"
)]

use super::aside::Leftovers;
use super::core::{Core, gone};
use super::given::Why;
use super::reference::Own;
use super::results::{Arrivals, Awaited, Found, Refused, Results};
use super::slot::{GraphValue, Held};
use crate::error::{Fault, Result};
use std::cell::UnsafeCell;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// One output of a graph, as the driver sees it.
#[repr(align(128))]
pub(crate) struct Output<T: Send + Sync + 'static> {
    pub(crate) core: Arc<Core>,
    pub(super) me: Weak<Self>,
    results: UnsafeCell<Results<T>>,
    /// Its place among the outputs.
    pub(super) index: usize,
}

// SAFETY: DR-1.
unsafe impl<T: Send + Sync> Send for Output<T> {}
// SAFETY: DR-1.
unsafe impl<T: Send + Sync> Sync for Output<T> {}

/// An [`Output`] of any type.
#[doc(hidden)]
pub trait AnyOutput: Send + Sync {
    /// Another handle of it.
    fn weak(&self) -> Weak<dyn AnyOutput>;
    /// `run` is not begun, because of `why` (UN-1). Under the lock.
    fn fail(&self, run: u64, why: Why, refused: &mut Refused);
    /// Runs from this one on have not been begun yet. Under the lock.
    fn are_late(&self, run: Option<u64>);
    /// Moves what has arrived to the driver; gives the number of runs that have. Under the lock.
    fn pull(&self, refused: &mut Refused) -> u64;
    /// Results that wait to be fetched. Under the lock.
    fn held(&self) -> usize;
    /// Waits until the result of `run` is with the driver. Not under the lock.
    fn wait_arrived(&self, run: u64, limit: Option<Duration>) -> Result<()>;
}

impl<T: GraphValue> AnyOutput for Output<T> {
    fn weak(&self) -> Weak<dyn AnyOutput> {
        self.me.clone()
    }
    fn fail(&self, run: u64, Why(fault): Why, refused: &mut Refused) {
        // SAFETY: DR-1, the callers hold the lock.
        let results = unsafe { &mut *self.results.get() };
        results.fail(run, fault);
        if let Some(leftovers) = self.leftovers(results) {
            refused.push(leftovers);
        }
    }
    fn are_late(&self, run: Option<u64>) {
        // SAFETY: DR-1, the callers hold the lock.
        unsafe { &mut *self.results.get() }.are_late(run);
    }
    fn pull(&self, refused: &mut Refused) -> u64 {
        // SAFETY: DR-1, the callers hold the lock.
        let results = unsafe { &mut *self.results.get() };
        let arrived = results.pull(self.core.submitted());
        if let Some(leftovers) = self.leftovers(results) {
            refused.push(leftovers);
        }
        arrived
    }
    fn held(&self) -> usize {
        // SAFETY: DR-1, the callers hold the lock.
        unsafe { &*self.results.get() }.held
    }
    fn wait_arrived(&self, run: u64, limit: Option<Duration>) -> Result<()> {
        self.wait(run, limit, "the submit timeout")
    }
}

impl<T: GraphValue> Output<T> {
    pub(crate) fn new(core: Arc<Core>, arrivals: Box<dyn Arrivals<T>>) -> Arc<Self> {
        let results = Results::new(arrivals, core.max_inflight);
        let index = core.next_output();
        Arc::new_cyclic(|me| Self {
            core,
            me: me.clone(),
            results: UnsafeCell::new(results),
            index,
        })
    }

    /// Runs `body` under the lock, and drops what nobody wants after it.
    #[inline]
    pub(super) fn with_results<R>(&self, body: impl FnOnce(&mut Results<T>) -> R) -> R {
        let (value, leftovers) = self.core.locked(|| {
            // SAFETY: DR-1, under the lock.
            let results = unsafe { &mut *self.results.get() };
            (body(results), self.leftovers(results))
        });
        drop(leftovers);
        value
    }

    /// Under the lock. A result that goes on is counted as a ref until then.
    #[inline(always)]
    fn leftovers(&self, results: &mut Results<T>) -> Option<Leftovers<T>> {
        let mut leftovers = results.leftovers()?;
        for _ in &leftovers.owed {
            if let Some(orphan) = self.core.ref_goes() {
                leftovers.orphan = Some(orphan);
            }
        }
        leftovers.core = Some(self.core.clone());
        Some(leftovers)
    }

    /// Moves the result of `run` into `own`, the place of its ref, unless it is there already; false
    /// while there is none. An error stands for one that is nowhere any more.
    #[inline(always)]
    pub(crate) fn fetch(&self, run: u64, own: &Own<T>) -> bool {
        let fetched = self.core.locked(|| {
            // SAFETY: DR-1, under the lock.
            let results = unsafe { &mut *self.results.get() };
            if own.is_here() {
                return Some(true);
            }
            // SAFETY: OW-1, under the lock.
            let is_there = results.take_next_to(run, unsafe { own.empty() })?;
            if is_there {
                own.is_filled();
                if self.core.outputs == 1 {
                    self.core.set_finished(results.arrived());
                }
            }
            Some(is_there)
        });
        match fetched {
            Some(fetched) => fetched,
            None => self.with_results(|results| self.put(run, results.take(run), own)),
        }
    }

    /// Under the lock: moves what was found to its ref.
    fn put(&self, run: u64, found: Found<T>, own: &Own<T>) -> bool {
        let outcome = match found {
            Found::Here(outcome) => outcome,
            Found::NotYet => return false,
            Found::Gone => Held::new(Err(Fault::new(gone(run)))),
        };
        // SAFETY: OW-1, under the lock.
        unsafe { own.fill(outcome) };
        true
    }

    /// A ref goes whose result was fetched.
    #[inline(always)]
    pub(crate) fn ref_goes(&self) {
        let orphan = self.core.locked(|| self.core.ref_goes());
        drop(orphan);
    }

    /// Nobody wants the result of `run` any more; its ref goes.
    pub(crate) fn forget(&self, run: u64) {
        let dropped = self.core.locked(|| {
            // SAFETY: DR-1, under the lock.
            let results = unsafe { &mut *self.results.get() };
            let found = results.take(run);
            if matches!(found, Found::NotYet) {
                results.drop_on_arrival(run);
            }
            (found, self.leftovers(results), self.core.ref_goes())
        });
        // Values are user types: dropped outside of the lock. The outputs, `self` among them, go
        // last, and nothing is touched after.
        drop(dropped);
    }

    /// `None` if the result of `run` has arrived.
    #[inline(always)]
    pub(super) fn awaited(&self, run: u64) -> Option<Awaited> {
        let known = self.core.locked(|| {
            // SAFETY: DR-1, under the lock.
            let results = unsafe { &*self.results.get() };
            results.awaited_next(run)
        });
        match known {
            Some(awaited) => awaited,
            None => self.with_results(|results| results.awaited(run)),
        }
    }

    /// Whether the result of `run` has arrived.
    #[inline(always)]
    pub(crate) fn has(&self, run: u64) -> bool {
        self.awaited(run).is_none()
    }
}
