//! What a running task says of itself, on its own stack.

use crate::actor::core::{Access, ActorCore};
use crate::actor::lane::Ticket;
use crate::task::meta::Meta;
use crate::task::raw::Header;
use maser_shm::sync::atomic::{AtomicU64, Ordering};
use std::cell::Cell;

/// Marks that a thread takes at once.
const MARKS_PER_THREAD: u64 = 1 << 16;

/// A running task, on its own stack; the innermost one is `Local::frame`.
pub(crate) struct Frame {
    /// Its result; null for the root task.
    pub(crate) header: *const Header,
    pub(crate) meta: &'static Meta,
    /// The actor whose method it is; null for a task.
    pub(crate) actor: *const ActorCore,
    /// How it uses the actor.
    pub(crate) access: Access,
    /// The question it answers, if it came over a lane.
    pub(crate) ticket: *const Ticket<'static>,
    /// The task below it on the same stack.
    pub(crate) below: *const Frame,
    /// See [`mark`](Self::mark).
    pub(crate) mark: Cell<u64>,
}

impl Frame {
    /// A number that no other frame ever has: locks note it, and it is 0 until one does.
    pub(crate) fn mark(&self) -> u64 {
        thread_local! { static NEXT: Cell<(u64, u64)> = const { Cell::new((0, 0)) } }
        static RANGES: AtomicU64 = AtomicU64::new(0);
        if self.mark.get() == 0 {
            let (mut next, mut end) = NEXT.get();
            if next == end {
                next = RANGES.fetch_add(MARKS_PER_THREAD, Ordering::Relaxed) + 1;
                end = next + MARKS_PER_THREAD;
            }
            NEXT.set((next + 1, end));
            self.mark.set(next);
        }
        self.mark.get()
    }

    /// Whether it keeps every other method of its actor out.
    pub(crate) fn is_exclusive(&self) -> bool {
        !self.actor.is_null() && matches!(self.access, Access::Exclusive | Access::Construct)
    }
}
