//! Calls whose arguments are not there yet, and the later calls of the same caller to the same
//! actor, which must not overtake them.
//!
//! A caller is a task (its result cell), a root task (its scheduler), or a foreign thread.
//! Callers on a scheduler keep their list with it, and it is flushed over the lane, so that calls
//! made later cannot overtake. Lists of foreign threads are the node's, under a lock, and flushed
//! by letter.
//!
//! - SD-1 lists of a scheduler grow by its own calls alone. It flushes those whose arguments are
//!   there when a letter tells it; `flushing` says that it is about to send what it took out.
//! - SD-2 while it is stuck in user code the node's rescuer flushes, under the lock from taking to
//!   sending and never while `flushing` is set. Without a lane it sends by letter: the letter that
//!   makes the lane comes after it. Calls to the stuck scheduler itself stay.
//! - SD-3 `any` is stored Release when what left the lists was sent, or by the scheduler itself,
//!   which alone reads it (Acquire): a call finds its place behind those that left.
//! - SD-4 `due` is 0, or names the first mark since the last flush: a hint for the rescuer.
#![allow(unsafe_code, reason = "raw cells in lists; posts letters")]

use super::core::ActorCore;
use super::handle::{Actor, ActorType};
use super::lane::{Question, Ticket};
use super::lane_out::LaneOut;
use crate::error::Error;
use crate::executor::letter::{self, Letter};
use crate::executor::local::Local;
use crate::node::Node;
use crate::task::raw::Header;
use maser_shm::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::collections::{HashMap, VecDeque};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
pub(crate) struct StalledHere {
    /// How many lists there are (SD-3).
    any: AtomicUsize,
    /// SD-4. Relaxed.
    due: AtomicU64,
    state: Mutex<Here>,
}

#[derive(Default)]
struct Here {
    lists: Lists,
    /// Where arguments have come since the last flush.
    due: Vec<Key>,
    marks: u64,
    /// SD-1: flushes that are not over.
    flushing: usize,
}

/// Lists of foreign threads.
#[derive(Default)]
pub(crate) struct StalledForeign(Mutex<Lists>);

