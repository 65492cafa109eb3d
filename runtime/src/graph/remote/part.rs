//! A worker's part of a graph: from its text to segments.
//!
//! The rule of the text (GX-1) is kept here: nothing of the text is used unchecked. A slot is written by one port or
//! step, and read after it.

use super::calls::{Answering, AnsweringParts, pools};
use super::detour::Detour;
use super::edge::{EdgeReceiver, EdgeSender, Origin};
use super::objects::{Borrower, Handles, Lender, Way};
use super::packet::{Kind, Packed};
use super::part_ports::{PartEdges, PartIn, PartOut};
use super::pool::{HandOver, PoolReader, PoolWriter};
use super::ringer::{Ringer, Waiting};
use super::sight::PartSight;
use super::step::{PackedSlot, PartInput, PartStepHere, StepAccess};
use super::text::{EdgeEnd, FarEnd, Part, PartArgument, PartHead, PartSegment, PartStep};
use crate::error::Error;
use crate::executor::block_on::Alarm;
use crate::graph::observe::progress::Progress;
use crate::graph::observe::words::Words;
use crate::graph::plan::After;
use crate::graph::segment::{Body, Edges, Head, SegmentParts, Stage};
use crate::graph::signals::{Signal, TokenPort, signalling};
use crate::graph::slot::{InPort, OutPort};
use crate::node::Node;
use crate::worker::doors::Doors;
use crate::worker::incoming::HeldActor;
use crate::worker::part::FromPart;
use crate::worker::peer::Peer;
use crate::worker::registry;
use maser_shm::control::{ControlMemory, Region};
use maser_shm::store::PeerId;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// What is around a part.
pub(crate) struct Near {
    pub(crate) graph: u64,
    pub(crate) node: Arc<Node>,
    pub(crate) driver: Arc<Peer>,
    /// Shared with the driver for this graph.
    pub(crate) memory: ControlMemory,
    /// Shared with other workers, and where they sleep.
    pub(crate) siblings: HashMap<u64, (ControlMemory, Arc<Doors>)>,
    pub(crate) actors: HashMap<u32, Arc<HeldActor>>,
    /// Of the edges within this process (EO-5).
    pub(crate) handles: RefCell<HashMap<u64, Arc<Handles>>>,
}

/// What is wrong with a part, in words.
type Problem = String;

fn told(error: impl ToString) -> Problem {
    error.to_string()
}

impl Part {
    /// The part whose text lies in `memory`.
    pub(crate) fn read(memory: &ControlMemory, at: u64, bytes: u64) -> Result<Self, Problem> {
        let (at, bytes) = (at as usize, bytes as usize);
        let region = memory.region(at, bytes).map_err(told)?;
        let text = super::word::copy_out(&region);
        postcard::from_bytes(&text).map_err(told)
    }
}

impl Near {
    /// The memory that an edge lies in.
    pub(super) fn memory_of(&self, end: &EdgeEnd) -> Result<&ControlMemory, Problem> {
        match end.far {
            FarEnd::Worker(worker) => match self.siblings.get(&worker) {
                Some((memory, _)) => Ok(memory),
                None => Err(format!("there is no memory shared with worker {worker:x}")),
            },
            FarEnd::Scheduler(_) | FarEnd::Results | FarEnd::Itself => Ok(&self.memory),
        }
    }

    fn region(&self, end: &EdgeEnd) -> Result<Region, Problem> {
        let memory = self.memory_of(end)?;
        let (offset, bytes) = (end.offset as usize, end.bytes as usize);
        memory.region(offset, bytes).map_err(told)
    }

