//! One queue pair: how it is set up, and what is posted to it.
//!
//! - RQ-1 memory that a request names stays until the request is completed or the queue pair is destroyed;
//!   the device touches it no more then.
//! - RQ-2 no more is posted than the queues take: the connection counts ([`SENDS`], [`RECEIVES`]).

use super::device::{Domain, Port, made, outcome};
use super::hello::Hello;
use super::options::RdmaOptions;
use super::queue::Queue;
use maser_rdma_sys::*;
use std::io;
use std::mem::zeroed;
use std::ptr::{self, NonNull};
use std::sync::Arc;

/// Requests that may be posted and not completed.
pub(super) const SENDS: usize = 64;
/// Receives that are posted.
pub(super) const RECEIVES: usize = super::connection::CREDITS as usize + 4;
/// Completions that a queue pair can have.
pub(super) const COMPLETIONS: usize = SENDS + RECEIVES;
/// Reads and atomics of a peer that are served at once, if the device can.
const READS: u8 = 16;

/// See the module's page.
pub(super) struct Pair {
    queue: Arc<Queue>,
    qp: NonNull<ibv_qp>,
    /// Bytes that may travel in a request.
    pub(super) inline_bytes: usize,
}

// SAFETY: calls of the library may come from any thread; a pair is used by who has it.
unsafe impl Send for Pair {}

impl Drop for Pair {
    fn drop(&mut self) {
        // SAFETY: made by the library, and destroyed once.
        unsafe { self.domain().verbs.ibv_destroy_qp(self.qp.as_ptr()) };
    }
}

/// Memory of a request: an address, its bytes, and the key of its registration.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub(super) address: u64,
    pub(super) bytes: u32,
    pub(super) key: u32,
}

/// What is posted.
#[derive(Clone, Copy)]
pub(super) enum Operation {
    /// To a receive of the peer, with a word.
    Send(u32),
    /// To memory of the peer.
    Write { address: u64, key: u32 },
    /// The same, and a receive of the peer tells it the word.
    WriteAndTell { address: u64, key: u32, word: u32 },
    /// From memory of the peer.
    Read { address: u64, key: u32 },
    /// To a word of the peer.
    FetchAdd { address: u64, key: u32, add: u64 },
}

/// How it is posted.
#[derive(Clone, Copy, Default)]
pub(super) struct How {
    /// Its completion is told, and with it that of all before it.
    pub(super) is_told: bool,
    /// The memory is copied when it is posted.
    pub(super) is_inline: bool,
    /// It begins after all reads and atomics before it are done.
    pub(super) is_fenced: bool,
}

impl Pair {
    /// A queue pair that takes receives; its completions come to `queue`, which has room for them.
    pub(super) fn new(queue: &Arc<Queue>, port: &Port, options: &RdmaOptions) -> io::Result<Self> {
        // What a device cannot have inline it says by refusing all.
        let wanted = [options.inline_bytes, 64, 0];
        let mut made = wanted.iter().map(|bytes| Self::create(queue, *bytes));
        let mut pair = made.next().unwrap_or_else(|| unreachable!("three sizes"));
        for other in made {
            if pair.is_ok() {
                break;
            }
            pair = other;
        }
        let pair = pair?;
        // SAFETY: all zero is a state of it, of which the mask names what counts.
        let mut attributes: ibv_qp_attr = unsafe { zeroed() };
        attributes.qp_state = IBV_QPS_INIT;
        attributes.port_num = port.number;
        attributes.qp_access_flags =
            IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC;
        let mask = IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS;
        pair.modify(&mut attributes, mask)?;
        Ok(pair)
    }

    fn create(queue: &Arc<Queue>, inline_bytes: u32) -> io::Result<Self> {
        let domain = queue.domain();
        let mut wanted = ibv_qp_init_attr {
            qp_context: ptr::null_mut(),
            send_cq: queue.cq(),
            recv_cq: queue.cq(),
            srq: ptr::null_mut(),
            cap: ibv_qp_cap {
                max_send_wr: SENDS as u32,
                max_recv_wr: RECEIVES as u32,
                max_send_sge: 1,
                max_recv_sge: 1,
                max_inline_data: inline_bytes,
            },
            qp_type: IBV_QPT_RC,
            sq_sig_all: 0,
        };
        // SAFETY: the domain and the queue live, and are kept.
        let qp = made(unsafe {
            domain
                .verbs
                .ibv_create_qp(domain.pd.as_ptr(), &raw mut wanted)
        })?;
        Ok(Self {
            queue: queue.clone(),
            qp,
            inline_bytes: wanted.cap.max_inline_data as usize,
        })
    }

    pub(super) fn domain(&self) -> &Arc<Domain> {
        self.queue.domain()
    }

    pub(super) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// What peers name it by.
    pub(super) fn number(&self) -> u32 {
        // SAFETY: the queue pair lives.
        unsafe { self.qp.as_ref().qp_num }
    }

    /// Reads and atomics that it serves at once.
    pub(super) fn reads(&self) -> u8 {
        let attributes = &self.domain().attributes;
        attributes.max_qp_rd_atom.clamp(1, READS.into()) as u8
    }

    fn modify(&self, attributes: &mut ibv_qp_attr, mask: u32) -> io::Result<()> {
        // SAFETY: the queue pair lives.
        outcome(unsafe {
            let verbs = self.domain().verbs;
            verbs.ibv_modify_qp(self.qp.as_ptr(), attributes, mask as i32)
        })
    }

