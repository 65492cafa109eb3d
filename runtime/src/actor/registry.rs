//! Named actors of the node.
//!
//! The driver's table has all names: those of its own actors, and for those of actors that a worker
//! made, the worker (`worker/errand.rs`). A worker's table has the names that it claimed.
#![allow(unsafe_code, reason = "takes handles of blocks that are registered")]

use super::address::SendCore;
use super::core::ActorCore;
use super::handle::{Actor, ActorType};
use crate::error::{Error, Result};
use crate::node::Node;
use crate::object::reference::Ref;
use crate::worker::errand::{self, Claim, Errand};
use crate::worker::peer::Peer;
use crate::worker::registry::place_of;
use std::any::TypeId;
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Who has a name.
enum Holder {
    /// A block of this process, and in a worker what the driver knows of it.
    Here(SendCore, Option<Claim>),
    /// An actor that another process made; the number of its claim.
    There(Arc<Peer>, u64),
}

/// Names and the actors that have them. A name is taken off before its block is freed, under the
/// same lock, so a registered block is alive.
#[derive(Default)]
pub(crate) struct Names {
    actors: Mutex<BTreeMap<String, Holder>>,
}

/// Where the actor of a name is.
enum Found {
    /// Here; with a handle.
    Here(NonNull<ActorCore>),
    /// In the care of another process.
    There(Arc<Peer>),
}

/// Why a name leads nowhere.
enum Missing {
    /// Nobody has it; these names are there.
    Unknown(Vec<String>),
    /// An actor of this class has it.
    OtherClass(&'static str),
}

fn taken(name: &str) -> Error {
    Error::ActorNameTaken { name: name.into() }
}

impl Names {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Holder>> {
        self.actors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the name free for an actor that is about to be made, in the whole node; in a worker
    /// it waits for the driver.
    ///
    /// # Errors
    /// [`Error::ActorNameTaken`], or what stands in the way of waiting.
    pub(crate) fn reserve(&self, node: &Arc<Node>, name: &str) -> Result<Option<Claim>> {
        let gone = {
            let mut actors = self.lock();
            if is_held(actors.get(name)) {
                return Err(taken(name));
            }
            // The claim of an actor without handles goes before the next one.
            actors.remove(name)
        };
        drop(gone);
        let membership = node.workers.membership();
        membership.map_or(Ok(None), |worker| {
            Claim::of(node, &worker.driver, name).map(Some)
        })
    }

    /// Gives `core` the name, which an actor without handles loses.
    ///
    /// # Errors
    /// [`Error::ActorNameTaken`].
    pub(crate) fn add(
        &self,
        name: &str,
        core: NonNull<ActorCore>,
        claim: Option<Claim>,
    ) -> Result<()> {
        let mut actors = self.lock();
        if is_held(actors.get(name)) {
            drop(actors);
            drop(claim);
            return Err(taken(name));
        }
        let holder = Holder::Here(SendCore::new(core), claim);
        let before = actors.insert(name.to_owned(), holder);
        drop(actors);
        drop(before);
        Ok(())
    }

    /// Takes the name off `core`, if it has it.
    pub(crate) fn remove(&self, name: &str, core: NonNull<ActorCore>) {
        let mut actors = self.lock();
        let has = actors.get(name);
        let gone = match has {
            Some(Holder::Here(have, _)) if have.get() == core => actors.remove(name),
            _ => None,
        };
        drop(actors);
        drop(gone);
    }

    /// The last handle of `core` is gone: in a worker, the others have to know now (ER-2).
    pub(crate) fn is_let_go(&self, name: &str, core: NonNull<ActorCore>) {
        let mut actors = self.lock();
        let claim = match actors.get_mut(name) {
            Some(Holder::Here(have, claim)) if have.get() == core => claim.take(),
            _ => None,
        };
        drop(actors);
        drop(claim);
    }

    /// Gives the name to an actor that `peer` is about to make.
    ///
    /// # Errors
    /// [`Error::ActorNameTaken`].
    pub(crate) fn claim(&self, name: &str, peer: &Arc<Peer>, token: u64) -> Result<()> {
        let mut actors = self.lock();
        // ER-3.
        if is_held(actors.get(name)) || peer.death().is_some() {
            return Err(taken(name));
        }
        let before = actors.insert(name.to_owned(), Holder::There(peer.clone(), token));
        drop(actors);
        drop(before);
        Ok(())
    }

