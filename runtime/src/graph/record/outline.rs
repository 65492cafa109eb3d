//! What a graph is made of, in words and numbers, and how two of them differ.

use super::error::RecordError;
use crate::actor::handle;
use crate::graph::build::{Action, NodeDef};
use crate::graph::handle as shared;
use crate::graph::plan::Plan;
use crate::graph::remote::draft::codec_of;
use crate::graph::remote::ports::NodeCodec;
use crate::object::reference;
use crate::object::tensor::Tensor;
use crate::task::portable::ValueCodec;
use crate::worker::registry;
use crate::worker::remote::FIRST_HOME;
use serde::{Deserialize, Serialize};
use std::any::type_name;
use std::collections::HashMap;
use std::fmt;

/// Differences that are named.
const MOST_NAMED: usize = 4;

/// The nodes of a graph, where they go, and which are outputs.
pub(crate) type LaidOut<'a> = (&'a [NodeDef], &'a Plan, &'a [usize]);

fn is_elsewhere(plan: &Plan, node: usize) -> bool {
    (FIRST_HOME..usize::MAX).contains(&plan.scheduler[node])
}

/// Where a node's value is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Seen {
    /// It is an input.
    Input,
    /// By its step, in this process.
    Step,
    /// Its step is in another process: at the first of its edges that ends in this one.
    Edge,
    /// Nowhere: it goes from one other process to another, or is made by a collective and nothing says
    /// how it is encoded.
    No,
}

/// A graph.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outline {
    /// Of the functions of the program.
    pub(crate) build: u64,
    pub(crate) nodes: Vec<OutlineNode>,
    pub(crate) outputs: Vec<u32>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OutlineNode {
    /// `#3 Hasher::hash`.
    pub(crate) label: String,
    /// The type of its value.
    pub(super) value: String,
    /// The nodes it gets; none for a constant.
    pub(super) args: Vec<Option<u32>>,
    /// Nodes with the same number have the same actor.
    pub(super) actor: Option<u32>,
    pub(crate) seen: Seen,
}

impl Outline {
    pub(crate) fn of((nodes_of, plan, outputs): LaidOut<'_>) -> Self {
        let mut actors: HashMap<usize, u32> = HashMap::new();
        let mut nodes = Vec::with_capacity(nodes_of.len());
        let is_read_here = read_here((nodes_of, plan, outputs));
        for (at, def) in nodes_of.iter().enumerate() {
            let key = match &def.action {
                Action::Call {
                    actor: Some(actor), ..
                } => Some(actor.core.get().addr().get()),
                _ => None,
            };
            let next = actors.len() as u32;
            let seen = match &def.action {
                Action::Input(_) => Seen::Input,
                Action::Call { .. } if is_ours(def) && codec(nodes_of, at).is_err() => Seen::No,
                Action::Call { .. } if !is_elsewhere(plan, at) => Seen::Step,
                Action::Call { .. } if is_read_here[at] => Seen::Edge,
                Action::Call { .. } => Seen::No,
            };
            nodes.push(OutlineNode {
                label: def.label(at),
                value: (def.value.name)().to_owned(),
                args: def.args.iter().map(|arg| arg.map(|at| at as u32)).collect(),
                actor: key.map(|key| *actors.entry(key).or_insert(next)),
                seen,
            });
        }
        Self {
            build: registry::fingerprint(),
            nodes,
            outputs: outputs.iter().map(|at| *at as u32).collect(),
        }
    }

    /// Whether a step of node `at` may have given something.
    pub(crate) fn is_watched(&self, at: u32) -> bool {
        let node = self.nodes.get(at as usize);
        node.is_some_and(|node| matches!(node.seen, Seen::Step | Seen::Edge))
    }

    /// The labels of nodes that are seen so.
    pub(crate) fn seen(&self, how: Seen) -> Vec<String> {
        let nodes = self.nodes.iter().filter(|node| node.seen == how);
        nodes.map(|node| node.label.clone()).collect()
    }

