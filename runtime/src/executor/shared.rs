//! What other threads see of a scheduler.
#![allow(unsafe_code, reason = "posts intrusive letters")]

use super::letter::Letter;
use maser_shm::sync::CachePadded;
use maser_shm::sync::deque::Stealer;
use maser_shm::sync::event::Event;
use maser_shm::sync::mailbox::Mailbox;
use std::ptr::NonNull;

/// The part of a scheduler that any thread may touch.
pub(crate) struct Shared {
    pub(crate) index: usize,
    /// Notified after anything was made visible to this scheduler.
    pub(crate) event: CachePadded<Event>,
    mailbox: CachePadded<Mailbox>,
    pub(crate) stealer: Stealer,
}

impl Shared {
    pub(crate) fn new(index: usize, stealer: Stealer) -> Self {
        Self {
            index,
            event: CachePadded::new(Event::new()),
            mailbox: CachePadded::new(Mailbox::new()),
            stealer,
        }
    }

    /// Puts `letter` into the mailbox and wakes the scheduler if it is parked.
    ///
    /// # Safety
    /// LT-1: the letter is the receiver's from now on and is in no other mailbox.
    pub(crate) unsafe fn post(&self, letter: NonNull<Letter>) {
        // SAFETY: a `Letter` begins with its `Link`; the caller gives it up, or its kind takes it
        // back.
        unsafe {
            match self.mailbox.push(letter.cast()) {
                Ok(()) => self.event.notify(),
                Err(back) => Letter::undeliverable(back.cast()),
            }
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
