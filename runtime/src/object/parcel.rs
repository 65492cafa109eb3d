//! Buffers beside the bytes of a value: they are taken out while it is encoded and put back while it
//! is decoded, so that the bytes hold their numbers alone.
//!
//! - PC-1 a value that was encoded in [`packing`] is decoded in [`unpacking`], with the buffers that
//!   came out in the same order. Outside of both, arrays are sequences like any other.

use super::buffer::Buffer;
use crate::error::Error;
use std::cell::RefCell;

/// What was there, or why it is not.
pub(crate) type Arrival = Result<Buffer, Error>;

enum Scope {
    Packing(Vec<Buffer>),
    Unpacking(Vec<Arrival>, Option<Error>),
}

thread_local! {
    static SCOPE: RefCell<Option<Scope>> = const { RefCell::new(None) };
}

/// Puts the scope of an outer value back, also when a `Serialize` panics.
struct Outer(Option<Scope>);

impl Drop for Outer {
    fn drop(&mut self) {
        let outer = self.0.take();
        drop(SCOPE.with(|scope| std::mem::replace(&mut *scope.borrow_mut(), outer)));
    }
}

fn within<R>(inner: Option<Scope>, body: impl FnOnce() -> R) -> (R, Option<Scope>) {
    let outer = Outer(SCOPE.with(|scope| std::mem::replace(&mut *scope.borrow_mut(), inner)));
    let result = body();
    let inner = SCOPE.with(|scope| scope.borrow_mut().take());
    drop(outer);
    (result, inner)
}

/// Encodes something; the buffers that are in it come out.
#[inline]
pub(crate) fn packing<R>(body: impl FnOnce() -> R) -> (R, Vec<Buffer>) {
    match within(Some(Scope::Packing(Vec::new())), body) {
        (result, Some(Scope::Packing(buffers))) => (result, buffers),
        (result, _) => (result, Vec::new()),
    }
}

/// Decodes something that has these buffers in it. With it comes the first of them that was wanted
/// and had not arrived.
#[inline]
pub(crate) fn unpacking<R>(
    buffers: &mut Vec<Arrival>,
    body: impl FnOnce() -> R,
) -> (R, Option<Error>) {
    let scope = Scope::Unpacking(std::mem::take(buffers), None);
    match within(Some(scope), body) {
        (result, Some(Scope::Unpacking(rest, missing))) => {
            *buffers = rest;
            (result, missing)
        }
        (result, _) => (result, None),
    }
}

/// Takes a buffer out of the value that is being encoded; its number there. `None` outside.
pub(super) fn pack(buffer: &Buffer) -> Option<u32> {
    SCOPE.with(|scope| match &mut *scope.borrow_mut() {
        Some(Scope::Packing(buffers)) => {
            let number = u32::try_from(buffers.len()).ok()?;
            buffers.push(buffer.clone());
            Some(number)
        }
        _ => None,
    })
}

/// Whether a value with buffers beside it is being decoded.
pub(super) fn is_unpacking() -> bool {
    SCOPE.with(|scope| matches!(&*scope.borrow(), Some(Scope::Unpacking(..))))
}

/// The buffer with this number; else what to say.
pub(super) fn unpack(number: u32) -> Result<Buffer, String> {
    SCOPE.with(|scope| match &mut *scope.borrow_mut() {
        Some(Scope::Unpacking(buffers, missing)) => match buffers.get(number as usize) {
            Some(Ok(buffer)) => Ok(buffer.clone()),
            Some(Err(error)) => {
                let text = error.to_string();
                missing.get_or_insert_with(|| error.clone());
                Err(text)
            }
            None => Err(format!(
                "buffer {number} of a value that came with {}",
                buffers.len()
            )),
        },
        _ => Err("there is no value that came with buffers".to_owned()),
    })
}
