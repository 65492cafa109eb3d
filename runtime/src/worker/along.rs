//! Refs and handles of actors beside a value on an edge of a graph between processes.
//!
//! A value that goes by a message is read once, as soon as it comes. One on an edge is read by several
//! steps, or by none; so what it refers to is listed behind it as its arrays are
//! (`graph/remote/objects.rs`), and belongs to the line until that is read.
//!
//! ```text
//! for each, 32 bytes:
//! array    byte 0 owner u32   byte 4 0            byte 8 descriptor (24 bytes)
//! actor    byte 0 has home    byte 4 ACTOR  u32   byte 8 at home u32   12 number u32   16 home u64   24 there u32
//! ref      byte 0 0           byte 4 REF    u32   byte 8 number u64
//! ```
//!
//! - BX-1 one reference of each is the receiving process's from before the line is published, as if a call
//!   had brought it (XP-2, XP-3). Whoever takes the line has it: it becomes the handle or the ref that
//!   is read first, which all later readers share, or goes back with the value if nobody reads.
//! - BX-2 the same bytes may go to one process by several edges: each line has a reference of its own.
//! - BX-3 what a process reads that it put there itself is what it put there: steps of one process share
//!   values.
//! - BX-4 what came is input: a number that names nothing is the error of whoever reads or calls it.
#![allow(unsafe_code, reason = "counted pointers to blocks of actors")]

use super::bulk::{NAME_BYTES, Name};
use super::errand;
use super::handles::{self, WireActor};
use super::incoming::{Answer, HeldActor};
use super::message::{Head, Kind};
use super::peer::Peer;
use crate::actor::handle::{Actor, ActorType};
use crate::node::Node;
use crate::object::buffer::Buffer;
use crate::object::reference::Ref;
use serde::{Deserializer, Serializer};
use std::any::{Any, TypeId, type_name};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Of a message that asks for a value: it is not wanted after all.
pub(super) const UNWANTED: u8 = 1;

/// In the second word of what is listed; names of arrays have 0 there.
const ACTOR: u32 = u32::MAX;
const REF: u32 = u32::MAX - 1;

const TO_COME: &str = "a ref in it whose value is to come cannot pass through a graph that a worker \
                       compiled over actors of others: get its value before, or pass the ref to an \
                       ordinary call";

/// What lies beside a value.
#[derive(Clone, Debug)]
pub(crate) enum Beside {
    /// An array in a store, and its name.
    Array {
        buffer: Buffer,
        name: Name,
    },
    Actor(Arc<ActorBeside>),
    Ref(Arc<RefBeside>),
}

/// The same as it is listed behind the value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Listed {
    Array(Name),
    Actor(WireActor),
    Ref(u64),
}

impl Listed {
    /// What is listed, one after the other.
    pub(crate) fn all(bytes: &[u8]) -> impl DoubleEndedIterator<Item = Self> + '_ {
        bytes.chunks_exact(NAME_BYTES).filter_map(Self::read)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| {
            let four = bytes.get(at..)?.first_chunk()?;
            Some(u32::from_ne_bytes(*four))
        };
        let long = |at: usize| {
            let eight = bytes.get(at..)?.first_chunk()?;
            Some(u64::from_ne_bytes(*eight))
        };
        Some(match word(4)? {
            ACTOR => Self::Actor(WireActor {
                home: (word(0)? != 0).then_some(long(16)?),
                at_home: word(8)?,
                number: word(12)?,
                there: word(24)?,
            }),
            REF => Self::Ref(long(8)?),
            _ => Self::Array(Name::all(bytes).next()?),
        })
    }

    fn write(self, bytes: &mut Vec<u8>) {
        let from = bytes.len();
        match self {
            Self::Array(name) => return name.write(bytes),
            Self::Actor(wire) => {
                for word in [
                    u32::from(wire.home.is_some()),
                    ACTOR,
                    wire.at_home,
                    wire.number,
                ] {
                    bytes.extend_from_slice(&word.to_ne_bytes());
                }
                bytes.extend_from_slice(&wire.home.unwrap_or(0).to_ne_bytes());
                bytes.extend_from_slice(&wire.there.to_ne_bytes());
            }
            Self::Ref(number) => {
                bytes.extend_from_slice(&0_u32.to_ne_bytes());
                bytes.extend_from_slice(&REF.to_ne_bytes());
                bytes.extend_from_slice(&number.to_ne_bytes());
            }
        }
        bytes.resize(from + NAME_BYTES, 0);
    }

    /// It came from `peer` and was taken (BX-1); `None` for an array, which has to be opened.
    pub(crate) fn came(self, node: &Arc<Node>, peer: &Arc<Peer>) -> Option<Beside> {
        let from = || Giver {
            node: node.clone(),
            peer: peer.clone(),
        };
        match self {
            Self::Array(_) => None,
            Self::Actor(wire) => {
                let of = ActorOf::Came(from(), OnceLock::new());
                Some(Beside::Actor(Arc::new(ActorBeside { wire, of })))
            }
            Self::Ref(number) => {
                let of = RefOf::Came(from(), OnceLock::new());
                Some(Beside::Ref(Arc::new(RefBeside { number, of })))
            }
        }
    }
}

