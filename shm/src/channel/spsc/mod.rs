//! Single-producer, single-consumer rings.
//!
//! | | carries the news of a value | for |
//! |---|---|---|
//! | [`channel`] | a position on a line of its own, read once for many values | rates |
//! | [`line_channel`] | the line the value is on | latency |
//!
//! Both have the same steps. A value that comes alone costs `line_channel` one line handed over
//! and `channel` two; values that come faster than they are taken cost `channel` less, because its
//! receiver reads whole lines that the sender has long left.

mod line;
mod positions;

pub use line::{LineReceiver, LineSender, line_channel};
pub use positions::{Receiver, Sender, channel};
