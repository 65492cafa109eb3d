//! The edges of a graph between processes and the text of each part, before there is any memory.

use super::packet::Packed;
use super::ports::NodeCodec;
use super::ringer::Waiting;
use super::sight::SightDraft;
use super::step::result_codec;
use super::text::{EdgeEnd, FarEnd, Part, PartArgument, PartHead, PartSegment, PartStep};
use crate::error::{Error, Result};
use crate::graph::build::{Action, Elsewhere, NodeDef};
use crate::graph::core::Core;
use crate::graph::observe::progress::Progress;
use crate::graph::plan::Plan;
use crate::graph::relay::load;
use crate::graph::rendezvous::Token;
use crate::node::Node;
use crate::worker::peer::Peer;
use crate::worker::registry;
use crate::worker::remote::FIRST_HOME;
use maser_shm::control::ControlMemory;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The processes of a graph's steps, the driver aside, and an actor in each.
pub(crate) fn peers(nodes: &[NodeDef]) -> Vec<(Arc<Peer>, String)> {
    let mut peers: Vec<(Arc<Peer>, String)> = Vec::new();
    for remote in nodes.iter().filter_map(remote_of) {
        if !peers.iter().any(|(peer, _)| peer.id == remote.peer.id) {
            peers.push((remote.peer.clone(), remote.name.clone()));
        }
    }
    peers
}

/// Where the actor of a node is, if it is in another process.
fn remote_of(def: &NodeDef) -> Option<&Elsewhere> {
    match &def.action {
        Action::Call {
            actor: Some(actor), ..
        } => actor.elsewhere.as_ref(),
        _ => None,
    }
}

/// How the values of node `index` travel: as the function says that makes them, else as one says that
/// gets them.
pub(crate) fn codec_of(nodes: &[NodeDef], index: usize) -> Option<NodeCodec> {
    let def = &nodes[index];
    if let Some(codec) = def.value.codec {
        return Some(NodeCodec {
            codec,
            function: def.meta.name,
        });
    }
    let made = def.meta.codec.and_then(result_codec);
    if let Some(codec) = made {
        return Some(NodeCodec {
            codec,
            function: def.meta.name,
        });
    }
    nodes.iter().find_map(|reader| {
        let at = reader.args.iter().position(|arg| *arg == Some(index))?;
        Some(NodeCodec {
            codec: reader.meta.codec?.args.get(at)?,
            function: reader.meta.name,
        })
    })
}

/// A process of the graph; the driver is 0.
pub(super) type Process = usize;
pub(super) const DRIVER: Process = 0;

/// What an edge carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Carries {
    /// The value of a node to a segment.
    Value(usize, usize),
    /// The value of a node to the driver; the how manieth output of that node.
    Output(usize, usize),
    /// The news that a run begins.
    Tick(usize),
    /// The news that a segment took its inputs, by the number of the token.
    Token(usize),
    /// The value of a node, if any, there and that of another back.
    Calls(Option<usize>, usize),
}

pub(super) struct Spec {
    pub(super) number: u64,
    pub(super) carries: Carries,
    pub(super) from: (Process, usize),
    pub(super) to: (Process, usize),
    pub(super) offset: usize,
}

pub(super) struct Pair {
    pub(super) bytes: usize,
    pub(super) memory: Option<ControlMemory>,
}

pub(super) struct Draft<'a> {
    pub(super) nodes: &'a [NodeDef],
    pub(super) plan: &'a Plan,
    pub(super) tokens: &'a [Token],
    pub(super) depth: usize,
    pub(super) core: &'a Arc<Core>,
    pub(super) host: &'a Arc<Node>,
    /// The processes from 1 on.
    pub(super) peers: Vec<Arc<Peer>>,
    pub(super) edges: Vec<Spec>,
    pub(super) pairs: BTreeMap<(Process, Process), Pair>,
    pub(super) edge_bytes: usize,
    /// Where each segment of a worker says how far it is.
    pub(super) progress_at: BTreeMap<usize, usize>,
    pub(super) sight: SightDraft,
    /// The only edge is a call slot.
    pub(super) is_calls: bool,
}

pub(super) fn pair(a: Process, b: Process) -> (Process, Process) {
    // Edges of a worker to itself lie in the memory that it shares with the driver.
    if a == b {
        (DRIVER, a)
    } else {
        (a.min(b), a.max(b))
    }
}

