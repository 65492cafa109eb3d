//! Values as bytes, refs and actor handles inside them too.
//!
//! In one process a ref is an index into a table that travels beside the bytes (`scope::beside`):
//! each ref of a value is put into it when that is encoded, and taken out by its index when it is
//! decoded. So a ref never becomes a number that somebody could guess or keep.

use super::reference::Ref;
use super::scope;
use crate::actor::handle::{Actor, ActorType};
use crate::error::{Error, Result};
use crate::executor::local::Local;
use crate::worker::along::{self, Beside};
use crate::worker::handles;
use crate::worker::message::BODY_BYTES_MAX;
use crate::worker::parcel::{Parcel, Thing};
use crate::worker::peer::Peer;
use postcard::ser_flavors::Flavor;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::any::{Any, type_name};
use std::sync::Arc;

/// A value as bytes, and the refs it holds.
pub struct Encoded {
    bytes: Vec<u8>,
    refs: Vec<Box<dyn Any + Send>>,
}

/// What stands in the way of a value, in words.
type Problem = String;

fn wrong(problem: Problem) -> Error {
    Error::InvalidArgument {
        argument: "value",
        problem,
        remedy: REMEDY.into(),
    }
}

const REMEDY: &str = "check its Serialize and Deserialize implementations against each other";

/// Encodes `value`, refs included.
///
/// # Errors
/// [`Error::InvalidArgument`] if its `Serialize` refuses.
pub fn encode<T: Serialize>(value: &T) -> Result<Encoded> {
    try_encode(value).map_err(wrong)
}

/// Decodes what [`encode`] made.
///
/// # Errors
/// [`Error::InvalidArgument`] if its `Deserialize` refuses, or leaves a part of it over.
pub fn decode<T: for<'a> Deserialize<'a>>(encoded: Encoded) -> Result<T> {
    try_decode(encoded).map_err(wrong)
}

fn try_encode<T: Serialize>(value: &T) -> std::result::Result<Encoded, Problem> {
    let (bytes, refs) = scope::beside(Vec::new(), || postcard::to_stdvec(value));
    match bytes {
        Ok(bytes) => Ok(Encoded { bytes, refs }),
        Err(error) => Err(format!("{} cannot be encoded: {error}", type_name::<T>())),
    }
}

fn try_decode<T: for<'a> Deserialize<'a>>(encoded: Encoded) -> std::result::Result<T, Problem> {
    let Encoded { bytes, refs } = encoded;
    let (value, _) = scope::beside(refs, || {
        postcard::take_from_bytes(&bytes).map(|(value, rest)| (value, rest.len()))
    });
    let name = type_name::<T>();
    match value {
        Ok((value, 0)) => Ok(value),
        Ok((_, left)) => Err(format!(
            "{name} cannot be decoded: {left} of {} bytes are left over",
            bytes.len()
        )),
        Err(error) => Err(format!("{name} cannot be decoded: {error}")),
    }
}

/// Where the bytes of a value go.
struct Out<'a>(&'a mut Vec<u8>);

impl Flavor for Out<'_> {
    type Output = ();

    #[inline(always)]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    #[inline(always)]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        /// Up to here a copy is longer to call than to make.
        const FEW: usize = 16;
        match bytes.len() {
            0..=FEW => bytes.iter().for_each(|byte| self.0.push(*byte)),
            _ => self.0.extend_from_slice(bytes),
        }
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Appends a value that goes to another process, or stays here (`scope::beside`), or says what stands in
/// the way.
pub(crate) fn write<T: Serialize>(
    value: &T,
    parcel: &mut Parcel,
) -> std::result::Result<(), Problem> {
    scope::begins();
    let out = Out(&mut parcel.bytes);
    let written = match scope::has_table() {
        true => postcard::serialize_with_flavor(value, out),
        false => scope::going_out(&mut parcel.things, &mut parcel.arrays, || {
            postcard::serialize_with_flavor(value, out)
        }),
    };
    match written {
        Ok(()) if parcel.bytes.len() > BODY_BYTES_MAX => Err(too_large::<T>(parcel.bytes.len())),
        Ok(()) => Ok(()),
        Err(error) => Err(format!("{} cannot be encoded: {error}", type_name::<T>())),
    }
}

