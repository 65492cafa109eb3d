//! What one row of the report measures: a test, its sizes, and how much of it.

use clap::ValueEnum;
use maser_transport::Limits;
use serde::{Deserialize, Serialize};

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Test {
    /// A message there, and one back.
    SendLat,
    /// Messages, as many as can be.
    SendBw,
    /// A put with a signal there, and one back.
    PutLat,
    /// Puts, as many as can be.
    PutBw,
    /// A get.
    GetLat,
    /// Gets, as many as can be.
    GetBw,
    /// An addition to a word of the peer.
    AtomicLat,
    /// Additions to a word of the peer, as many as can be.
    AtomicBw,
}

impl Test {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::SendLat => "send-lat",
            Self::SendBw => "send-bw",
            Self::PutLat => "put-lat",
            Self::PutBw => "put-bw",
            Self::GetLat => "get-lat",
            Self::GetBw => "get-bw",
            Self::AtomicLat => "atomic-lat",
            Self::AtomicBw => "atomic-bw",
        }
    }

    /// Whether one request follows the other only when that is done.
    pub fn is_latency(self) -> bool {
        matches!(
            self,
            Self::SendLat | Self::PutLat | Self::GetLat | Self::AtomicLat
        )
    }

    /// Whether it adds to words.
    pub fn is_atomic(self) -> bool {
        matches!(self, Self::AtomicLat | Self::AtomicBw)
    }

    /// Whether messages are what is sent.
    pub fn is_of_messages(self) -> bool {
        matches!(self, Self::SendLat | Self::SendBw)
    }
}

/// How much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Amount {
    /// So many requests.
    Iterations(u64),
    /// For so long.
    Nanoseconds(u64),
}

/// See the module's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// What is done.
    pub test: Test,
    /// Bytes of each request.
    pub bytes: u64,
    /// How much is measured.
    pub amount: Amount,
    /// Requests before, which are not measured.
    pub warmup: u64,
    /// Requests under way at once.
    pub depth: u64,
    /// Whether both ends do it at once.
    pub is_bidirectional: bool,
    /// Whether who waits sleeps.
    pub sleeps: bool,
}

/// The longest request that is measured: memory is taken for two of them.
pub const MAX_BYTES: u64 = 1 << 30;
/// The most requests of one row.
pub const MAX_ITERATIONS: u64 = 1 << 40;
/// The longest time of one row: a day.
pub const MAX_NANOSECONDS: u64 = 86_400_000_000_000;
/// The most requests under way.
pub const MAX_DEPTH: u64 = 1 << 16;

/// A row that cannot be measured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSpec {
    #[error("{test} of {bytes} bytes, and {of} has room for {max}; give a smaller --size")]
    TooLong {
        test: &'static str,
        bytes: u64,
        max: u64,
        of: &'static str,
    },
    #[error("{what} of {given}, which is not between 1 and {max}; give another {option}")]
    Range {
        what: &'static str,
        option: &'static str,
        given: u64,
        max: u64,
    },
    #[error("words are 8 bytes, and {bytes} were asked for; leave --size out of tests of atomics")]
    Word { bytes: u64 },
    #[error(
        "{test} has one request under way, so both directions at once say nothing; use a test that ends \
         in -bw"
    )]
    OneWay { test: &'static str },
}

impl Spec {
    /// Whether it can be measured with a transport of these limits (QP-2).
    ///
    /// # Errors
    /// [`BadSpec`].
    pub fn check(&self, limits: &Limits) -> Result<(), BadSpec> {
        let test = self.test.name();
        let max = match self.test.is_of_messages() {
            true => limits.max_message_bytes,
            false => limits.max_region_bytes,
        } as u64;
        for (max, of) in [(max, "the transport"), (MAX_BYTES, "the test")] {
            if self.bytes > max {
                let bytes = self.bytes;
                return Err(BadSpec::TooLong {
                    test,
                    bytes,
                    max,
                    of,
                });
            }
        }
        if self.test.is_atomic() && self.bytes != 8 {
            return Err(BadSpec::Word { bytes: self.bytes });
        }
        if self.is_bidirectional && self.test.is_latency() {
            return Err(BadSpec::OneWay { test });
        }
        let amount = match self.amount {
            Amount::Iterations(count) => (
                "a number of iterations",
                "--iterations",
                count,
                MAX_ITERATIONS,
            ),
            Amount::Nanoseconds(ns) => (
                "a duration in nanoseconds",
                "--duration",
                ns,
                MAX_NANOSECONDS,
            ),
        };
        let depth = ("a depth", "--depth", self.depth, MAX_DEPTH);
        // From 0 on.
        let warmup = (
            "a warm-up",
            "--warmup",
            self.warmup.saturating_add(1),
            MAX_ITERATIONS,
        );
        for (what, option, given, max) in [amount, depth, warmup] {
            if !(1..=max).contains(&given) {
                return Err(BadSpec::Range {
                    what,
                    option,
                    given,
                    max,
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        max_message_bytes: 1 << 20,
        max_region_bytes: 1 << 40,
        max_under_way: 64,
        max_endpoints: 2,
    };

    pub const GOOD: Spec = Spec {
        test: Test::SendBw,
        bytes: 64,
        amount: Amount::Iterations(10),
        warmup: 0,
        depth: 8,
        is_bidirectional: false,
        sleeps: false,
    };

    #[test]
    fn a_row_of_a_command_line_can_be_measured() {
        assert_eq!(GOOD.check(&LIMITS), Ok(()));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_what_is_wrong_with_it() {
        let bad = [
            (
                Spec {
                    bytes: (1 << 20) + 1,
                    ..GOOD
                },
                "give a smaller --size",
            ),
            (
                Spec {
                    test: Test::PutBw,
                    bytes: u64::MAX,
                    ..GOOD
                },
                "give a smaller --size",
            ),
            (
                Spec {
                    test: Test::AtomicLat,
                    ..GOOD
                },
                "words are 8 bytes",
            ),
            (
                Spec {
                    test: Test::GetLat,
                    is_bidirectional: true,
                    ..GOOD
                },
                "ends in -bw",
            ),
            (
                Spec {
                    amount: Amount::Iterations(0),
                    ..GOOD
                },
                "--iterations",
            ),
            (
                Spec {
                    amount: Amount::Nanoseconds(u64::MAX),
                    ..GOOD
                },
                "--duration",
            ),
            (Spec { depth: 0, ..GOOD }, "--depth"),
            (
                Spec {
                    depth: MAX_DEPTH + 1,
                    ..GOOD
                },
                "--depth",
            ),
            (
                Spec {
                    warmup: u64::MAX,
                    ..GOOD
                },
                "--warmup",
            ),
        ];
        for (spec, wanted) in bad {
            let error = spec.check(&LIMITS).expect_err("it makes no sense");
            assert!(error.to_string().contains(wanted), "{error}");
        }
    }
}
