//! `CompiledGraph`: compile, execute, tear down.
#![allow(
    unsafe_code,
    reason = "the submitting end is protected by the core's lock (DR-1)"
)]

use super::build::{Action, Graph, NodeDef};
use super::core::{Core, Limits};
use super::driver::{AnyOutput, Parcel, SubmitRun};
use super::inputs::{InputNodes, IntoInputs};
use super::layout::Layout;
use super::outputs::OutputNodes;
use super::plan::{check, lay_out};
use super::registry::shut_down;
use super::remote::draft::peers;
use super::remote::wiring::Wiring;
use super::results::Refused;
use crate::actor::address::SendCore;
use crate::config::{MAX_BUFFERED_RESULTS, MAX_INFLIGHT, Timeout};
use crate::error::{Error, Result};
use crate::node::Node as HostNode;
use crate::worker::remote::FIRST_HOME;
use std::cell::UnsafeCell;
use std::collections::HashSet;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

/// Options of [`Graph::compile_with`]; `None` takes the configuration's value.
#[derive(Clone, Debug, Default)]
pub struct CompileOptions {
    /// Runs that may be in flight at once; 1 to 1,000,000. Each edge has a slot for each.
    pub max_inflight: Option<usize>,
    /// Results that may wait to be fetched; 1 to 1,000,000,000.
    pub max_buffered_results: Option<usize>,
    /// How long `execute` waits for a place.
    pub submit_timeout: Option<Timeout>,
    /// How long `get` waits for a result.
    pub get_timeout: Option<Timeout>,
    /// How long teardown waits for the actors.
    pub teardown_timeout: Option<Timeout>,
}

/// A graph whose channels and buffers are in place. Any thread may use it.
///
/// Dropping it tears it down; its actors live on.
pub struct CompiledGraph<I: InputNodes, O: OutputNodes> {
    core: Arc<Core>,
    submit: UnsafeCell<Box<dyn SubmitRun<I>>>,
    /// Copies that a run needs of each input, if it needs any.
    fan_out: Option<Box<[usize]>>,
    /// Given to the core when the graph is dropped (DR-5).
    outs: ManuallyDrop<O::Outs>,
    teardown_timeout: Option<Duration>,
    /// Holds the handles of the actors.
    _nodes: Vec<NodeDef>,
}

// SAFETY: DR-1, `submit` is used under the core's lock alone; values are `Send`.
unsafe impl<I: InputNodes, O: OutputNodes> Send for CompiledGraph<I, O> {}
// SAFETY: as above.
unsafe impl<I: InputNodes, O: OutputNodes> Sync for CompiledGraph<I, O> {}

impl<I: InputNodes, O: OutputNodes> Graph<I, O> {
    /// Puts channels and buffers in place, with the configuration's limits.
    ///
    /// # Errors
    /// [`Error::Graph`] names the node that cannot run and what to do; [`Error::NotRunning`];
    /// [`Error::ShutDown`]; the death of an actor of the graph.
    pub fn compile(self) -> Result<CompiledGraph<I, O>> {
        self.compile_with(CompileOptions::default())
    }

    /// As [`compile`](Self::compile), with limits of its own.
    ///
    /// # Errors
    /// As [`compile`](Self::compile), and [`Error::InvalidArgument`] for a limit out of range.
    pub fn compile_with(self, options: CompileOptions) -> Result<CompiledGraph<I, O>> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let host = HostNode::entered("compiling a graph")?;
        let mut outputs = Vec::new();
        self.outputs.visit(&mut |id| outputs.push(id.0.index));
        check(&self.nodes, &outputs, &host)?;
        let mut limits = limits_of(&options, &host, outputs.len())?;
        let plan = lay_out(&self.nodes, &host);
        let segments = plan.segment.iter().filter(|at| **at != usize::MAX);
        limits.segments = segments.max().map_or(0, |last| last + 1);
        let mut homes: Vec<usize> = plan
            .scheduler
            .iter()
            .copied()
            .filter(|at| *at < FIRST_HOME)
            .collect();
        let peers = peers(&self.nodes);
        if !peers.is_empty() {
            // It wakes those who wait for results that others send.
            homes.push(host.schedulers().len() - 1);
        }
        homes.sort_unstable();
        homes.dedup();
        let core = Core::new(
            host.random.next_u64(),
            host.clone(),
            &limits,
            actors_of(&self.nodes),
            homes,
            peers,
        );
        let wiring = Wiring::new(
            &self.nodes,
            &plan,
            &outputs,
            &core,
            limits.max_inflight,
            O::IS_ONE,
        )?;
        let mut layout = Layout::new(
            &self.nodes,
            &plan,
            &outputs,
            core.clone(),
            limits.max_inflight,
            wiring,
        );
        let (submit, outs) = layout.connect::<I, O>(&self.outputs);
        layout.install(&host);
        if host.graphs.add(&core) {
            // An actor may have died meanwhile.
            core.check_actors();
            core.check_parts();
        } else {
            core.end(shut_down());
            return Err(shut_down());
        }
        let teardown = options
            .teardown_timeout
            .unwrap_or(host.settings.graph_teardown_timeout);
        Ok(CompiledGraph {
            core,
            fan_out: submit.fan_out(),
            submit: UnsafeCell::new(submit),
            outs: ManuallyDrop::new(outs),
            teardown_timeout: teardown.limit(),
            _nodes: self.nodes,
        })
    }
}

