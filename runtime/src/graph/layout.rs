//! The layout of a plan in memory: slots, edges, heads and steps, sent to their schedulers.
#![allow(unsafe_code, reason = "posts the segments as letters")]

use super::build::{Action, NodeDef};
use super::call_slot::Answerer;
use super::core::Core;
use super::inputs::{Destination, DestinationBox, InputNodes, PortBox};
use super::observe::chart::Chart;
use super::observe::driver_watch::SubmitNotes;
use super::observe::gauges::Gauges;
use super::observe::progress::Progress;
use super::outputs::{
    CoreBox, FarOutput, OutPortBox, OutputId, OutputNodes, OutputWatchBox, SlotLink, StepBox,
    SubmitNotesBox, TargetBox, Wire,
};
use super::parcel::{SubmitEdges, SubmitRun};
use super::plan::Plan;
use super::record::hooks::Hooks;
use super::record::watch::Watch;
use super::remote::bell::Bell;
use super::remote::draft::codec_of;
use super::remote::ports::NodeCodec;
use super::remote::wiring::Wiring;
use super::rendezvous::{TOKENS, Token};
use super::schedule::ChannelKind;
use super::segment::{Body, Edges, Head, SegmentParts, Stage, Step, install};
use super::signals::{Signal, TokenPort, signalling};
use super::slot::{InPort, OutPort};
use super::ticks::{Submit, Tick};
use crate::executor::letter;
use crate::executor::local::Local;
use crate::executor::shared::Shared;
use crate::node::Node as HostNode;
use crate::worker::remote::FIRST_HOME;
use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// Slots, edges and steps while they are put together.
pub(crate) struct Layout<'a> {
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
    /// Of a call slot.
    answerer: Option<Answerer>,
    steps: Vec<Option<Box<dyn Step>>>,
    /// Whom a segment tells that it took its inputs.
    signals: Vec<Vec<Signal>>,
    /// Edges to and from other processes.
    wiring: Wiring,
    /// How far each segment is.
    progress: Vec<Progress>,
    /// Of a graph that can be recorded.
    hooks: Option<Arc<Hooks>>,
    /// What is measured, if anything.
    gauges: Option<Gauges>,
}

impl<'a> Layout<'a> {
    pub(crate) fn new(
        nodes: &'a [NodeDef],
        plan: &'a Plan,
        outputs: &[usize],
        core: Arc<Core>,
        depth: usize,
        mut wiring: Wiring,
    ) -> Self {
        let mut progress = Progress::of(plan.members.len());
        for (segment, there) in wiring.progress() {
            progress[segment] = there;
        }
        let _first = core.chart.set(Chart::new(nodes, plan, &progress));
        let mut gauges = Gauges::new(nodes, plan, &core);
        if let Some(gauges) = &mut gauges {
            let boards = wiring.sight.boards.drain(..);
            boards.for_each(|board| gauges.elsewhere((nodes, plan), board));
        }
        let mut layout = Self {
            nodes,
            plan,
            core,
            depth,
            slots: HashMap::new(),
            reads_left: HashMap::new(),
            in_ports: plan.members.iter().map(|_| Vec::new()).collect(),
            out_ports: nodes.iter().map(|_| Vec::new()).collect(),
            answerer: None,
            steps: nodes.iter().map(|_| None).collect(),
            signals: plan.members.iter().map(|_| Vec::new()).collect(),
            wiring,
            progress,
            hooks: None,
            gauges,
        };
        layout.make_slots(outputs);
        layout
    }

    /// Steps, and edges from other processes, say what was given.
    pub(crate) fn watch(&mut self, hooks: Option<&Arc<Hooks>>) {
        self.hooks = hooks.cloned();
    }

    /// What watches a node.
    fn watch_of(&self, node: usize) -> Option<Watch> {
        let hooks = self.hooks.as_ref().filter(|hooks| hooks.claim(node));
        hooks.map(|hooks| Watch::new(hooks, node))
    }

    /// Whether a segment runs in another process.
    fn is_elsewhere(&self, segment: usize) -> bool {
        self.plan.scheduler[self.plan.members[segment][0]] >= FIRST_HOME
    }

