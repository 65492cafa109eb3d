//! The two ends of an edge between processes: a ring of lines, the pool beside it, and whom to wake.
//!
//! ```text
//! byte 0     lines   as many as runs may be in flight, so it is never full
//! then       pool    bodies that do not fit into a line
//! ```
//!
//! - RE-1 an end that finds words that cannot be gives an error for the run and says once what it saw
//!   (`Complaint`): the graph is over then.
//! - RE-2 such an end is idle for ever, whatever its ring says: who waits there is told by the end of
//!   the graph, and who polls it is not kept busy.

use super::calls::Asking;
use super::detour::of_driver;
use super::inbox::Inbox;
use super::objects::{Borrower, Lender, Lent, Opened};
use super::packet::{INLINE_BYTES, Packed, Packet, garbled, objects_of, read_head};
use super::pool::{HandOver, PoolReader, PoolWriter, Read, pool_bytes};
use super::ringer::Ringer;
use crate::error::{Error, Result};
use crate::executor::sources::never;
use crate::worker::along::Listed;
use maser_shm::channel::spsc::{
    LineReceiver, LineSender, line_bytes, line_receiver_in, line_sender_in,
};
use maser_shm::channel::{Probe, Shared};
use maser_shm::control::{REGION_ALIGN, Region};
use std::sync::Arc;

fn lines_bytes(depth: usize) -> Result<usize> {
    let lines = line_bytes::<Packet>(depth).map_err(refused)?;
    Ok(lines.next_multiple_of(REGION_ALIGN))
}

/// Bytes of an edge of such a depth whose first pool holds `buffer_bytes`.
pub(crate) fn edge_bytes(depth: usize, buffer_bytes: usize) -> Result<usize> {
    Ok(lines_bytes(depth)? + pool_bytes(buffer_bytes))
}

/// The channel could not be made.
pub(crate) fn refused(error: impl ToString) -> Error {
    Error::System {
        what: "cannot make an edge of a compiled graph between processes".into(),
        reason: error.to_string(),
    }
}

/// The rest of the region of an edge is its first pool, at both ends.
fn pool_of(region: &Region, depth: usize) -> Result<Region> {
    let at = lines_bytes(depth)?;
    let bytes = region.bytes().saturating_sub(at);
    region.part(at, bytes).map_err(refused)
}

/// How lines go.
enum Out {
    Line(LineSender<Packet, Shared>),
    /// As questions.
    Calls(Arc<Asking>),
}

/// How lines come.
enum In {
    Line(LineReceiver<Packet, Shared>),
    /// As answers.
    Calls(Arc<Asking>),
    /// No more: the end goes away.
    Left,
}

/// The sending end.
pub(crate) struct EdgeSender {
    out: Out,
    ringer: Ringer,
    lender: Lender,
    pool: PoolWriter,
}

impl EdgeSender {
    /// Opens it in `region`.
    pub(crate) fn open(
        region: &Region,
        depth: usize,
        ringer: Ringer,
        lender: Lender,
        hand_over: HandOver,
    ) -> Result<Self> {
        Ok(Self {
            out: Out::Line(line_sender_in(region, depth).map_err(refused)?),
            ringer,
            lender,
            pool: PoolWriter::new(pool_of(region, depth)?, hand_over).map_err(refused)?,
        })
    }

    /// The questions of a call slot, with bodies in the pool at `region`.
    pub(crate) fn asking(
        calls: Arc<Asking>,
        region: Region,
        ringer: Ringer,
        lender: Lender,
        hand_over: HandOver,
    ) -> Result<Self> {
        Ok(Self {
            out: Out::Calls(calls),
            ringer,
            lender,
            pool: PoolWriter::new(region, hand_over).map_err(refused)?,
        })
    }

    /// Sends a value.
    #[inline]
    pub(crate) fn send(&mut self, packed: &Packed) {
        if !packed.objects().is_empty() {
            match self.lender.lend(packed) {
                Lent::All => {}
                Lent::Relayed(packet) => return self.send_packet(packet),
                Lent::No => return,
            }
        }
        let packet = match packed.as_packet() {
            Some(packet) => packet,
            None => self.pool.put(packed),
        };
        self.send_packet(packet);
    }

    /// Sends a value that stands in its line.
    #[inline(always)]
    pub(crate) fn send_packet(&mut self, packet: Packet) {
        // As deep as there may be runs in flight, so never full; a closed one belongs to a graph that
        // ends.
        match &mut self.out {
            Out::Line(line) => {
                let _sent = line.try_send(packet);
            }
            Out::Calls(calls) => calls.send(packet),
        }
        self.ringer.ring();
    }
}

/// Whom to tell that an edge is of no use any more, and why (RE-1).
pub(crate) type Complaint = Arc<dyn Fn(Error) + Send + Sync>;

