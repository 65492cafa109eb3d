//! Inline mode: the values of a call go through bytes and back, as on the way to another process.
//!
//! - PB-1 what the function gets, and what its callers get, is the decoded value. So a value that
//!   does not come through is found where a debugger sees caller and function on one stack, and a
//!   field that serde skips is missing there too.
//! - PB-2 values inside refs are no exception: the function gets a ref of the decoded value.
//! - PB-3 a function that is `local` has no codec, and its values stay as they are.
//! - PB-4 in other modes nobody looks at the mode: a cell goes through bytes because inline mode
//!   gave it another vtable (`VTable::portable`) where it would have been queued.

use super::args::Params;
use super::failure::Failure;
use super::meta::Function;
use crate::error::Error;
use crate::executor::local::Local;
use crate::graph::relay::load;
use crate::graph::remote::packet::{Kind, OBJECTS_MAX, Packed};
use crate::graph::remote::plain::IsPlain;
use crate::node::Node;
use crate::object::codec::{self, round_trip};
use crate::object::scope;
use crate::worker::parcel::{Arrays, Parcel};
use std::any::{Any, TypeId};

/// How the values of one function travel.
#[derive(Debug)]
pub struct Codec {
    /// One for each parameter.
    pub args: &'static [ValueCodec],
    /// One for each result: several with `num_returns`, none for a constructor.
    pub results: &'static [ValueCodec],
    /// With `num_returns`, of the whole tuple.
    pub whole: Option<ValueCodec>,
}

/// A value of the erased type as it arrives, or what stands in its way; `None` for another type.
type RoundTrip = fn(&dyn Any) -> Option<Result<Box<dyn Any>, String>>;

/// How one value travels.
#[derive(Debug)]
pub struct ValueCodec {
    /// The parameter's name.
    name: &'static str,
    round_trip: RoundTrip,
    encode: Encode,
    decode: Decode,
    transcode: Transcode,
    /// The type, if it is nothing but its bytes.
    plain: fn() -> Option<TypeId>,
    pack_plain: fn(&dyn Any, &mut Packed) -> bool,
    /// Values are packed already, and are passed on as they are (GY-1).
    is_load: bool,
}

/// Appends the bytes of a value of the erased type.
type Encode = fn(&dyn Any, &mut Parcel) -> Result<(), String>;
/// Takes a value off the front of the bytes and puts it into an `Option` of the erased type.
type Decode = fn(&mut &[u8], &mut dyn Any) -> Result<(), String>;

/// Has a value put into an `Option` of the erased type by the one, and gives it to the other.
type Transcode = fn(
    &mut dyn FnMut(&mut dyn Any) -> Result<(), String>,
    &mut dyn FnMut(&dyn Any) -> Result<(), String>,
) -> Result<(), String>;

impl ValueCodec {
    /// The codec of values that are no function's.
    pub(crate) const fn unnamed<T: crate::Value>() -> Self {
        Self::of::<T>("", IsPlain::NO)
    }

    /// The codec of values that are packed already.
    pub(crate) const LOADS: Self = Self {
        is_load: true,
        ..Self::unnamed::<()>()
    };

    /// The codec of a parameter of type `T`; results have no name.
    pub const fn of<T: crate::Value>(name: &'static str, plain: IsPlain<T>) -> Self {
        Self {
            name,
            is_load: false,
            pack_plain: plain.pack_any(),
            plain: match plain.get() {
                true => || Some(TypeId::of::<T>()),
                false => || None,
            },
            round_trip: |value| {
                let value = value.downcast_ref::<T>()?;
                Some(round_trip(value).map(|value| Box::new(value) as Box<dyn Any>))
            },
            encode: |value, parcel| match value.downcast_ref::<T>() {
                Some(value) => codec::write(value, parcel),
                None => Err(codec::other_type::<T>()),
            },
            transcode: |read, write| {
                let mut slot: Option<T> = None;
                read(&mut slot)?;
                match &slot {
                    Some(value) => write(value),
                    None => Err(codec::other_type::<T>()),
                }
            },
            decode: |bytes, slot| {
                let value = codec::read::<T>(bytes)?;
                match slot.downcast_mut::<Option<T>>() {
                    Some(slot) => *slot = Some(value),
                    None => return Err(codec::other_type::<T>()),
                }
                Ok(())
            },
        }
    }

    /// The parameter's name.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// The type that it is for, if that is nothing but its bytes.
    pub(crate) fn plain(&self) -> Option<TypeId> {
        (self.plain)()
    }

    /// Packs a constant of a graph, or says what stands in the way.
    pub(crate) fn pack_constant(&self, value: &dyn Any, packed: &mut Packed) -> Result<(), String> {
        if (self.pack_plain)(value, packed) {
            return Ok(());
        }
        packed.fill(Kind::Value, |bytes| {
            self.encode_into(value, bytes, Arrays::Copied).map(|_| ())
        })
    }

    /// Packs `value`, which is known not to be plain, for an edge between processes, or says what
    /// stands in the way.
    pub(crate) fn pack_encoded(&self, value: &dyn Any, packed: &mut Packed) -> Result<(), String> {
        if self.is_load {
            return load::pack(value, packed);
        }
        let own = packed.owns();
        packed.fill_value(|bytes, beside| {
            let objects = std::mem::take(beside);
            let arrays = Arrays::Beside { objects, own };
            if let Some(Arrays::Beside { objects, .. }) = self.encode_into(value, bytes, arrays)? {
                *beside = objects;
            }
            Ok(())
        })
    }

