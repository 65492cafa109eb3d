//! A drawing of a graph's nodes, and what became of its edges when it was compiled.

use super::{Channel, Drawing, DrawnEdge, DrawnNode, Role, View};
use crate::graph::build::{Action, BoundActor, NodeDef};
use crate::graph::schedule::{ChannelKind, Shape};
use std::any::Any;
use std::collections::HashMap;

/// A compiled graph, and how many of its runs may be in flight.
#[derive(Clone, Copy)]
pub(crate) struct Placed<'a> {
    pub(crate) shape: &'a Shape,
    pub(crate) depth: usize,
}

impl Placed<'_> {
    /// How values get from node `from` to node `to`, or to the driver.
    fn channel(&self, from: usize, to: Option<usize>) -> Channel {
        let shape = self.shape;
        let edge = match to {
            Some(to) => shape.edge(from, to),
            None => shape.output(from, 0),
        };
        let is_shared = shape.is_elsewhere(from) || to.is_some_and(|to| shape.is_elsewhere(to));
        match edge.channel {
            _ if edge.is_synchronous => Channel::Synchronous,
            ChannelKind::Slot => Channel::LocalSlot,
            ChannelKind::Ring => Channel::Ring,
            ChannelKind::CallSlot if is_shared => Channel::SharedCallSlot,
            ChannelKind::CallSlot => Channel::CallSlot,
            ChannelKind::SharedMemory => Channel::SharedMemory,
        }
    }
}

/// Makes drawings.
struct Draft<'a> {
    nodes: &'a [NodeDef],
    placed: Option<Placed<'a>>,
    view: View,
    drawing: Drawing,
    /// Where each node is in the drawing.
    at: Vec<usize>,
    /// By address: position and steps so far.
    actors: HashMap<usize, (usize, usize)>,
}

/// The drawing of these nodes.
pub(crate) fn draw(
    nodes: &[NodeDef],
    outputs: &[usize],
    placed: Option<Placed<'_>>,
    view: View,
) -> Drawing {
    let mut draft = Draft {
        nodes,
        placed,
        view,
        drawing: Drawing::default(),
        at: Vec::with_capacity(nodes.len()),
        actors: HashMap::new(),
    };
    for index in 0..nodes.len() {
        draft.add_node(index);
    }
    for (number, output) in outputs.iter().enumerate() {
        draft.add_output(number, *output);
    }
    draft.drawing
}

