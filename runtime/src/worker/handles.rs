//! Refs and handles of actors inside values that go to another process (see `parcel`).
//!
//! A value that is there travels in the place of its ref. One that is to come travels as a number:
//! the process that gets it asks for it at once, and keeps a copy. A handle of an actor travels as
//! the number under which its process knows it; a process that is neither the actor's nor the
//! sender's reaches it through the sender.
#![allow(unsafe_code, reason = "counted pointers to cells and blocks of actors")]

use super::death::Death;
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
    let promise = || {
        let number = Node::current("sending a ref").map_or(0, |node| node.random.next_u64());
        things(Box::new(Pending {
            number,
            value: Arc::new(Answer::of(value.clone())),
        }));
        number
    };
    write_ref_as(value, promise, serializer)
}

/// Writes a ref: what it refers to, or its `number` if that is to come.
pub(super) fn write_ref_as<T: crate::Value, S: serde::Serializer>(
    value: &Ref<T>,
    number: impl FnOnce() -> u64,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    if !value.is_ready() {
        return RefOut::<T>::Pending(number()).serialize(serializer);
    }
    match value.outcome_ref() {
        Ok(value) => RefOut::Ready(value).serialize(serializer),
        Err(fault) => RefOut::<T>::Failed(wire_error::encode(&fault.0)).serialize(serializer),
    }
}

/// Reads a ref: what it refers to, or what `find` says that has this number.
pub(super) fn read_ref_as<'de, T: crate::Value, D: serde::Deserializer<'de>>(
    find: impl FnOnce(u64) -> Result<Ref<T>, String>,
    deserializer: D,
) -> Result<Ref<T>, D::Error> {
    use serde::de::Error as _;
    match RefIn::<T>::deserialize(deserializer)? {
        RefIn::Ready(value) => Ok(Ref::done(Ok(value))),
        RefIn::Failed(bytes) => Ok(Ref::done(Err(Fault::new(wire_error::decode(&bytes))))),
        RefIn::Pending(number) => find(number).map_err(D::Error::custom),
    }
}

/// Reads a ref that came from `peer`.
pub(crate) fn read_ref<'de, T: crate::Value, D: serde::Deserializer<'de>>(
    peer: &Arc<Peer>,
    deserializer: D,
) -> Result<Ref<T>, D::Error> {
    read_ref_as(|number| Ok(ask_for(peer, number)), deserializer)
}

/// What completes a value that another process gives.
type Arrive = Box<dyn FnOnce(Outcome<&[u8]>) + Send>;

/// A value that another process will give.
pub(super) struct Awaited {
    /// Completes it with the value's bytes, or with an error.
    pub(super) arrive: Arrive,
}

impl Awaited {
    /// The process that was to give it is dead.
    pub(super) fn does_not_come(self, death: &Death) {
        let reason = match death {
            Death::Process { who, how } => format!("its owner, {who}, {how}"),
            Death::ShutDown => "maser was shut down".into(),
        };
        let what = "a task or actor of another process".into();
        (self.arrive)(Err(Fault::new(Error::ObjectLost { what, reason })));
    }
}

