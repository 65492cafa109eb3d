//! A payload that did not come whole: what is still missing, and where it goes.
//!
//! It is received straight to where it belongs: the memory of a region, once its header was checked against
//! what is registered (MR-3), or a message behind what came of it before. Only what has to be opened first
//! is collected by itself.
//!
//! - TK-1 memory that a payload goes to is kept until the payload is whole, or the connection is over.
#![allow(unsafe_code, reason = "receives into memory of regions, by address")]

use super::super::sys::{self, Part};
use crate::memory::Memory;
use crate::wire::FrameHeader;
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::Arc;

/// See the module's page.
pub(super) struct Partial {
    pub(super) header: FrameHeader,
    pub(super) missing: usize,
    pub(super) place: Place,
}

/// Where a payload goes.
pub(super) enum Place {
    /// A message.
    Message,
    /// By itself, to be opened.
    Body,
    /// Memory of a region, of which so many bytes from here on are there for it.
    Memory(Arc<dyn Memory>, usize),
    /// Nowhere: its request has failed.
    Nowhere,
}

impl Partial {
    /// Receives what is missing to where it goes, and what is behind it into up to `limit` bytes of `rest`.
    /// `message` and `body` are those of the connection. How many of the missing bytes came.
    ///
    /// # Errors
    /// Of the system; [`io::ErrorKind::WouldBlock`] if there is nothing.
    pub(super) fn receive(
        &self,
        socket: BorrowedFd<'_>,
        (message, body): (&mut Vec<u8>, &mut Vec<u8>),
        rest: &mut Vec<u8>,
        limit: usize,
    ) -> io::Result<usize> {
        let buffer = match &self.place {
            Place::Message => message,
            Place::Body => body,
            Place::Memory(memory, at) => {
                let first = Part {
                    // SAFETY: the range was checked, and `missing` bytes of it are left.
                    start: unsafe { memory.start().add(*at) },
                    bytes: self.missing,
                };
                // SAFETY: TK-1, and MR-2: nobody has references to it. It is writable (checked).
                let came = unsafe { sys::receive_both(socket, first, rest, limit) }?;
                return Ok(came.min(self.missing));
            }
            Place::Nowhere => {
                rest.clear();
                let limit = self.missing.min(rest.capacity());
                let came = sys::receive_more(socket, rest, limit)?;
                rest.clear();
                return Ok(came);
            }
        };
        buffer.reserve(self.missing);
        let first = Part {
            start: NonNull::from(buffer.spare_capacity_mut()).cast(),
            bytes: self.missing,
        };
        // SAFETY: the buffer has the capacity.
        let came = unsafe { sys::receive_both(socket, first, rest, limit) }?;
        let here = came.min(self.missing);
        // SAFETY: so many bytes were written behind those that were there.
        unsafe { buffer.set_len(buffer.len() + here) };
        Ok(here)
    }

    /// Takes bytes that came with others to where they go.
    pub(super) fn take(&self, bytes: &[u8], message: &mut Vec<u8>, body: &mut Vec<u8>) {
        match &self.place {
            Place::Message => message.extend_from_slice(bytes),
            Place::Body => body.extend_from_slice(bytes),
            Place::Memory(memory, at) => match memory.write(*at, bytes) {
                Ok(()) => {}
                Err(error) => unreachable!("the range was checked: {error}"),
            },
            Place::Nowhere => {}
        }
    }

    /// So many bytes are there.
    pub(super) fn came(&mut self, bytes: usize) {
        self.missing -= bytes;
        if let Place::Memory(_, at) = &mut self.place {
            *at += bytes;
        }
    }
}
