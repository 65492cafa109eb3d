//! Calls whose arguments are not there yet, and the later calls of the same caller to the same
//! actor, which must not overtake them.
//!
//! A caller is a task (its result cell), a root task (its scheduler), or a foreign thread.
//! Callers on a scheduler keep their list there, and it is flushed there, over the lane, so that
//! calls made later cannot overtake. Lists of foreign threads are the node's, under a lock, and
//! flushed by letter.
#![allow(unsafe_code, reason = "raw cells in lists; posts letters")]

use super::core::ActorCore;
use super::handle::{Actor, ActorType};
use super::lane::{Question, Ticket};
use crate::error::Error;
use crate::executor::letter;
use crate::executor::local::Local;
use crate::node::Node;
use crate::task::raw::Header;
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

type Serve = unsafe fn(Question, &Ticket<'_>, &Local);

/// Caller and actor, by address.
type Key = (usize, usize);

struct Entry {
    cell: NonNull<Header>,
    actor: NonNull<ActorCore>,
    serve: Serve,
    ready: bool,
}

// SAFETY: entries of foreign threads move between threads under the node's lock; an entry is the
// right to start its call (TC-1).
unsafe impl Send for Entry {}

type Lists = HashMap<Key, VecDeque<Entry>>;

/// Lists of one scheduler.
#[derive(Default)]
pub(crate) struct StalledHere(RefCell<Lists>);

/// Lists of foreign threads.
#[derive(Default)]
pub(crate) struct StalledForeign(Mutex<Lists>);

/// Whether any caller of this scheduler has stalled calls.
#[inline(always)]
pub(crate) fn any(local: &Local) -> bool {
    !local.stalled.0.borrow().is_empty()
}

fn caller_here(local: &Local) -> usize {
    // SAFETY: frames live on the stack of the task they name, which is running.
    match unsafe { local.frame.get().as_ref() } {
        Some(frame) if !frame.header.is_null() => frame.header.addr(),
        _ => 0,
    }
}

fn caller_thread() -> usize {
    thread_local! { static MARK: u8 = const { 0 } }
    MARK.with(|mark| (mark as *const u8).addr())
}

/// Sends a call whose arguments are in its cell, now or when they are ready.
#[cold]
pub(crate) fn send<A: ActorType>(
    actor: &Actor<A>,
    cell: NonNull<Header>,
    waits: Vec<NonNull<Header>>,
    serve: Serve,
) {
    let core = actor.core();
    // SAFETY: AC-1, the handle.
    if let Some(died) = unsafe { core.as_ref() }.death() {
        // Nothing is left that could be overtaken.
        // SAFETY: TC-1, a fresh cell.
        return unsafe { Header::fail(cell, died) };
    }
    let node = match Node::current("an actor call") {
        Ok(node) => node,
        // SAFETY: TC-1, a fresh cell.
        Err(error) => return unsafe { Header::fail(cell, error) },
    };
    // SAFETY: AC-1, the handle.
    let (home, its_node) = unsafe { (core.as_ref().home, &core.as_ref().node) };
    if !Arc::ptr_eq(its_node, &node) || node.is_closing() {
        // SAFETY: as above.
        let what = unsafe { core.as_ref() }.display_name();
        // SAFETY: TC-1, a fresh cell.
        return unsafe { Header::fail(cell, Error::ShutDown { what }) };
    }
    if node.runs_inline() {
        // SAFETY: TC-1, a fresh cell that its caller has no ref of yet.
        unsafe { Header::make_portable(cell) };
    }
    // An entry holds a handle, as AC-4 asks.
    // SAFETY: AC-1, the handle.
    unsafe { core.as_ref() }.retain();
    let entry = Entry {
        cell,
        actor: core,
        serve,
        ready: waits.is_empty(),
    };
    match Local::current() {
        Some(local) => {
            let key = (caller_here(local), core.addr().get());
            local
                .stalled
                .0
                .borrow_mut()
                .entry(key)
                .or_default()
                .push_back(entry);
            if waits.is_empty() {
                flush_here(local, key);
            } else {
                let scheduler = local.shared.index;
                let node = node.clone();
                mark_when_ready(waits, cell, move |cell| {
                    let address = SendCell(cell);
                    let flush = letter::closure(move |local: &Local| {
                        mark(&mut local.stalled.0.borrow_mut(), key, address.get());
                        flush_here(local, key);
                    });
                    // SAFETY: LT-1, a fresh letter.
                    unsafe { node.schedulers()[scheduler].post(flush) };
                });
            }
            if node.runs_inline() {
                run_now(local, cell, home);
            }
        }
        None => {
            let key = (caller_thread(), core.addr().get());
            let mut lists = node
                .stalled
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            lists.entry(key).or_default().push_back(entry);
            if waits.is_empty() {
                flush_foreign(&node, &mut lists, key);
                drop(lists);
            } else {
                drop(lists);
                let node = node.clone();
                mark_when_ready(waits, cell, move |cell| {
                    let mut lists = node
                        .stalled
                        .0
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner);
                    mark(&mut lists, key, cell);
                    flush_foreign(&node, &mut lists, key);
                });
            }
            if node.runs_inline() {
                // SAFETY: the caller's ref holds a handle.
                let completion = unsafe { &*super::call::completion_of(cell) };
                drop(crate::executor::wait::wait_foreign(
                    completion,
                    None,
                    "a call in inline mode",
                ));
            }
        }
    }
}

