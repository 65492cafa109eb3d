//! What UCX calls back: arrivals, operations that are done, endpoints that failed.
//!
//! - UX-2 a callback touches the inbox alone, and runs only while a function of UCX does, on the thread
//!   that called it. Nobody here has a reference to the inbox meanwhile.
//! - UX-3 frames are input: their lengths are checked before anything of them is read. What they say is
//!   checked by who takes them out.

use super::slots::Ticket;
use crate::message::Message;
use maser_ucx_sys::{
    UCP_AM_RECV_ATTR_FLAG_RNDV, UCS_INPROGRESS, UCS_OK, Ucp, ucp_am_recv_param_t, ucp_ep_h,
    ucs_status_t,
};
use std::collections::VecDeque;
use std::ffi::c_void;
use std::ptr::NonNull;

/// Bytes before the payload of a frame.
///
/// ```text
/// byte  0  to        u64  the endpoint it is for, as its own transport calls it
/// byte  8  sequence  u32  counts the frames of one direction of a connection, little endian as all
/// byte 12  kind      u32  what it is
/// ```
pub(in crate::ucx) const FRAME_BYTES: usize = 16;

/// What a frame says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ucx) struct FrameHead {
    pub(in crate::ucx) to: u64,
    pub(in crate::ucx) sequence: u32,
    pub(in crate::ucx) kind: u32,
}

impl FrameHead {
    pub(in crate::ucx) fn to_bytes(self) -> [u8; FRAME_BYTES] {
        let mut bytes = [0; FRAME_BYTES];
        bytes[..8].copy_from_slice(&self.to.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[12..].copy_from_slice(&self.kind.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; FRAME_BYTES]) -> Self {
        let (to, rest) = bytes.split_first_chunk().unwrap_or((&[0; 8], &[]));
        let (sequence, rest) = rest.split_first_chunk().unwrap_or((&[0; 4], &[]));
        let kind = rest.first_chunk().unwrap_or(&[0; 4]);
        Self {
            to: u64::from_le_bytes(*to),
            sequence: u32::from_le_bytes(*sequence),
            kind: u32::from_le_bytes(*kind),
        }
    }
}

/// A frame that came.
pub(in crate::ucx) struct Arrival {
    pub(in crate::ucx) head: FrameHead,
    pub(in crate::ucx) body: Body,
}

/// What is behind the head.
pub(in crate::ucx) enum Body {
    /// Its bytes.
    Here(Message),
    /// So many that they are fetched with [`Worker::receive`](super::Worker::receive).
    There(Fetchable),
}

/// The bytes of a frame that are still at the peer. Who drops it instead of fetching them leaves them
/// there until the worker ends.
pub(in crate::ucx) struct Fetchable {
    pub(super) description: NonNull<c_void>,
    pub(in crate::ucx) bytes: usize,
}

/// See the module's page.
pub(super) struct Inbox {
    pub(super) ucp: &'static Ucp,
    pub(super) arrived: VecDeque<Arrival>,
    pub(super) done: VecDeque<(u32, ucs_status_t)>,
    pub(super) failed: VecDeque<(ucp_ep_h, ucs_status_t)>,
    /// The worker ends, and requests under way were freed (UX-5).
    pub(super) is_ending: bool,
}

impl Inbox {
    pub(super) fn new(ucp: &'static Ucp) -> Self {
        Self {
            ucp,
            arrived: VecDeque::new(),
            done: VecDeque::new(),
            failed: VecDeque::new(),
            is_ending: false,
        }
    }
}

/// An operation is done.
///
/// # Safety
/// `ticket` is the one of a slot; UX-2.
unsafe fn done(request: *mut c_void, status: ucs_status_t, ticket: *mut c_void) {
    // SAFETY: tickets live longer than the worker, and so does the inbox; nobody else has a reference
    // to it (UX-2).
    let (ticket, inbox) = unsafe {
        let ticket = &*ticket.cast::<Ticket>();
        (ticket, &mut *ticket.inbox.as_ptr())
    };
    if inbox.is_ending {
        return;
    }
    inbox.done.push_back((ticket.slot, status));
    // SAFETY: UCX gave the request to this callback, which has no more use for it.
    unsafe { inbox.ucp.ucp_request_free(request) };
}

pub(super) unsafe extern "C" fn sent(
    request: *mut c_void,
    status: ucs_status_t,
    ticket: *mut c_void,
) {
    // SAFETY: called by UCX with the ticket of the slot.
    unsafe { done(request, status, ticket) };
}

pub(super) unsafe extern "C" fn received(
    request: *mut c_void,
    status: ucs_status_t,
    _: usize,
    ticket: *mut c_void,
) {
    // SAFETY: called by UCX with the ticket of the slot.
    unsafe { done(request, status, ticket) };
}

pub(super) unsafe extern "C" fn failed(inbox: *mut c_void, ep: ucp_ep_h, status: ucs_status_t) {
    // SAFETY: UX-2.
    let inbox = unsafe { &mut *inbox.cast::<Inbox>() };
    inbox.failed.push_back((ep, status));
}

/// A frame came: its head is what UCX calls the header, or lies before the payload.
pub(super) unsafe extern "C" fn arrived(
    inbox: *mut c_void,
    header: *const c_void,
    header_bytes: usize,
    data: *mut c_void,
    bytes: usize,
    param: *const ucp_am_recv_param_t,
) -> ucs_status_t {
    // SAFETY: UX-2; UCX gives a valid parameter.
    let (inbox, attributes) = unsafe { (&mut *inbox.cast::<Inbox>(), (*param).recv_attr) };
    let is_there = attributes & u64::from(UCP_AM_RECV_ATTR_FLAG_RNDV) != 0;
    if is_there {
        let Some(description) = NonNull::new(data) else {
            return UCS_OK;
        };
        if header_bytes != FRAME_BYTES {
            // Nobody asks for it, so UCX gives it up.
            return UCS_OK;
        }
        // SAFETY: so many bytes of a header are there, of no alignment.
        let head = unsafe { header.cast::<[u8; FRAME_BYTES]>().read_unaligned() };
        inbox.arrived.push_back(Arrival {
            head: FrameHead::from_bytes(&head),
            body: Body::There(Fetchable { description, bytes }),
        });
        return UCS_INPROGRESS;
    }
    let data: &[u8] = match bytes {
        0 => &[],
        // SAFETY: so many bytes are there until the callback returns; they lie in memory of UCX that
        // nobody writes now.
        _ => unsafe { std::slice::from_raw_parts(data.cast(), bytes) },
    };
    let split = match header_bytes {
        0 => data.split_first_chunk(),
        FRAME_BYTES => {
            // SAFETY: as above; bytes have no alignment.
            Some((unsafe { &*header.cast::<[u8; FRAME_BYTES]>() }, data))
        }
        _ => None,
    };
    // What is no frame is of nobody.
    if let Some((head, body)) = split {
        inbox.arrived.push_back(Arrival {
            head: FrameHead::from_bytes(head),
            body: Body::Here(Message::copied(body)),
        });
    }
    UCS_OK
}