impl Beside {
    /// Lists it behind its value.
    pub(crate) fn list(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Array { name, .. } => Listed::Array(*name).write(bytes),
            Self::Actor(actor) => Listed::Actor(actor.wire).write(bytes),
            Self::Ref(of) => Listed::Ref(of.number).write(bytes),
        }
    }

    /// The same, of this process, which passes it on to others whose types are not known here.
    ///
    /// # Errors
    /// Nobody can pass on a ref whose value is to come, and is of a type that is not known.
    pub(crate) fn passed_on(&self) -> Result<Self, String> {
        let actor = match self {
            Self::Array { .. } => return Ok(self.clone()),
            Self::Ref(of) => match &of.of {
                RefOf::Here(..) => return Ok(self.clone()),
                RefOf::Came(..) => return Err(TO_COME.to_owned()),
            },
            Self::Actor(actor) => actor,
        };
        match &actor.of {
            ActorOf::Here(_) => Ok(self.clone()),
            ActorOf::Came(giver, opened) => {
                let held = match opened.get() {
                    Some(held) => held.clone(),
                    None => {
                        let held = handles::open_held(&giver.peer, &actor.wire)?;
                        opened.get_or_init(|| held).clone()
                    }
                };
                Ok(of_held(held))
            }
        }
    }

    /// The handle of this process that it is; none of what is no actor.
    ///
    /// # Errors
    /// As [`passed_on`](Self::passed_on).
    pub(crate) fn held(&self) -> Result<Option<Arc<HeldActor>>, String> {
        match self {
            Self::Array { .. } => Ok(None),
            Self::Ref(_) => Err(TO_COME.to_owned()),
            Self::Actor(actor) => match &actor.of {
                ActorOf::Here(held) => Ok(Some(held.clone())),
                ActorOf::Came(..) => Err("it was not taken over".to_owned()),
            },
        }
    }

    /// Whether it is an array.
    pub(crate) fn is_array(&self) -> bool {
        matches!(self, Self::Array { .. })
    }

    /// BX-1: one reference more is the peer's. Arrays are lent elsewhere.
    pub(crate) fn lend(&self, peer: &Arc<Peer>) {
        match self {
            Self::Array { .. } => return,
            Self::Actor(actor) => actor.lend(peer),
            Self::Ref(of) => of.lend(peer),
        }
        // Whoever settles the dead clears after the death is known, and so do we.
        if peer.death().is_some() {
            peer.exports().clear();
        }
    }
}

/// Where something came from.
struct Giver {
    node: Arc<Node>,
    peer: Arc<Peer>,
}

impl Giver {
    /// Tells the process something that has no answer.
    fn tell(&self, kind: Kind, flag: u8, a: u64) {
        if self.node.is_closing() || self.peer.death().is_some() {
            return; // Nothing of it is counted any more.
        }
        let (there, b) = (self.peer.schedulers() - 1, 0);
        errand::on_scheduler(&self.node, &self.peer, move |peer, local| {
            if let Ok(link) = local.links.get(local, peer, there) {
                link.send(Head { kind, flag, a, b }, &[]);
            }
        });
    }
}

/// A handle of an actor.
pub(crate) struct ActorBeside {
    wire: WireActor,
    of: ActorOf,
}

enum ActorOf {
    /// Of this process.
    Here(Arc<HeldActor>),
    /// It came, and was read.
    Came(Giver, OnceLock<Arc<HeldActor>>),
}

impl ActorBeside {
    fn lend(&self, peer: &Arc<Peer>) {
        if let ActorOf::Here(held) = &self.of {
            handles::give_actor(peer, &self.wire, held);
        }
    }

    fn is_of<A: ActorType>(held: &Arc<HeldActor>) -> Result<Actor<A>, String> {
        let core = held.block();
        if core.class != TypeId::of::<A>() {
            let of_class = handles::of_class(held);
            return of_class.ok_or_else(|| format!("it is no actor of class {}", type_name::<A>()));
        }
        core.retain();
        // SAFETY: AC-1, an actor of class `A`; the handle just taken.
        Ok(unsafe { Actor::from_core(held.core()) })
    }
}

impl Drop for ActorBeside {
    fn drop(&mut self) {
        let ActorOf::Came(from, opened) = &self.of else {
            return;
        };
        if opened.get().is_some() {
            return;
        }
        if self.wire.home == Some(from.peer.id) {
            // It came home: as if it were a call of it.
            return from.peer.exports().was_called(self.wire.at_home);
        }
        from.tell(Kind::Drop, 0, u64::from(self.wire.number) | 1 << 32);
    }
}

