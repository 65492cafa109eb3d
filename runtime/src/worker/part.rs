//! What driver and workers tell each other about compiled graphs, over the keeper's sockets.
//!
//! - PM-1 a part begins when all its memory is there: the memory shared with other workers and their
//!   doors are announced before it, on the same socket. Doors may follow later (DO-1).
//! - PM-2 a part that ended is answered with `Gone` once nothing of it is left in that process; a process
//!   that died needs no answer.
//! - PM-3 memory from one worker for another goes through the keeper, which only passes it on.

use super::hello::ToWorker;
use super::peer::Peer;
use super::socket::Wire;
use crate::error::Error;
use crate::graph::remote::detour::{self, Body, Relayed};
use crate::node::Node;
use maser_shm::control::ControlMemory;
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// To a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToPart {
    /// Memory for the graph's edges to another worker; with its descriptor.
    Memory { graph: u64, with: u64, bytes: u64 },
    /// Where another worker sleeps; with the descriptor.
    Doors { worker: u64, bytes: u64 },
    /// A part of a graph, which stands in the memory that comes with it.
    Begin {
        graph: u64,
        bytes: u64,
        text_at: u64,
        text_bytes: u64,
    },
    /// A new pool of an edge; with its descriptor.
    Pool {
        graph: u64,
        edge: u64,
        number: u64,
        bytes: u64,
    },
    /// A value that another worker sent, for the line of this number of an edge; its body comes with it.
    Relayed {
        graph: u64,
        edge: u64,
        number: u64,
        body: Body,
    },
    /// The graph is over.
    End { graph: u64 },
    /// Nothing of it runs in any process: what was not taken goes back (EO-2).
    Settle { graph: u64 },
}

/// From a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromPart {
    /// The part cannot run, or met what cannot be.
    Failed { graph: u64, reason: String },
    /// Nothing of the graph is left (PM-2).
    Gone { graph: u64 },
    /// What was not taken of it has gone back (EO-2).
    Settled { graph: u64 },
    /// A new pool of an edge, for another worker or the driver; with its descriptor.
    Pool {
        graph: u64,
        edge: u64,
        number: u64,
        bytes: u64,
        to: Option<u64>,
    },
    /// A value for another worker, which goes through the driver; its body comes with it.
    Relay(Box<Relayed>),
}

/// What the keeper is asked to do for a graph.
pub(crate) enum Request {
    /// Tells the worker `to`.
    Tell {
        to: u64,
        message: ToPart,
        memory: Option<ControlMemory>,
    },
    /// Tells the worker `to` where `other` sleeps, as soon as that is known.
    Introduce { to: u64, other: u64 },
}

/// Sends a message with the descriptor that belongs to it.
pub(super) fn send(socket: &Wire, message: ToPart, file: Option<BorrowedFd<'_>>) {
    // A worker that is gone will be seen to be (KP-2).
    let files: Vec<BorrowedFd<'_>> = file.into_iter().collect();
    drop(socket.send(&ToWorker::Graph(message), &files));
}

/// Says that `peer` sleeps at its doors; false if they are not known yet.
pub(super) fn introduce(socket: &Wire, peer: &Peer) -> bool {
    let Some(memory) = peer.doors_memory() else {
        return false;
    };
    let message = ToPart::Doors {
        worker: peer.id,
        bytes: memory.bytes() as u64,
    };
    send(socket, message, Some(memory.file()));
    true
}

/// What is to be passed on to another worker (PM-3).
pub(super) struct Forward {
    pub(super) to: u64,
    pub(super) message: ToPart,
    pub(super) file: OwnedFd,
}

/// A worker said something about a graph.
pub(super) fn heard(
    node: &Arc<Node>,
    peer: &Arc<Peer>,
    message: FromPart,
    files: Vec<OwnedFd>,
) -> Option<Forward> {
    match message {
        FromPart::Failed { graph, reason } => {
            if let Some(core) = node.graphs.find(graph) {
                core.end(Error::System {
                    what: format!("{} cannot run its part of a compiled graph", peer.name()),
                    reason,
                });
            }
            None
        }
        FromPart::Gone { graph } => {
            if let Some(core) = node.graphs.find(graph) {
                core.part_is_gone(peer.id);
            }
            None
        }
        FromPart::Settled { graph } => {
            if let Some(core) = node.graphs.find(graph) {
                core.part_is_settled(peer.id);
            }
            None
        }
        FromPart::Relay(value) => {
            detour::came(node, peer, *value, files.into_iter().next());
            None
        }
        FromPart::Pool {
            graph,
            edge,
            number,
            bytes,
            to,
        } => {
            let file = files.into_iter().next()?;
            match to {
                None => {
                    if let Ok(memory) = ControlMemory::attach(file, bytes, &peer.name()) {
                        node.workers.inbox().put((graph, edge, number), memory);
                        has_come(node, graph);
                    }
                    None
                }
                Some(to) => Some(Forward {
                    to,
                    message: ToPart::Pool {
                        graph,
                        edge,
                        number,
                        bytes,
                    },
                    file,
                }),
            }
        }
    }
}

/// Wakes whoever saw the line of a value and waits for its pool.
fn has_come(node: &Node, graph: u64) {
    for scheduler in node.schedulers() {
        scheduler.event.notify();
    }
    if let Some(core) = node.graphs.find(graph) {
        core.results_were_sent();
    }
}

impl Forward {
    pub(super) fn send(self, socket: &Wire) {
        send(socket, self.message, Some(self.file.as_fd()));
    }
}
