//! The compiled graphs of a node: an actor's death and the shutdown end those they concern.
//!
//! - GR-1 a graph is added or refused under the lock under which the shutdown closes the list, so
//!   that none is missed: either the shutdown ends it, or whoever compiles it does.
//! - GR-2 a graph that is over is kept until nothing of it is left in any process, also when nobody
//!   waited for that: what came late goes back then.

use super::core::Core;
use crate::error::Error;
use crate::worker::peer::Peer;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// See the module's page.
#[derive(Default)]
pub(crate) struct Graphs(Mutex<State>);

#[derive(Default)]
struct State {
    live: Vec<Weak<Core>>,
    /// GR-2.
    over: Vec<Arc<Core>>,
    is_closed: bool,
}

impl State {
    fn all(&self) -> Vec<Arc<Core>> {
        self.live.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Graphs {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False if the node shuts down: the graph is the caller's to end (GR-1).
    #[must_use]
    pub(crate) fn add(&self, core: &Arc<Core>) -> bool {
        let mut state = self.lock();
        if state.is_closed {
            return false;
        }
        state.live.retain(|core| core.strong_count() > 0);
        state.live.push(Arc::downgrade(core));
        true
    }

    /// It is over, and parts of it are in other processes (GR-2).
    pub(crate) fn keep(&self, core: &Arc<Core>) {
        self.lock().over.push(core.clone());
    }

    /// Nothing is left of it (GR-2).
    pub(crate) fn let_go(&self, id: u64) {
        let gone = {
            let mut state = self.lock();
            let at = state.over.iter().position(|core| core.id == id);
            at.map(|at| state.over.swap_remove(at))
        };
        drop(gone);
    }

    /// Ends the graphs of dead actors.
    pub(crate) fn actor_died(&self) {
        let all = self.lock().all();
        for core in all {
            core.check_actors();
        }
    }

    /// The graph of this number, if it is there.
    pub(crate) fn find(&self, id: u64) -> Option<Arc<Core>> {
        self.lock().all().into_iter().find(|core| core.id == id)
    }

    /// A process has ended: nothing of any graph is left in it.
    pub(crate) fn peer_is_gone(&self, peer: &Peer) {
        let all = self.lock().all();
        for core in all {
            core.peer_is_gone(peer);
        }
    }

    /// Something came that results of any graph may have waited for.
    pub(crate) fn has_news(&self) {
        let all = self.lock().all();
        for core in all {
            core.results_were_sent();
        }
    }

    /// The node shuts down.
    pub(crate) fn close_all(&self) {
        let all = {
            let mut state = self.lock();
            state.is_closed = true;
            state.all()
        };
        for core in all {
            core.end(shut_down());
        }
    }
}

/// What a graph of a node that shuts down says.
pub(super) fn shut_down() -> Error {
    Error::ShutDown {
        what: "a compiled graph".into(),
    }
}
