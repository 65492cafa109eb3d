//! Where a value lies between two steps of one segment, and the channels between segments.
//!
//! A graph is put together by one thread and used by several: everything that one of them writes
//! while it runs begins on a line of its own (128 bytes keep adjacent-line prefetch out), or
//! neighbours in the heap would pull each other's lines back and forth.
//!
//! - SL-1 a slot belongs to one segment and is touched on that segment's scheduler alone, by one
//!   run at a time. Each of its readers but the last clones; the last takes.
//! - SL-2 a `Clone` that panics is an error of that reader: the scheduler goes on.
//! - SL-3 what lies in a graph is [`Held`], so a value that nobody gets is dropped by itself
//!   wherever it lies (UD-1), and never under the core's lock.
#![allow(
    unsafe_code,
    reason = "type-erased slots: the node's type is fixed when the graph is written"
)]

use super::remote::edge::{EdgeReceiver, EdgeSender};
use super::remote::ports::{self, NodeCodec};
use crate::error::{Fault, Outcome};
use crate::executor::shared::Shared;
use crate::task::failure::{discard, panicked};
use crate::task::portable::ValueCodec;
use maser_shm::channel::Probe;
use maser_shm::channel::spsc::{LineReceiver, LineSender, line_channel};
use std::any::{Any, type_name};
use std::cell::UnsafeCell;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A value that can flow through a graph. Bulk types clone by count.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot flow through a graph",
    note = "values of graphs are `Clone + Send + Sync + 'static`, because several steps may read one value: derive `Clone`, or put the value into an `Arc`"
)]
pub trait GraphValue: Clone + Send + Sync + 'static {}
impl<T: Clone + Send + Sync + 'static> GraphValue for T {}

/// A value that maser drops if nobody gets it (SL-3).
#[repr(transparent)]
pub(crate) struct Held<V>(ManuallyDrop<V>);

/// A result on its way.
pub(crate) type Sent<T> = Held<Outcome<T>>;

impl<V> Held<V> {
    #[inline(always)]
    pub(crate) fn new(value: V) -> Self {
        Self(ManuallyDrop::new(value))
    }

    #[inline(always)]
    pub(crate) fn get(&self) -> &V {
        &self.0
    }

    #[inline(always)]
    pub(crate) fn into_inner(self) -> V {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: taken out once; `this` is neither dropped nor used again.
        unsafe { ManuallyDrop::take(&mut this.0) }
    }
}

impl<V> Drop for Held<V> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: taken out once, here.
        discard(unsafe { ManuallyDrop::take(&mut self.0) });
    }
}

/// See the module's page.
#[repr(align(128))]
pub(crate) struct Slot<T>(UnsafeCell<Option<Outcome<T>>>);

// SAFETY: SL-1; slots move to their scheduler with their segment.
unsafe impl<T: Send> Send for Slot<T> {}
// SAFETY: SL-1.
unsafe impl<T: Send> Sync for Slot<T> {}

impl<T> Slot<T> {
    pub(crate) fn new() -> Self {
        Self(UnsafeCell::new(None))
    }

    #[inline(always)]
    pub(crate) fn set(&self, outcome: Outcome<T>) {
        // SAFETY: SL-1.
        if unsafe { (*self.0.get()).is_some() } {
            self.clear();
        }
        // SAFETY: SL-1.
        unsafe { *self.0.get() = Some(outcome) };
    }

    /// Drops what nobody read (SL-3). Nothing of the slot is borrowed meanwhile.
    #[cold]
    #[inline(never)]
    fn clear(&self) {
        // SAFETY: SL-1.
        let unread = unsafe { (*self.0.get()).take() };
        discard(unread);
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        if self.0.get_mut().is_some() {
            self.clear();
        }
    }
}

impl<T: 'static> Slot<T> {
    /// Shows what lies in it, if anything does.
    fn show(&self, to: &mut dyn FnMut(Result<&dyn Any, &Fault>)) {
        // SAFETY: SL-1.
        if let Some(outcome) = unsafe { &*self.0.get() } {
            to(outcome.as_ref().map(|value| value as &dyn Any));
        }
    }
}

/// Shows what lies in an erased slot, on the slot's scheduler.
pub(crate) type ShowSlot = fn(&(dyn Any + Send), &mut dyn FnMut(Result<&dyn Any, &Fault>));

impl<T: Clone> Slot<T> {
    /// The value for one reader; `last` takes it.
    #[inline(always)]
    pub(crate) fn read(&self, last: bool) -> Outcome<T> {
        // SAFETY: SL-1.
        let slot = unsafe { &mut *self.0.get() };
        let value = if last {
            slot.take()
        } else {
            slot.as_ref().map(|value| match value {
                Ok(value) => cloned(value),
                Err(fault) => Err(fault.clone()),
            })
        };
        match value {
            Some(value) => value,
            None => unreachable!("a step runs after the steps it reads from"),
        }
    }
}

/// A clone of `value` (SL-2).
#[inline(always)]
pub(crate) fn cloned<T: Clone>(value: &T) -> Outcome<T> {
    catch_unwind(AssertUnwindSafe(|| value.clone())).map_err(not_cloned::<T>)
}

#[cold]
fn not_cloned<T>(payload: Box<dyn Any + Send>) -> Fault {
    panicked(payload, &format!("Clone of {}", type_name::<T>()), None)
}

