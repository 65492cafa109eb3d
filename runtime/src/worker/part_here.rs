//! Parts of graphs in this process, which another one compiled.
//!
//! - PH-1 a part waits for the actors that it names: the calls that make them come another way. What is
//!   never made ends the graph in the driver, and the part with it.
#![allow(unsafe_code, reason = "names a word of its own")]

use super::doors::Doors;
use super::incoming::HeldActor;
use super::part::{FromPart, ToPart};
use crate::executor::letter;
use crate::executor::local::Local;
use crate::executor::sources::{Probes, Source};
use crate::graph::remote::inbox::Inbox;
use crate::graph::remote::part::{Near, build};
use crate::graph::remote::text::Part;
use crate::graph::segment::install;
use crate::node::Node;
use maser_shm::channel::Probe;
use maser_shm::control::ControlMemory;
use maser_shm::sync::atomic::AtomicU64;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What this process has of graphs that reach into others.
#[derive(Default)]
pub(crate) struct Parts {
    pub(crate) inbox: Arc<Inbox>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Where other workers sleep.
    siblings: HashMap<u64, Arc<Doors>>,
    /// Memory shared with them, by graph and worker.
    memory: HashMap<(u64, u64), ControlMemory>,
}

impl Parts {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The doors of a worker, which may not be known yet.
    fn doors(&self, worker: u64) -> Arc<Doors> {
        let mut known = self.known();
        let doors = known.siblings.entry(worker);
        doors.or_insert_with(|| Arc::new(Doors::unknown(1))).clone()
    }
}

/// Says something about a graph to the keeper.
pub(super) fn say(node: &Node, message: FromPart) {
    if let Some(membership) = node.workers.membership() {
        membership.say(message, None);
    }
}

/// The driver said something about a graph. On the thread that listens.
pub(super) fn heard(node: &Arc<Node>, message: ToPart, files: Vec<OwnedFd>) {
    let parts = node.workers.parts();
    let file = files.into_iter().next();
    match (message, file) {
        (ToPart::Memory { graph, with, bytes }, Some(file)) => {
            match ControlMemory::attach(file, bytes, "the driver") {
                Ok(memory) => drop(parts.known().memory.insert((graph, with), memory)),
                Err(error) => fail(node, graph, error.to_string()),
            }
        }
        (ToPart::Doors { worker, bytes }, Some(file)) => {
            let known = parts.doors(worker).are_in(file, bytes, "another worker");
            if let Err(problem) = known {
                eprintln!("maser: the doors of another worker cannot be used: {problem}");
            }
        }
        (
            ToPart::Begin {
                graph,
                bytes,
                text_at,
                text_bytes,
            },
            Some(file),
        ) => {
            parts.inbox.open(graph);
            let begun = ControlMemory::attach(file, bytes, "the driver")
                .map_err(|error| error.to_string())
                .and_then(|memory| {
                    let part = Part::read(&memory, text_at, text_bytes)?;
                    Ok((memory, part))
                });
            match begun {
                Ok((memory, part)) => begin(node, graph, memory, part),
                Err(reason) => fail(node, graph, reason),
            }
        }
        (
            ToPart::Pool {
                graph,
                edge,
                number,
                bytes,
            },
            Some(file),
        ) => {
            if let Ok(memory) = ControlMemory::attach(file, bytes, "another process") {
                parts.inbox.put((graph, edge, number), memory);
                // It may have seen the line already, and sleep.
                node.schedulers()[0].event.notify();
            }
        }
        (
            ToPart::Relayed {
                graph,
                edge,
                number,
                body,
            },
            file,
        ) => {
            let Some(value) = body.take(file, "the driver") else {
                let reason = "a value that the driver passed on did not come".to_owned();
                return fail(node, graph, reason);
            };
            match parts.inbox.put_relayed((graph, edge, number), value) {
                Some(value) => value.give_back(node),
                // It may have seen the line already, and sleep.
                None => node.schedulers()[0].event.notify(),
            }
        }
        (ToPart::End { graph }, _) => end(node, graph),
        (ToPart::Settle { graph }, _) => {
            parts.inbox.settle(graph, node);
            say(node, FromPart::Settled { graph });
        }
        (_, None) => eprintln!("maser: a message about a graph came without its memory"),
    }
}

