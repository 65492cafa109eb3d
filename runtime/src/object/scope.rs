//! What holds for the value that is encoded or decoded on this thread: where it goes or comes from,
//! and what goes along.
//!
//! Most values have nothing that goes along. So what holds is one word without a destructor, which is
//! a load and a store to set and to put back; the tables beside it are reached by values that need
//! them.

use crate::error::Error;
use crate::graph::remote::packet::OBJECTS_MAX;
use crate::worker::along::Beside;
use crate::worker::bulk::Name;
use crate::worker::bulk::claims::{Claims, HAS_OBJECTS};
use crate::worker::parcel::{Arrays, Thing};
use crate::worker::peer::Peer;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::sync::Arc;

/// Where the refs and handles of a value go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Nowhere: it has to be decoded without, or is no value of ours.
    None,
    /// Beside the bytes, in this process ([`TABLE`]).
    Table,
    /// To another process ([`THINGS`]).
    Out,
}

#[derive(Clone, Copy)]
struct Now {
    way: Way,
    /// Its arrays go where [`ARRAYS`] says.
    has_arrays: bool,
    /// It is decoded.
    reads: bool,
    /// It came from the process in [`FROM`].
    is_from_peer: bool,
    /// The first in [`THINGS`] that goes with it, once there is one.
    things_from: Option<u32>,
}

/// Refs and handles of values that are encoded and stay in this process.
pub(crate) type Table = Vec<Box<dyn Any + Send>>;

thread_local! {
    static NOW: Cell<Now> = const {
        Cell::new(Now {
            way: Way::None,
            has_arrays: false,
            reads: false,
            is_from_peer: false,
            things_from: None,
        })
    };
    /// Whether there is something in [`TROUBLE`].
    static IS_TROUBLED: Cell<bool> = const { Cell::new(false) };
    /// What stood in the way of the value that was encoded or decoded last: the format itself carries
    /// no more than that there was something.
    static TROUBLE: RefCell<Option<Error>> = const { RefCell::new(None) };
    static TABLE: RefCell<Table> = const { RefCell::new(Vec::new()) };
    static THINGS: RefCell<Vec<Box<dyn Thing>>> = const { RefCell::new(Vec::new()) };
    /// Where arrays of the value that is encoded go, if not with it as things.
    static ARRAYS: RefCell<Option<Arrays>> = const { RefCell::new(None) };
    /// What came beside the value that is decoded.
    static CAME: RefCell<Vec<Beside>> = const { RefCell::new(Vec::new()) };
    /// The process whose values were decoded last.
    static FROM: RefCell<Option<Arc<Peer>>> = const { RefCell::new(None) };
    /// What came with the value that is decoded.
    static CLAIMS: RefCell<Option<Claims>> = const { RefCell::new(None) };
}

/// Something holds for as long as this lives; then what held before, also after a panic.
struct Entered(Now);

impl Entered {
    #[inline(always)]
    fn with(change: impl FnOnce(&mut Now)) -> Self {
        let outer = NOW.get();
        let mut now = outer;
        change(&mut now);
        NOW.set(now);
        Self(outer)
    }
}

impl Drop for Entered {
    #[inline(always)]
    fn drop(&mut self) {
        let inner = NOW.replace(self.0);
        if inner.things_from != self.0.things_from {
            drop(take_things(inner.things_from));
        }
    }
}

/// The things that go with a value.
#[cold]
fn take_things(from: Option<u32>) -> Vec<Box<dyn Thing>> {
    let Some(from) = from else { return Vec::new() };
    THINGS.with_borrow_mut(|things| things.split_off((from as usize).min(things.len())))
}

/// Runs `encode`, which encodes a value that goes to another process. What goes with it is added to
/// `things`, but for its arrays if `arrays` says where they go.
#[inline(always)]
pub(super) fn going_out<R>(
    things: &mut Vec<Box<dyn Thing>>,
    arrays: &mut Option<Arrays>,
    encode: impl FnOnce() -> R,
) -> R {
    let has_arrays = arrays.is_some();
    let _entered = Entered::with(|now| {
        now.way = Way::Out;
        now.has_arrays = has_arrays;
        now.things_from = None;
    });
    let encoded = match has_arrays {
        false => encode(),
        true => {
            let _lent = LentArrays::new(arrays);
            encode()
        }
    };
    if let Some(from) = NOW.get().things_from {
        things.append(&mut take_things(Some(from)));
    }
    encoded
}

/// What says where arrays go is in [`ARRAYS`]; then what was there before, also after a panic.
struct LentArrays<'a> {
    arrays: &'a mut Option<Arrays>,
    outer: Option<Arrays>,
}

impl<'a> LentArrays<'a> {
    fn new(arrays: &'a mut Option<Arrays>) -> Self {
        let outer = ARRAYS.replace(arrays.take());
        Self { arrays, outer }
    }
}

impl Drop for LentArrays<'_> {
    fn drop(&mut self) {
        *self.arrays = ARRAYS.replace(self.outer.take());
    }
}

/// Puts the table of an outer value back.
struct Outer(Option<Table>);

impl Drop for Outer {
    fn drop(&mut self) {
        if let Some(outer) = self.0.take() {
            drop(TABLE.replace(outer));
        }
    }
}

