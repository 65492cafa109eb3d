//! Tasks that come from threads without a scheduler: any scheduler takes them, so that none waits
//! behind one that is stuck in user code.
//!
//! - IJ-1 a push looks under the lock whether the node closes; the closing node empties the queue
//!   under the same lock after it was marked. So no task is left behind.
#![allow(unsafe_code, reason = "queued cells move between threads")]

use crate::task::raw::Header;
use maser_shm::sync::CachePadded;
use maser_shm::sync::atomic::{AtomicUsize, Ordering};
use maser_shm::sync::deque::Worker;
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Tasks that one scheduler takes at once; from its own queue others may steal them.
const BATCH: usize = 16;

struct Injected(NonNull<Header>);

// SAFETY: TC-1: a queued cell is the right to start it, which any thread may use; its arguments
// are `Send`.
unsafe impl Send for Injected {}

/// The node's queue.
#[derive(Default)]
pub(crate) struct Injector {
    /// Written under the lock, read by idle schedulers.
    len: CachePadded<AtomicUsize>,
    tasks: Mutex<VecDeque<Injected>>,
}

impl Injector {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Injected>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is nothing to take.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.len.load(Ordering::Relaxed) == 0
    }

    /// Queues `cell` unless `closing`; true if it was queued (IJ-1).
    pub(crate) fn push(&self, cell: NonNull<Header>, closing: impl FnOnce() -> bool) -> bool {
        let mut tasks = self.lock();
        if closing() {
            return false;
        }
        tasks.push_back(Injected(cell));
        self.len.store(tasks.len(), Ordering::Relaxed);
        true
    }

    /// Moves the oldest tasks into a scheduler's own queue; true if there were any.
    #[cold]
    pub(crate) fn take(&self, own: &Worker) -> bool {
        let mut tasks = self.lock();
        let count = tasks.len().min(BATCH);
        for Injected(cell) in tasks.drain(..count) {
            own.push(cell.cast());
        }
        self.len.store(tasks.len(), Ordering::Relaxed);
        count > 0
    }

    /// Everything that is left, at shutdown.
    pub(crate) fn drain(&self) -> Vec<NonNull<Header>> {
        let mut tasks = self.lock();
        self.len.store(0, Ordering::Relaxed);
        tasks.drain(..).map(|injected| injected.0).collect()
    }
}
