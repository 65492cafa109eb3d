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
use maser_shm::sync::atomic::{AtomicBool, Ordering};
use std::cell::UnsafeCell;
use std::fmt;
use std::ops::{Deref, DerefMut};

/// A mutex that may be held across `get`, `sleep` and `yield_now`.
///
/// It is not poisoned by a panic: the guard is dropped like any value.
///
/// - MU-1 `locked` is taken with Acquire and given back with Release; who has it has the value.
#[derive(Default)]
pub struct Mutex<T: ?Sized> {
    locked: AtomicBool,
    gate: Gate,
    value: UnsafeCell<T>,
}

// SAFETY: MU-1; the value moves between threads with the lock.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

/// The right to the value; gives the lock back when dropped.
#[must_use = "the lock is given back when the guard is dropped"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
}

impl<T> Mutex<T> {
    /// An open lock around `value`.
    pub fn new(value: T) -> Self {
        Self {
            locked: AtomicBool::new(false),
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
            .then(|| MutexGuard { mutex: self })
    }

    /// Waits for the lock; the core goes on with other work.
    ///
    /// # Errors
    /// [`Cancelled`](crate::Error::Cancelled), [`ShutDown`](crate::Error::ShutDown), as for `get`.
    pub fn lock(&self) -> Result<MutexGuard<'_, T>> {
        loop {
            if let Some(guard) = self.gate.wait("a mutex", None, || self.try_lock())? {
                return Ok(guard);
            }
        }
    }
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
