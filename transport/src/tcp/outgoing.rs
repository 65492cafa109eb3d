//! Frames on their way out of one connection.
//!
//! - TO-1 frames leave whole and in their order; what is cancelled is taken out before the first of it was
//!   made ready to leave, and never after.
//! - TO-2 a frame keeps its payload's memory until its last byte is with the kernel.
#![allow(unsafe_code, reason = "gives memory that frames keep to the kernel")]

use super::sealing::Sealing;
use super::sys::{self, MAX_PARTS, Part};
use crate::memory::Memory;
use crate::message::Message;
use crate::request::Token;
use crate::wire::seal::{Sealed, Sealer};
use crate::wire::{FrameHeader, FrameKind, HEADER_BYTES};
use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::Arc;

/// Bytes of a frame, with its header, that leaves in one piece.
pub(super) const SHORT_BYTES: usize = 512;
/// Bytes that are sealed before they are sent, and a frame at least: what is in the cache when it is sealed is
/// there still when the kernel copies it.
const SEALED_AHEAD_BYTES: usize = 512 << 10;

fn is_later(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// What is behind a header.
pub(super) enum Payload {
    None,
    /// The first so many bytes of a buffer (TO-3).
    Sealed(Vec<u8>, usize),
    Bytes(Message, Range<usize>),
    Memory(Arc<dyn Memory>, Range<usize>),
}

impl Payload {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Sealed(_, bytes) => *bytes,
            Self::Bytes(_, range) | Self::Memory(_, range) => range.len(),
        }
    }

    fn part(&self, skip: usize) -> Part {
        let (start, range) = match self {
            Self::None => (NonNull::dangling(), 0..0),
            Self::Sealed(buffer, bytes) => (NonNull::from(&**buffer).cast(), 0..*bytes),
            Self::Bytes(bytes, range) => (NonNull::from(&**bytes).cast(), range.clone()),
            Self::Memory(memory, range) => (memory.start(), range.clone()),
        };
        Part {
            // SAFETY: the range is within the bytes (checked when the request was).
            start: unsafe { start.add(range.start + skip) },
            bytes: range.len() - skip,
        }
    }

    /// Copies it to `to`, which is as long.
    pub(super) fn copy_to(&self, to: &mut [u8]) {
        match self {
            Self::None => {}
            Self::Sealed(buffer, bytes) => to.copy_from_slice(&buffer[..*bytes]),
            Self::Bytes(bytes, range) => to.copy_from_slice(&bytes[range.clone()]),
            Self::Memory(memory, range) => match memory.read(range.start, to) {
                Ok(()) => {}
                Err(error) => unreachable!("the range was checked: {error}"),
            },
        }
    }
}

/// Something that leaves: a frame, or the bytes of a handshake.
pub(super) struct Leaving {
    head: Head,
    payload: Payload,
    /// Whom to tell when its last byte has left.
    pub(super) token: Option<Token>,
    /// The call that it is a part of, or 0.
    pub(super) call: u64,
    /// The call is one of this end, not of the peer's.
    pub(super) is_own: bool,
    /// It is the first frame of its request.
    pub(super) is_first: bool,
    /// It is the last frame of a send, which is under way until it has left.
    pub(super) is_last_of_send: bool,
}

enum Head {
    /// Not sealed yet, if it is to be.
    Header(FrameHeader),
    Wire([u8; HEADER_BYTES]),
    Raw(Box<[u8]>),
}

impl Leaving {
    pub(super) fn frame(header: FrameHeader, payload: Payload) -> Self {
        Self {
            call: header.call.sequence,
            is_own: matches!(
                header.kind,
                FrameKind::Put | FrameKind::Get | FrameKind::FetchAdd | FrameKind::Flush
            ),
            head: Head::Header(header),
            payload,
            token: None,
            is_first: true,
            is_last_of_send: false,
        }
    }

    pub(super) fn raw(bytes: &[u8]) -> Self {
        Self {
            head: Head::Raw(bytes.into()),
            payload: Payload::None,
            token: None,
            call: 0,
            is_own: false,
            is_first: true,
            is_last_of_send: false,
        }
    }

    fn is_begun(&self) -> bool {
        !matches!(self.head, Head::Header(_))
    }

    /// Makes it ready to leave; true if it was sealed for that.
    fn begin(&mut self, sealing: Option<&mut Sealing>) -> bool {
        let Head::Header(mut header) = self.head else {
            return false;
        };
        let sealing = sealing.filter(|sealing| sealing.covers(header.kind));
        let is_sealed = sealing.is_some();
        if let Some(sealing) = sealing {
            self.payload = sealing.payload(&mut header, &self.payload);
        }
        self.head = Head::Wire(header.to_wire());
        is_sealed
    }