    fn ringer(&self, end: &EdgeEnd, gate: u32) -> Result<Ringer, Problem> {
        Ok(match end.far {
            FarEnd::Itself => Ringer::Nobody,
            FarEnd::Scheduler(there) if (there as usize) < self.driver.schedulers() => {
                Ringer::Scheduler(self.driver.clone(), there as usize)
            }
            FarEnd::Scheduler(there) => {
                return Err(format!("the driver has no scheduler {there}"));
            }
            FarEnd::Worker(worker) => match self.siblings.get(&worker) {
                Some((_, doors)) => Ringer::Sibling(doors.clone()),
                None => return Err(format!("worker {worker:x} is not known")),
            },
            FarEnd::Results => {
                let words = self.memory.region(0, Waiting::BYTES).map_err(told)?;
                Ringer::Results {
                    words: Waiting::new(&words).map_err(told)?,
                    driver: self.driver.clone(),
                    gate: gate as usize,
                }
            }
        })
    }

    /// How a new pool of an edge gets to its reader.
    fn hand_over(&self, end: &EdgeEnd) -> HandOver {
        let (node, graph, edge, far) = (self.node.clone(), self.graph, end.edge, end.far);
        Box::new(move |number, memory| {
            let to = match far {
                FarEnd::Itself => {
                    let inbox = node.workers.inbox();
                    inbox.put((graph, edge, number), memory.clone());
                    return Some(());
                }
                FarEnd::Worker(worker) => Some(worker),
                FarEnd::Scheduler(_) | FarEnd::Results => None,
            };
            let message = FromPart::Pool {
                graph,
                edge,
                number,
                bytes: memory.bytes() as u64,
                to,
            };
            node.workers.membership()?.say(message, Some(memory.file()));
            Some(())
        })
    }

    fn handles(&self, end: &EdgeEnd) -> Arc<Handles> {
        let mut handles = self.handles.borrow_mut();
        handles.entry(end.edge).or_default().clone()
    }

    /// To whom objects are lent that leave by an edge, which carries results of `function`, if any.
    fn lender(&self, end: &EdgeEnd, function: Option<u32>) -> Lender {
        let way = match (end.far, function) {
            (FarEnd::Itself, _) => return Lender::Here(self.handles(end)),
            (FarEnd::Scheduler(_) | FarEnd::Results, _) => Way::Linked(self.driver.clone()),
            (FarEnd::Worker(_), None) => Way::None,
            (FarEnd::Worker(to), Some(function)) => Way::Round(Detour {
                node: self.node.clone(),
                driver: self.driver.clone(),
                graph: self.graph,
                edge: end.edge,
                function,
                to,
                next: 0,
            }),
        };
        Lender::Process {
            node: self.node.clone(),
            to: PeerId(end.process),
            way,
            // The driver settles the graph when this part is gone.
            is_over: Box::new(|| false),
        }
    }

    fn origin(&self, end: &EdgeEnd) -> Origin {
        let (node, graph) = (self.node.clone(), self.graph);
        let name = match end.far {
            FarEnd::Worker(_) => "another worker".to_owned(),
            FarEnd::Itself => "this worker".to_owned(),
            FarEnd::Scheduler(_) | FarEnd::Results => self.driver.name(),
        };
        let borrower = match end.far {
            FarEnd::Itself => Borrower::Here(self.handles(end)),
            _ => Borrower::Process {
                node: node.clone(),
                from: PeerId(end.process),
                peer: match end.far {
                    FarEnd::Worker(_) => None, // EO-6
                    _ => Some(self.driver.clone()),
                },
            },
        };
        Origin {
            name: name.into(),
            borrower,
            complaint: Arc::new(move |error: Error| {
                if let Some(membership) = node.workers.membership() {
                    let reason = error.to_string();
                    membership.say(FromPart::Failed { graph, reason }, None);
                }
            }),
        }
    }

    fn receiver(&self, end: &EdgeEnd, depth: usize) -> Result<EdgeReceiver, Problem> {
        let inbox = self.node.workers.inbox().clone();
        let key = (self.graph, end.edge);
        EdgeReceiver::open(&self.region(end)?, depth, inbox, key, self.origin(end)).map_err(told)
    }

