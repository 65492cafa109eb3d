//! Inputs and results of graphs on their way to another process.
//!
//! A door serves graphs of all types, so a value goes with the name of its graph's types, and is decoded
//! by what this process has registered under that name.
//!
//! - NT-1 types are registered by whoever encodes or decodes a handle of such a graph, which is before any
//!   value of it comes. Both processes are the same program, so names are the same in both.
//! - NT-2 a value is encoded and decoded within the call that carries it: what is beside that lies beside
//!   it too.

use super::portable::{PortableInputs, PortableOutputs};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A value whose type is not known here.
pub(crate) type Erased = Arc<dyn Any + Send + Sync>;

/// How values of one type travel.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct ValueFns {
    encode: fn(&(dyn Any + Send + Sync)) -> Result<Vec<u8>, String>,
    decode: fn(&[u8]) -> Result<Erased, String>,
}

impl ValueFns {
    pub(crate) fn of<T: crate::Value>() -> Self {
        Self {
            encode: |value| match value.downcast_ref::<T>() {
                Some(value) => postcard::to_stdvec(value)
                    .map_err(|error| format!("{} cannot be encoded: {error}", type_name::<T>())),
                None => Err(format!("it is no {}", type_name::<T>())),
            },
            decode: |bytes| match postcard::take_from_bytes::<T>(bytes) {
                Ok((value, [])) => Ok(Arc::new(value)),
                Ok((_, rest)) => Err(format!(
                    "{} cannot be decoded: {} bytes are left over",
                    type_name::<T>(),
                    rest.len()
                )),
                Err(error) => Err(format!("{} cannot be decoded: {error}", type_name::<T>())),
            },
        }
    }
}

/// The types of a graph.
#[derive(Clone, Copy)]
struct Types {
    id: TypeId,
    inputs: ValueFns,
    output: fn(u32) -> Option<ValueFns>,
}

/// Types of graphs by the hash of their names.
static TYPES: Mutex<Option<HashMap<u64, Types>>> = Mutex::new(None);

/// Where the inputs of a run stand; outputs have smaller places.
pub(crate) const INPUTS: u32 = u32::MAX;

fn key_of<I: 'static, O: 'static>() -> u64 {
    // FNV-1a: the same in every process.
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    type_name::<(I, O)>()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, fold)
}

/// NT-1. The name of the types of such a graph.
pub(crate) fn register<I: PortableInputs, O: PortableOutputs>() -> u64 {
    let key = key_of::<I, O>();
    let types = Types {
        id: TypeId::of::<(I, O)>(),
        inputs: ValueFns::of::<I::Values>(),
        output: O::value_fns,
    };
    let mut all = TYPES.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = all.get_or_insert_default().entry(key).or_insert(types);
    // Two types of one name: values of the second are refused by their receiver.
    debug_assert!(kept.id == types.id, "two types have one name");
    key
}

fn types_of(key: u64, at: u32) -> Option<ValueFns> {
    let all = TYPES.lock().unwrap_or_else(PoisonError::into_inner);
    let types = all.as_ref()?.get(&key)?;
    match at {
        INPUTS => Some(types.inputs),
        _ => (types.output)(at),
    }
}

/// See the module's page.
#[derive(Clone)]
pub(crate) struct Coded {
    types: u64,
    at: u32,
    value: Erased,
}

impl Coded {
    /// The value at `at` of a graph whose types have this name.
    pub(crate) fn new(types: u64, at: u32, value: Erased) -> Self {
        Self { types, at, value }
    }

    /// The value, if it is of this type.
    pub(crate) fn downcast<T: Send + Sync + 'static>(self) -> Result<Arc<T>, String> {
        let wrong = |_| format!("it is no {}", type_name::<T>());
        self.value.downcast::<T>().map_err(wrong)
    }
}

/// Bytes, in one piece.
struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

const UNKNOWN: &str = "no handle of a graph of such types has come to this process";

impl Serialize for Coded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fns = types_of(self.types, self.at).ok_or_else(|| S::Error::custom(UNKNOWN))?;
        let bytes = (fns.encode)(&*self.value).map_err(S::Error::custom)?;
        (self.types, self.at, Raw(&bytes)).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Coded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (types, at, bytes) = <(u64, u32, &'de [u8])>::deserialize(deserializer)?;
        let fns = types_of(types, at).ok_or_else(|| D::Error::custom(UNKNOWN))?;
        let value = (fns.decode)(bytes).map_err(D::Error::custom)?;
        Ok(Self { types, at, value })
    }
}
