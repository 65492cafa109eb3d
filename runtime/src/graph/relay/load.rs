//! A value of a graph as bytes, with handles of its arrays, that is passed on as it is (GY-1).

use crate::graph::remote::packet::{Kind, Packed};
use crate::graph::slot::ValueType;
use crate::node::Node;
use crate::object::beside::Whole;
use crate::object::codec;
use crate::task::portable::ValueCodec;
use crate::worker::bulk::Beside;
use serde::de::Error as _;
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
        copy.set(packed);
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

/// Bytes, in one piece.
struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl Serialize for Load {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let objects = self.0.objects().iter();
        let objects: Vec<Whole> = objects.map(|beside| Whole(beside.buffer.clone())).collect();
        let kind = self.0.head() as u8;
        (kind, Raw(self.0.bytes()), objects).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Load {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (kind, bytes, objects) = <(u8, &'de [u8], Vec<Whole>)>::deserialize(deserializer)?;
        let mut packed = Packed::default();
        let filled = match Kind::of(u64::from(kind)) {
            Some(Kind::Value) => packed.fill_value(|body, beside| {
                body.extend_from_slice(bytes);
                for Whole(buffer) in objects {
                    beside.push(named(&buffer)?);
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
            None => Err(format!("a value of kind {kind} is none")),
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
        Some(name) => Ok(Beside { buffer, name }),
        None => unreachable!("what was placed lies in a store"),
    }
}
