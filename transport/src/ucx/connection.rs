//! A connection: one of TCP for control, a share of UCX's endpoint for everything else.

use super::control::RegionKey;
use super::sys::{Ep, RemoteKey};
use crate::endpoint::Endpoint;
use crate::event::EndReason;
use crate::memory::{Access, RemoteSlice};
use crate::message::Message;
use crate::request::{Token, WorkRequest};
use std::collections::{HashMap, VecDeque};

/// Frames that may come before one that is missing.
const MAX_AHEAD: u32 = 1 << 16;

/// How far a connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The connection beside it is being made, or it is not known yet who is there.
    Greeting,
    /// It is there.
    Open,
    /// It was closed here, and ends when everything under way is done.
    Closing,
    /// It failed, and ends when UCX has let go of what is under way.
    Ending(EndReason),
}

/// What waits to begin, in its order.
pub(super) enum Waiting {
    Request(WorkRequest, Option<Token>),
    /// Everything before it has to arrive first.
    Barrier(Behind),
}

/// What is behind a barrier.
pub(super) enum Behind {
    Fence,
    Flush(Option<Token>),
    /// The peer is told that its region is let go.
    LetGo(RegionKey),
}

/// A region of the peer.
#[derive(Clone, Copy)]
pub(super) enum Grant {
    Asked,
    Here(Region),
    /// The peer has it no more.
    Gone,
}

/// What may be used of a peer's region.
#[derive(Clone, Copy)]
pub(super) struct Region {
    pub(super) key: RemoteKey,
    pub(super) base: u64,
    pub(super) bytes: u64,
    pub(super) access: Access,
}

impl Region {
    /// Whether it has this part, for this.
    pub(super) fn allows(&self, part: &RemoteSlice, wanted: Access) -> Result<(), String> {
        let (start, end) = (part.address(), part.address().checked_add(part.len()));
        let is_within = start >= self.base && end.is_some_and(|end| end <= self.base + self.bytes);
        match (is_within, self.access.contains(wanted)) {
            (true, true) => Ok(()),
            (false, _) => Err(format!(
                "{} bytes at offset {} of a region of {} bytes",
                part.len(),
                part.offset(),
                self.bytes
            )),
            (true, false) => Err(format!(
                "the region allows {:?}, not {wanted:?}",
                self.access
            )),
        }
    }
}

/// See the module's page.
pub(super) struct Connection {
    /// The connection beside it.
    pub(super) inner: Endpoint,
    pub(super) stage: Stage,
    /// It connected; otherwise it was connected to.
    pub(super) is_first: bool,
    /// Our hello was said.
    pub(super) has_greeted: bool,
    /// Which of the peers, and its endpoint, from the greeting on.
    pub(super) peer: Option<(Endpoint, Ep)>,
    /// What the peer calls it.
    pub(super) name_there: u64,
    /// Frames that were sent.
    pub(super) frames: u32,
    pub(super) inbound: Inbound,
    /// Frames that the peer sent in all, if it said bye.
    pub(super) bye: Option<u32>,
    /// Operations that UCX has, and offers that were not taken.
    pub(super) active: usize,
    pub(super) waiting: VecDeque<Waiting>,
    /// Messages that the peer is to get, and their requests.
    pub(super) offers: HashMap<u64, Option<Token>>,
    /// Something left since the last flush.
    pub(super) is_dirty: bool,
    /// And that was a put.
    pub(super) has_put: bool,
    /// Somebody was refused.
    pub(super) is_awaited: bool,
    pub(super) grants: HashMap<RegionKey, Grant>,
    /// What is to be said over the connection beside it, and who wants to know when it was.
    pub(super) said: VecDeque<(Message, Option<Token>)>,
    /// The part of a control message of the peer that came.
    pub(super) heard: Vec<u8>,
    /// Control messages that came before the connection was told.
    pub(super) early: Vec<Message>,
    /// The user knows of it.
    pub(super) is_known: bool,
}