impl fmt::Debug for ActorBeside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.wire.fmt(f)
    }
}

/// A ref whose value is to come. One that is there stands in the value itself.
pub(crate) struct RefBeside {
    number: u64,
    of: RefOf,
}

/// A ref of a type that is not known.
type AnyRef = Box<dyn Any + Send + Sync>;

enum RefOf {
    /// Of this process.
    Here(AnyRef, Arc<Answer>),
    /// It came, and was read.
    Came(Giver, OnceLock<AnyRef>),
}

impl RefBeside {
    fn lend(&self, peer: &Arc<Peer>) {
        if let RefOf::Here(_, answer) = &self.of {
            peer.exports().promise(self.number, answer);
        }
    }
}

impl Drop for RefBeside {
    fn drop(&mut self) {
        if let RefOf::Came(from, opened) = &self.of
            && opened.get().is_none()
        {
            from.tell(Kind::Ask, UNWANTED, self.number);
        }
    }
}

impl fmt::Debug for RefBeside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ref {:x}", self.number)
    }
}

/// Writes a ref: what it refers to, or the place where `lay` puts it.
pub(crate) fn write_ref<T: crate::Value, S: Serializer>(
    value: &Ref<T>,
    lay: impl FnOnce(Beside) -> u32,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    handles::write_ref_as(value, || u64::from(lay(of_ref(value))), serializer)
}

/// A ref whose value is to come, to be laid beside the value that has it.
fn of_ref<T: crate::Value>(value: &Ref<T>) -> Beside {
    let number = Node::current("sending a ref").map_or(0, |node| node.random.next_u64());
    let answer = Arc::new(Answer::of(value.clone()));
    Beside::Ref(Arc::new(RefBeside {
        number,
        of: RefOf::Here(Box::new(value.clone()), answer),
    }))
}

/// A handle of an actor, to be laid beside the value that has it.
pub(crate) fn of_actor<A: ActorType>(actor: &Actor<A>) -> Beside {
    of_held(Arc::new(HeldActor::of(actor)))
}

/// The same, of an actor whose class may not be known.
pub(crate) fn of_held(held: Arc<HeldActor>) -> Beside {
    Beside::Actor(Arc::new(ActorBeside {
        wire: handles::wire_of(held.block()),
        of: ActorOf::Here(held),
    }))
}

/// Reads a ref: what it refers to, or the one that lies where `came` says.
pub(crate) fn read_ref<'de, T: crate::Value, D: Deserializer<'de>>(
    came: impl FnOnce(u32) -> Result<Beside, String>,
    deserializer: D,
) -> Result<Ref<T>, D::Error> {
    let find = |place| {
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        open_ref(&came(place)?)
    };
    handles::read_ref_as(find, deserializer)
}

fn open_ref<T: crate::Value>(beside: &Beside) -> Result<Ref<T>, String> {
    let Beside::Ref(of) = beside else {
        return Err("it is no ref".to_owned());
    };
    let value = match &of.of {
        RefOf::Here(value, _) => value,
        RefOf::Came(from, opened) => {
            opened.get_or_init(|| Box::new(handles::ask_for::<T>(&from.peer, of.number)))
        }
    };
    let value = value.downcast_ref::<Ref<T>>();
    let value = value.ok_or_else(|| format!("it is no ref of {}", type_name::<T>()))?;
    Ok(value.clone())
}

/// The handle that lies there.
pub(crate) fn read_actor<A: ActorType>(beside: &Beside) -> Result<Actor<A>, String> {
    let Beside::Actor(of) = beside else {
        return Err("it is no actor".to_owned());
    };
    match &of.of {
        ActorOf::Here(held) => ActorBeside::is_of(held),
        ActorOf::Came(from, opened) => {
            if let Some(held) = opened.get() {
                return ActorBeside::is_of(held);
            }
            let actor = handles::open_actor::<A>(&from.peer, &of.wire)?;
            // A value is decoded by one thread at a time.
            let _first = opened.set(Arc::new(HeldActor::of(&actor)));
            Ok(actor)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_is_read_as_it_was_written() {
        let mut bytes = Vec::new();
        let wire = WireActor {
            home: Some(u64::MAX - 3),
            at_home: 7,
            number: 1 << 31,
            there: 2,
        };
        let homeless = WireActor { home: None, ..wire };
        Listed::Actor(wire).write(&mut bytes);
        Listed::Ref(u64::MAX / 3).write(&mut bytes);
        Listed::Actor(homeless).write(&mut bytes);
        assert_eq!(bytes.len(), 3 * NAME_BYTES);
        let listed: Vec<_> = Listed::all(&bytes).collect();
        match listed[..] {
            [Listed::Actor(one), Listed::Ref(number), Listed::Actor(two)] => {
                assert_eq!((one, two, number), (wire, homeless, u64::MAX / 3));
            }
            _ => panic!("{listed:?}"),
        }
    }
}
