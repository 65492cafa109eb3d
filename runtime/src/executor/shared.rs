//! What other threads see of a scheduler.
#![allow(unsafe_code, reason = "posts intrusive letters")]

use super::letter::Letter;
use crate::actor::stalled::StalledHere;
use crate::worker::doors::Door;
use maser_shm::sync::CachePadded;
use maser_shm::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use maser_shm::sync::deque::Stealer;
use maser_shm::sync::mailbox::Mailbox;
use std::ptr::NonNull;
use std::sync::Arc;

/// The part of a scheduler that any thread may touch.
pub(crate) struct Shared {
    pub(crate) index: usize,
    /// See [`IsOpen`]. Written at the start and at the end, so its line stays with its reader.
    is_open: AtomicBool,
    /// As `is_open`, for tasks: not where they run in other processes.
    queues_tasks: AtomicBool,
    /// Notified after anything was made visible to this scheduler.
    pub(crate) event: Door,
    mailbox: CachePadded<Mailbox>,
    pub(crate) stealer: Stealer,
    /// Calls made here whose arguments are not there yet.
    pub(crate) stalled: CachePadded<StalledHere>,
    /// Calls that were cancelled and may be on a lane to here (CL-3). Relaxed.
    pub(crate) cancelled_calls: AtomicUsize,
}

impl Shared {
    pub(crate) fn new(index: usize, stealer: Stealer, event: Door) -> Self {
        Self {
            index,
            is_open: AtomicBool::new(true),
            queues_tasks: AtomicBool::new(true),
            event,
            mailbox: CachePadded::new(Mailbox::new()),
            stealer,
            stalled: CachePadded::default(),
            cancelled_calls: AtomicUsize::new(0),
        }
    }

    /// What its thread makes is not queued any more. Any thread.
    pub(crate) fn close(&self) {
        self.is_open.store(false, Ordering::Relaxed);
        self.queues_tasks.store(false, Ordering::Relaxed);
    }

    /// Puts `letter` into the mailbox and wakes the scheduler if it is parked.
    ///
    /// # Safety
    /// LT-1: the letter is the receiver's from now on and is in no other mailbox.
    pub(crate) unsafe fn post(&self, letter: NonNull<Letter>) {
        // SAFETY: this function's contract; LT-1, the letter came back.
        unsafe {
            if let Err(back) = self.try_post(letter) {
                Letter::undeliverable(back);
            }
        }
    }

    /// As [`post`](Self::post), but gives the letter back if the scheduler has ended.
    ///
    /// # Safety
    /// As for `post`.
    pub(crate) unsafe fn try_post(&self, letter: NonNull<Letter>) -> Result<(), NonNull<Letter>> {
        // SAFETY: a `Letter` begins with its `Link`; the caller gives it up, or takes it back.
        match unsafe { self.mailbox.push(letter.cast()) } {
            Ok(()) => {
                self.event.notify();
                Ok(())
            }
            Err(back) => Err(back.cast()),
        }
    }

    /// Takes no letters any more; gives out the last ones. Own thread only.
    pub(crate) fn close_mailbox(&self) -> impl Iterator<Item = NonNull<Letter>> {
        self.mailbox.close().map(|link| link.cast())
    }

    #[inline(always)]
    pub(crate) fn has_letters(&self) -> bool {
        !self.mailbox.is_empty()
    }

    /// Every letter posted so far, oldest first. Own thread only.
    pub(crate) fn letters(&self) -> impl Iterator<Item = NonNull<Letter>> {
        self.mailbox.drain().map(|link| link.cast())
    }
}

/// Whether tasks and calls made on a scheduler's thread are queued there. The thread that closes
/// the node may be another than the scheduler's, which sees it at its next call.
pub(crate) struct IsOpen(Arc<Shared>);

impl IsOpen {
    pub(crate) fn new(shared: Arc<Shared>, is_open: bool, queues_tasks: bool) -> Self {
        shared.is_open.store(is_open, Ordering::Relaxed);
        let queues_tasks = is_open && queues_tasks;
        shared.queues_tasks.store(queues_tasks, Ordering::Relaxed);
        Self(shared)
    }

    /// Whether tasks made on the thread go straight into its queue.
    #[inline(always)]
    pub(crate) fn queues_tasks(&self) -> bool {
        self.0.queues_tasks.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(crate) fn get(&self) -> bool {
        self.0.is_open.load(Ordering::Relaxed)
    }
}
