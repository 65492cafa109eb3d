//! Locks for tasks.
//!
//! A `std::sync::MutexGuard` that is held across a `get` locks its own thread out: the next task
//! of the same core blocks the core for ever. [`Mutex`] blocks the task only.
#![allow(
    unsafe_code,
    reason = "hands out references into the cell that the flag protects"
)]

use crate::error::Result;
use crate::executor::gate::Gate;
use crate::executor::local::{Frame, Local};
use crate::wait_graph::{Awaited, Needs};
use maser_shm::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// A mutex that may be held across `get`, `sleep` and `yield_now`.
///
/// It is not poisoned by a panic: the guard is dropped like any value.
///
/// - MU-1 `locked` is taken with Acquire and given back with Release; who has it has the value.
#[derive(Default)]
pub struct Mutex<T: ?Sized> {
    locked: AtomicBool,
    /// The mark of the task that has it, for those who wait; 0 if nobody or another thread has.
    owner: AtomicU64,
    gate: Gate,
    value: UnsafeCell<T>,
}

// SAFETY: MU-1; the value moves between threads with the lock.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

/// The right to the value; gives the lock back when dropped. It stays with the task that has it.
#[must_use = "the lock is given back when the guard is dropped"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    /// It does not move to another thread, as with std's.
    stays: PhantomData<*const ()>,
}

// SAFETY: MU-1: a shared guard gives shared references of the value, and nothing else.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<T> Mutex<T> {
    /// An open lock around `value`.
    pub fn new(value: T) -> Self {
        Self {
            locked: AtomicBool::new(false),
            owner: AtomicU64::new(0),
            gate: Gate::default(),
            value: UnsafeCell::new(value),
        }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// The lock, if it is open.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.locked
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
            .then(|| {
                self.owner.store(my_mark(), Ordering::Relaxed);
                MutexGuard {
                    mutex: self,
                    stays: PhantomData,
                }
            })
    }

    /// Waits for the lock; the core goes on with other work.
    ///
    /// # Errors
    /// [`WaitCycle`](crate::Error::WaitCycle) if it could never come, since the task that has it
    /// waits for this one; [`Cancelled`](crate::Error::Cancelled),
    /// [`ShutDown`](crate::Error::ShutDown), as for `get`.
    pub fn lock(&self) -> Result<MutexGuard<'_, T>> {
        loop {
            let needs = || Some(Needs::One(Awaited::Lock(NonNull::from(&self.owner))));
            let guard = self
                .gate
                .wait_for("a mutex", None, needs, || self.try_lock())?;
            if let Some(guard) = guard {
                return Ok(guard);
            }
        }
    }
}

/// The mark of the running task, or 0.
#[inline]
fn my_mark() -> u64 {
    // SAFETY: frames live on the stack of the task they name, which runs.
    let frame = Local::current().and_then(|local| unsafe { local.frame.get().as_ref() });
    frame.map_or(0, Frame::mark)
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: MU-1.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: MU-1.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.mutex.owner.store(0, Ordering::Relaxed);
        self.mutex.locked.store(false, Ordering::Release);
        self.mutex.gate.notify_all();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_lock() {
            Some(guard) => write!(f, "Mutex({:?})", &*guard),
            None => write!(f, "Mutex(locked)"),
        }
    }
}
