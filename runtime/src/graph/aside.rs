//! What is unusual about results to come: nobody wants them, they go on into a ref, or they come from
//! nowhere because the run was never begun. A graph of which nothing is unusual has none of this.
//!
//! - UN-1 a run that was not begun sends nothing, so its error is put among the results when its turn
//!   comes, and never before: the next run that a channel gives is always the first that has not
//!   arrived and did not fail.
//! - UN-2 what is taken out under the core's lock is dropped, and given on, outside of it (DR-1).

use super::core::Core;
use super::slot::Sent;
use crate::error::{Error, Fault, Outcome};
use crate::object::reference::Promise;
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// See the module's page.
pub(crate) struct Aside<T: Send + Sync + 'static> {
    /// Runs whose ref was dropped before the result came.
    pub(crate) unwanted: BTreeSet<u64>,
    /// Runs whose result goes on into a ref.
    pub(crate) promised: BTreeMap<u64, Promise<T>>,
    /// Runs that were not begun, and why (UN-1).
    pub(crate) failed: BTreeMap<u64, Fault>,
    /// Runs from this one on have not been begun yet.
    pub(crate) late: Option<u64>,
    /// Somebody looks out for what is promised, or is about to.
    pub(crate) is_listening: bool,
    /// That one is told of news by now.
    pub(crate) is_told: bool,
    /// UN-2.
    pub(crate) refused: Vec<Sent<T>>,
    /// UN-2.
    pub(crate) owed: Vec<Owed<T>>,
}

impl<T: Send + Sync + 'static> Default for Aside<T> {
    fn default() -> Self {
        Self {
            unwanted: BTreeSet::new(),
            promised: BTreeMap::new(),
            failed: BTreeMap::new(),
            late: None,
            is_listening: false,
            is_told: false,
            refused: Vec::new(),
            owed: Vec::new(),
        }
    }
}

impl<T: Send + Sync + 'static> Aside<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.unwanted.is_empty()
            && self.promised.is_empty()
            && self.failed.is_empty()
            && self.late.is_none()
            && !self.is_listening
            && self.refused.is_empty()
            && self.owed.is_empty()
    }
}

/// A result and the ref that it goes to.
pub(crate) struct Owed<T: Send + Sync + 'static> {
    pub(crate) promise: Promise<T>,
    pub(crate) outcome: Sent<T>,
}

/// What is over when the lock is given back (UN-2).
pub(crate) struct Leftovers<T: Send + Sync + 'static> {
    pub(crate) refused: Vec<Sent<T>>,
    pub(crate) owed: Vec<Owed<T>>,
    pub(crate) core: Option<Arc<Core>>,
    /// Goes last: the outputs themselves may be in it (DR-5).
    pub(crate) orphan: Option<Box<dyn Any + Send>>,
}

impl<T: Send + Sync + 'static> Drop for Leftovers<T> {
    fn drop(&mut self) {
        for Owed { promise, outcome } in self.owed.drain(..) {
            let outcome = outcome.into_inner();
            promise.fulfil(match &self.core {
                Some(core) => told(core, outcome),
                None => outcome,
            });
        }
        self.refused.clear();
    }
}

/// An outcome of a run as everybody is to see it. A process that dies takes along objects that runs
/// have lost then: their error is that of the graph, which ended before anything was lost.
#[inline]
pub(crate) fn told<T>(core: &Core, outcome: Outcome<T>) -> Outcome<T> {
    outcome.map_err(|fault| told_fault(core, fault))
}

#[cold]
pub(crate) fn told_fault(core: &Core, fault: Fault) -> Fault {
    match core.over() {
        Some(end) if matches!(fault.0.root(), Error::ObjectLost { .. }) => Fault::new(end),
        _ => fault,
    }
}