#[cold]
fn too_large<T>(bytes: usize) -> Problem {
    format!(
        "{} and what goes with it are {bytes} bytes, and at most {BODY_BYTES_MAX} can be sent at once: use arrays for bulk data",
        type_name::<T>(),
    )
}

/// Takes a value off the front of `bytes`, or says what is wrong with them.
pub(crate) fn read<T: for<'a> Deserialize<'a>>(
    bytes: &mut &[u8],
) -> std::result::Result<T, Problem> {
    scope::begins();
    match scope::reading(|| postcard::take_from_bytes(bytes)) {
        Ok((value, rest)) => {
            *bytes = rest;
            Ok(value)
        }
        Err(error) => Err(format!("{} cannot be decoded: {error}", type_name::<T>())),
    }
}

/// A value is not of the type that its codec is for: a defect.
#[cold]
pub(crate) fn other_type<T>() -> Problem {
    format!("it is no {}", type_name::<T>())
}

/// The bytes go on after the value.
#[cold]
pub(crate) fn left_over(what: &str, bytes: usize) -> Problem {
    format!("{what} cannot be decoded: {bytes} bytes are left over")
}

/// Puts `()` into `slot`: the result of a function whose results travel in another way.
pub(crate) fn decode_unit(bytes: &[u8], slot: &mut dyn Any) -> std::result::Result<(), Problem> {
    match slot.downcast_mut::<Option<()>>() {
        Some(slot) if bytes.is_empty() => *slot = Some(()),
        Some(_) => return Err(left_over("()", bytes.len())),
        None => return Err(other_type::<()>()),
    }
    Ok(())
}

/// `value` as it arrives in another process.
pub(crate) fn round_trip<T>(value: &T) -> std::result::Result<T, Problem>
where
    T: Serialize + for<'a> Deserialize<'a>,
{
    try_decode(try_encode(value)?)
}

/// A ref or a handle that cannot lie beside its value: that is refused for it.
struct Stranded;

impl Thing for Stranded {
    fn give(&self, _: &Arc<Peer>, _: &Local) {}
}

/// Lays a ref or a handle beside its value; the place where it lies.
fn lay(thing: Beside) -> u32 {
    scope::lay(thing).unwrap_or_else(|| {
        scope::take_along(Box::new(Stranded));
        0
    })
}

/// What lies there.
fn came(place: u32) -> std::result::Result<Beside, Problem> {
    scope::came(place).ok_or_else(|| OUTSIDE.to_owned())
}

const OUTSIDE: &str = "a ref or actor handle can only be encoded by maser itself, inside a value that is passed to a task, method or graph";

impl<T: crate::Value> Serialize for Ref<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        if scope::goes_along_an_edge() {
            return along::write_ref(self, lay, serializer);
        }
        if scope::goes_out() {
            return handles::write_ref(self, scope::take_along, serializer);
        }
        let index = scope::put(self.clone()).ok_or_else(|| S::Error::custom(OUTSIDE))?;
        index.serialize(serializer)
    }
}

impl<'de, T: crate::Value> Deserialize<'de> for Ref<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        if let Some(peer) = scope::comes_from() {
            return handles::read_ref(&peer, deserializer);
        }
        if scope::is_read_beside() {
            return along::read_ref(came, deserializer);
        }
        let index = u32::deserialize(deserializer)?;
        scope::get(index).ok_or_else(|| D::Error::custom(OUTSIDE))
    }
}

impl<A: ActorType> Serialize for Actor<A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        if scope::goes_along_an_edge() {
            return lay(along::of_actor(self)).serialize(serializer);
        }
        if scope::goes_out() {
            return handles::write_actor(self, scope::take_along, serializer);
        }
        let index = scope::put(self.clone()).ok_or_else(|| S::Error::custom(OUTSIDE))?;
        index.serialize(serializer)
    }
}

impl<'de, A: ActorType> Deserialize<'de> for Actor<A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        if let Some(peer) = scope::comes_from() {
            return handles::read_actor(&peer, deserializer);
        }
        if scope::is_read_beside() {
            let beside = came(u32::deserialize(deserializer)?);
            let actor = beside.and_then(|beside| along::read_actor(&beside));
            return actor.map_err(D::Error::custom);
        }
        let index = u32::deserialize(deserializer)?;
        scope::get(index).ok_or_else(|| D::Error::custom(OUTSIDE))
    }
}
