//! Operations: each takes what its slot holds, and leaves it alone until UCX is done with it (UX-1).

use super::inbox::{self, Fetchable};
use super::keys::{RemoteKey, place};
use super::slots::Posted;
use super::{AM_ID, Ep, Status, Worker, readable};
use crate::message::Message;
use crate::ucx::GIVEN_BYTES;
use crate::ucx::what::What;
use maser_ucx_sys as ucx;
use std::ffi::c_void;
use std::mem;

/// A word, as UCX calls its type: contiguous, of 8 bytes.
const WORD: u64 = 8 << 3;

impl Worker {
    fn params(&self, slot: u32) -> ucx::ucp_request_param_t {
        ucx::ucp_request_param_t {
            op_attr_mask: ucx::UCP_OP_ATTR_FIELD_CALLBACK | ucx::UCP_OP_ATTR_FIELD_USER_DATA,
            cb: ucx::ucp_request_param_t__bindgen_ty_1 {
                send: Some(inbox::sent),
            },
            user_data: self.slots.get(slot).ticket.as_ptr().cast(),
            // SAFETY: a struct of C in which zero means nothing.
            ..unsafe { mem::zeroed() }
        }
    }

    /// What UCX answered to a call for `slot`: nothing, an error, or a request that is under way.
    #[inline]
    fn posted(&mut self, slot: u32, answer: ucx::ucs_status_ptr_t) -> Posted {
        let number = answer.addr() as isize;
        let posted = match number {
            0 => Posted::Done,
            _ if number < 0 && number >= ucx::UCS_ERR_LAST as isize => {
                Posted::Refused(number as ucx::ucs_status_t)
            }
            _ => {
                let found = self.slots.get_mut(slot);
                found.is_under_way = true;
                found.request = answer;
                self.slots.under_way += 1;
                return Posted::UnderWay;
            }
        };
        if let Some(key) = self.slots.get_mut(slot).key.take() {
            self.leave_key(key);
        }
        posted
    }

    /// Sends the frame.
    #[inline]
    pub(in crate::ucx) fn send_frame(&mut self, ep: Ep, slot: u32) -> Posted {
        let ep = match self.raw(ep) {
            Ok(ep) => ep,
            Err(Status(status)) => return Posted::Refused(status),
        };
        let params = self.params(slot);
        let frame = &self.slots.get(slot).frame;
        let (data, bytes) = (readable(frame), frame.len());
        // SAFETY: UX-1: the frame lies in the slot.
        let answer = unsafe {
            let none = std::ptr::null();
            self.ucp
                .ucp_am_send_nbx(ep, AM_ID, none, 0, data, bytes, &params)
        };
        self.posted(slot, answer)
    }

    /// Sends the frame, which is a head alone, and the payload behind it: at once if it is short, else when the
    /// peer asks for it.
    pub(in crate::ucx) fn send_message(&mut self, ep: Ep, slot: u32) -> Posted {
        let ep = match self.raw(ep) {
            Ok(ep) => ep,
            Err(Status(status)) => return Posted::Refused(status),
        };
        let mut params = self.params(slot);
        let found = self.slots.get(slot);
        let payload: &[u8] = found.payload.as_deref().unwrap_or(&[]);
        if payload.len() <= GIVEN_BYTES {
            params.op_attr_mask |= ucx::UCP_OP_ATTR_FIELD_FLAGS;
            params.flags = ucx::UCP_AM_SEND_FLAG_EAGER;
        }
        let (data, bytes) = (readable(payload), payload.len());
        let (head, head_bytes) = (readable(&found.frame), found.frame.len());
        // SAFETY: UX-1: head and payload lie in the slot.
        let answer = unsafe {
            self.ucp
                .ucp_am_send_nbx(ep, AM_ID, head, head_bytes, data, bytes, &params)
        };
        self.posted(slot, answer)
    }

    /// Fetches what a peer has for us.
    pub(in crate::ucx) fn receive(&mut self, from: Fetchable, slot: u32) -> Posted {
        let mut params = self.params(slot);
        params.cb.recv_am = Some(inbox::received);
        let received = &mut self.slots.get_mut(slot).received;
        *received = self.buffers.take(from.bytes);
        let buffer = received.as_mut_ptr().cast::<c_void>();
        // SAFETY: UX-1: so many bytes are reserved in the slot; the description is used once.
        let answer = unsafe {
            self.ucp.ucp_am_recv_data_nbx(
                self.raw,
                from.description.as_ptr(),
                buffer,
                from.bytes,
                &params,
            )
        };
        self.posted(slot, answer)
    }

    /// Leaves to the peer what it has for us.
    pub(in crate::ucx) fn refuse(&mut self, from: Fetchable) {
        // SAFETY: the description is used once.
        unsafe {
            self.ucp
                .ucp_am_data_release(self.raw, from.description.as_ptr())
        };
    }

    /// What was fetched into the slot, `bytes` of it.
    ///
    /// UCX has said that it is done with the slot, without an error, and that it wrote so many.
    pub(in crate::ucx) fn take_received(&mut self, slot: u32, bytes: usize) -> Message {
        let slot = self.slots.get_mut(slot);
        assert!(!slot.is_under_way && bytes <= slot.received.capacity());
        let mut received = mem::take(&mut slot.received);
        // SAFETY: reserved by `receive`, and written since.
        unsafe { received.set_len(bytes) };
        self.buffers.lend(received).into()
    }

