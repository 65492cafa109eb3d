//! Refs and actor handles inside serialised values.
//!
//! A ref is an index into a table that travels beside the bytes: while a value is encoded in a
//! scope, each ref in it is put into the scope's table; decoding takes them out by index. So a
//! ref never becomes a number that somebody could guess or keep.

use super::reference::Ref;
use crate::actor::handle::{Actor, ActorType};
use crate::error::{Error, Result};
use crate::executor::local::Local;
use crate::worker::bulk::claims::{Claims, HAS_OBJECTS};
use crate::worker::bulk::{Beside, Name};
use crate::worker::handles;
use crate::worker::message::BODY_BYTES_MAX;
use crate::worker::parcel::{Arrays, Parcel, Thing};
use crate::worker::peer::Peer;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::any::{Any, type_name};
use std::cell::{Cell, RefCell};
use std::sync::Arc;

thread_local! {
    static SCOPE: RefCell<Option<Scope>> = const { RefCell::new(None) };
}

thread_local! {
    /// What stood in the way of the value that was encoded or decoded last: the format itself carries
    /// no more than that there was something.
    static TROUBLE: RefCell<Option<Error>> = const { RefCell::new(None) };
}

/// Keeps what stands in the way of a value, for [`explained`]; its text for the format.
pub(super) fn trouble(error: impl Into<Error>) -> String {
    let error = error.into();
    let text = error.to_string();
    TROUBLE.set(Some(error));
    text
}

/// What stood in the way of the value that was encoded or decoded last on this thread, if it is known
/// better than `error` says.
#[cold]
pub(crate) fn explained(error: Error) -> Error {
    TROUBLE.take().unwrap_or(error)
}

/// Where refs and handles of the value that is encoded or decoded on this thread go.
enum Scope {
    /// Beside the bytes, in this process.
    Table(Vec<Box<dyn Any + Send>>),
    /// To another process.
    Out(Vec<Box<dyn Thing>>),
}

/// A value as bytes, and the refs it holds.
pub struct Encoded {
    bytes: Vec<u8>,
    refs: Vec<Box<dyn Any + Send>>,
}

/// Puts the scope of an outer value back, also when a `Serialize` panics.
struct Outer(Option<Scope>);

impl Drop for Outer {
    fn drop(&mut self) {
        let outer = self.0.take();
        drop(SCOPE.with(|scope| std::mem::replace(&mut *scope.borrow_mut(), outer)));
    }
}

fn in_scope<R>(scope: Scope, body: impl FnOnce() -> R) -> (R, Option<Scope>) {
    let outer = Outer(SCOPE.with(|now| now.borrow_mut().replace(scope)));
    let result = body();
    let scope = SCOPE.with(|now| now.borrow_mut().take());
    drop(outer);
    (result, scope)
}

fn with_scope<R>(
    table: Vec<Box<dyn Any + Send>>,
    body: impl FnOnce() -> R,
) -> (R, Vec<Box<dyn Any + Send>>) {
    match in_scope(Scope::Table(table), body) {
        (result, Some(Scope::Table(table))) => (result, table),
        (result, _) => (result, Vec::new()),
    }
}

/// Refs and handles of values that are encoded and stay in this process.
pub(crate) type Table = Vec<Box<dyn Any + Send>>;

/// Runs `body`, which encodes or decodes values that stay in this process, and whose refs are in
/// `table`.
pub(crate) fn beside<R>(table: Table, body: impl FnOnce() -> R) -> (R, Table) {
    with_scope(table, body)
}

thread_local! {
    /// The process whose values were decoded last on this thread, and in how many calls of
    /// [`from_peer`] the thread is now.
    static FROM: RefCell<Option<Arc<Peer>>> = const { RefCell::new(None) };
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// One call of [`from_peer`]; puts an outer one's process back.
struct From(Option<Arc<Peer>>);

impl Drop for From {
    #[inline]
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
        if let Some(outer) = self.0.take() {
            FROM.set(Some(outer));
        }
    }
}

/// Runs `decode` with the value in the body of a message that came from `peer` with this flag.
#[inline]
pub(crate) fn from_peer<R>(
    peer: &Arc<Peer>,
    flag: u8,
    body: &[u8],
    decode: impl FnOnce(&[u8]) -> R,
) -> R {
    let is_same =
        FROM.with_borrow(|from| from.as_ref().is_some_and(|from| Arc::ptr_eq(from, peer)));
    let outer = match is_same {
        true => None,
        false => FROM.replace(Some(peer.clone())),
    };
    DEPTH.set(DEPTH.get() + 1);
    let _from = From(outer);
    match flag & HAS_OBJECTS {
        0 => decode(body),
        _ => with_objects(peer, flag, body, decode),
    }
}

