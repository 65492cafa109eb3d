//! `CompiledGraph`: what there is of a graph that was compiled, and its end.
#![allow(
    unsafe_code,
    reason = "the submitting end is protected by the core's lock (DR-1)"
)]

use super::core::Core;
use super::inputs::InputNodes;
use super::outputs::OutputNodes;
use super::parcel::SubmitRun;
use super::record::control::Driven;
use super::results::Refused;
use super::schedule::Shape;
use crate::error::{Error, Result};
use std::cell::UnsafeCell;
use std::fmt;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::Duration;

/// A graph whose channels and buffers are in place. Any thread may use it.
///
/// Dropping it tears it down; its actors live on.
pub struct CompiledGraph<I: InputNodes, O: OutputNodes> {
    pub(super) core: Arc<Core>,
    pub(super) submit: UnsafeCell<Box<dyn SubmitRun<I>>>,
    /// Copies that a run needs of each input, if it needs any.
    pub(super) fan_out: Option<Box<[usize]>>,
    /// Given to the core when the graph is dropped (DR-5).
    pub(super) outs: ManuallyDrop<O::Outs>,
    pub(super) teardown_timeout: Option<Duration>,
    /// Holds the handles of the actors.
    pub(super) shape: Shape,
    /// Of a graph that can be recorded.
    pub(super) hooks: Option<Driven>,
}

// SAFETY: DR-1, `submit` is used under the core's lock alone; values are `Send`.
unsafe impl<I: InputNodes, O: OutputNodes> Send for CompiledGraph<I, O> {}
// SAFETY: as above.
unsafe impl<I: InputNodes, O: OutputNodes> Sync for CompiledGraph<I, O> {}

impl<I: InputNodes, O: OutputNodes> CompiledGraph<I, O> {
    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    /// Number of the graph.
    pub fn id(&self) -> u64 {
        self.core.id
    }

    /// Runs that may be in flight at once.
    pub fn max_inflight(&self) -> usize {
        self.core.max_inflight
    }

    /// Runs that were submitted and have not ended, as far as their results have come here.
    pub fn in_flight(&self) -> usize {
        self.core.max_inflight - self.free_capacity()
    }

    /// Whether it takes no more runs: it was torn down, an actor of it died, or the runtime shut
    /// down.
    pub fn is_torn_down(&self) -> bool {
        self.core.over().is_some()
    }

    /// Runs that could be submitted now without waiting.
    pub fn free_capacity(&self) -> usize {
        // Dropped after the lock is given back.
        let mut refused = Refused::default();
        self.core.locked(|| {
            self.look_for_results(&mut refused);
            self.core.max_inflight - self.core.in_flight().min(self.core.max_inflight)
        })
    }

    /// Ends the graph: runs in flight give [`Error::ChannelClosed`], its memory goes back, its
    /// actors are free for other graphs at once. Calling it again, or dropping the graph, is fine.
    ///
    /// # Errors
    /// [`Error::Timeout`] if a scheduler was busy in user code beyond the teardown timeout; its
    /// part of the graph goes when it comes back.
    pub fn teardown(&self) -> Result<()> {
        self.core.end(Error::ChannelClosed {
            what: "the compiled graph".into(),
            reason: "it was torn down; compile it again to go on".into(),
        });
        let core = &self.core;
        let gone = || core.is_gone().then_some(());
        if core.node.is_closing() {
            return Ok(());
        }
        match core
            .removed
            .wait("the teardown of a graph", self.teardown_timeout, gone)?
        {
            Some(()) => {
                // Nothing more arrives: what did and nobody wants goes now.
                let _free = self.free_capacity();
                Ok(())
            }
            None => Err(Error::Timeout {
                what: "the teardown of a graph".into(),
                from_whom: "a scheduler that is busy in user code".into(),
                waited: self.teardown_timeout.unwrap_or_default(),
                knob: "CompileOptions::teardown_timeout or MASER_CGRAPH_TEARDOWN_TIMEOUT",
            }),
        }
    }
}

impl<I: InputNodes, O: OutputNodes> CompiledGraph<I, O> {
    /// As [`teardown`](Self::teardown), and then ends the actors of the graph as [`kill`](crate::kill)
    /// does, whoever else has handles of them. They get the teardown timeout to come to the end of
    /// what they do; after it they are ended all the same.
    ///
    /// # Errors
    /// As [`teardown`](Self::teardown); the actors are ended nevertheless.
    pub fn teardown_and_kill(&self) -> Result<()> {
        let torn_down = self.teardown();
        self.core.kill_actors();
        torn_down
    }
}

/// The graph by its number.
impl<I: InputNodes, O: OutputNodes> fmt::Display for CompiledGraph<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CompiledGraph({:016x})", self.id())
    }
}

impl<I: InputNodes, O: OutputNodes> fmt::Debug for CompiledGraph<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (in_flight, most) = (self.in_flight(), self.max_inflight());
        let over = if self.is_torn_down() { ", over" } else { "" };
        write!(f, "{self}, {in_flight} of {most} runs in flight{over}")
    }
}

impl<I: InputNodes, O: OutputNodes> Drop for CompiledGraph<I, O> {
    fn drop(&mut self) {
        // A teardown that cannot be awaited still happens: the graph is over.
        drop(self.teardown());
        // SAFETY: taken out once, here; not used after.
        let outs = unsafe { ManuallyDrop::take(&mut self.outs) };
        self.core.abandon(Box::new(outs));
        self.core.let_go_of_actors();
    }
}
