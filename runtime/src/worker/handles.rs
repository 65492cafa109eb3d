//! Refs and handles of actors inside values that go to another process (see `parcel`).
//!
//! A value that is there travels in the place of its ref. One that is to come travels as a number:
//! the process that gets it asks for it at once, and keeps a copy. A handle of an actor travels as
//! the number under which its process knows it; a process that is neither the actor's nor the
//! sender's reaches it through the sender.
#![allow(unsafe_code, reason = "counted pointers to cells and blocks of actors")]

use super::exports::OWN;
use super::incoming::{Answer, HeldActor};
use super::message::{Head, Kind};
use super::parcel::Thing;
use super::peer::Peer;
use super::remote::Remote;
use super::wire_error;
use crate::actor::core::ActorCore;
use crate::actor::handle::{Actor, ActorType};
use crate::error::{Error, Fault, Outcome};
use crate::executor::local::Local;
use crate::node::Node;
use crate::object::reference::{Promise, Ref};
use crate::object::{codec, scope};
use crate::task::meta::Meta;
use serde::{Deserialize, Serialize};
use std::any::TypeId;
use std::ptr::NonNull;
use std::sync::Arc;

/// A ref, as it is written.
#[derive(Serialize)]
enum RefOut<'a, T> {
    Ready(&'a T),
    Failed(Vec<u8>),
    Pending(u64),
}

/// A ref, as it is read.
#[derive(Deserialize)]
enum RefIn<T> {
    Ready(T),
    Failed(Vec<u8>),
    Pending(u64),
}

/// A value that is to come.
struct Pending {
    number: u64,
    value: Arc<Answer>,
}

impl Thing for Pending {
    fn give(&self, peer: &Arc<Peer>, _: &Local) {
        peer.exports().promise(self.number, &self.value);
    }
}

/// Writes a ref; what it refers to goes into `things`.
pub(crate) fn write_ref<T: crate::Value, S: serde::Serializer>(
    value: &Ref<T>,
    things: impl FnOnce(Box<dyn Thing>),
    serializer: S,
) -> Result<S::Ok, S::Error> {
    if value.is_ready() {
        return match value.outcome_ref() {
            Ok(value) => RefOut::Ready(value).serialize(serializer),
            Err(fault) => RefOut::<T>::Failed(wire_error::encode(&fault.0)).serialize(serializer),
        };
    }
    let number = Node::current("sending a ref").map_or(0, |node| node.random.next_u64());
    things(Box::new(Pending {
        number,
        value: Arc::new(Answer::of(value.clone())),
    }));
    RefOut::<T>::Pending(number).serialize(serializer)
}

/// Reads a ref that came from `peer`.
pub(crate) fn read_ref<'de, T: crate::Value, D: serde::Deserializer<'de>>(
    peer: &Arc<Peer>,
    deserializer: D,
) -> Result<Ref<T>, D::Error> {
    Ok(match RefIn::<T>::deserialize(deserializer)? {
        RefIn::Ready(value) => Ref::done(Ok(value)),
        RefIn::Failed(bytes) => Ref::done(Err(Fault::new(wire_error::decode(&bytes)))),
        RefIn::Pending(number) => ask_for(peer, number),
    })
}

/// What completes a value that another process gives.
type Arrive = Box<dyn FnOnce(Outcome<&[u8]>) + Send>;

/// A value that another process will give.
pub(super) struct Awaited {
    /// Completes it with the value's bytes, or with an error.
    pub(super) arrive: Arrive,
}

fn ask_for<T: crate::Value>(peer: &Arc<Peer>, number: u64) -> Ref<T> {
    let (promise, value) = Promise::<T>::new();
    let arrive = move |bytes: Result<&[u8], Fault>| {
        let outcome = bytes.and_then(|mut bytes| {
            codec::read::<T>(&mut bytes).map_err(|problem| {
                Fault::new(scope::explained(Error::NotPortable {
                    function: "a ref".into(),
                    value: "its value".into(),
                    problem,
                }))
            })
        });
        promise.fulfil(outcome);
    };
    let awaited = Awaited {
        arrive: Box::new(arrive),
    };
    let head = Head {
        kind: Kind::Ask,
        flag: 0,
        a: number,
        b: 0,
    };
    peer.await_value(number, awaited, (head, Vec::new()));
    value
}

/// A handle of an actor, as it travels.
#[derive(Serialize, Deserialize)]
struct WireActor {
    /// The process in which it lives, if that is not the sender's.
    home: Option<u64>,
    /// Its number there.
    at_home: u32,
    /// Its number in the sender's process.
    number: u32,
    /// The scheduler of the sender's process to call.
    there: u32,
}

/// A handle that is sent.
struct Sent {
    number: u32,
    actor: Arc<HeldActor>,
    /// Its process when it was written, if that is another one.
    home: Option<u64>,
}

