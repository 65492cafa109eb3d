//! Values with refs and handles of actors from one worker to another, which have no link: through the
//! driver, which has one to each.
//!
//! ```text
//! worker    line on the edge: number     body, over the keeper's socket, to the driver
//! driver    decodes the value as it would a call's, encodes it anew, sends it on over the socket
//! worker    takes the line, and for its value what came under this number
//! ```
//!
//! So a handle leads where it would if a call had brought it, and what stands beside the value is counted
//! between processes that are linked.
//!
//! - DW-1 numbers are those of one edge, in the order of its lines.
//! - DW-2 the driver decodes on a scheduler, for values are types of users. What cannot be decoded or encoded
//!   there is the error of that run.
//! - DW-3 what came and nobody took goes back when the graph is settled; what comes after that at once. A
//!   part is begun over the same socket before anything comes for it.
//! - DW-4 words that came are input (PK-1).

use super::objects::{Borrower, lend_to};
use super::packet::{Kind, Packed, Packet, head, objects_of, relayed};
use super::step::result_codec;
use super::word::{copy_in, copy_out};
use crate::error::{Error, Result};
use crate::executor::letter;
use crate::executor::local::Local;
use crate::node::Node;
use crate::object::scope;
use crate::task::failure::panicked;
use crate::worker::along::{Beside, Listed};
use crate::worker::part::{FromPart, Request, ToPart};
use crate::worker::peer::Peer;
use crate::worker::registry;
use maser_shm::control::ControlMemory;
use maser_shm::store::PeerId;
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// The driver, as the owner and holder of arrays.
const DRIVER: PeerId = PeerId(0);

/// The way of one edge, in the worker that sends.
pub(crate) struct Detour {
    pub(crate) node: Arc<Node>,
    pub(crate) driver: Arc<Peer>,
    pub(crate) graph: u64,
    pub(crate) edge: u64,
    /// The function whose results it carries, by its place in the table.
    pub(crate) function: u32,
    /// The worker that reads, by its number with the driver.
    pub(crate) to: u64,
    /// DW-1.
    pub(crate) next: u64,
}

/// Bytes in memory of their own.
fn in_memory(body: &[u8]) -> Option<ControlMemory> {
    let memory = ControlMemory::create(body.len().max(1)).ok()?;
    copy_in(body, &memory.whole()).then_some(memory)
}

/// A value's first word, and how many bytes its body has and the memory that it comes in.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Body {
    head: u64,
    bytes: u64,
    memory_bytes: u64,
}

impl Body {
    fn of(packed: &Packed, memory: &ControlMemory) -> Self {
        Self {
            head: packed.head(),
            bytes: packed.body().len() as u64,
            memory_bytes: memory.bytes() as u64,
        }
    }

    /// The value whose body a process put into this file (DW-4).
    pub(crate) fn take(&self, file: Option<OwnedFd>, from: &str) -> Option<Waiting> {
        let bytes = usize::try_from(self.bytes).ok()?;
        let memory = ControlMemory::attach(file?, self.memory_bytes, from).ok()?;
        let body = match bytes {
            0 => Vec::new(),
            _ => copy_out(&memory.region(0, bytes).ok()?),
        };
        let head = self.head;
        Some(Waiting { head, body })
    }
}

impl Detour {
    /// Sends a value; the line that says so.
    #[cold]
    pub(crate) fn send(&mut self, packed: &Packed) -> Packet {
        let memory = in_memory(packed.body());
        let (Some(memory), Some(membership)) = (memory, self.node.workers.membership()) else {
            return [head(Kind::Lost, 0), 0, 0, 0, 0, 0, 0];
        };
        let number = self.next;
        self.next += 1;
        lend_to(&self.node, DRIVER, Some(&self.driver), packed.objects());
        let message = FromPart::Relay(Box::new(Relayed {
            graph: self.graph,
            edge: self.edge,
            number,
            function: self.function,
            to: self.to,
            body: Body::of(packed, &memory),
        }));
        membership.say(message, Some(memory.file()));
        relayed(number)
    }
}

/// A value on its way through the driver; its body comes with it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Relayed {
    graph: u64,
    edge: u64,
    number: u64,
    /// What makes such values, by its place in the table of functions.
    function: u32,
    /// The worker that it is for.
    to: u64,
    body: Body,
}

/// A value came from `from` for another worker. In the driver, on the keeper's thread.
pub(crate) fn came(node: &Arc<Node>, from: &Arc<Peer>, value: Relayed, file: Option<OwnedFd>) {
    let Some(body) = value.body.take(file, &from.name()) else {
        return is_garbled(node, from, value.graph);
    };
    let (node, from) = (node.clone(), from.clone());
    let gate = node.schedulers().len() - 1;
    let there = node.clone();
    let errand = letter::closure(move |_: &Local| pass_on(&there, &from, &value, body));
    node.post_to(gate, errand);
}

