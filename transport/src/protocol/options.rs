//! How the protocols are set: limits, times, and which length travels which way.

use super::packet::MAX_BODY_BYTES;
use crate::capabilities::Limits;
use crate::endpoint::TransportKind;
use std::time::Duration;

/// From which length on a payload travels another way, and in what parts.
///
/// | length | way |
/// |---|---|
/// | to [`SHORT_BYTES`](super::packet::SHORT_BYTES) | short: in the line of its packet, no allocation |
/// | below `rendezvous_bytes` | eager: copied behind the packet's header, in fragments if it must |
/// | from there on | rendezvous: its region is lent, and the receiver fetches it |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Bytes of a payload from which on its region is lent.
    pub rendezvous_bytes: usize,
    /// Bytes of the longest packet's body; a longer payload goes in fragments.
    pub fragment_bytes: usize,
    /// Bytes of one get of a fetch.
    pub chunk_bytes: usize,
    /// Bytes of one fetch that are under way at once.
    pub window_bytes: usize,
}

impl Thresholds {
    /// Those for transports of `kind`, as near as its limits allow.
    ///
    /// Of loopback, sm and tcp they were measured: a call whose payload is copied, and one whose payload is
    /// lent (2 cores of Zen 4, tcp on the loopback address; medians in us, eager and rendezvous). `maser bench
    /// transport/protocol` measures anew, in its rows `NAME/eager/SIZE` and `NAME/rendezvous/SIZE`.
    ///
    /// | length | loopback | sm | tcp |
    /// |---|---|---|---|
    /// | 4 KiB | 2.5, 5.2 | 1.7, 3.4 | 10, 32 |
    /// | 64 KiB | 4.4, 12 | 12, 17 | 32, 60 |
    /// | 256 KiB | 14, 165 | 41, 186 | 63, 216 |
    /// | 1 MiB | 26, 111 | 154, 220 | 152, 161 |
    ///
    /// Beyond that they differ by less than the machine does, and what is lent needs no room at the receiver
    /// before it is asked for. Of rdma and ucx nothing was measured: no device was there. A device that reads
    /// memory itself is worth it where a copy costs more than a round trip, some us.
    #[must_use]
    pub fn of(kind: TransportKind, limits: &Limits) -> Self {
        let rendezvous_bytes = match kind {
            TransportKind::Rdma => 32 << 10,
            TransportKind::Loopback
            | TransportKind::Sm
            | TransportKind::Tcp
            | TransportKind::Ucx => 1 << 20,
        };
        Self {
            rendezvous_bytes,
            fragment_bytes: 1 << 20,
            chunk_bytes: 1 << 20,
            window_bytes: 4 << 20,
        }
        .within(limits)
    }

    /// As near as a transport's limits allow.
    #[must_use]
    pub fn within(self, limits: &Limits) -> Self {
        // Behind the header and the length in all there must be room for a byte.
        let room = limits.max_message_bytes.saturating_sub(32).max(1);
        let chunk_bytes = self.chunk_bytes.clamp(1, limits.max_region_bytes.max(1));
        Self {
            rendezvous_bytes: self.rendezvous_bytes.max(1),
            fragment_bytes: self.fragment_bytes.clamp(1, room.min(MAX_BODY_BYTES - 8)),
            chunk_bytes,
            window_bytes: self.window_bytes.max(chunk_bytes),
        }
    }
}

/// How a [`Protocol`](super::Protocol) is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// A number that no earlier life of this end had, and not 0: part of the names of its calls.
    pub epoch: u64,
    /// Which way what travels.
    pub thresholds: Thresholds,
    /// Calls and messages of one peer that may be here and not taken, or not answered.
    pub window_messages: u64,
    /// Bytes of them.
    pub window_bytes: u64,
    /// Bytes of the longest payload, whatever way it travels.
    pub max_payload_bytes: u64,
    /// Bytes of lent payloads that are fetched at once, or fetched and not taken; one is fetched in any
    /// case.
    pub max_fetched_bytes: u64,
    /// How long a session outlives its connection.
    pub resume: Duration,
    /// The pause before the first attempt to connect again; each later one is twice as long, up to
    /// `back_off_max`.
    pub back_off: Duration,
    /// The longest pause between two attempts.
    pub back_off_max: Duration,
    /// How long a peer may take for the first word on a connection.
    pub greeting: Duration,
    /// How long what came may stay without being acknowledged.
    pub ack_delay: Duration,
}

/// What every end lets come before it says what may: a session has to begin somewhere.
pub(super) const FIRST_MESSAGES: u64 = 16;
/// Bytes of that.
pub(super) const FIRST_BYTES: u64 = 64 << 10;

impl Options {
    /// The defaults over a transport of this kind and these limits.
    #[must_use]
    pub fn new(epoch: u64, kind: TransportKind, limits: &Limits) -> Self {
        Self {
            epoch,
            thresholds: Thresholds::of(kind, limits),
            window_messages: 1024,
            window_bytes: 16 << 20,
            max_payload_bytes: 1 << 30,
            max_fetched_bytes: 256 << 20,
            resume: Duration::from_secs(30),
            back_off: Duration::from_millis(10),
            back_off_max: Duration::from_secs(1),
            greeting: Duration::from_secs(5),
            ack_delay: Duration::from_millis(1),
        }
    }

    /// The first that is wrong.
    ///
    /// # Errors
    /// [`BadOptions`].
    pub(super) fn check(&self) -> Result<(), BadOptions> {
        let bad = |field, problem| Err(BadOptions { field, problem });
        match self {
            Self { epoch: 0, .. } => bad("epoch", "it is 0, which names no life"),
            Self {
                window_messages, ..
            } if *window_messages < FIRST_MESSAGES => bad(
                "window_messages",
                "it is less than the 16 that all let come",
            ),
            Self { window_bytes, .. } if *window_bytes < FIRST_BYTES => bad(
                "window_bytes",
                "it is less than the 64 KiB that all let come",
            ),
            Self {
                thresholds,
                window_bytes,
                ..
            } if thresholds.rendezvous_bytes as u64 > *window_bytes => {
                bad("rendezvous_bytes", "it is more than window_bytes")
            }
            _ => Ok(()),
        }
    }
}

/// An option that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the protocol cannot be set so: {field}: {problem}")]
pub struct BadOptions {
    /// Which.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

pub(super) fn ns(of: Duration) -> u64 {
    u64::try_from(of.as_nanos()).unwrap_or(u64::MAX)
}
