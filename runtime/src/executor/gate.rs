//! A place to wait for a condition that others change: for slow paths, where a lock is cheap.
//!
//! - GT-1 whoever changes the condition calls `notify_all` after it. A waiter registers, looks
//!   again, and only then sleeps, so no change is slept over. Wake-ups may be spurious.
#![allow(unsafe_code, reason = "wakes coroutines by their control block")]

use super::coroutine::Co;
use super::local::Local;
use super::wait::{LentCpus, check_may_block, deadline_ns, interrupted, thread_event};
use crate::error::Result;
use crate::node::Node;
use maser_shm::sync::event::Event;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

enum Target {
    Coroutine(NonNull<Co>),
    Thread(Arc<Event>),
}

// SAFETY: a `Co` may be woken from any thread (`Co::wake`), and outlives its wake-ups (CO-2).
unsafe impl Send for Target {}

/// See the module's page.
#[derive(Default)]
pub(crate) struct Gate {
    waiting: Mutex<Vec<Target>>,
}

impl Gate {
    /// Wakes everybody who waits.
    pub(crate) fn notify_all(&self) {
        let waiting =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        for target in waiting {
            match target {
                // SAFETY: CO-2.
                Target::Coroutine(co) => unsafe { co.as_ref() }.wake(),
                Target::Thread(event) => event.notify(),
            }
        }
    }

    fn register(&self, target: Target) {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(target);
    }

    /// Waits until `condition` gives a value; `Ok(None)` once `limit` is over.
    pub(crate) fn wait<R>(
        &self,
        what: &str,
        limit: Option<Duration>,
        mut condition: impl FnMut() -> Option<R>,
    ) -> Result<Option<R>> {
        if let Some(value) = condition() {
            return Ok(Some(value));
        }
        match Local::current() {
            Some(local) => self.wait_on_scheduler(local, what, limit, condition),
            None => self.wait_on_thread(what, limit, condition),
        }
    }

    fn wait_on_scheduler<R>(
        &self,
        local: &Local,
        what: &str,
        limit: Option<Duration>,
        mut condition: impl FnMut() -> Option<R>,
    ) -> Result<Option<R>> {
        check_may_block(local, what)?;
        let _lent = LentCpus::of_this_stack(local);
        let me = local.current_co();
        let deadline = deadline_ns(local, limit);
        let timer = deadline.map(|deadline| local.timers.arm(deadline, me));
        let outcome = loop {
            self.register(Target::Coroutine(me));
            if let Some(value) = condition() {
                break Ok(Some(value));
            }
            if deadline.is_some_and(|deadline| local.node.clock.now_ns() >= deadline) {
                break Ok(None);
            }
            if let Err(error) = interrupted(local, what).and_then(|()| local.block()) {
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
        loop {
            self.register(Target::Thread(event.clone()));
            event.prepare_park();
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
