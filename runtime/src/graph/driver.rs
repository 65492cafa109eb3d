//! The end of a graph that submits runs and keeps their results.
//!
//! The state here is protected by the core's lock (DR-1).
//!
//! - DR-2 results arrive in the order of the runs and are found by their run's number: a run whose
//!   `get` timed out keeps its place, and nothing is ever shifted. What nobody wants any more is
//!   dropped when it arrives.
//! - DR-3 a held ref keeps its result, not a place in a channel: results are moved into the
//!   driver's own memory, so held results stall no run.
#![allow(unsafe_code, reason = "the driver's state is protected by a lock of its own")]

use super::core::Core;
use super::segment::Head;
use super::shape::InputNodes;
use super::slot::{GraphValue, Reader};
use crate::error::{Error, Outcome, Result};
use crate::executor::local::{Local, Pollable, Watch};
use crate::executor::shared::Shared;
use crate::executor::wait::{check_may_block, interrupted, thread_event};
use maser_shm::channel::call_slot::{Callee, Caller, call_ring};
use maser_shm::channel::spsc::LineReceiver;
use maser_shm::sync::hint::spin_loop;
use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

/// Looks between two looks at the clock while spinning.
const LOOKS_PER_CLOCK: u32 = 256;

/// Where the results of one output come from, in the order of the runs.
pub(crate) trait Arrivals<T>: Send {
    fn is_ready(&self) -> bool;
    fn take(&mut self) -> Option<Outcome<T>>;
}

impl<T: Send> Arrivals<T> for LineReceiver<Outcome<T>> {
    #[inline]
    fn is_ready(&self) -> bool {
        LineReceiver::is_ready(self)
    }
    #[inline]
    fn take(&mut self) -> Option<Outcome<T>> {
        self.try_recv().ok()
    }
}

/// A result with the driver.
enum Kept<T> {
    Here(Outcome<T>),
    /// Somebody is cloning it outside of the lock.
    Lent,
    /// Taken or dropped.
    Gone,
}

/// What a look at a result found.
pub(crate) enum Found<T> {
    Here(Outcome<T>),
    NotYet,
    Gone,
}

struct Results<T> {
    arrivals: Box<dyn Arrivals<T>>,
    /// Results of the runs `first..first + kept.len()`.
    kept: VecDeque<Kept<T>>,
    first: u64,
    /// How many of `kept` are there.
    held: usize,
    /// Runs whose ref was dropped before the result came.
    unwanted: BTreeSet<u64>,
}

/// One output of a graph, as the driver sees it.
pub(crate) struct Output<T> {
    pub(crate) core: Arc<Core>,
    me: Weak<Self>,
    results: UnsafeCell<Results<T>>,
}

// SAFETY: DR-1.
unsafe impl<T: Send> Send for Output<T> {}
// SAFETY: DR-1.
unsafe impl<T: Send> Sync for Output<T> {}

/// An [`Output`] of any type.
#[doc(hidden)]
pub trait AnyOutput {
    /// Moves what has arrived to the driver; gives the number of runs that have. Under the lock.
    fn pull(&self) -> u64;
    /// Results that wait to be fetched. Under the lock.
    fn held(&self) -> usize;
    /// Waits until the result of `run` is with the driver. Not under the lock.
    fn wait_arrived(&self, run: u64, limit: Option<Duration>) -> Result<()>;
}

impl<T: GraphValue> AnyOutput for Output<T> {
    fn pull(&self) -> u64 {
        // SAFETY: DR-1, the callers hold the lock.
        unsafe { &mut *self.results.get() }.pull()
    }
    fn held(&self) -> usize {
        // SAFETY: DR-1, the callers hold the lock.
        unsafe { &*self.results.get() }.held
    }
    fn wait_arrived(&self, run: u64, limit: Option<Duration>) -> Result<()> {
        self.wait(run, limit, "the submit timeout")
    }
}

impl<T> Results<T> {
    #[inline(always)]
    fn arrived(&self) -> u64 {
        self.first + self.kept.len() as u64
    }

    #[inline(always)]
    fn pull(&mut self) -> u64 {
        while let Some(outcome) = self.arrivals.take() {
            let run = self.arrived();
            if !self.unwanted.is_empty() && self.unwanted.remove(&run) {
                self.kept.push_back(Kept::Gone);
                self.trim();
            } else {
                self.kept.push_back(Kept::Here(outcome));
                self.held += 1;
            }
        }
        self.arrived()
    }

    #[inline(always)]
    fn trim(&mut self) {
        while let Some(Kept::Gone) = self.kept.front() {
            self.kept.pop_front();
            self.first += 1;
        }
    }

