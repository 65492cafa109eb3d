//! Who waits for whom, so that a wait that closes a cycle is an error and not a hang.
//!
//! Nodes are result cells: a running task is known by the cell it will complete. An edge `a -> b`
//! says that the task of `a` is blocked until `b` is done. A call that has not started waits for
//! the call that holds its actor; a holder matters here only while it is blocked itself, so it is
//! noted beside its edge. Cells and actors are compared by address and never read: an address that
//! is found here belongs to a task that is blocked right now.
#![allow(
    unsafe_code,
    reason = "reads the actor of a cell that the caller holds"
)]

use crate::error::{Error, Result};
use crate::executor::local::Local;
use crate::task::raw::Header;
use std::collections::HashMap;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

struct Waiting {
    for_cell: usize,
    /// The actor that cell is a call of, by address, or 0.
    actor: usize,
    waiter: &'static str,
    awaited: &'static str,
}

#[derive(Default)]
struct Edges {
    /// By the waiter's cell.
    waits: HashMap<usize, Waiting>,
    /// By actor: the blocked call that holds it exclusively.
    holders: HashMap<usize, usize>,
}

/// All edges of this process.
#[derive(Default)]
pub(crate) struct WaitGraph {
    edges: Mutex<Edges>,
}

/// Takes the edge away again when the wait is over.
pub(crate) struct Edge<'a> {
    graph: &'a WaitGraph,
    waiter: Option<usize>,
    holds: usize,
}

impl WaitGraph {
    fn lock(&self) -> MutexGuard<'_, Edges> {
        self.edges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The running task of `local` is about to block on `cell`.
    pub(crate) fn enter(&self, local: &Local, cell: NonNull<Header>) -> Result<Edge<'_>> {
        // SAFETY: frames live on the stack of the task they name, which is running.
        let Some(frame) = (unsafe { local.frame.get().as_ref() }) else {
            return Ok(Edge {
                graph: self,
                waiter: None,
                holds: 0,
            });
        };
        let waiter = frame.header.addr();
        if waiter == 0 {
            return Ok(Edge {
                graph: self,
                waiter: None,
                holds: 0,
            });
        }
        // SAFETY: the waiting call holds a handle of the cell.
        let (actor, awaited) =
            unsafe { (cell.as_ref().actor.core().addr(), cell.as_ref().meta().name) };
        let waiting = Waiting {
            for_cell: cell.addr().get(),
            actor,
            waiter: frame.meta.name,
            awaited,
        };
        let holds = if frame.is_exclusive() {
            frame.actor.addr()
        } else {
            0
        };
        let mut edges = self.lock();
        if let Some(path) = edges.cycle(waiter, holds, &waiting) {
            return Err(Error::WaitCycle { path });
        }
        edges.waits.insert(waiter, waiting);
        if holds != 0 {
            edges.holders.insert(holds, waiter);
        }
        Ok(Edge {
            graph: self,
            waiter: Some(waiter),
            holds,
        })
    }
}

impl Edges {
    /// The path from `waiter`, which holds actor `holds`, round to itself, if the edge `first`
    /// closes one.
    fn cycle(&self, waiter: usize, holds: usize, first: &Waiting) -> Option<String> {
        let mut path = vec![first.waiter, first.awaited];
        let mut edge = first;
        for _ in 0..=self.waits.len() {
            let mut next = edge.for_cell;
            if !self.waits.contains_key(&next) && edge.actor != 0 {
                next = if edge.actor == holds {
                    waiter
                } else {
                    *self.holders.get(&edge.actor)?
                };
            }
            if next == waiter {
                path.push(first.waiter);
                return Some(path.join(" waits for "));
            }
            edge = self.waits.get(&next)?;
            if path.last() != Some(&edge.waiter) {
                path.push(edge.waiter);
            }
            path.push(edge.awaited);
        }
        None
    }
}

impl Drop for Edge<'_> {
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter {
            let mut edges = self.graph.lock();
            edges.waits.remove(&waiter);
            if self.holds != 0 {
                edges.holders.remove(&self.holds);
            }
        }
    }
}
