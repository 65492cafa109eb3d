//! From nodes to segments: the checks of compile, and the layout.
//!
//! Nodes are in bind order, which is a topological order: a node can only read what was bound
//! before. Steps are laid out in that order, so an actor's steps of one run keep their bind order.
//!
//! A node's *level* is the number of changes of scheduler on the longest way to it, counting its
//! actor's earlier steps as ways too. Steps of one scheduler and level need nothing from each
//! other that goes through another scheduler, so those that are joined by a value, an actor or a
//! common source can run as one segment without waiting in between. A synchronous pair counts as a
//! change of scheduler, and what waits for it stands a level above what it waits for.

use super::build::{Action, NodeDef, Place};
use super::rendezvous::Pairs;
use crate::error::{Error, Result};
use crate::node::Node as HostNode;
use crate::worker::remote::FIRST_HOME;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Where each node goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Scheduler of each node; `usize::MAX` for inputs.
    pub(crate) scheduler: Vec<usize>,
    /// Segment of each node; `usize::MAX` for inputs.
    pub(crate) segment: Vec<usize>,
    /// Nodes of each segment, in bind order.
    pub(crate) members: Vec<Vec<usize>>,
    /// Segments that each segment has to wait for (SG-2).
    pub(crate) after: Vec<Vec<After>>,
    /// For each node: the segments that read it.
    pub(crate) readers: Vec<Vec<usize>>,
}

/// A segment begins run `n` only when `segment` is through with `n + ahead` runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct After {
    pub(crate) segment: usize,
    pub(crate) ahead: u64,
}

const NONE: usize = usize::MAX;

