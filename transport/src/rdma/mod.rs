//! RDMA verbs: reliable connected queue pairs of a device (InfiniBand, RoCE), loaded when they are first asked
//! for.
//!
//! Beside every queue pair is a connection of [`TcpTransport`]: who the peer is, the data that queue pairs need
//! of each other, control messages, and the news of a peer's death come by it.
//!
//! One-sided work is done by the devices alone. An address that the peer may not use stops the queue pair, and
//! so ends the connection: [`Capabilities::REGION_ERRORS_ARE_ALONE`] is missing.
//!
//! Completions are polled; [`wait`](crate::Transport::wait) sleeps until the device tells of one (IB-5).
//!
//! Keys of regions are for fabrics of one's own: see `transport/src/rdma/memory.rs`.
//!
//! [`Capabilities::REGION_ERRORS_ARE_ALONE`]: crate::Capabilities::REGION_ERRORS_ARE_ALONE
#![allow(unsafe_code, reason = "a library in C, and memory that devices write")]

mod connection;
mod device;
mod frame;
mod gid;
mod greet;
mod hello;
mod memory;
mod options;
mod pair;
mod queue;
mod slots;
mod transport;

pub use options::{RdmaError, RdmaOptions};

use crate::capabilities::Limits;
use crate::endpoint::Endpoint;
use crate::event::{EndReason, Event};
use crate::request::WorkError;
use crate::table::Endpoints;
use crate::tcp::TcpTransport;
use crate::transport::Transport;
use crate::wire::Integrity;
use connection::{Connection, Context, Stage};
use device::{Domain, Port};
use maser_rdma_sys::*;
use queue::{BATCH, Queues};
use slots::Slots;
use std::collections::{HashMap, VecDeque};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::sync::Arc;

/// Polls of the queues for each look at the connections beside them.
const POLLS_PER_LOOK: u32 = 64;
/// The same while a connection waits for something there.
const POLLS_PER_LOOK_WAITING: u32 = 8;
/// Things that happened beside, and are served at once.
const MAX_BESIDE: usize = 16;
/// Completions that are taken before a connection ends: what a queue can have, and more.
const MAX_DRAINED: usize = 1 << 17;

/// In the number of a request: it is a receive.
const RECEIVE: u64 = 1 << 63;
/// The same: how often the place of its connection was used, and which it is.
const GENERATION_SHIFT: u32 = 32;
const INDEX_SHIFT: u32 = 47;
const GENERATION_MASK: u32 = (1 << (INDEX_SHIFT - GENERATION_SHIFT)) - 1;

/// See the module's page.
pub struct RdmaTransport {
    /// Their queue pairs go before what they use (RQ-1).
    connections: Endpoints<Connection>,
    slots: Slots,
    queues: Queues,
    beside: HashMap<Endpoint, Endpoint>,
    tcp: TcpTransport,
    options: RdmaOptions,
    domain: Arc<Domain>,
    port: Port,
    limits: Limits,
    events: VecDeque<Event>,
    polls: u32,
    /// Something may have happened beside.
    is_due: bool,
    /// Connections that wait for something to happen beside.
    waiting: usize,
    now_ns: u64,
    next_check_ns: u64,
}

impl RdmaTransport {
    /// Opens the device, listens, and is there.
    ///
    /// # Errors
    /// [`RdmaError`].
    pub fn open(options: RdmaOptions) -> Result<Self, RdmaError> {
        let (domain, port) = Domain::open(&options)?;
        let queues = Queues::new(&domain)?;
        let mut tcp = options.tcp.clone();
        if tcp.secret.is_some() {
            tcp.integrity = Some(Integrity::Aead);
        }
        let mut tcp = TcpTransport::open(tcp)?;
        tcp.watch(queues.events())
            .map_err(|error| domain.failed("epoll_ctl", error))?;
        let max_qp = usize::try_from(domain.attributes.max_qp).unwrap_or(0);
        let limits = Limits {
            max_message_bytes: 1 << 30,
            max_region_bytes: 1 << 40,
            max_under_way: 64,
            max_endpoints: max_qp.min(1 << 16),
        };
        Ok(Self {
            connections: Endpoints::new(limits.max_endpoints),
            slots: Slots::new(&domain),
            queues,
            beside: HashMap::new(),
            tcp,
            options,
            domain,
            port,
            limits,
            events: VecDeque::new(),
            polls: 0,
            is_due: true,
            waiting: 0,
            now_ns: 0,
            next_check_ns: 0,
        })
    }

