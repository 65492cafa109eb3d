//! `GraphRef<T>`: one result of one run of a compiled graph.

use super::driver::Output;
use super::slot::GraphValue;
use crate::error::{Error, Result};
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

const GET_KNOB: &str = "CompileOptions::get_timeout, MASER_CGRAPH_GET_TIMEOUT or get_timeout(..)";

/// One result of one run. Refs of one graph may be asked in any order, again after a timeout, and
/// any number of times; a held one stalls no run.
pub struct GraphRef<T: GraphValue> {
    output: Arc<Output<T>>,
    run: u64,
    taken: bool,
}

impl<T: GraphValue> GraphRef<T> {
    #[inline(always)]
    pub(crate) fn new(output: Arc<Output<T>>, run: u64) -> Self {
        Self { output, run, taken: false }
    }

    /// Number of the run, from 0.
    pub fn run(&self) -> u64 {
        self.run
    }

    /// Whether the result, or the error in its place, is there.
    pub fn is_ready(&self) -> bool {
        self.output.has(self.run)
    }

    /// Waits for the result and clones it; can be called again. Waits no longer than the graph's
    /// get timeout.
    ///
    /// # Errors
    /// The error of a step with its chain; [`Error::Timeout`], after which the same call waits
    /// on; [`Error::ActorDied`] or [`Error::ChannelClosed`] if the graph ended before;
    /// [`Error::GetWhilePanicking`], [`Error::Cancelled`], [`Error::ShutDown`] as for
    /// [`Ref::get`](crate::Ref::get).
    pub fn get(&self) -> Result<T> {
        self.get_within(self.output.core.get_timeout, GET_KNOB)
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
        self.output.wait(self.run, limit, knob)?;
        let cloned = self.output.try_with(self.run, |kept| kept.clone()).flatten();
        match cloned {
            Some(outcome) => outcome.map_err(|fault| fault.to_error()),
            None => Err(self.gone()),
        }
    }

    /// Waits for the result and moves it out, within the graph's get timeout.
    ///
    /// # Errors
    /// As [`get`](Self::get); after a timeout the result is lost with the ref.
    #[inline]
    pub fn take(mut self) -> Result<T> {
        self.output.wait(self.run, self.output.core.get_timeout, GET_KNOB)?;
        self.taken = true;
        match self.output.take(self.run) {
            Some(outcome) => outcome.map_err(|fault| fault.to_error()),
            None => Err(self.gone()),
        }
    }

    fn gone(&self) -> Error {
        Error::ObjectLost { what: format!("run {}", self.run), reason: "it was taken before".into() }
    }
}

impl<T: GraphValue> Drop for GraphRef<T> {
    #[inline]
    fn drop(&mut self) {
        if !self.taken {
            self.output.forget(self.run);
        }
    }
}

impl<T: GraphValue> fmt::Debug for GraphRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.is_ready() { "ready" } else { "pending" };
        write!(f, "GraphRef({} of run {}, {state})", std::any::type_name::<T>(), self.run)
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
            std::future::poll_fn(|context| self.output.poll_ready(self.run, context)).await?;
            self.take()
        })
    }
}
