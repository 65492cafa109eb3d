//! Single-producer, single-consumer rings.
//!
//! `line_channel` keeps sequence and value of a message on one line: a message of up to 48 bytes
//! costs one line handed over. It is the ring for latency.

mod line;

pub use line::{LineReceiver, LineSender, line_channel};