/// Runs `body`, which encodes or decodes values that stay in this process, and whose refs are in
/// `table`; gives the table back.
pub(crate) fn beside<R>(table: Table, body: impl FnOnce() -> R) -> (R, Table) {
    let mut outer = Outer(Some(TABLE.replace(table)));
    let entered = Entered::with(|now| {
        now.way = Way::Table;
        now.things_from = None;
    });
    let result = body();
    drop(entered);
    let table = TABLE.replace(outer.0.take().unwrap_or_default());
    (result, table)
}

/// Runs `decode`, which decodes a value.
#[inline(always)]
pub(super) fn reading<R>(decode: impl FnOnce() -> R) -> R {
    let _entered = Entered::with(|now| now.reads = true);
    decode()
}

/// Puts the process of an outer value back.
struct OuterPeer(Option<Arc<Peer>>);

impl Drop for OuterPeer {
    #[inline(always)]
    fn drop(&mut self) {
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
    let _outer = OuterPeer(match is_same {
        true => None,
        false => FROM.replace(Some(peer.clone())),
    });
    let _entered = Entered::with(|now| now.is_from_peer = true);
    match flag & HAS_OBJECTS {
        0 => decode(body),
        _ => with_objects(peer, flag, body, decode),
    }
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

/// The process that the value came from which is decoded.
pub(crate) fn comes_from() -> Option<Arc<Peer>> {
    let now = NOW.get();
    match now.is_from_peer && now.way == Way::None {
        true => FROM.with_borrow(Clone::clone),
        false => None,
    }
}

/// Puts a ref or handle into the table; its place there.
pub(crate) fn put<E: Send + 'static>(entry: E) -> Option<u32> {
    if !has_table() {
        return None;
    }
    TABLE.with_borrow_mut(|table| {
        table.push(Box::new(entry));
        u32::try_from(table.len() - 1).ok()
    })
}

/// What lies at a place of the table.
pub(crate) fn get<E: Clone + 'static>(index: u32) -> Option<E> {
    if !has_table() {
        return None;
    }
    TABLE.with_borrow(|table| table.get(index as usize)?.downcast_ref::<E>().cloned())
}

/// Whether there is a table beside the value.
#[inline(always)]
pub(super) fn has_table() -> bool {
    NOW.get().way == Way::Table
}

/// Where arrays of the value go, if not with it as things.
pub(super) fn with_arrays<R>(then: impl FnOnce(&mut Arrays) -> R) -> Option<R> {
    let now = NOW.get();
    match now.way == Way::Out && now.has_arrays {
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
    let now = NOW.get();
    if objects.is_empty() && now.way == Way::None && !now.is_from_peer {
        return decode();
    }
    // It came neither with a message nor with a table, whatever the outer value did.
    let _entered = Entered::with(|now| {
        now.way = Way::None;
        now.is_from_peer = false;
    });
    let _outer = OuterCame(CAME.replace(objects.to_vec()));
    decode()
}

/// Whether the value that is decoded is one whose refs and handles lie beside it.
pub(crate) fn is_read_beside() -> bool {
    let now = NOW.get();
    now.reads && now.way == Way::None && !now.is_from_peer
}

/// Lays something beside the value that is encoded: its place there, if it can lie there.
pub(super) fn lay(thing: Beside) -> Option<u32> {
    with_arrays(|arrays| match arrays {
        Arrays::Beside { objects, .. } if objects.len() < OBJECTS_MAX => {
            objects.push(thing);
            u32::try_from(objects.len() - 1).ok()
        }
        Arrays::Beside { .. } | Arrays::Copied => None,
    })
    .flatten()
}

/// What came beside the value that is decoded.
pub(super) fn came(number: u32) -> Option<Beside> {
    CAME.with_borrow(|came| came.get(number as usize).cloned())
}

/// Whether a value of another process is decoded.
pub(super) fn is_reading() -> bool {
    NOW.get().reads
}

/// Whether the value that is encoded goes to another process.
pub(crate) fn goes_out() -> bool {
    NOW.get().way == Way::Out
}

/// Whether it goes along an edge of a graph, so that its refs and handles lie beside it.
pub(super) fn goes_along_an_edge() -> bool {
    goes_out() && NOW.get().has_arrays
}

/// Puts something that the value refers to into its parcel.
pub(crate) fn take_along(thing: Box<dyn Thing>) {
    let mut now = NOW.get();
    if now.way != Way::Out {
        return;
    }
    THINGS.with_borrow_mut(|things| {
        if now.things_from.is_none() {
            now.things_from = u32::try_from(things.len()).ok();
            NOW.set(now);
        }
        things.push(thing);
    });
}

/// A value is about to be encoded or decoded: what stood in the way of others is forgotten.
#[inline(always)]
pub(super) fn begins() {
    if IS_TROUBLED.get() {
        forget_trouble();
    }
}

#[cold]
fn forget_trouble() {
    IS_TROUBLED.set(false);
    drop(TROUBLE.take());
}

/// Keeps what stands in the way of a value, for [`explained`]; its text for the format.
pub(super) fn trouble(error: impl Into<Error>) -> String {
    let error = error.into();
    let text = error.to_string();
    TROUBLE.set(Some(error));
    IS_TROUBLED.set(true);
    text
}

/// What stood in the way of the value that was encoded or decoded last on this thread, if it is known
/// better than `error` says.
#[cold]
pub(crate) fn explained(error: Error) -> Error {
    TROUBLE.take().unwrap_or(error)
}
