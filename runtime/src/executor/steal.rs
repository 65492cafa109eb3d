//! Stealing of tasks that have not started.
//!
//! A task that its owner is about to take itself is left alone: a thief takes the oldest task of a
//! queue after it saw the very same one there twice, which means that the owner is busy.
#![allow(unsafe_code, reason = "takes tasks from other schedulers' queues as raw cells")]

use super::local::Local;
use crate::task::raw::Header;
use maser_shm::sync::deque::Steal;

/// What a thief remembers between its looks.
#[derive(Default)]
pub(crate) struct Thief {
    victim: usize,
    seen: Option<(usize, u64)>,
}

impl Thief {
    /// Looks at one victim; runs what it stole. True if something was stolen.
    pub(crate) fn look(&mut self, local: &Local) -> bool {
        let schedulers = local.node.schedulers();
        if schedulers.len() < 2 {
            return false;
        }
        self.victim = (self.victim + 1) % schedulers.len();
        if self.victim == local.shared.index {
            self.victim = (self.victim + 1) % schedulers.len();
        }
        let stealer = &schedulers[self.victim].stealer;
        if stealer.is_empty() {
            self.seen = None;
            return false;
        }
        let now = (self.victim, stealer.oldest_index());
        if self.seen != Some(now) {
            self.seen = Some(now);
            return false;
        }
        self.seen = None;
        match stealer.steal() {
            Steal::Success(task) => {
                // SAFETY: the deque holds cells of tasks that have not started; a successful
                // steal is the right to start this one.
                unsafe { Header::run(task.cast(), local) };
                true
            }
            Steal::Retry | Steal::Empty => false,
        }
    }
}
