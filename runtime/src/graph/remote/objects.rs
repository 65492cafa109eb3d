//! What goes beside values on edges between processes: the names of arrays and of actors and the numbers
//! of refs stand behind the value (`worker/along.rs`), and with each goes a reference that the receiver
//! gives back.
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
//! - EO-6 two workers know no actors and refs of each other: a value with such goes through the driver
//!   (`detour`), and its line says so.

use super::detour::Detour;
use super::packet::{Packed, Packet, objects_of, read_head};
use super::pool::{PoolReader, Read};
use crate::error::Error;
use crate::node::Node;
use crate::worker::along::{Beside, Listed};
use crate::worker::peer::Peer;
use maser_shm::channel::Probe;
use maser_shm::store::PeerId;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Handles on their way along an edge within a process (EO-5), those of each line together.
pub(crate) type Handles = Mutex<VecDeque<Vec<Beside>>>;

/// What became of the objects of a value that is to be published.
pub(crate) enum Lent {
    /// The line may be.
    All,
    /// The value comes another way, and this line says so (EO-6).
    Relayed(Packet),
    /// The line must not be: nobody will take it.
    No,
}

/// To whom the objects of an edge are lent.
pub(crate) enum Lender {
    /// Another process.
    Process {
        node: Arc<Node>,
        to: PeerId,
        way: Way,
        /// Whether nobody will take what is published from now on.
        is_over: Box<dyn Fn() -> bool + Send>,
    },
    /// This one (EO-5).
    Here(Arc<Handles>),
    /// Nobody: there are none.
    #[cfg(test)]
    Nobody,
}

/// How refs and handles of actors get to another process.
pub(crate) enum Way {
    /// It is linked to this one.
    Linked(Arc<Peer>),
    /// EO-6.
    Round(Detour),
    /// There are none.
    None,
}

/// Notes that the process `to` has one reference more to all of this. Refs and handles are for `peer`.
pub(super) fn lend_to(node: &Arc<Node>, to: PeerId, peer: Option<&Arc<Peer>>, objects: &[Beside]) {
    for beside in objects {
        match (beside, peer) {
            (Beside::Array { buffer, name }, _) => node.bulk.lend(to, buffer, *name),
            (_, Some(peer)) => beside.lend(peer),
            (_, None) => {}
        }
    }
}

impl Lender {
    /// EO-1, for a value that has objects.
    #[inline(never)]
    pub(crate) fn lend(&mut self, packed: &Packed) -> Lent {
        let objects = packed.objects();
        match self {
            Self::Process {
                node,
                to,
                way,
                is_over,
            } => {
                if is_over() {
                    return Lent::No; // EO-2
                }
                match way {
                    Way::Linked(peer) => lend_to(node, *to, Some(peer), objects),
                    Way::Round(relay) if !objects.iter().all(Beside::is_array) => {
                        return Lent::Relayed(relay.send(packed));
                    }
                    Way::Round(_) | Way::None => lend_to(node, *to, None, objects),
                }
                Lent::All
            }
            Self::Here(handles) => {
                let mut handles = handles.lock().unwrap_or_else(PoisonError::into_inner);
                handles.push_back(objects.to_vec());
                Lent::All
            }
            #[cfg(test)]
            Self::Nobody => Lent::No,
        }
    }
}

/// From whom the objects of an edge come.
#[derive(Clone)]
pub(crate) enum Borrower {
    /// Another process.
    Process {
        node: Arc<Node>,
        from: PeerId,
        /// The same, if it is linked to this one (EO-6).
        peer: Option<Arc<Peer>>,
    },
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
    pub(crate) fn open(&self, packed: &mut Packed, rest: &mut Vec<Listed>) -> Opened {
        let wanted = objects_of(packed.head());
        let Some(names) = packed.names() else {
            return Opened::Garbled("it is shorter than the names of its objects");
        };
        match self {
            Self::Process { .. } => {
                rest.clear();
                rest.extend(Listed::all(names).rev());
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
    pub(crate) fn open_rest(&self, packed: &mut Packed, rest: &mut Vec<Listed>) -> Opened {
        let Self::Process { node, from, peer } = self else {
            return Opened::All;
        };
        while let Some(listed) = rest.pop() {
            let name = match (listed, peer) {
                (Listed::Array(name), _) => name,
                (_, None) => {
                    self.give_back(rest);
                    return Opened::Garbled(
                        "it has actors or refs of a process that is not linked",
                    );
                }
                (_, Some(peer)) => {
                    packed.objects_mut().extend(listed.came(node, peer));
                    continue;
                }
            };
            match node.bulk.borrow(*from, name) {
                Ok(Some(buffer)) => packed.objects_mut().push(Beside::Array { buffer, name }),
                Ok(None) => {
                    rest.push(listed);
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
    pub(crate) fn awaited(&self, rest: &[Listed]) -> Option<Probe> {
        match (self, rest.last()) {
            (Self::Process { node, from, .. }, Some(Listed::Array(name))) => {
                node.bulk.awaited(*from, name.place())
            }
            _ => None,
        }
    }

    /// EO-1.
    fn give_back(&self, rest: &mut Vec<Listed>) {
        rest.drain(..).for_each(|listed| self.is_unwanted(listed));
    }

    /// A reference that nobody wants.
    pub(super) fn is_unwanted(&self, listed: Listed) {
        let Self::Process { node, from, peer } = self else {
            return;
        };
        match (listed, peer) {
            (Listed::Array(name), _) => node.bulk.unwanted(*from, name),
            // Dropped unread.
            (_, Some(peer)) => drop(listed.came(node, peer)),
            (_, None) => {}
        }
    }

    /// What an end that goes away leaves (EO-2); it is given back now if the graph is settled. What it
    /// has begun to open, and whose that is, stands in `rest`.
    pub(crate) fn leaves(
        &self,
        lines: Box<dyn FnMut() -> Option<Packet> + Send>,
        pending: Option<Packet>,
        rest: (Vec<Listed>, Option<Borrower>),
        pool: PoolReader,
    ) {
        if matches!(self, Self::Here(_)) {
            return; // EO-5: the handles go with the last end.
        }
        let (inbox, graph) = (pool.inbox().clone(), pool.graph());
        let leftover = Leftover {
            lines,
            pending,
            rest,
            pool,
            borrower: self.clone(),
        };
        if let Some(leftover) = inbox.leave(graph, leftover) {
            leftover.give_back();
        }
    }
}

/// Lines that nobody took, and where their bodies lie.
pub(crate) struct Leftover {
    lines: Box<dyn FnMut() -> Option<Packet> + Send>,
    pending: Option<Packet>,
    /// What was not open yet, and whose it is if not that of the edge (EO-6).
    rest: (Vec<Listed>, Option<Borrower>),
    pool: PoolReader,
    borrower: Borrower,
}

/// More lines than an edge has: a writer that goes on all the time keeps nobody here.
const LINES_MAX: usize = 1 << 21;

impl Leftover {
    /// EO-2.
    pub(crate) fn give_back(mut self) {
        let (mut rest, round) = self.rest;
        round
            .as_ref()
            .unwrap_or(&self.borrower)
            .give_back(&mut rest);
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
                if packed.is_relayed().is_some() {
                    continue; // DW-3
                }
            } else if !matches!(self.pool.take(&packet, bytes, &mut packed), Read::Done) {
                continue;
            }
            for listed in packed.names().into_iter().flat_map(Listed::all) {
                self.borrower.is_unwanted(listed);
            }
        }
    }
}
