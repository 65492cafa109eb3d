//! Who waits for whom, so that a wait that can never end is an error and not a hang.
//!
//! Nodes are tasks, known by the cell they will complete (a step of a graph, which has none, by
//! its frame). A blocked task says what it waits for and how much of that has to come; a task below
//! another one on the same stack waits for that one. Whoever enters looks for a set of blocked
//! tasks of which each waits for more of the others than it can do without.
//!
//! - WG-1 a call with `&mut self` cannot start while any holder of its actor is stuck; one with
//!   `&self` while as many holders are stuck as there are places, or the one that holds the actor
//!   alone.
//! - WG-2 a call is kept out only if it was seen in its actor's queue: such a one is done, for
//!   everybody, before its actor takes another call. Whoever puts a call there that came from
//!   elsewhere looks for a circle through it (`arrived`).
//! - WG-3 a wait with a limit of its own ends by itself: it may be refused, but holds nobody up.
//! - WG-4 what an edge points at lives for as long as the edge: the waiter keeps it alive. Cells
//!   that are keys are compared by address and never read.
//! - WG-5 no circle is ever left in the graph: its last edge is taken away, under the same lock.
//!   So every circle that is found goes through whoever looked for it.
#![allow(unsafe_code, reason = "reads frames of the running stack")]

mod search;

use crate::actor::core::{Access, ActorCore};
use crate::error::{Error, Result};
use crate::executor::coroutine::Co;
use crate::executor::local::{Frame, Local};
use crate::executor::watch::Pollable;
use crate::task::raw::Header;
use maser_shm::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::collections::{BTreeMap, HashMap};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One thing that may have to come before a wait is over.
#[derive(Clone, Copy)]
pub(crate) enum Awaited {
    /// The end of a task or call.
    Task(NonNull<Header>),
    /// A lock; there stands the mark of the frame that has it ([`Frame::mark`]), or 0.
    Lock(NonNull<AtomicU64>),
    /// The task above it on the same stack.
    Above(usize, &'static str),
    /// The result of a run of a graph of one segment: it comes after every step of that run and of
    /// those before that has not ended.
    Run(NonNull<dyn Pollable>, u64, u64),
    /// A turn for a step of a graph on its actor.
    Turn(NonNull<ActorCore>, Access),
}

/// What a wait needs.
pub(crate) enum Needs {
    /// This.
    One(Awaited),
    /// So many of these.
    Some(Vec<Awaited>, usize),
}

impl Needs {
    fn all(&self) -> &[Awaited] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Some(all, _) => all,
        }
    }

    /// How many of them may stay away.
    fn dispensable(&self) -> usize {
        match self {
            Self::One(_) => 0,
            Self::Some(all, needed) => all.len().saturating_sub(*needed),
        }
    }
}

struct Waiting {
    needs: Needs,
    waiter: &'static str,
    /// The innermost task of its stack, which is the one that waits itself.
    innermost: usize,
    /// That one's frame and coroutine.
    top: *const Frame,
    co: NonNull<Co>,
    /// Of its frame, or 0.
    mark: u64,
}

// SAFETY: pointers are used under the rule WG-4; frames on their own thread alone.
unsafe impl Send for Waiting {}

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
    /// Steps that wait for their turn, and of which run they are; by graph and step.
    steps: BTreeMap<(u64, usize), u64>,
    /// Blocked tasks that have ever taken a lock, by the mark of their frame.
    marked: HashMap<u64, usize>,
    /// Waits that were ended by `arrived`, by the innermost task, with the way round.
    broken: HashMap<usize, String>,
    /// Memory of the last search, for the next.
    scratch: Scratch,
}

#[derive(Default)]
struct Scratch {
    /// Blocked tasks that can be reached, in the order in which they were found.
    order: Vec<usize>,
    /// Whether they cannot go on, as far as is known.
    stuck: HashMap<usize, bool>,
}

/// All edges of this process.
#[derive(Default)]
pub(crate) struct WaitGraph {
    edges: Mutex<Edges>,
    /// How many are `broken`.
    broken: AtomicUsize,
    /// How many holders there are. A hint: a holder is noted on its own thread.
    holders: AtomicUsize,
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

