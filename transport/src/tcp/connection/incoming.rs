//! What comes in: bytes into frames.
//!
//! A payload that is not whole is received straight to where it belongs ([`partial`](super::partial)), and
//! with it the header behind it: so of a stream of long frames no more than a few bytes are copied here.

use super::super::sys;
use super::partial::{Partial, Place};
use super::{Connection, Context, Stage, corrupt};
use crate::event::EndReason;
use crate::wire::handshake::{ANSWER_BYTES, HELLO_BYTES};
use crate::wire::seal::Opener;
use crate::wire::{Flags, FrameHeader, FrameKind, HEADER_BYTES};
use std::io;
use std::os::fd::AsFd;

/// A frame with a payload of so many bytes is long: what comes with it is received to where it goes rather
/// than copied there. A call costs about as much as copying a few KiB.
const LONG_BYTES: usize = 16 << 10;
/// Bytes that are received behind a long payload: of those the headers of what comes next.
const BEHIND_BYTES: usize = 4 << 10;

impl Connection {
    /// Reads the socket once and serves what came; `None` if there is nothing.
    pub(in crate::tcp) fn read(
        &mut self,
        scratch: &mut Vec<u8>,
        context: &mut Context<'_>,
    ) -> Option<Result<(), EndReason>> {
        if std::mem::take(&mut self.is_held) {
            return Some(self.receive(&mut [], context));
        }
        let socket = self.socket.as_fd();
        let received = match &self.partial {
            Some(partial) => {
                self.is_drained = false;
                let both = (&mut self.message, &mut self.body);
                partial.receive(socket, both, scratch, BEHIND_BYTES)
            }
            None => {
                scratch.clear();
                // TX-2: of a stranger no more is read than says who it is.
                let limit = match self.stage {
                    Stage::Accepted => HELLO_BYTES - self.inbox.len(),
                    Stage::Greeted(_) => ANSWER_BYTES - self.inbox.len(),
                    _ if self.is_bulk => BEHIND_BYTES,
                    _ => scratch.capacity(),
                };
                let received = sys::receive_more(socket, scratch, limit);
                self.is_drained = received.as_ref().is_ok_and(|bytes| *bytes < limit);
                received
            }
        };
        self.is_empty = self.is_drained;
        match received {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.is_empty = true;
                None
            }
            Err(error) => Some(Err(EndReason::PeerGone(error.to_string()))),
            Ok(0) => Some(Err(EndReason::PeerGone(
                "it closed the connection without a word".into(),
            ))),
            Ok(bytes) if self.partial.is_some() => {
                let served = self.came(bytes, context);
                Some(served.and_then(|()| self.receive(scratch, context)))
            }
            Ok(_) => Some(self.receive(scratch, context)),
        }
    }

    /// As [`read`](Self::read), of bytes that came some other way.
    pub(in crate::tcp) fn feed(
        &mut self,
        mut bytes: &mut [u8],
        context: &mut Context<'_>,
    ) -> Result<(), EndReason> {
        if std::mem::take(&mut self.is_held) {
            self.receive(&mut [], context)?;
        }
        if let Some(partial) = &self.partial {
            let (here, behind) = bytes.split_at_mut(bytes.len().min(partial.missing));
            partial.take(here, &mut self.message, &mut self.body);
            let came = here.len();
            bytes = behind;
            self.came(came, context)?;
        }
        match bytes.is_empty() {
            true => Ok(()),
            false => self.receive(bytes, context),
        }
    }

    /// Serves what came.
    fn receive(&mut self, bytes: &mut [u8], context: &mut Context<'_>) -> Result<(), EndReason> {
        let is_open = matches!(self.stage, Stage::Open | Stage::Closing);
        if !is_open {
            self.inbox.extend_from_slice(bytes);
            self.handshake(context)?;
            let is_open = matches!(self.stage, Stage::Open | Stage::Closing);
            return match is_open {
                true => self.receive(&mut [], context),
                false => Ok(()),
            };
        }
        if self.inbox.is_empty() {
            let rest = self.frames(bytes, context)?;
            if rest != 0 {
                self.inbox = bytes[bytes.len() - rest..].to_vec();
            }
            return Ok(());
        }
        let mut inbox = std::mem::take(&mut self.inbox);
        inbox.extend_from_slice(bytes);
        let rest = self.frames(&mut inbox, context)?;
        if rest != 0 {
            inbox.drain(..inbox.len() - rest);
            self.inbox = inbox;
        }
        Ok(())
    }

    /// Serves the frames in `rest`, which are opened where they are; how many bytes are left: of a part of
    /// a header, or of frames that have to wait.
    fn frames(
        &mut self,
        mut rest: &mut [u8],
        context: &mut Context<'_>,
    ) -> Result<usize, EndReason> {
        loop {
            let left = rest.len();
            if !self.may_be_read() {
                // TX-3: they wait until the answers before them have left.
                self.is_held = left > 0;
                return Ok(left);
            }
            let Some((wire, behind)) = rest.split_first_chunk_mut::<HEADER_BYTES>() else {
                return Ok(left);
            };
            let header =
                FrameHeader::from_wire(wire).map_err(|error| corrupt(error.to_string()))?;
            self.check_seal(&header)?;
            let bytes = header.payload_bytes as usize;
            self.is_bulk = bytes >= LONG_BYTES;
            if behind.len() < bytes {
                self.expect(header, behind, context)?;
                return Ok(0);
            }
            let (payload, behind) = behind.split_at_mut(bytes);
            open(self.opener_for(&header), &header, payload)?;
            self.serve(&header, payload, context)?;
            rest = behind;
        }
    }

    /// What opens this frame, if it is sealed.
    fn opener_for(&mut self, header: &FrameHeader) -> Option<&mut Opener> {
        let is_sealed = self.sealed.covers(header.kind);
        self.opener.as_mut().filter(|_| is_sealed)
    }

    /// FS-1.
    fn check_seal(&self, header: &FrameHeader) -> Result<(), EndReason> {
        let kind = header.kind;
        match header.flags.contains(Flags::SEALED) == self.sealed.covers(kind) {
            true => Ok(()),
            false => Err(corrupt(format!(
                "a frame of kind {kind:?} that is sealed and should not be, or the other way around"
            ))),
        }
    }

    /// A payload that comes in parts, of which these are the first bytes (TX-2).
    fn expect(
        &mut self,
        header: FrameHeader,
        begin: &[u8],
        context: &mut Context<'_>,
    ) -> Result<(), EndReason> {
        let bytes = header.payload_bytes as usize;
        if header.kind == FrameKind::Message {
            check_message(self.message.len() + bytes, context)?;
        }
        let place = match header.kind {
            FrameKind::Message => Place::Message,
            kind if self.sealed.covers(kind) => Place::Body,
            FrameKind::Put => match self.place_of_put(&header, context) {
                Some((memory, range)) => Place::Memory(memory, range.start),
                None => Place::Nowhere,
            },
            FrameKind::Data => {
                let (memory, at) = self.place_of_data(&header)?;
                Place::Memory(memory, at)
            }
            _ => Place::Body,
        };
        match place {
            Place::Message => self.message.reserve(bytes),
            Place::Body => {
                self.body.clear();
                self.body.reserve(bytes);
            }
            Place::Memory(..) | Place::Nowhere => {}
        }
        let mut partial = Partial {
            header,
            missing: bytes,
            place,
        };
        partial.take(begin, &mut self.message, &mut self.body);
        partial.came(begin.len());
        self.partial = Some(partial);
        Ok(())
    }

    /// So many bytes of a payload are where it goes.
    fn came(&mut self, bytes: usize, context: &mut Context<'_>) -> Result<(), EndReason> {
        let Some(partial) = &mut self.partial else {
            return Ok(());
        };
        partial.came(bytes);
        if partial.missing > 0 {
            return Ok(());
        }
        let Some(Partial { header, place, .. }) = self.partial.take() else {
            return Ok(());
        };
        match (place, header.kind) {
            (Place::Message, _) => {
                let mut message = std::mem::take(&mut self.message);
                let start = message.len() - header.payload_bytes as usize;
                let opened = open(self.opener_for(&header), &header, &mut message[start..]);
                self.message = message;
                // All of it is in `message` already.
                opened.and_then(|()| self.serve(&header, &[], context))
            }
            (Place::Memory(..), FrameKind::Put) => {
                self.put_is_there(&header, context);
                Ok(())
            }
            (Place::Memory(..), _) => self.data_is_there(&header, context.events),
            (Place::Nowhere, _) => Ok(()),
            (Place::Body, _) => {
                let mut body = std::mem::take(&mut self.body);
                let opened = open(self.opener_for(&header), &header, &mut body);
                let served = opened.and_then(|()| self.serve(&header, &body, context));
                // The next one uses it again.
                self.body = body;
                served
            }
        }
    }
}

/// Opens a payload where it is, if it is sealed.
fn open(
    opener: Option<&mut Opener>,
    header: &FrameHeader,
    payload: &mut [u8],
) -> Result<(), EndReason> {
    let opened = opener.map_or(Ok(()), |opener| opener.open(header, payload));
    opened.map_err(|error| corrupt(error.to_string()))
}

/// TX-2.
pub(super) fn check_message(bytes: usize, context: &Context<'_>) -> Result<(), EndReason> {
    let max = context.max_message_bytes;
    match bytes <= max {
        true => Ok(()),
        false => Err(corrupt(format!(
            "a message of {bytes} bytes and more; the limit is {max}"
        ))),
    }
}
