//! Ends the sleep of a transport from any thread.
//!
//! ```text
//! AWAKE --begin_sleep--> ASLEEP --end_sleep--> AWAKE
//!   | wake                 | wake, and the system is asked to end the sleep
//!   v                      v
//! WOKEN --begin_sleep refuses, end_sleep--> AWAKE
//! ```
//!
//! - TK-3 who wakes a thread that is awake makes no system call. Every change is a swap of one word (AcqRel:
//!   what the waker wrote before is seen by whoever it woke), so of a wake-up and the begin of a sleep one
//!   sees the other.

use maser_shm::os::uring::RingWaker;
use maser_shm::sync::atomic::{AtomicU32, Ordering};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{read, write};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

const AWAKE: u32 = 0;
const ASLEEP: u32 = 1;
const WOKEN: u32 = 2;

/// See the module's page. A clone wakes the same.
#[derive(Clone)]
pub(super) struct Wake(Arc<Inner>);

struct Inner {
    state: AtomicU32,
    way: Way,
}

enum Way {
    Eventfd(Arc<OwnedFd>),
    Ring(RingWaker),
}

impl Wake {
    /// By a descriptor that is readable when somebody woke it.
    pub(super) fn by_eventfd() -> io::Result<(Self, Arc<OwnedFd>)> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let eventfd = Arc::new(eventfd(0, flags)?);
        Ok((Self::new(Way::Eventfd(eventfd.clone())), eventfd))
    }

    pub(super) fn by_ring(waker: RingWaker) -> Self {
        Self::new(Way::Ring(waker))
    }

    fn new(way: Way) -> Self {
        let state = AtomicU32::new(AWAKE);
        Self(Arc::new(Inner { state, way }))
    }

    /// False if somebody woke it since: it is awake then, and does not sleep.
    pub(super) fn begin_sleep(&self) -> bool {
        let before = self.0.state.swap(ASLEEP, Ordering::AcqRel);
        if before == WOKEN {
            self.end_sleep();
        }
        before != WOKEN
    }

    /// Whether somebody woke it since the sleep began.
    pub(super) fn is_woken(&self) -> bool {
        self.0.state.load(Ordering::Acquire) == WOKEN
    }

    pub(super) fn end_sleep(&self) {
        let before = self.0.state.swap(AWAKE, Ordering::AcqRel);
        if let (WOKEN, Way::Eventfd(eventfd)) = (before, &self.0.way) {
            // Its count is read so that it is waited for again; it is there by now, or it ends the next
            // sleep for nothing.
            let _count = read(eventfd, &mut [0; 8]);
        }
    }

    pub(super) fn wake(&self) {
        if self.0.state.swap(WOKEN, Ordering::AcqRel) != ASLEEP {
            return;
        }
        match &self.0.way {
            // Refused only if it is about to overflow, and so awake.
            Way::Eventfd(eventfd) => drop(write(eventfd, &1_u64.to_ne_bytes())),
            // Refused only by a ring that is gone, or that is out of memory: its owner looks again.
            Way::Ring(waker) => drop(waker.wake()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_up_that_comes_first_keeps_the_next_sleep_from_beginning() {
        let (wake, eventfd) = Wake::by_eventfd().expect("a descriptor");
        wake.wake();
        assert!(!wake.begin_sleep());
        assert!(wake.begin_sleep());
        wake.wake();
        wake.wake();
        let mut count = [0; 8];
        read(&eventfd, &mut count).expect("it is readable");
        assert_eq!(u64::from_ne_bytes(count), 1, "who is awake is not called");
    }
}