/// DW-4: the graph cannot go on.
fn is_garbled(node: &Node, from: &Peer, graph: u64) {
    if let Some(core) = node.graphs.find(graph) {
        core.end(super::packet::garbled(
            &from.name(),
            "its body did not come with it",
        ));
    }
}

/// DW-2.
fn pass_on(node: &Arc<Node>, from: &Arc<Peer>, value: &Relayed, body: Waiting) {
    let mut out = Packed::default();
    if let Err(error) = repack(node, from, value, body, &mut out) {
        out.set_error(&scope::explained(error));
    }
    let Some(core) = node.graphs.find(value.graph) else {
        return; // It is over.
    };
    let Some(to) = core.parts.peer(value.to) else {
        return is_garbled(node, from, value.graph);
    };
    let Some(memory) = in_memory(out.body()) else {
        core.end(Error::System {
            what: "cannot pass a value of a compiled graph on".into(),
            reason: format!("there is no memory for its {} bytes", out.body().len()),
        });
        return;
    };
    let number = PeerId(to.store_number().unwrap_or(u32::MAX));
    lend_to(node, number, Some(&to), out.objects());
    node.workers.request(Request::Tell {
        to: to.id,
        message: ToPart::Relayed {
            graph: value.graph,
            edge: value.edge,
            number: value.number,
            body: Body::of(&out, &memory),
        },
        memory: Some(memory),
    });
}

/// The value that came, as this process would send it.
fn repack(
    node: &Arc<Node>,
    from: &Arc<Peer>,
    value: &Relayed,
    body: Waiting,
    out: &mut Packed,
) -> Result<()> {
    let mut packed = Packed::default();
    let refused = |function: &str, problem: String| Error::NotPortable {
        function: function.into(),
        value: "a value of a compiled graph".into(),
        problem,
    };
    let filled = body.into_packed(&mut packed);
    filled.map_err(|problem| refused("a graph's step", problem))?;
    open(node, from, &mut packed)?;
    let meta = (registry::at(value.function)?.meta)();
    let Some(codec) = meta.codec.and_then(result_codec) else {
        return Err(refused(meta.name, "it has no codec".into()));
    };
    match catch_unwind(AssertUnwindSafe(|| codec.repack(&packed, out))) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(problem)) => Err(refused(meta.name, problem)),
        Err(payload) => Err(panicked(payload, "Deserialize", None).to_error()),
    }
}

/// Opens what lies beside a value, and waits for extents as calls do.
fn open(node: &Arc<Node>, from: &Arc<Peer>, packed: &mut Packed) -> Result<()> {
    let listed: Vec<Listed> = match packed.names() {
        Some(names) => Listed::all(names).collect(),
        None => Vec::new(),
    };
    if packed.is_error() || listed.len() != objects_of(packed.head()) {
        return Err(super::packet::garbled(
            &from.name(),
            "it is shorter than the names of its objects",
        ));
    }
    let mut problem = None;
    for listed in listed {
        match listed {
            Listed::Array(name) => match node.bulk.receive(from, name) {
                Ok(buffer) => packed.objects_mut().push(Beside::Array { buffer, name }),
                Err(error) => problem = Some(error),
            },
            _ => packed.objects_mut().extend(listed.came(node, from)),
        }
    }
    problem.map_or(Ok(()), Err)
}

/// A value that the driver passed on, until its line is taken.
pub(crate) struct Waiting {
    head: u64,
    body: Vec<u8>,
}

impl Waiting {
    /// Puts it into its place; what lies beside it has to be opened.
    pub(super) fn into_packed(self, into: &mut Packed) -> std::result::Result<(), String> {
        into.fill_came(self.head, |bytes| {
            *bytes = self.body;
            Ok(())
        })
    }

    /// DW-3.
    pub(crate) fn give_back(self, node: &Arc<Node>) {
        let mut packed = Packed::default();
        if let (Ok(()), Some(borrower)) = (self.into_packed(&mut packed), of_driver(node)) {
            for listed in packed.names().into_iter().flat_map(Listed::all) {
                borrower.is_unwanted(listed);
            }
        }
    }
}

/// Whose the things beside such values are, in the worker that reads.
pub(super) fn of_driver(node: &Arc<Node>) -> Option<Borrower> {
    Some(Borrower::Process {
        node: node.clone(),
        from: DRIVER,
        peer: Some(node.workers.membership()?.driver.clone()),
    })
}