    /// Moves the result of `run` out. The usual case, the next result while none is kept, goes
    /// past the queue.
    #[inline(always)]
    fn take(&mut self, run: u64) -> Found<T> {
        if self.kept.is_empty() && run == self.first && self.unwanted.is_empty() {
            return match self.arrivals.take() {
                Some(outcome) => {
                    self.first += 1;
                    Found::Here(outcome)
                }
                None => Found::NotYet,
            };
        }
        self.take_kept(run)
    }

    fn take_kept(&mut self, run: u64) -> Found<T> {
        let Some(kept) = self.find(run) else {
            return if run < self.arrived() { Found::Gone } else { Found::NotYet };
        };
        match std::mem::replace(kept, Kept::Gone) {
            Kept::Here(outcome) => {
                self.held -= 1;
                self.trim();
                Found::Here(outcome)
            }
            Kept::Lent | Kept::Gone => Found::Gone,
        }
    }

    /// The place of the result of `run`, if it has arrived.
    #[inline(always)]
    fn find(&mut self, run: u64) -> Option<&mut Kept<T>> {
        if run >= self.arrived() {
            self.pull();
        }
        let at = run.checked_sub(self.first)?;
        self.kept.get_mut(at as usize)
    }
}

/// Puts a lent result back, also when its `Clone` panics.
struct GiveBack<'a, T: GraphValue> {
    output: &'a Output<T>,
    run: u64,
    outcome: Option<Outcome<T>>,
}

impl<T: GraphValue> Drop for GiveBack<'_, T> {
    fn drop(&mut self) {
        let outcome = self.outcome.take();
        self.output.core.locked(|| {
            // SAFETY: DR-1, under the lock.
            let results = unsafe { &mut *self.output.results.get() };
            if let (Some(place), Some(outcome)) = (results.find(self.run), outcome) {
                *place = Kept::Here(outcome);
            }
        });
    }
}

impl<T: GraphValue> Output<T> {
    pub(crate) fn new(core: Arc<Core>, arrivals: Box<dyn Arrivals<T>>) -> Arc<Self> {
        let results = Results {
            arrivals,
            kept: VecDeque::with_capacity(core.max_inflight * 2),
            first: 0,
            held: 0,
            unwanted: BTreeSet::new(),
        };
        Arc::new_cyclic(|me| Self { core, me: me.clone(), results: UnsafeCell::new(results) })
    }

    /// Clones the result of `run`, outside of the lock.
    pub(crate) fn try_clone(&self, run: u64) -> Found<T> {
        loop {
            let lent = self.core.locked(|| {
                // SAFETY: DR-1, under the lock.
                let results = unsafe { &mut *self.results.get() };
                match results.find(run) {
                    Some(Kept::Lent) => None,
                    Some(kept @ Kept::Here(_)) => Some(Some(std::mem::replace(kept, Kept::Lent))),
                    Some(Kept::Gone) => Some(Some(Kept::Gone)),
                    None => Some(None),
                }
            });
            match lent {
                Some(Some(Kept::Here(outcome))) => {
                    let back = GiveBack { output: self, run, outcome: Some(outcome) };
                    let cloned = back.outcome.clone();
                    drop(back);
                    return cloned.map_or(Found::Gone, Found::Here);
                }
                Some(Some(_)) => return Found::Gone,
                Some(None) => return Found::NotYet,
                // Another thread clones it right now.
                None => maser_shm::os::sched_yield(),
            }
        }
    }

    /// Moves the result of `run` out, if it is there, and with it its ref (DR-5).
    #[inline(always)]
    pub(crate) fn try_take(&self, run: u64) -> (Found<T>, Option<Box<dyn Any + Send>>) {
        self.core.locked(|| {
            // SAFETY: DR-1, under the lock.
            let results = unsafe { &mut *self.results.get() };
            let found = results.take(run);
            let orphan = match found {
                Found::NotYet => None,
                _ => self.core.ref_goes(),
            };
            (found, orphan)
        })
    }

    /// Nobody wants the result of `run` any more; its ref goes.
    pub(crate) fn forget(&self, run: u64) {
        let dropped = self.core.locked(|| {
            // SAFETY: DR-1, under the lock.
            let results = unsafe { &mut *self.results.get() };
            let found = results.take(run);
            if matches!(found, Found::NotYet) {
                results.unwanted.insert(run);
            }
            (found, self.core.ref_goes())
        });
        // Values are user types: dropped outside of the lock. The outputs, `self` among them, go
        // last, and nothing is touched after.
        drop(dropped);
    }

    /// Whether the result of `run` has arrived.
    #[inline(always)]
    pub(crate) fn has(&self, run: u64) -> bool {
        self.core.locked(|| {
            // SAFETY: DR-1, under the lock.
            let results = unsafe { &mut *self.results.get() };
            let arrived = results.arrived();
            // The very next one stays where it is: whoever asks takes it from there.
            run < arrived
                || (results.arrivals.is_ready() && (run == arrived || run < results.pull()))
        })
    }

