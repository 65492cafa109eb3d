//! What travels between hosts: frames.
//!
//! A frame is a header of 64 bytes ([`header`]) and a payload whose length the header says. Nothing is
//! allocated for a payload before its header was checked.
//!
//! A connection begins with a [`handshake`] of two messages in which both ends prove that they have the job's
//! secret ([`identity`]). What follows is sealed ([`seal`]): control messages whenever there is a secret, all
//! frames as [`Integrity`] asks for.

pub mod handshake;
pub mod header;
pub mod identity;
pub mod seal;

pub use header::{
    BadFrame, CallId, Flags, FrameHeader, FrameKind, HEADER_BYTES, MAX_PAYLOAD_BYTES,
};
pub use identity::{Identity, Integrity, Role, Secret};
