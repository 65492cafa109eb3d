//! What comes in: bytes into frames.
//!
//! A payload that is not whole is received straight to where it belongs: those of messages behind what came
//! of the message before, unless they have to be opened first.

use super::super::sys;
use super::{Connection, Context, Stage, corrupt};
use crate::event::EndReason;
use crate::wire::handshake::{ANSWER_BYTES, HELLO_BYTES};
use crate::wire::{Flags, FrameHeader, FrameKind, HEADER_BYTES};
use std::io;
use std::os::fd::AsFd;

impl Connection {
    /// Reads the socket once and serves what came; `None` if there is nothing.
    pub(in crate::tcp) fn read(
        &mut self,
        scratch: &mut Vec<u8>,
        context: &mut Context<'_>,
    ) -> Option<Result<(), EndReason>> {
        let (into, limit) = match self.partial {
            Some((header, missing)) if self.is_straight(&header) => (&mut self.message, missing),
            Some((_, missing)) => (&mut self.body, missing),
            None => {
                scratch.clear();
                // TX-2: of a stranger no more is read than says who it is.
                let limit = match self.stage {
                    Stage::Accepted => HELLO_BYTES - self.inbox.len(),
                    Stage::Greeted(_) => ANSWER_BYTES - self.inbox.len(),
                    _ => scratch.capacity(),
                };
                (&mut *scratch, limit)
            }
        };
        match sys::receive_more(self.socket.as_fd(), into, limit) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => Some(Err(EndReason::PeerGone(error.to_string()))),
            Ok(0) => Some(Err(EndReason::PeerGone(
                "it closed the connection without a word".into(),
            ))),
            Ok(bytes) if self.partial.is_some() => Some(self.came(bytes, context)),
            Ok(_) => Some(self.receive(scratch, context)),
        }
    }

    /// Serves what came.
    fn receive(&mut self, bytes: &[u8], context: &mut Context<'_>) -> Result<(), EndReason> {
        let is_open = matches!(self.stage, Stage::Open | Stage::Closing);
        if !is_open {
            self.inbox.extend_from_slice(bytes);
            self.handshake(context)?;
            let is_open = matches!(self.stage, Stage::Open | Stage::Closing);
            return match is_open {
                true => self.receive(&[], context),
                false => Ok(()),
            };
        }
        let mut inbox = std::mem::take(&mut self.inbox);
        let mut rest = match inbox.is_empty() {
            true => bytes,
            false => {
                inbox.extend_from_slice(bytes);
                &inbox[..]
            }
        };
        while !rest.is_empty() {
            if self.partial.is_some() {
                rest = self.fill(rest, context)?;
                continue;
            }
            let Some((wire, behind)) = rest.split_first_chunk::<HEADER_BYTES>() else {
                break;
            };
            let header =
                FrameHeader::from_wire(wire).map_err(|error| corrupt(error.to_string()))?;
            self.check_seal(&header)?;
            rest = match behind.split_at_checked(header.payload_bytes as usize) {
                Some((payload, behind)) => {
                    self.open_and_serve(&header, payload, context)?;
                    behind
                }
                None => {
                    self.expect(header, context)?;
                    behind
                }
            };
        }
        self.inbox = rest.to_vec();
        Ok(())
    }

    fn open_and_serve(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        context: &mut Context<'_>,
    ) -> Result<(), EndReason> {
        let Some(opener) = self
            .opener
            .as_mut()
            .filter(|_| self.sealed.covers(header.kind))
        else {
            return self.serve(header, payload, context);
        };
        let mut payload = payload.to_vec();
        let opened = opener.open(header, &mut payload);
        opened.map_err(|error| corrupt(error.to_string()))?;
        self.serve(header, &payload, context)
    }

    /// SE-1.
    fn check_seal(&self, header: &FrameHeader) -> Result<(), EndReason> {
        let kind = header.kind;
        match header.flags.contains(Flags::SEALED) == self.sealed.covers(kind) {
            true => Ok(()),
            false => Err(corrupt(format!(
                "a frame of kind {kind:?} that is sealed and should not be, or the other way around"
            ))),
        }
    }

    /// Whether the payload of this frame comes straight to where messages are.
    fn is_straight(&self, header: &FrameHeader) -> bool {
        header.kind == FrameKind::Message && !self.sealed.covers(header.kind)
    }

    /// A payload that comes in parts (TX-2).
    fn expect(&mut self, header: FrameHeader, context: &Context<'_>) -> Result<(), EndReason> {
        let bytes = header.payload_bytes as usize;
        if header.kind == FrameKind::Message {
            check_message(self.message.len() + bytes, context)?;
        }
        match self.is_straight(&header) {
            true => self.message.reserve(bytes),
            false => {
                self.body.clear();
                self.body.reserve(bytes);
            }
        }
        self.partial = Some((header, bytes));
        Ok(())
    }

    /// So many bytes came there.
    fn came(&mut self, bytes: usize, context: &mut Context<'_>) -> Result<(), EndReason> {
        let Some((header, missing)) = self.partial else {
            return Ok(());
        };
        if bytes < missing {
            self.partial = Some((header, missing - bytes));
            return Ok(());
        }
        self.partial = None;
        if self.is_straight(&header) {
            // All of it is in `message` already.
            return self.serve(&header, &[], context);
        }
        let body = std::mem::take(&mut self.body);
        self.open_and_serve(&header, &body, context)
    }

    /// The rest of a payload from `bytes`; what is behind it.
    fn fill<'a>(
        &mut self,
        bytes: &'a [u8],
        context: &mut Context<'_>,
    ) -> Result<&'a [u8], EndReason> {
        let Some((header, missing)) = self.partial else {
            return Ok(bytes);
        };
        let (here, behind) = bytes.split_at(bytes.len().min(missing));
        match self.is_straight(&header) {
            true => self.message.extend_from_slice(here),
            false => self.body.extend_from_slice(here),
        }
        self.came(here.len(), context)?;
        Ok(behind)
    }
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
