//! Single-producer, single-consumer rings: as many values to a line as fit, with the count that
//! publishes them on the same line.
//!
//! ```text
//! line (64-byte aligned)
//! byte  0  written   u64, messages sent when this line was last written to. Written by the
//!                    sender, read by the receiver
//! byte  8  values    as many as fit: 56 of 1 byte, 7 of 8, 1 of 29 to 56 (from byte 16 on if T
//!                    is 16-byte aligned); a larger value has several lines of its own
//!
//! head line (128-byte aligned)
//! byte  0  head      u64, messages received. Written by the receiver, read by the sender
//!                    only when its own copy says full
//!
//! state line         the two "gone" flags, written once each; every core keeps a shared copy
//! ```
//!
//! With `n` values to a line, message k lives in line `k / n & mask`, place `k % n`; both ends keep
//! a cursor and never divide. Positions start at 0 and never wrap in practice (2^64). There is no
//! line of positions between sender and receiver: the line that brings the values brings the news
//! of them, so a message costs one line handed over, and a burst a line for every `n`.
//!
//! - CH-1 message k belongs to the receiver while its line's `written > k` and `head <= k`; its
//!   place belongs to the sender, for message k + (places of the ring), once `head > k`.
//! - CH-2 `written` is stored Release after the values are written; pairs with the Acquire loads
//!   in `Receiver::{is_ready, refresh}`. It grows from lap to lap, and when it is beyond the end
//!   of a line as the receiver counts, the whole line is there.
//! - CH-3 `head` is stored Release after the values are moved out; pairs with the Acquire load in
//!   `Sender::refresh`. The sender writes message k only once `head + capacity > k`.
//! - CH-4 `sender_gone` is stored Release after the last send; a receiver that sees it (Acquire)
//!   looks at the line once more before it says `Closed`, so nothing sent is lost.
//! - CH-5 what neither end took is dropped with the ring: from `head` on, as far as `written` goes.
//!
//! Model: `tests/loom_spsc.rs`. Conformance: `channel_suite!`.

mod line;
mod lines;
mod receiver;
mod ring;
mod sender;

pub use line::{LineReceiver, LineSender, line_channel};
pub use receiver::Receiver;
pub use ring::channel;
pub use sender::Sender;