/// Where the values of an edge come from, in errors, and what to do about a bad one.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) name: Arc<str>,
    pub(crate) complaint: Complaint,
    pub(crate) borrower: Borrower,
}

impl Origin {
    /// What it wrote cannot be (RE-1).
    #[cold]
    pub(crate) fn is_garbled(&self, problem: &str, into: &mut Packed) {
        let error = garbled(&self.name, problem);
        into.set_error(&error);
        (self.complaint)(error);
    }
}

/// What an end has begun to take.
pub(crate) enum Pending {
    Nothing,
    /// Off the ring; its pool has not come yet.
    Body(Packet),
    /// Off the ring; this is the number under which it comes through the driver (EO-6).
    Relayed(u64),
    /// In the place of values; of its objects these are not open yet, the next one last. They are of
    /// whoever the edge comes from, or of the driver (EO-6).
    Objects(Vec<Listed>, Option<Borrower>),
}

/// Takes bodies and objects: what ends of edges and of call slots have in common.
pub(crate) struct Taker {
    pending: Pending,
    /// Taken when the end goes away.
    pool: Option<PoolReader>,
    pub(crate) origin: Origin,
}

impl Taker {
    pub(crate) fn new(pool: PoolReader, origin: Origin) -> Self {
        Self {
            pending: Pending::Nothing,
            pool: Some(pool),
            origin,
        }
    }

    /// Whether a value was begun.
    #[inline(always)]
    pub(crate) fn has_begun(&self) -> bool {
        !matches!(self.pending, Pending::Nothing)
    }

    /// What changes before the value that was begun can be taken; `None` if it can be.
    #[cold]
    pub(crate) fn awaited(&self) -> Option<Probe> {
        match (&self.pending, &self.pool) {
            (Pending::Body(packet), Some(pool)) => pool.awaited(packet),
            (Pending::Relayed(number), Some(pool)) => {
                let address = (pool.graph(), pool.edge(), *number);
                pool.inbox().awaited_relayed(address)
            }
            (Pending::Objects(rest, round), _) => self.lends(round).awaited(rest),
            _ => None,
        }
    }

    /// Takes what a line says; false if it is not all there.
    #[inline(always)]
    pub(crate) fn take(&mut self, packet: Packet, into: &mut Packed) -> bool {
        if (packet[0] >> 32) as usize > INLINE_BYTES {
            return self.take_body(packet, into);
        }
        into.set_packet(packet);
        objects_of(packet[0]) == 0 || self.open(into)
    }

    /// Goes on with the value that was begun.
    #[cold]
    pub(crate) fn take_begun(&mut self, into: &mut Packed) -> bool {
        match std::mem::replace(&mut self.pending, Pending::Nothing) {
            Pending::Body(packet) => self.take_body(packet, into),
            Pending::Relayed(number) => self.take_relayed(number, into),
            Pending::Objects(mut rest, round) => {
                let opened = self.lends(&round).open_rest(into, &mut rest);
                self.opened(opened, rest, round, into)
            }
            Pending::Nothing => false,
        }
    }

    /// Who lends the objects of a value.
    fn lends<'a>(&'a self, round: &'a Option<Borrower>) -> &'a Borrower {
        round.as_ref().unwrap_or(&self.origin.borrower)
    }

    /// EO-6.
    #[cold]
    fn take_relayed(&mut self, number: u64, into: &mut Packed) -> bool {
        let (Borrower::Process { node, peer, .. }, Some(pool)) =
            (&self.origin.borrower, &self.pool)
        else {
            self.origin.is_garbled("it names objects", into);
            return true;
        };
        let round = match peer {
            // Whoever is linked has no reason to send it round.
            Some(_) => None,
            None => of_driver(node),
        };
        if round.is_none() {
            self.origin
                .is_garbled("it is said to come another way", into);
            return true;
        }
        let address = (pool.graph(), pool.edge(), number);
        let Some(value) = pool.inbox().take_relayed(address) else {
            self.pending = Pending::Relayed(number);
            return false;
        };
        if value.into_packed(into).is_err() {
            self.origin
                .is_garbled("there is no memory for it here", into);
            return true;
        }
        objects_of(into.head()) == 0 || self.open_of(round, into)
    }

    #[cold]
    fn take_body(&mut self, packet: Packet, into: &mut Packed) -> bool {
        let (Some((_, bytes)), Some(pool)) = (read_head(&packet), &mut self.pool) else {
            self.origin.is_garbled("it is of no known kind", into);
            return true;
        };
        match pool.take(&packet, bytes, into) {
            Read::Done => objects_of(packet[0]) == 0 || self.open(into),
            Read::NotYet => {
                self.pending = Pending::Body(packet);
                false
            }
            Read::Garbled(problem) => {
                self.origin.is_garbled(problem, into);
                true
            }
        }
    }

    #[inline(never)]
    fn open(&mut self, into: &mut Packed) -> bool {
        match into.is_relayed() {
            Some(number) => self.take_relayed(number, into),
            None => self.open_of(None, into),
        }
    }

