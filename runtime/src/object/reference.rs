//! `Ref<T>`: a handle of a value that exists or will exist.
#![allow(
    unsafe_code,
    reason = "a ref is a counted pointer to a type-erased cell"
)]

use crate::error::{Error, Fault, Outcome, Result};
use crate::executor::wait::wait_done;
use crate::task::failure::why_unstarted;
use crate::task::raw::Header;
use maser_shm::sync::completion::Completion;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::time::Duration;

/// How the name of every type of refs begins.
pub(crate) const TYPE_NAME: &str = concat!(module_path!(), "::Ref<");

/// An immutable value that exists or will exist: the result of a task or method, or a `put`.
///
/// Cloning makes another handle of the same value. The value is freed with its last handle;
/// dropping the last handle of a pending result does not cancel the task.
///
/// ```
/// # use maser::prelude::*;
/// # fn main() -> maser::Result<()> {
/// let _maser = maser::Config::new().num_cpus(1).init()?;
/// let x = maser::put(vec![1, 2, 3]);
/// assert_eq!(x.get()?, [1, 2, 3]);
/// assert_eq!(x.read()?.len(), 3);
/// assert_eq!(x.take()?, [1, 2, 3]);
/// # Ok(()) }
/// ```
pub struct Ref<T> {
    cell: NonNull<Header>,
    value: PhantomData<fn() -> T>,
}

// SAFETY: the cell's state is atomic; the value is given out by reference on any thread and may be
// dropped on any, hence both bounds.
unsafe impl<T: Send + Sync> Send for Ref<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Ref<T> {}

impl<T> Ref<T> {
    /// Takes over one handle of `cell`.
    ///
    /// # Safety
    /// TC-3: the cell's outcome is an `Outcome<T>`, and the caller gives its handle up.
    #[inline(always)]
    pub(crate) unsafe fn from_cell(cell: NonNull<Header>) -> Self {
        Self {
            cell,
            value: PhantomData,
        }
    }

    #[inline(always)]
    pub(crate) fn cell(&self) -> NonNull<Header> {
        self.cell
    }

    pub(crate) fn completion(&self) -> &Completion {
        // SAFETY: our handle keeps the cell alive, and the completion is never written whole.
        unsafe { &(*self.cell.as_ptr()).completion }
    }

    /// Gives the handle up without giving it back.
    pub(crate) fn into_cell(self) -> NonNull<Header> {
        ManuallyDrop::new(self).cell
    }

    pub(crate) fn made_by(&self) -> &'static str {
        // SAFETY: our handle keeps the cell alive.
        unsafe { self.cell.as_ref() }.meta().name
    }

    /// Whether the value, or the error in its place, is there.
    pub fn is_ready(&self) -> bool {
        self.completion().is_done()
    }

    /// The outcome in place; it must be there.
    pub(crate) fn outcome_ref(&self) -> std::result::Result<&T, Fault> {
        debug_assert!(self.is_ready());
        // SAFETY: TC-2, DONE was seen; the value lives as long as our handle.
        match unsafe { &*Header::outcome::<T>(self.cell) } {
            Ok(value) => Ok(value),
            Err(fault) => Err(fault.clone()),
        }
    }

    /// Waits and gives the value in place, without a copy.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn read(&self) -> Result<&T> {
        wait_done(self.cell, None)?;
        self.outcome_ref().map_err(|fault| fault.to_error())
    }

    /// Moves the outcome out; the value must be there.
    fn move_out(self) -> std::result::Result<Outcome<T>, Self> {
        if !self.completion().is_unique_and_done() {
            return Err(self);
        }
        let cell = self.into_cell();
        // SAFETY: CP-2/TC-2: the only handle of a finished cell, given up by `into_cell`.
        unsafe {
            let outcome = Header::outcome::<T>(cell).read();
            Header::free_block(cell, cell.as_ref().vtable());
            Ok(outcome)
        }
    }

    /// Waits and moves the value out.
    ///
    /// # Errors
    /// [`Error::ValueShared`] if there are other handles; else as [`get`](Self::get).
    pub fn take(self) -> Result<T> {
        wait_done(self.cell, None)?;
        match self.move_out() {
            Ok(outcome) => outcome.map_err(|fault| fault.to_error()),
            Err(shared) => Err(Error::ValueShared {
                what: shared.made_by().into(),
            }),
        }
    }

    /// Asks the producer to give up. True if the value was not there yet.
    ///
    /// What waits for arguments or resources, or in the queue of an actor, is done with
    /// [`Error::Cancelled`] at once, its arguments are dropped, and it never starts; a call in the
    /// queue of an actor whose scheduler is stuck in user code, and a task that only waits for a
    /// free scheduler, as soon as that one takes it. What runs ends at its next `get`, `sleep` or
    /// `yield_now`.
    pub fn cancel(&self) -> bool {
        crate::task::cancel::give_up(self.cell)
    }
}

