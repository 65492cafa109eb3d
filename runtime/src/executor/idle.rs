//! The idle policy: how long to spin before parking, and who is parked.
//!
//! Spinning pays only for a thread that owns its core: with more spinners than cores a round trip
//! costs a time slice. Measured on two cores: a chain of 7 pure spinners 236 ms, spin-then-yield
//! 0.17 ms. A wake-up from a futex costs 33 to 45 us there, so the budget is a few of those.

use maser_shm::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use maser_shm::sync::event::Event;
use std::time::Duration;

/// Nanoseconds of one look: a `pause` and the loads around it (24 ns `pause` measured on Zen 4).
const LOOK_NS: u128 = 30;
/// Spin budget of a thread that owns its core.
const OWNED_SPIN: Duration = Duration::from_micros(200);
/// Looks of a thread that shares its core.
const SHARED_LOOKS: u32 = 4;

/// Counts of this node's schedulers.
pub(crate) struct Idle {
    spin_looks: AtomicU32,
    parked: AtomicUsize,
    /// Spinning threads of this process.
    threads: usize,
    cores: usize,
    spin: Option<Duration>,
}

impl Idle {
    /// The policy for `threads` spinning threads on `cores` usable cores.
    pub(crate) fn new(threads: usize, cores: usize, spin: Option<Duration>) -> Self {
        let idle = Self {
            spin_looks: AtomicU32::new(0),
            parked: AtomicUsize::new(0),
            threads,
            cores,
            spin,
        };
        idle.beside(0);
        idle
    }

    /// As many threads of other processes spin on the same cores; gives how many spin in all.
    pub(crate) fn beside(&self, others: usize) -> usize {
        let threads = self.threads + others;
        let looks = match self.spin {
            Some(spin) => (spin.as_nanos() / LOOK_NS).min(u128::from(u32::MAX / 2)) as u32,
            None if threads <= self.cores => (OWNED_SPIN.as_nanos() / LOOK_NS) as u32,
            None => SHARED_LOOKS,
        };
        self.spin_looks.store(looks, Ordering::Relaxed);
        threads
    }

    /// Looks before the first `sched_yield`.
    #[inline(always)]
    pub(crate) fn spin_looks(&self) -> u32 {
        self.spin_looks.load(Ordering::Relaxed)
    }

    pub(crate) fn enter_park(&self) {
        self.parked.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn leave_park(&self) {
        self.parked.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether a scheduler is parked or about to. Exact for whoever pushed work before a
    /// `membarrier::light`: a scheduler counts itself before it arms its event (EV rules).
    #[inline(always)]
    pub(crate) fn any_parked(&self) -> bool {
        self.parked.load(Ordering::Relaxed) != 0
    }
}

/// How a scheduler sleeps. Parking in an I/O ring is another implementation of this.
pub(crate) trait Parker: Send + Sync {
    /// Sleeps until the event is notified or `timeout` is over; the event was armed before.
    fn park(&self, event: &Event, timeout: Option<Duration>);
}

/// Sleeps on the event's futex.
pub(crate) struct FutexParker;

impl Parker for FutexParker {
    fn park(&self, event: &Event, timeout: Option<Duration>) {
        event.park(timeout);
    }
}