    /// Appends `value` with the bytes of its arrays, or says what stands in the way.
    pub(crate) fn encode_copied(&self, value: &dyn Any, bytes: &mut Vec<u8>) -> Result<(), String> {
        self.encode_into(value, bytes, Arrays::Copied).map(drop)
    }

    fn encode_into(
        &self,
        value: &dyn Any,
        bytes: &mut Vec<u8>,
        arrays: Arrays,
    ) -> Result<Option<Arrays>, String> {
        let mut parcel = Parcel::in_buffer(std::mem::take(bytes));
        parcel.arrays = Some(arrays);
        let encoded = self.encode(value, &mut parcel);
        *bytes = parcel.bytes;
        encoded?;
        match parcel.things.is_empty() {
            true => Ok(parcel.arrays),
            false => Err(format!(
                "with a value on an edge of a compiled graph go at most {OBJECTS_MAX} refs, handles \
                 and arrays, and with a constant of a graph or a recorded value no ref and no handle; \
                 pass them to an ordinary call"
            )),
        }
    }

    /// Puts the value of a packet into `slot`, an `Option` of its type.
    pub(crate) fn unpack(&self, packed: &Packed, slot: &mut dyn Any) -> Result<(), String> {
        if self.is_load {
            return load::unpack(packed, slot);
        }
        scope::read_beside(packed.objects(), || self.decode(packed.bytes(), slot))
    }

    /// Packs the value of `from` anew, with this process as the one that has what lies beside it.
    pub(crate) fn repack(&self, from: &Packed, into: &mut Packed) -> Result<(), String> {
        (self.transcode)(&mut |slot| self.unpack(from, slot), &mut |value| {
            self.pack_encoded(value, into)
        })
    }

    /// Appends `value`, or says what stands in the way.
    pub(crate) fn encode(&self, value: &dyn Any, parcel: &mut Parcel) -> Result<(), String> {
        (self.encode)(value, parcel)
    }

    /// Puts the value that the whole of `bytes` is into `slot`, an `Option` of its type.
    pub(crate) fn decode(&self, bytes: &[u8], slot: &mut dyn Any) -> Result<(), String> {
        let mut rest = bytes;
        self.decode_next(&mut rest, slot)?;
        match rest.len() {
            0 => Ok(()),
            left => Err(codec::left_over("it", left)),
        }
    }

    /// Takes a value off the front of `bytes` and puts it into `slot`, an `Option` of its type.
    pub(crate) fn decode_next(&self, bytes: &mut &[u8], slot: &mut dyn Any) -> Result<(), String> {
        (self.decode)(bytes, slot)
    }
}

/// The decoded value; `None` where there is nothing to encode.
pub(crate) type Arrived = Result<Option<Box<dyn Any>>, Failure>;

#[cold]
fn not_portable(function: &str, value: String, problem: String) -> Failure {
    Failure::runtime(Error::NotPortable {
        function: function.into(),
        value,
        problem,
    })
}

/// Sends the arguments of `M` through bytes.
#[cold]
pub(crate) fn arguments<M: Function, P: Params>(params: &mut P) -> Result<(), Failure> {
    let Some(codec) = M::META.codec else {
        return Ok(());
    };
    params.travel(&mut |index, value| {
        let Some(arg) = codec.args.get(index) else {
            return Ok(None);
        };
        (arg.round_trip)(value).transpose().map_err(|problem| {
            not_portable(M::META.name, format!("argument `{}`", arg.name), problem)
        })
    })
}

/// Sends the `index`th result of `M` through bytes.
#[cold]
pub(crate) fn result<M: Function, T: 'static>(index: usize, value: T) -> Result<T, Failure> {
    let results = M::META.codec.map_or(&[][..], |codec| codec.results);
    let Some(result) = results.get(index) else {
        return Ok(value);
    };
    match (result.round_trip)(&value) {
        None => Ok(value),
        Some(Ok(arrived)) => Ok(arrived.downcast().map_or(value, |arrived| *arrived)),
        Some(Err(problem)) => {
            let which = match results.len() {
                1 => "the result".to_owned(),
                _ => format!("result {index}"),
            };
            Err(not_portable(M::META.name, which, problem))
        }
    }
}

/// A call of `M` with its values sent through bytes.
#[cold]
pub(crate) fn call<M, P, T>(
    mut params: P,
    run: impl FnOnce(P) -> Result<T, Failure>,
) -> Result<T, Failure>
where
    M: Function,
    P: Params,
    T: 'static,
{
    arguments::<M, P>(&mut params)?;
    result::<M, T>(0, run(params)?)
}

/// Whether the runtime of this thread is in inline mode.
pub(crate) fn runs_inline() -> bool {
    match Local::current() {
        Some(local) => local.node.runs_inline(),
        None => Node::current("inline mode").is_ok_and(|node| node.runs_inline()),
    }
}

/// Whether values of `M` that are not the value of a cell go through bytes: items of streams,
/// parts of a result, values in a graph that is being compiled.
pub(crate) fn applies_to<M: Function>() -> bool {
    M::META.codec.is_some() && runs_inline()
}
