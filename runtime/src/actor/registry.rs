//! Named actors of the node.
#![allow(unsafe_code, reason = "takes handles of blocks that are registered")]

use super::address::SendCore;
use super::core::ActorCore;
use std::any::TypeId;
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Names and the actors that have them. A name is taken off before its block is freed, under the
/// same lock, so a registered block is alive.
#[derive(Default)]
pub(crate) struct Names {
    actors: Mutex<BTreeMap<String, SendCore>>,
}

/// Why a name leads nowhere.
pub(crate) enum Missing {
    /// Nobody has it; these names are there.
    Unknown(Vec<String>),
    /// An actor of this class has it.
    OtherClass(&'static str),
}

impl Names {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, SendCore>> {
        self.actors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an actor with handles has the name.
    pub(crate) fn is_taken(&self, name: &str) -> bool {
        is_held(self.lock().get(name))
    }

    /// Gives `core` the name, which an actor without handles loses; false if it is taken.
    pub(crate) fn add(&self, name: &str, core: NonNull<ActorCore>) -> bool {
        let mut actors = self.lock();
        if is_held(actors.get(name)) {
            return false;
        }
        actors.insert(name.to_owned(), SendCore::new(core));
        true
    }

    /// Takes the name off `core`, if it has it.
    pub(crate) fn remove(&self, name: &str, core: NonNull<ActorCore>) {
        let mut actors = self.lock();
        if actors.get(name).is_some_and(|have| have.get() == core) {
            actors.remove(name);
        }
    }

    /// A new handle of the actor of type `class` with this name.
    pub(crate) fn find(&self, name: &str, class: TypeId) -> Result<NonNull<ActorCore>, Missing> {
        let actors = self.lock();
        let Some(core) = actors.get(name) else {
            return Err(unknown(&actors));
        };
        // SAFETY: registered, hence alive while we have the lock.
        let block = unsafe { core.get().as_ref() };
        if !block.has_handles() {
            return Err(unknown(&actors));
        }
        if block.class != class {
            return Err(Missing::OtherClass(block.meta.name));
        }
        if !block.try_retain() {
            return Err(unknown(&actors));
        }
        Ok(core.get())
    }
}

/// Whether the actor has handles. One without is on its way to its end, and its name is free.
fn is_held(core: Option<&SendCore>) -> bool {
    // SAFETY: registered, hence alive while the caller has the lock.
    core.is_some_and(|core| unsafe { core.get().as_ref() }.has_handles())
}

/// The names under which an actor can be found.
fn unknown(actors: &BTreeMap<String, SendCore>) -> Missing {
    let held = actors.iter().filter(|(_, core)| is_held(Some(core)));
    Missing::Unknown(held.map(|(name, _)| name.clone()).collect())
}
