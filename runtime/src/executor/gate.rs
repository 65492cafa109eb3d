//! A place to wait for a condition that others change: for slow paths, where a lock is cheap.
//!
//! - GT-1 whoever changes the condition calls `notify_all` after it. A waiter registers, looks
//!   again, and only then sleeps, so no change is slept over. Wake-ups may be spurious.
//! - GT-2 a waiter is registered for no longer than it waits, and is woken under the lock: whoever
//!   wakes never sees a coroutine that is gone.
#![allow(unsafe_code, reason = "wakes coroutines by their control block")]

use super::coroutine::Co;
use super::local::Local;
use super::wait::{LentCpus, check_may_block, deadline_ns, interrupted, thread_event};
use crate::error::Result;
use crate::node::Node;
use crate::wait_graph::{Edge, Needs};
use maser_shm::sync::event::Event;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[derive(Clone)]
enum Target {
    Coroutine(NonNull<Co>),
    Thread(Arc<Event>),
}

impl Target {
    fn is(&self, other: &Target) -> bool {
        match (self, other) {
            (Target::Coroutine(one), Target::Coroutine(two)) => one == two,
            (Target::Thread(one), Target::Thread(two)) => Arc::ptr_eq(one, two),
            _ => false,
        }
    }
}

// SAFETY: a `Co` may be woken from any thread (`Co::wake`), and outlives its wake-ups (CO-2).
unsafe impl Send for Target {}

/// See the module's page.
#[derive(Default)]
pub(crate) struct Gate {
    waiting: Mutex<Vec<Target>>,
}

/// A waiter, taken off the list when it leaves (GT-2).
struct Waiter<'a> {
    gate: &'a Gate,
    target: Target,
}

impl Waiter<'_> {
    /// Registers, again if it was woken since.
    fn register(&self) {
        let mut waiting = self.gate.lock();
        if !waiting.iter().any(|other| other.is(&self.target)) {
            waiting.push(self.target.clone());
        }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.gate.lock().retain(|other| !other.is(&self.target));
    }
}

impl Gate {
    /// Wakes everybody who waits.
    pub(crate) fn notify_all(&self) {
        for target in self.lock().drain(..) {
            match target {
                // SAFETY: GT-2: it waits, so it is there (CO-2).
                Target::Coroutine(co) => unsafe { co.as_ref() }.wake(),
                Target::Thread(event) => event.notify(),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Target>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `condition` gives a value; `Ok(None)` once `limit` is over.
    pub(crate) fn wait<R>(
        &self,
        what: &str,
        limit: Option<Duration>,
        condition: impl FnMut() -> Option<R>,
    ) -> Result<Option<R>> {
        self.wait_for(what, limit, || None, condition)
    }

    /// As [`wait`](Self::wait), for something that tasks bring about; what `needs` says is alive
    /// until this returns.
    pub(crate) fn wait_for<R>(
        &self,
        what: &str,
        limit: Option<Duration>,
        needs: impl FnOnce() -> Option<Needs>,
        mut condition: impl FnMut() -> Option<R>,
    ) -> Result<Option<R>> {
        if let Some(value) = condition() {
            return Ok(Some(value));
        }
        match Local::entered() {
            Some(local) => self.wait_on_scheduler(local, what, limit, needs, condition),
            None => self.wait_on_thread(what, limit, condition),
        }
    }

    fn wait_on_scheduler<R>(
        &self,
        local: &Local,
        what: &str,
        limit: Option<Duration>,
        needs: impl FnOnce() -> Option<Needs>,
        mut condition: impl FnMut() -> Option<R>,
    ) -> Result<Option<R>> {
        check_may_block(local, what)?;
        let edge = match needs() {
            Some(needs) => Some(local.node.waits.enter(local, needs, limit.is_some())?),
            None => None,
        };
        let _lent = LentCpus::of_this_stack(local);
        let me = local.current_co();
        let deadline = deadline_ns(local, limit);
        let timer = deadline.map(|deadline| local.timers.arm(deadline, me));
        let waiter = Waiter {
            gate: self,
            target: Target::Coroutine(me),
        };
        let outcome = loop {
            waiter.register();
            if let Some(value) = condition() {
                break Ok(Some(value));
            }
            if deadline.is_some_and(|deadline| local.node.clock.now_ns() >= deadline) {
                break Ok(None);
            }
            let mut blocked = edge.as_ref().map_or(Ok(()), Edge::check);
            if blocked.is_ok() {
                blocked = interrupted(local, what).and_then(|()| local.block());
            }
            if let Err(error) = blocked {
                break Err(error);
            }
        };
        if let Some(timer) = timer {
            local.timers.disarm(timer);
        }
        outcome
    }

    fn wait_on_thread<R>(
        &self,
        what: &str,
        limit: Option<Duration>,
        mut condition: impl FnMut() -> Option<R>,
    ) -> Result<Option<R>> {
        let node = Node::current("waiting")?;
        let end = limit.map(|limit| {
            node.clock
                .now_ns()
                .saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX))
        });
        let event = thread_event();
        let waiter = Waiter {
            gate: self,
            target: Target::Thread(event.clone()),
        };
        loop {
            // Before it registers: a notification that takes it off the list finds it parked, and
            // another change may follow that nobody tells it of.
            event.prepare_park();
            waiter.register();
            let value = condition();
            let left = end.map(|end| Duration::from_nanos(end.saturating_sub(node.clock.now_ns())));
            if value.is_some() || left.is_some_and(|left| left.is_zero()) {
                event.cancel_park();
                return Ok(value);
            }
            if node.is_closed() {
                event.cancel_park();
                return Err(crate::error::Error::ShutDown { what: what.into() });
            }
            event.park(left);
        }
    }
}
