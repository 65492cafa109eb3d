//! UCX, found at run time: whatever it has between two processes, beside a connection of TCP.
//!
//! Each end has a context and a worker of UCX, and a [`TcpTransport`]. A connection
//! begins with one of TCP, which says who is admitted, carries control messages (keys of regions among
//! them), and hears of the death of the peer. The ends tell each other the addresses of their workers there;
//! then messages are active messages of UCX, and puts, gets and atomics its own.
//!
//! | file | holds |
//! |---|---|
//! | `sys/` | the calls of UCX |
//! | `control` | what the ends say to each other beside UCX |
//! | `connection` | what a connection has; frames in their order |
//! | `peers` | workers of others: one endpoint of UCX for all connections with one |
//! | `exports` | regions that are registered here, and who uses them |
//! | `work` | requests begin, and are done |
//! | `serve` | what comes |
//! | `offers` | long messages over endpoints of UCX that cannot be given up |
//! | `endings` | connections end |
//!
//! - UX-7 one endpoint of UCX serves all connections of two workers, so that which of them UCX pairs is of
//!   no account. It stays while the peer is there, for the next connection.
//! - UX-8 a put is complete, and its signal leaves, when a flush behind it is done. A fence is a flush that
//!   what is posted later waits for.
//! - UX-9 who closes a connection says how many frames it sent, when UCX has taken all of them and puts have
//!   arrived. It waits for no answer: a flush of messages alone would need a poll of the peer. The peer hears
//!   of the end when it has taken those frames out, or of a death if UCX tells that they never come.
//! - UX-10 a connection is told when UCX has made its own way to the peer, and nothing is sent before: its
//!   version 1.13 aborts the process if a peer dies while that is under way and something waits for it.
//!
//! # What is not protected
//! UCX authenticates nobody: whoever reaches the ports that it opens can send it what it likes, and over
//! transports where it emulates puts by messages it can write anywhere. Admission and keys go over the
//! connection beside it, but data has no integrity. It is for networks where only the job's hosts are.
//!
//! # Memory
//! Over shared memory UCX stores directly only into memory that it allocated itself; into all other its version
//! 1.13 puts and gets by messages, which need the peer's poll, and which are some four times as slow for a few
//! bytes. Between processes of one host take the transport `sm`.
//!
//! # Transports of UCX that cannot be given up
//! In its version 1.13, shared memory is one: what is under way with a peer that died stays so. So nothing
//! of a user's is given to UCX over such a transport but for a moment: messages of up to 8 KiB are copied when
//! they are posted, longer ones are got by their receiver (UX-11), and puts and gets of memory that UCX allocated
//! are done when they are posted. The exceptions are what finds the peer's queue full, and puts and gets of all
//! other memory: if the peer dies then, their memory is kept until the end is dropped.
//!
//! # Traps of version 1.13
//! It aborts the process where it meets what it does not expect: besides UX-10, endpoints over a device of soft
//! RoCE (`rxe`) that end while several contexts are in the process. Take the transport `rdma` there.

mod connection;
mod control;
mod endings;
mod exports;
mod offers;
mod options;
mod peers;
mod serve;
mod sys;
mod transport;
mod what;
mod work;

pub use maser_ucx_sys::LoadError;
pub use options::{UcxError, UcxOptions};

use crate::capabilities::Limits;
use crate::endpoint::Endpoint;
use crate::event::{Completion, Event};
use crate::request::{Token, WorkError};
use crate::table::Endpoints;
use crate::tcp::TcpTransport;
use crate::wire::Integrity;
use connection::Connection;
use exports::Exports;
use peers::Peers;
use std::collections::{HashMap, VecDeque};
use sys::Worker;

const LIMITS: Limits = Limits {
    max_message_bytes: 1 << 30,
    max_region_bytes: 1 << 40,
    max_under_way: 64,
    max_endpoints: 1 << 16,
};

/// Bytes of a message that is copied behind the head of its frame: what UCX sends over shared memory by its
/// shortest way, where 100 bytes are head of UCX, head of ours, and message.
const COPIED_BYTES: usize = 76;
/// Bytes of a message that UCX is given whatever its endpoint is, and takes over at once as a rule; longer ones
/// are offered if the endpoint cannot be given up.
const GIVEN_BYTES: usize = 8 << 10;
/// Polls between two looks at the connections beside UCX; one costs a system call.
const POLLS_PER_LOOK: u32 = 1024;
/// Polls that each look there after something was said.
const POLLS_AFTER_WORD: u32 = 4096;
/// Polls that go on before an end is dropped, for what was sent to leave.
const LAST_POLLS: usize = 256;

