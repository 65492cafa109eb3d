//! What travels between hosts.
//!
//! ```text
//! who connects                                   who accepts
//!     hello, 80 bytes                 -------->      a stranger until here
//!                                     <--------      answer, 88 bytes
//!     frame: header, 64 bytes | payload, 0 to 1 MiB | frame | frame ...      both ways, until one says Close
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`handshake`] | hello and answer: what is said, proved, bound and refused |
//! | [`identity`] | who an end is, and what it asks of its peers ([`Integrity`]) |
//! | [`header`] | the header of a frame, and what its fields mean by kind |
//! | [`seal`] | frames that nobody on the way can read or change, and what that costs |
//!
//! - The versions of the handshake and of the header are one number: ends of different versions part in the
//!   handshake, and both can say which the other's was.
//! - Bound by the handshake are version, role, node, job and what integrity is asked for, of both ends.
//! - Control messages are sealed whenever there is a secret, all frames as the stricter of both ends asks for.
//! - Limits: a stranger has a hello and a time; a frame 1 MiB, checked before anything is allocated for it; a
//!   message 1 GiB, which is allocated as it comes; a control message one frame.
//! - Calls have names ([`CallId`]: epoch and sequence), so an answer is found, and a call that comes again is
//!   known for what it is.

pub mod handshake;
pub mod header;
pub mod identity;
pub mod seal;

pub use header::{
    BadFrame, CallId, Flags, FrameHeader, FrameKind, HEADER_BYTES, MAX_PAYLOAD_BYTES,
};
pub use identity::{Identity, Integrity, Role, Secret};
