//! `CompiledGraph`: compile, execute, tear down.
#![allow(unsafe_code, reason = "the submitting end is protected by the core's lock (DR-1)")]

use super::build::{Action, Graph, NodeDef};
use super::driver::{AnyOutput, Core, Limits, SubmitEdges, SubmitRun};
use super::plan::{Plan, check, lay_out};
use super::segment::{Edges, Head, SegmentParts, Stage, install};
use super::shape::{
    CoreBox, Destination, InputNodes, IntoInputs, OutPortBox, OutputId, OutputNodes, PortBox,
    SlotLink, TargetBox, Wire,
};
use super::slot::{InPort, OutPort};
use crate::actor::core::SendCore;
use crate::config::Timeout;
use crate::error::{Error, Result};
use crate::executor::letter;
use crate::executor::local::Local;
use crate::node::Node as HostNode;
use std::any::Any;
use std::cell::UnsafeCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

/// Options of [`Graph::compile_with`]; `None` takes the configuration's value.
#[derive(Clone, Debug, Default)]
pub struct CompileOptions {
    /// Runs that may be in flight at once; 1 and more.
    pub max_inflight: Option<usize>,
    /// Results that may wait to be fetched.
    pub max_buffered_results: Option<usize>,
    /// How long `execute` waits for a place.
    pub submit_timeout: Option<Timeout>,
    /// How long `get` waits for a result.
    pub get_timeout: Option<Timeout>,
    /// How long teardown waits for the actors.
    pub teardown_timeout: Option<Timeout>,
}

/// Most runs in flight that a graph may ask for: each edge has a slot for each.
const MAX_INFLIGHT: usize = 1 << 20;

/// A graph whose channels and buffers are in place. Any thread may use it.
///
/// Dropping it tears it down; its actors live on.
pub struct CompiledGraph<I: InputNodes, O: OutputNodes> {
    core: Arc<Core>,
    submit: UnsafeCell<Box<dyn SubmitRun<I::Values>>>,
    outs: O::Outs,
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
    /// the death of an actor of the graph.
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
        let host = HostNode::current("compiling a graph")?;
        let mut outputs = Vec::new();
        self.outputs.visit(&mut |id| outputs.push(id.0.index));
        check(&self.nodes, &outputs, &host)?;
        let limits = limits_of(&options, &host)?;
        let plan = lay_out(&self.nodes, &host);
        let mut homes: Vec<usize> = plan.scheduler.iter().copied().filter(|at| *at != usize::MAX).collect();
        homes.sort_unstable();
        homes.dedup();
        let core = Core::new(graph_id(&self.nodes, &outputs, &host), host.clone(), &limits, actors_of(&self.nodes), homes);
        let mut layout = Layout::new(&self.nodes, &plan, &outputs, core.clone(), limits.max_inflight);
        let (submit, outs) = layout.connect::<I, O>(&self.outputs);
        layout.install(&host);
        host.graphs.add(&core);
        // An actor may have died meanwhile.
        core.check_actors();
        let teardown = options.teardown_timeout.unwrap_or(host.settings.graph_teardown_timeout);
        Ok(CompiledGraph {
            core,
            submit: UnsafeCell::new(submit),
            outs,
            teardown_timeout: teardown.limit(),
            _nodes: self.nodes,
        })
    }
}

fn graph_id(_: &[NodeDef], _: &[usize], host: &HostNode) -> u64 {
    host.random.next_u64()
}

fn actors_of(nodes: &[NodeDef]) -> Vec<SendCore> {
    let mut seen = Vec::new();
    let mut actors = Vec::new();
    for def in nodes {
        if let Action::Call { actor: Some(actor), .. } = &def.action
            && !seen.contains(&actor.core.get())
        {
            seen.push(actor.core.get());
            actors.push(SendCore::new(actor.core.get()));
        }
    }
    actors
}

fn limits_of(options: &CompileOptions, host: &HostNode) -> Result<Limits> {
    let settings = &host.settings;
    let max_inflight = options.max_inflight.unwrap_or(settings.graph_max_inflight);
    let max_buffered = options.max_buffered_results.unwrap_or(settings.graph_max_buffered_results);
    for (argument, value, least) in
        [("max_inflight", max_inflight, 1), ("max_buffered_results", max_buffered, 0)]
    {
        if !(least..=MAX_INFLIGHT).contains(&value) {
            return Err(Error::InvalidArgument {
                argument,
                problem: format!("{value}"),
                remedy: format!("give {least} to {MAX_INFLIGHT}"),
            });
        }
    }
    Ok(Limits {
        max_inflight,
        max_buffered,
        submit_timeout: options.submit_timeout.unwrap_or(settings.graph_submit_timeout).limit(),
        get_timeout: options.get_timeout.unwrap_or(settings.graph_get_timeout).limit(),
    })
}

