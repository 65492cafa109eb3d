//! From nodes to segments: the checks of compile, and the layout.
//!
//! Nodes are in bind order, which is a topological order: a node can only read what was bound
//! before. Steps are laid out in that order, so an actor's steps of one run keep their bind order.
//!
//! A node's *level* is the number of changes of scheduler on the longest way to it, counting its
//! actor's earlier steps as ways too. Steps of one scheduler and level need nothing from each
//! other that goes through another scheduler, so those that are joined by a value, an actor or a
//! common source can run as one segment without waiting in between.

use super::build::{Action, NodeDef, Place};
use crate::error::{Error, Result};
use crate::node::Node as HostNode;
use crate::worker::remote::FIRST_HOME;
use std::sync::Arc;

/// Where each node goes.
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
    if outputs.is_empty() {
        return Err(Error::Graph {
            node: "output".into(),
            problem: "the graph has no output".into(),
            remedy: "return at least one node from the closure".into(),
        });
    }
    for (index, def) in nodes.iter().enumerate() {
        let is_output = outputs.contains(&index);
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
    for (index, def) in nodes.iter().enumerate() {
        if let Action::Call { place, .. } = &def.action {
            place.reserve(|| def.label(index), host)?;
        }
    }
    Ok(())
}

/// Lays the nodes out.
pub(crate) fn lay_out(nodes: &[NodeDef], host: &HostNode) -> Plan {
    let scheduler = schedulers(nodes, host);
    let level = levels(nodes, &scheduler);
    let (segment, members) = segments(nodes, &scheduler, &level);
    let mut readers = vec![Vec::new(); nodes.len()];
    for (index, def) in nodes.iter().enumerate() {
        for input in &def.reads {
            let by: &mut Vec<usize> = &mut readers[*input];
            if segment[index] != segment[*input] && !by.contains(&segment[index]) {
                by.push(segment[index]);
            }
        }
    }
    let after = orders(nodes, &segment, members.len());
    Plan {
        scheduler,
        segment,
        members,
        after,
        readers,
    }
}

fn actor_key(def: &NodeDef) -> Option<usize> {
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

fn levels(nodes: &[NodeDef], scheduler: &[usize]) -> Vec<usize> {
    let mut level = vec![0; nodes.len()];
    for (index, def) in nodes.iter().enumerate() {
        if scheduler[index] == NONE {
            continue;
        }
        let mut at = 1;
        for input in &def.reads {
            at = at.max(level[*input] + usize::from(scheduler[*input] != scheduler[index]));
        }
        if let Some(key) = actor_key(def) {
            for earlier in 0..index {
                if actor_key(&nodes[earlier]) == Some(key) {
                    at = at.max(level[earlier]);
                }
            }
        }
        level[index] = at;
    }
    level
}

/// Joins steps of one scheduler and level that share a value, an actor or their sources.
fn segments(
    nodes: &[NodeDef],
    scheduler: &[usize],
    level: &[usize],
) -> (Vec<usize>, Vec<Vec<usize>>) {
    let mut parent: Vec<usize> = (0..nodes.len()).collect();
    fn root(parent: &mut [usize], mut at: usize) -> usize {
        while parent[at] != at {
            parent[at] = parent[parent[at]];
            at = parent[at];
        }
        at
    }
    let same = |a: usize, b: usize| scheduler[a] == scheduler[b] && level[a] == level[b];
    let sources = |index: usize| {
        let mut from: Vec<usize> = nodes[index]
            .reads
            .iter()
            .copied()
            .filter(|input| !same(*input, index))
            .collect();
        from.sort_unstable();
        from.dedup();
        from
    };
    for index in 0..nodes.len() {
        if scheduler[index] == NONE {
            continue;
        }
        let key = actor_key(&nodes[index]);
        let from = sources(index);
        for earlier in (0..index).filter(|earlier| scheduler[*earlier] != NONE) {
            if !same(earlier, index) {
                continue;
            }
            let joined = nodes[index].reads.contains(&earlier)
                || (key.is_some() && actor_key(&nodes[earlier]) == key)
                || (!from.is_empty() && sources(earlier) == from);
            if joined {
                let (a, b) = (root(&mut parent, earlier), root(&mut parent, index));
                parent[a.max(b)] = a.min(b);
            }
        }
    }
    let mut segment = vec![NONE; nodes.len()];
    let mut members: Vec<Vec<usize>> = Vec::new();
    for index in 0..nodes.len() {
        if scheduler[index] == NONE {
            continue;
        }
        let head = root(&mut parent, index);
        if segment[head] == NONE {
            segment[head] = members.len();
            members.push(Vec::new());
        }
        segment[index] = segment[head];
        members[segment[head]].push(index);
    }
    (segment, members)
}

/// SG-2: an actor's segments take turns, in bind order.
fn orders(nodes: &[NodeDef], segment: &[usize], count: usize) -> Vec<Vec<After>> {
    let mut after = vec![Vec::new(); count];
    let mut add = |waits: usize, order: After| {
        if !after[waits].contains(&order) {
            after[waits].push(order);
        }
    };
    for (index, def) in nodes.iter().enumerate() {
        let Some(key) = actor_key(def) else { continue };
        for (later, other) in nodes.iter().enumerate().skip(index + 1) {
            let (first, last): (usize, usize) = (segment[index], segment[later]);
            if actor_key(other) == Some(key) && first != last {
                add(
                    last,
                    After {
                        segment: first,
                        ahead: 1,
                    },
                );
                add(
                    first,
                    After {
                        segment: last,
                        ahead: 0,
                    },
                );
            }
        }
    }
    after
}
