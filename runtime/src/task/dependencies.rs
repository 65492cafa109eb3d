//! A task that waits for its arguments: no thread and no stack, just a count.
//!
//! - DP-1 the box is freed by whoever brings the count to zero; every pending cell and the
//!   setting-up itself hold one each.
#![allow(
    unsafe_code,
    reason = "wait nodes in a box that the last notifier frees"
)]

use super::args::{CellPtr, Params};
use super::raw::Header;
use maser_shm::sync::atomic::{AtomicUsize, Ordering};
use maser_shm::sync::completion::{Notify, WaitNode};
use std::ptr::NonNull;

/// What starts a cell whose arguments are there.
pub(crate) type Start = Box<dyn FnOnce(NonNull<Header>) + Send>;

struct Waiting {
    left: AtomicUsize,
    cell: NonNull<Header>,
    start: Start,
    nodes: Vec<WaitNode>,
}

/// The cells that are not done yet.
pub(crate) fn of<P: Params>(params: &P) -> Vec<NonNull<Header>> {
    let mut waits = Vec::new();
    if P::MAY_WAIT {
        params.cells(&mut |CellPtr(cell)| {
            // SAFETY: the params hold a handle.
            if !unsafe { cell.as_ref() }.completion.is_done() {
                waits.push(cell);
            }
        });
    }
    waits
}

/// Calls `start(cell)` once every one of `waits` is done; at once if there are none.
///
/// The cells of `waits` are kept alive by the arguments of `cell`, which are not touched before.
pub(crate) fn when_ready(waits: Vec<NonNull<Header>>, cell: NonNull<Header>, start: Start) {
    if waits.is_empty() {
        return start(cell);
    }
    let waiting = Box::into_raw(Box::new(Waiting {
        left: AtomicUsize::new(waits.len() + 1),
        cell,
        start,
        nodes: Vec::new(),
    }));
    let notify = Notify {
        call: one_is_done,
        data: waiting.cast_const().cast(),
    };
    // SAFETY: DP-1, our own count keeps the box until the last line; the vector is filled before
    // any node is linked and never moves after.
    unsafe {
        (*waiting).nodes = waits.iter().map(|_| WaitNode::new(notify)).collect();
        let nodes = (*waiting).nodes.as_mut_ptr();
        for (at, wait) in waits.iter().enumerate() {
            if !wait.as_ref().completion.add(nodes.add(at)) {
                one_is_done(waiting.cast_const().cast());
            }
        }
        one_is_done(waiting.cast_const().cast());
    }
}

/// # Safety
/// `data` is a `Waiting` of which the caller holds one count.
unsafe fn one_is_done(data: *const ()) {
    let waiting = data.cast::<Waiting>().cast_mut();
    // SAFETY: DP-1.
    unsafe {
        if (*waiting).left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let waiting = Box::from_raw(waiting);
            (waiting.start)(waiting.cell);
        }
    }
}
