//! The calls of UCX: a context with one worker, its endpoints, and operations with them.
//!
//! - UX-1 what UCX reads and writes for an operation lies in the operation's slot on the heap, or is kept
//!   by it. A slot is used again when UCX has said that it is done with it.
//! - UX-4 worker, endpoints, keys and mappings are used by one thread at a time, who has the worker by
//!   `&mut`; the worker is told so (`UCS_THREAD_MODE_SERIALIZED`).
//! - UX-5 the end of a worker is: endpoints that can be closed by force are, and progress is made until
//!   nothing of them is under way; then keys, worker, mappings and context go, and after them the memory
//!   that slots keep. What is under way with endpoints that cannot be closed by force ends with the worker.
#![allow(unsafe_code, reason = "calls UCX")]

mod buffers;
mod inbox;
mod keys;
mod operations;
mod slots;

pub(super) use inbox::{Arrival, Body, FrameHead};
pub(super) use keys::RemoteKey;
pub(super) use slots::{Posted, Slot};

use crate::endpoint::Endpoint;
use crate::message::Message;
use crate::table::Endpoints;
use crate::ucx::options::UcxError;
use buffers::Buffers;
use inbox::Inbox;
use keys::{Mapping, RawKey, padded};
use maser_ucx_sys as ucx;
use slots::Slots;
use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::hash::{BuildHasher, RandomState};
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::sync::{Mutex, PoisonError};

/// The number of our frames among active messages.
const AM_ID: u32 = 1;
/// Rounds of progress that are made at the end for what is under way.
const LAST_ROUNDS: usize = 2_000;
/// Endpoints, or keys, of one worker.
const MAX_NAMES: usize = 1 << 20;

/// What UCX says of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status(pub(super) ucx::ucs_status_t);

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match ucx::load() {
            Ok(ucp) => f.write_str(&ucp.says(self.0)),
            Err(error) => error.fmt(f),
        }
    }
}

/// An endpoint of UCX: a name for something of its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ep(Endpoint);

struct RawEp {
    raw: ucx::ucp_ep_h,
    can_be_forced: bool,
}

/// See the module's page.
pub(super) struct Worker {
    ucp: &'static ucx::Ucp,
    context: ucx::ucp_context_h,
    raw: ucx::ucp_worker_h,
    eps: Endpoints<RawEp>,
    keys: Endpoints<RawKey>,
    mappings: HashMap<u64, Mapping>,
    inbox: NonNull<Inbox>,
    slots: Slots,
    buffers: Buffers,
    /// A number that no other worker has, in the keys of its regions.
    id: [u8; 8],
}

// SAFETY: UX-4.
unsafe impl Send for Worker {}

