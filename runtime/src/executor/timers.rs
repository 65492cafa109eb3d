//! Timers of one scheduler: who is to be woken when.

use super::coroutine::Co;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ptr::NonNull;

/// Names one armed timer.
pub(crate) type TimerKey = (u64, u64);

/// Deadlines on the node's clock, each with the coroutine to wake.
#[derive(Default)]
pub(crate) struct Timers {
    armed: RefCell<BTreeMap<TimerKey, NonNull<Co>>>,
    next: Cell<u64>,
    earliest_ns: Cell<Option<u64>>,
}

impl Timers {
    /// Wakes `co` once `deadline_ns` is reached, unless disarmed before.
    pub(crate) fn arm(&self, deadline_ns: u64, co: NonNull<Co>) -> TimerKey {
        let key = (deadline_ns, self.next.get());
        self.next.set(key.1 + 1);
        self.armed.borrow_mut().insert(key, co);
        self.refresh();
        key
    }

    /// Forgets a timer; a fired one is forgotten already.
    pub(crate) fn disarm(&self, key: TimerKey) {
        self.armed.borrow_mut().remove(&key);
        self.refresh();
    }

    /// The earliest deadline.
    #[inline(always)]
    pub(crate) fn earliest_ns(&self) -> Option<u64> {
        self.earliest_ns.get()
    }

    /// Takes one timer that is due at `now_ns`.
    pub(crate) fn pop_due(&self, now_ns: u64) -> Option<NonNull<Co>> {
        let due = {
            let mut armed = self.armed.borrow_mut();
            let first = armed.first_entry()?;
            if first.key().0 > now_ns {
                return None;
            }
            first.remove()
        };
        self.refresh();
        Some(due)
    }

    fn refresh(&self) {
        self.earliest_ns
            .set(self.armed.borrow().first_key_value().map(|(key, _)| key.0));
    }
}
