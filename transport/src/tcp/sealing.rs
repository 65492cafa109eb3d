//! Sealing of what leaves one connection, and the buffers for it.
//!
//! - TO-3 a frame is sealed once, when it is about to leave: into a buffer that the next one uses again, or in
//!   the piece that a short one leaves in.

use super::outgoing::Payload;
use crate::wire::seal::{Sealed, Sealer};
use crate::wire::{FrameHeader, FrameKind};

/// Buffers that are kept for the next frames.
const MAX_SPARE: usize = 4;

/// See the module's page.
pub(super) struct Sealing {
    sealer: Sealer,
    sealed: Sealed,
    spare: Vec<Vec<u8>>,
}

impl Sealing {
    pub(super) fn new(sealer: Sealer, sealed: Sealed) -> Self {
        Self {
            sealer,
            sealed,
            spare: Vec::new(),
        }
    }

    pub(super) fn covers(&self, kind: FrameKind) -> bool {
        self.sealed.covers(kind)
    }

    /// The payload of a frame, sealed.
    pub(super) fn payload(&mut self, header: &mut FrameHeader, payload: &Payload) -> Payload {
        let bytes = payload.len();
        let mut buffer = self.spare.pop().unwrap_or_default();
        if buffer.len() < bytes {
            buffer.resize(bytes, 0);
        }
        let to = &mut buffer[..bytes];
        match payload {
            Payload::Bytes(bytes, range) => self.sealer.seal_to(header, &bytes[range.clone()], to),
            payload => {
                payload.copy_to(to);
                self.sealer.seal(header, to);
            }
        }
        Payload::Sealed(buffer, bytes)
    }

    /// Seals it where it is.
    pub(super) fn in_place(&mut self, header: &mut FrameHeader, payload: &mut [u8]) {
        self.sealer.seal(header, payload);
    }

    /// Keeps the buffer of what has left.
    pub(super) fn keep(&mut self, left: Payload) {
        if self.spare.len() < MAX_SPARE
            && let Payload::Sealed(buffer, _) = left
        {
            self.spare.push(buffer);
        }
    }

    /// Gives the buffers back.
    pub(super) fn rest(&mut self) {
        self.spare = Vec::new();
    }
}