    /// Puts what the slot has: a part of a region, a payload, or what is in the frame.
    pub(in crate::ucx) fn put(&mut self, ep: Ep, slot: u32, key: RemoteKey, to: u64) -> Posted {
        let (ep, raw_key) = match self.raw(ep).and_then(|ep| Ok((ep, self.use_key(key)?))) {
            Ok(found) => found,
            Err(Status(status)) => return Posted::Refused(status),
        };
        self.slots.get_mut(slot).key = Some(key);
        let mut params = self.params(slot);
        let found = self.slots.get(slot);
        let (data, bytes) = match (&found.slice, &found.payload) {
            (Some(slice), _) => {
                self.with_mapping(&mut params, slice.region().key());
                (place(slice.start()).cast_const(), slice.len())
            }
            (None, Some(payload)) => (readable(payload), payload.len()),
            (None, None) => (readable(&found.frame), found.frame.len()),
        };
        // SAFETY: UX-1: the slot keeps what is read; the key is kept while it is under way.
        let answer = unsafe { self.ucp.ucp_put_nbx(ep, data, bytes, to, raw_key, &params) };
        self.posted(slot, answer)
    }

    /// Gets what goes to the slot's part of a region.
    pub(in crate::ucx) fn get(&mut self, ep: Ep, slot: u32, key: RemoteKey, from: u64) -> Posted {
        let (ep, raw_key) = match self.raw(ep).and_then(|ep| Ok((ep, self.use_key(key)?))) {
            Ok(found) => found,
            Err(Status(status)) => return Posted::Refused(status),
        };
        self.slots.get_mut(slot).key = Some(key);
        let mut params = self.params(slot);
        let Some(slice) = &self.slots.get(slot).slice else {
            return Posted::Done;
        };
        self.with_mapping(&mut params, slice.region().key());
        let (to, bytes) = (place(slice.start()), slice.len());
        // SAFETY: UX-1: the slot keeps the memory, which is writable; MR-2.
        let answer = unsafe { self.ucp.ucp_get_nbx(ep, to, bytes, from, raw_key, &params) };
        self.posted(slot, answer)
    }

    /// Gets so many bytes into the slot itself.
    pub(in crate::ucx) fn collect(
        &mut self,
        ep: Ep,
        slot: u32,
        key: RemoteKey,
        (from, bytes): (u64, usize),
    ) -> Posted {
        let (ep, raw_key) = match self.raw(ep).and_then(|ep| Ok((ep, self.use_key(key)?))) {
            Ok(found) => found,
            Err(Status(status)) => return Posted::Refused(status),
        };
        let params = self.params(slot);
        let found = self.slots.get_mut(slot);
        found.key = Some(key);
        found.received = self.buffers.take(bytes);
        let to = found.received.as_mut_ptr().cast::<c_void>();
        // SAFETY: UX-1: so many bytes are reserved in the slot.
        let answer = unsafe { self.ucp.ucp_get_nbx(ep, to, bytes, from, raw_key, &params) };
        self.posted(slot, answer)
    }

    /// Adds to a word.
    pub(in crate::ucx) fn fetch_add(
        &mut self,
        ep: Ep,
        slot: u32,
        (key, at): (RemoteKey, u64),
        add: u64,
    ) -> Posted {
        let (ep, raw_key) = match self.raw(ep).and_then(|ep| Ok((ep, self.use_key(key)?))) {
            Ok(found) => found,
            Err(Status(status)) => return Posted::Refused(status),
        };
        let mut params = self.params(slot);
        params.op_attr_mask |=
            ucx::UCP_OP_ATTR_FIELD_DATATYPE | ucx::UCP_OP_ATTR_FIELD_REPLY_BUFFER;
        params.datatype = WORD;
        let found = self.slots.get_mut(slot);
        found.key = Some(key);
        found.words[0] = add;
        let words = found.words.as_mut_ptr();
        params.reply_buffer = words.wrapping_add(1).cast();
        // SAFETY: UX-1: both words lie in the slot, on the heap.
        let answer = unsafe {
            let op = ucx::UCP_ATOMIC_OP_ADD;
            self.ucp
                .ucp_atomic_op_nbx(ep, op, words.cast(), 1, at, raw_key, &params)
        };
        self.posted(slot, answer)
    }

    /// Done when everything before it is, at the peer too.
    pub(in crate::ucx) fn flush(&mut self, ep: Ep, slot: u32) -> Posted {
        let ep = match self.raw(ep) {
            Ok(ep) => ep,
            Err(Status(status)) => return Posted::Refused(status),
        };
        let params = self.params(slot);
        // SAFETY: an endpoint of this worker.
        let answer = unsafe { self.ucp.ucp_ep_flush_nbx(ep, &params) };
        self.posted(slot, answer)
    }

    /// Gives up an endpoint and what is under way with it, if it can be forced to; otherwise it goes when
    /// that is done.
    pub(in crate::ucx) fn close(&mut self, ep: Ep) {
        let Some(found) = self.eps.remove(ep.0) else {
            return;
        };
        let slot = self.take_slot();
        self.slots.get_mut(slot).what = What::EpIsClosed;
        let mut params = self.params(slot);
        if found.can_be_forced {
            params.op_attr_mask |= ucx::UCP_OP_ATTR_FIELD_FLAGS;
            params.flags = ucx::UCP_EP_CLOSE_FLAG_FORCE;
        }
        // SAFETY: an endpoint of this worker, which nobody names any more.
        let answer = unsafe { self.ucp.ucp_ep_close_nbx(found.raw, &params) };
        if self.posted(slot, answer) != Posted::UnderWay {
            self.release(slot);
        }
    }

    /// The mapping of our own region, by the number in its key.
    fn with_mapping(&self, params: &mut ucx::ucp_request_param_t, key: &[u8]) {
        let Some(mapping) = self.number_of(key).map(|number| self.mapping(number)) else {
            return;
        };
        if !mapping.is_null() {
            params.op_attr_mask |= ucx::UCP_OP_ATTR_FIELD_MEMH;
            params.memh = mapping;
        }
    }
}
