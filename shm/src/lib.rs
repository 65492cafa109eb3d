//! Lock-free channels, memory pools, wake-ups and system calls under maser.
//!
//! Lowest crate of the workspace: it knows nothing of tasks, actors or graphs.
//!
//! | module | holds |
//! |---|---|
//! | [`sync`] | the only door to atomics and cells (std, or loom under `cfg(loom)`), and the protocols built on them alone: mailbox, completion, event, deque |
//! | [`os`] | every system call of the crate |
//! | [`channel`] | rings between two threads or two processes: `spsc`, `call_slot`, `mpsc`, `broadcast` |
//! | [`control`] | memory that several processes write: where rings and events between them lie |
//! | [`arena`] | pools of small blocks that cost no system call and no lock when warm |
//! | [`liveness`] | who is alive, and who is known to be dead |
//! | [`store`] | memory for objects that several processes see |
//! | [`tensor`] | types, shapes and strides of numbers in memory, and DLPack |
#![deny(unsafe_code)]

pub mod arena;
pub mod channel;
pub mod control;
pub mod liveness;
pub mod os;
pub mod store;
pub mod sync;
#[cfg(not(loom))]
pub mod tensor;