impl<T: Clone> Ref<T> {
    /// Waits for the value and clones it (bulk types clone by count). Can be called again.
    ///
    /// On a scheduler other work goes on meanwhile.
    ///
    /// # Errors
    /// The task's error with its chain of functions; [`Error::ActorDied`];
    /// [`Error::WaitCycle`] if waiting could never end; [`Error::Cancelled`] if the *waiting* task
    /// was cancelled; [`Error::GetWhilePanicking`]; [`Error::TooManyBlockedTasks`];
    /// [`Error::ShutDown`].
    #[inline]
    pub fn get(&self) -> Result<T> {
        wait_done(self.cell, None)?;
        self.clone_out()
    }

    /// As [`get`](Self::get), but waits no longer than `limit`. Nothing is lost by a timeout.
    ///
    /// # Errors
    /// As [`get`](Self::get), and [`Error::Timeout`].
    pub fn get_timeout(&self, limit: Duration) -> Result<T> {
        wait_done(self.cell, Some(limit))?;
        self.clone_out()
    }

    #[inline(always)]
    fn clone_out(&self) -> Result<T> {
        // SAFETY: TC-2, DONE was seen.
        match unsafe { &*Header::outcome::<T>(self.cell) } {
            Ok(value) => Ok(value.clone()),
            Err(fault) => Err(fault.to_error()),
        }
    }

    /// The value, moved if this is the only handle; it must be there.
    pub(crate) fn into_value(self) -> Outcome<T> {
        match self.move_out() {
            Ok(outcome) => outcome,
            Err(shared) => shared.outcome_ref().cloned(),
        }
    }
}

impl<T: Send + Sync + 'static> Ref<T> {
    /// The outcome, of the only handle of a value that is there.
    pub(crate) fn into_value_once(self) -> Outcome<T> {
        self.move_out().unwrap_or_else(|shared| {
            Err(Fault::new(Error::ValueShared {
                what: shared.made_by().into(),
            }))
        })
    }

    /// A value that is there already.
    #[inline]
    pub(crate) fn done(outcome: Outcome<T>) -> Self {
        // SAFETY: TC-3 by `new_done::<T>`.
        unsafe { Self::from_cell(Header::new_done::<T>(outcome)) }
    }
}

impl<T> Clone for Ref<T> {
    fn clone(&self) -> Self {
        self.completion().retain();
        Self {
            cell: self.cell,
            value: PhantomData,
        }
    }
}

impl<T> Drop for Ref<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the ref owns one handle.
        unsafe { Header::release::<T>(self.cell) };
    }
}

impl<T> fmt::Debug for Ref<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.is_ready() { "ready" } else { "pending" };
        write!(
            f,
            "Ref({} of {}, {state})",
            std::any::type_name::<T>(),
            self.made_by()
        )
    }
}

/// The other end of a `Ref`: completes it once, or fails it when dropped.
pub(crate) struct Promise<T: Send + Sync + 'static> {
    cell: NonNull<Header>,
    value: PhantomData<T>,
}

// SAFETY: a promise is the right to complete the cell (TC-1), which any thread may use once.
unsafe impl<T: Send + Sync> Send for Promise<T> {}

impl<T: Send + Sync + 'static> Promise<T> {
    /// A pending value and the right to complete it.
    pub(crate) fn new() -> (Self, Ref<T>) {
        let cell = Header::new_promise::<T>();
        // SAFETY: TC-3; the one handle goes to the ref.
        (
            Self {
                cell,
                value: PhantomData,
            },
            unsafe { Ref::from_cell(cell) },
        )
    }

    /// Completes it.
    pub(crate) fn fulfil(self, outcome: Outcome<T>) {
        let this = ManuallyDrop::new(self);
        // SAFETY: TC-1, the promise is used up.
        unsafe { Header::finish::<T>(this.cell, outcome) };
    }
}

impl<T: Send + Sync + 'static> Drop for Promise<T> {
    fn drop(&mut self) {
        let why = why_unstarted().unwrap_or_else(|| {
            Fault::new(Error::ObjectLost {
                what: std::any::type_name::<T>().into(),
                reason: "its producer ended without giving it".into(),
            })
        });
        // SAFETY: TC-1, a dropped promise was not fulfilled.
        unsafe { Header::finish::<T>(self.cell, Err(why)) };
    }
}
