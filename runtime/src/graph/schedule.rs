//! What a compiled graph does in one run, and in which order, as data.
//!
//! Each step is READ (its inputs), COMPUTE (the method or task) and WRITE (its value). The steps of
//! an actor stand in the order in which they were bound, which is the order in which they run; each
//! task stands by itself. What an operation touches is an edge: from an input of the graph or a
//! step, to a step or an output.
//!
//! A synchronous pair is an operation of its own on either side, and the two are a group. With overlap
//! its READ stands before every COMPUTE of the actor's run.
//!
//! Nothing of this is kept while a graph runs: a schedule is made when somebody asks for it.

use super::build::{Action, NodeDef};
use super::compiled::CompiledGraph;
use super::inputs::InputNodes;
use super::outputs::OutputNodes;
use super::plan::Plan;
use super::rendezvous::Pairs;
use crate::worker::remote::FIRST_HOME;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// What every actor and task of a compiled graph does in one run, in order. Printed, it is a table.
///
/// ```
/// # use maser::prelude::*;
/// # struct Echo;
/// # #[maser::actor] impl Echo { fn new() -> Self { Echo } fn echo(&mut self, m: String) -> String { m } }
/// # fn main() -> maser::Result<()> {
/// let _maser = maser::Config::new().num_cpus(1).init()?;
/// let echo = Echo::remote();
/// let graph = Graph::new(|msg: Node<String>| echo.echo().bind(msg)).compile()?;
/// let schedule = graph.schedule();
/// assert_eq!(schedule.actors[0].operations.len(), 3);    // READ, COMPUTE, WRITE
/// println!("{schedule}");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// In the order of their first steps.
    pub actors: Vec<ActorSchedule>,
    /// Operations that are one for all that take part in them.
    pub groups: Vec<OperationGroup>,
}

/// The operations of one actor, or of one task, in one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActorSchedule {
    /// The actor as errors name it, or the task's step.
    pub name: String,
    /// Whether it is an actor.
    pub is_actor: bool,
    /// Its scheduler; `None` in another process.
    pub scheduler: Option<usize>,
    /// In their order.
    pub operations: Vec<Operation>,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What is done.
    pub kind: OperationKind,
    /// Position of the step among the nodes of the graph, inputs counted.
    pub node: usize,
    /// The step as errors name it: `#3 Echo::echo`.
    pub step: String,
    /// The edges it reads or writes; a COMPUTE has none.
    pub edges: Vec<ScheduledEdge>,
    /// Its group in [`Schedule::groups`], if it is one with operations of others.
    pub group: Option<usize>,
}

/// The three parts of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum OperationKind {
    /// Takes values from its edges.
    Read,
    /// Runs the method or task.
    Compute,
    /// Gives the value to its edges.
    Write,
}

/// One edge of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ScheduledEdge {
    /// Who writes it.
    pub from: EdgeEnd,
    /// Who reads it.
    pub to: EdgeEnd,
    /// What it is made of.
    pub channel: ChannelKind,
    /// The writer goes on only when the reader has taken the value.
    pub is_synchronous: bool,
}

/// One end of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EdgeEnd {
    /// The driver, with this input.
    Input(usize),
    /// The step at this position.
    Step(usize),
    /// The driver, with this output.
    Output(usize),
}

/// What an edge is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ChannelKind {
    /// A place of one scheduler, from one step to a later one that needs nothing in between.
    Slot,
    /// A ring between two schedulers, or between runs of steps of one scheduler.
    Ring,
    /// Question and answer on one line, for a graph that is one run of steps with one output.
    CallSlot,
    /// A ring in memory that two processes share.
    SharedMemory,
}

/// Operations that are one: each waits for all others of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationGroup {
    /// Why they are one.
    pub kind: GroupKind,
    /// Kind and step of each.
    pub members: Vec<(OperationKind, usize)>,
}

/// Why operations are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupKind {
    /// A WRITE that waits until the READ took the value.
    SynchronousPair,
    /// A collective: none has a result before all have given their values.
    Collective,
}

/// A compiled graph as it was laid out: its nodes hold the handles of its actors.
pub(crate) struct Shape {
    pub(crate) nodes: Vec<NodeDef>,
    pub(crate) plan: Plan,
    /// The node of each output.
    pub(crate) outputs: Vec<usize>,
    pub(crate) pairs: Pairs,
    /// Input and output are question and answer.
    pub(crate) is_call_slot: bool,
}

impl Shape {
    pub(crate) fn is_elsewhere(&self, node: usize) -> bool {
        (FIRST_HOME..usize::MAX).contains(&self.plan.scheduler[node])
    }

    fn end(&self, node: usize) -> EdgeEnd {
        match self.nodes[node].action {
            Action::Input(n) => EdgeEnd::Input(n),
            Action::Call { .. } => EdgeEnd::Step(node),
        }
    }

    pub(crate) fn edge(&self, from: usize, to: usize) -> ScheduledEdge {
        let plan = &self.plan;
        let channel = if self.is_call_slot && self.end(from) != EdgeEnd::Step(from) {
            ChannelKind::CallSlot
        } else if plan.segment[from] == plan.segment[to] {
            ChannelKind::Slot
        } else if self.is_elsewhere(from) || self.is_elsewhere(to) {
            ChannelKind::SharedMemory
        } else {
            ChannelKind::Ring
        };
        ScheduledEdge {
            from: self.end(from),
            to: EdgeEnd::Step(to),
            channel,
            is_synchronous: self.pairs.has(from, to),
        }
    }

    pub(crate) fn output(&self, from: usize, output: usize) -> ScheduledEdge {
        let channel = if self.is_call_slot {
            ChannelKind::CallSlot
        } else if self.is_elsewhere(from) {
            ChannelKind::SharedMemory
        } else {
            ChannelKind::Ring
        };
        ScheduledEdge {
            from: EdgeEnd::Step(from),
            to: EdgeEnd::Output(output),
            channel,
            is_synchronous: false,
        }
    }

