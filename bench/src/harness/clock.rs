//! The only clock of the suite: the processor's time stamp counter where it is invariant, else
//! the monotonic clock.
//!
//! - CK-1 a reading is ordered: on x86_64 an `lfence` stands before each read of the counter, so
//!   no operation of a batch is still on its way when the batch's end is read.
//! - CK-2 the cost of a pair of readings is measured once and taken off every sample, of which at
//!   least a tenth stays: no time is zero and no rate infinite.
#![allow(unsafe_code, reason = "the time stamp counter is read by an intrinsic")]

use std::time::{Duration, Instant};

/// Turns readings of the counter into nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    source: Source,
    origin: Instant,
    ns_per_tick: f64,
    overhead_ns: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Counter,
    Monotonic,
}

/// One reading, in ticks of its clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticks(u64);

impl Clock {
    /// Finds the best source, compares it with the monotonic clock for 10 ms and measures its
    /// own cost.
    pub fn calibrated() -> Self {
        let mut clock = Self {
            source: Source::Monotonic,
            origin: Instant::now(),
            ns_per_tick: 1.0,
            overhead_ns: 0.0,
        };
        if counter_is_invariant() {
            clock.source = Source::Counter;
            let (began, first) = (Instant::now(), clock.now());
            while began.elapsed() < Duration::from_millis(10) {
                std::hint::spin_loop();
            }
            let (elapsed, last) = (began.elapsed(), clock.now());
            clock.ns_per_tick = elapsed.as_nanos() as f64 / (last.0 - first.0) as f64;
        }
        let mut pairs: Vec<f64> = (0..1_000)
            .map(|_| {
                let first = clock.now();
                clock.ns_between(first, clock.now())
            })
            .collect();
        pairs.sort_by(f64::total_cmp);
        clock.overhead_ns = pairs[pairs.len() / 2];
        clock
    }

    /// Reads the clock (CK-1).
    #[inline(always)]
    pub fn now(&self) -> Ticks {
        match self.source {
            Source::Counter => Ticks(counter()),
            Source::Monotonic => Ticks(self.origin.elapsed().as_nanos() as u64),
        }
    }

    /// Nanoseconds from `first` to `last`, the cost of reading included.
    #[inline]
    pub fn ns_between(&self, first: Ticks, last: Ticks) -> f64 {
        last.0.saturating_sub(first.0) as f64 * self.ns_per_tick
    }

    /// Nanoseconds from `first` to `last` without the cost of the two readings (CK-2).
    #[inline]
    pub fn span_ns(&self, first: Ticks, last: Ticks) -> f64 {
        let read_ns = self.ns_between(first, last);
        (read_ns - self.overhead_ns).max(read_ns / 10.0)
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn counter() -> u64 {
    use std::arch::x86_64::{_mm_lfence, _rdtsc};
    // SAFETY: both instructions exist on every x86_64 and touch no memory.
    unsafe {
        _mm_lfence();
        _rdtsc()
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn counter() -> u64 {
    unreachable!("no counter is used on this architecture")
}

/// Whether the counter ticks at one rate on every core and in every power state
/// (CPUID 8000_0007, EDX bit 8).
#[cfg(target_arch = "x86_64")]
fn counter_is_invariant() -> bool {
    use std::arch::x86_64::__cpuid;
    #[allow(
        unused_unsafe,
        reason = "the intrinsic became safe in a later compiler"
    )]
    // SAFETY: CPUID exists on every x86_64; the leaf is asked for only where it is present.
    unsafe {
        __cpuid(0x8000_0000).eax >= 0x8000_0007 && __cpuid(0x8000_0007).edx & (1 << 8) != 0
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn counter_is_invariant() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_follow_the_monotonic_clock() {
        let clock = Clock::calibrated();
        let (began, first) = (Instant::now(), clock.now());
        while began.elapsed() < Duration::from_millis(5) {}
        let measured = clock.ns_between(first, clock.now());
        // At least the time that certainly passed, less 2 % for calibration.
        assert!(
            measured >= 5e6 * 0.98,
            "{measured} ns measured where 5 ms passed"
        );
    }

    #[test]
    fn a_span_shorter_than_its_readings_is_not_zero() {
        let clock = Clock {
            overhead_ns: 1e9,
            ..Clock::calibrated()
        };
        let first = clock.now();
        let last = clock.now();
        let read_ns = clock.ns_between(first, last);
        assert_eq!(clock.span_ns(first, last), read_ns / 10.0);
    }
}
