//! What two schedulers of different processes send each other: messages in lines of a ring.
//!
//! ```text
//! word 0  bits 0..8 kind   8..16 flag   32..64 bytes of the body
//! word 1  first operand
//! word 2  second operand
//! word 3  the first 32 bytes of the body; the others follow in frames of 56 bytes each
//! ```
//!
//! A call with small arguments, and its answer, are one line each.
//!
//! - FR-1 every word of a frame is input: an unknown kind, or a body longer than [`BODY_BYTES_MAX`],
//!   ends the link with an error that names the peer. Memory for a body grows with what has come.

/// What a line carries.
pub(crate) type Frame = [u64; 7];

/// Bytes of a body that travel in the first frame.
pub(crate) const INLINE_BYTES: usize = 32;
/// Bytes of a body in each further frame.
const FRAME_BYTES: usize = size_of::<Frame>();
/// Bytes of the longest body.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 30;

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Runs a task: `a` ticket, `b` function; the arguments.
    Task = 1,
    /// Calls a method: `a` ticket, `b` function and actor; the arguments.
    Call = 2,
    /// Makes an actor: `a` its number, `b` the class; options and arguments.
    Create = 3,
    /// Completes a call: `a` ticket, flag 1 for an error; the outcome.
    Answer = 4,
    /// The last handle of an actor is gone: its number and how many handles came (`a`, two halves),
    /// and how many calls were sent (`b`).
    Drop = 5,
    /// The caller of ticket `a` has given up on it.
    Cancel = 7,
    /// Asks for the value `a`, which is to come.
    Ask = 8,
    /// The value `a`, flag 1 for an error; the outcome.
    Value = 9,
    /// The next item of the stream of call `a`, flag 1 for an error; the item.
    Item = 10,
    /// The consumer of the stream of call `a` has room for `b` more, or with flag 1 wants none.
    More = 11,
    /// The task of ticket `a` waits for something: its worker has room for another one. With flag 1 it
    /// lends its CPUs out, with flag 2 it has them back.
    Blocked = 15,
    /// `a` references to arrays go back; which ones.
    Release = 12,
    /// Makes an actor again: `a` ticket, `b` class and number; what it was made of and has become.
    Restore = 13,
    /// The state of actor `a` after call `b`, or flag 1 and why there is none.
    Checkpoint = 14,
    /// Asks for something rare (`errand`): `a` the number of the answer, if there is to be one.
    Errand = 16,
}

/// Kinds by their numbers.
const KINDS: [Option<Kind>; 17] = {
    let mut by_number = [None; 17];
    let mut at = 0;
    while at < Kind::ALL.len() {
        by_number[Kind::ALL[at] as usize] = Some(Kind::ALL[at]);
        at += 1;
    }
    by_number
};

impl Kind {
    const ALL: [Self; 15] = [
        Self::Task,
        Self::Call,
        Self::Create,
        Self::Answer,
        Self::Drop,
        Self::Cancel,
        Self::Ask,
        Self::Value,
        Self::Item,
        Self::More,
        Self::Blocked,
        Self::Release,
        Self::Restore,
        Self::Checkpoint,
        Self::Errand,
    ];

    #[inline(always)]
    fn of(byte: u8) -> Option<Self> {
        KINDS.get(byte as usize).copied().flatten()
    }
}

/// A message without its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) flag: u8,
    pub(crate) a: u64,
    pub(crate) b: u64,
}

/// Why what a peer sent is no message (FR-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Garbled {
    #[error("a message of unknown kind {0}")]
    Kind(u8),
    #[error("a message of {0} bytes, and at most {BODY_BYTES_MAX} are allowed")]
    Length(u32),
}

/// Hands the frames of a message out, in their order.
#[inline]
pub(crate) fn frames(head: Head, body: &[u8], mut push: impl FnMut(Frame)) {
    debug_assert!(body.len() <= BODY_BYTES_MAX);
    let (first, rest) = body.split_at(body.len().min(INLINE_BYTES));
    let mut frame = [0; 7];
    frame[0] = head.kind as u64 | u64::from(head.flag) << 8 | (body.len() as u64) << 32;
    frame[1] = head.a;
    frame[2] = head.b;
    fill(&mut frame[3..], first);
    push(frame);
    for part in rest.chunks(FRAME_BYTES) {
        let mut frame = [0; 7];
        fill(&mut frame, part);
        push(frame);
    }
}

