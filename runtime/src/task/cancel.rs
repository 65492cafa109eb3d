//! Cancelling what has not started: it is done at once, and never starts.
//!
//! - CL-1 the flag is set first. Whoever cancels then takes the cell out of the place where it waits,
//!   and with it the right to start (TC-1); whoever brings it to another place, or starts it, looks
//!   at the flag. So it is found wherever it is, and by one of the two.
//! - CL-2 the queue of an actor is its home scheduler's: that one is asked by letter. While it is
//!   stuck in user code the call ends later, when it takes its letters.
//! - CL-3 a question on a lane is looked at while `cancelled_calls` of its callee is not 0, which
//!   holds until the callee has served what was on its lanes. One that waits for room is looked at
//!   by its caller's end.
#![allow(unsafe_code, reason = "takes cells out of queues; posts letters")]

use super::dependencies;
use super::raw::Header;
use crate::actor::{core::ActorCore, stalled};
use crate::error::Error;
use crate::executor::letter;
use crate::executor::local::Local;
use crate::node::Node;
use crate::worker::remote::FIRST_HOME;
use maser_shm::sync::atomic::Ordering;
use std::ptr::NonNull;

/// Turns in which a callee serves every question that is on its lanes: a ring of 64, in batches of
/// 32, and the turn that is under way.
const TURNS: u32 = 4;

/// A handle of a cell of any type.
struct Handle(NonNull<Header>);

// SAFETY: a handle is a count; what a `Ref` holds may be dropped on any thread.
unsafe impl Send for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle that was taken with it.
        unsafe { Header::release_any(self.0) };
    }
}

/// Asks the producer of `cell` to give up; true if it was not done. The caller has a handle.
pub(crate) fn give_up(cell: NonNull<Header>) -> bool {
    // SAFETY: the caller's handle.
    let pending = unsafe { cell.as_ref() }.completion.request_cancel();
    if pending && let Ok(node) = Node::current("cancelling a task") {
        if_unstarted(cell, &node);
        node.wake_blocked();
    }
    pending
}

/// `cell` was asked to give up, and the caller has a handle: if it waits to start, it is over.
fn if_unstarted(cell: NonNull<Header>, node: &Node) {
    // SAFETY: the caller's handle.
    let header = unsafe { cell.as_ref() };
    let waited = dependencies::claim(cell);
    let is_elsewhere = header.actor.home() >= FIRST_HOME || node.isolates();
    if is_elsewhere && !waited {
        node.workers.cancel(cell);
    }
    if header.actor.core().is_null() {
        if waited || node.resources.withdraw(cell, node) {
            fail(cell);
        }
    } else if stalled::withdraw(node, cell, waited) {
        fail(cell);
    } else {
        ask_home(cell, node);
    }
}

/// Completes it; the caller has the right to start it (TC-1).
pub(crate) fn fail(cell: NonNull<Header>) {
    // SAFETY: the caller's right; a cell that is not DONE is alive.
    unsafe {
        let what = cell.as_ref().meta().name.into();
        Header::fail(cell, Error::Cancelled { what });
    }
}

/// CL-2, CL-3.
fn ask_home(cell: NonNull<Header>, node: &Node) {
    // SAFETY: the caller's handle.
    let header = unsafe { cell.as_ref() };
    let home = header.actor.home();
    let Some(shared) = node.schedulers().get(home) else {
        return;
    };
    if let Some(local) = Local::current()
        && local.shared.index == home
        && withdraw(cell, local)
    {
        return;
    }
    header.completion.retain();
    shared.cancelled_calls.fetch_add(1, Ordering::Relaxed);
    post(Handle(cell), home, node, TURNS);
}

fn post(handle: Handle, home: usize, node: &Node, turns: u32) {
    let look = letter::closure(move |local| {
        let whole = handle;
        if withdraw(whole.0, local) || turns == 0 {
            local.shared.cancelled_calls.fetch_sub(1, Ordering::Relaxed);
        } else {
            post(whole, local.shared.index, &local.node, turns - 1);
        }
    });
    // SAFETY: LT-1, a fresh letter.
    unsafe { node.schedulers()[home].post(look) };
}

/// On the home of the call: takes it out of its actor's queue; true if it is over now.
fn withdraw(cell: NonNull<Header>, local: &Local) -> bool {
    // SAFETY: the caller has a handle.
    let header = unsafe { cell.as_ref() };
    if header.completion.is_done() {
        return true;
    }
    // SAFETY: AC-1: a call that came to the queue ends on this very thread, and has not yet.
    let is_out = header.actor.was_queued()
        && NonNull::new(header.actor.core())
            .is_some_and(|core| unsafe { ActorCore::withdraw(core, cell, local) });
    if is_out {
        fail(cell);
    }
    is_out
}
