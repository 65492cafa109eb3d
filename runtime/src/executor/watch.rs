//! Tasks that are blocked on a graph's result: the loop polls for them.
//!
//! Such a wait is short, so nothing is registered with the graph while the scheduler runs. Only
//! before it parks it asks the graphs for a notification.
#![allow(
    unsafe_code,
    reason = "wakes coroutines by their control block, reads words of results"
)]

use super::coroutine::Co;
use super::local::Local;
use super::shared::Shared;
use super::sources::Probes;
use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

/// A result that the loop polls for a blocked task.
///
/// # Safety
/// The words that [`idle`](Self::idle) names live as long as it does.
pub(crate) unsafe trait Pollable {
    /// `None` if the task should look again; else what changes before it should.
    fn idle(&self, run: u64) -> Option<Probes>;
    /// Asks for a notification of the scheduler, or no more.
    fn arm(&self, scheduler: &Arc<Shared>, armed: bool);
}

/// A task that is blocked on a [`Pollable`].
pub(crate) struct Watch {
    pub(crate) result: Arc<dyn Pollable>,
    pub(crate) run: u64,
    pub(crate) probes: Cell<Probes>,
    pub(crate) co: NonNull<Co>,
    /// When to wake it in any case. The clock is not read for a wait that is soon over: the loop
    /// fills the deadline in when it next reads the clock anyway.
    pub(crate) limit: Option<Duration>,
    pub(crate) deadline_ns: Cell<Option<u64>>,
}

impl Watch {
    #[inline(always)]
    pub(crate) fn is_ready(&self) -> bool {
        // SAFETY: the result is here, and with it what its probes point at.
        if !unsafe { self.probes.get().have_changed() } {
            return false;
        }
        match self.result.idle(self.run) {
            None => true,
            Some(probes) => {
                self.probes.set(probes);
                false
            }
        }
    }

    /// The end of its `limit`, which begins now if it did not before.
    fn deadline(&self, limit: Duration, now_ns: impl FnOnce() -> u64) -> u64 {
        let deadline = self.deadline_ns.get().unwrap_or_else(|| {
            now_ns().saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX))
        });
        self.deadline_ns.set(Some(deadline));
        deadline
    }
}

impl Local {
    /// Wakes the tasks whose graph results are there.
    pub(crate) fn serve_watches(&self) -> bool {
        let mut any = false;
        let mut at = 0;
        loop {
            let co = {
                let watches = self.watches.borrow();
                let Some(watch) = watches.get(at) else {
                    return any;
                };
                watch.is_ready().then_some(watch.co)
            };
            if let Some(co) = co {
                self.watches.borrow_mut().swap_remove(at);
                // SAFETY: CO-2.
                unsafe { co.as_ref() }.wake_local(self);
                any = true;
            } else {
                at += 1;
            }
        }
    }

    /// Wakes the tasks whose wait has reached its limit; true if there was one. The deadlines of
    /// new waits begin at `now_ns`.
    pub(crate) fn expire_watches(&self, now_ns: u64) -> bool {
        let mut late = Vec::new();
        self.watches.borrow_mut().retain(|watch| {
            let Some(limit) = watch.limit else {
                return true;
            };
            let deadline = watch.deadline(limit, || now_ns);
            if now_ns >= deadline {
                late.push(watch.co);
            }
            now_ns < deadline
        });
        for co in &late {
            // SAFETY: CO-2.
            unsafe { co.as_ref() }.wake_local(self);
        }
        !late.is_empty()
    }

    /// The earliest time at which this scheduler has to look again. With a short spin budget it
    /// may be asked before the loop has ever read the clock for a new wait.
    pub(crate) fn next_deadline_ns(&self) -> Option<u64> {
        let watches = self.watches.borrow();
        let watched = watches
            .iter()
            .filter_map(|watch| Some(watch.deadline(watch.limit?, || self.node.clock.now_ns())))
            .min();
        match (self.timers.earliest_ns(), watched) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Arms or disarms the wake-up of every graph a task here waits for.
    pub(crate) fn arm_watches(&self, armed: bool) {
        for watch in self.watches.borrow().iter() {
            watch.result.arm(&self.shared, armed);
        }
    }
}