impl Worker {
    /// A context with these transports and devices, and its worker.
    ///
    /// # Errors
    /// [`UcxError`].
    pub(super) fn open(tls: Option<&str>, devices: Option<&str>) -> Result<Self, UcxError> {
        static OPENING: Mutex<()> = Mutex::new(());
        let ucp = ucx::load()?;
        // Hashers begin at random, and no two of a process alike.
        let id = RandomState::new()
            .hash_one(std::process::id())
            .to_le_bytes();
        let _one_at_a_time = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |step, status| UcxError::Open {
            step,
            says: Status(status).to_string(),
            tls: tls.unwrap_or("all").to_owned(),
        };
        let mut config = ptr::null_mut();
        // SAFETY: no prefix and no file.
        let status = unsafe { ucp.ucp_config_read(ptr::null(), ptr::null(), &mut config) };
        if status != ucx::UCS_OK {
            return Err(failed("ucp_config_read", status));
        }
        // Its cache of registrations needs hooks in the allocator, and what we move is registered by hand.
        let options = [
            ("TLS", tls),
            ("NET_DEVICES", devices),
            ("RCACHE_ENABLE", Some("n")),
        ];
        for (name, value) in options {
            let (Ok(name), Some(Ok(value))) = (CString::new(name), value.map(CString::new)) else {
                continue;
            };
            // A version that does not know one has its default.
            // SAFETY: a configuration that was read, and strings that end with a zero.
            let _status = unsafe { ucp.ucp_config_modify(config, name.as_ptr(), value.as_ptr()) };
        }
        let params = ucx::ucp_params_t {
            field_mask: u64::from(ucx::UCP_PARAM_FIELD_FEATURES),
            features: u64::from(
                ucx::UCP_FEATURE_AM
                    | ucx::UCP_FEATURE_RMA
                    | ucx::UCP_FEATURE_AMO64
                    | ucx::UCP_FEATURE_WAKEUP,
            ),
            // SAFETY: a struct of C in which zero means nothing.
            ..unsafe { std::mem::zeroed() }
        };
        let mut context = ptr::null_mut();
        // SAFETY: parameters of this version, and a configuration that is released once.
        let status = unsafe {
            let (major, minor) = (ucx::UCP_API_MAJOR, ucx::UCP_API_MINOR);
            let status = ucp.ucp_init_version(major, minor, &params, config, &mut context);
            ucp.ucp_config_release(config);
            status
        };
        if status != ucx::UCS_OK {
            return Err(failed("ucp_init", status));
        }
        let params = ucx::ucp_worker_params_t {
            field_mask: u64::from(ucx::UCP_WORKER_PARAM_FIELD_THREAD_MODE),
            thread_mode: ucx::UCS_THREAD_MODE_SERIALIZED,
            // SAFETY: as above.
            ..unsafe { std::mem::zeroed() }
        };
        let mut raw = ptr::null_mut();
        // SAFETY: a context that was made.
        let status = unsafe { ucp.ucp_worker_create(context, &params, &mut raw) };
        if status != ucx::UCS_OK {
            // SAFETY: made above, and used by nobody.
            unsafe { ucp.ucp_cleanup(context) };
            return Err(failed("ucp_worker_create", status));
        }
        let inbox = NonNull::from(Box::leak(Box::new(Inbox::new(ucp))));
        let worker = Self {
            ucp,
            context,
            raw,
            eps: Endpoints::new(MAX_NAMES),
            keys: Endpoints::new(MAX_NAMES),
            mappings: HashMap::new(),
            inbox,
            slots: Slots::new(inbox),
            buffers: Buffers::default(),
            id,
        };
        let handler = ucx::ucp_am_handler_param_t {
            field_mask: u64::from(
                ucx::UCP_AM_HANDLER_PARAM_FIELD_ID
                    | ucx::UCP_AM_HANDLER_PARAM_FIELD_FLAGS
                    | ucx::UCP_AM_HANDLER_PARAM_FIELD_CB
                    | ucx::UCP_AM_HANDLER_PARAM_FIELD_ARG,
            ),
            id: AM_ID,
            flags: ucx::UCP_AM_FLAG_WHOLE_MSG,
            cb: Some(inbox::arrived),
            arg: inbox.as_ptr().cast(),
        };
        // SAFETY: the inbox outlives the worker.
        let status = unsafe { ucp.ucp_worker_set_am_recv_handler(raw, &handler) };
        match status {
            ucx::UCS_OK => Ok(worker),
            status => Err(failed("ucp_worker_set_am_recv_handler", status)),
        }
    }

    fn status(&self, status: ucx::ucs_status_t) -> Result<(), Status> {
        match status {
            ucx::UCS_OK => Ok(()),
            status => Err(Status(status)),
        }
    }

    /// What peers connect to.
    ///
    /// # Errors
    /// What UCX says.
    pub(super) fn address(&self) -> Result<Vec<u8>, Status> {
        let (mut address, mut bytes) = (ptr::null_mut(), 0);
        // SAFETY: what comes back is copied and given back.
        unsafe {
            let status = self
                .ucp
                .ucp_worker_get_address(self.raw, &mut address, &mut bytes);
            self.status(status)?;
            let copied = std::slice::from_raw_parts(address.cast::<u8>(), bytes).to_vec();
            self.ucp.ucp_worker_release_address(self.raw, address);
            Ok(copied)
        }
    }

