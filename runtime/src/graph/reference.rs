//! `GraphRef<T>`: one result of one run of a compiled graph.
//!
//! - OW-1 whoever asks for a result first moves it into its ref, once, under the core's lock (DR-1),
//!   and then says so with Release; whoever sees that (Acquire) reads it where it is, for it stays
//!   there until the ref goes.
//! - OW-2 one that is shared with refs is in their cell, of which this ref has a handle from then on
//!   to its end. It is shared once, under the core's lock.
#![allow(
    unsafe_code,
    reason = "a ref points at its graph's output, which outlives it (DR-5)"
)]

use super::aside::{told, told_fault};
use super::core::gone;
use super::driver::Output;
use super::slot::{GraphValue, Sent};
use crate::error::{Error, Outcome, Result};
use crate::object::reference::Ref;
use crate::task::raw::Header;
use maser_shm::sync::atomic::{AtomicPtr, Ordering};
use std::cell::UnsafeCell;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;
use std::time::Duration;

pub(super) const GET_KNOB: &str =
    "CompileOptions::get_timeout, MASER_CGRAPH_GET_TIMEOUT or get_timeout(..)";

/// One result of one run. Refs of one graph may be asked in any order, again after a timeout, and
/// any number of times; a held one stalls no run.
///
/// It may be written wherever an argument goes, as a [`Ref`]: for a task, a method or another graph.
pub struct GraphRef<T: GraphValue> {
    output: NonNull<Output<T>>,
    run: u64,
    own: Own<T>,
}

/// The result of one ref, once it was fetched (OW-1).
pub(crate) struct Own<T> {
    outcome: UnsafeCell<Option<Sent<T>>>,
    /// Null while it is nowhere, [`HERE`], or the cell that it is shared in (OW-2). A whole word,
    /// because a ref is moved at once, and a byte that was just written would be waited for.
    place: AtomicPtr<Header>,
}

/// It is in `outcome`.
const HERE: *mut Header = std::ptr::without_provenance_mut(1);

/// Where the result of a ref is.
pub(crate) enum Place<'a, T> {
    Nowhere,
    Own(&'a Outcome<T>),
    Shared(Ref<T>),
}

impl<T> Own<T> {
    #[inline(always)]
    fn new() -> Self {
        Self {
            outcome: UnsafeCell::new(None),
            place: AtomicPtr::new(null_mut()),
        }
    }

    /// Whether the output has nothing more to do with it.
    #[inline(always)]
    pub(crate) fn is_here(&self) -> bool {
        !self.place.load(Ordering::Acquire).is_null()
    }

    /// # Safety
    /// Under the core's lock, and [`is_here`](Self::is_here) said no under it.
    #[inline(always)]
    pub(crate) unsafe fn fill(&self, outcome: Sent<T>) {
        // SAFETY: OW-1: nobody reads it yet, and nobody else may write it.
        unsafe { *self.outcome.get() = Some(outcome) };
        self.place.store(HERE, Ordering::Release);
    }

    /// Where the outcome goes, which is nowhere yet: if it was put there, [`is_filled`](Self::is_filled)
    /// comes next.
    ///
    /// # Safety
    /// As [`fill`](Self::fill), and nothing else of this is used meanwhile.
    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "OW-1")]
    pub(crate) unsafe fn empty(&self) -> &mut Option<Sent<T>> {
        // SAFETY: OW-1, as above.
        unsafe { &mut *self.outcome.get() }
    }

    /// The outcome is there.
    #[inline(always)]
    pub(crate) fn is_filled(&self) {
        self.place.store(HERE, Ordering::Release);
    }

    /// From now on it is shared in `cell`; a handle of it goes to this ref (OW-2). Under the core's
    /// lock, and it was not shared yet.
    pub(super) fn share(&self, shared: Ref<T>) {
        self.place
            .store(shared.into_cell().as_ptr(), Ordering::Release);
    }

    #[inline(always)]
    fn get(&self) -> Option<&Outcome<T>> {
        if self.place.load(Ordering::Acquire) != HERE {
            return None;
        }
        // SAFETY: OW-1.
        unsafe { &*self.outcome.get() }.as_ref().map(Sent::get)
    }

    #[cold]
    pub(super) fn place(&self) -> Place<'_, T> {
        if let Some(outcome) = self.get() {
            return Place::Own(outcome);
        }
        match NonNull::new(self.place.load(Ordering::Acquire)) {
            // It was put there between the two looks.
            Some(here) if here.as_ptr() == HERE => self.place(),
            Some(cell) => {
                // SAFETY: OW-2: the cell is of a `Ref<T>`, and this ref has a handle.
                let shared = ManuallyDrop::new(unsafe { Ref::from_cell(cell) });
                Place::Shared(Ref::clone(&shared))
            }
            None => Place::Nowhere,
        }
    }
}

impl<T> Drop for Own<T> {
    #[inline]
    fn drop(&mut self) {
        let place = *self.place.get_mut();
        if place != HERE
            && let Some(cell) = NonNull::new(place)
        {
            // SAFETY: OW-2: this ref's handle.
            drop(unsafe { Ref::<T>::from_cell(cell) });
        }
    }
}