    /// Puts all of it into `piece`, which is as long; true if it was sealed for that, and `payload` is not
    /// what leaves.
    fn begin_short(&mut self, sealing: Option<&mut Sealing>, piece: &mut [u8]) -> bool {
        let Head::Header(mut header) = self.head else {
            let head = self.head();
            let (front, behind) = piece.split_at_mut(head.len());
            front.copy_from_slice(head);
            self.payload.copy_to(behind);
            return false;
        };
        let (front, behind) = piece.split_at_mut(HEADER_BYTES);
        self.payload.copy_to(behind);
        let sealing = sealing.filter(|sealing| sealing.covers(header.kind));
        let is_sealed = sealing.is_some();
        if let Some(sealing) = sealing {
            sealing.in_place(&mut header, behind);
        }
        let wire = header.to_wire();
        front.copy_from_slice(&wire);
        self.head = Head::Wire(wire);
        is_sealed
    }

    fn head(&self) -> &[u8] {
        match &self.head {
            Head::Header(_) => &[],
            Head::Wire(wire) => wire,
            Head::Raw(raw) => raw,
        }
    }

    fn bytes(&self) -> usize {
        let head = match &self.head {
            Head::Raw(raw) => raw.len(),
            Head::Header(_) | Head::Wire(_) => HEADER_BYTES,
        };
        head + self.payload.len()
    }
}

/// See the module's page.
#[derive(Default)]
pub(super) struct Outgoing {
    queue: VecDeque<Leaving>,
    /// Bytes of the first one that have left.
    left: usize,
    /// Bytes of all that have not.
    bytes: usize,
    sealing: Option<Sealing>,
}

impl Outgoing {
    /// These frames are sealed from now on.
    pub(super) fn seal_by(&mut self, sealer: Sealer, sealed: Sealed) {
        self.sealing = Some(Sealing::new(sealer, sealed));
    }

    /// Gives back buffers that are kept for later.
    pub(super) fn rest(&mut self) {
        self.sealing.as_mut().into_iter().for_each(Sealing::rest);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes that have not left.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, leaving: Leaving) {
        self.bytes += leaving.bytes();
        self.queue.push_back(leaving);
    }

    /// In front of everything; nothing has begun.
    pub(super) fn push_first(&mut self, leaving: Leaving) {
        self.bytes += leaving.bytes();
        self.queue.push_front(leaving);
    }

