//! The worker's ends of a graph that another process drives, where the types of values are known.

use super::load::Load;
use crate::error::Outcome;
use crate::graph::handle::inlet::{FarArrivals, Inlet};
use crate::graph::remote::ports::{NodeCodec, Wire};
use crate::graph::results::Arrivals;
use crate::graph::slot::GraphValue;
use std::sync::{Arc, Mutex, PoisonError};

/// The inputs of the run that is being submitted, under the core's lock.
#[derive(Clone, Default)]
pub(crate) struct Tray(Arc<Mutex<Vec<Load>>>);

impl Tray {
    fn put(&self, load: Load) {
        let mut loads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loads.push(load);
    }

    /// All of them.
    pub(super) fn take(&self) -> Vec<Load> {
        let mut loads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *loads)
    }
}

/// Packs one input of each run.
pub(crate) struct RelayedPort<T> {
    tray: Tray,
    wire: Wire<T>,
}

impl<T: GraphValue> RelayedPort<T> {
    pub(crate) fn new(tray: Tray, codec: NodeCodec) -> Self {
        Self {
            tray,
            wire: Wire::new(codec),
        }
    }

    pub(crate) fn send(&mut self, outcome: &Outcome<T>) {
        let load = Load::of(self.wire.pack(outcome));
        self.wire.packed().was_read();
        self.tray.put(load);
    }
}

/// The results of a node, which come as loads.
pub(crate) fn relayed<T: GraphValue>(
    inlet: Arc<Inlet<Load>>,
    codec: NodeCodec,
) -> Box<dyn Arrivals<T>> {
    let mut wire = Wire::<T>::new(codec);
    let open = move |load: Load| {
        *wire.packed() = load.0;
        let outcome = wire.value("another process");
        wire.packed().was_read();
        outcome
    };
    Box::new(FarArrivals::new(inlet, open))
}