fn fail(node: &Node, graph: u64, reason: String) {
    say(node, FromPart::Failed { graph, reason });
}

fn begin(node: &Arc<Node>, graph: u64, memory: ControlMemory, part: Part) {
    let mut siblings = HashMap::new();
    for worker in part.workers() {
        let shared = node.workers.parts().known().memory.remove(&(graph, worker));
        match shared {
            Some(memory) => {
                siblings.insert(worker, (memory, node.workers.parts().doors(worker)));
            }
            None => {
                let reason = format!("the memory shared with worker {worker:x} did not come");
                return fail(node, graph, reason);
            }
        }
    }
    let Some(membership) = node.workers.membership() else {
        return;
    };
    let near = Near {
        graph,
        node: node.clone(),
        driver: membership.driver.clone(),
        memory,
        siblings,
        actors: HashMap::new(),
        handles: RefCell::default(),
    };
    let errand = letter::closure(move |local: &Local| {
        local.sources.push(Rc::new(PartSource {
            graph,
            waiting: RefCell::new(Some((near, part))),
            actors: RefCell::default(),
            still: AtomicU64::new(0),
            is_settled: Cell::new(false),
        }));
    });
    node.post_to(0, errand);
}

fn end(node: &Arc<Node>, graph: u64) {
    let there = node.clone();
    let errand = letter::closure(move |local: &Local| {
        local.remove_graph(graph);
        let parts = there.workers.parts();
        let gone: Vec<ControlMemory> = {
            let mut known = parts.known();
            let keys: Vec<(u64, u64)> = known.memory.keys().copied().collect();
            let of_graph = keys.into_iter().filter(|key| key.0 == graph);
            of_graph
                .filter_map(|key| known.memory.remove(&key))
                .collect()
        };
        drop(gone);
        say(&there, FromPart::Gone { graph });
    });
    node.post_to(0, errand);
}

/// A part that waits for its actors, and then holds them.
struct PartSource {
    graph: u64,
    waiting: RefCell<Option<(Near, Part)>>,
    actors: RefCell<HashMap<u32, Arc<HeldActor>>>,
    still: AtomicU64,
    /// It began, or never will.
    is_settled: Cell<bool>,
}

impl PartSource {
    /// PH-1.
    fn actors_are_here(&self) -> bool {
        let waiting = self.waiting.borrow();
        let Some((near, part)) = &*waiting else {
            return false;
        };
        let exports = near.driver.exports();
        let mut actors = self.actors.borrow_mut();
        part.actors().all(|number| {
            if let Some(actor) = exports.find(number) {
                actors.insert(number, actor);
            }
            actors.contains_key(&number)
        })
    }
}

// SAFETY: the word is its own.
unsafe impl Source for PartSource {
    fn idle(&self) -> Option<Probes> {
        match self.is_settled.get() {
            true => Some(Probes::one(Probe::new(&self.still, 0))),
            false => Some(Probes::always()),
        }
    }

    fn serve(self: Rc<Self>, local: &Local) -> bool {
        if self.is_settled.get() || !self.actors_are_here() {
            return false;
        }
        self.is_settled.set(true);
        let Some((mut near, part)) = self.waiting.take() else {
            return false;
        };
        near.actors = self.actors.borrow().clone();
        match build(&near, part) {
            Ok(segments) => install(segments, self.graph, local),
            Err(reason) => fail(&near.node, self.graph, reason),
        }
        true
    }

    fn belongs_to(&self, graph: u64) -> bool {
        self.graph == graph
    }
}
