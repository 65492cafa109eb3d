//! Frames that nobody on the way can read, change, repeat, reorder or leave out.
//!
//! AES-256-GCM: the payload is encrypted where it lies, the first 48 bytes of the header are authenticated
//! with it, and the tag goes into the header. The nonce is the number of the frame, counted at both ends
//! and sent nowhere, so a frame that is not the next one does not open.
//!
//! - SE-1 which frames are sealed follows from the handshake alone ([`Sealed`]): one whose flag says otherwise
//!   is refused, so nobody on the way can take the seal off.

use super::header::{Flags, FrameHeader, FrameKind, HEADER_BYTES};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, Tag, UnboundKey};
use std::fmt;

/// Bytes of the header before its tag.
const BOUND_BYTES: usize = HEADER_BYTES - 16;

/// Which frames of a connection are sealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sealed {
    /// None: the ends share no secret.
    #[default]
    Nothing,
    /// Control messages.
    Control,
    /// All.
    Everything,
}

impl Sealed {
    /// Whether frames of `kind` are.
    #[must_use]
    #[inline]
    pub fn covers(self, kind: FrameKind) -> bool {
        match self {
            Self::Nothing => false,
            Self::Control => kind == FrameKind::Control,
            Self::Everything => true,
        }
    }
}

/// A key for frames in one direction, and how many there were.
struct Counter {
    key: LessSafeKey,
    frames: u64,
}

/// The end that sends.
pub struct Sealer(Counter);

/// The end that receives.
pub struct Opener(Counter);

/// A frame that is not the next one of its peer, as that sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "frame {number} is not what the peer sent as its next: it was changed, repeated or made up"
)]
pub struct NotAuthentic {
    /// Its number among those that came.
    pub number: u64,
}

impl Counter {
    fn new(key: &[u8; 32]) -> Self {
        match UnboundKey::new(&AES_256_GCM, key) {
            Ok(key) => Self {
                key: LessSafeKey::new(key),
                frames: 0,
            },
            Err(_) => unreachable!("keys of this cipher have 32 bytes"),
        }
    }

    fn next(&mut self) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        nonce[4..].copy_from_slice(&self.frames.to_be_bytes());
        // 2^64 frames take centuries; no nonce is used twice.
        self.frames += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}

fn bound(header: &FrameHeader) -> [u8; BOUND_BYTES] {
    let mut bound = [0; BOUND_BYTES];
    bound.copy_from_slice(&header.to_wire()[..BOUND_BYTES]);
    bound
}

impl Sealer {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(Counter::new(key))
    }

    /// Encrypts the payload where it is, and puts the flag and the tag into the header.
    pub fn seal(&mut self, header: &mut FrameHeader, payload: &mut [u8]) {
        debug_assert_eq!(header.payload_bytes as usize, payload.len());
        header.flags |= Flags::SEALED;
        let (nonce, aad) = (self.0.next(), Aad::from(bound(header)));
        match self.0.key.seal_in_place_separate_tag(nonce, aad, payload) {
            Ok(tag) => header.tag.copy_from_slice(tag.as_ref()),
            Err(_) => unreachable!("frames are shorter than the cipher's limit"),
        }
    }
}

impl Opener {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(Counter::new(key))
    }

    /// Decrypts the payload where it is. After an error nothing more can be opened.
    ///
    /// # Errors
    /// [`NotAuthentic`].
    pub fn open(&mut self, header: &FrameHeader, payload: &mut [u8]) -> Result<(), NotAuthentic> {
        let number = self.0.frames;
        let (nonce, aad) = (self.0.next(), Aad::from(bound(header)));
        let tag = Tag::from(header.tag);
        let opened = self
            .0
            .key
            .open_in_place_separate_tag(nonce, aad, tag, payload, 0..);
        opened.map(|_| ()).map_err(|_| NotAuthentic { number })
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} frames sealed", self.0.frames)
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} frames opened", self.0.frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(sealer: &mut Sealer, payload: &[u8]) -> (FrameHeader, Vec<u8>) {
        let mut header = FrameHeader::new(FrameKind::Message, payload.len() as u32);
        header.offset = 7;
        let mut payload = payload.to_vec();
        sealer.seal(&mut header, &mut payload);
        (header, payload)
    }

    fn ends() -> (Sealer, Opener) {
        (Sealer::new(&[3; 32]), Opener::new(&[3; 32]))
    }

    #[test]
    fn frames_open_in_their_order() {
        let (mut sealer, mut opener) = ends();
        for text in [&b""[..], b"one", &[7; 70_000]] {
            let (header, mut payload) = sealed(&mut sealer, text);
            assert!(text.is_empty() || payload != text);
            assert_eq!(opener.open(&header, &mut payload), Ok(()));
            assert_eq!(payload, text);
        }
    }

    #[test]
    fn a_frame_that_is_repeated_or_left_out_does_not_open() {
        let (mut sealer, mut opener) = ends();
        let (header, payload) = sealed(&mut sealer, b"once");
        assert_eq!(opener.open(&header, &mut payload.clone()), Ok(()));
        let again = opener.open(&header, &mut payload.clone());
        assert_eq!(again, Err(NotAuthentic { number: 1 }));

        let (mut sealer, mut opener) = ends();
        sealed(&mut sealer, b"lost");
        let (header, mut payload) = sealed(&mut sealer, b"next");
        let out_of_turn = opener.open(&header, &mut payload);
        assert_eq!(out_of_turn, Err(NotAuthentic { number: 0 }));
    }

    #[test]
    fn a_bit_that_changes_anywhere_is_seen() {
        let (header, payload) = sealed(&mut ends().0, b"payload");
        let whole = [&header.to_wire()[..], &payload].concat();
        for bit in 0..whole.len() * 8 {
            let mut changed = whole.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let (header, payload) = changed.split_first_chunk_mut().expect("a header");
            let Ok(header) = FrameHeader::from_wire(header) else {
                continue;
            };
            assert!(ends().1.open(&header, payload).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn another_key_opens_nothing() {
        let (header, mut payload) = sealed(&mut ends().0, b"payload");
        let other = Opener::new(&[4; 32]).open(&header, &mut payload);
        assert_eq!(other, Err(NotAuthentic { number: 0 }));
    }
}