fn actors_of(nodes: &[NodeDef]) -> Vec<SendCore> {
    let mut seen = HashSet::new();
    let mut actors = Vec::new();
    for def in nodes {
        if let Action::Call {
            actor: Some(actor), ..
        } = &def.action
            && seen.insert(actor.core.get())
        {
            actors.push(SendCore::new(actor.core.get()));
        }
    }
    actors
}

fn limits_of(options: &CompileOptions, host: &HostNode, outputs: usize) -> Result<Limits> {
    let settings = &host.settings;
    let max_inflight = options.max_inflight.unwrap_or(settings.graph_max_inflight);
    let max_buffered = options
        .max_buffered_results
        .unwrap_or(settings.graph_max_buffered_results);
    for (argument, value, range) in [
        ("max_inflight", max_inflight, MAX_INFLIGHT),
        ("max_buffered_results", max_buffered, MAX_BUFFERED_RESULTS),
    ] {
        if !range.contains(&value) {
            return Err(Error::InvalidArgument {
                argument,
                problem: format!("{value}"),
                remedy: format!("give {} to {}", range.start(), range.end()),
            });
        }
    }
    Ok(Limits {
        outputs,
        segments: 0,
        max_inflight,
        max_buffered,
        submit_timeout: options
            .submit_timeout
            .unwrap_or(settings.graph_submit_timeout)
            .limit(),
        get_timeout: options
            .get_timeout
            .unwrap_or(settings.graph_get_timeout)
            .limit(),
    })
}

impl<I: InputNodes, O: OutputNodes> CompiledGraph<I, O> {
    /// Submits a run, if there is a place for it.
    ///
    /// # Errors
    /// [`Error::CapacityExceeded`] says how many runs are in flight, or how many results wait to
    /// be fetched; [`Error::ChannelClosed`] after teardown; [`Error::ActorDied`] if an actor of
    /// the graph died.
    pub fn try_execute<X: IntoInputs<I::Values>>(&self, inputs: X) -> Result<O::GraphRefs> {
        let mut parcel = Some(self.pack(inputs.into_inputs()));
        match self.submit_once(&mut parcel)? {
            Some(refs) => Ok(refs),
            None => Err(self.is_full()),
        }
    }

    /// Submits a run; waits for a place up to the submit timeout.
    ///
    /// # Errors
    /// As [`try_execute`](Self::try_execute), and [`Error::Timeout`].
    #[inline]
    pub fn execute<X: IntoInputs<I::Values>>(&self, inputs: X) -> Result<O::GraphRefs> {
        let mut parcel = Some(self.pack(inputs.into_inputs()));
        match self.submit_once(&mut parcel)? {
            Some(refs) => Ok(refs),
            None => self.execute_when_free(parcel, self.core.submit_timeout),
        }
    }

