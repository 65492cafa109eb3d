//! The nodes of a relay's graph, made of a text that came from a worker.

use super::load::Load;
use super::step::LoadStep;
use super::text::{ActionText, ArgumentText, GraphText, NodeText, SentActor};
use crate::error::{Error, Result};
use crate::executor::block_on::Alarm;
use crate::graph::bind::bound_held;
use crate::graph::build::{Action, INPUT, Node, NodeDef, NodeId, Place, Slots, clone_ref};
use crate::graph::observe::progress::Progress;
use crate::graph::remote::packet::Packed;
use crate::graph::remote::step::{PackedSlot, PartInput, PartStepHere, StepAccess, StepEntry};
use crate::graph::segment::Step;
use crate::graph::slot::{Reader, slot_of};
use crate::graph::step_options::Reserved;
use crate::graph::transport::Wanted;
use crate::task::meta::Meta;
use crate::task::portable::Codec;
use crate::worker::incoming::HeldActor;
use crate::worker::registry;
use std::any::Any;
use std::sync::Arc;

fn wrong(problem: String) -> Error {
    Error::InvalidArgument {
        argument: "graph",
        problem,
        remedy: "both processes must be of the same build".into(),
    }
}

/// Nodes and outputs.
///
/// # Errors
/// [`Error::InvalidArgument`] for a text that is no graph's.
pub(super) fn rebuilt(text: &GraphText) -> Result<(Vec<NodeDef>, Vec<Node<Load>>)> {
    let mut nodes: Vec<NodeDef> = Vec::with_capacity(text.nodes.len());
    let mut inputs = 0;
    for node in &text.nodes {
        nodes.push(rebuilt_node(node, nodes.len(), &mut inputs, &text.actors)?);
    }
    let mut outputs = Vec::with_capacity(text.outputs.len());
    for output in &text.outputs {
        let index = *output as usize;
        if index >= nodes.len() {
            return Err(wrong(format!("output {index} is no node")));
        }
        outputs.push(Node::new(NodeId { graph: 0, index }));
    }
    Ok((nodes, outputs))
}

fn rebuilt_node(
    text: &NodeText,
    at: usize,
    inputs: &mut usize,
    actors: &[SentActor],
) -> Result<NodeDef> {
    let (transport, device) = &text.wanted;
    let wanted = Wanted {
        transport: transport.parse()?,
        device: device.parse()?,
    };
    let mut def = NodeDef {
        meta: &INPUT,
        name: text.name.clone(),
        action: Action::Input(*inputs),
        reads: Vec::new(),
        args: Vec::new(),
        constant: Box::new(|_, _| {}),
        wanted,
        rank: None,
        value: Load::value_type(),
        clone_ref: clone_ref::<Load>,
    };
    let ActionText::Call {
        function,
        actor,
        arguments,
        scheduler,
        demand,
    } = &text.action
    else {
        *inputs += 1;
        return Ok(def);
    };
    let entry = registry::at(*function)?;
    let meta = (entry.meta)();
    let (Some(step), Some(codec)) = (&entry.step, meta.codec) else {
        return Err(wrong(format!("{} cannot be a step", meta.name)));
    };
    if arguments.len() != codec.args.len() {
        let (takes, got) = (codec.args.len(), arguments.len());
        return Err(wrong(format!(
            "{} takes {takes} arguments and got {got}",
            meta.name
        )));
    }
    if (step.access == StepAccess::None) != actor.is_none() {
        return Err(wrong(format!("{} is a task, or has no actor", meta.name)));
    }
    let actor = match actor.map(|place| actors.get(place as usize)) {
        Some(None) => {
            return Err(wrong(format!(
                "{} has an actor that did not come",
                meta.name
            )));
        }
        found => found.flatten().map(|SentActor(held)| held.clone()),
    };
    if !demand.is_sound() {
        return Err(wrong(format!("{} asks for less than nothing", meta.name)));
    }
    for argument in arguments {
        let ArgumentText::Node(read) = argument else {
            def.args.push(None);
            continue;
        };
        let read = *read as usize;
        if read >= at {
            return Err(wrong(format!("node {at} reads node {read}")));
        }
        def.args.push(Some(read));
        def.reads.push(read);
    }
    def.meta = meta;
    let constants = arguments.clone();
    def.constant = Box::new(move |index, to| {
        if let Some(ArgumentText::Constant(load)) = constants.get(index) {
            to(load);
        }
    });
    let place = Place {
        scheduler: scheduler.map(|scheduler| scheduler as usize),
        demand: demand.clone(),
        reserved: Reserved::default(),
    };
    let made = Made {
        step,
        meta,
        codec,
        actor: actor.clone(),
        arguments: arguments.clone(),
        reserved: place.reserved.clone(),
    };
    def.action = Action::Call {
        actor: actor.as_ref().map(bound_held),
        place,
        make: Box::new(move |slots, out| made.make(slots, out)),
        submit: Box::new(|_| unreachable!("a relay's graph is compiled")),
    };
    Ok(def)
}

/// What a step in this process is made of.
struct Made {
    step: &'static StepEntry,
    meta: &'static Meta,
    codec: &'static Codec,
    actor: Option<Arc<HeldActor>>,
    arguments: Vec<ArgumentText>,
    reserved: Reserved,
}

impl Made {
    fn make(&self, slots: Slots<'_>, out: &(dyn Any + Send)) -> Box<dyn Step> {
        let mut read = Vec::new();
        let mut inputs = Vec::with_capacity(self.arguments.len());
        for argument in &self.arguments {
            inputs.push(match argument {
                ArgumentText::Node(node) => {
                    let (slot, last) = slots(*node as usize);
                    let slot = slot_of::<Load>(&*slot);
                    let packed = Arc::<PackedSlot>::default();
                    read.push((Reader { slot, last }, packed.clone()));
                    PartInput::Slot(packed)
                }
                ArgumentText::Constant(load) => {
                    let mut packed = Packed::default();
                    packed.set(&load.0);
                    PartInput::Constant(packed)
                }
            });
        }
        Box::new(LoadStep {
            inputs: read,
            inner: PartStepHere {
                entry: self.step,
                meta: self.meta,
                codec: self.codec,
                actor: self.actor.as_ref().map(|actor| actor.core()),
                inputs,
                out: Arc::default(),
                alarm: Alarm::default(),
                shown: Progress::alone(),
                number: 0,
            },
            out: slot_of::<Load>(out),
            _held: self.reserved.take(),
        })
    }
}