    /// The running task of `local` is about to block; what it needs is kept alive by the caller
    /// (WG-4). `is_limited`: it will not wait for ever (WG-3).
    ///
    /// # Errors
    /// [`Error::WaitCycle`] if what it needs can never come while it waits.
    pub(crate) fn enter(&self, local: &Local, needs: Needs, is_limited: bool) -> Result<Edge<'_>> {
        let top = local.frame.get();
        // SAFETY: frames live on the stack of the task they name, which is running.
        let Some(frame) = (unsafe { top.as_ref() }) else {
            // Nobody waits for the main function.
            return Ok(Edge { graph: self, top });
        };
        let innermost = id(frame);
        let mut edges = self.lock();
        let mut needs = Some(needs);
        let mut above = (0, "");
        each_frame(top, |task, frame| {
            let needs = needs
                .take()
                .unwrap_or(Needs::One(Awaited::Above(above.0, above.1)));
            above = (task, frame.meta.name);
            let mark = frame.mark.get();
            let waiting = Waiting {
                needs,
                waiter: frame.meta.name,
                innermost,
                top,
                co: local.current_co(),
                mark,
            };
            edges.waits.insert(task, waiting);
            if mark != 0 {
                edges.marked.insert(mark, task);
            }
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
        let round = edges.way_back(innermost);
        if round.is_some() || is_limited {
            edges.remove(top);
        }
        self.holders.store(edges.holders.len(), Ordering::Relaxed);
        drop(edges);
        match round {
            Some(path) => Err(Error::WaitCycle { path }),
            None if is_limited => Ok(Edge {
                graph: self,
                top: std::ptr::null(),
            }),
            None => Ok(Edge { graph: self, top }),
        }
    }

    /// WG-2: a call that may be waited for came to the queue of `actor`, whose home this is.
    #[inline]
    pub(crate) fn arrived(&self, actor: NonNull<ActorCore>) {
        if self.holders.load(Ordering::Relaxed) != 0 {
            self.look_round(actor);
        }
    }

    #[cold]
    fn look_round(&self, actor: NonNull<ActorCore>) {
        let mut edges = self.lock();
        let of_actor = (actor.addr().get(), 0)..=(actor.addr().get(), usize::MAX);
        let holders: Vec<usize> = edges
            .holders
            .range(of_actor)
            .map(|(key, _)| key.1)
            .collect();
        for holder in holders {
            let Some(innermost) = edges.waits.get(&holder).map(|one| one.innermost) else {
                continue;
            };
            let Some(path) = edges.way_back(innermost) else {
                continue;
            };
            let Waiting { top, co, .. } = edges.waits[&innermost];
            edges.remove(top);
            edges.broken.insert(innermost, path);
            self.broken.fetch_add(1, Ordering::Relaxed);
            // SAFETY: CO-2; it is blocked, on this very thread.
            unsafe { co.as_ref() }.wake();
        }
    }
}

/// A step of a graph that waits for its turn, until this is dropped.
pub(crate) struct StepEdge<'a> {
    graph: &'a WaitGraph,
    key: (u64, usize),
}

impl WaitGraph {
    /// A step, known by `step`, of `run` of the graph `id` is about to wait for its turn on `actor`.
    ///
    /// # Errors
    /// [`Error::WaitCycle`] if the calls that have the actor wait for this very run.
    pub(crate) fn enter_step(
        &self,
        local: &Local,
        step: &'static str,
        (id, run): (u64, u64),
        (actor, access): (NonNull<ActorCore>, Access),
    ) -> Result<StepEdge<'_>> {
        // Its coroutine waits for one step at a time.
        let at = local.current_co().addr().get();
        let waiting = Waiting {
            needs: Needs::One(Awaited::Turn(actor, access)),
            waiter: step,
            innermost: at,
            top: std::ptr::null(),
            co: local.current_co(),
            mark: 0,
        };
        let mut edges = self.lock();
        edges.waits.insert(at, waiting);
        edges.steps.insert((id, at), run);
        let edge = StepEdge {
            graph: self,
            key: (id, at),
        };
        let Some(path) = edges.way_back(at) else {
            drop(edges);
            return Ok(edge);
        };
        // WG-5.
        edges.waits.remove(&at);
        edges.steps.remove(&(id, at));
        drop(edges);
        Err(Error::WaitCycle { path })
    }
}

impl Drop for StepEdge<'_> {
    fn drop(&mut self) {
        let mut edges = self.graph.lock();
        edges.waits.remove(&self.key.1);
        edges.steps.remove(&self.key);
    }
}

impl Edge<'_> {
    /// Whether the wait turned out to be without end since it began.
    #[inline]
    pub(crate) fn check(&self) -> Result<()> {
        match self.graph.broken.load(Ordering::Relaxed) {
            0 => Ok(()),
            _ => self.check_broken(),
        }
    }

    #[cold]
    fn check_broken(&self) -> Result<()> {
        // SAFETY: frames live on the stack of the task they name, which is the running one.
        let Some(frame) = (unsafe { self.top.as_ref() }) else {
            return Ok(());
        };
        match self.graph.lock().broken.remove(&id(frame)) {
            None => Ok(()),
            Some(path) => {
                self.graph.broken.fetch_sub(1, Ordering::Relaxed);
                Err(Error::WaitCycle { path })
            }
        }
    }
}

impl Drop for Edge<'_> {
    fn drop(&mut self) {
        if self.top.is_null() {
            return;
        }
        // One that was broken and ended in another way.
        drop(self.check());
        let mut edges = self.graph.lock();
        edges.remove(self.top);
        let holders = edges.holders.len();
        self.graph.holders.store(holders, Ordering::Relaxed);
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
    // SAFETY: frames live on the stack of the task they name, which runs or is blocked on this
    // thread.
    while let Some(one) = unsafe { frame.as_ref() } {
        visit(id(one), one);
        frame = one.below;
    }
}

impl Edges {
    /// Takes away the edges of one stack of this thread.
    fn remove(&mut self, top: *const Frame) {
        each_frame(top, |task, frame| {
            if let Some(was) = self.waits.remove(&task)
                && was.mark != 0
            {
                self.marked.remove(&was.mark);
            }
            if !frame.actor.is_null() {
                self.holders.remove(&(frame.actor.addr(), task));
            }
        });
    }
}