    /// Connects it to the peer's: from now on it receives, and may send.
    pub(super) fn connect(
        &self,
        port: &Port,
        options: &RdmaOptions,
        first_packet: u32,
        peer: &Hello,
    ) -> io::Result<()> {
        // SAFETY: as in `new`.
        let mut attributes: ibv_qp_attr = unsafe { zeroed() };
        attributes.qp_state = IBV_QPS_RTR;
        attributes.path_mtu = peer.mtu.min(port.mtu).into();
        attributes.dest_qp_num = peer.queue_pair;
        attributes.rq_psn = peer.first_packet;
        attributes.max_dest_rd_atomic = self.reads();
        // 0.64 ms; not used while credits are right.
        attributes.min_rnr_timer = 12;
        attributes.ah_attr.dlid = peer.lid;
        attributes.ah_attr.port_num = port.number;
        if port.is_global {
            attributes.ah_attr.is_global = 1;
            attributes.ah_attr.grh.dgid.raw = peer.gid;
            attributes.ah_attr.grh.sgid_index = port.gid.index as u8;
            attributes.ah_attr.grh.hop_limit = 64;
        }
        let mask = IBV_QP_STATE
            | IBV_QP_AV
            | IBV_QP_PATH_MTU
            | IBV_QP_DEST_QPN
            | IBV_QP_RQ_PSN
            | IBV_QP_MAX_DEST_RD_ATOMIC
            | IBV_QP_MIN_RNR_TIMER;
        self.modify(&mut attributes, mask)?;
        attributes.qp_state = IBV_QPS_RTS;
        attributes.timeout = options.retry_exponent();
        attributes.retry_cnt = 7;
        // For ever.
        attributes.rnr_retry = 7;
        attributes.sq_psn = first_packet;
        attributes.max_rd_atomic = self.reads().min(peer.reads.max(1));
        let mask = IBV_QP_STATE
            | IBV_QP_TIMEOUT
            | IBV_QP_RETRY_CNT
            | IBV_QP_RNR_RETRY
            | IBV_QP_SQ_PSN
            | IBV_QP_MAX_QP_RD_ATOMIC;
        self.modify(&mut attributes, mask)
    }

    /// Posts a request.
    ///
    /// # Safety
    /// RQ-1, for `part`; inline ones need it until this returns. It is written by reads and atomics.
    #[inline]
    pub(super) unsafe fn post(
        &self,
        id: u64,
        operation: Operation,
        part: Option<Part>,
        how: How,
    ) -> io::Result<()> {
        let mut sge = ibv_sge {
            addr: part.map_or(0, |part| part.address),
            length: part.map_or(0, |part| part.bytes),
            lkey: part.map_or(0, |part| part.key),
        };
        // SAFETY: all zero is a request; the list and the request live here, and are copied.
        unsafe {
            let mut request: ibv_send_wr = zeroed();
            request.wr_id = id;
            request.sg_list = &raw mut sge;
            request.num_sge = i32::from(part.is_some());
            let flag = |is_set, flag| if is_set { flag } else { 0 };
            request.send_flags = flag(how.is_told, IBV_SEND_SIGNALED)
                | flag(how.is_inline, IBV_SEND_INLINE)
                | flag(how.is_fenced, IBV_SEND_FENCE);
            let at = |address, key| ibv_send_wr__bindgen_ty_2__bindgen_ty_1 {
                remote_addr: address,
                rkey: key,
            };
            match operation {
                Operation::Send(word) => {
                    request.opcode = IBV_WR_SEND_WITH_IMM;
                    request.__bindgen_anon_1.imm_data = word.to_be();
                }
                Operation::Write { address, key } => {
                    request.opcode = IBV_WR_RDMA_WRITE;
                    request.wr.rdma = at(address, key);
                }
                Operation::WriteAndTell { address, key, word } => {
                    request.opcode = IBV_WR_RDMA_WRITE_WITH_IMM;
                    request.__bindgen_anon_1.imm_data = word.to_be();
                    request.wr.rdma = at(address, key);
                }
                Operation::Read { address, key } => {
                    request.opcode = IBV_WR_RDMA_READ;
                    request.wr.rdma = at(address, key);
                }
                Operation::FetchAdd { address, key, add } => {
                    request.opcode = IBV_WR_ATOMIC_FETCH_AND_ADD;
                    request.wr.atomic = ibv_send_wr__bindgen_ty_2__bindgen_ty_2 {
                        remote_addr: address,
                        compare_add: add,
                        swap: 0,
                        rkey: key,
                    };
                }
            }
            let mut bad = ptr::null_mut();
            outcome(post_send(self.qp.as_ptr(), &raw mut request, &raw mut bad))
        }
    }

    /// Posts a receive.
    ///
    /// # Safety
    /// RQ-1, for `part`, which is written.
    #[inline]
    pub(super) unsafe fn receive(&self, id: u64, part: Part) -> io::Result<()> {
        let mut sge = ibv_sge {
            addr: part.address,
            length: part.bytes,
            lkey: part.key,
        };
        let mut request = ibv_recv_wr {
            wr_id: id,
            next: ptr::null_mut(),
            sg_list: &raw mut sge,
            num_sge: 1,
        };
        let mut bad = ptr::null_mut();
        // SAFETY: the contract; the list and the request live here, and are copied.
        outcome(unsafe { post_recv(self.qp.as_ptr(), &raw mut request, &raw mut bad) })
    }
}
