//! What a transport can do, and how much of it.
//!
//! Everything in [`Transport`](crate::Transport) works everywhere; a capability says that the device
//! does it rather than the peer's loop. Callers and tests ask for capabilities, never for a transport's
//! name.

use bitflags::bitflags;

bitflags! {
    /// See the module's page.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Capabilities: u32 {
        /// Puts need nothing of the peer's core.
        const PUT = 1;
        /// Gets need nothing of the peer's core.
        const GET = 1 << 1;
        /// Atomics need nothing of the peer's core.
        const ATOMIC = 1 << 2;
        /// Atomics are atomic with the CPU's own at the peer, not only with those of this transport.
        const ATOMIC_WITH_CPU = 1 << 3;
        /// Endpoints of other hosts can be connected to.
        const BETWEEN_HOSTS = 1 << 4;
        /// Endpoints of other processes of this host can be connected to.
        const BETWEEN_PROCESSES = 1 << 5;
        /// A thread can sleep until something happens ([`Transport::wait`](crate::Transport::wait)).
        const EVENTS = 1 << 6;
        /// The bytes of large messages are not copied by a CPU on the way.
        const ZERO_COPY = 1 << 7;
        /// What travels is protected against change on the way.
        const INTEGRITY = 1 << 8;
        /// A request for a region of the peer that is gone, or shorter, fails alone. Without it the
        /// connection ends with the request.
        const REGION_ERRORS_ARE_ALONE = 1 << 9;
    }
}

/// How much of each; set when the transport is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the longest message.
    pub max_message_bytes: usize,
    /// Bytes of the longest put or get.
    pub max_region_bytes: usize,
    /// Requests of one endpoint that may be under way at once; one more is refused as
    /// [`Full`](crate::Refusal::Full).
    pub max_under_way: usize,
    /// Endpoints that may be there at once.
    pub max_endpoints: usize,
}
