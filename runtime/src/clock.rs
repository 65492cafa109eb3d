//! Time, behind a trait: the only file of the workspace's libraries that reads a clock.
//!
//! - TI-1 a clock never goes backwards, seen from any one thread.
//! - TI-2 its zero is arbitrary: only differences mean anything. All [`MonotonicClock`]s of one
//!   machine share their zero (the kernel's), so stamps of two processes can be compared.
//!
//! Whatever waits or stamps takes a `&dyn Clock`, so that the same code runs under a
//! [`ManualClock`] in tests and in simulation.

use maser_shm::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A source of monotonic time.
pub trait Clock: Send + Sync {
    /// Nanoseconds since the clock's own zero.
    fn now_ns(&self) -> u64;
}

/// The machine's monotonic clock. One reading costs tens of nanoseconds and no system call
/// (vDSO), which is still more than a graph node: wait loops read it every few hundred looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct MonotonicClock;

impl Clock for MonotonicClock {
    fn now_ns(&self) -> u64 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        // Both parts are never negative on Linux: the clock starts at zero with the machine.
        (now.tv_sec as u64) * 1_000_000_000 + now.tv_nsec as u64
    }
}

/// A clock that stands still until it is told to go on.
#[derive(Debug, Default)]
pub struct ManualClock {
    /// Written by [`advance`](ManualClock::advance), read by `now_ns`. Acquire/Release, so that
    /// whoever sees the new time also sees what was written before the clock was moved.
    now_ns: AtomicU64,
}

impl ManualClock {
    /// A clock that shows `now_ns`.
    pub fn new(now_ns: u64) -> Self {
        Self {
            now_ns: AtomicU64::new(now_ns),
        }
    }

    /// Moves the clock on by `by` and returns what it shows then.
    ///
    /// # Panics
    ///
    /// If the time would leave 64 bits of nanoseconds (584 years): TI-1.
    pub fn advance(&self, by: Duration) -> u64 {
        let by_ns = u64::try_from(by.as_nanos()).expect("a step below 584 years");
        let before_ns = self.now_ns.fetch_add(by_ns, Ordering::AcqRel);
        before_ns
            .checked_add(by_ns)
            .expect("a time below 584 years")
    }
}

impl Clock for ManualClock {
    fn now_ns(&self) -> u64 {
        self.now_ns.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_never_goes_backwards() {
        let clock = MonotonicClock;
        let mut last_ns = clock.now_ns();
        for _ in 0..10_000 {
            let now_ns = clock.now_ns();
            assert!(now_ns >= last_ns, "TI-1: {last_ns} then {now_ns}");
            last_ns = now_ns;
        }
    }

    #[test]
    fn the_monotonic_clock_moves_by_itself() {
        let clock = MonotonicClock;
        let start_ns = clock.now_ns();
        while clock.now_ns() == start_ns {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::new(5);
        assert_eq!(clock.now_ns(), 5);
        assert_eq!(clock.advance(Duration::from_micros(2)), 2_005);
        assert_eq!(clock.now_ns(), 2_005);
    }

    #[test]
    fn clocks_can_stand_behind_one_trait_object() {
        let clocks: [Box<dyn Clock>; 2] = [Box::new(MonotonicClock), Box::new(ManualClock::new(7))];
        assert_eq!(clocks[1].now_ns(), 7);
    }
}
