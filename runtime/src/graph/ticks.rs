//! Segments that read no input of the graph: the driver starts each of their runs.

use super::inputs::InputNodes;
use super::parcel::{Parcel, SubmitEdges, SubmitRun};
use super::remote::edge::EdgeSender;
use super::remote::packet::EMPTY;
use super::results::Refused;
use super::slot::InPort;
use crate::executor::shared::Shared;
use maser_shm::channel::Probe;
use maser_shm::channel::spsc::{LineReceiver, LineSender};
use std::sync::Arc;

/// Starts a segment that has no inputs.
pub(super) struct Tick(pub(super) LineReceiver<()>);

impl InPort for Tick {
    fn idle(&self) -> Option<Probe> {
        self.0.idle()
    }
    fn load(&mut self) -> bool {
        self.0.try_recv().is_ok()
    }
}

/// Starts one.
pub(super) type TickSender = LineSender<()>;

/// Submits over edges, and starts the segments that have no inputs.
pub(super) struct Submit<I: InputNodes> {
    pub(super) edges: SubmitEdges<I>,
    pub(super) ticks: Vec<(TickSender, Arc<Shared>)>,
    pub(super) far_ticks: Vec<EdgeSender>,
}

impl<I: InputNodes> SubmitRun<I> for Submit<I> {
    #[inline]
    fn submit(&mut self, run: u64, parcel: Parcel<I>, refused: &mut Refused) {
        self.edges.submit(run, parcel, refused);
        for (sender, target) in &mut self.ticks {
            // As deep as there may be runs in flight, so never full.
            let _sent = sender.try_send(());
            target.event.notify();
        }
        for edge in &mut self.far_ticks {
            edge.send_packet(EMPTY);
        }
    }

    fn fan_out(&self) -> Option<Box<[usize]>> {
        self.edges.fan_out()
    }

    fn spare(&mut self) -> Option<Box<I::Copies>> {
        self.edges.spare()
    }
}
