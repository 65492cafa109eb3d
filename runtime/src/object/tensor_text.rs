//! Tensors as other serialisers have them: type, shape, then the elements row by row.

use super::number::Elements;
use super::tensor::Tensor;
use maser_shm::tensor::DType;
use serde::Deserializer;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use std::fmt;

struct Parts;

fn dtype_of<E: serde::de::Error>(name: &str) -> Result<DType, E> {
    let known = DType::ALL.into_iter().find(|dtype| dtype.name() == name);
    known.ok_or_else(|| E::custom(format!("{name} is no type of elements")))
}

impl<'de> Visitor<'de> for Parts {
    type Value = Tensor;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tensor: dtype, shape, elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Tensor, A::Error> {
        let short = |at| A::Error::invalid_length(at, &Parts);
        let name: String = parts.next_element()?.ok_or_else(|| short(0))?;
        let shape: Vec<usize> = parts.next_element()?.ok_or_else(|| short(1))?;
        let dtype = dtype_of::<A::Error>(&name)?;
        let bytes = parts.next_element_seed(Elements(dtype))?;
        let bytes = bytes.ok_or_else(|| short(2))?;
        Tensor::of_bytes(dtype, &shape, &bytes).map_err(A::Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut parts: A) -> Result<Tensor, A::Error> {
        let (mut dtype, mut shape, mut bytes) = (None, None, None::<Vec<u8>>);
        while let Some(key) = parts.next_key::<String>()? {
            match (key.as_str(), dtype) {
                ("dtype", _) => dtype = Some(dtype_of::<A::Error>(&parts.next_value::<String>()?)?),
                ("shape", _) => shape = Some(parts.next_value::<Vec<usize>>()?),
                ("elements", Some(dtype)) => bytes = Some(parts.next_value_seed(Elements(dtype))?),
                ("elements", None) => {
                    return Err(A::Error::custom("the dtype comes before the elements"));
                }
                _ => drop(parts.next_value::<serde::de::IgnoredAny>()?),
            }
        }
        match (dtype, shape, bytes) {
            (Some(dtype), Some(shape), Some(bytes)) => {
                Tensor::of_bytes(dtype, &shape, &bytes).map_err(A::Error::custom)
            }
            (None, ..) => Err(A::Error::missing_field("dtype")),
            (_, None, _) => Err(A::Error::missing_field("shape")),
            (.., None) => Err(A::Error::missing_field("elements")),
        }
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Tensor, D::Error> {
    from.deserialize_struct("Plain", &["dtype", "shape", "elements"], Parts)
}
