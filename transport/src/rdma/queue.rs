//! Completion queues, and the descriptor that tells of completions to who sleeps.
//!
//! - IB-4 a queue never overflows: it has an entry for each request that its queue pairs can have posted
//!   ([`Queues::place`] counts them), and one more queue is made when there is no room.
//! - IB-5 a queue is asked for an event only before a sleep, and looked at once more after that: what came
//!   before it was asked for makes none.

use super::device::{Domain, made, outcome};
use maser_rdma_sys::*;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::sync::Arc;

/// Entries of the first queue; each further one has twice as many as the one before.
const FIRST_ENTRIES: usize = 4096;
/// Completions that are taken at once.
pub(super) const BATCH: usize = 16;

/// What tells of completions.
struct Channel {
    domain: Arc<Domain>,
    channel: NonNull<ibv_comp_channel>,
}

// SAFETY: calls of the library may come from any thread.
unsafe impl Send for Channel {}
// SAFETY: as above.
unsafe impl Sync for Channel {}

impl Drop for Channel {
    fn drop(&mut self) {
        // SAFETY: made by the library; its queues are gone (they keep it).
        unsafe {
            self.domain
                .verbs
                .ibv_destroy_comp_channel(self.channel.as_ptr())
        };
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: open as long as the channel lives.
        unsafe { BorrowedFd::borrow_raw(self.channel.as_ref().fd) }
    }
}

/// One queue.
pub(super) struct Queue {
    channel: Arc<Channel>,
    cq: NonNull<ibv_cq>,
}

// SAFETY: calls of the library may come from any thread.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: made by the library; its queue pairs are gone (they keep it), and its events were given back.
        unsafe { self.channel.domain.verbs.ibv_destroy_cq(self.cq.as_ptr()) };
    }
}

impl Queue {
    pub(super) fn domain(&self) -> &Arc<Domain> {
        &self.channel.domain
    }

    pub(super) fn cq(&self) -> *mut ibv_cq {
        self.cq.as_ptr()
    }

    /// Takes what is completed, some of it.
    fn poll(&self, space: &mut [MaybeUninit<ibv_wc>; BATCH]) -> usize {
        // SAFETY: a queue that lives, and room for as many as are asked for.
        let found = unsafe { poll_cq(self.cq.as_ptr(), BATCH as i32, space.as_mut_ptr().cast()) };
        usize::try_from(found).unwrap_or(0)
    }
}

/// All queues of an end.
pub(super) struct Queues {
    all: Vec<(Arc<Queue>, usize)>,
    channel: Arc<Channel>,
    /// The one that had something last.
    hot: usize,
}

impl Queues {
    pub(super) fn new(domain: &Arc<Domain>) -> Result<Self, super::RdmaError> {
        // SAFETY: the context lives (the domain is kept).
        let channel = made(unsafe {
            domain
                .verbs
                .ibv_create_comp_channel(domain.context.as_ptr())
        })
        .map_err(|error| domain.failed("ibv_create_comp_channel", error))?;
        let channel = Arc::new(Channel {
            domain: domain.clone(),
            channel,
        });
        if let Err(error) = rustix::io::ioctl_fionbio(&channel, true) {
            return Err(domain.failed("ioctl(FIONBIO)", error.into()));
        }
        let mut queues = Self {
            all: Vec::new(),
            channel,
            hot: 0,
        };
        queues
            .grow(1)
            .map_err(|error| domain.failed("ibv_create_cq", error))?;
        Ok(queues)
    }

    /// Readable when there is an event.
    pub(super) fn events(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }

    fn grow(&mut self, entries: usize) -> io::Result<()> {
        let domain = &self.channel.domain;
        let max = usize::try_from(domain.attributes.max_cqe).unwrap_or(1);
        let wanted = (FIRST_ENTRIES << self.all.len().min(8)).min(max);
        if wanted < entries {
            return Err(io::Error::other(format!(
                "{entries} completions in a queue; the device takes {max}"
            )));
        }
        // SAFETY: the context and the channel live, and are kept.
        let cq = made(unsafe {
            domain.verbs.ibv_create_cq(
                domain.context.as_ptr(),
                wanted as i32,
                ptr::null_mut(),
                self.channel.channel.as_ptr(),
                0,
            )
        })?;
        let queue = Queue {
            channel: self.channel.clone(),
            cq,
        };
        self.all.push((Arc::new(queue), wanted));
        Ok(())
    }

    /// A queue with room for so many more completions (IB-4); [`leave`](Self::leave) gives it back.
    pub(super) fn place(&mut self, entries: usize) -> io::Result<Arc<Queue>> {
        if !self.all.iter().any(|(_, free)| *free >= entries) {
            self.grow(entries)?;
        }
        let found = self.all.iter_mut().find(|(_, free)| *free >= entries);
        match found {
            Some((queue, free)) => {
                *free -= entries;
                Ok(queue.clone())
            }
            None => Err(io::Error::other("no room in a queue that was just made")),
        }
    }

    pub(super) fn leave(&mut self, queue: &Arc<Queue>, entries: usize) {
        let found = self
            .all
            .iter_mut()
            .find(|(found, _)| Arc::ptr_eq(found, queue));
        if let Some((_, free)) = found {
            *free += entries;
        }
    }

    /// What is completed in one of them, the one that had something last if it has more.
    pub(super) fn poll<'a>(&mut self, space: &'a mut [MaybeUninit<ibv_wc>; BATCH]) -> &'a [ibv_wc] {
        for turn in 0..self.all.len() {
            let at = (self.hot + turn) % self.all.len();
            let found = self.all[at].0.poll(space);
            if found > 0 {
                self.hot = at;
                // SAFETY: as many were written.
                return unsafe { std::slice::from_raw_parts(space.as_ptr().cast(), found) };
            }
        }
        &[]
    }

    /// Asks for an event with the next completion (IB-5).
    pub(super) fn arm(&self) -> io::Result<()> {
        for (queue, _) in &self.all {
            // SAFETY: a queue that lives.
            outcome(unsafe { req_notify_cq(queue.cq.as_ptr(), 0) })?;
        }
        Ok(())
    }

    /// Reads the events that came, so that the descriptor is quiet.
    pub(super) fn quiet(&self) {
        let verbs = self.channel.domain.verbs;
        let (mut cq, mut context) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the channel lives; each event is given back to the queue that it is of, which lives.
        unsafe {
            while verbs.ibv_get_cq_event(
                self.channel.channel.as_ptr(),
                &raw mut cq,
                &raw mut context,
            ) == 0
            {
                verbs.ibv_ack_cq_events(cq, 1);
            }
        }
    }
}
