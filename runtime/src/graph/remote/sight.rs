//! What is measured of a graph in several processes: where it lies, and who writes it.
//!
//! ```text
//! behind each edge                stamps of its values, and of the answers of a call slot
//! memory of driver and worker     a ring of events; for each segment the times of its steps, then of
//!                                 the edges that it reads
//! ```
//!
//! - SN-12 the writer and the reader of an edge share the memory that the edge lies in, so that its stamps
//!   can lie there too. Times are kept by who reads the edge, where the driver can read them: nobody is
//!   asked, and a process that is stopped or dead has told what it knew.

use super::draft::{Carries, DRIVER, Draft, Spec};
use super::edge::refused;
use super::part::Near;
use super::text::{EdgeEnd, PartHead, PartObserve, PartSegment};
use crate::error::Result;
use crate::graph::observe::board::RingOf;
use crate::graph::observe::events::Ring;
use crate::graph::observe::stamps::Stamps;
use crate::graph::observe::tally::Tally;
use crate::graph::observe::watched::{AnswerWatch, Observe, Sample, SegmentWatch, StageWatch};
use crate::graph::observe::words::Words;
use crate::graph::schedule::ChannelKind;
use maser_shm::control::{ControlError, REGION_ALIGN, Region};
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};

/// Bytes of the times of one step or edge.
const TALLY_BYTES: usize = (Tally::WORDS * 8).next_multiple_of(REGION_ALIGN);

/// Stamps behind one edge: of its values, and of the answers to them.
const STAMPS: usize = 2;
const VALUES: usize = 0;
const ANSWERS: usize = 1;

fn ring_bytes(events: usize) -> usize {
    (Ring::words(events) * 8).next_multiple_of(REGION_ALIGN)
}

/// Where the driver puts it.
#[derive(Default)]
pub(super) struct SightDraft {
    /// By segment.
    boards: BTreeMap<usize, usize>,
    /// By process.
    rings: BTreeMap<usize, usize>,
}

/// What the driver sees of it.
#[derive(Default)]
pub(crate) struct Sight {
    values: HashMap<(usize, usize), Stamps>,
    outputs: HashMap<usize, Vec<Stamps>>,
    pub(crate) boards: Vec<FarBoard>,
    pub(crate) rings: Vec<RingOf>,
}

/// The times of a segment in another process.
pub(crate) struct FarBoard {
    pub(crate) segment: usize,
    /// What the edges are that it reads.
    pub(crate) channel: ChannelKind,
    /// Of its steps, then of those edges.
    pub(crate) tallies: Vec<Tally>,
    /// Whose values they carry; none for one that only begins a run.
    pub(crate) reads: Vec<Option<usize>>,
}

impl Sight {
    /// The stamps of the edge from a node to a segment.
    pub(crate) fn value(&mut self, node: usize, reader: usize) -> Option<Stamps> {
        self.values.remove(&(node, reader))
    }

    /// The stamps of the next output that a node is.
    pub(crate) fn output(&mut self, node: usize) -> Option<Stamps> {
        self.outputs.get_mut(&node).and_then(Vec::pop)
    }
}

fn tallies(board: &Region, count: usize) -> std::result::Result<Vec<Tally>, ControlError> {
    let tally = |at: usize| {
        let part = board.part(at * TALLY_BYTES, TALLY_BYTES)?;
        Ok(Tally::new(Words::of_region(part)))
    };
    (0..count).map(tally).collect()
}

