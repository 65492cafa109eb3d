//! The compiled graphs of a node: an actor's death and the shutdown end those they concern.

use super::core::Core;
use crate::error::Error;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// See the module's page.
#[derive(Default)]
pub(crate) struct Graphs {
    live: Mutex<Vec<Weak<Core>>>,
}

impl Graphs {
    pub(crate) fn add(&self, core: &Arc<Core>) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.retain(|core| core.strong_count() > 0);
        live.push(Arc::downgrade(core));
    }

    fn all(&self) -> Vec<Arc<Core>> {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.iter().filter_map(Weak::upgrade).collect()
    }

    /// Ends the graphs of dead actors.
    pub(crate) fn actor_died(&self) {
        for core in self.all() {
            core.check_actors();
        }
    }

    /// The node shuts down.
    pub(crate) fn close_all(&self) {
        for core in self.all() {
            core.end(Error::ShutDown {
                what: "a compiled graph".into(),
            });
        }
    }
}