impl Draft<'_> {
    fn push(&mut self, role: Role, title: String, note: String) -> usize {
        self.drawing.nodes.push(DrawnNode { role, title, note });
        self.drawing.nodes.len() - 1
    }

    fn add_node(&mut self, index: usize) {
        let def = &self.nodes[index];
        let constants = match self.view.constants {
            true => self.constants_of(def),
            false => Vec::new(),
        };
        let (role, title, note) = match &def.action {
            Action::Input(n) => (
                Role::Input,
                format!("#{index} input {n}"),
                self.type_of(def),
            ),
            Action::Call {
                actor: Some(actor), ..
            } => {
                let name = actor.name();
                let key = actor.core.get().addr().get();
                let new = self.actors.len();
                let (position, steps) = self.actors.entry(key).or_insert((new, 0));
                let (position, bind) = (*position, *steps);
                *steps += 1;
                if position == self.drawing.actors.len() {
                    self.drawing.actors.push(name.clone());
                }
                let own = def.meta.actor.and_then(|class| name.strip_prefix(class));
                let note = format!("{}, bind {bind}", own.unwrap_or(&name).trim());
                (Role::Method(position), def.label(index), note)
            }
            Action::Call { actor: None, .. } => {
                let owner = def.owner().and_then(|key| self.actors.get(&key));
                let (role, note) = match owner {
                    Some((position, _)) => (Role::Method(*position), "share"),
                    None if def.meta.module.is_empty() => (Role::Task, "collective"),
                    None => (Role::Task, "task"),
                };
                (role, def.label(index), note.into())
            }
        };
        let place = self.place_of(index);
        let node = self.push(role, title, format!("{note}{place}"));
        self.at.push(node);
        for constant in constants {
            self.drawing.edges.push(DrawnEdge {
                from: constant,
                to: node,
                channel: None,
                details: String::new(),
            });
        }
        let mut reads: Vec<(usize, usize)> = Vec::new();
        for read in &def.reads {
            match reads.iter_mut().find(|(of, _)| of == read) {
                Some((_, count)) => *count += 1,
                None => reads.push((*read, 1)),
            }
        }
        for (read, count) in reads {
            self.add_edge(read, Some(index), count, node);
        }
    }

    fn add_output(&mut self, number: usize, of: usize) {
        let note = self.type_of(&self.nodes[of]);
        let node = self.push(Role::Output, format!("output {number}"), note);
        self.add_edge(of, None, 1, node);
    }

    fn add_edge(&mut self, read: usize, reader: Option<usize>, count: usize, node: usize) {
        // A node of another graph: the graph cannot run, and says so.
        let Some(from) = self.at.get(read).copied() else {
            return;
        };
        let placed = self.placed;
        let channel = placed.map(|placed| placed.channel(read, reader));
        let mut details = String::new();
        if self.view.channel_details {
            details = self.type_of(&self.nodes[read]);
            if count > 1 {
                details.push_str(&format!(", {count} arguments"));
            }
            if let (Some(placed), Some(channel)) = (placed, channel)
                && channel != Channel::LocalSlot
            {
                details.push_str(&format!(", depth {}", placed.depth));
            }
        }
        self.drawing.edges.push(DrawnEdge {
            from,
            to: node,
            channel,
            details,
        });
    }

    /// The constants of a node, as nodes before it.
    fn constants_of(&mut self, def: &NodeDef) -> Vec<usize> {
        let mut made = Vec::new();
        for (at, arg) in def.args.iter().enumerate() {
            if arg.is_some() {
                continue;
            }
            let mut text = String::new();
            (def.constant)(at, &mut |value| text = text_of(value));
            let codec = def.meta.codec.and_then(|codec| codec.args.get(at));
            let name = codec.map_or_else(|| format!("argument {at}"), |arg| arg.name().to_owned());
            made.push(self.push(Role::Constant, format!("{name} = {text}"), String::new()));
        }
        made
    }

    fn type_of(&self, def: &NodeDef) -> String {
        short_type((def.value.name)())
    }

    fn place_of(&self, index: usize) -> String {
        match self.placed {
            Some(placed) if self.view.channel_details => match &self.nodes[index].action {
                Action::Call {
                    actor:
                        Some(BoundActor {
                            elsewhere: Some(elsewhere),
                            ..
                        }),
                    ..
                } => format!(", {}", elsewhere.peer.name()),
                Action::Call { .. } => {
                    format!(", scheduler {}", placed.shape.plan.scheduler[index])
                }
                Action::Input(_) => String::new(),
            },
            _ => String::new(),
        }
    }
}

/// A constant in words, if it is of a type that has a usual way to write it.
fn text_of(value: &dyn Any) -> String {
    macro_rules! written {
        ($($name:ty),*) => {
            $(if let Some(value) = value.downcast_ref::<$name>() {
                return format!("{value:?}");
            })*
        };
    }
    written!(
        u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64, bool, char
    );
    written!(String, &'static str, ());
    "…".into()
}

/// A type without the modules of its parts.
pub(super) fn short_type(name: &str) -> String {
    let mut short = String::with_capacity(name.len());
    let mut word = String::new();
    let mut rest = name.chars().peekable();
    while let Some(c) = rest.next() {
        if c.is_alphanumeric() || c == '_' {
            word.push(c);
        } else if c == ':' && rest.peek() == Some(&':') && !word.is_empty() {
            rest.next();
            word.clear();
        } else {
            short.push_str(&word);
            word.clear();
            short.push(c);
        }
    }
    short.push_str(&word);
    short
}