    /// As [`execute`](Self::execute) with a limit of its own.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub fn execute_timeout<X: IntoInputs<I::Values>>(
        &self,
        inputs: X,
        limit: Duration,
    ) -> Result<O::GraphRefs> {
        let mut parcel = Some(self.pack(inputs.into_inputs()));
        match self.submit_once(&mut parcel)? {
            Some(refs) => Ok(refs),
            None => self.execute_when_free(parcel, Some(limit)),
        }
    }

    /// As [`execute`](Self::execute), for any executor: yields until there is a place.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it has submitted nothing.
    ///
    /// # Errors
    /// As [`try_execute`](Self::try_execute), without `CapacityExceeded` for runs in flight.
    pub async fn execute_async<X: IntoInputs<I::Values>>(&self, inputs: X) -> Result<O::GraphRefs> {
        let mut parcel = Some(self.pack(inputs.into_inputs()));
        let mut polls = self.core.polls();
        std::future::poll_fn(|context: &mut Context<'_>| {
            polls.poll_until(context, || self.submit_once(&mut parcel).transpose())
        })
        .await
    }

    #[inline(always)]
    fn pack(&self, values: I::Values) -> Parcel<I> {
        let copies = self.fan_out.as_ref().map(|fan_out| {
            let spare = self.core.locked(|| {
                // SAFETY: DR-1, under the lock.
                unsafe { &mut *self.submit.get() }.spare()
            });
            let mut copies = spare.unwrap_or_default();
            I::copy(&values, fan_out, &mut copies);
            copies
        });
        Parcel { values, copies }
    }

    /// One attempt; `None` if too many runs are in flight.
    #[inline(always)]
    fn submit_once(&self, parcel: &mut Option<Parcel<I>>) -> Result<Option<O::GraphRefs>> {
        if self.core.is_over()
            && let Some(error) = self.core.over()
        {
            return Err(error);
        }
        let mut refused = Refused::default();
        let run = self.core.locked(|| {
            if self.core.in_flight() >= self.core.max_inflight {
                self.look_for_results(&mut refused);
                if self.core.in_flight() >= self.core.max_inflight {
                    return None;
                }
            }
            if let Some(parcel) = parcel.take() {
                // SAFETY: DR-1, under the lock.
                unsafe { &mut *self.submit.get() }.submit(parcel, &mut refused);
            }
            self.core.refs_were_made();
            Some(self.core.take_run())
        });
        drop(refused);
        match run {
            Some(run) => Ok(Some(O::graph_refs(&self.outs, run))),
            None if self.held() > self.core.max_buffered => Err(self.is_full()),
            None => Ok(None),
        }
    }

    /// Under the lock: how many runs are finished by now.
    fn look_for_results(&self, refused: &mut Refused) {
        let mut finished = u64::MAX;
        let mut held = 0;
        O::visit_outs(&self.outs, &mut |output: &dyn AnyOutput| {
            finished = finished.min(output.pull(refused));
            held = held.max(output.held());
        });
        if held <= self.core.max_buffered {
            self.core.set_finished(finished);
        }
    }

    fn held(&self) -> usize {
        let mut held = 0;
        self.core.locked(|| {
            O::visit_outs(&self.outs, &mut |output: &dyn AnyOutput| {
                held = held.max(output.held())
            });
        });
        held
    }

    fn is_full(&self) -> Error {
        let held = self.held();
        if held > self.core.max_buffered {
            return Error::CapacityExceeded {
                what: "results of a compiled graph wait to be fetched".into(),
                in_flight: held,
                limit: self.core.max_buffered,
                remedy: "get or drop refs, or raise max_buffered_results".into(),
            };
        }
        Error::CapacityExceeded {
            what: "runs of a compiled graph".into(),
            in_flight: self.core.locked(|| self.core.in_flight()),
            limit: self.core.max_inflight,
            remedy: "wait for a result before submitting more, or raise max_inflight".into(),
        }
    }

    #[cold]
    fn execute_when_free(
        &self,
        mut parcel: Option<Parcel<I>>,
        limit: Option<Duration>,
    ) -> Result<O::GraphRefs> {
        let clock = &self.core.node.clock;
        let end = limit.map(|limit| {
            clock
                .now_ns()
                .saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX))
        });
        let oldest = self.core.locked(|| self.core.oldest_run());
        let mut waits_for = oldest;
        loop {
            let left = end.map(|end| Duration::from_nanos(end.saturating_sub(clock.now_ns())));
            let waited = self.wait_for_run(waits_for, left);
            match self.submit_once(&mut parcel)? {
                Some(refs) => return Ok(refs),
                None if waited.is_ok() => {
                    waits_for = self.core.locked(|| self.core.oldest_run());
                }
                None => {
                    return Err(match waited {
                        Err(Error::Timeout { .. }) | Ok(()) => Error::Timeout {
                            what: format!(
                                "a place for a run ({} in flight)",
                                self.core.max_inflight
                            ),
                            from_whom: "the actors of a compiled graph".into(),
                            waited: limit.unwrap_or_default(),
                            knob: "CompileOptions::submit_timeout or MASER_CGRAPH_SUBMIT_TIMEOUT",
                        },
                        Err(other) => other,
                    });
                }
            }
        }
    }

    /// Waits until every result of `run` is with the driver.
    fn wait_for_run(&self, run: u64, limit: Option<Duration>) -> Result<()> {
        let mut result = Ok(());
        O::visit_outs(&self.outs, &mut |output: &dyn AnyOutput| {
            if result.is_ok() {
                result = output.wait_arrived(run, limit);
            }
        });
        result
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

impl<I: InputNodes, O: OutputNodes> Drop for CompiledGraph<I, O> {
    fn drop(&mut self) {
        // A teardown that cannot be awaited still happens: the graph is over.
        drop(self.teardown());
        // SAFETY: taken out once, here; not used after.
        let outs = unsafe { ManuallyDrop::take(&mut self.outs) };
        self.core.abandon(Box::new(outs));
    }
}
