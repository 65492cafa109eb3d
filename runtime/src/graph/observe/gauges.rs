//! What is measured of a graph, put together while it is laid out.

use super::board::{Board, EdgeGauge, RingOf, StepGauge};
use super::driver_watch::{DriverWatch, OutputWatch, SubmitNotes};
use super::events::Ring;
use super::stamps::Stamps;
use super::tally::Tally;
use super::watched::{AnswerWatch, Sample, SegmentWatch, StageWatch};
use crate::graph::build::{Action, NodeDef};
use crate::graph::core::Core;
use crate::graph::plan::Plan;
use crate::graph::remote::sight::FarBoard;
use crate::graph::schedule::{ChannelKind, EdgeEnd, ScheduledEdge};
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

/// The edge from a node to a segment that reads it.
#[derive(Clone, Copy)]
struct Read {
    from: usize,
    channel: ChannelKind,
}

/// See the module's page.
pub(crate) struct Gauges {
    core: Arc<Core>,
    /// Nodes as ends of edges.
    ends: Vec<EdgeEnd>,
    driver: Option<Arc<DriverWatch>>,
    /// What each segment reads, and the stamps of it.
    reads: Vec<Vec<(Read, Stamps)>>,
    /// Of the edges by which the value of each node leaves.
    outs: Vec<Vec<Stamps>>,
    answer: Option<AnswerWatch>,
    /// Beside edges from the driver to other processes.
    far: Vec<Stamps>,
    outputs: usize,
    rings: HashMap<usize, Ring>,
    board: Board,
}

impl Gauges {
    /// `None` if nothing was asked for.
    pub(crate) fn new(nodes: &[NodeDef], plan: &Plan, core: &Arc<Core>) -> Option<Self> {
        if core.observe.is_off() {
            return None;
        }
        let end = |(index, def): (usize, &NodeDef)| match def.action {
            Action::Input(n) => EdgeEnd::Input(n),
            Action::Call { .. } => EdgeEnd::Step(index),
        };
        let driver = (core.observe.every > 0).then(|| DriverWatch::new(core));
        Some(Self {
            core: core.clone(),
            ends: nodes.iter().enumerate().map(end).collect(),
            reads: plan.members.iter().map(|_| Vec::new()).collect(),
            outs: nodes.iter().map(|_| Vec::new()).collect(),
            answer: None,
            far: Vec::new(),
            outputs: 0,
            rings: HashMap::new(),
            board: Board::new(driver.clone()),
            driver,
        })
    }

    /// An edge of this process; `from` an input it is the driver that writes.
    pub(crate) fn joins(&mut self, from: usize, reader: usize, channel: ChannelKind) {
        let stamps = match (&self.driver, self.ends[from]) {
            (None, _) => return,
            (Some(driver), EdgeEnd::Input(_)) => driver.submitted.clone(),
            (Some(_), _) => Stamps::alone(),
        };
        if !matches!(self.ends[from], EdgeEnd::Input(_)) {
            self.outs[from].push(stamps.clone());
        }
        self.reads[reader].push((Read { from, channel }, stamps));
    }

    /// An edge from another process to a segment of this one.
    pub(crate) fn receives(&mut self, from: usize, reader: usize, stamps: Option<Stamps>) {
        let channel = ChannelKind::SharedMemory;
        let read = stamps.map(|stamps| (Read { from, channel }, stamps));
        self.reads[reader].extend(read);
    }

    /// An edge to another process.
    pub(crate) fn sends(&mut self, from: usize, stamps: Option<Stamps>) {
        match self.ends[from] {
            EdgeEnd::Input(_) => self.far.extend(stamps),
            _ => self.outs[from].extend(stamps),
        }
    }

    /// The next output, which is the value of `from`; the stamps of it if it comes from elsewhere.
    pub(crate) fn output(
        &mut self,
        from: usize,
        channel: ChannelKind,
        far: Option<Stamps>,
    ) -> Option<OutputWatch> {
        let number = self.outputs;
        self.outputs += 1;
        if channel == ChannelKind::CallSlot && far.is_none() {
            let stamps = self.driver.as_ref().map(|_| Stamps::alone());
            self.answer = Some(AnswerWatch {
                node: from,
                stamps: stamps.clone(),
            });
            return self.output_watch(from, number, channel, stamps?);
        }
        let stamps = far.unwrap_or_else(|| {
            let stamps = Stamps::alone();
            self.outs[from].push(stamps.clone());
            stamps
        });
        self.output_watch(from, number, channel, stamps)
    }

