//! Both ends of a graph that is one segment with one output: question and answer in turn on one
//! cache line. The driver's end is protected by the core's lock (DR-1).
#![allow(
    unsafe_code,
    reason = "the driver's end is protected by the core's lock"
)]

use super::core::Core;
use super::direct::{Answering, Whole, answering};
use super::inputs::InputNodes;
use super::observe::driver_watch::{OutputWatch, SubmitNotes, watched};
use super::parcel::{Parcel, SubmitRun};
use super::results::{Arrivals, Refused};
use super::segment::{Head, Step};
use super::slot::{GraphValue, Held, Reader, Sent};
use crate::executor::shared::Shared;
use crate::executor::sources::Probes;
use maser_shm::channel::Probe;
use maser_shm::channel::call_slot::{Callee, Caller, call_ring};
use std::any::TypeId;
use std::cell::{Cell, UnsafeCell};
use std::sync::Arc;

/// The driver's end of a call slot, used by submitting and by taking results (DR-1).
#[repr(align(128))]
struct SlotEnd<V, T> {
    ring: UnsafeCell<Caller<Held<V>, Sent<T>>>,
    /// Number of the oldest question in flight. Answers are taken in their order, so those after it
    /// follow one by one (CS-8).
    oldest: Cell<u64>,
    /// Its answer was not there when it was looked for.
    is_awaited: Cell<bool>,
}

// SAFETY: DR-1.
unsafe impl<V: Send, T: Send> Send for SlotEnd<V, T> {}
// SAFETY: DR-1.
unsafe impl<V: Send, T: Send> Sync for SlotEnd<V, T> {}

struct SubmitSlot<V, T> {
    end: Arc<SlotEnd<V, T>>,
    target: Arc<Shared>,
}

impl<I: InputNodes, T: GraphValue> SubmitRun<I> for SubmitSlot<I::Values, T> {
    #[inline]
    fn submit(&mut self, _: u64, parcel: Parcel<I>, refused: &mut Refused) {
        // SAFETY: DR-1, the callers hold the lock.
        let ring = unsafe { &mut *self.end.ring.get() };
        // There is a slot for every run that may be in flight; a closed ring is a graph that ends.
        match ring.try_call(Held::new(parcel.values)) {
            Ok(number) if ring.in_flight() == 1 => self.end.oldest.set(number),
            Ok(_) => {}
            Err(error) => refused.push(error),
        }
        self.target.event.notify();
    }
}

struct SlotArrivals<V, T> {
    end: Arc<SlotEnd<V, T>>,
}

impl<V: Send, T: Send> Arrivals<T> for SlotArrivals<V, T> {
    #[inline]
    fn idle(&self) -> Option<Probe> {
        // SAFETY: DR-1, the callers hold the lock.
        let ring = unsafe { &*self.end.ring.get() };
        let idle = ring.idle(self.end.oldest.get());
        if idle.is_some() {
            self.end.is_awaited.set(true);
        }
        idle
    }
    #[inline]
    fn take(&mut self) -> Option<Sent<T>> {
        let mut to = None;
        self.take_to(&mut to);
        to
    }
    #[inline]
    fn take_to(&mut self, to: &mut Option<Sent<T>>) -> bool {
        // SAFETY: DR-1, the callers hold the lock.
        let ring = unsafe { &mut *self.end.ring.get() };
        let oldest = self.end.oldest.get();
        let Some(taken) = ring.try_take(oldest) else {
            return false;
        };
        *to = Some(taken);
        let next = oldest.wrapping_add(1);
        self.end.oldest.set(next);
        // Where answers wait for the driver the next one does.
        if !self.end.is_awaited.replace(false) && ring.in_flight() > 0 {
            ring.prepare(next);
        }
        true
    }
}

/// The segment's end of a call slot.
#[repr(align(128))]
struct SlotHead<I: InputNodes, T: GraphValue> {
    callee: Callee<Held<I::Values>, Sent<T>>,
    slots: I::Slots,
    reader: Reader<T>,
    number: u64,
    core: Arc<Core>,
}

impl<I: InputNodes, T: GraphValue> Head for SlotHead<I, T> {
    #[inline]
    fn idle(&self) -> Option<Probes> {
        self.callee.idle().map(Probes::questions)
    }
    #[inline]
    fn try_load(&mut self) -> bool {
        let Some((number, values)) = self.callee.try_next() else {
            return false;
        };
        self.number = number;
        I::fill(&self.slots, values.into_inner());
        true
    }
    #[inline]
    fn finish(&mut self) {
        self.callee
            .answer(self.number, Held::new(self.reader.read()));
        self.core.results_were_sent();
    }
}

/// What answers the questions of a call slot.
pub(crate) enum Answerer {
    /// A segment with this head.
    Head(Box<dyn Head>),
    /// A segment that is one method.
    Whole(Box<dyn Whole>),
}

/// What is noted of both ends of a call slot on the driver's side, if that was asked for.
pub(crate) struct Noted {
    pub(crate) submit: Option<SubmitNotes>,
    pub(crate) output: Option<OutputWatch>,
}

type CallSlotEnds<I, T> = (Answerer, Box<dyn SubmitRun<I>>, Box<dyn Arrivals<T>>);

/// Both ends of a graph that is one segment with one output. `step_for` gives the segment's only step, if
/// it answers the questions of an end of this type.
pub(crate) fn call_slot<I: InputNodes, T: GraphValue>(
    (slots, reader): (I::Slots, Reader<T>),
    target: Arc<Shared>,
    depth: usize,
    core: Arc<Core>,
    step_for: impl FnOnce(TypeId) -> Option<Box<dyn Step>>,
    noted: Noted,
) -> CallSlotEnds<I, T> {
    let (caller, callee) = match call_ring::<Held<I::Values>, Sent<T>>(depth) {
        Ok(ends) => ends,
        Err(error) => unreachable!("the depth was checked at compile: {error}"),
    };
    let end = Arc::new(SlotEnd {
        ring: UnsafeCell::new(caller),
        oldest: Cell::new(0),
        is_awaited: Cell::new(false),
    });
    let answerer = match step_for(answering::<I::Values, T>()) {
        Some(step) => Answerer::Whole(step.into_whole(Box::new(Answering { callee, core }))),
        None => Answerer::Head(Box::new(SlotHead::<I, T> {
            callee,
            slots,
            reader,
            number: 0,
            core,
        })),
    };
    let submit = SubmitSlot {
        end: end.clone(),
        target,
    };
    (
        answerer,
        SubmitNotes::around::<I>(noted.submit, submit),
        watched(SlotArrivals { end }, noted.output),
    )
}
