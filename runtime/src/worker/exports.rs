//! Actors of this process that another process made here or was given.
//!
//! - XP-1 an actor is known to its peer by a number that the peer chose (it made the actor). Calls
//!   come over several links, so one may come before the message that makes the actor: it is kept
//!   until then.
//! - XP-2 the handle that the peer's handles stand for is given back when the peer's last one is
//!   gone and every call that was sent before has come: the peer says how many there were.

use super::incoming::HeldActor;
use super::link::Link;
use super::message::Head;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A call that came before its actor: the link, the message, its body.
pub(super) type Early = (Arc<Link>, Head, Vec<u8>);

enum Exported {
    /// XP-1.
    Awaited(Vec<Early>),
    Here {
        actor: Arc<HeldActor>,
        /// Calls that came.
        came: u64,
        /// XP-2: how many there are in all, once it is known.
        all: Option<u64>,
    },
    /// It could not be made.
    Failed,
}

/// See the module's page.
#[derive(Default)]
pub(crate) struct Exports(Mutex<HashMap<u64, Exported>>);

impl Exports {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Exported>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The actor of this number, if it is here.
    pub(super) fn find(&self, number: u64) -> Option<Arc<HeldActor>> {
        match self.lock().get(&number) {
            Some(Exported::Here { actor, .. }) => Some(actor.clone()),
            _ => None,
        }
    }

    /// XP-1.
    pub(super) fn keep_early(&self, number: u64, link: Arc<Link>, head: Head, body: &[u8]) {
        let mut exports = self.lock();
        let awaited = exports
            .entry(number)
            .or_insert(Exported::Awaited(Vec::new()));
        if let Exported::Awaited(early) = awaited {
            early.push((link, head, body.to_vec()));
        }
    }

    /// The actor was made, or not; gives the calls that waited for it.
    pub(super) fn add(&self, number: u64, made: Option<HeldActor>) -> Vec<Early> {
        let made = match made {
            Some(actor) => Exported::Here {
                actor: Arc::new(actor),
                came: 0,
                all: None,
            },
            None => Exported::Failed,
        };
        match self.lock().insert(number, made) {
            Some(Exported::Awaited(early)) => early,
            _ => Vec::new(),
        }
    }

    /// A call of it was made here (XP-2).
    pub(super) fn was_called(&self, number: u64) {
        let mut exports = self.lock();
        if let Some(Exported::Here { came, .. }) = exports.get_mut(&number) {
            *came += 1;
        }
        self.settle(exports, number);
    }

    /// XP-2.
    pub(super) fn last_handle_is_gone(&self, number: u64, calls: u64) {
        let mut exports = self.lock();
        if let Some(Exported::Here { all, .. }) = exports.get_mut(&number) {
            *all = Some(calls);
        }
        self.settle(exports, number);
    }

    fn settle(&self, mut exports: MutexGuard<'_, HashMap<u64, Exported>>, number: u64) {
        let over = match exports.get(&number) {
            Some(Exported::Here { came, all, .. }) => all.is_some_and(|all| *came >= all),
            _ => false,
        };
        let gone = if over { exports.remove(&number) } else { None };
        drop(exports);
        drop(gone);
    }

    /// Whether nothing of this process is held by others.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// The peer is dead: its handles are gone.
    pub(super) fn clear(&self) {
        let exports = std::mem::take(&mut *self.lock());
        drop(exports);
    }
}