    /// How the values of a node travel, one of whose readers or whose function is elsewhere, hence not
    /// `local`.
    fn codec(&self, node: usize) -> NodeCodec {
        match codec_of(self.nodes, node) {
            Some(codec) => codec,
            None => unreachable!("the wiring refuses what cannot travel"),
        }
    }

    /// A slot wherever a value is made or read, and how many readers each has.
    fn make_slots(&mut self, outputs: &[usize]) {
        let mut fetched = vec![0; self.nodes.len()];
        outputs.iter().for_each(|output| fetched[*output] += 1);
        for (index, def) in self.nodes.iter().enumerate() {
            let own = self.plan.segment[index];
            let mut places = self.plan.readers[index].clone();
            if own != usize::MAX {
                places.push(own);
                let reads = self.plan.readers[index].len() + fetched[index];
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
        (
            (self.nodes[node].value.clone_slot)(&*self.slots[&(segment, node)]),
            last,
        )
    }

    /// Readers are made in the order in which a run reads, so that the last takes (SL-1): what
    /// leaves behind a step does so before the next step reads, and the call slot takes its answer
    /// at the end of the run.
    pub(crate) fn connect<I: InputNodes, O: OutputNodes>(
        &mut self,
        outputs: &O,
    ) -> (Box<dyn SubmitRun<I>>, O::Outs) {
        for index in 0..self.nodes.len() {
            self.make_edges(index);
        }
        if self.plan.members.len() == 1 && O::IS_ONE && !self.is_elsewhere(0) {
            self.make_steps();
            let scheduler = self.plan.scheduler[self.plan.members[0][0]];
            let target = self.core.node.schedulers()[scheduler].clone();
            let inputs: Vec<&(dyn Any + Send)> = self
                .inputs()
                .iter()
                .map(|input| &*self.slots[&(0, *input)])
                .collect();
            let slots = I::slots(&inputs);
            if let Some(SlotLink {
                answerer,
                submit,
                outs,
            }) = outputs.on_call_slot::<I>(slots, TargetBox(target), self)
            {
                self.answerer = Some(answerer);
                self.reads_questions();
                return (submit, outs);
            }
        }
        let outs = outputs.wire(self);
        self.make_steps();
        (self.connect_inputs::<I>(), outs)
    }

    /// The one segment reads all inputs off its call slot.
    fn reads_questions(&mut self) {
        for input in self.inputs() {
            if let Some(gauges) = &mut self.gauges {
                gauges.joins(input, 0, ChannelKind::CallSlot);
            }
        }
    }

    /// Whether input and output are question and answer on one line.
    pub(crate) fn is_call_slot(&self) -> bool {
        self.wiring.is_calls || self.answerer.is_some()
    }

    fn make_steps(&mut self) {
        for index in 0..self.nodes.len() {
            self.make_step(index);
        }
    }

    fn inputs(&self) -> Vec<usize> {
        (0..self.nodes.len())
            .filter(|index| matches!(self.nodes[*index].action, Action::Input(_)))
            .collect()
    }

    fn make_step(&mut self, index: usize) {
        let nodes = self.nodes;
        if let Action::Call { make, .. } = &nodes[index].action {
            let segment = self.plan.segment[index];
            if self.is_elsewhere(segment) {
                return;
            }
            let out = (nodes[index].value.clone_slot)(&*self.slots[&(segment, index)]);
            let step = make(&mut |read| self.read(segment, read), &*out);
            self.steps[index] = Some(match self.watch_of(index) {
                Some(watch) => watch.step(step, out, nodes[index].value.show),
                None => step,
            });
        }
    }

    /// From the segment that makes a value to each that reads it.
    fn make_edges(&mut self, index: usize) {
        let own = self.plan.segment[index];
        if own == usize::MAX {
            return;
        }
        for reader in self.plan.readers[index].clone() {
            let value = self.nodes[index].value;
            if self.is_elsewhere(own) {
                if let Some(edge) = self.wiring.receiver(index, reader) {
                    let to = &*self.slots[&(reader, index)];
                    let port = (value.from_elsewhere)(edge, self.codec(index), to);
                    let port = match self.watch_of(index) {
                        Some(watch) => watch.port(port, (value.clone_slot)(to), value.show),
                        None => port,
                    };
                    self.in_ports[reader].push(port);
                    if let Some(gauges) = &mut self.gauges {
                        gauges.receives(index, reader, self.wiring.sight.value(index, reader));
                    }
                }
                continue;
            }
            let (from, last) = self.read(own, index);
            if let Some(edge) = self.wiring.sender(index, reader) {
                let port = (value.to_elsewhere)(edge, self.codec(index), &*from, last);
                self.out_ports[index].push(port);
                if let Some(gauges) = &mut self.gauges {
                    gauges.sends(index, self.wiring.sight.value(index, reader));
                }
                continue;
            }
            let scheduler = self.plan.scheduler[self.plan.members[reader][0]];
            let target = self.core.node.schedulers()[scheduler].clone();
            let to = &*self.slots[&(reader, index)];
            let edge = (value.edge)(&*from, last, to, self.depth, target);
            if let Some(gauges) = &mut self.gauges {
                gauges.joins(index, reader, ChannelKind::Ring);
            }
            self.out_ports[index].push(edge.sender);
            self.in_ports[reader].push(edge.receiver);
        }
    }

    fn connect_inputs<I: InputNodes>(&mut self) -> Box<dyn SubmitRun<I>> {
        let plan = self.plan;
        let mut destinations: Vec<Vec<DestinationBox>> = Vec::new();
        for input in self.inputs() {
            let readers = plan.readers[input].iter();
            let to = readers.map(|at| DestinationBox(self.destination(*at, input)));
            destinations.push(to.collect());
        }
        let ports = I::ports(destinations, self.depth, &mut |segment, PortBox(port)| {
            self.in_ports[segment].push(port);
        });
        // A segment that reads nothing from outside is started by the driver.
        let mut ticks = Vec::new();
        for segment in 0..self.plan.members.len() {
            if self.in_ports[segment].is_empty() && !self.is_elsewhere(segment) {
                let (sender, receiver) = super::slot::line::<()>(self.depth);
                self.in_ports[segment].push(Box::new(Tick(receiver)));
                ticks.push((sender, self.target(segment)));
            }
        }
        let submit = Submit {
            edges: SubmitEdges::<I>::new(ports),
            ticks,
            far_ticks: self.wiring.ticks(),
        };
        SubmitNotes::around(self.gauges.as_mut().and_then(Gauges::submit), submit)
    }

    /// What segments tell each other; after everything else is connected, so that no token stands for
    /// an input.
    pub(crate) fn signal(&mut self, tokens: &[Token]) {
        if let Some(chart) = self.core.chart.get() {
            let _first = chart.tokens.set(tokens.to_vec());
        }
        for (number, token) in tokens.iter().enumerate() {
            if let Some(edge) = self.wiring.signal(number) {
                self.signals[token.from].push(Signal::There(Box::new(edge)));
            } else if let Some(edge) = self.wiring.token(number) {
                self.in_ports[token.to].push(Box::new(TokenPort::far(edge, token.ahead)));
            } else if !self.is_elsewhere(token.from) {
                let (sender, receiver) = super::slot::line::<()>(TOKENS);
                let target = self.target(token.to);
                self.signals[token.from].push(Signal::Here(sender, target));
                let port = TokenPort::new(Tick(receiver), token.ahead);
                self.in_ports[token.to].push(Box::new(port));
            }
        }
    }

    /// The scheduler of a segment of this process.
    fn target(&self, segment: usize) -> Arc<Shared> {
        let scheduler = self.plan.scheduler[self.plan.members[segment][0]];
        self.core.node.schedulers()[scheduler].clone()
    }

    fn destination(&mut self, segment: usize, input: usize) -> Destination {
        if let Some(edge) = self.wiring.sender(input, segment) {
            if let Some(gauges) = &mut self.gauges {
                gauges.sends(input, self.wiring.sight.value(input, segment));
            }
            return Destination::There(Box::new(edge), self.codec(input));
        }
        if let Some(gauges) = &mut self.gauges {
            gauges.joins(input, segment, ChannelKind::Ring);
        }
        Destination::Here {
            target: self.target(segment),
            slot: (self.nodes[input].value.clone_slot)(&*self.slots[&(segment, input)]),
            segment,
        }
    }

    /// What a segment reads, if that is no call slot.
    fn edges_of(&mut self, segment: usize) -> Box<dyn Head> {
        let edges = Edges::new(std::mem::take(&mut self.in_ports[segment]));
        signalling(Box::new(edges), std::mem::take(&mut self.signals[segment]))
    }

    /// Sends each scheduler its segments.
    pub(crate) fn install(mut self, host: &HostNode) {
        let mut by_home: HashMap<usize, Vec<SegmentParts>> = HashMap::new();
        for (index, members) in self.plan.members.iter().enumerate() {
            let scheduler = self.plan.scheduler[members[0]];
            if self.is_elsewhere(index) {
                continue;
            }
            // The one segment, if there is any.
            let answerer = self.answerer.take();
            let of = (self.nodes, self.plan);
            let is_sent = |node: usize| !self.out_ports[node].is_empty();
            let gauges = self.gauges.as_mut();
            let watch = gauges.map(|gauges| gauges.segment(of, index, is_sent));
            let mut stages = Vec::new();
            for node in members {
                if let Some(step) = self.steps[*node].take() {
                    stages.push(Stage {
                        step,
                        out: std::mem::take(&mut self.out_ports[*node]),
                    });
                }
            }
            let body = match answerer {
                Some(Answerer::Whole(whole)) => Body::Whole(whole),
                Some(Answerer::Head(head)) => Body::Stages(head, stages),
                None => Body::Stages(self.edges_of(index), stages),
            };
            let after = self.plan.after[index].clone();
            by_home.entry(scheduler).or_default().push(SegmentParts {
                index,
                watch,
                body,
                after,
                progress: self.progress[index].clone(),
            });
        }
        if let Some(gauges) = self.gauges.take() {
            let rings = self.wiring.sight.rings.drain(..).collect();
            let _first = self.core.board.set(gauges.board(rings));
        }
        self.install_bells(host);
        for (scheduler, parts) in by_home {
            let graph = self.core.id;
            let letter = letter::closure(move |local: &Local| install(parts, graph, local));
            // SAFETY: LT-1, a fresh letter.
            unsafe { host.schedulers()[scheduler].post(letter) };
        }
    }
}

impl Layout<'_> {
    /// The last scheduler polls for those who wait for results from elsewhere, and the parts go there.
    fn install_bells(&mut self, host: &HostNode) {
        let core = &self.core;
        self.wiring.send(core);
        for bell in self.wiring.bells.drain(..) {
            let core = core.clone();
            let errand = letter::closure(move |local: &Local| {
                local.sources.push(Rc::new(Bell::new(core, bell)));
            });
            host.post_to(host.schedulers().len() - 1, errand);
        }
    }
}

impl Wire for Layout<'_> {
    fn far_output(&mut self, output: OutputId) -> Option<FarOutput> {
        let node = output.0.index;
        let edge = self.wiring.output(node)?;
        Some(FarOutput(edge, self.codec(node), self.watch_of(node)))
    }
    fn output_watch(&mut self, output: OutputId, channel: ChannelKind) -> OutputWatchBox {
        let node = output.0.index;
        let channel = match channel {
            ChannelKind::SharedMemory if self.wiring.is_calls => ChannelKind::CallSlot,
            other => other,
        };
        let far = self.wiring.sight.output(node);
        let gauges = self.gauges.as_mut();
        OutputWatchBox(gauges.and_then(|gauges| gauges.output(node, channel, far)))
    }
    fn submit_notes(&mut self) -> SubmitNotesBox {
        SubmitNotesBox(self.gauges.as_mut().and_then(Gauges::submit))
    }
    fn step_for(&mut self, end: TypeId) -> Option<StepBox> {
        let [node] = *self.plan.members[0] else {
            return None;
        };
        let inputs = self.inputs();
        let inputs: Vec<&(dyn Any + Send)> = inputs
            .iter()
            .map(|input| &*self.slots[&(0, *input)])
            .collect();
        let step = self.steps[node].take_if(|step| step.answers(end, &inputs));
        step.map(StepBox)
    }
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