/// Slots, edges and steps while they are put together.
struct Layout<'a> {
    nodes: &'a [NodeDef],
    plan: &'a Plan,
    core: Arc<Core>,
    depth: usize,
    /// By segment and node.
    slots: HashMap<(usize, usize), Box<dyn Any + Send>>,
    /// Readers of a slot that were not handed out yet.
    reads_left: HashMap<(usize, usize), usize>,
    in_ports: Vec<Vec<Box<dyn InPort>>>,
    /// By node.
    out_ports: Vec<Vec<Box<dyn OutPort>>>,
    heads: Vec<Option<Box<dyn Head>>>,
    steps: Vec<Option<Box<dyn super::segment::Step>>>,
}

impl<'a> Layout<'a> {
    fn new(nodes: &'a [NodeDef], plan: &'a Plan, outputs: &[usize], core: Arc<Core>, depth: usize) -> Self {
        let mut layout = Self {
            nodes,
            plan,
            core,
            depth,
            slots: HashMap::new(),
            reads_left: HashMap::new(),
            in_ports: plan.members.iter().map(|_| Vec::new()).collect(),
            out_ports: nodes.iter().map(|_| Vec::new()).collect(),
            heads: plan.members.iter().map(|_| None).collect(),
            steps: nodes.iter().map(|_| None).collect(),
        };
        layout.make_slots(outputs);
        layout
    }

    /// A slot wherever a value is made or read, and how many readers each has.
    fn make_slots(&mut self, outputs: &[usize]) {
        for (index, def) in self.nodes.iter().enumerate() {
            let own = self.plan.segment[index];
            let mut places = self.plan.readers[index].clone();
            if own != usize::MAX {
                places.push(own);
                let reads = self.plan.readers[index].len() + outputs.iter().filter(|output| **output == index).count();
                *self.reads_left.entry((own, index)).or_default() += reads;
            }
            for place in places {
                self.slots.insert((place, index), (def.value.new_slot)());
            }
            if own != usize::MAX {
                for input in &def.reads {
                    *self.reads_left.entry((own, *input)).or_default() += 1;
                }
            }
        }
    }

    /// The slot of `node` in `segment` for one more reader.
    fn read(&mut self, segment: usize, node: usize) -> (Box<dyn Any + Send>, bool) {
        let left = self.reads_left.entry((segment, node)).or_insert(1);
        *left = left.saturating_sub(1);
        let last = *left == 0;
        ((self.nodes[node].value.clone_slot)(&*self.slots[&(segment, node)]), last)
    }

    /// Steps first, in the order in which they read; then the edges behind each; the driver last.
    fn connect<I: InputNodes, O: OutputNodes>(
        &mut self,
        outputs: &O,
    ) -> (Box<dyn SubmitRun<I::Values>>, O::Outs) {
        for index in 0..self.nodes.len() {
            self.make_step(index);
        }
        for index in 0..self.nodes.len() {
            self.make_edges(index);
        }
        if self.plan.members.len() == 1 {
            let scheduler = self.plan.scheduler[self.plan.members[0][0]];
            let target = self.core.node.schedulers()[scheduler].clone();
            let inputs: Vec<&(dyn Any + Send)> =
                self.inputs().iter().map(|input| &*self.slots[&(0, *input)]).collect();
            let slots = I::slots(&inputs);
            if let Some(SlotLink { head, submit, outs }) = outputs.on_call_slot::<I>(slots, TargetBox(target), self) {
                self.heads[0] = Some(head);
                return (submit, outs);
            }
        }
        let submit = self.connect_inputs::<I>();
        (submit, outputs.wire(self))
    }

