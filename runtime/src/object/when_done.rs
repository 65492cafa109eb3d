//! Something to do when a value is there.
//!
//! - WD-1 the box is freed by whoever notifies it, which happens once, or by the call that finds the
//!   value there already.
#![allow(unsafe_code, reason = "a wait node in a box that its notifier frees")]

use crate::task::raw::Header;
use maser_shm::sync::completion::{Notify, WaitNode};
use std::ptr::NonNull;

struct Waiting {
    node: WaitNode,
    then: Box<dyn FnOnce() + Send>,
}

/// Calls `then` once `cell` is done, on the thread that completes it; at once if it is. The caller
/// holds a handle of the cell, and `then` keeps one.
///
/// `then` runs inside of the completion: it posts a letter or the like, and runs no code of users.
pub(crate) fn when_done(cell: NonNull<Header>, then: impl FnOnce() + Send + 'static) {
    let waiting = Box::into_raw(Box::new(Waiting {
        node: WaitNode::new(Notify {
            call: notified,
            data: std::ptr::null(),
        }),
        then: Box::new(then),
    }));
    // SAFETY: WD-1: nobody else has the box before its node is linked; the caller's handle keeps
    // the cell alive.
    unsafe {
        let node = &raw mut (*waiting).node;
        node.write(WaitNode::new(Notify {
            call: notified,
            data: waiting.cast_const().cast(),
        }));
        if !cell.as_ref().completion.add(node) {
            notified(waiting.cast_const().cast());
        }
    }
}

/// # Safety
/// WD-1: `data` is a `Waiting` that nobody else frees.
unsafe fn notified(data: *const ()) {
    // SAFETY: the caller's promise.
    let waiting = unsafe { Box::from_raw(data.cast::<Waiting>().cast_mut()) };
    (waiting.then)();
}
