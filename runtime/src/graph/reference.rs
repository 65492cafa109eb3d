//! `GraphRef<T>`: one result of one run of a compiled graph.

#![allow(
    unsafe_code,
    reason = "a ref points at its graph's output, which outlives it (DR-5)"
)]

use super::core::{Core, gone};
use super::driver::Output;
use super::results::Found;
use super::slot::GraphValue;
use crate::error::{Error, Fault, Result};
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

const GET_KNOB: &str = "CompileOptions::get_timeout, MASER_CGRAPH_GET_TIMEOUT or get_timeout(..)";

/// One result of one run. Refs of one graph may be asked in any order, again after a timeout, and
/// any number of times; a held one stalls no run.
pub struct GraphRef<T: GraphValue> {
    output: NonNull<Output<T>>,
    run: u64,
}

// SAFETY: DR-1, DR-5: the output is shared under the core's lock and outlives its refs.
unsafe impl<T: GraphValue> Send for GraphRef<T> {}
// SAFETY: as above.
unsafe impl<T: GraphValue> Sync for GraphRef<T> {}

impl<T: GraphValue> GraphRef<T> {
    /// One of the refs that `Core::refs_were_made` counted.
    #[inline(always)]
    pub(crate) fn new(output: &Arc<Output<T>>, run: u64) -> Self {
        Self {
            output: NonNull::from(&**output),
            run,
        }
    }

    #[inline(always)]
    fn output(&self) -> &Output<T> {
        // SAFETY: DR-5, the output outlives its refs.
        unsafe { self.output.as_ref() }
    }

    /// Number of the run, from 0.
    pub fn run(&self) -> u64 {
        self.run
    }

    /// Whether the result, or the error in its place, is there.
    pub fn is_ready(&self) -> bool {
        self.output().has(self.run)
    }

    /// Waits for the result and clones it; can be called again. Waits no longer than the graph's
    /// get timeout.
    ///
    /// # Errors
    /// The error of a step with its chain; [`Error::Timeout`], after which the same call waits
    /// on; [`Error::WaitCycle`] if its one segment waits for the asking call to end;
    /// on; [`Error::ActorDied`] or [`Error::ChannelClosed`] if the graph ended before;
    /// [`Error::GetWhilePanicking`], [`Error::Cancelled`], [`Error::ShutDown`] as for
    /// [`Ref::get`](crate::Ref::get).
    pub fn get(&self) -> Result<T> {
        self.get_within(self.output().core.get_timeout, GET_KNOB)
    }

    /// As [`get`](Self::get) with a limit of its own.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_timeout(&self, limit: Duration) -> Result<T> {
        self.get_within(Some(limit), "the timeout argument")
    }

    #[inline(always)]
    fn get_within(&self, limit: Option<Duration>, knob: &'static str) -> Result<T> {
        loop {
            match self.output().try_clone(self.run) {
                Found::Here(outcome) => {
                    let outcome = outcome.into_inner();
                    return outcome.map_err(|fault| why(&self.output().core, &fault));
                }
                Found::Gone => return Err(gone(self.run)),
                Found::NotYet => self.output().wait(self.run, limit, knob)?,
            }
        }
    }

    /// Waits for the result and moves it out, within the graph's get timeout.
    ///
    /// # Errors
    /// As [`get`](Self::get); after a timeout the result is lost with the ref.
    #[inline]
    pub fn take(self) -> Result<T> {
        loop {
            let (found, orphan) = self.output().try_take(self.run);
            let outcome = match found {
                Found::Here(outcome) => outcome.into_inner(),
                Found::Gone => Err(Fault::new(gone(self.run))),
                Found::NotYet => {
                    let core = &self.output().core;
                    self.output()
                        .wait_slow(self.run, core.get_timeout, GET_KNOB)?;
                    continue;
                }
            };
            let outcome = outcome.map_err(|fault| why(&self.output().core, &fault));
            // Counted as gone by `try_take`.
            std::mem::forget(self);
            drop(orphan);
            return outcome;
        }
    }
}

/// What a run failed with. A process that dies takes along objects that runs have lost then: their
/// error is that of the graph, which ended before anything was lost.
#[cold]
fn why(core: &Core, fault: &Fault) -> Error {
    let error = fault.to_error();
    match core.over() {
        Some(end) if matches!(error.root(), Error::ObjectLost { .. }) => end,
        _ => error,
    }
}

impl<T: GraphValue> Drop for GraphRef<T> {
    #[inline]
    fn drop(&mut self) {
        self.output().forget(self.run);
    }
}

impl<T: GraphValue> fmt::Debug for GraphRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.is_ready() { "ready" } else { "pending" };
        write!(
            f,
            "GraphRef({} of run {}, {state})",
            std::any::type_name::<T>(),
            self.run
        )
    }
}

/// Waits for the results of all `refs`, in their order.
///
/// # Errors
/// The first error in order; see [`GraphRef::get`].
pub fn get_graph<T: GraphValue>(refs: &[GraphRef<T>]) -> Result<Vec<T>> {
    refs.iter().map(GraphRef::get).collect()
}

impl<T: GraphValue> IntoFuture for GraphRef<T> {
    type Output = Result<T>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let mut polls = self.output().core.polls();
            let ready = std::future::poll_fn(|context| {
                self.output().poll_ready(self.run, &mut polls, context)
            })
            .await;
            drop(polls);
            ready?;
            self.take()
        })
    }
}