thread_local! {
    /// What came with the value that is decoded on this thread.
    static CLAIMS: RefCell<Option<Claims>> = const { RefCell::new(None) };
}

/// One call of [`with_objects`]; puts back what came with an outer value.
struct OuterClaims(Option<Claims>);

impl Drop for OuterClaims {
    fn drop(&mut self) {
        // Outside of the cell: what was not taken goes back.
        let inner = CLAIMS.replace(self.0.take());
        drop(inner);
    }
}

fn with_objects<R>(peer: &Arc<Peer>, flag: u8, body: &[u8], decode: impl FnOnce(&[u8]) -> R) -> R {
    let (bytes, claims) = Claims::split(peer, flag, body);
    let _outer = OuterClaims(CLAIMS.replace(Some(claims)));
    decode(bytes)
}

/// The process that the value came from, if an object of this name came with it; it is then the
/// caller's.
pub(super) fn claim(name: Name) -> Option<Arc<Peer>> {
    let peer = comes_from()?;
    let came = CLAIMS.with_borrow_mut(|claims| claims.as_mut().is_some_and(|all| all.take(name)));
    came.then_some(peer)
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
    let (bytes, refs) = with_scope(Vec::new(), || postcard::to_stdvec(value));
    match bytes {
        Ok(bytes) => Ok(Encoded { bytes, refs }),
        Err(error) => Err(format!("{} cannot be encoded: {error}", type_name::<T>())),
    }
}

