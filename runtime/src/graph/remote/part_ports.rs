//! The ends of a worker's segments: edges into slots, and slots into edges.

use super::edge::{EdgeReceiver, EdgeSender};
use super::packet::Packed;
use super::step::PackedSlot;
use crate::executor::sources::Probes;
use crate::graph::observe::progress::Progress;
use crate::graph::segment::{Edges, Head};
use crate::graph::slot::{InPort, OutPort};
use maser_shm::channel::Probe;
use std::sync::Arc;

/// Runs that come over edges, and the slots that they go through.
pub(super) struct PartEdges {
    pub(super) edges: Edges,
    pub(super) slots: Vec<Arc<PackedSlot>>,
    /// What the driver sees of the segment (SN-5).
    pub(super) shown: Progress,
}

impl Head for PartEdges {
    #[inline]
    fn idle(&self) -> Option<Probes> {
        self.edges.idle()
    }

    #[inline]
    fn try_load(&mut self) -> bool {
        self.edges.try_load()
    }

    #[inline]
    fn finish(&mut self) {
        for slot in &self.slots {
            slot.with(Packed::was_read);
        }
        self.shown.end();
    }
}

#[repr(align(128))]
pub(super) struct PartIn {
    pub(super) edge: EdgeReceiver,
    pub(super) slot: Arc<PackedSlot>,
}

impl InPort for PartIn {
    #[inline]
    fn idle(&self) -> Option<Probe> {
        self.edge.idle()
    }

    #[inline]
    fn load(&mut self) -> bool {
        self.slot.with(|slot| self.edge.take(slot))
    }
}

#[repr(align(128))]
pub(super) struct PartOut {
    pub(super) edge: EdgeSender,
    pub(super) slot: Arc<PackedSlot>,
}

impl OutPort for PartOut {
    #[inline]
    fn send(&mut self) {
        self.edge.send(self.slot.get());
    }
}