    fn output_watch(
        &mut self,
        from: usize,
        number: usize,
        channel: ChannelKind,
        stamps: Stamps,
    ) -> Option<OutputWatch> {
        let watch = self.driver.clone()?;
        let tally = Tally::of(1).pop()?;
        let edge = edge(self.ends[from], EdgeEnd::Output(number), channel);
        self.board.edges.push(EdgeGauge {
            edge,
            tally: tally.clone(),
        });
        Some(OutputWatch {
            core: self.core.clone(),
            watch,
            stamps,
            tally,
        })
    }

    /// What is noted where runs are submitted.
    pub(crate) fn submit(&mut self) -> Option<SubmitNotes> {
        Some(SubmitNotes {
            watch: self.driver.clone()?,
            core: self.core.clone(),
            far: std::mem::take(&mut self.far),
        })
    }

    /// What a segment of this process notes; `sent` says of each of its nodes whether its value leaves
    /// by an edge.
    pub(crate) fn segment(
        &mut self,
        (nodes, plan): (&[NodeDef], &Plan),
        index: usize,
        sent: impl Fn(usize) -> bool,
    ) -> SegmentWatch {
        let observe = self.core.observe;
        let members = &plan.members[index];
        let scheduler = plan.scheduler[members[0]];
        let ring = (observe.events > 0).then(|| {
            let ring = self.rings.entry(scheduler);
            ring.or_insert_with(|| Ring::of(observe.events)).clone()
        });
        let is_on = observe.every > 0;
        let reads = std::mem::take(&mut self.reads[index]);
        let mut tallies = Tally::of(if is_on {
            members.len() + reads.len()
        } else {
            0
        });
        let mut stages = Vec::with_capacity(members.len());
        for node in members.iter().copied() {
            let compute = tallies.pop();
            self.board
                .steps
                .extend(compute.clone().map(|compute| StepGauge { node, compute }));
            stages.push(StageWatch {
                node,
                compute,
                outs: std::mem::take(&mut self.outs[node]),
                is_sent: sent(node),
            });
        }
        let mut timed = Vec::with_capacity(reads.len());
        for (read, stamps) in reads {
            let Some(tally) = tallies.pop() else { break };
            self.joined(read, (nodes, members), tally.clone());
            timed.push((stamps, tally));
        }
        let is_input = |read: &usize| plan.segment[*read] != index;
        SegmentWatch {
            sample: Sample::new(observe),
            is_fed: members
                .iter()
                .any(|node| nodes[*node].reads.iter().any(is_input)),
            reads: timed,
            stages,
            answer: self.answer.take(),
            ring,
            last_ns: Cell::new(0),
        }
    }

    /// What another process measures of a segment.
    pub(crate) fn elsewhere(&mut self, (nodes, plan): (&[NodeDef], &Plan), far: FarBoard) {
        let members = &plan.members[far.segment];
        let mut tallies = far.tallies.into_iter();
        for (node, compute) in members.iter().copied().zip(tallies.by_ref()) {
            self.board.steps.push(StepGauge { node, compute });
        }
        for (from, tally) in far.reads.into_iter().zip(tallies) {
            if let Some(from) = from {
                let channel = far.channel;
                self.joined(Read { from, channel }, (nodes, members), tally);
            }
        }
    }

    fn joined(&mut self, read: Read, (nodes, members): (&[NodeDef], &[usize]), tally: Tally) {
        let reads = |node: &&usize| nodes[**node].reads.contains(&read.from);
        let Some(reader) = members.iter().find(reads) else {
            return;
        };
        self.board.edges.push(EdgeGauge {
            edge: edge(self.ends[read.from], EdgeEnd::Step(*reader), read.channel),
            tally,
        });
    }

    /// All of it, for those who ask.
    pub(crate) fn board(mut self, far: Vec<RingOf>) -> Board {
        let own = self.rings.into_iter().map(|(scheduler, ring)| RingOf {
            ring,
            scheduler: Some(scheduler),
            process: None,
        });
        self.board.rings = own.chain(far).collect();
        self.board
            .rings
            .sort_by_key(|ring| ring.scheduler.unwrap_or(usize::MAX));
        self.board.steps.sort_by_key(|step| step.node);
        self.board
    }
}

fn edge(from: EdgeEnd, to: EdgeEnd, channel: ChannelKind) -> ScheduledEdge {
    ScheduledEdge {
        from,
        to,
        channel,
        is_synchronous: false,
    }
}
