//! A value of a graph as bytes, with handles of its arrays, that is passed on as it is (GY-1).

use super::text::SentActor;
use crate::error::Error;
use crate::graph::remote::packet::{Kind, Packed};
use crate::graph::slot::ValueType;
use crate::node::Node;
use crate::object::beside::Whole;
use crate::object::codec;
use crate::task::portable::ValueCodec;
use crate::worker::along::{Beside, of_held};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::any::Any;

/// See the module's page.
#[derive(Clone, Debug)]
pub(crate) struct Load(pub(super) Packed);

/// How a load goes over an edge.
static CODEC: ValueCodec = ValueCodec::LOADS;

impl Load {
    /// What is packed now.
    pub(super) fn of(packed: &Packed) -> Self {
        let mut copy = Packed::default();
        if packed.objects().iter().all(Beside::is_array) {
            copy.set(packed);
            return Self(copy);
        }
        // What others gave this process has other numbers where it goes.
        let filled = copy.fill_value(|body, beside| {
            body.extend_from_slice(packed.bytes());
            for object in packed.objects() {
                beside.push(passed_on(object)?);
            }
            Ok(())
        });
        if let Err(problem) = filled {
            copy.set_error(&Error::NotPortable {
                function: "a graph that a worker compiled".into(),
                value: "a value of it".into(),
                problem,
            });
        }
        Self(copy)
    }

    /// The type of nodes whose values are loads.
    pub(super) fn value_type() -> ValueType {
        ValueType {
            codec: Some(&CODEC),
            ..ValueType::of::<Self>()
        }
    }
}

/// Packs a value that is a load, or says that it is none.
pub(crate) fn pack(value: &dyn Any, packed: &mut Packed) -> Result<(), String> {
    let load = value.downcast_ref::<Load>();
    packed.set(&load.ok_or_else(codec::other_type::<Load>)?.0);
    Ok(())
}

/// Puts a load into `slot`, an `Option` of one.
pub(crate) fn unpack(packed: &Packed, slot: &mut dyn Any) -> Result<(), String> {
    let slot = slot.downcast_mut::<Option<Load>>();
    *slot.ok_or_else(codec::other_type::<Load>)? = Some(Load::of(packed));
    Ok(())
}

/// An object as this process passes it on.
fn passed_on(object: &Beside) -> Result<Beside, String> {
    let object = object.passed_on()?;
    object.held()?;
    Ok(object)
}

/// What lies beside a load, as it travels.
#[derive(Serialize, Deserialize)]
enum Object {
    Array(Whole),
    Actor(SentActor),
}

impl Object {
    fn of(beside: &Beside) -> Result<Self, String> {
        Ok(match (beside, beside.held()?) {
            (Beside::Array { buffer, .. }, _) => Self::Array(Whole(buffer.clone())),
            (_, Some(held)) => Self::Actor(SentActor(held)),
            (_, None) => return Err("it is no object".to_owned()),
        })
    }
}

/// Bytes, in one piece.
struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl Serialize for Load {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let objects = self.0.objects().iter().map(Object::of);
        let objects: Vec<Object> = objects
            .collect::<Result<_, _>>()
            .map_err(S::Error::custom)?;
        let kind = self.0.head() as u8;
        (kind, Raw(self.0.bytes()), objects).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Load {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (kind, bytes, objects) = <(u8, &'de [u8], Vec<Object>)>::deserialize(deserializer)?;
        let mut packed = Packed::default();
        let filled = match Kind::of(u64::from(kind)) {
            Some(Kind::Value) => packed.fill_value(|body, beside| {
                body.extend_from_slice(bytes);
                for object in objects {
                    beside.push(match object {
                        Object::Array(Whole(buffer)) => named(&buffer)?,
                        Object::Actor(SentActor(held)) => of_held(held),
                    });
                }
                Ok(())
            }),
            Some(Kind::Error) => packed.fill(Kind::Error, |body| {
                body.extend_from_slice(bytes);
                Ok(())
            }),
            Some(Kind::Lost) => {
                packed.set_lost();
                Ok(())
            }
            Some(Kind::Relayed) | None => Err(format!("a value of kind {kind} is none")),
        };
        filled.map_err(D::Error::custom)?;
        Ok(Self(packed))
    }
}

/// A buffer that came, and the name by which it goes on.
fn named(buffer: &crate::object::buffer::Buffer) -> Result<Beside, String> {
    let node = Node::current("receiving an array").map_err(|error| error.to_string())?;
    let buffer = node.bulk.place(buffer, false);
    let buffer = buffer.map_err(|error| error.to_string())?;
    match node.bulk.name(&buffer) {
        Some(name) => Ok(Beside::Array { buffer, name }),
        None => unreachable!("what was placed lies in a store"),
    }
}
