//! Rings between two threads, or two processes: values move, nothing is encoded, nothing waits.
//!
//! | module | from | to | line |
//! |---|---|---|---|
//! | [`spsc`] | one | one | `channel`: positions apart from the values, for rates; `line_channel`: news and value on one line, for latency |
//! | [`call_slot`] | one | one, and back | question and answer in turn on one line |
//! | [`mpsc`] | many | one | a `line_channel` for each sender |
//! | [`broadcast`] | one | many, every value to each | sequence and value on one line |
//!
//! Every step is a bounded `try_*` function; `is_ready` and `is_answered` are a load or two, and what
//! they looked at in vain can be kept as a [`Probe`].
//! Waiting (how long to spin, when to park, which deadline) is a policy around them, which is
//! also what lets loom explore every step.
//!
//! A ring lies on the heap, where any value can move through it, or in control memory, where values
//! are [`Plain`](crate::control::Plain) and the other end may be another process that is killed at
//! any instruction or writes anything ([`Place`]). The ends of the latter are opened one by one
//! (`..._in`), are told from outside that the other process has died (`peer_died`), and say why a
//! channel has ended (`fault`).
//!
//! The two ends of a channel are two types made together. They are `Send`, not `Clone` and not
//! `Sync`; `&mut self` on every step is what makes "single producer, single consumer" a fact of
//! the type system. Either end may be dropped at any time: the other sees `is_closed`, what was
//! sent before is still given out, and every value left is dropped exactly once. An end has lines
//! of its own (64-byte alignment), so that it is no matter what it is kept beside.

pub mod broadcast;
pub mod call_slot;
mod ends;
mod error;
mod held;
#[cfg(not(loom))]
mod mapped;
pub mod mpsc;
mod place;
mod prefetch;
mod probe;
mod shape;
mod slots;
pub mod spsc;

pub use error::{Abandoned, ChannelError, PeerFault, TryCallError, TryRecvError, TrySendError};
#[cfg(not(loom))]
pub use place::Shared;
pub use place::{Heap, Place};
pub use probe::Probe;
pub use shape::Shape;

// loom's Arc carries the happens-before edge of the last drop into the model.
#[cfg(loom)]
use loom::sync::Arc;
#[cfg(not(loom))]
use std::sync::Arc;

/// Bytes of one cache line, the unit in which cores hand memory to each other.
pub const LINE_BYTES: usize = 64;
