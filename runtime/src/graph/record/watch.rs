//! Steps and edges that say what was given, and a submitting end that says what begins.
//!
//! - WN-1 a segment runs one run at a time in the order in which they begin (SG-1), and an edge carries
//!   one value a run (SG-3). So whoever counts knows which run it is.

use super::hooks::Hooks;
use crate::executor::local::Local;
use crate::graph::inputs::InputNodes;
use crate::graph::parcel::{Parcel, SubmitRun};
use crate::graph::results::{Arrivals, Refused};
use crate::graph::segment::{Place, Step};
use crate::graph::slot::{GraphValue, InPort, Sent, ShowSlot};
use crate::node::Node;
use maser_shm::channel::Probe;
use std::any::Any;
use std::cell::Cell;
use std::sync::Arc;

/// Watches one node.
pub(crate) struct Watch {
    hooks: Arc<Hooks>,
    node: usize,
    /// The next run (WN-1).
    run: Cell<u64>,
}

impl Watch {
    pub(crate) fn new(hooks: &Arc<Hooks>, node: usize) -> Self {
        Self {
            hooks: hooks.clone(),
            node,
            run: Cell::new(0),
        }
    }

    /// Which run has just been, if anybody wants to know of it.
    fn wanted(&self) -> Option<u64> {
        let run = self.run.get();
        self.run.set(run + 1);
        self.hooks.is_active().then_some(run)
    }

    fn look_at(&self, slot: &(dyn Any + Send), show: ShowSlot) {
        if let Some(run) = self.wanted() {
            show(slot, &mut |outcome| {
                self.hooks.gave(run, self.node, outcome)
            });
        }
    }

    /// The step of the node, which fills `slot`.
    pub(crate) fn step(
        self,
        step: Box<dyn Step>,
        slot: Box<dyn Any + Send>,
        show: ShowSlot,
    ) -> Box<dyn Step> {
        Box::new(WatchedStep {
            step,
            slot,
            show,
            watch: self,
        })
    }

    /// An edge from the node, which runs elsewhere, to `slot`.
    pub(crate) fn port(
        self,
        port: Box<dyn InPort>,
        slot: Box<dyn Any + Send>,
        show: ShowSlot,
    ) -> Box<dyn InPort> {
        Box::new(WatchedPort {
            port,
            slot,
            show,
            watch: self,
        })
    }

    /// The results of the node, which runs elsewhere.
    pub(crate) fn arrivals<T: GraphValue>(
        self,
        arrivals: Box<dyn Arrivals<T>>,
    ) -> Box<dyn Arrivals<T>> {
        Box::new(WatchedArrivals {
            arrivals,
            watch: self,
        })
    }
}

struct WatchedStep {
    step: Box<dyn Step>,
    slot: Box<dyn Any + Send>,
    show: ShowSlot,
    watch: Watch,
}

impl Step for WatchedStep {
    fn run(&self, local: &Local, place: &Place) {
        self.step.run(local, place);
        // SG-4.
        if !place.removed.get() {
            self.watch.look_at(&*self.slot, self.show);
        }
    }
}

struct WatchedPort {
    port: Box<dyn InPort>,
    slot: Box<dyn Any + Send>,
    show: ShowSlot,
    watch: Watch,
}

impl InPort for WatchedPort {
    fn idle(&self) -> Option<Probe> {
        self.port.idle()
    }

    fn load(&mut self) -> bool {
        let is_here = self.port.load();
        if is_here {
            self.watch.look_at(&*self.slot, self.show);
        }
        is_here
    }
}

struct WatchedArrivals<T> {
    arrivals: Box<dyn Arrivals<T>>,
    watch: Watch,
}

impl<T: GraphValue> Arrivals<T> for WatchedArrivals<T> {
    fn idle(&self) -> Option<Probe> {
        self.arrivals.idle()
    }

    fn take(&mut self) -> Option<Sent<T>> {
        let sent = self.arrivals.take()?;
        if let Some(run) = self.watch.wanted() {
            let outcome = sent.get().as_ref().map(|value| value as &dyn Any);
            self.watch.hooks.gave(run, self.watch.node, outcome);
        }
        Some(sent)
    }
}

struct WatchedSubmit<I: InputNodes> {
    submit: Box<dyn SubmitRun<I>>,
    hooks: Arc<Hooks>,
    node: Arc<Node>,
}

/// A submitting end that says which runs begin, with which inputs (RD-1).
pub(crate) fn watched_submit<I: InputNodes>(
    hooks: &Arc<Hooks>,
    node: &Arc<Node>,
    submit: Box<dyn SubmitRun<I>>,
) -> Box<dyn SubmitRun<I>> {
    Box::new(WatchedSubmit {
        submit,
        hooks: hooks.clone(),
        node: node.clone(),
    })
}

impl<I: InputNodes> SubmitRun<I> for WatchedSubmit<I> {
    fn submit(&mut self, run: u64, parcel: Parcel<I>, refused: &mut Refused) {
        let now_ns = || self.node.clock.now_ns();
        self.hooks
            .begins(run, now_ns, |to| I::show(&parcel.values, to));
        self.submit.submit(run, parcel, refused);
    }

    fn fan_out(&self) -> Option<Box<[usize]>> {
        self.submit.fan_out()
    }

    fn spare(&mut self) -> Option<Box<I::Copies>> {
        self.submit.spare()
    }
}