/// Whether any caller of this scheduler has stalled calls.
#[inline(always)]
pub(crate) fn any(local: &Local) -> bool {
    local.shared.stalled.any.load(Ordering::Acquire) != 0
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
    let node = match Node::entered("an actor call") {
        Ok(node) => node,
        // SAFETY: TC-1, a fresh cell.
        Err(error) => return unsafe { Header::fail(cell, error) },
    };
    // SAFETY: AC-1, the handle.
    let its_node = unsafe { &core.as_ref().node };
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
            let here = &local.shared.stalled;
            {
                let mut state = here.lock();
                state.lists.entry(key).or_default().push_back(entry);
                here.note(&state);
            }
            if waits.is_empty() {
                flush_here(local, &[key]);
            } else {
                node.rescue.start(&node);
                let scheduler = local.shared.index;
                let node = node.clone();
                mark_when_ready(waits, cell, move |cell| {
                    let caller = &node.schedulers()[scheduler];
                    caller.stalled.mark(key, cell);
                    let flush = letter::closure(flush_due);
                    // SAFETY: LT-1, a fresh letter.
                    unsafe { caller.post(flush) };
                    node.rescue.call_is_in_flight();
                });
            }
            if node.runs_inline() {
                run_now(cell);
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
fn run_now(cell: NonNull<Header>) {
    drop(crate::executor::wait::wait_done(cell, None));
}

/// Takes a call out of the list it is in; true if it was there, and may be: its arguments are there,
/// or the caller has taken the right to start it from them (`claimed`).
pub(crate) fn withdraw(node: &Node, cell: NonNull<Header>, claimed: bool) -> bool {
    let taken = node.schedulers().iter().find_map(|scheduler| {
        let here = &scheduler.stalled;
        let mut state = here.lock();
        let (key, entry) = take_out(&mut state.lists, cell, claimed)?;
        here.note(&state);
        here.is_due(&mut state, key);
        drop(state);
        // Those behind it may go now.
        // SAFETY: LT-1, a fresh letter.
        unsafe { scheduler.post(letter::closure(flush_due)) };
        node.rescue.call_is_in_flight();
        Some(entry)
    });
    let taken = taken.or_else(|| {
        let foreign = &node.stalled.0;
        let mut lists = foreign.lock().unwrap_or_else(PoisonError::into_inner);
        let (key, entry) = take_out(&mut lists, cell, claimed)?;
        flush_foreign(node, &mut lists, key);
        Some(entry)
    });
    // SAFETY: AC-1, the entry's handle.
    taken.is_some_and(|entry| unsafe {
        ActorCore::release(entry.actor);
        true
    })
}

fn take_out(lists: &mut Lists, cell: NonNull<Header>, claimed: bool) -> Option<(Key, Entry)> {
    let is_it = |entry: &Entry| entry.cell == cell && (entry.ready || claimed);
    let (key, at) = lists
        .iter()
        .find_map(|(key, list)| Some((*key, list.iter().position(is_it)?)))?;
    let list = lists.get_mut(&key)?;
    let entry = list.remove(at)?;
    if list.is_empty() {
        lists.remove(&key);
    }
    Some((key, entry))
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

/// Arguments have come for calls of this scheduler.
fn flush_due(local: &Local) {
    let due = local
        .shared
        .stalled
        .take_due(&mut local.shared.stalled.lock());
    flush_here(local, &due);
}

fn flush_here(local: &Local, keys: &[Key]) {
    let here = &local.shared.stalled;
    let ready: Vec<_> = {
        let mut state = here.lock();
        let lists = &mut state.lists;
        let ready = keys
            .iter()
            .flat_map(|key| take_ready(lists, *key))
            .collect();
        state.flushing += 1;
        here.note(&state);
        ready
    };
    for Entry {
        cell, actor, serve, ..
    } in ready
    {
        // SAFETY: AC-1, the entry's handle, given back once the call is sent.
        unsafe {
            let home = actor.as_ref().home;
            if home == local.shared.index {
                ActorCore::arrive(actor, cell, local);
            } else {
                let question = Question::from_cell(serve, cell, actor);
                local.lanes.send(local, home, question);
            }
            ActorCore::release(actor);
        }
    }
    here.lock().flushing -= 1;
}

fn flush_foreign(node: &Node, lists: &mut Lists, key: Key) {
    for Entry { cell, actor, .. } in take_ready(lists, key) {
        // SAFETY: AC-1, the entry's handle; LT-1, a cell begins with its letter.
        unsafe {
            node.door(actor.as_ref().home).post(cell.cast());
            ActorCore::release(actor);
        }
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
    fn lock(&self) -> MutexGuard<'_, Here> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// SD-3.
    fn note(&self, state: &Here) {
        self.any.store(state.lists.len(), Ordering::Release);
    }

    /// The arguments of `cell` have come.
    fn mark(&self, key: Key, cell: NonNull<Header>) {
        let mut state = self.lock();
        mark(&mut state.lists, key, cell);
        self.is_due(&mut state, key);
    }

    fn is_due(&self, state: &mut Here, key: Key) {
        state.marks += 1;
        state.due.push(key);
        if self.due() == 0 {
            self.due.store(state.marks, Ordering::Relaxed);
        }
    }

    fn take_due(&self, state: &mut Here) -> Vec<Key> {
        self.due.store(0, Ordering::Relaxed);
        std::mem::take(&mut state.due)
    }

    /// SD-4.
    pub(crate) fn due(&self) -> u64 {
        self.due.load(Ordering::Relaxed)
    }

    /// Sends the calls that are due for scheduler `index`, which is stuck (SD-2). `lane` finds its
    /// lane to another one. What it gives back could not be delivered.
    #[must_use = "these calls are to be failed"]
    pub(crate) fn flush_for(
        &self,
        node: &Node,
        index: usize,
        mut lane: impl FnMut(usize) -> Option<Arc<LaneOut>>,
    ) -> Vec<NonNull<Letter>> {
        let mut undelivered = Vec::new();
        let mut state = self.lock();
        if state.flushing > 0 {
            return undelivered;
        }
        for key in self.take_due(&mut state) {
            let front = state.lists.get(&key).and_then(VecDeque::front);
            // SAFETY: AC-1, the entry's handle.
            let home = front.map(|entry| unsafe { entry.actor.as_ref() }.home);
            if home == Some(index) {
                state.due.push(key);
                continue;
            }
            for entry in take_ready(&mut state.lists, key) {
                // SAFETY: AC-1, the entry's handle, given back once the call is sent; LT-1, a cell
                // begins with its letter.
                unsafe {
                    let home = entry.actor.as_ref().home;
                    match lane(home) {
                        Some(lane) => {
                            let question =
                                Question::from_cell(entry.serve, entry.cell, entry.actor);
                            lane.send_for(question);
                        }
                        None => {
                            let sent = node.door(home).try_post(entry.cell.cast());
                            undelivered.extend(sent.err());
                        }
                    }
                    ActorCore::release(entry.actor);
                }
            }
        }
        self.note(&state);
        undelivered
    }

    /// Everything that waits, at shutdown.
    pub(crate) fn fail_all(&self) {
        let lists = {
            let mut state = self.lock();
            let lists = std::mem::take(&mut state.lists);
            self.note(&state);
            lists
        };
        for entry in lists.into_values().flatten() {
            // SAFETY: TC-1, never sent; the entry's handle.
            unsafe {
                let what = "an actor call".into();
                Header::fail(entry.cell, Error::ShutDown { what });
                ActorCore::release(entry.actor);
            }
        }
    }
}
