//! Arrays on edges between processes: the names of their objects stand behind the value, and with each
//! goes a reference that the receiver gives back.
//!
//! - EO-1 the sender has counted a reference for the receiving process before the line is published.
//!   The receiver opens what is named when it takes the line, and gives the reference back when the
//!   last handle is dropped, or at once if it cannot be opened.
//! - EO-2 what was published and nobody took is given back when the graph is settled: no process has a
//!   segment of it then, so nothing is published any more. What a process drops before that it leaves
//!   with its inbox until then ([`Leftover`]).
//! - EO-3 what goes to another worker lies in the sender's own store (BK-7).
//! - EO-4 a name may come before its extent, which is not waited for under a lock: the edge has no
//!   value until then, as with a body whose pool has not come (`pool`).
//! - EO-5 along an edge within a process the handles themselves go, in the order of the lines.

use super::packet::{Packed, Packet, objects_of, read_head};
use super::pool::{PoolReader, Read};
use crate::error::Error;
use crate::node::Node;
use crate::worker::bulk::{Beside, Name};
use maser_shm::channel::Probe;
use maser_shm::store::PeerId;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Handles on their way along an edge within a process (EO-5), those of each line together.
pub(crate) type Handles = Mutex<VecDeque<Vec<Beside>>>;

/// To whom the objects of an edge are lent.
pub(crate) enum Lender {
    /// Another process.
    Process {
        node: Arc<Node>,
        to: PeerId,
        /// Whether nobody will take what is published from now on.
        is_over: Box<dyn Fn() -> bool + Send>,
    },
    /// This one (EO-5).
    Here(Arc<Handles>),
    /// Nobody: there are none.
    #[cfg(test)]
    Nobody,
}

impl Lender {
    /// EO-1. False if the line must not be published.
    #[inline(always)]
    pub(crate) fn lend(&self, packed: &Packed) -> bool {
        packed.objects().is_empty() || self.lend_all(packed.objects())
    }

    #[inline(never)]
    fn lend_all(&self, objects: &[Beside]) -> bool {
        match self {
            Self::Process { node, to, is_over } => {
                if is_over() {
                    return false; // EO-2
                }
                for Beside { buffer, name } in objects {
                    node.bulk.lend(*to, buffer, *name);
                }
                true
            }
            Self::Here(handles) => {
                let mut handles = handles.lock().unwrap_or_else(PoisonError::into_inner);
                handles.push_back(objects.to_vec());
                true
            }
            #[cfg(test)]
            Self::Nobody => false,
        }
    }
}

/// From whom the objects of an edge come.
#[derive(Clone)]
pub(crate) enum Borrower {
    /// Another process.
    Process { node: Arc<Node>, from: PeerId },
    /// This one (EO-5).
    Here(Arc<Handles>),
    /// Nobody: there are none.
    #[cfg(test)]
    Nobody,
}

/// What became of the objects of a value.
pub(crate) enum Opened {
    /// They lie beside it.
    All,
    /// An extent has not come (EO-4).
    NotYet,
    /// One cannot be opened.
    Refused(Error),
    /// They cannot be what stands there (PK-1).
    Garbled(&'static str),
}

impl Borrower {
    /// Opens what is named behind the value in `packed`. What cannot be opened yet is left in `rest`,
    /// the next one last.
    pub(crate) fn open(&self, packed: &mut Packed, rest: &mut Vec<Name>) -> Opened {
        let wanted = objects_of(packed.head());
        let Some(names) = packed.names() else {
            return Opened::Garbled("it is shorter than the names of its objects");
        };
        match self {
            Self::Process { .. } => {
                rest.clear();
                rest.extend(Name::all(names).rev());
                packed.objects_mut().clear();
                self.open_rest(packed, rest)
            }
            Self::Here(handles) => {
                let mut handles = handles.lock().unwrap_or_else(PoisonError::into_inner);
                match handles.pop_front() {
                    Some(objects) if objects.len() == wanted => {
                        *packed.objects_mut() = objects;
                        Opened::All
                    }
                    _ => Opened::Garbled("it names objects that did not go with it"),
                }
            }
            #[cfg(test)]
            Self::Nobody => Opened::Garbled("it names objects"),
        }
    }

    /// Opens what could not be opened before.
    pub(crate) fn open_rest(&self, packed: &mut Packed, rest: &mut Vec<Name>) -> Opened {
        let Self::Process { node, from } = self else {
            return Opened::All;
        };
        while let Some(name) = rest.pop() {
            match node.bulk.borrow(*from, name) {
                Ok(Some(buffer)) => packed.objects_mut().push(Beside { buffer, name }),
                Ok(None) => {
                    rest.push(name);
                    return Opened::NotYet;
                }
                Err(error) => {
                    self.give_back(rest);
                    return Opened::Refused(error);
                }
            }
        }
        Opened::All
    }

    /// What changes before the next of `rest` can be opened; `None` if it can be.
    pub(crate) fn awaited(&self, rest: &[Name]) -> Option<Probe> {
        match (self, rest.last()) {
            (Self::Process { node, from }, Some(name)) => node.bulk.awaited(*from, name.place()),
            _ => None,
        }
    }

    /// EO-1.
    fn give_back(&self, rest: &mut Vec<Name>) {
        if let Self::Process { node, from } = self {
            rest.drain(..)
                .for_each(|name| node.bulk.unwanted(*from, name));
        }
    }

    /// What an end that goes away leaves (EO-2); it is given back now if the graph is settled.
    pub(crate) fn leaves(
        &self,
        lines: Box<dyn FnMut() -> Option<Packet> + Send>,
        pending: Option<Packet>,
        rest: Vec<Name>,
        pool: PoolReader,
    ) {
        let Self::Process { node, from } = self else {
            return; // EO-5: the handles go with the last end.
        };
        let (inbox, graph) = (pool.inbox().clone(), pool.graph());
        let leftover = Leftover {
            lines,
            pending,
            rest,
            pool,
            from: *from,
        };
        if let Some(leftover) = inbox.leave(graph, leftover) {
            leftover.give_back(node);
        }
    }
}

/// Lines that nobody took, and where their bodies lie.
pub(crate) struct Leftover {
    lines: Box<dyn FnMut() -> Option<Packet> + Send>,
    pending: Option<Packet>,
    rest: Vec<Name>,
    pool: PoolReader,
    from: PeerId,
}

/// More lines than an edge has: a writer that goes on all the time keeps nobody here.
const LINES_MAX: usize = 1 << 21;

impl Leftover {
    /// EO-2.
    pub(crate) fn give_back(mut self, node: &Node) {
        for name in self.rest.drain(..) {
            node.bulk.unwanted(self.from, name);
        }
        let mut packed = Packed::default();
        let pending = self.pending.take();
        let lines = pending.into_iter().chain(std::iter::from_fn(self.lines));
        for packet in lines.take(LINES_MAX) {
            let Some((_, bytes)) = read_head(&packet) else {
                continue;
            };
            if objects_of(packet[0]) == 0 {
                continue; // Its body may lie in a pool; nobody reads that any more.
            }
            if bytes <= super::packet::INLINE_BYTES {
                packed.set_packet(packet);
            } else if !matches!(self.pool.take(&packet, bytes, &mut packed), Read::Done) {
                continue;
            }
            for name in packed.names().into_iter().flat_map(Name::all) {
                node.bulk.unwanted(self.from, name);
            }
        }
    }
}