    fn answering(
        &self,
        end: &EdgeEnd,
        depth: usize,
        gate: u32,
        (slots, shown): (&Slots, Progress),
        (input, output): (Arc<PackedSlot>, Arc<PackedSlot>),
    ) -> Result<Answering, Problem> {
        let region = self.region(end)?;
        let [there, back] = pools(&region, depth).map_err(told)?;
        let inbox = self.node.workers.inbox().clone();
        let back_end = EdgeEnd {
            edge: end.edge.wrapping_add(1),
            ..end.clone()
        };
        let parts = AnsweringParts {
            input,
            output,
            slots: slots.slots.clone(),
            shown,
            lender: self.lender(end, None),
            questions: PoolReader::new(there, inbox, (self.graph, end.edge)).map_err(told)?,
            answers: PoolWriter::new(back, self.hand_over(&back_end)).map_err(told)?,
            ringer: self.ringer(end, gate)?,
            origin: self.origin(end),
        };
        Answering::open(&region, depth, parts).map_err(told)
    }

    fn sender(
        &self,
        end: &EdgeEnd,
        function: Option<u32>,
        (depth, gate): (usize, u32),
    ) -> Result<EdgeSender, Problem> {
        let ringer = self.ringer(end, gate)?;
        let (lender, hand_over) = (self.lender(end, function), self.hand_over(end));
        EdgeSender::open(&self.region(end)?, depth, ringer, lender, hand_over).map_err(told)
    }
}

/// The slots of a part, and which of them are written.
struct Slots {
    slots: Vec<Arc<PackedSlot>>,
    written: Vec<bool>,
}

impl Slots {
    fn write(&mut self, index: u32) -> Result<Arc<PackedSlot>, Problem> {
        match self.written.get_mut(index as usize) {
            Some(written) if !*written => *written = true,
            Some(_) => return Err(format!("slot {index} is written twice")),
            None => return Err(format!("there is no slot {index}")),
        }
        Ok(self.slots[index as usize].clone())
    }

    fn read(&self, index: u32) -> Result<Arc<PackedSlot>, Problem> {
        match self.written.get(index as usize) {
            Some(true) => Ok(self.slots[index as usize].clone()),
            _ => Err(format!("slot {index} is read before it is written")),
        }
    }
}

/// The segments of a part.
pub(crate) fn build(near: &Near, part: Part) -> Result<Vec<SegmentParts>, Problem> {
    /// Slots of the largest segment.
    const SLOTS_MAX: u32 = 1 << 20;
    let known: BTreeSet<u32> = part.segments.iter().map(|segment| segment.index).collect();
    let sight = PartSight::new(near, &part.observe)?;
    let mut segments = Vec::new();
    for segment in part.segments {
        let watch = sight.segment(near, &segment)?;
        let count = segment.slots;
        if count > SLOTS_MAX {
            return Err(format!("{count} slots are more than {SLOTS_MAX}"));
        }
        let mut slots = Slots {
            slots: (0..count).map(|_| Arc::default()).collect(),
            written: vec![false; count as usize],
        };
        if let Some((other, _)) = segment
            .after
            .iter()
            .find(|(other, _)| !known.contains(other))
        {
            return Err(format!("there is no segment {other}"));
        }
        let (depth, gate) = (part.depth as usize, part.gate);
        let made = one(near, segment, &mut slots, depth, gate)?;
        segments.push(SegmentParts { watch, ..made });
    }
    Ok(segments)
}

