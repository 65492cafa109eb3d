//! Transports: how bytes get from one process or node to another.
//!
//! A [`Transport`] is one end, owned by one scheduler, and everything it does happens in its
//! [`poll`](Transport::poll). Work is given to it as [`WorkRequest`]s, which own their memory while they
//! are under way; what happened comes back as [`Event`]s.
//!
//! | module | holds |
//! |---|---|
//! | [`transport`] | [`Transport`], what can be asked of it, and what it answers |
//! | [`endpoint`] | [`Endpoint`], [`Address`], [`TransportKind`]: names of ends |
//! | [`event`] | [`Event`], [`Completion`], and why an endpoint ended |
//! | [`request`] | [`WorkRequest`], and why one is refused or fails |
//! | [`message`] | [`Message`]: bytes, inline or shared |
//! | [`memory`] | [`MemoryRegion`] (local) and [`RemoteRegion`] (its wire form) |
//! | [`capabilities`] | what a transport can do, and how much of it |
//! | [`wire`] | frames: what travels between hosts |
//! | [`sm`] | processes of one host, through shared memory |
//! | [`select`] | which of them for which pair of ends |
//! | [`protocol`] | above all of them: calls, messages and fetches, over sessions that outlive connections |
//! | [`driver`] | a transport goes on while its scheduler is stuck in user code |
//! | [`tcp`] | TCP between hosts |
//! | [`rdma`] | RDMA verbs |
//! | [`ucx`] | whatever UCX finds, beside TCP |
//! | [`loopback`] | the reference: ends in one process |
#![deny(unsafe_code)]

pub mod capabilities;
pub mod driver;
pub mod endpoint;
pub mod event;
pub mod loopback;
pub mod memory;
pub mod message;
pub mod protocol;
pub mod rdma;
mod regions;
pub mod request;
pub mod select;
pub mod sm;
mod table;
pub mod tcp;
pub mod transport;
pub mod ucx;
pub mod wire;

pub use capabilities::{Capabilities, Limits};
pub use endpoint::{Address, Endpoint, TransportKind};
pub use event::{Completion, EndReason, Event};
pub use memory::{
    Access, HeapMemory, LocalSlice, Memory, MemoryRegion, RemoteRegion, RemoteSlice, SharedBytes,
};
pub use message::Message;
pub use request::{MAX_CONTROL_BYTES, PutSource, Refusal, Refused, Token, WorkError, WorkRequest};
pub use transport::{Transport, Waker};
