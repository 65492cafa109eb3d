//! The word that comes with what a peer sends: what it is, and how many receives are posted again.
//!
//! ```text
//! bit  0  credits  8 bits  receives that were used up by messages and signals, and are posted again
//! bit  8  kind     2 bits
//! bit 10  more     the message goes on
//! bit 11  0
//! ```
//! A signal has a word of its own, and brings no credits.

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A message, or a part of one; takes a credit.
    Message { has_more: bool },
    /// Nothing but credits.
    Credits,
    /// The last thing that is sent.
    Close,
}

/// See the module's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) credits: u8,
}

const MORE: u32 = 1 << 10;

impl Frame {
    pub(super) fn to_word(self) -> u32 {
        let kind = match self.kind {
            Kind::Message { has_more: false } => 0,
            Kind::Message { has_more: true } => MORE,
            Kind::Credits => 1 << 8,
            Kind::Close => 2 << 8,
        };
        kind | u32::from(self.credits)
    }

    pub(super) fn from_word(word: u32) -> Option<Self> {
        let kind = match word & !0xff {
            0 => Kind::Message { has_more: false },
            MORE => Kind::Message { has_more: true },
            0x100 => Kind::Credits,
            0x200 => Kind::Close,
            _ => return None,
        };
        Some(Self {
            kind,
            credits: word as u8,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_as_it_went_and_others_are_none() {
        let mut frames = 0;
        for word in (0..1 << 16).chain([1 << 31, u32::MAX]) {
            if let Some(frame) = Frame::from_word(word) {
                assert_eq!(frame.to_word(), word);
                frames += 1;
            }
        }
        assert_eq!(frames, 4 * 256);
    }
}
