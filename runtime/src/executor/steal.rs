//! Stealing of tasks that have not started.
//!
//! A task that its owner is about to take itself is left alone: a thief takes the oldest task of a
//! queue after it saw the very same one there twice, which means that the owner is busy.
#![allow(
    unsafe_code,
    reason = "takes tasks from other schedulers' queues as raw cells"
)]

use super::local::Local;
use crate::task::raw::Header;
use maser_shm::sync::deque::Steal;

/// What a thief remembers between its looks.
#[derive(Default)]
pub(crate) struct Thief {
    victim: usize,
    /// The oldest task that was seen at `victim`.
    seen: Option<u64>,
}

impl Thief {
    /// Looks at one victim; runs what it stole. True if something was stolen.
    pub(crate) fn look(&mut self, local: &Local) -> bool {
        let schedulers = local.node.schedulers();
        if schedulers.len() < 2 {
            return false;
        }
        if self.seen.is_none() {
            self.victim = (self.victim + 1) % schedulers.len();
            if self.victim == local.shared.index {
                self.victim = (self.victim + 1) % schedulers.len();
            }
        }
        let stealer = &schedulers[self.victim].stealer;
        let seen = self.seen.take();
        if stealer.is_empty() {
            return false;
        }
        let oldest = stealer.oldest_index();
        if seen != Some(oldest) {
            // Its owner takes them itself if it was seen to move on: the next look is elsewhere.
            self.seen = seen.is_none().then_some(oldest);
            return false;
        }
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