fn one(
    near: &Near,
    segment: PartSegment,
    slots: &mut Slots,
    depth: usize,
    gate: u32,
) -> Result<SegmentParts, Problem> {
    let shown = segment.progress_at as usize;
    let shown = near.memory.region(shown, Progress::BYTES).map_err(told)?;
    let shown = Progress::new(Words::of_region(shown));
    let head: Box<dyn Head> = match segment.head {
        PartHead::Edges(edges) => {
            let mut ports: Vec<Box<dyn InPort>> = Vec::new();
            for (end, slot) in edges {
                ports.push(Box::new(PartIn {
                    edge: near.receiver(&end, depth)?,
                    slot: match slot {
                        Some(slot) => slots.write(slot)?,
                        None => Arc::default(),
                    },
                }));
            }
            for (end, ahead) in segment.tokens {
                let edge = near.receiver(&end, depth)?;
                ports.push(Box::new(TokenPort::far(edge, ahead)));
            }
            Box::new(PartEdges {
                edges: Edges::new(ports),
                slots: slots.slots.clone(),
                shown: shown.clone(),
            })
        }
        PartHead::CallSlot { at, input, output } => {
            let input = match input {
                Some(input) => slots.write(input)?,
                None => Arc::default(),
            };
            let output = match slots.slots.get(output as usize) {
                Some(output) => output.clone(),
                None => return Err(format!("there is no slot {output}")),
            };
            let shown = shown.clone();
            Box::new(near.answering(&at, depth, gate, (slots, shown), (input, output))?)
        }
    };
    let mut signals = Vec::new();
    for end in &segment.signals {
        signals.push(Signal::There(Box::new(near.sender(
            end,
            None,
            (depth, gate),
        )?)));
    }
    let head = signalling(head, signals);
    let mut stages = Vec::new();
    for (number, step) in segment.steps.into_iter().enumerate() {
        let place = (shown.clone(), number);
        stages.push(stage(near, step, slots, place, (depth, gate))?);
    }
    let after = segment.after.iter().map(|(segment, ahead)| After {
        segment: *segment as usize,
        ahead: *ahead,
    });
    Ok(SegmentParts {
        index: segment.index as usize,
        watch: None,
        body: Body::Stages(head, stages),
        after: after.collect(),
        progress: Progress::alone(),
    })
}

fn stage(
    near: &Near,
    step: PartStep,
    slots: &mut Slots,
    place: (Progress, usize),
    (depth, gate): (usize, u32),
) -> Result<Stage, Problem> {
    let function = registry::at(step.function).map_err(told)?;
    let meta = (function.meta)();
    let (Some(entry), Some(codec)) = (&function.step, meta.codec) else {
        return Err(format!("{} cannot be a step", meta.name));
    };
    let arguments = step.arguments.len();
    if arguments != codec.args.len() {
        let takes = codec.args.len();
        return Err(format!(
            "{} takes {takes} arguments and got {arguments}",
            meta.name
        ));
    }
    if (entry.access == StepAccess::None) != step.actor.is_none() {
        return Err(format!("{} is a task, or has no actor", meta.name));
    }
    let actor = match step.actor {
        Some(number) => match near.actors.get(&number) {
            Some(actor) if actor.is_here() => Some(actor.core()),
            _ => return Err(format!("there is no actor {number} here")),
        },
        None => None,
    };
    let mut inputs = Vec::new();
    for argument in step.arguments {
        inputs.push(match argument {
            PartArgument::Slot(slot) => PartInput::Slot(slots.read(slot)?),
            PartArgument::Constant(bytes) => {
                let mut packed = Packed::default();
                packed.fill(Kind::Value, |body| {
                    *body = bytes;
                    Ok(())
                })?;
                PartInput::Constant(packed)
            }
        });
    }
    let result = slots.write(step.out)?;
    if step
        .edges
        .iter()
        .any(|end| matches!(end.far, FarEnd::Worker(_)))
    {
        result.with(Packed::must_own); // EO-3
    }
    let mut out: Vec<Box<dyn OutPort>> = Vec::new();
    for end in &step.edges {
        out.push(Box::new(PartOut {
            edge: near.sender(end, Some(step.function), (depth, gate))?,
            slot: result.clone(),
        }));
    }
    let step = Box::new(PartStepHere {
        entry,
        meta,
        codec,
        actor,
        inputs,
        out: result,
        alarm: Alarm::default(),
        shown: place.0,
        number: place.1,
    });
    Ok(Stage { step, out })
}
