//! What one scheduler of the driver polls for those who wait for results that another process sends
//! (RR-1).
#![allow(unsafe_code, reason = "names words of its own")]

use super::ringer::Waiting;
use crate::executor::local::Local;
use crate::executor::sources::{Probes, Source};
use crate::graph::core::Core;
use maser_shm::channel::Probe;
use maser_shm::sync::atomic::Ordering;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

/// See the module's page.
pub(crate) struct Bell {
    core: Arc<Core>,
    words: Waiting,
    seen: Cell<u64>,
}

impl Bell {
    pub(crate) fn new(core: Arc<Core>, words: Waiting) -> Self {
        Self {
            core,
            words,
            seen: Cell::new(0),
        }
    }
}

// SAFETY: the words are in memory that it keeps mapped.
unsafe impl Source for Bell {
    fn idle(&self) -> Option<Probes> {
        let seen = self.seen.get();
        let rung = self.words.rung.load(Ordering::Acquire);
        (rung == seen).then(|| Probes::one(Probe::new(&self.words.rung, seen)))
    }

    fn serve(self: Rc<Self>, _: &Local) -> bool {
        let rung = self.words.rung.load(Ordering::Acquire);
        let has_rung = rung != self.seen.replace(rung);
        if has_rung {
            self.core.results_were_sent();
        }
        has_rung
    }

    fn belongs_to(&self, graph: u64) -> bool {
        self.core.id == graph
    }
}