/// Inline mode: the call is done before `remote` returns. A failure shows at `get`.
fn run_now(_local: &Local, cell: NonNull<Header>, _home: usize) {
    drop(crate::executor::wait::wait_done(cell, None));
}

fn mark(lists: &mut Lists, key: Key, cell: NonNull<Header>) {
    if let Some(entry) = lists
        .get_mut(&key)
        .and_then(|list| list.iter_mut().find(|entry| entry.cell == cell))
    {
        entry.ready = true;
    }
}

/// The entries at the front of `key`'s list whose arguments are there.
fn take_ready(lists: &mut Lists, key: Key) -> Vec<Entry> {
    let mut ready = Vec::new();
    if let Some(list) = lists.get_mut(&key) {
        while list.front().is_some_and(|entry| entry.ready) {
            ready.extend(list.pop_front());
        }
        if list.is_empty() {
            lists.remove(&key);
        }
    }
    ready
}

fn flush_here(local: &Local, key: Key) {
    let ready = take_ready(&mut local.stalled.0.borrow_mut(), key);
    for Entry {
        cell, actor, serve, ..
    } in ready
    {
        // SAFETY: AC-1, the entry's handle, given back once the call is sent.
        unsafe {
            let home = actor.as_ref().home;
            if home == local.shared.index {
                ActorCore::enqueue(actor, cell, local);
            } else {
                let question = Question::from_cell(serve, cell, actor);
                local.lanes.send(local, home, question);
            }
            ActorCore::release(actor);
        }
    }
}

fn flush_foreign(node: &Node, lists: &mut Lists, key: Key) {
    for Entry { cell, actor, .. } in take_ready(lists, key) {
        // SAFETY: AC-1, the entry's handle; LT-1, a cell begins with its letter.
        unsafe {
            node.schedulers()[actor.as_ref().home].post(cell.cast());
            ActorCore::release(actor);
        }
    }
}

/// A cell's address on its way to the thread that flushes.
struct SendCell(NonNull<Header>);

// SAFETY: the entry of the cell is on that thread; the address only finds it.
unsafe impl Send for SendCell {}

impl SendCell {
    fn get(&self) -> NonNull<Header> {
        self.0
    }
}

fn mark_when_ready(
    waits: Vec<NonNull<Header>>,
    cell: NonNull<Header>,
    then: impl FnOnce(NonNull<Header>) + Send + 'static,
) {
    crate::task::dependencies::when_ready(waits, cell, Box::new(then));
}

impl StalledHere {
    /// Everything that waits, at shutdown.
    pub(crate) fn fail_all(&self) {
        for list in self.0.take().into_values() {
            for entry in list {
                // SAFETY: TC-1, never sent; the entry's handle.
                unsafe {
                    Header::fail(
                        entry.cell,
                        Error::ShutDown {
                            what: "an actor call".into(),
                        },
                    );
                    ActorCore::release(entry.actor);
                }
            }
        }
    }
}
