//! The groups of a node: an actor's death and the shutdown end those they concern.

use super::core::GroupCore;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// See the module's page.
#[derive(Default)]
pub(crate) struct Groups(Mutex<State>);

#[derive(Default)]
struct State {
    groups: BTreeMap<u64, Arc<GroupCore>>,
    is_closed: bool,
}

impl Groups {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False if the node shuts down.
    #[must_use]
    pub(crate) fn add(&self, core: &Arc<GroupCore>) -> bool {
        let mut state = self.lock();
        if !state.is_closed {
            state.groups.insert(core.id, core.clone());
        }
        !state.is_closed
    }

    pub(crate) fn remove(&self, id: u64) {
        let gone = self.lock().groups.remove(&id);
        drop(gone);
    }

    /// The group of this number, if it was made in this process.
    pub(crate) fn find(&self, id: u64) -> Option<Arc<GroupCore>> {
        self.lock().groups.get(&id).cloned()
    }

    /// Ends the groups of dead actors.
    pub(crate) fn actor_died(&self) {
        let all: Vec<_> = self.lock().groups.values().cloned().collect();
        for core in all {
            core.check_members();
        }
    }

    /// The node shuts down.
    pub(crate) fn close_all(&self) {
        let all = {
            let mut state = self.lock();
            state.is_closed = true;
            std::mem::take(&mut state.groups)
        };
        for core in all.into_values() {
            core.close("maser was shut down");
        }
    }
}