impl Draft<'_> {
    fn observe(&self) -> Observe {
        self.core.observe
    }

    /// Bytes behind an edge.
    pub(super) fn stamp_bytes(&self) -> usize {
        match self.observe().every {
            0 => 0,
            _ => STAMPS * Stamps::BYTES,
        }
    }

    /// The nodes whose values a segment reads, in the order of its edges.
    fn reads(&self, segment: usize) -> Vec<Option<usize>> {
        let read = |spec: &Spec| match spec.carries {
            Carries::Calls(input, _) => Some(input),
            Carries::Value(node, reader) if reader == segment => Some(Some(node)),
            Carries::Tick(ticked) if ticked == segment => Some(None),
            _ => None,
        };
        self.edges.iter().filter_map(read).collect()
    }

    fn tallies_of(&self, segment: usize) -> usize {
        self.plan.members[segment].len() + self.reads(segment).len()
    }

    /// Finds places for it, once all edges are known.
    pub(super) fn find_sight(&mut self) {
        let observe = self.observe();
        for segment in 0..self.plan.members.len() {
            let (process, _) = self.place(segment);
            let bytes = self.tallies_of(segment) * TALLY_BYTES;
            if observe.every > 0
                && let Some(pair) = self.pairs.get_mut(&(DRIVER, process))
            {
                self.sight.boards.insert(segment, pair.bytes);
                pair.bytes += bytes;
            }
        }
        for process in 1..=self.peers.len() {
            if observe.events > 0
                && let Some(pair) = self.pairs.get_mut(&(DRIVER, process))
            {
                self.sight.rings.insert(process, pair.bytes);
                pair.bytes += ring_bytes(observe.events);
            }
        }
    }

    /// What a worker is told of all its segments.
    pub(super) fn part_observe(&self, process: usize) -> PartObserve {
        PartObserve {
            every: self.observe().every,
            ring: self.sight.rings.get(&process).map(|at| {
                let bytes = ring_bytes(self.observe().events);
                (*at as u64, bytes as u64)
            }),
        }
    }

    /// Where the times of a segment lie.
    pub(super) fn board_at(&self, segment: usize) -> u64 {
        self.sight.boards.get(&segment).map_or(0, |at| *at as u64)
    }

    fn shared(&self, process: usize, at: usize, bytes: usize) -> Result<Region> {
        let pair = self.pairs.get(&(DRIVER, process));
        let memory = pair.and_then(|pair| pair.memory.as_ref());
        let memory = memory.ok_or_else(|| refused("its memory is missing"))?;
        memory.region(at, bytes).map_err(refused)
    }

    /// Opens what the driver reads and writes of it.
    pub(super) fn open_sight(&self) -> Result<Sight> {
        let mut sight = Sight::default();
        for (segment, at) in &self.sight.boards {
            let count = self.tallies_of(*segment);
            let board = self.shared(self.place(*segment).0, *at, count * TALLY_BYTES)?;
            sight.boards.push(FarBoard {
                segment: *segment,
                channel: match self.is_calls {
                    true => ChannelKind::CallSlot,
                    false => ChannelKind::SharedMemory,
                },
                tallies: tallies(&board, count).map_err(refused)?,
                reads: self.reads(*segment),
            });
        }
        for (process, at) in &self.sight.rings {
            let words = self.shared(*process, *at, ring_bytes(self.observe().events))?;
            sight.rings.push(RingOf {
                ring: Ring::new(Words::of_region(words)),
                scheduler: None,
                process: Some(self.peers[*process - 1].clone()),
            });
        }
        if self.stamp_bytes() > 0 {
            for spec in &self.edges {
                self.open_stamps(spec, &mut sight)?;
            }
        }
        Ok(sight)
    }

    fn open_stamps(&self, spec: &Spec, sight: &mut Sight) -> Result<()> {
        let process = match (spec.from.0, spec.to.0) {
            (DRIVER, other) | (other, DRIVER) => other,
            _ => return Ok(()),
        };
        let stamps = |which: usize| {
            let at = spec.offset + self.edge_bytes + which * Stamps::BYTES;
            let region = self.shared(process, at, Stamps::BYTES)?;
            Ok::<_, crate::error::Error>(Stamps::new(Words::of_region(region)))
        };
        match spec.carries {
            Carries::Value(node, reader) => {
                drop(sight.values.insert((node, reader), stamps(VALUES)?))
            }
            Carries::Output(node, _) => {
                sight.outputs.entry(node).or_default().push(stamps(VALUES)?);
            }
            Carries::Calls(input, output) => {
                if let Some(input) = input {
                    sight.values.insert((input, 0), stamps(VALUES)?);
                }
                sight
                    .outputs
                    .entry(output)
                    .or_default()
                    .push(stamps(ANSWERS)?);
            }
            Carries::Tick(_) | Carries::Token(_) => {}
        }
        Ok(())
    }
}