impl Draft<'_> {
    /// The process of a segment, and its scheduler there.
    pub(super) fn place(&self, segment: usize) -> (Process, usize) {
        let first = self.plan.members[segment][0];
        let scheduler = self.plan.scheduler[first];
        if scheduler < FIRST_HOME {
            return (DRIVER, scheduler);
        }
        let id = remote_of(&self.nodes[first]).map(|remote| remote.peer.id);
        let at = self.peers.iter().position(|peer| Some(peer.id) == id);
        (at.map_or(DRIVER, |at| at + 1), 0)
    }

    fn add(&mut self, carries: Carries, from: (Process, usize), to: (Process, usize)) {
        if from.0 == DRIVER && to.0 == DRIVER {
            return;
        }
        let stamp_bytes = self.stamp_bytes();
        let pair = self.pairs.entry(pair(from.0, to.0)).or_insert(Pair {
            bytes: 0,
            memory: None,
        });
        self.edges.push(Spec {
            number: self.edges.len() as u64,
            carries,
            from,
            to,
            offset: pair.bytes,
        });
        pair.bytes += self.edge_bytes + stamp_bytes;
    }

    pub(super) fn find_edges(&mut self, outputs: &[usize]) {
        for process in 1..=self.peers.len() {
            let pair = Pair {
                bytes: Waiting::BYTES,
                memory: None,
            };
            self.pairs.insert((DRIVER, process), pair);
        }
        for segment in 0..self.plan.members.len() {
            let (process, _) = self.place(segment);
            if process == DRIVER {
                continue;
            }
            if let Some(pair) = self.pairs.get_mut(&(DRIVER, process)) {
                self.progress_at.insert(segment, pair.bytes);
                pair.bytes += Progress::BYTES;
            }
        }
        if self.is_calls {
            let mut nodes = 0..self.nodes.len();
            let input = nodes.find(|node| self.plan.segment[*node] == usize::MAX);
            let to = self.place(0);
            return self.add(Carries::Calls(input, outputs[0]), (DRIVER, 0), to);
        }
        let mut is_fed = vec![false; self.plan.members.len()];
        for node in 0..self.nodes.len() {
            let own = self.plan.segment[node];
            let from = match own {
                usize::MAX => (DRIVER, 0),
                own => self.place(own),
            };
            for reader in self.plan.readers[node].clone() {
                is_fed[reader] = true;
                let to = self.place(reader);
                // Within one process of the driver's only; a worker's segments are joined by edges too.
                self.add(Carries::Value(node, reader), from, to);
            }
            let count = outputs.iter().filter(|output| **output == node).count();
            for at in 0..count {
                self.add(Carries::Output(node, at), from, (DRIVER, 0));
            }
        }
        for (segment, is_fed) in is_fed.into_iter().enumerate() {
            if !is_fed {
                let to = self.place(segment);
                self.add(Carries::Tick(segment), (DRIVER, 0), to);
            }
        }
        for (number, token) in self.tokens.iter().enumerate() {
            let (from, to) = (self.place(token.from), self.place(token.to));
            self.add(Carries::Token(number), from, to);
        }
    }

    fn end(&self, spec: &Spec, of: Process) -> EdgeEnd {
        let other = if spec.from.0 == of {
            spec.to
        } else {
            spec.from
        };
        let far = match (other.0, spec.carries) {
            (DRIVER, Carries::Output(..) | Carries::Calls(..)) => FarEnd::Results,
            (DRIVER, _) => FarEnd::Scheduler(other.1 as u32),
            (process, _) if process == of => FarEnd::Itself,
            (process, _) => FarEnd::Worker(self.peers[process - 1].id),
        };
        let process = match other.0 {
            DRIVER => Some(0),
            process => self.peers[process - 1].store_number(),
        };
        EdgeEnd {
            edge: spec.number,
            far,
            process: process.unwrap_or(u32::MAX),
            offset: spec.offset as u64,
            bytes: self.edge_bytes as u64,
        }
    }

    /// The part of one worker.
    pub(super) fn part(&self, process: Process, gate: usize) -> Result<Part> {
        let mut part = Part {
            depth: u32::try_from(self.depth).unwrap_or(u32::MAX),
            gate: gate as u32,
            observe: self.part_observe(process),
            segments: Vec::new(),
        };
        for segment in 0..self.plan.members.len() {
            if self.place(segment).0 == process {
                part.segments.push(self.segment(process, segment)?);
            }
        }
        Ok(part)
    }

    fn segment(&self, process: Process, segment: usize) -> Result<PartSegment> {
        let mut slots: HashMap<usize, u32> = HashMap::new();
        let mut slot = |node: usize| {
            let next = slots.len() as u32;
            *slots.entry(node).or_insert(next)
        };
        let mut edges = Vec::new();
        let (mut tokens, mut signals) = (Vec::new(), Vec::new());
        let mut calls = None;
        for spec in &self.edges {
            match spec.carries {
                Carries::Calls(input, output) => {
                    calls = Some((self.end(spec, process), input.map(&mut slot), output));
                }
                Carries::Value(node, reader) if reader == segment => {
                    edges.push((self.end(spec, process), Some(slot(node))));
                }
                Carries::Tick(ticked) if ticked == segment => {
                    edges.push((self.end(spec, process), None));
                }
                Carries::Token(number) => {
                    let token = self.tokens[number];
                    if token.to == segment {
                        tokens.push((self.end(spec, process), token.ahead));
                    }
                    if token.from == segment {
                        signals.push(self.end(spec, process));
                    }
                }
                _ => {}
            }
        }
        let mut steps = Vec::new();
        for node in &self.plan.members[segment] {
            steps.push(self.step(process, *node, &mut slot)?);
        }
        let head = match calls {
            None => PartHead::Edges(edges),
            Some((at, input, output)) => PartHead::CallSlot {
                at,
                input,
                output: slot(output),
            },
        };
        let after = self.plan.after[segment].iter();
        Ok(PartSegment {
            index: segment as u32,
            progress_at: self.progress_at.get(&segment).map_or(0, |at| *at as u64),
            board_at: self.board_at(segment),
            slots: slots.len() as u32,
            after: after
                .map(|after| (after.segment as u32, after.ahead))
                .collect(),
            head,
            tokens,
            signals,
            steps,
        })
    }

    fn step(
        &self,
        process: Process,
        node: usize,
        slot: &mut impl FnMut(usize) -> u32,
    ) -> Result<PartStep> {
        let def = &self.nodes[node];
        let cannot = |problem: String, remedy: &str| Error::Graph {
            node: def.label(node),
            problem,
            remedy: remedy.into(),
        };
        let (Some(entry), Some(codec)) = (def.meta.entry, def.meta.codec) else {
            return Err(cannot(
                "it is `local` and its actor is in another process".into(),
                "leave `local` out, or keep the actor in this process",
            ));
        };
        if entry.step.is_none() {
            return Err(cannot(
                "it gives its results one by one".into(),
                "bind a method with one result",
            ));
        }
        let mut arguments = Vec::new();
        for (at, arg) in def.args.iter().enumerate() {
            if let Some(read) = arg {
                arguments.push(PartArgument::Slot(slot(*read)));
                continue;
            }
            let mut packed = Packed::default();
            let mut encoded = Err("it is missing".to_owned());
            (def.constant)(at, &mut |value| {
                encoded = match codec.args.get(at) {
                    Some(_) if load::pack(value, &mut packed).is_ok() => Ok(()),
                    Some(arg) => arg.pack_constant(value, &mut packed),
                    None => Err("it has no codec".to_owned()),
                };
            });
            encoded.map_err(|problem| Error::NotPortable {
                function: def.meta.name.into(),
                value: format!("argument {at}"),
                problem,
            })?;
            arguments.push(PartArgument::Constant(packed.bytes().to_vec()));
        }
        let edges = self.edges.iter().filter(|spec| match spec.carries {
            Carries::Value(from, _) | Carries::Output(from, _) => from == node,
            Carries::Tick(_) | Carries::Token(_) | Carries::Calls(..) => false,
        });
        let actor = remote_of(def).map(|remote| remote.number);
        Ok(PartStep {
            node: node as u32,
            function: registry::place_of(entry),
            actor,
            arguments,
            edges: edges.map(|spec| self.end(spec, process)).collect(),
            out: slot(node),
        })
    }
}
