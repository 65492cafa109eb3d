//! The two ends of an edge between processes: a ring of lines, the pool beside it, and whom to wake.
//!
//! ```text
//! byte 0     lines   as many as runs may be in flight, so it is never full
//! then       pool    bodies that do not fit into a line
//! ```
//!
//! - RE-1 an end that finds words that cannot be gives an error for the run and says once what it saw
//!   (`Complaint`): the graph is over then.

use super::calls::Asking;
use super::inbox::Inbox;
use super::packet::{INLINE_BYTES, Packed, Packet, garbled, read_head};
use super::pool::{FIRST_POOL_BYTES, HandOver, PoolReader, PoolWriter, Read};
use super::ringer::Ringer;
use crate::error::{Error, Result};
use maser_shm::channel::spsc::{
    LineReceiver, LineSender, line_bytes, line_receiver_in, line_sender_in,
};
use maser_shm::channel::{Probe, Shared};
use maser_shm::control::{REGION_ALIGN, Region};
use std::sync::Arc;

/// Bytes of an edge of such a depth.
pub(crate) fn edge_bytes(depth: usize) -> Result<usize> {
    let lines = line_bytes::<Packet>(depth).map_err(refused)?;
    Ok(lines.next_multiple_of(REGION_ALIGN) + FIRST_POOL_BYTES)
}

/// The channel could not be made.
pub(crate) fn refused(error: impl ToString) -> Error {
    Error::System {
        what: "cannot make an edge of a compiled graph between processes".into(),
        reason: error.to_string(),
    }
}

fn pool_of(region: &Region) -> Result<Region> {
    let at = region.bytes().saturating_sub(FIRST_POOL_BYTES);
    region.part(at, FIRST_POOL_BYTES).map_err(refused)
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
}

/// The sending end.
pub(crate) struct EdgeSender {
    out: Out,
    ringer: Ringer,
    pool: PoolWriter,
}

impl EdgeSender {
    /// Opens it in `region`.
    pub(crate) fn open(
        region: &Region,
        depth: usize,
        ringer: Ringer,
        hand_over: HandOver,
    ) -> Result<Self> {
        Ok(Self {
            out: Out::Line(line_sender_in(region, depth).map_err(refused)?),
            ringer,
            pool: PoolWriter::new(pool_of(region)?, hand_over).map_err(refused)?,
        })
    }

    /// The questions of a call slot, with bodies in the pool at `region`.
    pub(crate) fn asking(
        calls: Arc<Asking>,
        region: Region,
        ringer: Ringer,
        hand_over: HandOver,
    ) -> Result<Self> {
        Ok(Self {
            out: Out::Calls(calls),
            ringer,
            pool: PoolWriter::new(region, hand_over).map_err(refused)?,
        })
    }

    /// Sends a value.
    #[inline]
    pub(crate) fn send(&mut self, packed: &Packed) {
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

/// The receiving end.
pub(crate) struct EdgeReceiver {
    from: In,
    /// Taken off the ring; its pool has not come yet.
    pending: Option<Packet>,
    pool: PoolReader,
    origin: Origin,
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
        Ok(Self {
            from: In::Line(line_receiver_in(region, depth).map_err(refused)?),
            pending: None,
            pool: PoolReader::new(pool_of(region)?, inbox, key).map_err(refused)?,
            origin,
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
        Ok(Self {
            from: In::Calls(calls),
            pending: None,
            pool: PoolReader::new(region, inbox, key).map_err(refused)?,
            origin,
            is_broken: false,
        })
    }

    /// Where its values come from.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// `None` if the next value is there; else what changes when something of it is.
    #[inline(always)]
    pub(crate) fn idle(&self) -> Option<Probe> {
        match &self.pending {
            None => match &self.from {
                In::Line(line) => line.idle(),
                In::Calls(calls) => calls.idle(),
            },
            Some(packet) => self.pool.awaited(packet),
        }
    }

    /// Takes the next value; false if it is not there.
    #[inline]
    pub(crate) fn take(&mut self, into: &mut Packed) -> bool {
        if self.pending.is_some() {
            return self.take_pending(into);
        }
        let next = match &mut self.from {
            In::Line(line) => line.try_recv().ok(),
            In::Calls(calls) => calls.take(),
        };
        match next {
            Some(packet) if (packet[0] >> 32) as usize <= INLINE_BYTES => {
                into.set_packet(packet);
                true
            }
            Some(packet) => self.take_body(packet, into),
            None => self.nothing(into),
        }
    }

    #[cold]
    fn take_pending(&mut self, into: &mut Packed) -> bool {
        match self.pending.take() {
            Some(packet) => self.take_body(packet, into),
            None => false,
        }
    }

    /// Nothing came, or nothing will.
    #[cold]
    fn nothing(&mut self, into: &mut Packed) -> bool {
        let fault = match &self.from {
            In::Line(line) => line.fault(),
            In::Calls(calls) => calls.fault(),
        };
        match fault {
            Some(fault) if !self.is_broken => {
                self.is_broken = true;
                self.origin.is_garbled(&fault.to_string(), into);
                true
            }
            _ => false,
        }
    }

    #[cold]
    fn take_body(&mut self, packet: Packet, into: &mut Packed) -> bool {
        let Some(head) = read_head(&packet) else {
            self.origin.is_garbled("it is of no known kind", into);
            return true;
        };
        match self.pool.take(&packet, head, into) {
            Read::Done => true,
            Read::NotYet => {
                self.pending = Some(packet);
                false
            }
            Read::Garbled(problem) => {
                self.origin.is_garbled(problem, into);
                true
            }
        }
    }
}
