//! Who waits for whom, so that a wait that closes a cycle is an error and not a hang.
//!
//! Nodes are tasks, known by the cell they will complete (a step of a graph, which has none, by
//! its frame). An edge `a -> b` says that `a` is blocked until `b` is done: because it waits for
//! `b`, or because `b` runs on top of it, on its stack. A call that has not started waits for the
//! calls that hold its actor; a holder matters here only while it is blocked itself, so it is noted
//! beside its edge. Cells and actors are compared by address and never read: an address that is
//! found here belongs to a task that is blocked right now.
//!
//! - WG-1 a call with `&mut self` cannot start while any holder is stuck; one with `&self` while as
//!   many holders are stuck as there are places, or the one that holds the actor alone.
#![allow(unsafe_code, reason = "reads frames of the running stack")]

use crate::actor::core::Access;
use crate::error::{Error, Result};
use crate::executor::local::{Frame, Local};
use crate::task::raw::Header;
use std::collections::{BTreeMap, HashMap};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

struct Waiting {
    for_task: usize,
    /// The actor that task is a call of, by address, or 0.
    actor: usize,
    access: Access,
    waiter: &'static str,
    awaited: &'static str,
}

/// A blocked call that holds its actor.
struct Holder {
    alone: bool,
    /// Calls with `&self` that its actor takes at once, and `async` ones.
    shared_places: usize,
    async_places: usize,
}

#[derive(Default)]
struct Edges {
    /// By the waiter.
    waits: HashMap<usize, Waiting>,
    /// By actor and call.
    holders: BTreeMap<(usize, usize), Holder>,
    /// Memory of the last search, for the next.
    scratch: Scratch,
}

#[derive(Default)]
struct Scratch {
    /// Tasks that were looked at, and whether they lead there; not while they are looked at.
    known: HashMap<usize, bool>,
    path: Vec<&'static str>,
}

/// All edges of this process.
#[derive(Default)]
pub(crate) struct WaitGraph {
    edges: Mutex<Edges>,
}

/// Takes the edges of one stack away again when the wait is over.
pub(crate) struct Edge<'a> {
    graph: &'a WaitGraph,
    top: *const Frame,
}

impl WaitGraph {
    fn lock(&self) -> MutexGuard<'_, Edges> {
        self.edges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The running task of `local` is about to block on `cell`.
    pub(crate) fn enter(&self, local: &Local, cell: NonNull<Header>) -> Result<Edge<'_>> {
        let top = local.frame.get();
        // SAFETY: frames live on the stack of the task they name, which is running.
        let Some(frame) = (unsafe { top.as_ref() }) else {
            // Nobody waits for the main function.
            return Ok(Edge { graph: self, top });
        };
        // SAFETY: the waiting call holds a handle of the cell.
        let awaited = unsafe { cell.as_ref() };
        let mut waiting = Waiting {
            for_task: cell.addr().get(),
            actor: awaited.actor.core().addr(),
            access: awaited.vtable().access,
            waiter: frame.meta.name,
            awaited: awaited.meta().name,
        };
        let edge = Edge { graph: self, top };
        let mut edges = self.lock();
        each_frame(top, |task, frame| {
            let below = Waiting {
                for_task: task,
                actor: 0,
                access: Access::Exclusive,
                waiter: "",
                awaited: frame.meta.name,
            };
            let mut mine = std::mem::replace(&mut waiting, below);
            mine.waiter = frame.meta.name;
            edges.waits.insert(task, mine);
            // SAFETY: an actor's block outlives the calls that run on it.
            if let Some(actor) = unsafe { frame.actor.as_ref() } {
                let holder = Holder {
                    alone: frame.is_exclusive(),
                    shared_places: actor.places(Access::Shared),
                    async_places: actor.places(Access::Async),
                };
                edges.holders.insert((frame.actor.addr(), task), holder);
            }
        });
        let round = edges.way_back(id(frame));
        drop(edges);
        match round {
            Some(path) => Err(Error::WaitCycle { path }),
            None => Ok(edge),
        }
    }
}

fn id(frame: &Frame) -> usize {
    if frame.header.is_null() {
        (&raw const *frame).addr()
    } else {
        frame.header.addr()
    }
}

/// Visits the tasks of a stack, the innermost first.
fn each_frame(top: *const Frame, mut visit: impl FnMut(usize, &Frame)) {
    let mut frame = top;
    // SAFETY: frames live on the stack of the task they name, which is the running one.
    while let Some(one) = unsafe { frame.as_ref() } {
        visit(id(one), one);
        frame = one.below;
    }
}

impl Edges {
    /// The path from `start` round to itself, if its edge closes one.
    fn way_back(&mut self, start: usize) -> Option<String> {
        let Scratch { known, path } = std::mem::take(&mut self.scratch);
        let mut search = Search {
            edges: self,
            target: start,
            known,
            path,
        };
        let round = search.leads_back(start).then(|| {
            search.path.push(search.edges.waits[&start].waiter);
            search.path.join(" waits for ")
        });
        let Search {
            mut known,
            mut path,
            ..
        } = search;
        known.clear();
        path.clear();
        self.scratch = Scratch { known, path };
        round
    }
}

/// The search for a way from blocked tasks to `target`.
struct Search<'a> {
    edges: &'a Edges,
    target: usize,
    /// As in [`Scratch`].
    known: HashMap<usize, bool>,
    path: Vec<&'static str>,
}

impl Search<'_> {
    /// Whether the task `from` is blocked and cannot go on before the target does; if so, the
    /// path goes on through it.
    fn leads_back(&mut self, from: usize) -> bool {
        if let Some(&known) = self.known.get(&from) {
            return known;
        }
        let Some(edge) = self.edges.waits.get(&from) else {
            return false;
        };
        self.known.insert(from, false);
        let kept = self.path.len();
        if self.path.last() != Some(&edge.waiter) {
            self.path.push(edge.waiter);
        }
        self.path.push(edge.awaited);
        let leads = edge.for_task == self.target
            || if self.edges.waits.contains_key(&edge.for_task) {
                self.leads_back(edge.for_task)
            } else {
                self.is_kept_out(edge)
            };
        if !leads {
            self.path.truncate(kept);
        }
        self.known.insert(from, leads);
        leads
    }

    /// WG-1 for the awaited call of `edge`, which is not blocked itself.
    fn is_kept_out(&mut self, edge: &Waiting) -> bool {
        if edge.actor == 0 {
            return false;
        }
        let mut stuck = 0;
        let all = (edge.actor, 0)..=(edge.actor, usize::MAX);
        for (&(_, task), holder) in self.edges.holders.range(all) {
            let enough = match edge.access {
                Access::Shared if !holder.alone => holder.shared_places,
                Access::Async if !holder.alone => holder.async_places,
                _ => 1,
            };
            let kept = self.path.len();
            if task == self.target || self.leads_back(task) {
                stuck += 1;
                if stuck >= enough {
                    return true;
                }
                self.path.truncate(kept);
            }
        }
        false
    }
}

impl Drop for Edge<'_> {
    fn drop(&mut self) {
        if self.top.is_null() {
            return;
        }
        let mut edges = self.graph.lock();
        each_frame(self.top, |task, frame| {
            edges.waits.remove(&task);
            if !frame.actor.is_null() {
                edges.holders.remove(&(frame.actor.addr(), task));
            }
        });
    }
}