    fn open_of(&mut self, round: Option<Borrower>, into: &mut Packed) -> bool {
        let mut rest = Vec::new();
        let opened = self.lends(&round).open(into, &mut rest);
        self.opened(opened, rest, round, into)
    }

    fn opened(
        &mut self,
        opened: Opened,
        rest: Vec<Listed>,
        round: Option<Borrower>,
        into: &mut Packed,
    ) -> bool {
        match opened {
            Opened::All => {}
            Opened::NotYet => {
                self.pending = Pending::Objects(rest, round);
                return false;
            }
            Opened::Refused(error) => into.set_error(&Error::ObjectLost {
                what: format!("an array from {}", self.origin.name),
                reason: error.to_string(),
            }),
            Opened::Garbled(problem) => self.origin.is_garbled(problem, into),
        }
        true
    }

    /// The end goes away, and `lines` gives what is still in its ring (EO-2).
    pub(crate) fn leave(&mut self, lines: impl FnMut() -> Option<Packet> + Send + 'static) {
        let Some(pool) = self.pool.take() else { return };
        let (pending, rest) = match std::mem::replace(&mut self.pending, Pending::Nothing) {
            Pending::Body(packet) => (Some(packet), (Vec::new(), None)),
            Pending::Objects(rest, round) => (None, (rest, round)),
            Pending::Nothing | Pending::Relayed(_) => (None, (Vec::new(), None)),
        };
        let borrower = &self.origin.borrower;
        borrower.leaves(Box::new(lines), pending, rest, pool);
    }
}

/// The receiving end.
pub(crate) struct EdgeReceiver {
    from: In,
    taker: Taker,
    is_broken: bool,
}

impl EdgeReceiver {
    /// Opens it in `region`; `key` names graph and edge.
    pub(crate) fn open(
        region: &Region,
        depth: usize,
        inbox: Arc<Inbox>,
        key: (u64, u64),
        origin: Origin,
    ) -> Result<Self> {
        let pool = PoolReader::new(pool_of(region, depth)?, inbox, key).map_err(refused)?;
        Ok(Self {
            from: In::Line(line_receiver_in(region, depth).map_err(refused)?),
            taker: Taker::new(pool, origin),
            is_broken: false,
        })
    }

    /// The answers of a call slot, with bodies in the pool at `region`.
    pub(crate) fn answers(
        calls: Arc<Asking>,
        region: Region,
        inbox: Arc<Inbox>,
        key: (u64, u64),
        origin: Origin,
    ) -> Result<Self> {
        let pool = PoolReader::new(region, inbox, key).map_err(refused)?;
        Ok(Self {
            from: In::Calls(calls),
            taker: Taker::new(pool, origin),
            is_broken: false,
        })
    }

    /// Where its values come from.
    pub(crate) fn origin(&self) -> &Origin {
        &self.taker.origin
    }

    /// `None` if the next value is there; else what changes when something of it is.
    #[inline(always)]
    pub(crate) fn idle(&self) -> Option<Probe> {
        if self.taker.has_begun() {
            return self.taker.awaited();
        }
        if self.is_broken {
            return Some(never()); // RE-2
        }
        match &self.from {
            In::Line(line) => line.idle(),
            In::Calls(calls) => calls.idle(),
            In::Left => None,
        }
    }

    /// Takes the next value; false if it is not there.
    #[inline]
    pub(crate) fn take(&mut self, into: &mut Packed) -> bool {
        if self.taker.has_begun() {
            return self.taker.take_begun(into);
        }
        let next = match &mut self.from {
            In::Line(line) => line.try_recv().ok(),
            In::Calls(calls) => calls.take(),
            In::Left => None,
        };
        match next {
            Some(packet) => self.taker.take(packet, into),
            None => self.nothing(into),
        }
    }

    /// Nothing came, or nothing will.
    #[cold]
    fn nothing(&mut self, into: &mut Packed) -> bool {
        let fault = match &self.from {
            In::Line(line) => line.fault(),
            In::Calls(calls) => calls.fault(),
            In::Left => None,
        };
        let problem = match (fault, &self.from) {
            (Some(fault), _) => fault.to_string(),
            (None, In::Calls(calls)) if calls.idle().is_none() => match calls.take() {
                // It has just come.
                Some(packet) => return self.taker.take(packet, into),
                None => "the other end says that there is an answer, and there is none".into(),
            },
            _ => return false,
        };
        let is_first = !std::mem::replace(&mut self.is_broken, true);
        if is_first {
            self.origin().is_garbled(&problem, into);
        }
        is_first
    }
}

impl Drop for EdgeReceiver {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.from, In::Left) {
            In::Line(mut line) => self.taker.leave(move || line.try_recv().ok()),
            In::Calls(calls) => self.taker.leave(move || calls.take()),
            In::Left => {}
        }
    }
}
