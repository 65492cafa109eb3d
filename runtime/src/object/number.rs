//! Elements as the numbers of any serialiser: what arrays are outside of maser's own messages.
//!
//! Half-precision numbers go as `f32`, complex ones as pairs.

use maser_shm::tensor::DType;
use maser_shm::tensor::dtype::{bf16, f16};
use serde::de::{DeserializeSeed, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Bytes that are one element.
struct Scalar<'a>(DType, &'a [u8]);

fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut fixed = [0; N];
    fixed.copy_from_slice(bytes);
    fixed
}

impl Serialize for Scalar<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(dtype, bytes) = *self;
        match dtype {
            DType::Bool => serializer.serialize_bool(bytes[0] != 0),
            DType::U8 => serializer.serialize_u8(bytes[0]),
            DType::I8 => serializer.serialize_i8(i8::from_ne_bytes(fixed(bytes))),
            DType::U16 => serializer.serialize_u16(u16::from_ne_bytes(fixed(bytes))),
            DType::I16 => serializer.serialize_i16(i16::from_ne_bytes(fixed(bytes))),
            DType::U32 => serializer.serialize_u32(u32::from_ne_bytes(fixed(bytes))),
            DType::I32 => serializer.serialize_i32(i32::from_ne_bytes(fixed(bytes))),
            DType::U64 => serializer.serialize_u64(u64::from_ne_bytes(fixed(bytes))),
            DType::I64 => serializer.serialize_i64(i64::from_ne_bytes(fixed(bytes))),
            DType::F16 => serializer.serialize_f32(f16::from_ne_bytes(fixed(bytes)).to_f32()),
            DType::Bf16 => serializer.serialize_f32(bf16::from_ne_bytes(fixed(bytes)).to_f32()),
            DType::F32 => serializer.serialize_f32(f32::from_ne_bytes(fixed(bytes))),
            DType::F64 => serializer.serialize_f64(f64::from_ne_bytes(fixed(bytes))),
            DType::C64 => {
                let (re, im) = bytes.split_at(4);
                let pair = (fixed(re), fixed(im));
                (f32::from_ne_bytes(pair.0), f32::from_ne_bytes(pair.1)).serialize(serializer)
            }
            DType::C128 => {
                let (re, im) = bytes.split_at(8);
                let pair = (fixed(re), fixed(im));
                (f64::from_ne_bytes(pair.0), f64::from_ne_bytes(pair.1)).serialize(serializer)
            }
            other => Err(serde::ser::Error::custom(format!(
                "elements of type {other} have no form as text"
            ))),
        }
    }
}

/// Appends an element's bytes.
struct Append<'a>(DType, &'a mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for Append<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        let Self(dtype, to) = self;
        match dtype {
            DType::Bool => to.push(u8::from(bool::deserialize(from)?)),
            DType::U8 => to.push(u8::deserialize(from)?),
            DType::I8 => to.extend(i8::deserialize(from)?.to_ne_bytes()),
            DType::U16 => to.extend(u16::deserialize(from)?.to_ne_bytes()),
            DType::I16 => to.extend(i16::deserialize(from)?.to_ne_bytes()),
            DType::U32 => to.extend(u32::deserialize(from)?.to_ne_bytes()),
            DType::I32 => to.extend(i32::deserialize(from)?.to_ne_bytes()),
            DType::U64 => to.extend(u64::deserialize(from)?.to_ne_bytes()),
            DType::I64 => to.extend(i64::deserialize(from)?.to_ne_bytes()),
            DType::F16 => to.extend(f16::from_f32(f32::deserialize(from)?).to_ne_bytes()),
            DType::Bf16 => to.extend(bf16::from_f32(f32::deserialize(from)?).to_ne_bytes()),
            DType::F32 => to.extend(f32::deserialize(from)?.to_ne_bytes()),
            DType::F64 => to.extend(f64::deserialize(from)?.to_ne_bytes()),
            DType::C64 => {
                let (re, im) = <(f32, f32)>::deserialize(from)?;
                to.extend([re.to_ne_bytes(), im.to_ne_bytes()].concat());
            }
            DType::C128 => {
                let (re, im) = <(f64, f64)>::deserialize(from)?;
                to.extend([re.to_ne_bytes(), im.to_ne_bytes()].concat());
            }
            other => {
                let problem = format!("elements of type {other} have no form as text");
                return Err(serde::de::Error::custom(problem));
            }
        }
        Ok(())
    }
}

/// The elements in `bytes` as a sequence.
pub(super) fn serialize<S: Serializer>(
    dtype: DType,
    bytes: &[u8],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let elements = bytes.chunks_exact(dtype.bytes());
    let mut sequence = serializer.serialize_seq(Some(elements.len()))?;
    for element in elements {
        sequence.serialize_element(&Scalar(dtype, element))?;
    }
    sequence.end()
}

/// The bytes of a sequence of elements.
pub(super) struct Elements(pub(super) DType);

impl<'de> DeserializeSeed<'de> for Elements {
    type Value = Vec<u8>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Vec<u8>, D::Error> {
        from.deserialize_seq(self)
    }
}

/// Elements that memory is taken for before any has come.
const AHEAD: usize = 4096;

impl<'de> Visitor<'de> for Elements {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a sequence of {}", self.0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<u8>, A::Error> {
        let ahead = elements.size_hint().unwrap_or(0).min(AHEAD);
        let mut bytes = Vec::with_capacity(ahead * self.0.bytes());
        while elements
            .next_element_seed(Append(self.0, &mut bytes))?
            .is_some()
        {}
        Ok(bytes)
    }
}

/// As [`Elements`].
pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    dtype: DType,
    from: D,
) -> Result<Vec<u8>, D::Error> {
    Elements(dtype).deserialize(from)
}