    /// Ends it as the death of its process would: nobody hears a word.
    pub fn abort(self) {
        let Self {
            connections, tcp, ..
        } = self;
        drop(connections);
        tcp.abort();
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.tcp.local_addr()
    }

    /// The device it uses.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.domain.name
    }

    fn progress(&mut self) {
        self.polls = self.polls.wrapping_add(1);
        if self.look() > 0 {
            return;
        }
        let is_waiting = self.waiting > 0 || self.connections.is_empty();
        let between = match is_waiting {
            true => POLLS_PER_LOOK_WAITING,
            false => POLLS_PER_LOOK,
        };
        if self.is_due || self.polls.is_multiple_of(between) {
            self.look_beside();
        }
    }

    /// Serves what the device completed, some of it; how much that was.
    fn look(&mut self) -> usize {
        let mut space = [const { MaybeUninit::uninit() }; BATCH];
        let found = self.queues.poll(&mut space);
        for completion in found {
            self.completed(completion);
        }
        found.len()
    }

    /// Serves what happened beside the queue pairs, some of it.
    fn look_beside(&mut self) {
        self.tcp.look_at_all();
        self.is_due = false;
        for _ in 0..MAX_BESIDE {
            let Some(event) = self.tcp.told() else {
                return;
            };
            self.happened_beside(event);
        }
        self.is_due = true;
    }

    /// One completion.
    fn completed(&mut self, completion: &ibv_wc) {
        let id = completion.wr_id;
        let index = (id & !RECEIVE) >> INDEX_SHIFT;
        let generation = (id >> GENERATION_SHIFT) as u32 & GENERATION_MASK;
        let Some(connection) = self.connections.at_mut(index as usize) else {
            return;
        };
        let endpoint = connection.endpoint;
        // Of a queue pair that is gone.
        if endpoint.generation() & GENERATION_MASK != generation {
            return;
        }
        let number = id as u32;
        let is_receive = id & RECEIVE != 0;
        let is_first = is_receive && connection.stage == Stage::Offered;
        if is_first && completion.status == IBV_WC_SUCCESS {
            self.opened(endpoint);
        }
        let Some(connection) = self.connections.get_mut(endpoint) else {
            return;
        };
        let mut context = Context {
            events: &mut self.events,
            slots: &mut self.slots,
            max_request_bytes: self.port.max_request_bytes as usize,
        };
        let outcome = match (completion.status, is_receive) {
            (IBV_WC_SUCCESS, false) => connection.sent(number, &mut context),
            (IBV_WC_SUCCESS, true) => {
                // SAFETY: a word came with it: what peers send has one, and all its bits are a number.
                let word = u32::from_be(unsafe { completion.__bindgen_anon_1.imm_data });
                let is_signal = completion.opcode == IBV_WC_RECV_RDMA_WITH_IMM;
                let bytes = completion.byte_len as usize;
                connection.received(number as usize, bytes, word, is_signal, &mut context)
            }
            (status, true) => match connection.is_stopped() {
                true => Err(EndReason::Corrupt(format!(
                    "the queue pair stopped ({}): it was asked for memory that may not be used so, or the \
                     device gave up",
                    name_of(status)
                ))),
                false => Ok(()),
            },
            (status, false) => {
                let name = name_of(status);
                let (error, reason) = match status {
                    IBV_WC_REM_ACCESS_ERR | IBV_WC_REM_INV_REQ_ERR | IBV_WC_REM_OP_ERR => {
                        let problem = format!(
                            "its device refused the request ({name}): there is no such region, or no more, \
                             or it allows less"
                        );
                        let reason = EndReason::Corrupt(problem.clone());
                        (WorkError::Region(problem), reason)
                    }
                    IBV_WC_RETRY_EXC_ERR => {
                        let problem = format!("its device does not answer ({name})");
                        let reason = EndReason::PeerGone(problem);
                        (WorkError::Ended(reason.clone()), reason)
                    }
                    _ => {
                        let problem = format!("the queue pair stopped ({name})");
                        let reason = EndReason::Corrupt(problem);
                        (WorkError::Ended(reason.clone()), reason)
                    }
                };
                connection.failed(number, error, &mut context);
                Err(reason)
            }
        };
        match outcome {
            Ok(()) => self.served(endpoint),
            Err(reason) => self.end(endpoint, reason),
        }
    }

    /// A connection got on: whoever was refused may go on, whoever waits for its end is told when.
    fn served(&mut self, endpoint: Endpoint) {
        let max = self.limits.max_under_way;
        let Some(connection) = self.connections.get_mut(endpoint) else {
            return;
        };
        if connection.is_awaited && connection.under_way() <= max / 2 {
            connection.is_awaited = false;
            self.events.push_back(Event::Writable { endpoint });
        }
        if connection.is_closed_by_peer && !connection.is_waiting {
            connection.is_waiting = true;
            self.waiting += 1;
        }
    }

    /// Posts what waits; the connection may be over then.
    fn pump(&mut self, endpoint: Endpoint) {
        let Some(connection) = self.connections.get_mut(endpoint) else {
            return;
        };
        let mut context = Context {
            events: &mut self.events,
            slots: &mut self.slots,
            max_request_bytes: self.port.max_request_bytes as usize,
        };
        match connection.pump(&mut context) {
            Ok(()) => self.served(endpoint),
            Err(reason) => self.end(endpoint, reason),
        }
    }

    /// Serves all that the device has completed: a connection is about to end, and what its peer had sent
    /// comes before that.
    fn drain(&mut self) {
        let mut taken = 0;
        while taken < MAX_DRAINED {
            match self.look() {
                0 => return,
                more => taken += more,
            }
        }
    }

    /// A connection is over.
    fn end(&mut self, endpoint: Endpoint, reason: EndReason) {
        let Some(mut connection) = self.connections.remove(endpoint) else {
            return;
        };
        self.waiting -= usize::from(connection.is_waiting);
        self.beside.remove(&connection.beside);
        if let Some(queue) = connection.tear_down(&mut self.slots) {
            self.queues.leave(&queue, pair::COMPLETIONS);
        }
        connection.fail_all(&reason, &mut self.events);
        if connection.is_known {
            self.events.push_back(Event::Ended { endpoint, reason });
        }
        self.tcp.close(connection.beside);
    }
}

/// What the library calls it.
fn name_of(status: ibv_wc_status) -> String {
    let name = match status {
        IBV_WC_LOC_LEN_ERR => "local length error",
        IBV_WC_LOC_QP_OP_ERR => "local queue pair operation error",
        IBV_WC_LOC_PROT_ERR => "local protection error",
        IBV_WC_WR_FLUSH_ERR => "flushed",
        IBV_WC_LOC_ACCESS_ERR => "local access error",
        IBV_WC_REM_INV_REQ_ERR => "remote invalid request error",
        IBV_WC_REM_ACCESS_ERR => "remote access error",
        IBV_WC_REM_OP_ERR => "remote operation error",
        IBV_WC_RETRY_EXC_ERR => "retries exceeded",
        IBV_WC_RNR_RETRY_EXC_ERR => "receiver not ready",
        IBV_WC_FATAL_ERR => "fatal error",
        IBV_WC_GENERAL_ERR => "general error",
        status => return format!("status {status}"),
    };
    name.into()
}
