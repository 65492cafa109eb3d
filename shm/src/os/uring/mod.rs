//! The io_uring ring: system calls that are queued in memory and answered there.
//!
//! | file | holds |
//! |---|---|
//! | [`refusal`] | whether this process may have rings, and why not |
//! | [`buffer`] | memory that an operation owns while it is under way |
//! | [`op`] | what can be asked for, one file for each family of operations |
//! | [`ring`] | the ring: push, submit, take completions, cancel |
//! | [`probe`] | what the kernel's rings can do |
//! | [`waker`] | ends the sleep of a ring's owner from any thread |
//! | [`batch`] | many reads or writes of borrowed memory at once, waited for to the end |
//!
//! ```
//! # #[cfg(not(miri))] {
//! use std::sync::Arc;
//! use maser_shm::os::uring::{Buffer, FileOperation, Operation, Ring};
//!
//! let Ok(mut ring) = Ring::new(8) else {
//!     return Ok(()); // a sandbox refuses it: the error says which, and file_io goes on without
//! };
//! let file = Arc::new(std::fs::File::open("/proc/self/exe")?.into());
//! let read = FileOperation::Read { file, buffer: Buffer::new(64), offset: 0 };
//! ring.try_push(7, Operation::File(read)).expect("the ring has room");
//! let completion = ring.wait()?.expect("one is under way");
//! assert_eq!((completion.tag, completion.result?), (7, 64));
//! assert_eq!(&completion.operation.into_buffer().unwrap()[1..4], b"ELF");
//! # }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! - UR-1 an operation under way owns its buffer and its file; both come back with the completion,
//!   whether it succeeded, failed or was cancelled. Until then nobody else can reach them.
//! - UR-2 a ring that is dropped cancels what is under way and waits for it. Where the kernel no
//!   longer lets it (a filter that came later), what is under way leaks: memory that the kernel may
//!   write is never freed.
//! - UR-3 a batch lends borrowed memory to the kernel and does not return, nor unwind, before the
//!   kernel has given all of it back; a panic in between ends the process.
//! - UR-4 at most `depth` operations are under way. Completions that find no room are kept by the kernel
//!   until there is some.

pub mod batch;
pub mod buffer;
pub mod op;
pub mod probe;
pub mod refusal;
pub mod ring;
pub mod waker;

pub use buffer::Buffer;
pub use op::file::FileOperation;
pub use op::socket::SocketOperation;
pub use op::{Completion, Operation};
pub use probe::{Probed, probed, waiting_available};
pub use refusal::{Refusal, availability};
pub use ring::{OperationId, Ring};
pub use waker::RingWaker;