    /// A claim is given back.
    pub(crate) fn unclaim(&self, name: &str, token: u64) {
        let mut actors = self.lock();
        let has = actors.get(name);
        if has.is_some_and(|holder| matches!(holder, Holder::There(_, its) if *its == token)) {
            actors.remove(name);
        }
    }

    /// ER-3.
    pub(crate) fn peer_is_gone(&self, peer: &Arc<Peer>) {
        self.lock()
            .retain(|_, holder| !matches!(holder, Holder::There(of, _) if Arc::ptr_eq(of, peer)));
    }

    /// A new handle of the actor of type `class` with this name, or who has it.
    fn find(&self, name: &str, class: TypeId) -> std::result::Result<Found, Missing> {
        let actors = self.lock();
        let core = match actors.get(name) {
            None => return Err(unknown(&actors)),
            Some(Holder::There(peer, _)) => return Ok(Found::There(peer.clone())),
            Some(Holder::Here(core, _)) => core.get(),
        };
        // SAFETY: registered, hence alive while we have the lock.
        let block = unsafe { core.as_ref() };
        if !block.has_handles() {
            return Err(unknown(&actors));
        }
        if block.class != class {
            return Err(Missing::OtherClass(block.meta.name));
        }
        if !block.try_retain() {
            return Err(unknown(&actors));
        }
        Ok(Found::Here(core))
    }
}

/// Whether the name is in use. An actor without handles is on its way to its end, and its name is
/// free.
fn is_held(holder: Option<&Holder>) -> bool {
    match holder {
        None => false,
        Some(Holder::There(..)) => true,
        // SAFETY: registered, hence alive while the caller has the lock.
        Some(Holder::Here(core, _)) => unsafe { core.get().as_ref() }.has_handles(),
    }
}

/// The names under which an actor can be found.
fn unknown(actors: &BTreeMap<String, Holder>) -> Missing {
    let held = actors.iter().filter(|(_, holder)| is_held(Some(holder)));
    Missing::Unknown(held.map(|(name, _)| name.clone()).collect())
}

/// The actor of class `A` with this name, as far as this process knows.
///
/// # Errors
/// [`Error::ActorNotFound`].
pub(crate) fn look<A: ActorType>(node: &Arc<Node>, name: &str) -> Result<Ref<Actor<A>>> {
    let missing = match node.names.find(name, TypeId::of::<A>()) {
        // SAFETY: `find` checked the class and took a handle for us.
        Ok(Found::Here(core)) => return Ok(Ref::done(Ok(unsafe { Actor::from_core(core) }))),
        Ok(Found::There(peer)) => return Ok(ask::<A>(node, &peer, name)),
        Err(missing) => missing,
    };
    let hint = match missing {
        Missing::Unknown(names) if names.is_empty() => "; no actor has a name".into(),
        Missing::Unknown(names) => format!("; there are {}", names.join(", ")),
        Missing::OtherClass(class) => format!(
            " of class {}; the one there is of class {class}",
            A::META.name
        ),
    };
    let name = name.into();
    Err(Error::ActorNotFound { name, hint })
}

/// Asks another process for it.
fn ask<A: ActorType>(node: &Node, peer: &Arc<Peer>, name: &str) -> Ref<Actor<A>> {
    match A::META.entry {
        Some(entry) => {
            let class = place_of(entry);
            let name = name.to_owned();
            errand::ask(node, peer, &Errand::Find { class, name })
        }
        None => Ref::done(Err(crate::error::Fault::new(Error::ActorNotFound {
            name: name.into(),
            hint: format!(
                " in this process, which `local` actors such as {} do not leave",
                A::META.name
            ),
        }))),
    }
}

/// The actor of class `A` with this name, wherever in the node it is.
///
/// # Errors
/// [`Error::ActorNotFound`], or what stands in the way of waiting.
pub(crate) fn find<A: ActorType>(node: &Arc<Node>, name: &str) -> Result<Actor<A>> {
    let here = look::<A>(node, name);
    let found = match (here, node.workers.membership()) {
        (Err(Error::ActorNotFound { .. }), Some(worker)) => ask::<A>(node, &worker.driver, name),
        (here, _) => here?,
    };
    found.get().map_err(|error| match error {
        Error::ObjectLost { .. } => Error::ActorNotFound {
            name: name.into(),
            hint: "; the process that had it has ended".into(),
        },
        error => error,
    })
}
