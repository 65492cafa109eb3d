//! One end of a [link](super::link): its two rings, and the calls in flight. Under the link's lock.

use super::exports::Target;
use super::message::{self, Assembly, Frame, Head, Kind, Whole};
use super::tickets::{InFlight, Tickets};
use maser_shm::channel::spsc::{LineReceiver, LineSender};
use maser_shm::channel::{PeerFault, Shared, TryRecvError};
use std::collections::VecDeque;
use std::sync::Arc;

/// See the module's page.
pub(super) struct End {
    pub(super) out: LineSender<Frame, Shared>,
    /// LP-2.
    pub(super) unsent: VecDeque<Frame>,
    pub(super) incoming: LineReceiver<Frame, Shared>,
    pub(super) assembly: Assembly,
    pub(super) tickets: Tickets,
    pub(super) closed: bool,
    /// An item is decoded outside of the lock (LP-5).
    pub(super) lends: bool,
    /// What was called last (`exports` rule XP-4).
    pub(super) target: Option<Arc<Target>>,
}

/// What came, to be dealt with outside of the lock.
pub(super) enum Came {
    Nothing,
    Message(Whole, What),
    Garbled(String),
}

/// What a message is.
pub(super) enum What {
    Answer(InFlight),
    Item(InFlight),
    /// For whoever has given up, or never asked (LP-3).
    Unwanted,
    /// Something to be done here; what was called last is lent.
    Asked(Option<Arc<Target>>),
}

impl End {
    pub(super) fn new(
        out: LineSender<Frame, Shared>,
        incoming: LineReceiver<Frame, Shared>,
    ) -> Self {
        Self {
            out,
            unsent: VecDeque::new(),
            incoming,
            assembly: Assembly::default(),
            tickets: Tickets::default(),
            closed: false,
            lends: false,
            target: None,
        }
    }

    /// LP-2.
    pub(super) fn pump(&mut self) -> bool {
        let mut any = false;
        while let Some(frame) = self.unsent.front() {
            if self.out.try_send(*frame).is_err() {
                break;
            }
            self.unsent.pop_front();
            any = true;
        }
        any
    }

    /// Puts a message into the ring; true if a part of it is the first that waits for room.
    #[inline]
    pub(super) fn push(&mut self, head: Head, body: &[u8]) -> bool {
        let waited = !self.unsent.is_empty();
        message::frames(head, body, |frame| {
            if !self.unsent.is_empty() || self.out.try_send(frame).is_err() {
                self.unsent.push_back(frame);
            }
        });
        !waited && !self.unsent.is_empty()
    }

    /// The next message that is whole.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Came {
        loop {
            let frame = match self.incoming.try_recv() {
                Ok(frame) => frame,
                Err(TryRecvError::Closed) => {
                    return match self.incoming.fault() {
                        Some(fault @ PeerFault::Corrupt { .. }) => Came::Garbled(fault.to_string()),
                        _ => Came::Nothing,
                    };
                }
                Err(_) => return Came::Nothing,
            };
            let whole = match self.assembly.push(frame) {
                Ok(None) => continue,
                Ok(Some(whole)) => whole,
                Err(garbled) => return Came::Garbled(garbled.to_string()),
            };
            let call = match whole.head.kind {
                Kind::Answer => self.tickets.redeem(whole.head.a).map(What::Answer),
                Kind::Item => {
                    let call = self.tickets.lend(whole.head.a);
                    self.lends = call.is_some();
                    call.map(What::Item)
                }
                _ => Some(What::Asked(self.target.take())),
            };
            return Came::Message(whole, call.unwrap_or(What::Unwanted));
        }
    }
}
