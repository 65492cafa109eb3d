//! A task that waits for its arguments: no thread and no stack, just a count.
//!
//! - DP-1 the box is freed by whoever brings the count to zero; every pending cell and the
//!   setting-up itself hold one each.
//! - DP-2 the right to start the cell (TC-1) is with whoever takes it out of the list: the one that
//!   brings the count to zero, or the one that cancels, which takes a count while there is one.
#![allow(
    unsafe_code,
    reason = "wait nodes in a box that the last notifier frees"
)]

use super::args::{CellPtr, Params};
use super::raw::Header;
use maser_shm::sync::atomic::{AtomicUsize, Ordering};
use maser_shm::sync::completion::{Notify, WaitNode};
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What starts a cell whose arguments are there.
pub(crate) type Start = Box<dyn FnOnce(NonNull<Header>) + Send>;

struct Waiting {
    left: AtomicUsize,
    cell: NonNull<Header>,
    start: Start,
    /// What it waits for, and whether the node of the same place was linked there.
    waits: Vec<(NonNull<Header>, bool)>,
    nodes: Vec<WaitNode>,
}

/// A `Waiting` that is in the list.
struct Pending(NonNull<Waiting>);

// SAFETY: reached under DP-1 and DP-2; what it starts may start on any thread.
unsafe impl Send for Pending {}

type List = BTreeMap<usize, Pending>;

const LISTS: usize = 16;

/// DP-2, by the address of the cell.
static PENDING: [Mutex<List>; LISTS] = [const { Mutex::new(List::new()) }; LISTS];

fn list_of(cell: NonNull<Header>) -> MutexGuard<'static, List> {
    let list = &PENDING[cell.addr().get() / 64 % LISTS];
    list.lock().unwrap_or_else(PoisonError::into_inner)
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
        waits: waits.into_iter().map(|wait| (wait, false)).collect(),
        nodes: Vec::new(),
    }));
    let notify = Notify {
        call: one_is_done,
        data: waiting.cast_const().cast(),
    };
    // SAFETY: DP-1, our own count keeps the box until the last line; the vectors are filled before
    // any node is linked, never move after, and are nobody else's before it is in the list.
    unsafe {
        let waits = &mut (*waiting).waits;
        (*waiting).nodes = waits.iter().map(|_| WaitNode::new(notify)).collect();
        let nodes = (*waiting).nodes.as_mut_ptr();
        for (at, (wait, linked)) in waits.iter_mut().enumerate() {
            *linked = wait.as_ref().completion.add(nodes.add(at));
            if !*linked {
                one_is_done(waiting.cast_const().cast());
            }
        }
        let pending = Pending(NonNull::new_unchecked(waiting));
        list_of(cell).insert(cell.addr().get(), pending);
        one_is_done(waiting.cast_const().cast());
    }
}

/// Takes the right to start `cell` from its arguments, if it waits for them; they are free of it
/// then.
pub(crate) fn claim(cell: NonNull<Header>) -> bool {
    let waiting = {
        let mut list = list_of(cell);
        let Some(Pending(waiting)) = list.get(&cell.addr().get()) else {
            return false;
        };
        let waiting = *waiting;
        // SAFETY: DP-1: what is in the list is freed by whoever takes it out after it brought the
        // count to zero.
        let left = unsafe { &waiting.as_ref().left };
        let mut now = left.load(Ordering::Acquire);
        while now != 0 {
            match left.compare_exchange_weak(now, now + 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => break,
                Err(other) => now = other,
            }
        }
        if now == 0 {
            // Its last argument has come.
            return false;
        }
        list.remove(&cell.addr().get());
        waiting.as_ptr()
    };
    // SAFETY: DP-1, the count taken above; the cells are kept alive by the arguments of `cell`,
    // which are ours now.
    unsafe {
        let nodes = (*waiting).nodes.as_mut_ptr();
        for (at, (wait, linked)) in (*waiting).waits.iter().enumerate() {
            if *linked && wait.as_ref().completion.remove(nodes.add(at)) {
                one_is_done(waiting.cast_const().cast());
            }
        }
        one_is_done(waiting.cast_const().cast());
    }
    true
}

/// # Safety
/// `data` is a `Waiting` of which the caller holds one count.
unsafe fn one_is_done(data: *const ()) {
    let waiting = data.cast::<Waiting>().cast_mut();
    // SAFETY: DP-1.
    unsafe {
        if (*waiting).left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let cell = (*waiting).cell;
            let is_ours = {
                let mut list = list_of(cell);
                let at = cell.addr().get();
                // Another task may have the same address by now.
                let ours = list.get(&at).is_some_and(|one| one.0.as_ptr() == waiting);
                if ours {
                    list.remove(&at);
                }
                ours
            };
            let waiting = Box::from_raw(waiting);
            if is_ours {
                (waiting.start)(waiting.cell);
            }
        }
    }
}