impl Connection {
    pub(super) fn new(inner: Endpoint, is_first: bool) -> Self {
        Self {
            inner,
            stage: Stage::Greeting,
            is_first,
            has_greeted: false,
            peer: None,
            name_there: 0,
            frames: 0,
            inbound: Inbound::default(),
            bye: None,
            active: 0,
            waiting: VecDeque::new(),
            offers: HashMap::new(),
            is_dirty: false,
            has_put: false,
            is_awaited: false,
            grants: HashMap::new(),
            said: VecDeque::new(),
            heard: Vec::new(),
            early: Vec::new(),
            is_known: is_first,
        }
    }

    /// Requests that were taken and are not done.
    pub(super) fn under_way(&self) -> usize {
        self.waiting.len() + self.active + self.said.len()
    }

    /// Whether it takes requests: the user knows of it, and it is not over.
    pub(super) fn takes_requests(&self) -> bool {
        match self.stage {
            Stage::Greeting => self.is_known,
            Stage::Open => true,
            Stage::Closing | Stage::Ending(_) => false,
        }
    }

    /// Whether the user is told what comes.
    pub(super) fn is_told(&self) -> bool {
        matches!(self.stage, Stage::Open | Stage::Closing)
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.active == 0 && self.said.is_empty()
    }
}

/// What a frame brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Came {
    Message(Message),
    Signal(u32),
    /// The peer took a message that was offered.
    Taken(u64),
}

/// Frames of the peer, brought into their order.
#[derive(Default)]
pub(super) struct Inbound {
    /// The number of the next one to tell.
    pub(super) next: u32,
    waiting: VecDeque<Option<Came>>,
}

impl Inbound {
    /// Frame `sequence` came, or will: with `None` its place is kept for the bytes.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn come(&mut self, sequence: u32, came: Option<Came>) -> Result<(), String> {
        let ahead = sequence.wrapping_sub(self.next);
        if ahead >= MAX_AHEAD {
            return Err(format!("frame {sequence} where {} is awaited", self.next));
        }
        let ahead = ahead as usize;
        while self.waiting.len() <= ahead {
            self.waiting.push_back(None);
        }
        let place = &mut self.waiting[ahead];
        if place.is_some() {
            return Err(format!("frame {sequence} came twice"));
        }
        *place = came;
        Ok(())
    }

    /// What is the next one, if it came.
    pub(super) fn pop(&mut self) -> Option<Came> {
        self.waiting.front()?.as_ref()?;
        let came = self.waiting.pop_front()?;
        self.next = self.next.wrapping_add(1);
        came
    }

    /// Whether frame `sequence` is the next one and nothing waits behind it.
    #[inline]
    pub(super) fn is_next(&self, sequence: u32) -> bool {
        sequence == self.next && self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_in_their_order() {
        let mut inbound = Inbound {
            next: u32::MAX,
            ..Inbound::default()
        };
        assert_eq!(inbound.come(1, Some(Came::Signal(1))), Ok(()));
        assert_eq!(inbound.pop(), None);
        // Its bytes are fetched.
        assert_eq!(inbound.come(u32::MAX, None), Ok(()));
        assert_eq!(inbound.come(0, Some(Came::Signal(0))), Ok(()));
        assert_eq!(inbound.pop(), None);
        assert_eq!(inbound.come(u32::MAX, Some(Came::Signal(9))), Ok(()));
        for signal in [9, 0, 1] {
            assert_eq!(inbound.pop(), Some(Came::Signal(signal)));
        }
        assert_eq!(inbound.pop(), None);
        assert!(inbound.is_next(2));
    }

    #[test]
    fn a_frame_that_cannot_be_one_is_refused() {
        let mut inbound = Inbound::default();
        assert_eq!(inbound.come(1, Some(Came::Signal(1))), Ok(()));
        assert!(inbound.come(1, Some(Came::Signal(1))).is_err());
        assert!(inbound.come(u32::MAX, None).is_err());
        assert!(inbound.come(MAX_AHEAD, None).is_err());
    }
}
