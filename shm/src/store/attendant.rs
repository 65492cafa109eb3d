//! The thread of a store: it faults pages in before they are used, and gives extents back that
//! nothing lies in any more.
//!
//! - PO-1 it starts when it is first needed and ends with the store; when nothing is to be done it
//!   sleeps. It may use the cores that the store's maker could, not the one that the thread is pinned
//!   to which needed it.
//! - PO-2 it holds an extent only while it faults one part of it in, so that it keeps none alive.
//!   Parts go from the first byte on, as arenas fill them.
//! - PO-3 once something was freed it looks at the arenas every `warm_time` (AR-5), until `LOOKS` looks
//!   after the last free have found nothing that lies empty: so a store in which nothing happens wakes
//!   nobody. Pages come first; the time until the next look begins anew then.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use super::ground::Ground;
use super::shared;
use crate::os::affinity;

/// Bytes that are faulted in at a time: some hundred microseconds of work.
const PART_BYTES: usize = 4 << 20;

/// PO-3. The second one is for what was on its way to an arena's list during the first.
const LOOKS: u8 = 2;

#[derive(Debug, Default)]
struct State {
    queue: std::collections::VecDeque<Weak<Ground>>,
    running: bool,
    busy: bool,
    over: bool,
    looks: Looks,
}

/// How many looks are still to come (PO-3).
#[derive(Debug, Default, PartialEq, Eq)]
struct Looks(u8);

impl Looks {
    /// Something was freed: whether the thread has to be woken.
    fn freed(&mut self) -> bool {
        std::mem::replace(&mut self.0, LOOKS) == 0
    }

    /// Whether one is to come.
    fn is_due(&self) -> bool {
        self.0 > 0
    }

    /// One begins. What is freed from now on is for the next ones.
    fn begin(&mut self) {
        self.0 = self.0.saturating_sub(1);
    }

    /// It is over, and found something that lies empty, or not.
    fn end(&mut self, found: bool) {
        self.0 = self.0.max(u8::from(found));
    }
}

struct Shared {
    /// Cores that may be used.
    cpus: Vec<usize>,
    warm_time: Option<Duration>,
    store: OnceLock<Weak<shared::Shared>>,
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let woken = self.changed.wait(state);
        woken.unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module's page.
pub(super) struct Attendant(Arc<Shared>);

impl std::fmt::Debug for Attendant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Attendant").field(&self.0.state()).finish()
    }
}

impl Attendant {
    pub(super) fn new(warm_time: Option<Duration>) -> Self {
        // Where that cannot be read it stays on the core it starts on.
        let cpus = affinity::current().unwrap_or_default();
        Self(Arc::new(Shared {
            cpus,
            warm_time,
            store: OnceLock::new(),
            state: Mutex::default(),
            changed: Condvar::new(),
        }))
    }

    /// Whose arenas it looks at.
    pub(super) fn belongs_to(&self, store: &Arc<shared::Shared>) {
        let _first = self.0.store.set(Arc::downgrade(store));
    }

    /// PO-1. Where there are no more threads, nothing is done before it is needed.
    fn start(&self, state: &mut State) -> bool {
        if !state.running {
            let shared = Arc::clone(&self.0);
            let thread = std::thread::Builder::new().name("maser-pages".to_owned());
            state.running = thread.spawn(move || run(&shared)).is_ok();
        }
        state.running
    }

    /// Has the pages of an extent faulted in.
    pub(super) fn add(&self, ground: &Arc<Ground>) {
        let mut state = self.0.state();
        if self.start(&mut state) {
            state.queue.push_back(Arc::downgrade(ground));
        }
        drop(state);
        self.0.changed.notify_all();
    }

    /// Something was freed (PO-3).
    #[cold]
    pub(super) fn freed(&self) {
        if self.0.warm_time.is_none() {
            return;
        }
        let mut state = self.0.state();
        let wakes = self.start(&mut state) && state.looks.freed();
        drop(state);
        if wakes {
            self.0.changed.notify_all();
        }
    }

    /// Waits until all pages are faulted in.
    pub(super) fn settle(&self) {
        let mut state = self.0.state();
        while state.running && !state.over && (state.busy || !state.queue.is_empty()) {
            state = self.0.wait(state);
        }
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        self.0.state().over = true;
        self.0.changed.notify_all();
    }
}

fn run(shared: &Shared) {
    let _stays = affinity::set(&shared.cpus); // PO-1
    let mut state = shared.state();
    while !state.over {
        if let Some(ground) = state.queue.pop_front() {
            state.busy = true;
            drop(state);
            populate(shared, &ground);
            state = shared.state();
            state.busy = false;
            shared.changed.notify_all();
            continue;
        }
        let Some(time) = shared.warm_time.filter(|_| state.looks.is_due()) else {
            state = shared.wait(state);
            continue;
        };
        let woken = shared.changed.wait_timeout(state, time);
        let (woken, waited) = woken.unwrap_or_else(PoisonError::into_inner);
        state = woken;
        if waited.timed_out() && !state.over && state.queue.is_empty() {
            state.looks.begin();
            drop(state);
            let store = shared.store.get().and_then(Weak::upgrade);
            // The store may end here.
            let found = store.is_some_and(|store| store.cool());
            state = shared.state();
            state.looks.end(found);
        }
    }
}

/// PO-2.
fn populate(shared: &Shared, ground: &Weak<Ground>) {
    let mut from = 0;
    while let Some(ground) = ground.upgrade()
        && from < ground.extent.bytes()
        && !shared.state().over
    {
        let part = PART_BYTES.max(ground.extent.pages().bytes());
        let bytes = part.min(ground.extent.bytes() - from);
        if ground.extent.populate(from, bytes).is_err() {
            break;
        }
        from += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_is_woken_once_and_looks_until_nothing_is_found() {
        let mut looks = Looks::default();
        assert!(!looks.is_due());
        assert!(looks.freed());
        assert!(!looks.freed(), "it is awake");
        for found in [true, true, true, false] {
            assert!(looks.is_due());
            looks.begin();
            looks.end(found);
        }
        assert!(!looks.is_due(), "nothing was freed or found");
        assert!(looks.freed());
    }

    #[test]
    fn what_is_freed_while_it_looks_is_looked_for_twice() {
        let mut looks = Looks::default();
        looks.freed();
        looks.begin();
        assert!(!looks.freed());
        looks.end(false);
        for _ in 0..LOOKS {
            assert!(looks.is_due());
            looks.begin();
            looks.end(false);
        }
        assert!(!looks.is_due());
    }
}
