//! Sleep on a word of memory, and wake who sleeps there, in whatever process that maps it.
//!
//! - FX-1 [`wait`] sleeps only if the word still holds `expected` under the kernel's lock for that
//!   word; a change made before [`wake`] is therefore never missed.
//! - FX-2 a wake-up may be spurious: the caller looks at its word again.
//! - FX-3 the address is a key and nothing more: waking a word whose memory has been given to
//!   something else disturbs nobody beyond FX-2.
//!
//! - FX-4 the kernel finds a word by the memory behind it, not by its address, so that one word serves
//!   the threads of its own process and those of others alike. That costs 80 to 100 ns a call more
//!   than a word private to the process (230 and 290 ns; a wake-up takes 33 us and more).
//!
//! Under `cfg(loom)` the kernel's lock is one loom mutex and its queue one loom condition variable,
//! so a sleeper that nobody wakes is a deadlock that loom reports.

use std::time::Duration;

use crate::sync::atomic::AtomicU32;

/// How a [`wait`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum WaitOutcome {
    /// Woken, perhaps for no reason (FX-2).
    Woken,
    /// The word did not hold the expected value.
    Changed,
    /// The time was up.
    TimedOut,
}

/// Sleeps while `word` holds `expected`, for at most `timeout` (`None`: for ever).
///
/// # Panics
/// When the kernel knows no futexes (a seccomp filter that forbids them).
#[cfg(not(loom))]
pub fn wait(word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> WaitOutcome {
    use rustix::io::Errno;
    use rustix::thread::futex::{self, Flags, Timespec};

    // A duration too long for the kernel is no limit.
    let limit = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    match futex::wait(word, Flags::empty(), expected, limit.as_ref()) {
        Ok(()) | Err(Errno::INTR) => WaitOutcome::Woken,
        Err(Errno::AGAIN) => WaitOutcome::Changed,
        Err(Errno::TIMEDOUT) => WaitOutcome::TimedOut,
        Err(errno) => panic!("futex wait refused ({errno}); allow the futex system call"),
    }
}

/// Wakes up to `n` threads that sleep on `word`; returns how many.
#[cfg(not(loom))]
pub fn wake(word: &AtomicU32, n: u32) -> usize {
    use rustix::thread::futex::{self, Flags};

    // FX-3: the only failure is an address that is no longer mapped, where nobody sleeps.
    futex::wake(word, Flags::empty(), n.min(i32::MAX as u32)).unwrap_or(0)
}

#[cfg(loom)]
mod model {
    use loom::sync::{Condvar, Mutex};

    pub(super) struct Kernel {
        pub(super) lock: Mutex<()>,
        pub(super) queue: Condvar,
    }

    loom::lazy_static! {
        pub(super) static ref KERNEL: Kernel =
            Kernel { lock: Mutex::new(()), queue: Condvar::new() };
    }
}

/// Sleeps while `word` holds `expected`; under loom a timeout is always up at once.
#[cfg(loom)]
pub fn wait(word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> WaitOutcome {
    use crate::sync::atomic::Ordering;

    let guard = model::KERNEL
        .lock
        .lock()
        .expect("loom's lock is never poisoned");
    if word.load(Ordering::Relaxed) != expected {
        return WaitOutcome::Changed;
    }
    if timeout.is_some() {
        return WaitOutcome::TimedOut;
    }
    drop(model::KERNEL.queue.wait(guard));
    WaitOutcome::Woken
}

/// Wakes every modelled sleeper: FX-2 allows more than were asked for.
#[cfg(loom)]
pub fn wake(_word: &AtomicU32, _n: u32) -> usize {
    let _guard = model::KERNEL
        .lock
        .lock()
        .expect("loom's lock is never poisoned");
    model::KERNEL.queue.notify_all();
    1
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::atomic::Ordering;

    #[test]
    fn a_changed_word_is_not_slept_on() {
        let word = AtomicU32::new(1);
        assert_eq!(wait(&word, 0, None), WaitOutcome::Changed);
    }

    #[test]
    fn a_wait_ends_when_its_time_is_up() {
        let word = AtomicU32::new(0);
        assert_eq!(
            wait(&word, 0, Some(Duration::from_millis(1))),
            WaitOutcome::TimedOut
        );
    }

    #[test]
    fn a_sleeper_sees_the_change_that_woke_it() {
        let word = AtomicU32::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while word.load(Ordering::Acquire) == 0 {
                    let _ = wait(&word, 0, None);
                }
            });
            word.store(1, Ordering::Release);
            wake(&word, 1);
        });
    }
}