/// Puts bytes into words, in memory order.
#[inline(always)]
fn fill(words: &mut [u64], bytes: &[u8]) {
    let (whole, rest) = bytes.as_chunks::<8>();
    for (word, eight) in words.iter_mut().zip(whole) {
        *word = u64::from_ne_bytes(*eight);
    }
    if let Some(word) = words.get_mut(whole.len()) {
        // Byte by byte: a copy of so few is longer to call than to make.
        let mut eight = [0; 8];
        eight
            .iter_mut()
            .zip(rest)
            .for_each(|(to, from)| *to = *from);
        *word = u64::from_ne_bytes(eight);
    }
}

/// The bytes of words, in memory order.
#[inline(always)]
fn bytes_of<const WORDS: usize>(words: [u64; WORDS]) -> [[u8; 8]; WORDS] {
    words.map(u64::to_ne_bytes)
}

/// The body of a message that is one frame.
pub(crate) struct Short {
    bytes: [[u8; 8]; INLINE_BYTES / 8],
    count: usize,
}

impl Short {
    /// The bytes.
    #[inline(always)]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes.as_flattened()[..self.count.min(INLINE_BYTES)]
    }
}

/// A message that is whole.
pub(crate) struct Whole {
    pub(crate) head: Head,
    /// Its body; that of a longer one is in [`Assembly::body`] until the next frame.
    pub(crate) short: Option<Short>,
}

/// A message that is coming in.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    head: Option<Head>,
    body: Vec<u8>,
    left: usize,
}

impl Assembly {
    /// Adds the next frame; gives the message once it is whole.
    ///
    /// # Errors
    /// [`Garbled`] (FR-1); the link is of no use then.
    #[inline(always)]
    pub(crate) fn push(&mut self, frame: Frame) -> Result<Option<Whole>, Garbled> {
        if self.head.is_some() {
            return Ok(self.go_on(frame));
        }
        let [first, a, b, start @ ..] = frame;
        let kind = (first & 0xff) as u8;
        let length = (first >> 32) as u32;
        let kind = Kind::of(kind).ok_or(Garbled::Kind(kind))?;
        let count = length as usize;
        let flag = (first >> 8) as u8;
        let head = Head { kind, flag, a, b };
        let bytes = bytes_of(start);
        if count <= INLINE_BYTES {
            let short = Some(Short { bytes, count });
            return Ok(Some(Whole { head, short }));
        }
        if count > BODY_BYTES_MAX {
            return Err(Garbled::Length(length));
        }
        self.head = Some(head);
        self.body.clear();
        self.body.extend_from_slice(bytes.as_flattened());
        self.left = count - INLINE_BYTES;
        Ok(None)
    }

    /// Adds a frame of a longer message.
    fn go_on(&mut self, frame: Frame) -> Option<Whole> {
        let bytes = bytes_of(frame);
        let part = self.left.min(FRAME_BYTES);
        self.body.extend_from_slice(&bytes.as_flattened()[..part]);
        self.left -= part;
        let head = match self.left {
            0 => self.head.take()?,
            _ => return None,
        };
        Some(Whole { head, short: None })
    }

    /// Whether the next frame begins a message: its memory may be changed for other memory.
    pub(crate) fn is_between_messages(&self) -> bool {
        self.head.is_none()
    }

    /// The bytes of the message that [`push`](Self::push) gave.
    pub(crate) fn body(&mut self) -> &mut Vec<u8> {
        &mut self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CALL: Head = Head {
        kind: Kind::Call,
        flag: 7,
        a: 3,
        b: u64::MAX,
    };

    proptest! {
        #[test]
        fn messages_come_out_as_they_went_in(lengths in prop::collection::vec(0_usize..300, 1..8)) {
            let bodies: Vec<Vec<u8>> = lengths
                .iter()
                .map(|length| (0..*length).map(|at| (at * 7 + length) as u8).collect())
                .collect();
            let mut sent = Vec::new();
            for body in &bodies {
                frames(CALL, body, |frame| sent.push(frame));
            }
            let mut assembly = Assembly::default();
            let mut came = Vec::new();
            for frame in sent {
                if let Some(whole) = assembly.push(frame).expect("it is well formed") {
                    prop_assert_eq!(whole.head, CALL);
                    came.push(match &whole.short {
                        Some(short) => short.bytes().to_vec(),
                        None => assembly.body().clone(),
                    });
                }
            }
            prop_assert_eq!(came, bodies);
        }

        #[test]
        fn any_words_are_taken_or_refused(words in prop::collection::vec(any::<Frame>(), 1..64)) {
            let mut assembly = Assembly::default();
            for frame in words {
                if assembly.push(frame).is_err() {
                    break;
                }
                prop_assert!(assembly.body().len() <= 64 * FRAME_BYTES);
            }
        }
    }

    #[test]
    fn small_arguments_are_one_line() {
        let mut count = 0;
        frames(CALL, &[1; INLINE_BYTES], |_| count += 1);
        assert_eq!(count, 1);
    }
}
