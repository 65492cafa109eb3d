//! What is in a frame of a recording.
//!
//! An input is its entry and, behind it, the bytes of its values; everything else is its entry alone.
//! Runs are counted from the first of the recording.

use crate::error::{Cause, Error, text_of};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The digest of a value's bytes.
pub(crate) type Digest = [u8; 16];

/// What a step gave in one run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Given {
    /// A value; the first 16 bytes of the BLAKE3 hash of its encoding.
    Value([u8; 16]),
    /// An error, in words that do not say where it ran: its functions, and the message.
    Error(String),
    /// A value that could not be encoded, and why.
    NotEncodable(String),
}

impl Given {
    pub(crate) fn value(bytes: &[u8]) -> Self {
        let mut digest: Digest = [0; 16];
        digest.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
        Self::Value(digest)
    }

    /// The words of an error that are the same in every process and on every machine.
    pub(crate) fn error(error: &Error) -> Self {
        let Error::Task(task) = error else {
            return Self::Error(error.to_string());
        };
        let mut words = String::new();
        for (at, frame) in task.chain().iter().enumerate() {
            words.push_str(if at > 0 { " <- " } else { "" });
            words.push_str(&frame.function);
            if let Some(argument) = frame.argument {
                words.push_str(&format!(" argument {argument}"));
            }
        }
        words.push_str(": ");
        words.push_str(&match task.cause() {
            Cause::Returned(error) => text_of(&**error),
            Cause::Panicked { message, .. } => format!("panicked: {message}"),
            Cause::Runtime(error) => error.to_string(),
        });
        Self::Error(words)
    }
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(digest) => {
                write!(f, "a value with digest ")?;
                digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Self::Error(text) => write!(f, "the error \"{text}\""),
            Self::NotEncodable(problem) => write!(f, "a value that cannot be encoded ({problem})"),
        }
    }
}

/// One entry.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Entry {
    Input {
        run: u64,
        /// Since the recording began.
        at_ns: u64,
        /// Of each input, the bytes of its value.
        bytes: Vec<u32>,
    },
    Step {
        run: u64,
        node: u32,
        given: Given,
    },
    /// The recording was ended, after so many runs.
    End {
        runs: u64,
    },
}

/// The inputs of a run as bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inputs {
    /// All of them, one behind the other.
    pub(crate) values: Vec<u8>,
    /// Bytes of each.
    pub(crate) bytes: Vec<u32>,
}

/// The body of an entry with what lies behind it.
pub(crate) fn body(entry: &Entry, behind: &[u8]) -> Vec<u8> {
    match postcard::to_extend(entry, Vec::with_capacity(64 + behind.len())) {
        Ok(mut body) => {
            body.extend_from_slice(behind);
            body
        }
        Err(error) => unreachable!("numbers and text can be encoded: {error}"),
    }
}

/// The entry of a body and what lies behind it, or what is wrong.
pub(crate) fn read(body: &[u8]) -> Result<(Entry, &[u8]), String> {
    let (entry, rest) = postcard::take_from_bytes::<Entry>(body).map_err(|e| e.to_string())?;
    let expected: u64 = match &entry {
        Entry::Input { bytes, .. } => bytes.iter().map(|bytes| u64::from(*bytes)).sum(),
        Entry::Step { .. } | Entry::End { .. } => 0,
    };
    if rest.len() as u64 != expected {
        return Err(format!(
            "{} bytes lie behind it, not {expected}",
            rest.len()
        ));
    }
    Ok((entry, rest))
}