/// Asks for a value that is to come.
pub(super) fn ask_for<T: crate::Value>(peer: &Arc<Peer>, number: u64) -> Ref<T> {
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WireActor {
    /// The process in which it lives, if that is not the sender's.
    pub(super) home: Option<u64>,
    /// Its number there.
    pub(super) at_home: u32,
    /// Its number in the sender's process.
    pub(super) number: u32,
    /// The scheduler of the sender's process to call.
    pub(super) there: u32,
}

/// A handle that is sent, and how it was written.
struct Sent(WireActor, Arc<HeldActor>);

impl Thing for Sent {
    fn give(&self, peer: &Arc<Peer>, _: &Local) {
        give_actor(peer, &self.0, &self.1);
    }
}

/// A handle goes to `peer` as it was written.
pub(super) fn give_actor(peer: &Arc<Peer>, wire: &WireActor, actor: &Arc<HeldActor>) {
    match &actor.block().remote {
        // It comes home: as if it were a call of it.
        Some(remote) if wire.home == Some(peer.id) => remote.count_call(),
        _ => peer.exports().give(wire.number, actor),
    }
}

/// A handle of this actor as it travels now.
pub(super) fn wire_of(core: &ActorCore) -> WireActor {
    let number = core.node.workers.number() | OWN;
    let (home, at_home, there) = match &core.remote {
        Some(remote) => {
            let (peer, number) = remote.now();
            (Some(peer.id), number, 0)
        }
        None => (None, 0, core.home),
    };
    WireActor {
        home,
        at_home,
        number,
        there: there as u32,
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
    let wire = wire_of(actor.block());
    things(Box::new(Sent(wire, actor.clone())));
    wire.serialize(serializer)
}

/// Reads a handle that came from `peer`.
pub(crate) fn read_actor<'de, A: ActorType, D: serde::Deserializer<'de>>(
    peer: &Arc<Peer>,
    deserializer: D,
) -> Result<Actor<A>, D::Error> {
    use serde::de::Error as _;
    let wire = WireActor::deserialize(deserializer)?;
    let opened = open_actor(peer, &wire);
    if opened.is_err() {
        wire.was_not_opened(peer);
    }
    opened.map_err(D::Error::custom)
}

/// The handle that `peer` gave, which is the caller's unless that is an error.
pub(super) fn open_actor<A: ActorType>(
    peer: &Arc<Peer>,
    wire: &WireActor,
) -> Result<Actor<A>, String> {
    if let Some(found) = wire.came_home(peer)? {
        let core = found.block();
        if core.class != TypeId::of::<A>() {
            return Err("the actor that came home is of another class".to_owned());
        }
        core.retain();
        // SAFETY: an actor of class `A`; the handle just taken.
        let actor = unsafe { Actor::from_core(found.core()) };
        peer.exports().was_called(wire.at_home);
        return Ok(actor);
    }
    let core = wire.proxy(peer, A::META, TypeId::of::<A>())?;
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
    let wire = WireActor::deserialize(deserializer)?;
    let opened = open_held(peer, &wire);
    if opened.is_err() {
        wire.was_not_opened(peer);
    }
    opened.map_err(D::Error::custom)
}

/// As [`open_actor`], of an actor whose class is not known.
pub(super) fn open_held(peer: &Arc<Peer>, wire: &WireActor) -> Result<Arc<HeldActor>, String> {
    static META: Meta = Meta::plain("actor");
    if let Some(found) = wire.came_home(peer)? {
        peer.exports().was_called(wire.at_home);
        return Ok(found);
    }
    let core = wire.proxy(peer, &META, TypeId::of::<Stranger>())?;
    // SAFETY: a handle that is ours.
    Ok(Arc::new(unsafe { HeldActor::from_core(core) }))
}

/// A handle of class `A` of an actor whose class was not known.
pub(super) fn of_class<A: ActorType>(held: &Arc<HeldActor>) -> Option<Actor<A>> {
    let core = held.block();
    if core.class != TypeId::of::<Stranger>() {
        return None;
    }
    let remote = core.remote.as_ref()?.over(held.clone());
    let node = core.node.clone();
    let core = ActorCore::new::<A>(node, 0, None, 0, None, Some(remote));
    // SAFETY: a block of class `A` and a handle of it that is ours.
    Some(unsafe { Actor::from_core(core) })
}

impl WireActor {
    /// The actor, if it is one that `peer` has from this process.
    fn came_home(&self, peer: &Arc<Peer>) -> Result<Option<Arc<HeldActor>>, &'static str> {
        // Of a pair of processes both know the other by the same number.
        if self.home != Some(peer.id) {
            return Ok(None);
        }
        let found = peer.exports().find(self.at_home);
        found.map(Some).ok_or("the actor that came home has ended")
    }

    /// It came in vain; one that came home counts as if it were a call of it.
    fn was_not_opened(&self, peer: &Arc<Peer>) {
        if self.home == Some(peer.id) {
            peer.exports().was_called(self.at_home);
        }
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