// SAFETY: DR-1, DR-5, OW-1: the output is shared under the core's lock and outlives its refs; values
// of graphs are `Send` and `Sync`.
unsafe impl<T: GraphValue> Send for GraphRef<T> {}
// SAFETY: as above.
unsafe impl<T: GraphValue> Sync for GraphRef<T> {}

impl<T: GraphValue> GraphRef<T> {
    /// One of the refs that `Core::refs_were_made` counted.
    #[inline(always)]
    pub(crate) fn new(output: &Arc<Output<T>>, run: u64) -> Self {
        Self {
            output: NonNull::from(&**output),
            run,
            own: Own::new(),
        }
    }

    #[inline(always)]
    pub(super) fn output(&self) -> &Output<T> {
        // SAFETY: DR-5, the output outlives its refs.
        unsafe { self.output.as_ref() }
    }

    /// Number of the run, from 0.
    pub fn run(&self) -> u64 {
        self.run
    }

    /// Whether the result, or an error in its place, is there: [`get`](Self::get) would not wait.
    pub fn is_ready(&self) -> bool {
        match self.own.place() {
            Place::Shared(shared) => shared.is_ready(),
            Place::Own(_) => true,
            Place::Nowhere => self.output().has(self.run) || self.output().core.is_over(),
        }
    }

    pub(super) fn own(&self) -> &Own<T> {
        &self.own
    }

    /// The outcome, if it is there and nobody shares it; moves it.
    pub(super) fn take_now(&mut self) -> Option<Outcome<T>> {
        if !(self.own.is_here() || self.output().fetch(self.run, &self.own)) {
            return None;
        }
        let outcome = self.own.outcome.get_mut().take()?.into_inner();
        Some(told(&self.output().core, outcome))
    }

    /// Waits for the result and clones it; can be called again. Waits no longer than the graph's
    /// get timeout.
    ///
    /// # Errors
    /// The error of a step with its chain; [`Error::Timeout`], after which the same call waits
    /// on; [`Error::WaitCycle`] if its one segment waits for the asking call to end;
    /// on; [`Error::ActorDied`] or [`Error::ChannelClosed`] if the graph ended before;
    /// [`Error::GetWhilePanicking`], [`Error::Cancelled`], [`Error::ShutDown`] as for
    /// [`Ref::get`](crate::Ref::get).
    pub fn get(&self) -> Result<T> {
        self.get_within(self.output().core.get_timeout, GET_KNOB)
    }

    /// As [`get`](Self::get) with a limit of its own.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_timeout(&self, limit: Duration) -> Result<T> {
        self.get_within(Some(limit), "the timeout argument")
    }

    #[inline(always)]
    fn get_within(&self, limit: Option<Duration>, knob: &'static str) -> Result<T> {
        self.fetch(limit, knob)?;
        match self.own.get() {
            Some(Ok(value)) => Ok(value.clone()),
            Some(Err(fault)) => Err(told_fault(&self.output().core, fault.clone()).to_error()),
            None => self.get_shared(limit, knob),
        }
    }

    /// OW-2.
    #[cold]
    fn get_shared(&self, limit: Option<Duration>, knob: &'static str) -> Result<T> {
        let Place::Shared(shared) = self.own.place() else {
            return Err(gone(self.run));
        };
        let got = match limit {
            Some(limit) => shared.get_timeout(limit),
            None => shared.get(),
        };
        match got {
            Err(Error::Timeout { .. }) if !shared.is_ready() => {
                Err(self.output().too_late(self.run, limit, knob))
            }
            got => got,
        }
    }

    /// Waits until the result is with this ref.
    #[inline(always)]
    fn fetch(&self, limit: Option<Duration>, knob: &'static str) -> Result<()> {
        while !(self.own.is_here() || self.output().fetch(self.run, &self.own)) {
            self.output().wait_slow(self.run, limit, knob)?;
        }
        Ok(())
    }

    /// Waits for the result and moves it out, within the graph's get timeout.
    ///
    /// # Errors
    /// As [`get`](Self::get); after a timeout the result is lost with the ref.
    #[inline]
    pub fn take(mut self) -> Result<T> {
        let limit = self.output().core.get_timeout;
        self.fetch(limit, GET_KNOB)?;
        let outcome = self.own.outcome.get_mut().take();
        match outcome.map(Sent::into_inner) {
            Some(Ok(value)) => Ok(value),
            Some(Err(fault)) => Err(told_fault(&self.output().core, fault).to_error()),
            None => self.get_shared(limit, GET_KNOB),
        }
    }
}

impl<T: GraphValue> Drop for GraphRef<T> {
    #[inline]
    fn drop(&mut self) {
        match self.own.is_here() {
            true => self.output().ref_goes(),
            false => self.output().forget(self.run),
        }
    }
}

/// Its graph, its run, and its place if the graph has several outputs.
impl<T: GraphValue> fmt::Display for GraphRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let output = self.output();
        write!(f, "GraphRef({:016x}, run={}", output.core.id, self.run)?;
        if output.core.outputs > 1 {
            write!(f, ", output={}", output.index)?;
        }
        f.write_str(")")
    }
}

impl<T: GraphValue> fmt::Debug for GraphRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.is_ready() { "ready" } else { "pending" };
        let of = std::any::type_name::<T>();
        write!(f, "{self} of {of}, {state}")
    }
}
