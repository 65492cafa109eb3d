//! Buffers of a value that is encoded or decoded by maser itself: they stay out of its bytes, which
//! hold the names of objects, or numbers in a table.
//!
//! Within one process (inline mode) the buffer goes by count through the table of the codec. To
//! another process goes what names the object, and a reference to it goes with the parcel. On the edges
//! of compiled graphs the names lie beside the value, and what is small goes as its bytes; so do the
//! constants of a graph, which nobody could give references of back.

use super::buffer::{Buffer, Part};
use super::scope;
use crate::error::{Error, Result};
use crate::executor::local::Local;
use crate::graph::remote::packet::OBJECTS_MAX;
use crate::node::Node;
use crate::worker::along::Beside;
use crate::worker::bulk::Name;
use crate::worker::parcel::{Arrays, Thing};
use crate::worker::peer::Peer;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// Where a buffer is, in the bytes of a value.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Place<'a> {
    /// In the table beside the bytes.
    Table(u32),
    /// In a store.
    Store(Name),
    /// Here.
    Here(Raw<'a>),
}

/// Bytes that go as they are.
#[derive(Debug)]
pub(super) enum Raw<'a> {
    /// On their way out.
    Goes(&'a [u8]),
    /// A copy of what came.
    Came(Buffer),
}

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(match self {
            Self::Goes(bytes) => bytes,
            Self::Came(buffer) => buffer.bytes(),
        })
    }
}

impl<'de> Deserialize<'de> for Raw<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Copies;

        impl Visitor<'_> for Copies {
            type Value = Buffer;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the bytes of an array")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Buffer, E> {
                Ok(Part::of_bytes(bytes).buffer().clone())
            }
        }

        deserializer.deserialize_bytes(Copies).map(Self::Came)
    }
}

/// Bytes of the largest array that goes along an edge as its bytes: writing them costs less than
/// giving a reference and taking it back.
const SMALL_BYTES: usize = 1 << 10;

/// A buffer in a parcel.
struct Goes(Buffer, Name);

impl Thing for Goes {
    fn give(&self, peer: &Arc<Peer>, local: &Local) {
        local.node.bulk.give(peer, &self.0);
    }

    fn object(&self) -> Option<Name> {
        Some(self.1)
    }
}

/// Takes a part of a buffer out of the value that is being encoded: where the buffer is then, and the
/// range of it. `None` where another serialiser does that.
///
/// # Errors
/// What the store says where the buffer has to be copied into it first.
pub(super) fn pack(part: &Part) -> Result<Option<(Place<'_>, u64, u64)>> {
    let (offset, bytes) = (part.offset() as u64, part.bytes().len() as u64);
    let buffer = part.buffer();
    if let Some(laid) = scope::with_arrays(|arrays| lay(buffer, bytes, arrays)) {
        return Ok(Some(match laid? {
            Some(number) => (Place::Table(number), offset, bytes),
            None => (Place::Here(Raw::Goes(part.bytes())), 0, bytes),
        }));
    }
    if scope::goes_out() {
        let node = Node::current("sending an array")?;
        let buffer = node.bulk.place(buffer, false)?;
        let Some(name) = node.bulk.name(&buffer) else {
            unreachable!("what was placed lies in a store");
        };
        scope::take_along(Box::new(Goes(buffer, name)));
        return Ok(Some((Place::Store(name), offset, bytes)));
    }
    let place = scope::put(buffer.clone()).map(Place::Table);
    Ok(place.map(|place| (place, offset, bytes)))
}

/// Lays a buffer beside the value, of which `bytes` are wanted: its number there. `None` if they go as
/// they are.
fn lay(buffer: &Buffer, bytes: u64, arrays: &mut Arrays) -> Result<Option<u32>> {
    let Arrays::Beside { objects, own } = arrays else {
        return Ok(None);
    };
    if bytes <= SMALL_BYTES as u64 || objects.len() == OBJECTS_MAX {
        return Ok(None);
    }
    let node = Node::current("sending an array")?;
    let buffer = node.bulk.place(buffer, *own)?;
    let Some(name) = node.bulk.name(&buffer) else {
        unreachable!("what was placed lies in a store");
    };
    // Parts of one buffer stand close together.
    let near = objects.len().saturating_sub(16);
    let number = match objects[near..]
        .iter()
        .position(|beside| matches!(beside, Beside::Array { name: other, .. } if *other == name))
    {
        Some(number) => near + number,
        None => {
            objects.push(Beside::Array { buffer, name });
            objects.len() - 1
        }
    };
    Ok(u32::try_from(number).ok())
}

/// What stands in the way of a value, for its serialiser.
pub(super) fn unwritten<E: serde::ser::Error>(error: Error) -> E {
    E::custom(scope::trouble(error))
}

/// What stands in the way of a value, for its deserialiser.
pub(super) fn refused<E: serde::de::Error>(error: impl Into<Error>) -> E {
    E::custom(scope::trouble(error))
}

/// Whether the value that is being decoded has its buffers beside it.
pub(super) fn is_unpacking() -> bool {
    scope::has_table() || scope::is_reading()
}

/// The buffer in this place of the value that is being decoded.
///
/// # Errors
/// [`Error::Store`] for an object that is not there.
pub(super) fn unpack(place: Place<'_>) -> Result<Buffer> {
    let wrong = |problem: &str| Error::InvalidArgument {
        argument: "value",
        problem: problem.to_owned(),
        remedy: "both processes must be of the same build".into(),
    };
    let buffer = match place {
        Place::Here(Raw::Came(buffer)) => Some(buffer),
        Place::Here(Raw::Goes(_)) => None,
        Place::Table(number) => {
            scope::get::<Buffer>(number).or_else(|| match scope::came(number)? {
                Beside::Array { buffer, .. } => Some(buffer),
                Beside::Actor(_) | Beside::Ref(_) => None,
            })
        }
        Place::Store(name) => match scope::claim(name) {
            Some(peer) => {
                let node = Node::current("receiving an array")?;
                return node.bulk.receive(&peer, name);
            }
            None => None,
        },
    };
    buffer.ok_or_else(|| wrong("it names a buffer that did not come with it"))
}

/// A whole buffer as a value of its own.
#[derive(Debug)]
pub(crate) struct Whole(pub(crate) Buffer);

impl Serialize for Whole {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let part = Part::whole(self.0.clone());
        match pack(&part).map_err(unwritten)? {
            Some((place, _, _)) => place.serialize(serializer),
            None => Err(serde::ser::Error::custom(
                "a buffer can only be encoded by maser itself",
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let place = Place::deserialize(deserializer)?;
        unpack(place).map(Self).map_err(refused)
    }
}