    fn inputs(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|index| matches!(self.nodes[*index].action, Action::Input(_))).collect()
    }

    fn make_step(&mut self, index: usize) {
        let nodes = self.nodes;
        if let Action::Call { make, .. } = &nodes[index].action {
            let segment = self.plan.segment[index];
            let out = (nodes[index].value.clone_slot)(&*self.slots[&(segment, index)]);
            let step = make(&mut |read| self.read(segment, read), &*out);
            self.steps[index] = Some(step);
        }
    }

    /// From the segment that makes a value to each that reads it.
    fn make_edges(&mut self, index: usize) {
        let own = self.plan.segment[index];
        if own == usize::MAX {
            return;
        }
        for reader in self.plan.readers[index].clone() {
            let (from, last) = self.read(own, index);
            let scheduler = self.plan.scheduler[self.plan.members[reader][0]];
            let target = self.core.node.schedulers()[scheduler].clone();
            let to = &*self.slots[&(reader, index)];
            let edge = (self.nodes[index].value.edge)(&*from, last, to, self.depth, target);
            self.out_ports[index].push(edge.sender);
            self.in_ports[reader].push(edge.receiver);
        }
    }

    fn connect_inputs<I: InputNodes>(&mut self) -> Box<dyn SubmitRun<I::Values>> {
        let mut destinations: Vec<Vec<Destination>> = self
            .inputs()
            .into_iter()
            .map(|input| {
                self.plan.readers[input]
                    .iter()
                    .map(|segment| self.destination(*segment, Some(input)))
                    .collect()
            })
            .collect();
        let ports = I::ports(std::mem::take(&mut destinations), self.depth, &mut |segment, PortBox(port)| {
            self.in_ports[segment].push(port);
        });
        // A segment that reads nothing from outside is started by the driver.
        let mut ticks = Vec::new();
        for segment in 0..self.plan.members.len() {
            if self.in_ports[segment].is_empty() {
                let (sender, receiver) = super::slot::line::<()>(self.depth);
                self.in_ports[segment].push(Box::new(Tick(receiver)));
                ticks.push((sender, self.destination(segment, None).target));
            }
        }
        Box::new(Submit { edges: SubmitEdges::<I>(ports), ticks })
    }

    fn destination(&self, segment: usize, input: Option<usize>) -> Destination {
        let scheduler = self.plan.scheduler[self.plan.members[segment][0]];
        let target = self.core.node.schedulers()[scheduler].clone();
        let slot: Box<dyn Any + Send> = match input {
            Some(input) => (self.nodes[input].value.clone_slot)(&*self.slots[&(segment, input)]),
            None => Box::new(()),
        };
        Destination { target, slot, segment }
    }

    /// Sends each scheduler its segments.
    fn install(mut self, host: &HostNode) {
        let mut by_home: HashMap<usize, Vec<SegmentParts>> = HashMap::new();
        for (index, members) in self.plan.members.iter().enumerate() {
            let scheduler = self.plan.scheduler[members[0]];
            let head = self.heads[index]
                .take()
                .unwrap_or_else(|| Box::new(Edges(std::mem::take(&mut self.in_ports[index]))));
            let mut stages = Vec::new();
            for node in members {
                if let Some(step) = self.steps[*node].take() {
                    stages.push(Stage { step, out: std::mem::take(&mut self.out_ports[*node]) });
                }
            }
            let after = self.plan.after[index].clone();
            by_home.entry(scheduler).or_default().push(SegmentParts { index, head, stages, after });
        }
        for (scheduler, parts) in by_home {
            let core = self.core.clone();
            let letter = letter::closure(move |local: &Local| install(parts, &core, local));
            // SAFETY: LT-1, a fresh letter.
            unsafe { host.schedulers()[scheduler].post(letter) };
        }
    }
}

impl Wire for Layout<'_> {
    fn slot(&mut self, output: OutputId) -> (Box<dyn Any + Send>, bool) {
        self.read(self.plan.segment[output.0.index], output.0.index)
    }
    fn attach(&mut self, output: OutputId, OutPortBox(port): OutPortBox) {
        self.out_ports[output.0.index].push(port);
    }
    fn depth(&self) -> usize {
        self.depth
    }
    fn core(&self) -> CoreBox {
        CoreBox(self.core.clone())
    }
}

/// Starts a segment that has no inputs.
struct Tick(maser_shm::channel::spsc::LineReceiver<()>);

impl InPort for Tick {
    fn is_ready(&self) -> bool {
        self.0.is_ready()
    }
    fn load(&mut self) {
        drop(self.0.try_recv());
    }
}

type TickSender = maser_shm::channel::spsc::LineSender<()>;

struct Submit<I: InputNodes> {
    edges: SubmitEdges<I>,
    ticks: Vec<(TickSender, Arc<crate::executor::shared::Shared>)>,
}

