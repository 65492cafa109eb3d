//! Arguments and results of one function as bytes: the part of a cell's vtable that a call to
//! another process uses.
//!
//! - VL-1 the arguments stay in the cell while they are encoded, and are dropped once they are; so a
//!   value that cannot be encoded fails the call as if it had never been sent.
#![allow(
    unsafe_code,
    reason = "type-erased cells: the vtable tells the types behind the pointer"
)]

use crate::error::{Error, Fault, Outcome};
use crate::object::{codec, scope};
use crate::task::args::Params;
use crate::task::failure::{Failure, discard};
use crate::task::meta::Function;
use crate::task::raw::Header;
use crate::worker::parcel::Parcel;
use std::ptr::NonNull;

/// How the values of one cell travel; types as in its vtable (TC-3).
pub(crate) struct Travel {
    /// Appends the bytes of the arguments, which are there and stay (VL-1).
    pub(crate) encode: unsafe fn(NonNull<Header>, &mut Parcel) -> Result<(), Fault>,
    /// Drops the arguments (VL-1): from now on only `arrive` may be called.
    pub(crate) depart: unsafe fn(NonNull<Header>),
    /// Completes the cell with the result's bytes, or with an error.
    pub(crate) arrive: unsafe fn(NonNull<Header>, Outcome<&[u8]>),
}

/// Nothing of it travels.
pub(crate) const NEVER: Travel = Travel {
    encode: never_encode,
    depart: never_depart,
    arrive: never_arrive,
};

unsafe fn never_encode(_: NonNull<Header>, _: &mut Parcel) -> Result<(), Fault> {
    unreachable!("a cell of this kind never leaves its process");
}

unsafe fn never_depart(_: NonNull<Header>) {
    unreachable!("a cell of this kind never leaves its process");
}

unsafe fn never_arrive(_: NonNull<Header>, _: Outcome<&[u8]>) {
    unreachable!("a cell of this kind never leaves its process");
}

/// For a cell with arguments `(P, F)` and outcome `T` of function `M`.
pub(crate) const fn of<M: Function, P: Params, F: 'static, T: Send + Sync + 'static>() -> Travel {
    Travel {
        encode: encode::<M, P, F>,
        depart: depart::<P, F>,
        arrive: arrive::<M, T>,
    }
}

#[cold]
fn not_portable(function: &str, value: String, problem: String) -> Fault {
    Fault::new(scope::explained(Error::NotPortable {
        function: function.into(),
        value,
        problem,
    }))
}

/// # Safety
/// TC-3; the arguments are there and nobody else's.
unsafe fn encode<M: Function, P: Params, F>(
    cell: NonNull<Header>,
    parcel: &mut Parcel,
) -> Result<(), Fault> {
    if M::META.codec.is_none() {
        let problem = "the function is `local`".to_owned();
        return Err(not_portable(M::META.name, "a call".into(), problem));
    }
    // SAFETY: the caller's promise.
    let (params, _) = unsafe { &*Header::args::<(P, F)>(cell) };
    arguments::<M, P>(params, parcel).map_err(|failure| failure.into_fault(M::META.name, None).0)
}

/// Appends the arguments of `M`, which has a codec; they are there.
pub(crate) fn arguments<M: Function, P: Params>(
    params: &P,
    parcel: &mut Parcel,
) -> Result<(), Failure> {
    let args = M::META.codec.map_or(&[][..], |codec| codec.args);
    params.each(&mut |index, value| {
        let Some(arg) = args.get(index) else {
            return Ok(());
        };
        arg.encode(value, parcel).map_err(|problem| {
            let which = format!("argument `{}`", arg.name());
            Failure::runtime(scope::explained(Error::NotPortable {
                function: M::META.name.into(),
                value: which,
                problem,
            }))
        })
    })
}

/// # Safety
/// As for `encode`; the arguments are not used again.
unsafe fn depart<P, F>(cell: NonNull<Header>) {
    // SAFETY: the caller's promise.
    discard(unsafe { Header::args::<(P, F)>(cell).read() });
}

/// # Safety
/// TC-1: the arguments are gone, and the caller has the right to complete.
unsafe fn arrive<M: Function, T: Send + Sync + 'static>(
    cell: NonNull<Header>,
    outcome: Outcome<&[u8]>,
) {
    let outcome = outcome.and_then(result::<M, T>);
    // SAFETY: the caller's promise.
    unsafe { Header::finish::<T>(cell, outcome) };
}

/// The result of `M` that the bytes are.
pub(crate) fn result<M: Function, T: 'static>(bytes: &[u8]) -> Outcome<T> {
    let codec = M::META.codec;
    let result = codec.and_then(|codec| codec.whole.as_ref().or(codec.results.first()));
    let mut value: Option<T> = None;
    let decoded = match result {
        Some(result) => result.decode(bytes, &mut value),
        None => codec::decode_unit(bytes, &mut value),
    };
    match (decoded, value) {
        (Ok(()), Some(value)) => Ok(value),
        (Ok(()), None) => Err("it is of another type".to_owned()),
        (Err(problem), _) => Err(problem),
    }
    .map_err(|problem| not_portable(M::META.name, "the result".into(), problem))
}