    /// Waits until the result of `run` is there, or the graph is over.
    #[inline(always)]
    pub(crate) fn wait(&self, run: u64, limit: Option<Duration>, knob: &'static str) -> Result<()> {
        if self.has(run) {
            return Ok(());
        }
        self.wait_slow(run, limit, knob)
    }

    pub(crate) fn wait_slow(&self, run: u64, limit: Option<Duration>, knob: &'static str) -> Result<()> {
        let local = Local::current();
        if let Some(local) = local {
            check_may_block(local, "the result of a graph")?;
        }
        let node = &self.core.node;
        let mut deadline = None;
        for look in 0..node.idle.spin_looks().max(1) {
            if self.has(run) {
                return Ok(());
            }
            if local.is_some_and(Local::has_work) {
                break;
            }
            spin_loop();
            if look % LOOKS_PER_CLOCK == LOOKS_PER_CLOCK - 1 {
                if self.core.over().is_some() {
                    break;
                }
                let now = node.clock.now_ns();
                let end = *deadline.get_or_insert_with(|| end_of(now, limit));
                if now >= end {
                    break;
                }
            }
        }
        match local {
            Some(local) => self.block(local, run, limit, knob),
            None => self.park(run, limit, knob),
        }
    }

    /// The last look when the graph is over or the time is.
    fn last_look(&self, run: u64, error: impl FnOnce() -> Error) -> Result<()> {
        if self.has(run) { Ok(()) } else { Err(error()) }
    }

    fn too_late(&self, run: u64, limit: Option<Duration>, knob: &'static str) -> Error {
        self.core.timed_out(format!("the result of run {run}"), limit.unwrap_or_default(), knob)
    }

    fn block(&self, local: &Local, run: u64, limit: Option<Duration>, knob: &'static str) -> Result<()> {
        let me = local.current_co();
        let mut deadline = None;
        loop {
            if self.has(run) {
                return Ok(());
            }
            if let Some(error) = self.core.over() {
                return self.last_look(run, || error);
            }
            if let Some(deadline) = deadline
                && local.node.clock.now_ns() >= deadline
            {
                return self.last_look(run, || self.too_late(run, limit, knob));
            }
            let deadline_ns = Cell::new(deadline);
            let Some(me_again) = self.me.upgrade() else { return Err(crate::graph::core::gone(run)) };
            local.watches.borrow_mut().push(Watch { result: me_again, run, co: me, limit, deadline_ns });
            let blocked = interrupted(local, "the result of a graph").and_then(|()| local.block());
            // A watch that woke us is gone from the list; one that did not carries the deadline.
            let left = {
                let mut watches = local.watches.borrow_mut();
                let at = watches.iter().position(|watch| watch.co == me);
                at.map(|at| watches.swap_remove(at))
            };
            blocked?;
            deadline = match left {
                Some(watch) => watch.deadline_ns.get(),
                None if self.has(run) => return Ok(()),
                // Expired: the time is up by the clock, or another result of the run is there.
                None => deadline.or(limit.map(|_| 0)),
            };
        }
    }

    fn park(&self, run: u64, limit: Option<Duration>, knob: &'static str) -> Result<()> {
        let clock = &self.core.node.clock;
        let end = end_of(clock.now_ns(), limit);
        let event = thread_event();
        self.core.add_sleeper(&event);
        let outcome = loop {
            event.prepare_park();
            let now = clock.now_ns();
            let verdict = if self.has(run) {
                Some(Ok(()))
            } else if let Some(error) = self.core.over() {
                Some(self.last_look(run, || error))
            } else if now >= end {
                Some(self.last_look(run, || self.too_late(run, limit, knob)))
            } else {
                None
            };
            if let Some(verdict) = verdict {
                event.cancel_park();
                break verdict;
            }
            event.park((end != u64::MAX).then(|| Duration::from_nanos(end - now)));
        };
        self.core.remove_sleeper(&event);
        outcome
    }
}

impl<T: GraphValue> Output<T> {
    /// Ready once the result of `run` is there or the graph is over.
    pub(crate) fn poll_ready(&self, run: u64, context: &Context<'_>) -> Poll<Result<()>> {
        self.core.poll_until(context, || {
            if self.has(run) {
                return Some(Ok(()));
            }
            self.core.over().map(|error| self.last_look(run, || error))
        })
    }
}

fn end_of(now_ns: u64, limit: Option<Duration>) -> u64 {
    limit.map_or(u64::MAX, |limit| now_ns.saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX)))
}

impl<T: GraphValue> Pollable for Output<T> {
    #[inline]
    fn is_ready(&self, run: u64) -> bool {
        self.has(run) || self.core.is_over()
    }

