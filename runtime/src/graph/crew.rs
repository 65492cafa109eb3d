//! The actors of a compiled graph, as its end, its errors and its death need them.
//!
//! - CW-1 each has a handle here until the graph goes, so it can be looked at from any thread. A graph that
//!   goes while a scheduler still has something of it keeps them until that is gone.

use crate::actor::address::HeldCore;
use crate::actor::core::ActorCore;
use crate::error::Error;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// See the module's page.
pub(crate) struct Crew(Mutex<Vec<HeldCore>>);

impl Crew {
    pub(crate) fn new(actors: Vec<HeldCore>) -> Self {
        Self(Mutex::new(actors))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<HeldCore>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the first of them died that did.
    pub(crate) fn death(&self) -> Option<Error> {
        self.lock().iter().find_map(|actor| actor.core().death())
    }

    /// Ends all of them.
    pub(crate) fn kill(&self) {
        // Whoever hears of a death looks through the graph's actors.
        let actors: Vec<HeldCore> = self.lock().iter().map(HeldCore::again).collect();
        for actor in &actors {
            ActorCore::kill(NonNull::from(actor.core()));
        }
    }

    /// The graph goes.
    pub(crate) fn let_go(&self) {
        let actors = std::mem::take(&mut *self.lock());
        drop(actors);
    }
}