    /// How many inputs a run has.
    pub(crate) fn inputs(&self) -> usize {
        self.seen(Seen::Input).len()
    }

    /// In what way `other` is another graph, where `self` is the recorded one; `None` if it is not.
    pub(crate) fn differences(&self, other: &Self) -> Option<String> {
        let mut found = Vec::new();
        if self.nodes.len() != other.nodes.len() {
            found.push(format!(
                "it has {} nodes and this graph has {}",
                self.nodes.len(),
                other.nodes.len()
            ));
        }
        for (theirs, ours) in self.nodes.iter().zip(&other.nodes) {
            found.extend(theirs.difference(ours));
        }
        if self.outputs != other.outputs {
            found.push(format!(
                "its outputs are {} and this graph's {}",
                names(&self.outputs),
                names(&other.outputs)
            ));
        }
        let more = found.len().saturating_sub(MOST_NAMED);
        found.truncate(MOST_NAMED);
        if more > 0 {
            found.push(format!("and {more} more"));
        }
        (!found.is_empty()).then(|| found.join(", "))
    }
}

fn names(nodes: &[u32]) -> String {
    let names: Vec<String> = nodes.iter().map(|at| format!("#{at}")).collect();
    names.join(" ")
}

/// The nodes that a segment or the driver of this process reads.
fn read_here((nodes, plan, outputs): LaidOut<'_>) -> Vec<bool> {
    let mut is_read = vec![false; nodes.len()];
    for (at, def) in nodes.iter().enumerate() {
        if !is_elsewhere(plan, at) {
            def.reads.iter().for_each(|read| is_read[*read] = true);
        }
    }
    outputs.iter().for_each(|at| is_read[*at] = true);
    is_read
}

impl OutlineNode {
    fn difference(&self, other: &Self) -> Option<String> {
        let label = &self.label;
        if *label != other.label {
            return Some(format!("{label} is {} here", other.label));
        }
        if self.value != other.value {
            return Some(format!(
                "{label} is a {} and here a {}",
                self.value, other.value
            ));
        }
        if self.args != other.args {
            return Some(format!("{label} gets other arguments"));
        }
        (self.actor != other.actor).then(|| format!("{label} shares its actor with other steps"))
    }
}

/// Whether a step is one that no program wrote, of a collective.
fn is_ours(def: &NodeDef) -> bool {
    def.meta.module.is_empty()
}

static TENSOR: ValueCodec = ValueCodec::unnamed::<Tensor>();

/// As functions say, or because everybody knows the type.
fn known(nodes: &[NodeDef], at: usize) -> Option<NodeCodec> {
    let is_tensor = (nodes[at].value.name)() == type_name::<Tensor>();
    let tensor = is_tensor.then_some(NodeCodec {
        codec: &TENSOR,
        function: nodes[at].meta.name,
    });
    codec_of(nodes, at).or(tensor)
}

/// How the values of a node that is watched are encoded.
///
/// # Errors
/// [`RecordError::NotEncodable`] if they cannot be, which is known beforehand.
pub(crate) fn codec(nodes: &[NodeDef], at: usize) -> Result<NodeCodec, RecordError> {
    let def = &nodes[at];
    let refused = |problem: String, remedy| RecordError::NotEncodable {
        node: def.label(at),
        problem,
        remedy,
    };
    let name = (def.value.name)();
    let what = match name {
        name if name.contains(reference::TYPE_NAME) => Some("a ref"),
        name if name.contains(handle::TYPE_NAME) => Some("an actor's handle"),
        name if name.contains(shared::TYPE_NAME) => Some("a graph's handle"),
        _ => None,
    };
    if let Some(what) = what {
        return Err(refused(
            format!("its value is {name}, and {what} means nothing in another run"),
            "pass the value itself",
        ));
    }
    known(nodes, at).ok_or_else(|| {
        refused(
            format!("its value, {name}, is known to functions alone that are `local`, which do not say how it is encoded"),
            "leave `local` out of the attribute of the function that makes it, or of one that gets it",
        )
    })
}

impl fmt::Display for OutlineNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.label, self.value)
    }
}