    /// What becomes readable when something happens, once it was [`arm`](Self::arm)ed.
    ///
    /// # Errors
    /// What UCX says.
    pub(super) fn event_fd(&self) -> Result<BorrowedFd<'_>, Status> {
        let mut fd = -1;
        // SAFETY: a worker that was made.
        self.status(unsafe { self.ucp.ucp_worker_get_efd(self.raw, &mut fd) })?;
        // SAFETY: it is the worker's until it ends.
        Ok(unsafe { BorrowedFd::borrow_raw(fd) })
    }

    /// True if there is nothing to do until the descriptor is readable.
    ///
    /// # Errors
    /// What UCX says.
    pub(super) fn arm(&mut self) -> Result<bool, Status> {
        // SAFETY: a worker that was made.
        match unsafe { self.ucp.ucp_worker_arm(self.raw) } {
            ucx::UCS_ERR_BUSY => Ok(false),
            status => self.status(status).map(|()| true),
        }
    }

    /// Lets UCX work; false if there was nothing to do.
    #[inline]
    pub(super) fn progress(&mut self) -> bool {
        // SAFETY: UX-2, UX-4.
        unsafe { self.ucp.ucp_worker_progress(self.raw) != 0 }
    }

    /// A frame that came.
    #[inline]
    pub(super) fn next_arrival(&mut self) -> Option<Arrival> {
        // SAFETY: UX-2: no function of UCX runs.
        unsafe { (*self.inbox.as_ptr()).arrived.pop_front() }
    }

    /// The head of the next frame, if nothing else was called back.
    #[inline]
    pub(super) fn only_arrival(&self) -> Option<FrameHead> {
        // SAFETY: as above.
        let inbox = unsafe { &*self.inbox.as_ptr() };
        match inbox.done.is_empty() && inbox.failed.is_empty() {
            true => inbox.arrived.front().map(|arrival| arrival.head),
            false => None,
        }
    }

    /// The bytes of the next frame, if they are here.
    #[inline]
    pub(super) fn take_arrival_here(&mut self) -> Option<Message> {
        // SAFETY: as above.
        let inbox = unsafe { &mut *self.inbox.as_ptr() };
        if let Body::There(_) = inbox.arrived.front()?.body {
            return None;
        }
        match inbox.arrived.pop_front()?.body {
            Body::Here(message) => Some(message),
            Body::There(_) => None,
        }
    }

    /// An operation that UCX is done with, whose slot is the caller's again, and what it says of it.
    pub(super) fn next_done(&mut self) -> Option<(u32, ucx::ucs_status_t)> {
        loop {
            // SAFETY: as above.
            let (slot, status) = unsafe { (*self.inbox.as_ptr()).done.pop_front() }?;
            if let Some(key) = self.slots.get_mut(slot).key.take() {
                self.leave_key(key);
            }
            if self.slots.is_done(slot) {
                return Some((slot, status));
            }
        }
    }

    /// An endpoint that failed, and why.
    pub(super) fn next_failure(&mut self) -> Option<(Ep, Status)> {
        loop {
            // SAFETY: as above.
            let (raw, status) = unsafe { (*self.inbox.as_ptr()).failed.pop_front() }?;
            // One that was closed meanwhile is none.
            let found = self.eps.names().find(|(_, ep)| ep.raw == raw);
            if let Some((name, _)) = found {
                return Some((Ep(name), Status(status)));
            }
        }
    }

    /// Whether something was called back and not taken.
    pub(super) fn has_news(&self) -> bool {
        // SAFETY: as above.
        let inbox = unsafe { &*self.inbox.as_ptr() };
        !(inbox.arrived.is_empty() && inbox.done.is_empty() && inbox.failed.is_empty())
    }

    /// An endpoint for the worker with this address, which is the first `bytes` that a peer gave.
    ///
    /// # Errors
    /// What UCX says.
    pub(super) fn connect(&mut self, address: &[u8]) -> Result<Ep, Status> {
        let address = padded(address);
        let mut refused = Status(ucx::UCS_ERR_UNREACHABLE);
        // Not every transport can be closed by force.
        for can_be_forced in [true, false] {
            let mode = match can_be_forced {
                true => ucx::UCP_ERR_HANDLING_MODE_PEER,
                false => ucx::UCP_ERR_HANDLING_MODE_NONE,
            };
            let params = ucx::ucp_ep_params_t {
                field_mask: u64::from(
                    ucx::UCP_EP_PARAM_FIELD_REMOTE_ADDRESS
                        | ucx::UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE
                        | ucx::UCP_EP_PARAM_FIELD_ERR_HANDLER,
                ),
                address: address.as_ptr().cast(),
                err_mode: mode,
                err_handler: ucx::ucp_err_handler_t {
                    cb: Some(inbox::failed),
                    arg: self.inbox.as_ptr().cast(),
                },
                // SAFETY: a struct of C in which zero means nothing.
                ..unsafe { std::mem::zeroed() }
            };
            let mut raw = ptr::null_mut();
            // SAFETY: the address is there, with zeroes behind it; the inbox outlives the endpoint.
            let status = unsafe { self.ucp.ucp_ep_create(self.raw, &params, &mut raw) };
            match self.status(status) {
                Ok(()) => {
                    let ep = RawEp { raw, can_be_forced };
                    let name = self.eps.insert(|_| ep);
                    return name.map(Ep).ok_or(Status(ucx::UCS_ERR_EXCEEDS_LIMIT));
                }
                Err(status) => refused = status,
            }
        }
        Err(refused)
    }

    /// Whether what is under way with it can be given up.
    pub(super) fn can_be_forced(&self, ep: Ep) -> bool {
        self.eps.get(ep.0).is_some_and(|ep| ep.can_be_forced)
    }

    fn raw(&self, ep: Ep) -> Result<ucx::ucp_ep_h, Status> {
        let found = self.eps.get(ep.0).map(|ep| ep.raw);
        found.ok_or(Status(ucx::UCS_ERR_NOT_CONNECTED))
    }

    /// A slot to fill.
    #[inline]
    pub(super) fn take_slot(&mut self) -> u32 {
        self.slots.take()
    }

    /// What is in a slot.
    #[inline]
    pub(super) fn slot(&mut self, slot: u32) -> &mut Slot {
        self.slots.get_mut(slot)
    }

    /// All of them.
    pub(super) fn slots(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.slots.iter_mut()
    }

    /// Gives a slot back that UCX does not have.
    #[inline]
    pub(super) fn release(&mut self, slot: u32) {
        self.slots.release(slot);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let forced = self.eps.names().filter(|(_, ep)| ep.can_be_forced);
        let forced: Vec<Ep> = forced.map(|(name, _)| Ep(name)).collect();
        forced.into_iter().for_each(|ep| self.close(ep));
        for _ in 0..LAST_ROUNDS {
            if self.slots.under_way == 0 {
                break;
            }
            self.progress();
            while let Some((slot, _)) = self.next_done() {
                self.release(slot);
            }
        }
        // SAFETY: UX-2: no function of UCX runs.
        unsafe { (*self.inbox.as_ptr()).is_ending = true };
        let ucp = self.ucp;
        for slot in self.slots.iter_mut().filter(|slot| slot.is_under_way) {
            // SAFETY: it was not freed by a callback, and no callback will.
            unsafe { ucp.ucp_request_free(slot.request) };
        }
        for key in self.keys.take_all() {
            self.destroy_key(&key);
        }
        // SAFETY: UX-5; keys are gone, and the inbox is there until this returns.
        unsafe { self.ucp.ucp_worker_destroy(self.raw) };
        for (_, mapping) in std::mem::take(&mut self.mappings) {
            self.unmap_raw(mapping);
        }
        // SAFETY: the worker is gone, so nobody uses the context, and no callback runs.
        unsafe {
            self.ucp.ucp_cleanup(self.context);
            drop(Box::from_raw(self.inbox.as_ptr()));
        }
    }
}

/// A pointer that UCX may read.
fn readable(bytes: &[u8]) -> *const c_void {
    bytes.as_ptr().cast()
}