    fn arm(&self, scheduler: &Arc<Shared>, armed: bool) {
        self.core.arm(scheduler, armed);
    }
}

/// Hands a run to the first segments. Under the lock.
#[doc(hidden)]
pub trait SubmitRun<V>: Send {
    /// Gives the values back if there is no place, which the limit of runs in flight rules out.
    fn submit(&mut self, values: V);
}

/// Runs that go over edges.
pub(crate) struct SubmitEdges<I: InputNodes>(pub(crate) I::Ports);

impl<I: InputNodes> SubmitRun<I::Values> for SubmitEdges<I> {
    #[inline]
    fn submit(&mut self, values: I::Values) {
        I::send(&mut self.0, values);
    }
}

/// The driver's end of a call slot, used by submitting and by taking results (DR-1).
struct SlotEnd<V, T> {
    ring: UnsafeCell<Caller<V, Outcome<T>>>,
    /// Numbers of the questions in flight, oldest first: they need not be consecutive.
    numbers: UnsafeCell<VecDeque<u64>>,
}

// SAFETY: DR-1.
unsafe impl<V: Send, T: Send> Send for SlotEnd<V, T> {}
// SAFETY: DR-1.
unsafe impl<V: Send, T: Send> Sync for SlotEnd<V, T> {}

struct SubmitSlot<V, T> {
    end: Arc<SlotEnd<V, T>>,
    target: Arc<Shared>,
}

impl<V: Send, T: Send> SubmitRun<V> for SubmitSlot<V, T> {
    #[inline]
    fn submit(&mut self, values: V) {
        // SAFETY: DR-1, the callers hold the lock.
        let (ring, numbers) = unsafe { (&mut *self.end.ring.get(), &mut *self.end.numbers.get()) };
        // There is a slot for every run that may be in flight; a closed ring is a graph that ends.
        if let Ok(number) = ring.try_call(values) {
            numbers.push_back(number);
        }
        self.target.event.notify();
    }
}

struct SlotArrivals<V, T> {
    end: Arc<SlotEnd<V, T>>,
}

impl<V: Send, T: Send> Arrivals<T> for SlotArrivals<V, T> {
    #[inline]
    fn is_ready(&self) -> bool {
        // SAFETY: DR-1, the callers hold the lock.
        let (ring, numbers) = unsafe { (&*self.end.ring.get(), &*self.end.numbers.get()) };
        numbers.front().is_some_and(|number| ring.is_answered(*number))
    }
    #[inline]
    fn take(&mut self) -> Option<Outcome<T>> {
        // SAFETY: DR-1, the callers hold the lock.
        let (ring, numbers) = unsafe { (&mut *self.end.ring.get(), &mut *self.end.numbers.get()) };
        let taken = ring.try_take(*numbers.front()?);
        if taken.is_some() {
            numbers.pop_front();
        }
        taken
    }
}

/// The segment's end of a call slot.
struct SlotHead<I: InputNodes, T: GraphValue> {
    callee: Callee<I::Values, Outcome<T>>,
    slots: I::Slots,
    reader: Reader<T>,
    number: u64,
    core: Arc<Core>,
}

impl<I: InputNodes, T: GraphValue> Head for SlotHead<I, T> {
    #[inline]
    fn is_ready(&self) -> bool {
        self.callee.is_ready()
    }
    #[inline]
    fn load(&mut self) {
        if let Some((number, values)) = self.callee.try_next() {
            self.number = number;
            I::fill(&self.slots, values);
        }
    }
    #[inline]
    fn finish(&mut self) {
        self.callee.answer(self.number, self.reader.read());
        self.core.results_were_sent();
    }
}

type CallSlotEnds<I, T> =
    (Box<dyn Head>, Box<dyn SubmitRun<<I as InputNodes>::Values>>, Box<dyn Arrivals<T>>);

/// Both ends of a graph that is one segment with one output.
pub(crate) fn call_slot<I: InputNodes, T: GraphValue>(
    slots: I::Slots,
    reader: Reader<T>,
    target: Arc<Shared>,
    depth: usize,
    core: Arc<Core>,
) -> CallSlotEnds<I, T> {
    let (caller, callee) = match call_ring::<I::Values, Outcome<T>>(depth) {
        Ok(ends) => ends,
        Err(error) => unreachable!("the depth was checked at compile: {error}"),
    };
    let end = Arc::new(SlotEnd {
        ring: UnsafeCell::new(caller),
        numbers: UnsafeCell::new(VecDeque::with_capacity(depth)),
    });
    (
        Box::new(SlotHead::<I, T> { callee, slots, reader, number: 0, core }),
        Box::new(SubmitSlot { end: end.clone(), target }),
        Box::new(SlotArrivals { end }),
    )
}