/// Refuses what cannot run.
pub(crate) fn check(nodes: &[NodeDef], outputs: &[usize], host: &Arc<HostNode>) -> Result<()> {
    let wrong = |index: usize, problem: String, remedy: &str| {
        Err(Error::Graph {
            node: nodes[index].label(index),
            problem,
            remedy: remedy.into(),
        })
    };
    let mut read = vec![false; nodes.len()];
    for def in nodes {
        for input in &def.reads {
            read[*input] = true;
        }
    }
    let mut is_output = vec![false; nodes.len()];
    for output in outputs {
        is_output[*output] = true;
    }
    if outputs.is_empty() {
        return Err(Error::Graph {
            node: "output".into(),
            problem: "the graph has no output".into(),
            remedy: "return at least one node from the closure".into(),
        });
    }
    for (index, def) in nodes.iter().enumerate() {
        let is_output = is_output[index];
        match &def.action {
            Action::Input(n) if is_output => {
                return wrong(
                    index,
                    format!("input {n} is an output as it is"),
                    "bind it to a method or task first",
                );
            }
            Action::Input(n) if !read[index] => {
                return wrong(
                    index,
                    format!("input {n} is not used"),
                    "bind it, or leave it out of the closure's arguments",
                );
            }
            Action::Call { .. } if !read[index] && !is_output => {
                return wrong(
                    index,
                    "nothing reads its result and it is not an output".into(),
                    "return it as one of the outputs, or leave it out",
                );
            }
            Action::Call {
                actor: Some(actor), ..
            } => {
                if actor.node_id != host.id {
                    return wrong(
                        index,
                        "its actor belongs to another runtime, or to one that was shut down".into(),
                        "make the actor and the graph in the same runtime",
                    );
                }
                if let Some(death) = (actor.death)() {
                    return Err(death);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Takes what the steps ask for (SO-1).
pub(crate) fn reserve(nodes: &[NodeDef], host: &Arc<HostNode>) -> Result<()> {
    for (index, def) in nodes.iter().enumerate() {
        if let Action::Call { place, .. } = &def.action {
            place.reserve(|| def.label(index), host)?;
        }
    }
    Ok(())
}

/// Lays the nodes out.
pub(crate) fn lay_out(nodes: &[NodeDef], pairs: &Pairs, host: &HostNode) -> Plan {
    let scheduler = schedulers(nodes, host);
    let items: Vec<Item<'_>> = nodes
        .iter()
        .zip(&scheduler)
        .map(|(def, scheduler)| Item {
            scheduler: *scheduler,
            actor: actor_key(def),
            reads: &def.reads,
        })
        .collect();
    arrange(&items, pairs)
}

/// What the layout knows of a node.
#[derive(Debug)]
struct Item<'a> {
    /// `NONE` for an input.
    scheduler: usize,
    actor: Option<usize>,
    reads: &'a [usize],
}

/// The plan of nodes that have their schedulers. Linear in the nodes and what they read.
fn arrange(items: &[Item<'_>], pairs: &Pairs) -> Plan {
    let level = levels(items, pairs);
    let (segment, members) = segments(items, &level);
    let mut readers = vec![Vec::new(); items.len()];
    let mut known = HashSet::new();
    for (index, item) in items.iter().enumerate() {
        for input in item.reads {
            if segment[index] != segment[*input] && known.insert((*input, segment[index])) {
                let by: &mut Vec<usize> = &mut readers[*input];
                by.push(segment[index]);
            }
        }
    }
    let after = orders(items, &segment, members.len());
    Plan {
        scheduler: items.iter().map(|item| item.scheduler).collect(),
        segment,
        members,
        after,
        readers,
    }
}

pub(super) fn actor_key(def: &NodeDef) -> Option<usize> {
    match &def.action {
        Action::Call {
            actor: Some(actor), ..
        } => Some(actor.core.get().addr().get()),
        _ => None,
    }
}

/// Actors are where they are; a task goes where its options say, else where its first input is
/// made that is made in this process.
fn schedulers(nodes: &[NodeDef], host: &HostNode) -> Vec<usize> {
    let mut scheduler = Vec::with_capacity(nodes.len());
    for def in nodes {
        let place = match &def.action {
            Action::Input(_) => NONE,
            Action::Call {
                actor: Some(actor), ..
            } => actor.home,
            Action::Call {
                place:
                    Place {
                        scheduler: Some(place),
                        ..
                    },
                ..
            } => *place,
            Action::Call { .. } => def
                .reads
                .iter()
                .map(|input| scheduler[*input])
                .find(|place| *place < FIRST_HOME)
                .unwrap_or_else(|| host.pick_home()),
        };
        scheduler.push(place);
    }
    scheduler
}

fn levels(items: &[Item<'_>], pairs: &Pairs) -> Vec<usize> {
    let mut level = vec![0; items.len()];
    loop {
        raise(items, pairs, &mut level);
        let mut is_done = true;
        for (earlier, later) in pairs.waits() {
            if level[later] <= level[earlier] {
                level[later] = level[earlier] + 1;
                is_done = false;
            }
        }
        // There are no circles (RV-1), so it ends.
        if is_done {
            return level;
        }
    }
}

/// Raises each level to what stands before the node in bind order.
fn raise(items: &[Item<'_>], pairs: &Pairs, level: &mut [usize]) {
    // The level of each actor's latest step, which is its highest.
    let mut latest: HashMap<usize, usize> = HashMap::new();
    for (index, item) in items.iter().enumerate() {
        if item.scheduler == NONE {
            continue;
        }
        let mut at = level[index].max(1);
        for input in item.reads {
            let is_hop = items[*input].scheduler != item.scheduler || pairs.has(*input, index);
            at = at.max(level[*input] + usize::from(is_hop));
        }
        if let Some(actor) = item.actor {
            let latest = latest.entry(actor).or_default();
            at = at.max(*latest);
            *latest = at;
        }
        level[index] = at;
    }
}

/// Sets of nodes, each known by its first.
struct Sets(Vec<usize>);

impl Sets {
    fn first(&mut self, mut at: usize) -> usize {
        while self.0[at] != at {
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.first(a), self.first(b));
        self.0[a.max(b)] = a.min(b);
    }
}

/// Joins steps of one scheduler and level that share a value, an actor or their sources.
fn segments(items: &[Item<'_>], level: &[usize]) -> (Vec<usize>, Vec<Vec<usize>>) {
    let mut sets = Sets((0..items.len()).collect());
    let place = |index: usize| (items[index].scheduler, level[index]);
    // The first step of each actor at a level, and of each set of sources at a place.
    let mut of_actor: HashMap<(usize, usize), usize> = HashMap::new();
    let mut of_sources: HashMap<((usize, usize), Vec<usize>), usize> = HashMap::new();
    for (index, item) in items.iter().enumerate() {
        if item.scheduler == NONE {
            continue;
        }
        let mut sources = Vec::with_capacity(item.reads.len());
        for input in item.reads {
            if place(*input) == place(index) {
                sets.join(*input, index);
            } else {
                sources.push(*input);
            }
        }
        if let Some(actor) = item.actor {
            let first = of_actor.entry((actor, level[index])).or_insert(index);
            sets.join(*first, index);
        }
        if !sources.is_empty() {
            sources.sort_unstable();
            sources.dedup();
            let first = of_sources.entry((place(index), sources)).or_insert(index);
            sets.join(*first, index);
        }
    }
    let mut segment = vec![NONE; items.len()];
    let mut members: Vec<Vec<usize>> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        if item.scheduler == NONE {
            continue;
        }
        let head = sets.first(index);
        if segment[head] == NONE {
            segment[head] = members.len();
            members.push(Vec::new());
        }
        segment[index] = segment[head];
        members[segment[head]].push(index);
    }
    (segment, members)
}

/// SG-2: an actor's segments take turns, in bind order. It is enough that each waits for the one before
/// it, and the first for the last one's run before: the others follow, because a segment that is through
/// with a run has waited for all that it waits for.
fn orders(items: &[Item<'_>], segment: &[usize], count: usize) -> Vec<Vec<After>> {
    // By actor: its first segment and its latest so far. Their levels rise, so none comes back.
    let mut ends: HashMap<usize, (usize, usize)> = HashMap::new();
    let mut orders = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let (Some(actor), at) = (item.actor, segment[index]) else {
            continue;
        };
        let (_, latest) = ends.entry(actor).or_insert((at, at));
        let before = std::mem::replace(latest, at);
        if before != at {
            orders.insert((at, before, 1));
        }
    }
    for (first, last) in ends.into_values() {
        if first != last {
            orders.insert((first, last, 0));
        }
    }
    let mut after = vec![Vec::new(); count];
    for (waits, segment, ahead) in orders {
        after[waits].push(After { segment, ahead });
    }
    after
}

#[cfg(test)]
mod tests;