impl<I: InputNodes> SubmitRun<I::Values> for Submit<I> {
    #[inline]
    fn submit(&mut self, values: I::Values) {
        self.edges.submit(values);
        for (sender, target) in &mut self.ticks {
            drop(sender.try_send(()));
            target.event.notify();
        }
    }
}

impl<I: InputNodes, O: OutputNodes> CompiledGraph<I, O> {
    /// Submits a run, if there is a place for it.
    ///
    /// # Errors
    /// [`Error::CapacityExceeded`] says how many runs are in flight, or how many results wait to
    /// be fetched; [`Error::ChannelClosed`] after teardown; [`Error::ActorDied`] if an actor of
    /// the graph died.
    pub fn try_execute<X: IntoInputs<I::Values>>(&self, inputs: X) -> Result<O::GraphRefs> {
        let mut values = Some(inputs.into_inputs());
        match self.submit_once(&mut values)? {
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
        let mut values = Some(inputs.into_inputs());
        match self.submit_once(&mut values)? {
            Some(refs) => Ok(refs),
            None => self.execute_when_free(values, self.core.submit_timeout),
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
        let mut values = Some(inputs.into_inputs());
        match self.submit_once(&mut values)? {
            Some(refs) => Ok(refs),
            None => self.execute_when_free(values, Some(limit)),
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
        let mut values = Some(inputs.into_inputs());
        std::future::poll_fn(|context: &mut Context<'_>| {
            self.core.poll_until(context, || self.submit_once(&mut values).transpose())
        })
        .await
    }

    /// One attempt; `None` if too many runs are in flight.
    #[inline(always)]
    fn submit_once(&self, values: &mut Option<I::Values>) -> Result<Option<O::GraphRefs>> {
        if let Some(error) = self.core.over() {
            return Err(error);
        }
        let run = self.core.locked(|| {
            if self.core.in_flight() >= self.core.max_inflight {
                self.look_for_results();
                if self.core.in_flight() >= self.core.max_inflight {
                    return None;
                }
            }
            if let Some(values) = values.take() {
                // SAFETY: DR-1, under the lock.
                unsafe { &mut *self.submit.get() }.submit(values);
            }
            Some(self.core.take_run())
        });
        match run {
            Some(run) => Ok(Some(O::graph_refs(&self.outs, run))),
            None if self.held() > self.core.max_buffered => Err(self.is_full()),
            None => Ok(None),
        }
    }

    /// Under the lock: how many runs are finished by now.
    fn look_for_results(&self) {
        let mut finished = u64::MAX;
        let mut held = 0;
        O::visit_outs(&self.outs, &mut |output: &dyn AnyOutput| {
            finished = finished.min(output.pull());
            held = held.max(output.held());
        });
        if held <= self.core.max_buffered {
            self.core.set_finished(finished);
        }
    }

    fn held(&self) -> usize {
        let mut held = 0;
        self.core.locked(|| {
            O::visit_outs(&self.outs, &mut |output: &dyn AnyOutput| held = held.max(output.held()));
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
        mut values: Option<I::Values>,
        limit: Option<Duration>,
    ) -> Result<O::GraphRefs> {
        let clock = &self.core.node.clock;
        let end = limit.map(|limit| {
            clock.now_ns().saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX))
        });
        let oldest = self.core.locked(|| self.core.oldest_run());
        let mut waits_for = oldest;
        loop {
            let left = end.map(|end| Duration::from_nanos(end.saturating_sub(clock.now_ns())));
            let waited = self.wait_for_run(waits_for, left);
            match self.submit_once(&mut values)? {
                Some(refs) => return Ok(refs),
                None if waited.is_ok() => {
                    waits_for = self.core.locked(|| self.core.oldest_run());
                }
                None => {
                    return Err(match waited {
                        Err(Error::Timeout { .. }) | Ok(()) => Error::Timeout {
                            what: format!("a place for a run ({} in flight)", self.core.max_inflight),
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
        self.core.locked(|| {
            self.look_for_results();
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
        let gone = || (core.installed.load(maser_shm::sync::atomic::Ordering::Acquire) == 0).then_some(());
        if core.node.is_closing() {
            return Ok(());
        }
        match core.removed.wait("the teardown of a graph", self.teardown_timeout, gone)? {
            Some(()) => Ok(()),
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
    }
}
