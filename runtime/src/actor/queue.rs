//! The calls of an actor that have come and not begun (rules AC-* in `core`).
#![allow(unsafe_code, reason = "raw cells in a queue")]

use super::core::{Access, ActorCore};
use crate::executor::local::Local;
use crate::task::raw::Header;
use std::ptr::NonNull;

impl ActorCore {
    /// As [`enqueue`](Self::enqueue), of a call that was made before: somebody may wait for it.
    pub(crate) fn arrive(core: NonNull<ActorCore>, cell: NonNull<Header>, local: &Local) {
        // SAFETY: AC-1, a call that was sent.
        let holds = unsafe { core.as_ref() }.running.get() != 0;
        // SAFETY: a call that was sent is not DONE, hence alive.
        if unsafe { cell.as_ref() }.completion.is_cancel_requested() {
            // CL-1.
            return crate::task::cancel::fail(cell);
        }
        Self::enqueue(core, cell, local);
        if holds {
            local.node.waits.arrived(core);
        }
    }

    /// Puts a call at the end of the queue.
    pub(crate) fn enqueue(core: NonNull<ActorCore>, cell: NonNull<Header>, local: &Local) {
        // SAFETY: AC-1, a call that was sent.
        let this = unsafe { core.as_ref() };
        // SAFETY: a call that was sent is not DONE, hence alive.
        let header = unsafe { cell.as_ref() };
        header.actor.is_queued_now();
        if header.vtable().access == Access::Construct {
            this.queue.borrow_mut().push_front(cell);
        } else {
            this.queue.borrow_mut().push_back(cell);
        }
        if this.is_dead() {
            this.settle_dead();
        } else {
            Self::schedule(core, local);
        }
    }

    /// Takes `cell` out of the queue, if it is there.
    ///
    /// # Safety
    /// AC-1: the block is there; on its home scheduler.
    pub(crate) unsafe fn withdraw(
        core: NonNull<ActorCore>,
        cell: NonNull<Header>,
        local: &Local,
    ) -> bool {
        // SAFETY: the caller's promise.
        let this = unsafe { core.as_ref() };
        let mut queue = this.queue.borrow_mut();
        let Some(at) = queue.iter().position(|other| *other == cell) else {
            return false;
        };
        queue.remove(at);
        if !queue.is_empty() {
            Self::schedule(core, local);
        }
        true
    }

    #[inline]
    pub(super) fn schedule(core: NonNull<ActorCore>, local: &Local) {
        // SAFETY: AC-1.
        if !unsafe { core.as_ref() }.scheduled.replace(true) {
            local.push_actor(core);
        }
    }

    /// Takes `cell` out of the queue if it is the first and may run now.
    #[inline]
    pub(crate) fn claim_first(&self, cell: NonNull<Header>) -> bool {
        let mut queue = self.queue.borrow_mut();
        // SAFETY: a queued cell is not DONE, hence alive.
        if queue.front() == Some(&cell) && self.admits(unsafe { cell.as_ref() }.vtable().access) {
            queue.pop_front();
            return true;
        }
        false
    }

    /// Runs the first call of the queue, if it may run now. From the loop.
    pub(crate) fn run_next(core: NonNull<ActorCore>, local: &Local) {
        // SAFETY: AC-1, a scheduled block is forgotten before it is freed.
        let this = unsafe { core.as_ref() };
        this.scheduled.set(false);
        if this.node.is_closing() {
            // No call starts any more; it may not have been there yet when others were closed.
            this.close();
        }
        if this.is_dead() {
            return this.settle_dead();
        }
        let Some(cell) = this.queue.borrow().front().copied() else {
            return;
        };
        if this.claim_first(cell) {
            if !this.queue.borrow().is_empty() {
                Self::schedule(core, local);
            }
            // SAFETY: TC-1, taken from the queue.
            unsafe { Header::run(cell, local) };
        }
    }
}