/// One reader of a slot.
pub(crate) struct Reader<T> {
    pub(crate) slot: Arc<Slot<T>>,
    pub(crate) last: bool,
}

impl<T: Clone> Reader<T> {
    #[inline(always)]
    pub(crate) fn read(&self) -> Outcome<T> {
        self.slot.read(self.last)
    }
}

/// The receiving end of an edge between two segments.
pub(crate) trait InPort: Send {
    /// `None` if a value is there; else what changes when it is.
    fn idle(&self) -> Option<Probe>;
    /// Moves the next value into its slot; false if it is not there.
    fn load(&mut self) -> bool;
}

#[repr(align(128))]
struct LineIn<T: GraphValue> {
    line: LineReceiver<Sent<T>>,
    slot: Arc<Slot<T>>,
}

impl<T: GraphValue> InPort for LineIn<T> {
    #[inline]
    fn idle(&self) -> Option<Probe> {
        self.line.idle()
    }

    #[inline]
    fn load(&mut self) -> bool {
        let Ok(outcome) = self.line.try_recv() else {
            return false;
        };
        self.slot.set(outcome.into_inner());
        true
    }
}

/// The sending end of an edge between two segments.
pub(crate) trait OutPort: Send {
    fn send(&mut self);
}

#[repr(align(128))]
struct LineOut<T: GraphValue> {
    line: LineSender<Sent<T>>,
    reader: Reader<T>,
    target: Arc<Shared>,
}

impl<T: GraphValue> OutPort for LineOut<T> {
    #[inline]
    fn send(&mut self) {
        // An edge is as deep as there may be runs in flight, so it is never full; a closed one
        // belongs to a graph that is being torn down.
        drop(self.line.try_send(Held::new(self.reader.read())));
        self.target.event.notify();
    }
}

/// What the graph needs to know of a node's type, made where the type is known.
#[derive(Clone, Copy)]
pub(crate) struct ValueType {
    /// The type's name.
    pub(crate) name: fn() -> &'static str,
    /// A new `Arc<Slot<T>>`.
    pub(crate) new_slot: fn() -> Box<dyn Any + Send>,
    pub(crate) clone_slot: fn(&(dyn Any + Send)) -> Box<dyn Any + Send>,
    /// An edge from one slot to another: `(from, last, to, depth, receiving scheduler)`.
    pub(crate) edge: fn(&(dyn Any + Send), bool, &(dyn Any + Send), usize, Arc<Shared>) -> Edge,
    /// An edge from a slot of this process to another process: `(edge, codec, from, last)`.
    pub(crate) to_elsewhere: fn(EdgeSender, NodeCodec, &(dyn Any + Send), bool) -> Box<dyn OutPort>,
    /// An edge from another process to a slot of this one.
    pub(crate) from_elsewhere: fn(EdgeReceiver, NodeCodec, &(dyn Any + Send)) -> Box<dyn InPort>,
    pub(crate) show: ShowSlot,
    /// How its values travel, if that is not what the functions say that make and get them.
    pub(crate) codec: Option<&'static ValueCodec>,
}

/// Both ends of an edge between segments.
pub(crate) struct Edge {
    pub(crate) sender: Box<dyn OutPort>,
    pub(crate) receiver: Box<dyn InPort>,
}

/// The slot behind an erased one of a node of type `T`.
pub(crate) fn slot_of<T: GraphValue>(slot: &(dyn Any + Send)) -> Arc<Slot<T>> {
    match slot.downcast_ref::<Arc<Slot<T>>>() {
        Some(slot) => slot.clone(),
        None => unreachable!("a node's slots are of the node's type"),
    }
}

/// A line between driver and segment, or between segments.
pub(crate) fn line<T: Send>(depth: usize) -> (LineSender<T>, LineReceiver<T>) {
    match line_channel(depth) {
        Ok(ends) => ends,
        Err(error) => unreachable!("the depth was checked at compile: {error}"),
    }
}

/// A receiving end that fills `slot`.
pub(crate) fn in_port<T: GraphValue>(
    line: LineReceiver<Sent<T>>,
    slot: Arc<Slot<T>>,
) -> Box<dyn InPort> {
    Box::new(LineIn { line, slot })
}

impl ValueType {
    pub(crate) fn of<T: GraphValue>() -> Self {
        Self {
            name: std::any::type_name::<T>,
            new_slot: || Box::new(Arc::new(Slot::<T>::new())),
            clone_slot: |slot| Box::new(slot_of::<T>(slot)),
            edge: |from, last, to, depth, target| {
                let (sender, receiver) = line::<Sent<T>>(depth);
                let reader = Reader {
                    slot: slot_of::<T>(from),
                    last,
                };
                Edge {
                    sender: Box::new(LineOut {
                        line: sender,
                        reader,
                        target,
                    }),
                    receiver: in_port(receiver, slot_of::<T>(to)),
                }
            },
            to_elsewhere: |edge, codec, from, last| {
                let slot = slot_of::<T>(from);
                ports::out_port(edge, codec, Reader { slot, last })
            },
            from_elsewhere: |edge, codec, to| ports::in_port(edge, codec, slot_of::<T>(to)),
            show: |slot, to| slot_of::<T>(slot).show(to),
            codec: None,
        }
    }
}