fn try_decode<T: for<'a> Deserialize<'a>>(encoded: Encoded) -> std::result::Result<T, Problem> {
    let Encoded { bytes, refs } = encoded;
    let (value, _) = with_scope(refs, || {
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

/// Appends a value that goes to another process, or stays here ([`beside`]), or says what stands in
/// the way.
pub(crate) fn write<T: Serialize>(
    value: &T,
    parcel: &mut Parcel,
) -> std::result::Result<(), Problem> {
    TROUBLE.set(None);
    let bytes = std::mem::take(&mut parcel.bytes);
    let written = if has_table() {
        postcard::to_extend(value, bytes)
    } else {
        let things = std::mem::take(&mut parcel.things);
        let outer = ARRAYS.replace(parcel.arrays.take());
        let (written, scope) = in_scope(Scope::Out(things), || postcard::to_extend(value, bytes));
        parcel.arrays = ARRAYS.replace(outer);
        if let Some(Scope::Out(things)) = scope {
            parcel.things = things;
        }
        written
    };
    match written {
        Ok(bytes) if bytes.len() > BODY_BYTES_MAX => Err(format!(
            "{} and what goes with it are {} bytes, and at most {BODY_BYTES_MAX} can be sent at once: use arrays for bulk data",
            type_name::<T>(),
            bytes.len()
        )),
        Ok(bytes) => {
            parcel.bytes = bytes;
            Ok(())
        }
        Err(error) => Err(format!("{} cannot be encoded: {error}", type_name::<T>())),
    }
}

/// Takes a value off the front of `bytes`, or says what is wrong with them.
pub(crate) fn read<T: for<'a> Deserialize<'a>>(
    bytes: &mut &[u8],
) -> std::result::Result<T, Problem> {
    TROUBLE.set(None);
    let _reading = Reading::new();
    match postcard::take_from_bytes(bytes) {
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
pub(crate) fn left_over<T>(bytes: usize) -> Problem {
    format!(
        "{} cannot be decoded: {bytes} bytes are left over",
        type_name::<T>()
    )
}

/// Puts `()` into `slot`: the result of a function whose results travel in another way.
pub(crate) fn decode_unit(bytes: &[u8], slot: &mut dyn Any) -> std::result::Result<(), Problem> {
    match slot.downcast_mut::<Option<()>>() {
        Some(slot) if bytes.is_empty() => *slot = Some(()),
        Some(_) => return Err(left_over::<()>(bytes.len())),
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

pub(super) fn put<E: Send + 'static>(entry: E) -> Option<u32> {
    SCOPE.with(|scope| {
        let mut scope = scope.borrow_mut();
        let Some(Scope::Table(table)) = scope.as_mut() else {
            return None;
        };
        table.push(Box::new(entry));
        u32::try_from(table.len() - 1).ok()
    })
}

pub(super) fn get<E: Clone + 'static>(index: u32) -> Option<E> {
    SCOPE.with(|scope| {
        let scope = scope.borrow();
        let Some(Scope::Table(table)) = scope.as_ref() else {
            return None;
        };
        table.get(index as usize)?.downcast_ref::<E>().cloned()
    })
}

/// Whether there is a table beside the value that is encoded or decoded on this thread.
pub(super) fn has_table() -> bool {
    SCOPE.with(|scope| matches!(*scope.borrow(), Some(Scope::Table(_))))
}

thread_local! {
    /// Where arrays of the value that is encoded go, if not with it as things.
    static ARRAYS: RefCell<Option<Arrays>> = const { RefCell::new(None) };
    /// What came beside the value that is decoded.
    static CAME: RefCell<Vec<Beside>> = const { RefCell::new(Vec::new()) };
    /// In how many calls of [`read`] this thread is.
    static READING: Cell<u32> = const { Cell::new(0) };
}

/// One call of [`read`], also if a `Deserialize` panics.
struct Reading;

impl Reading {
    fn new() -> Self {
        READING.set(READING.get() + 1);
        Self
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        READING.set(READING.get() - 1);
    }
}

/// Where arrays of the value that is encoded on this thread go, if not with it as things.
pub(super) fn with_arrays<R>(then: impl FnOnce(&mut Arrays) -> R) -> Option<R> {
    match goes_out() {
        true => ARRAYS.with_borrow_mut(|arrays| arrays.as_mut().map(then)),
        false => None,
    }
}

/// One call of [`read_beside`]; puts back what came beside an outer value.
struct OuterCame(Vec<Beside>);

impl Drop for OuterCame {
    fn drop(&mut self) {
        let inner = CAME.replace(std::mem::take(&mut self.0));
        drop(inner);
    }
}

/// Runs `decode` with a value that `objects` came beside.
pub(crate) fn read_beside<R>(objects: &[Beside], decode: impl FnOnce() -> R) -> R {
    if objects.is_empty() {
        return decode();
    }
    let _outer = OuterCame(CAME.replace(objects.to_vec()));
    decode()
}

/// What came beside the value that is decoded on this thread.
pub(super) fn came(number: u32) -> Option<Beside> {
    CAME.with_borrow(|came| came.get(number as usize).cloned())
}

/// Whether a value of another process is decoded on this thread.
pub(super) fn is_reading() -> bool {
    READING.get() > 0
}

/// Whether the value that is encoded on this thread goes to another process.
pub(crate) fn goes_out() -> bool {
    SCOPE.with(|scope| matches!(*scope.borrow(), Some(Scope::Out(_))))
}

/// Whether it goes along an edge of a graph, where there is nobody who could resolve a ref.
fn goes_along_an_edge() -> bool {
    goes_out() && ARRAYS.with_borrow(Option::is_some)
}

/// A ref or a handle that was found on an edge: the value is refused for it.
struct Stranded;

impl Thing for Stranded {
    fn give(&self, _: &Arc<Peer>, _: &Local) {}
}

/// Puts something that the value refers to into its parcel.
pub(crate) fn take_along(thing: Box<dyn Thing>) {
    SCOPE.with(|scope| {
        if let Some(Scope::Out(things)) = scope.borrow_mut().as_mut() {
            things.push(thing);
        }
    });
}

/// The process that the value came from which is decoded on this thread.
pub(crate) fn comes_from() -> Option<Arc<Peer>> {
    let is_table = SCOPE.with(|scope| scope.borrow().is_some());
    if DEPTH.get() == 0 || is_table {
        return None;
    }
    FROM.with_borrow(Clone::clone)
}

const OUTSIDE: &str = "a ref or actor handle can only be encoded by maser itself, inside a value that is passed to a task, method or graph";

impl<T: crate::Value> Serialize for Ref<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        if goes_along_an_edge() {
            take_along(Box::new(Stranded));
            return 0_u32.serialize(serializer);
        }
        if goes_out() {
            return handles::write_ref(self, take_along, serializer);
        }
        let index = put(self.clone()).ok_or_else(|| S::Error::custom(OUTSIDE))?;
        index.serialize(serializer)
    }
}

impl<'de, T: crate::Value> Deserialize<'de> for Ref<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        if let Some(peer) = comes_from() {
            return handles::read_ref(&peer, deserializer);
        }
        let index = u32::deserialize(deserializer)?;
        get(index).ok_or_else(|| D::Error::custom(OUTSIDE))
    }
}

impl<A: ActorType> Serialize for Actor<A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        if goes_along_an_edge() {
            take_along(Box::new(Stranded));
            return 0_u32.serialize(serializer);
        }
        if goes_out() {
            return handles::write_actor(self, take_along, serializer);
        }
        let index = put(self.clone()).ok_or_else(|| S::Error::custom(OUTSIDE))?;
        index.serialize(serializer)
    }
}

impl<'de, A: ActorType> Deserialize<'de> for Actor<A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        if let Some(peer) = comes_from() {
            return handles::read_actor(&peer, deserializer);
        }
        let index = u32::deserialize(deserializer)?;
        get(index).ok_or_else(|| D::Error::custom(OUTSIDE))
    }
}
