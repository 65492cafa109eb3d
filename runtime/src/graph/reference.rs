//! `GraphRef<T>`: one result of one run of a compiled graph.
//!
//! - OW-1 whoever asks for a result first moves it into its ref, once, under the core's lock (DR-1),
//!   and then says so with Release; whoever sees that (Acquire) reads it where it is, for it stays
//!   there until the ref goes.
#![allow(
    unsafe_code,
    reason = "a ref points at its graph's output, which outlives it (DR-5)"
)]

use super::core::{Core, gone};
use super::driver::Output;
use super::slot::{GraphValue, Sent};
use crate::error::{Error, Fault, Outcome, Result};
use maser_shm::sync::atomic::{AtomicUsize, Ordering};
use std::cell::UnsafeCell;
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
    own: Own<T>,
}

/// The result of one ref, once it was fetched (OW-1).
pub(crate) struct Own<T> {
    outcome: UnsafeCell<Option<Sent<T>>>,
    /// 0 or 1: a whole word, because a ref is moved at once, and a byte that was just written would be
    /// waited for.
    is_here: AtomicUsize,
}

impl<T> Own<T> {
    #[inline(always)]
    fn new() -> Self {
        Self {
            outcome: UnsafeCell::new(None),
            is_here: AtomicUsize::new(0),
        }
    }

    #[inline(always)]
    pub(crate) fn is_here(&self) -> bool {
        self.is_here.load(Ordering::Acquire) != 0
    }

    /// # Safety
    /// Under the core's lock, and [`is_here`](Self::is_here) said no under it.
    #[inline(always)]
    pub(crate) unsafe fn fill(&self, outcome: Sent<T>) {
        // SAFETY: OW-1: nobody reads it yet, and nobody else may write it.
        unsafe { *self.outcome.get() = Some(outcome) };
        self.is_here.store(1, Ordering::Release);
    }

    #[inline(always)]
    fn get(&self) -> Option<&Outcome<T>> {
        if !self.is_here() {
            return None;
        }
        // SAFETY: OW-1.
        unsafe { &*self.outcome.get() }.as_ref().map(Sent::get)
    }
}

// SAFETY: DR-1, DR-5, OW-1: the output is shared under the core's lock and outlives its refs; values
// of graphs are `Send` and `Sync`.
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
            own: Own::new(),
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
        self.fetch(limit, knob)?;
        match self.own.get() {
            Some(Ok(value)) => Ok(value.clone()),
            Some(Err(fault)) => Err(why(&self.output().core, fault)),
            None => Err(gone(self.run)),
        }
    }

    /// Waits until the result is with this ref.
    #[inline(always)]
    fn fetch(&self, limit: Option<Duration>, knob: &'static str) -> Result<()> {
        while !(self.own.is_here() || self.output().fetch(self.run, &self.own)) {
            self.output().wait_slow(self.run, limit, knob)?;
        }
        Ok(())
    }

    /// Waits for the result and moves it out, within the graph's get timeout.
    ///
    /// # Errors
    /// As [`get`](Self::get); after a timeout the result is lost with the ref.
    #[inline]
    pub fn take(mut self) -> Result<T> {
        self.fetch(self.output().core.get_timeout, GET_KNOB)?;
        let outcome = self.own.outcome.get_mut().take();
        match outcome.map(Sent::into_inner) {
            Some(outcome) => outcome.map_err(|fault| why(&self.output().core, &fault)),
            None => Err(gone(self.run)),
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
        match self.own.is_here() {
            true => self.output().ref_goes(),
            false => self.output().forget(self.run),
        }
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
