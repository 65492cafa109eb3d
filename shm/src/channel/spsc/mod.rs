//! Single-producer, single-consumer rings.
//!
//! | | carries the news of a value | for |
//! |---|---|---|
//! | [`channel`] | a position on a line of its own, read once for many values | rates |
//! | [`line_channel`] | the line the value is on | latency |
//!
//! Both have the same steps. A value that comes alone costs `line_channel` one line handed over
//! and `channel` two; values that come faster than they are taken cost `channel` less, because its
//! receiver reads whole lines that the sender has long left. Round trips of 48 bytes, in round
//! trips of two bare lines: 0.97 against 1.2; one way, u64 by u64: 6.7 and 4.4 ns (2 cores of a
//! Zen 4 guest).
//!
//! A ring of lines is walked through even if it is nearly empty, so for latency its lines should
//! stay in both first-level caches beside everything else: two rings of 64 lines cost 0.97 round
//! trips, two of 256 (32 KiB) 1.45.

mod line;
mod positions;

pub use line::{LineReceiver, LineSender, line_channel};
#[cfg(not(loom))]
pub use line::{line_bytes, line_receiver_in, line_sender_in};
pub use positions::{Receiver, Sender, channel};
#[cfg(not(loom))]
pub use positions::{channel_bytes, receiver_in, sender_in};
