//! The thread that faults pages in before they are used.
//!
//! - PO-1 it starts with the first extent and ends with the store; between extents it sleeps.
//!   It may use the cores that the store's maker could, not the one that the thread is pinned to which
//!   needed an extent.
//! - PO-2 it holds an extent only while it faults one part of it in, so that it keeps none alive.
//!   Parts go from the first byte on, as arenas fill them.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use super::ground::Ground;
use crate::os::affinity;

/// Bytes that are faulted in at a time: some hundred microseconds of work.
const PART_BYTES: usize = 4 << 20;

#[derive(Debug, Default)]
struct State {
    queue: std::collections::VecDeque<Weak<Ground>>,
    running: bool,
    busy: bool,
    over: bool,
}

#[derive(Debug, Default)]
struct Shared {
    /// Cores that may be used.
    cpus: Vec<usize>,
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
#[derive(Debug)]
pub(super) struct Populator(Arc<Shared>);

impl Populator {
    pub(super) fn new() -> Self {
        // Where that cannot be read it stays on the core it starts on.
        let cpus = affinity::current().unwrap_or_default();
        Self(Arc::new(Shared {
            cpus,
            ..Shared::default()
        }))
    }

    /// Has the pages of an extent faulted in.
    pub(super) fn add(&self, ground: &Arc<Ground>) {
        let mut state = self.0.state();
        state.queue.push_back(Arc::downgrade(ground));
        if !state.running {
            let shared = Arc::clone(&self.0);
            let thread = std::thread::Builder::new().name("maser-pages".to_owned());
            // PO-1. Where there are no more threads, pages are faulted in as they are used.
            state.running = thread.spawn(move || run(&shared)).is_ok();
            if !state.running {
                state.queue.clear();
            }
        }
        drop(state);
        self.0.changed.notify_all();
    }

    /// Waits until nothing is left to do.
    pub(super) fn settle(&self) {
        let mut state = self.0.state();
        while state.running && !state.over && (state.busy || !state.queue.is_empty()) {
            state = self.0.wait(state);
        }
    }
}

impl Drop for Populator {
    fn drop(&mut self) {
        self.0.state().over = true;
        self.0.changed.notify_all();
    }
}

fn run(shared: &Shared) {
    let _stays = affinity::set(&shared.cpus); // PO-1
    loop {
        let mut state = shared.state();
        state.busy = false;
        shared.changed.notify_all();
        let ground = loop {
            if state.over {
                return;
            }
            match state.queue.pop_front() {
                Some(ground) => break ground,
                None => state = shared.wait(state),
            }
        };
        state.busy = true;
        drop(state);
        let mut from = 0;
        // PO-2.
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
}