/// See the module's page.
pub struct UcxTransport {
    worker: Worker,
    /// `None` once it crashed.
    inner: Option<TcpTransport>,
    /// Addressed to who connects.
    worker_address: Vec<u8>,
    connections: Endpoints<Connection>,
    by_inner: HashMap<Endpoint, Endpoint>,
    peers: Peers,
    exports: Exports,
    events: VecDeque<Event>,
    is_between_hosts: bool,
    /// Messages that were offered so far.
    offers: u64,
    polls: u32,
    looks: u32,
}

impl UcxTransport {
    /// Loads UCX, listens, and is there.
    ///
    /// # Errors
    /// [`UcxError`].
    pub fn open(options: UcxOptions) -> Result<Self, UcxError> {
        if let Some(integrity @ (Integrity::Mac | Integrity::Aead)) = options.control.integrity {
            let integrity = match integrity {
                Integrity::Aead => "aead",
                _ => "mac",
            };
            return Err(UcxError::Integrity { integrity });
        }
        let tls = options.tls.as_deref();
        let worker = Worker::open(tls, options.net_devices.as_deref())?;
        let failed = |step, status: sys::Status| UcxError::Open {
            step,
            says: status.to_string(),
            tls: tls.unwrap_or("all").to_owned(),
        };
        let worker_address = worker
            .address()
            .map_err(|status| failed("ucp_worker_get_address", status))?;
        let mut inner = TcpTransport::open(options.control)?;
        let watched = worker
            .event_fd()
            .map_err(|status| failed("ucp_worker_get_efd", status))
            .and_then(|descriptor| {
                inner.watch(descriptor).map_err(|error| UcxError::Open {
                    step: "to watch its descriptor",
                    says: error.to_string(),
                    tls: tls.unwrap_or("all").to_owned(),
                })
            });
        watched?;
        Ok(Self {
            worker,
            inner: Some(inner),
            worker_address,
            connections: Endpoints::new(LIMITS.max_endpoints),
            by_inner: HashMap::new(),
            peers: Peers::default(),
            exports: Exports::new(),
            events: VecDeque::new(),
            is_between_hosts: tls.is_none_or(goes_between_hosts),
            offers: 0,
            polls: 0,
            looks: 0,
        })
    }

    /// The version of UCX, if it is there.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn available() -> Result<String, LoadError> {
        Ok(maser_ucx_sys::load()?.version())
    }

    /// Ends it as the death of its process would: nobody hears a word.
    pub fn abort(mut self) {
        if let Some(inner) = self.inner.take() {
            inner.abort();
        }
    }

    /// What happened next, if nothing waits to be told.
    #[inline]
    fn progress(&mut self) -> Option<Event> {
        if !self.worker.has_news() {
            self.worker.progress();
        }
        self.polls = self.polls.wrapping_add(1);
        let is_due = self.polls.is_multiple_of(POLLS_PER_LOOK);
        if !is_due && let Some(event) = self.next_message() {
            return Some(event);
        }
        if self.worker.has_news() {
            self.take_news();
        }
        if self.exports.has_dropped() {
            self.revoke();
        }
        if is_due || (self.looks > 0 && self.events.is_empty()) {
            self.looks = self.looks.saturating_sub(1);
            self.look();
        }
        self.events.pop_front()
    }

    /// A request is done.
    fn complete(&mut self, endpoint: Endpoint, token: Token, outcome: Result<u64, WorkError>) {
        self.events.push_back(Event::Completed(Completion {
            endpoint,
            token,
            outcome,
        }));
    }
}

/// Whether any of these transports of UCX leaves the host.
fn goes_between_hosts(tls: &str) -> bool {
    const WITHIN: [&str; 10] = [
        "self", "shm", "sm", "mm", "posix", "sysv", "cma", "knem", "xpmem", "loopback",
    ];
    tls.starts_with('^') || tls.split(',').any(|one| !WITHIN.contains(&one.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transports_of_one_host_are_known() {
        for tls in ["shm,self", "self", "posix,cma,self"] {
            assert!(!goes_between_hosts(tls), "{tls}");
        }
        for tls in ["tcp,self", "all", "rc_v,self", "^tcp"] {
            assert!(goes_between_hosts(tls), "{tls}");
        }
    }
}