/// What is wrong with a part, in words.
type Problem = String;

fn told(error: impl ToString) -> Problem {
    error.to_string()
}

/// What a worker notes of all its segments.
pub(super) struct PartSight {
    observe: Observe,
    ring: Option<Ring>,
}

impl PartSight {
    /// As the text says (GX-1).
    pub(super) fn new(near: &Near, text: &PartObserve) -> std::result::Result<Self, Problem> {
        let ring = match text.ring {
            None => None,
            Some((_, bytes)) if (bytes as usize) < Ring::words(1) * 8 => {
                return Err(format!("a ring of events of {bytes} bytes holds none"));
            }
            Some((at, bytes)) => {
                let region = near.memory.region(at as usize, bytes as usize);
                Some(Ring::new(Words::of_region(region.map_err(told)?)))
            }
        };
        let observe = Observe {
            every: text.every,
            events: usize::from(ring.is_some()),
        };
        Ok(Self { observe, ring })
    }

    /// What one segment notes.
    pub(super) fn segment(
        &self,
        near: &Near,
        segment: &PartSegment,
    ) -> std::result::Result<Option<SegmentWatch>, Problem> {
        if self.observe.is_off() {
            return Ok(None);
        }
        let is_on = self.observe.every > 0;
        let stamps = |end: &EdgeEnd, which: usize| {
            let at = end.offset.saturating_add(end.bytes) as usize;
            let at = at.saturating_add(which * Stamps::BYTES);
            let region = near.memory_of(end)?.region(at, Stamps::BYTES);
            Ok::<_, Problem>(Stamps::new(Words::of_region(region.map_err(told)?)))
        };
        let ends: Vec<&EdgeEnd> = match &segment.head {
            PartHead::Edges(edges) => edges.iter().map(|(end, _)| end).collect(),
            PartHead::CallSlot { at, .. } => vec![at],
        };
        let is_fed = match &segment.head {
            PartHead::Edges(edges) => edges.iter().any(|(_, slot)| slot.is_some()),
            PartHead::CallSlot { input, .. } => input.is_some(),
        };
        let mut times = Vec::new();
        if is_on {
            let count = segment.steps.len() + ends.len();
            let bytes = count * TALLY_BYTES;
            let board = near.memory.region(segment.board_at as usize, bytes);
            times = tallies(&board.map_err(told)?, count).map_err(told)?;
        }
        let mut times = times.into_iter();
        let mut stages = Vec::new();
        for step in &segment.steps {
            let outs = step.edges.iter().filter(|_| is_on);
            let outs: std::result::Result<Vec<_>, _> =
                outs.map(|end| stamps(end, VALUES)).collect();
            stages.push(StageWatch {
                node: step.node as usize,
                compute: times.next(),
                outs: outs?,
                is_sent: !step.edges.is_empty(),
            });
        }
        let mut reads = Vec::new();
        for (end, tally) in ends.iter().zip(times) {
            reads.push((stamps(end, VALUES)?, tally));
        }
        let answer = match &segment.head {
            PartHead::Edges(_) => None,
            PartHead::CallSlot { at, output, .. } => {
                let of = |step: &&super::text::PartStep| step.out == *output;
                let node = segment.steps.iter().find(of).map_or(0, |step| step.node);
                Some(AnswerWatch {
                    node: node as usize,
                    stamps: match is_on {
                        true => Some(stamps(at, ANSWERS)?),
                        false => None,
                    },
                })
            }
        };
        Ok(Some(SegmentWatch {
            sample: Sample::new(self.observe),
            is_fed,
            reads,
            stages,
            answer,
            ring: self.ring.clone(),
            last_ns: Cell::new(0),
        }))
    }
}
