//! What was measured of a graph, as whoever asks finds it: memory that its segments write, here and in
//! other processes.

use super::driver_watch::DriverWatch;
use super::events::Ring;
use super::tally::Tally;
use crate::graph::schedule::ScheduledEdge;
use crate::worker::peer::Peer;
use std::sync::Arc;

/// The times of one step.
pub(crate) struct StepGauge {
    pub(crate) node: usize,
    pub(crate) compute: Tally,
}

/// The times of one edge.
pub(crate) struct EdgeGauge {
    pub(crate) edge: ScheduledEdge,
    pub(crate) tally: Tally,
}

/// The events of one scheduler.
pub(crate) struct RingOf {
    pub(crate) ring: Ring,
    /// Of this process.
    pub(crate) scheduler: Option<usize>,
    /// Another one.
    pub(crate) process: Option<Arc<Peer>>,
}

/// See the module's page.
pub(crate) struct Board {
    pub(crate) driver: Option<Arc<DriverWatch>>,
    pub(crate) steps: Vec<StepGauge>,
    pub(crate) edges: Vec<EdgeGauge>,
    pub(crate) rings: Vec<RingOf>,
}

impl Board {
    pub(crate) fn new(driver: Option<Arc<DriverWatch>>) -> Self {
        Self {
            driver,
            steps: Vec::new(),
            edges: Vec::new(),
            rings: Vec::new(),
        }
    }
}