    pub(super) fn last(&mut self) -> Option<&mut Leaving> {
        self.queue.back_mut()
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Sends what the socket takes, frames only if `is_open`; gives what has left whole to `done`.
    ///
    /// # Errors
    /// Of the system, but for a socket that takes nothing.
    pub(super) fn pump(
        &mut self,
        socket: BorrowedFd<'_>,
        is_open: bool,
        mut done: impl FnMut(Leaving),
    ) -> io::Result<()> {
        if self.queue.len() == 1 && self.left == 0 && self.send_short(socket, is_open, &mut done)? {
            return Ok(());
        }
        loop {
            let mut parts = [Part {
                start: NonNull::dangling(),
                bytes: 0,
            }; MAX_PARTS];
            let mut count = 0;
            let mut skip = self.left;
            let mut asked = 0;
            let mut sealed_bytes = 0;
            for leaving in &mut self.queue {
                let may_leave = is_open || matches!(leaving.head, Head::Raw(_));
                if !may_leave || count + 2 > MAX_PARTS || sealed_bytes >= SEALED_AHEAD_BYTES {
                    break;
                }
                if leaving.begin(self.sealing.as_mut()) {
                    sealed_bytes += leaving.payload.len();
                }
                let head = leaving.head();
                if skip < head.len() {
                    parts[count] = Part {
                        start: NonNull::from(&head[skip..]).cast(),
                        bytes: head.len() - skip,
                    };
                    asked += head.len() - skip;
                    count += 1;
                }
                let of_payload = skip.saturating_sub(head.len());
                if leaving.payload.len() > of_payload {
                    parts[count] = leaving.payload.part(of_payload);
                    asked += parts[count].bytes;
                    count += 1;
                }
                skip = 0;
            }
            if count == 0 {
                return Ok(());
            }
            // SAFETY: TO-2, the queue keeps what the parts point at.
            let sent = match unsafe { sys::send(socket, &parts[..count]) } {
                Ok(sent) => sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.bytes -= sent;
            self.left += sent;
            while let Some(first) = self.queue.front()
                && self.left >= first.bytes()
            {
                self.left -= first.bytes();
                let Some(mut first) = self.queue.pop_front() else {
                    break;
                };
                if let Some(sealing) = &mut self.sealing {
                    sealing.keep(std::mem::replace(&mut first.payload, Payload::None));
                }
                done(first);
            }
            if sent < asked {
                return Ok(());
            }
        }
    }

    /// Sends a short frame whose payload is `payload` at once: nothing is before it. `piece` is a buffer for it.
    /// What the socket does not take is the first that leaves next; false then.
    #[inline]
    pub(super) fn send_at_once(
        &mut self,
        socket: BorrowedFd<'_>,
        mut header: FrameHeader,
        payload: &[u8],
        piece: &mut Vec<u8>,
    ) -> bool {
        debug_assert!(self.queue.is_empty(), "frames leave in their order");
        piece.clear();
        match &mut self.sealing {
            Some(sealing) if sealing.covers(header.kind) => {
                piece.resize(HEADER_BYTES, 0);
                piece.extend_from_slice(payload);
                sealing.in_place(&mut header, &mut piece[HEADER_BYTES..]);
                piece[..HEADER_BYTES].copy_from_slice(&header.to_wire());
            }
            _ => {
                piece.extend_from_slice(&header.to_wire());
                piece.extend_from_slice(payload);
            }
        }
        // An error is met again by who sends the rest.
        let sent = sys::send_bytes(socket, piece).unwrap_or(0);
        if sent < piece.len() {
            self.push(Leaving::raw(&piece[sent..]));
        }
        sent == piece.len()
    }

    /// Sends the only frame there is in one piece with its payload, if it is short; true if it was. A call
    /// with one piece is the shortest there is.
    fn send_short(
        &mut self,
        socket: BorrowedFd<'_>,
        is_open: bool,
        done: &mut impl FnMut(Leaving),
    ) -> io::Result<bool> {
        let Some(only) = self.queue.front_mut() else {
            return Ok(false);
        };
        let bytes = only.bytes();
        let may_leave = is_open || matches!(only.head, Head::Raw(_));
        if !may_leave || bytes > SHORT_BYTES {
            return Ok(false);
        }
        let mut buffer = [0; SHORT_BYTES];
        let piece = &mut buffer[..bytes];
        let is_sealed = only.begin_short(self.sealing.as_mut(), piece);
        let sent = match sys::send_bytes(socket, piece) {
            Ok(sent) => sent,
            Err(error) if is_later(&error) => 0,
            Err(error) => return Err(error),
        };
        self.bytes -= sent;
        if sent < bytes {
            self.left = sent;
            if is_sealed {
                let payload = &piece[HEADER_BYTES..];
                only.payload = Payload::Sealed(payload.to_vec(), payload.len());
            }
            return Ok(true);
        }
        self.queue.pop_front().into_iter().for_each(done);
        Ok(true)
    }

    /// Takes back the sends with this token that have not begun; how many.
    pub(super) fn cancel_sends(&mut self, token: Token) -> usize {
        let mut count = 0;
        // A send has its token at its last frame: those before it are of the same message.
        let mut at = 0;
        while let Some(end) = self
            .queue
            .iter()
            .skip(at)
            .position(|one| one.is_last_of_send)
        {
            let end = at + end;
            let frames = || self.queue.range(at..=end).rev();
            let of_it = frames()
                .take_while(|one| one.call == 0 && !one.is_first)
                .count();
            let start = (end - of_it.min(end - at)).max(at);
            let is_it = self.queue[end].token == Some(token) && self.queue[start].is_first;
            if is_it && !self.queue.range(start..=end).any(Leaving::is_begun) {
                let taken: Vec<_> = self.queue.drain(start..=end).collect();
                self.bytes -= taken.iter().map(Leaving::bytes).sum::<usize>();
                count += 1;
                at = start;
            } else {
                at = end + 1;
            }
        }
        count
    }

    /// Takes back the frames of a call, if none has begun.
    pub(super) fn cancel_call(&mut self, call: u64) -> bool {
        let mut frames = self
            .queue
            .iter()
            .filter(|one| one.call == call && one.is_own);
        let is_whole = frames
            .next()
            .is_some_and(|one| one.is_first && !one.is_begun());
        if !is_whole || frames.any(Leaving::is_begun) {
            return false;
        }
        let bytes = &mut self.bytes;
        self.queue.retain(|one| {
            let goes = one.call == call && one.is_own;
            *bytes -= if goes { one.bytes() } else { 0 };
            !goes
        });
        true
    }

    /// Everything that did not leave.
    pub(super) fn take_all(&mut self) -> VecDeque<Leaving> {
        (self.left, self.bytes) = (0, 0);
        std::mem::take(&mut self.queue)
    }
}
