//! What the ends tell each other: control messages, one value each (QP-1).
//!
//! ```text
//! client          server
//! Begin     ->              a spec, and the client's region
//!           <-    Ready     the server's region; or Refused
//! (the test; both count messages)
//! Finish    ->              how much the client did
//!           <-    Done      the server has them all, and is done with its own; or Refused
//! ```

use super::spec::Spec;
use maser_transport::Message;
use serde::{Deserialize, Serialize};

/// Changes with everything that is said here.
pub const VERSION: u32 = 1;

/// The longest that an end says: a region's wire form and a few numbers.
const MAX_BYTES: usize = 8 << 10;

/// See the module's page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Saying {
    /// A row is to be measured.
    Begin {
        /// [`VERSION`].
        version: u32,
        /// Which.
        spec: Spec,
        /// The wire form of the client's region.
        region: Vec<u8>,
    },
    /// It can begin.
    Ready {
        /// The wire form of the server's region.
        region: Vec<u8>,
    },
    /// It cannot, or what came of it is wrong.
    Refused {
        /// Why.
        why: String,
    },
    /// The client has done its part.
    Finish {
        /// Messages that it sent.
        sent: u64,
        /// Requests that it made, messages or others.
        requests: u64,
    },
    /// So has the server, and it has everything.
    Done(Totals),
}

/// What the server did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Messages that came.
    pub received: u64,
    /// Messages that it sent.
    pub sent: u64,
    /// Requests that it made, messages or others.
    pub requests: u64,
    /// How long those of its stream took, in nanoseconds; 0 if it had none.
    pub elapsed_ns: u64,
}

/// Bytes that say nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSaying {
    #[error("{bytes} bytes, and no saying is longer than {MAX_BYTES}")]
    TooLong { bytes: usize },
    #[error("{bytes} bytes that cannot be read: {problem}")]
    Unreadable { bytes: usize, problem: String },
    #[error("a region that is of no use: {problem}")]
    Region { problem: String },
    #[error("version {theirs} of the dialogue, and this is version {VERSION}")]
    Version { theirs: u32 },
}

impl Saying {
    /// Its name, for errors.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Begin { .. } => "begin",
            Self::Ready { .. } => "ready",
            Self::Refused { .. } => "refused",
            Self::Finish { .. } => "finish",
            Self::Done(_) => "done",
        }
    }

    /// As it travels.
    pub fn to_message(&self) -> Message {
        match postcard::to_stdvec(self) {
            Ok(bytes) => bytes.into(),
            Err(error) => unreachable!("numbers and bytes: {error}"),
        }
    }

    /// What [`to_message`](Self::to_message) made.
    ///
    /// # Errors
    /// [`BadSaying`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadSaying> {
        if bytes.len() > MAX_BYTES {
            return Err(BadSaying::TooLong { bytes: bytes.len() });
        }
        let unreadable = |problem: String| BadSaying::Unreadable {
            bytes: bytes.len(),
            problem,
        };
        let (saying, rest) = postcard::take_from_bytes::<Self>(bytes)
            .map_err(|error| unreadable(error.to_string()))?;
        if !rest.is_empty() {
            return Err(unreadable(format!("{} bytes too many", rest.len())));
        }
        match saying {
            Self::Begin { version, .. } if version != VERSION => {
                Err(BadSaying::Version { theirs: version })
            }
            saying => Ok(saying),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::tests::GOOD;
    use super::*;

    #[test]
    fn what_is_said_is_heard() {
        let sayings = [
            Saying::Begin {
                version: VERSION,
                spec: GOOD,
                region: vec![1; 100],
            },
            Saying::Ready { region: vec![] },
            Saying::Refused { why: "no".into() },
            Saying::Finish {
                sent: u64::MAX,
                requests: 0,
            },
            Saying::Done(Totals::default()),
        ];
        for saying in sayings {
            let message = saying.to_message();
            assert_eq!(Saying::from_bytes(&message), Ok(saying));
            for cut in 0..message.len() {
                let error = Saying::from_bytes(&message[..cut]).expect_err("a part");
                assert!(matches!(error, BadSaying::Unreadable { .. }), "{error}");
            }
            let longer = [&message[..], b"x"].concat();
            Saying::from_bytes(&longer).expect_err("something behind it");
        }
    }

    #[test]
    fn another_version_and_endless_sayings_are_refused() {
        let other = Saying::Begin {
            version: VERSION + 1,
            spec: GOOD,
            region: vec![],
        };
        let theirs = VERSION + 1;
        assert_eq!(
            Saying::from_bytes(&other.to_message()),
            Err(BadSaying::Version { theirs })
        );
        let bytes = MAX_BYTES + 1;
        assert_eq!(
            Saying::from_bytes(&vec![0; bytes]),
            Err(BadSaying::TooLong { bytes })
        );
    }
}
