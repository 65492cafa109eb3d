//! The lanes of one scheduler to the others, made at their first call.

use super::lane::Question;
use super::lane_out::{LaneOut, NONE};
use crate::executor::local::Local;
use std::cell::OnceCell;
use std::sync::Arc;

/// The caller's ends, by the callee's index.
pub(crate) struct Lanes(Vec<OnceCell<Arc<LaneOut>>>);

impl Lanes {
    pub(crate) fn new(schedulers: usize) -> Self {
        Self((0..schedulers).map(|_| OnceCell::new()).collect())
    }

    /// Sends a question to scheduler `index`.
    #[inline(always)]
    pub(crate) fn send(&self, local: &Local, index: usize, question: Question) {
        let lane = match self.0.get(index).map(OnceCell::get) {
            Some(Some(lane)) => lane,
            Some(None) => self.open(local, index),
            None => return crate::worker::remote::send_question(local, question),
        };
        lane.send(local, question);
    }

    #[cold]
    fn open(&self, local: &Local, index: usize) -> &Arc<LaneOut> {
        self.0[index].get_or_init(|| LaneOut::open(local, &local.node.schedulers()[index]))
    }

    /// Takes the answers that are there from the lane to `index`. Not inlined, so that whoever
    /// might have to and need not pays nothing.
    #[inline(never)]
    pub(crate) fn harvest(&self, local: &Local, index: usize) {
        match self.0.get(index) {
            Some(lane) => {
                if let Some(lane) = lane.get() {
                    lane.harvest();
                }
            }
            None => crate::worker::remote::harvest(local, index),
        }
    }

    /// Whether any call is in flight.
    pub(crate) fn in_flight(&self) -> bool {
        let mut open = self.0.iter().filter_map(OnceCell::get);
        open.any(|lane| lane.oldest() != NONE)
    }
}