impl Thing for Sent {
    fn give(&self, peer: &Arc<Peer>, _: &Local) {
        // SAFETY: AC-1, our handle.
        let core = unsafe { self.actor.core().as_ref() };
        match &core.remote {
            // It comes home: as if it were a call of it.
            Some(remote) if self.home == Some(peer.id) => remote.count_call(),
            _ => peer.exports().give(self.number, &self.actor),
        }
    }
}

/// Writes a handle; the actor goes into `things`.
pub(crate) fn write_actor<A: ActorType, S: serde::Serializer>(
    actor: &Actor<A>,
    things: impl FnOnce(Box<dyn Thing>),
    serializer: S,
) -> Result<S::Ok, S::Error> {
    write_held(&Arc::new(HeldActor::of(actor)), things, serializer)
}

/// As [`write_actor`], of an actor whose class is not known.
pub(crate) fn write_held<S: serde::Serializer>(
    actor: &Arc<HeldActor>,
    things: impl FnOnce(Box<dyn Thing>),
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let core = actor.block();
    let number = core.node.workers.number() | OWN;
    let (home, at_home, there) = match &core.remote {
        Some(remote) => {
            let (peer, number) = remote.now();
            (Some(peer.id), number, 0)
        }
        None => (None, 0, core.home),
    };
    things(Box::new(Sent {
        number,
        actor: actor.clone(),
        home,
    }));
    let wire = WireActor {
        home,
        at_home,
        number,
        there: there as u32,
    };
    wire.serialize(serializer)
}

/// Reads a handle that came from `peer`.
pub(crate) fn read_actor<'de, A: ActorType, D: serde::Deserializer<'de>>(
    peer: &Arc<Peer>,
    deserializer: D,
) -> Result<Actor<A>, D::Error> {
    use serde::de::Error as _;
    let wire = WireActor::deserialize(deserializer)?;
    if let Some(found) = wire.came_home(peer).map_err(D::Error::custom)? {
        // SAFETY: AC-1, the handle found.
        let core = unsafe { found.core().as_ref() };
        if core.class != TypeId::of::<A>() {
            return Err(D::Error::custom(
                "the actor that came home is of another class",
            ));
        }
        core.retain();
        // SAFETY: an actor of class `A`; the handle just taken.
        return Ok(unsafe { Actor::from_core(found.core()) });
    }
    let core = wire
        .proxy(peer, A::META, TypeId::of::<A>())
        .map_err(D::Error::custom)?;
    // SAFETY: a block of class `A` and a handle of it that is ours.
    Ok(unsafe { Actor::from_core(core) })
}

/// The class of actors of which nothing more is known here.
struct Stranger;

/// As [`read_actor`], of an actor whose class is not known.
pub(crate) fn read_held<'de, D: serde::Deserializer<'de>>(
    peer: &Arc<Peer>,
    deserializer: D,
) -> Result<Arc<HeldActor>, D::Error> {
    use serde::de::Error as _;
    static META: Meta = Meta::plain("actor");
    let wire = WireActor::deserialize(deserializer)?;
    if let Some(found) = wire.came_home(peer).map_err(D::Error::custom)? {
        return Ok(found);
    }
    let core = wire
        .proxy(peer, &META, TypeId::of::<Stranger>())
        .map_err(D::Error::custom)?;
    // SAFETY: a handle that is ours.
    Ok(Arc::new(unsafe { HeldActor::from_core(core) }))
}

impl WireActor {
    /// The actor, if it is one that `peer` has from this process.
    fn came_home(&self, peer: &Arc<Peer>) -> Result<Option<Arc<HeldActor>>, &'static str> {
        // Of a pair of processes both know the other by the same number.
        if self.home != Some(peer.id) {
            return Ok(None);
        }
        let found = peer.exports().find(self.at_home);
        peer.exports().was_called(self.at_home);
        found.map(Some).ok_or("the actor that came home has ended")
    }

    /// What stands here for an actor of `peer`'s; a handle of it goes to the caller.
    fn proxy(
        &self,
        peer: &Arc<Peer>,
        meta: &'static Meta,
        class: TypeId,
    ) -> Result<NonNull<ActorCore>, String> {
        let there = self.there as usize;
        if there >= peer.schedulers() {
            return Err("the actor is on a scheduler that there is not".into());
        }
        let node = Node::current("receiving an actor").map_err(|error| error.to_string())?;
        Ok(peer.proxy(self.number, class).unwrap_or_else(|| {
            let remote = Remote::received(peer.clone(), there, self.number);
            ActorCore::of_class(node, (meta, class), 0, None, 0, None, Some(remote))
        }))
    }
}

/// Whether `core` stands for the actor `number` of its process, of class `class`; takes a handle.
pub(super) fn stands_for(core: NonNull<ActorCore>, number: u32, class: TypeId) -> bool {
    // SAFETY: the caller keeps the block from being freed.
    let block = unsafe { core.as_ref() };
    let is_it = block.class == class
        && block
            .remote
            .as_ref()
            .is_some_and(|remote| remote.number == number);
    if is_it && block.try_retain() {
        if let Some(remote) = &block.remote {
            remote.count_handle();
        }
        return true;
    }
    false
}
