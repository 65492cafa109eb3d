//! Operations that UCX may have under way, and the memory that it reads and writes for them (UX-1).

use super::inbox::Inbox;
use super::keys::RemoteKey;
use crate::memory::LocalSlice;
use crate::ucx::what::What;
use bytes::Bytes;
use maser_ucx_sys::ucs_status_t;
use std::ffi::c_void;
use std::ptr::NonNull;

/// What a callback is told: the slot that is done, and where to say so.
pub(super) struct Ticket {
    pub(super) inbox: NonNull<Inbox>,
    pub(super) slot: u32,
}

/// One operation. All that UCX has addresses of is on the heap, or kept by what stands here.
pub(in crate::ucx) struct Slot {
    /// What it is for.
    pub(in crate::ucx) what: What,
    /// A frame, or the header of one; or a few bytes that are put.
    pub(in crate::ucx) frame: Vec<u8>,
    /// What is sent behind the frame, or put.
    pub(in crate::ucx) payload: Option<Bytes>,
    /// What is put, or where what is got goes.
    pub(in crate::ucx) slice: Option<LocalSlice>,
    /// Where a message goes that the peer keeps until it is asked for.
    pub(in crate::ucx) received: Vec<u8>,
    /// What is added to a word, and what was there before.
    pub(super) words: Vec<u64>,
    pub(super) key: Option<RemoteKey>,
    pub(super) ticket: NonNull<Ticket>,
    /// What UCX calls the operation.
    pub(super) request: *mut c_void,
    /// UCX has it, and will say when it is done.
    pub(super) is_under_way: bool,
}

impl Slot {
    /// What a word was before something was added to it.
    pub(in crate::ucx) fn word_before(&self) -> u64 {
        self.words[1]
    }
}

/// How a call of UCX began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(in crate::ucx) enum Posted {
    /// It is done; the slot is the caller's.
    Done,
    /// UCX has the slot.
    UnderWay,
    /// It was refused; the slot is the caller's.
    Refused(ucs_status_t),
}

/// All slots; those that nobody uses are used again.
pub(super) struct Slots {
    all: Vec<Slot>,
    free: Vec<u32>,
    pub(super) under_way: usize,
    inbox: NonNull<Inbox>,
}

impl Slots {
    pub(super) fn new(inbox: NonNull<Inbox>) -> Self {
        Self {
            all: Vec::new(),
            free: Vec::new(),
            under_way: 0,
            inbox,
        }
    }

    pub(super) fn take(&mut self) -> u32 {
        if let Some(slot) = self.free.pop() {
            return slot;
        }
        let slot = self.all.len() as u32;
        let ticket = Box::new(Ticket {
            inbox: self.inbox,
            slot,
        });
        self.all.push(Slot {
            what: What::Nothing,
            frame: Vec::new(),
            payload: None,
            slice: None,
            received: Vec::new(),
            words: vec![0; 2],
            key: None,
            ticket: NonNull::from(Box::leak(ticket)),
            request: std::ptr::null_mut(),
            is_under_way: false,
        });
        slot
    }

    pub(super) fn get(&self, slot: u32) -> &Slot {
        &self.all[slot as usize]
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> &mut Slot {
        &mut self.all[slot as usize]
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.all.iter_mut()
    }

    /// UCX is done with it, if it had it.
    pub(super) fn is_done(&mut self, slot: u32) -> bool {
        let Some(found) = self.all.get_mut(slot as usize) else {
            return false;
        };
        let was_under_way = std::mem::replace(&mut found.is_under_way, false);
        self.under_way -= usize::from(was_under_way);
        was_under_way
    }

    /// Forgets what it held, and has it used again.
    pub(super) fn release(&mut self, slot: u32) {
        let found = &mut self.all[slot as usize];
        assert!(!found.is_under_way, "a slot that UCX has (UX-1)");
        found.what = What::Nothing;
        found.payload = None;
        found.slice = None;
        found.key = None;
        self.free.push(slot);
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        for slot in &self.all {
            // SAFETY: made by a box in `take`; the worker is gone, so no callback has it.
            drop(unsafe { Box::from_raw(slot.ticket.as_ptr()) });
        }
    }
}
