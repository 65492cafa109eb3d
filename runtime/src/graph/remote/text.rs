//! What a worker has to know of its part of a graph.
//!
//! The text of a part lies behind the edges in the memory that driver and worker share for the graph,
//! so it may be of any length, and a worker that does not read holds nobody up.
//!
//! - GX-1 all numbers are input: a function, an actor, a slot, a segment or a region that is not there
//!   is an error of the part, which ends the graph.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One part.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Part {
    /// Runs that may be in flight.
    pub(crate) depth: u32,
    /// The driver's scheduler that wakes those who wait for results.
    pub(crate) gate: u32,
    pub(crate) observe: PartObserve,
    pub(crate) segments: Vec<PartSegment>,
}

/// What is noted of the runs.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct PartObserve {
    /// One run in so many is measured; 0 is none.
    pub(crate) every: u64,
    /// Where events go, and bytes for them, in the memory that driver and worker share.
    pub(crate) ring: Option<(u64, u64)>,
}

/// Steps that run one after the other.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PartSegment {
    pub(crate) index: u32,
    /// Where it says how far it is, in the memory that driver and worker share.
    pub(crate) progress_at: u64,
    /// Where its times lie there, if they are measured.
    pub(crate) board_at: u64,
    /// Places of values.
    pub(crate) slots: u32,
    /// Segments that must be ahead of it, and how far.
    pub(crate) after: Vec<(u32, u64)>,
    pub(crate) head: PartHead,
    /// Edges that bring news which a run needs, and how many runs need none.
    pub(crate) tokens: Vec<(EdgeEnd, u32)>,
    /// Edges by which it tells that it took its inputs.
    pub(crate) signals: Vec<EdgeEnd>,
    pub(crate) steps: Vec<PartStep>,
}

/// Where the runs of a segment come from.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum PartHead {
    /// Edges, and the slots that they fill; without a slot a value only begins the run.
    Edges(Vec<(EdgeEnd, Option<u32>)>),
    /// A call slot: where a question goes, and where its answer comes from.
    CallSlot {
        at: EdgeEnd,
        input: Option<u32>,
        output: u32,
    },
}

/// One call.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PartStep {
    /// Its number in the graph.
    pub(crate) node: u32,
    /// Its place in the table of functions.
    pub(crate) function: u32,
    /// The actor, by its number with the driver.
    pub(crate) actor: Option<u32>,
    pub(crate) arguments: Vec<PartArgument>,
    /// The slot of its result.
    pub(crate) out: u32,
    /// The edges its result leaves by.
    pub(crate) edges: Vec<EdgeEnd>,
}

/// Where an argument comes from.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum PartArgument {
    Slot(u32),
    /// The same in every run, encoded.
    Constant(Vec<u8>),
}

/// One end of an edge.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct EdgeEnd {
    /// Its number in the graph.
    pub(crate) edge: u64,
    pub(crate) far: FarEnd,
    /// Its process, as the owner and holder of arrays.
    pub(crate) process: u32,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum FarEnd {
    /// A scheduler of the driver; in the memory shared with it.
    Scheduler(u32),
    /// Those who wait for results; in the memory shared with the driver.
    Results,
    /// Another worker, by its number with the driver; in the memory shared with it.
    Worker(u64),
    /// The same worker; in the memory shared with the driver.
    Itself,
}

impl Part {
    fn ends(&self) -> impl Iterator<Item = &EdgeEnd> {
        self.segments.iter().flat_map(|segment| {
            let head = match &segment.head {
                PartHead::Edges(edges) => edges.iter().map(|(end, _)| end).collect(),
                PartHead::CallSlot { at, .. } => vec![at],
            };
            let out = segment.steps.iter().flat_map(|step| &step.edges);
            let tokens = segment.tokens.iter().map(|(end, _)| end);
            head.into_iter()
                .chain(tokens)
                .chain(&segment.signals)
                .chain(out)
        })
    }

    /// The workers that it has edges with.
    pub(crate) fn workers(&self) -> BTreeSet<u64> {
        let workers = self.ends().filter_map(|end| match end.far {
            FarEnd::Worker(worker) => Some(worker),
            _ => None,
        });
        workers.collect()
    }

    /// The actors that it names.
    pub(crate) fn actors(&self) -> impl Iterator<Item = u32> {
        let steps = self.segments.iter().flat_map(|segment| &segment.steps);
        steps.filter_map(|step| step.actor)
    }
}