    /// READs from other steps that are no pairs, those that are, COMPUTE and WRITEs of a step.
    fn operations(&self, node: usize, readers: &[usize], groups: &Groups) -> Vec<Operation> {
        let def = &self.nodes[node];
        let operation = |kind, edges, group| Operation {
            kind,
            node,
            step: def.label(node),
            edges,
            group,
        };
        let (pairs, plain): (Vec<usize>, Vec<usize>) = unique(&def.reads)
            .into_iter()
            .partition(|from| self.pairs.has(*from, node));
        let mut operations = Vec::new();
        if !plain.is_empty() || pairs.is_empty() {
            let group = match (&def.rank, &plain[..]) {
                (Some(_), [all]) => groups.by_collective.get(all).copied(),
                _ => None,
            };
            let edges = plain.iter().map(|from| self.edge(*from, node));
            operations.push(operation(OperationKind::Read, edges.collect(), group));
        }
        for from in pairs {
            let edges = vec![self.edge(from, node)];
            operations.push(operation(OperationKind::Read, edges, groups.of(from)));
        }
        let group = groups.by_collective.get(&node).copied();
        operations.push(operation(OperationKind::Compute, Vec::new(), group));
        let edges = readers.iter().map(|reader| self.edge(node, *reader));
        let (pairs, mut plain): (Vec<ScheduledEdge>, Vec<ScheduledEdge>) =
            edges.partition(|edge| edge.is_synchronous);
        for (output, from) in self.outputs.iter().enumerate() {
            if *from == node {
                plain.push(self.output(node, output));
            }
        }
        if !plain.is_empty() {
            operations.push(operation(OperationKind::Write, plain, None));
        }
        if !pairs.is_empty() {
            operations.push(operation(OperationKind::Write, pairs, groups.of(node)));
        }
        operations
    }

    fn groups(&self) -> Groups {
        let mut groups = Groups::default();
        for pair in self.pairs.list.iter().filter(|pair| !pair.is_share) {
            let at = groups.of(pair.writer).unwrap_or_else(|| {
                groups.list.push(OperationGroup {
                    kind: GroupKind::SynchronousPair,
                    members: vec![(OperationKind::Write, pair.writer)],
                });
                let at = groups.list.len() - 1;
                groups.by_writer.insert(pair.writer, at);
                at
            });
            let members = &mut groups.list[at].members;
            members.push((OperationKind::Read, pair.reader));
        }
        for (node, def) in self.nodes.iter().enumerate() {
            let ([all], Some(_)) = (&def.reads[..], &def.rank) else {
                continue;
            };
            let at = *groups.by_collective.entry(*all).or_insert_with(|| {
                groups.list.push(OperationGroup {
                    kind: GroupKind::Collective,
                    members: vec![(OperationKind::Compute, *all)],
                });
                groups.list.len() - 1
            });
            let members = &mut groups.list[at].members;
            members.push((OperationKind::Read, node));
        }
        groups
    }

    pub(crate) fn schedule(&self) -> Schedule {
        let mut readers = vec![Vec::new(); self.nodes.len()];
        for (node, def) in self.nodes.iter().enumerate() {
            for from in unique(&def.reads) {
                readers[from].push(node);
            }
        }
        let groups = self.groups();
        let mut known: HashMap<usize, usize> = HashMap::new();
        let mut actors: Vec<ActorSchedule> = Vec::new();
        for (node, def) in self.nodes.iter().enumerate() {
            let Action::Call { actor, .. } = &def.action else {
                continue;
            };
            let key = def.owner();
            let at = key.and_then(|key| known.get(&key).copied());
            let at = at.unwrap_or_else(|| {
                let scheduler = self.plan.scheduler[node];
                known.extend(key.map(|key| (key, actors.len())));
                actors.push(ActorSchedule {
                    name: match actor {
                        Some(actor) => actor.name(),
                        None => def.label(node),
                    },
                    is_actor: actor.is_some(),
                    scheduler: (scheduler < FIRST_HOME).then_some(scheduler),
                    operations: Vec::new(),
                });
                actors.len() - 1
            });
            let own = &mut actors[at].operations;
            own.extend(self.operations(node, &readers[node], &groups));
        }
        if self.pairs.overlap {
            for actor in &mut actors {
                // Stable: each half keeps its order.
                let is_moved = |operation: &Operation| {
                    let is_pair = |edge: &ScheduledEdge| edge.is_synchronous;
                    operation.kind == OperationKind::Read
                        && operation.edges.iter().all(is_pair)
                        && operation.group.is_some()
                };
                actor
                    .operations
                    .sort_by_key(|operation| !is_moved(operation));
            }
        }
        Schedule {
            actors,
            groups: groups.list,
        }
    }
}

/// The groups of a schedule, and those of each step that writes.
#[derive(Default)]
struct Groups {
    list: Vec<OperationGroup>,
    by_writer: HashMap<usize, usize>,
    by_collective: HashMap<usize, usize>,
}

impl Groups {
    fn of(&self, writer: usize) -> Option<usize> {
        self.by_writer.get(&writer).copied()
    }
}

impl<I: InputNodes, O: OutputNodes> CompiledGraph<I, O> {
    /// What each actor and task of the graph does in a run, in order. Printed, it is a table.
    pub fn schedule(&self) -> Schedule {
        self.shape.schedule()
    }
}

fn unique(reads: &[usize]) -> Vec<usize> {
    let mut seen = Vec::new();
    for read in reads {
        if !seen.contains(read) {
            seen.push(*read);
        }
    }
    seen
}
