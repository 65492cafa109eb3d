//! A graph as it travels to its relay.
//!
//! Functions are named by their places in the program's table (RG-1), actors by handles, constants are
//! packed. What came is input: `rebuild` checks it.

use super::load::Load;
use crate::error::{Error, Result};
use crate::graph::build::{Action, BoundActor, NodeDef};
use crate::graph::remote::packet::Packed;
use crate::graph::transport::Wanted;
use crate::object::scope;
use crate::resources::Demand;
use crate::worker::handles;
use crate::worker::incoming::HeldActor;
use crate::worker::registry;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// See the module's page.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct GraphText {
    /// Each once: two handles that are sent stand for two actors.
    pub(super) actors: Vec<SentActor>,
    pub(super) nodes: Vec<NodeText>,
    /// Positions of nodes.
    pub(super) outputs: Vec<u32>,
    pub(super) max_inflight: u64,
    pub(super) buffer_bytes: u64,
    pub(super) overlap: bool,
    pub(super) teardown_timeout: Option<Duration>,
    /// One run in so many is measured; 0 is none.
    pub(super) stats_every: u64,
    /// Events that are kept for each scheduler.
    pub(super) profile: u64,
}

/// One node.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct NodeText {
    pub(super) action: ActionText,
    /// The name that its options gave it.
    pub(super) name: Option<String>,
    /// Transport and device, by their names.
    pub(super) wanted: (String, String),
}

/// What it does.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum ActionText {
    Input,
    Call {
        function: u32,
        /// Its position in the list.
        actor: Option<u32>,
        arguments: Vec<ArgumentText>,
        scheduler: Option<u32>,
        demand: Demand,
    },
}

/// An argument.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum ArgumentText {
    Node(u32),
    Constant(Load),
}

/// A handle of an actor whose class nobody looks at.
#[derive(Clone)]
pub(crate) struct SentActor(pub(super) Arc<HeldActor>);

impl Serialize for SentActor {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match scope::goes_out() {
            true => handles::write_held(&self.0, scope::take_along, serializer),
            false => Err(S::Error::custom("a graph's text goes to another process")),
        }
    }
}

impl<'de> Deserialize<'de> for SentActor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        match scope::comes_from() {
            Some(peer) => handles::read_held(&peer, deserializer).map(Self),
            None => Err(D::Error::custom(
                "a graph's text comes from another process",
            )),
        }
    }
}

/// The actors of a graph, in the order in which its nodes name them.
#[derive(Default)]
struct Actors {
    sent: Vec<SentActor>,
    /// By the address of the block.
    known: HashMap<usize, u32>,
}

impl Actors {
    fn place_of(&mut self, actor: &BoundActor) -> Result<u32> {
        let block = actor.core.get().addr().get();
        if let Some(place) = self.known.get(&block) {
            return Ok(*place);
        }
        let Some(held) = actor.held() else {
            return Err((actor.death)().unwrap_or_else(|| Error::ActorDied {
                actor: actor.name(),
                reason: "its last handle is gone".into(),
            }));
        };
        let place = self.sent.len() as u32;
        self.sent.push(SentActor(Arc::new(held)));
        self.known.insert(block, place);
        Ok(place)
    }
}

/// The nodes as they travel, and their actors.
///
/// # Errors
/// [`Error::Graph`] for a step that cannot be one in another process; [`Error::NotPortable`] for a
/// constant that cannot be packed.
pub(super) fn nodes_of(nodes: &[NodeDef]) -> Result<(Vec<NodeText>, Vec<SentActor>)> {
    let mut actors = Actors::default();
    let mut texts = Vec::with_capacity(nodes.len());
    for (at, def) in nodes.iter().enumerate() {
        let Wanted { transport, device } = def.wanted;
        texts.push(NodeText {
            action: action_of(def, at, &mut actors)?,
            name: def.name.clone(),
            wanted: (transport.to_string(), device.to_string()),
        });
    }
    Ok((texts, actors.sent))
}

fn action_of(def: &NodeDef, at: usize, actors: &mut Actors) -> Result<ActionText> {
    let Action::Call { actor, place, .. } = &def.action else {
        return Ok(ActionText::Input);
    };
    let cannot = |problem: &str, remedy: &str| Error::Graph {
        node: def.label(at),
        problem: format!(
            "{problem}, and a graph of a worker's over actors of other processes is driven by the driver's"
        ),
        remedy: remedy.into(),
    };
    if def.meta.module.is_empty() {
        return Err(cannot(
            "it is a part of a collective",
            "compile the graph in the driver and send its handle here \
             (`CompiledGraph::into_handle`), or use a group (`maser::collective`)",
        ));
    }
    let (Some(entry), Some(codec)) = (def.meta.entry, def.meta.codec) else {
        return Err(cannot(
            "it is `local`",
            "leave `local` out, or compile the graph where the actors are",
        ));
    };
    if entry.step.is_none() {
        return Err(cannot(
            "it gives its results one by one",
            "bind a method with one result",
        ));
    }
    let mut arguments = Vec::with_capacity(def.args.len());
    for (index, arg) in def.args.iter().enumerate() {
        if let Some(read) = arg {
            arguments.push(ArgumentText::Node(*read as u32));
            continue;
        }
        let mut packed = Packed::default();
        let mut encoded = Err("it is missing".to_owned());
        (def.constant)(index, &mut |value| {
            encoded = match codec.args.get(index) {
                Some(arg) => arg.pack_constant(value, &mut packed),
                None => Err("it has no codec".to_owned()),
            };
        });
        encoded.map_err(|problem| Error::NotPortable {
            function: def.meta.name.into(),
            value: format!("argument {index}"),
            problem,
        })?;
        arguments.push(ArgumentText::Constant(Load(packed)));
    }
    Ok(ActionText::Call {
        function: registry::place_of(entry),
        actor: actor
            .as_ref()
            .map(|actor| actors.place_of(actor))
            .transpose()?,
        arguments,
        scheduler: place.scheduler.map(|scheduler| scheduler as u32),
        demand: place.demand.clone(),
    })
}
