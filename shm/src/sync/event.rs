//! One thread parks, any thread notifies; a notification of an awake thread is a load.
//!
//! ```text
//!            prepare_park                notify
//!   AWAKE ------------------> PARKED ------------> NOTIFIED
//!     ^                         |                     |
//!     +---- cancel_park, time up or woken: park ------+
//! ```
//!
//! The parker: `prepare_park`, look at everything that could be work once more, then `park` (or
//! `cancel_park` if something was there). The notifier: publish the work, then `notify`. This is
//! Dekker's pair, each side storing one word and then loading the other's:
//!
//! - EV-1 the parker stores `PARKED`, passes [`membarrier::heavy`], then looks for work.
//! - EV-2 a notifier publishes work, passes [`membarrier::light`], then loads the state. By MB-2 it
//!   sees `PARKED`, or the parker's look sees the work. So no work is published unseen to a parker
//!   that sleeps.
//! - EV-3 only the notifier that turns `PARKED` into `NOTIFIED` enters the kernel; a state other
//!   than `PARKED` is left alone. A parker that left `PARKED` by itself will look again before it
//!   next sleeps, and EV-2 holds anew with its next `PARKED`.
//! - EV-4 the exchange to `NOTIFIED` is Release and the parker's return Acquire, so a woken parker
//!   sees the work at its first look. (A notifier's full fence would do as well; once registered
//!   it has none.)
//! - EV-5 the word is written by the parker (`AWAKE`, `PARKED`) and by notifiers (`NOTIFIED`).
//!   A parker that ends between its stores leaves `PARKED` behind: each such round costs one
//!   notifier a system call and harms nobody. A notifier that ends before `notify` has published
//!   work without a wake-up; publishing and notifying belong together in one call.
//! - EV-6 a notifier may still be inside its wake-up when the parker is awake again. The event
//!   must outlive the notifiers' borrows as any value does; the address alone is harmless (FX-3).
//!
//! An event may lie in control memory ([`SharedEvent`]): `AWAKE` is 0, as fresh memory is.
//!
//! - EV-7 a notifier in another process than the parker's passes a full fence instead of
//!   `membarrier::light` ([`Event::notify_across`]). With the fence that `heavy` is for the parker
//!   itself (MB-1, MB-2), EV-2 holds. It needs no registration of other processes, which could not be
//!   relied on, and interrupts none of their cores, as the kernel's fence over all registered
//!   processes does; that one costs the parker 500 ns and more instead of 350, every time. The fence
//!   costs the notifier 2 ns, or what the line it has just written still takes to arrive, which a
//!   notifier that waits for an answer does not notice.
//! - EV-8 to a notifier the word is input: `PARKED` is exchanged, anything else left alone. A parker
//!   returns from whatever is not `PARKED`, with `true` for `NOTIFIED` alone. So a process that
//!   writes there at will can keep a parker awake or asleep, which limits end, and nothing else. The
//!   same holds for a process that is killed between publishing and notifying: whoever learns of its
//!   death notifies in its place.
//!
//! Model: `tests/loom_event.rs`.

#[cfg(not(loom))]
mod shared;

#[cfg(not(loom))]
pub use shared::SharedEvent;

use std::time::Duration;

use crate::os::{futex, membarrier};
use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicU32, Ordering, fence};

const AWAKE: u32 = 0;
const PARKED: u32 = 1;
const NOTIFIED: u32 = 2;

/// Where one thread sleeps.
#[derive(Debug)]
#[repr(transparent)]
pub struct Event {
    /// EV-5. On a line of its own: notifiers read it often, and it changes rarely.
    state: CachePadded<AtomicU32>,
}

impl Event {
    /// An event whose thread is awake.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: CachePadded::new(AtomicU32::new(AWAKE)),
        }
    }

    /// An event whose thread is awake.
    #[cfg(loom)]
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: CachePadded::new(AtomicU32::new(AWAKE)),
        }
    }

    /// Announces that this thread is about to sleep. Look for work after it, then call
    /// [`park`](Self::park) or [`cancel_park`](Self::cancel_park). Only one thread may be here.
    pub fn prepare_park(&self) {
        self.state.store(PARKED, Ordering::Relaxed);
        membarrier::heavy(); // EV-1
    }

    /// Takes the announcement back because there is work.
    pub fn cancel_park(&self) {
        self.state.swap(AWAKE, Ordering::Acquire); // EV-4
    }

    /// Sleeps until notified or until `timeout` is up; returns whether it was notified.
    ///
    /// Returns at once if a notification came after [`prepare_park`](Self::prepare_park), or if
    /// that was not called; with a `timeout` it may also return `false` early (FX-2).
    pub fn park(&self, timeout: Option<Duration>) -> bool {
        // FX-2: a wake-up that changed nothing is slept through. With a limit it is returned
        // instead, so that no clock is read here.
        while self.state.load(Ordering::Relaxed) == PARKED {
            let outcome = futex::wait(&self.state, PARKED, timeout);
            if timeout.is_some() || outcome == futex::WaitOutcome::TimedOut {
                break;
            }
        }
        self.state.swap(AWAKE, Ordering::Acquire) == NOTIFIED // EV-4
    }

    /// Wakes the thread if it is parked or about to be. Call it after publishing the work.
    #[inline]
    pub fn notify(&self) {
        membarrier::light(); // EV-2
        if self.state.load(Ordering::Relaxed) == PARKED {
            self.wake();
        }
    }

    /// As [`notify`](Self::notify), for threads of other processes than the parker's (EV-7). Right
    /// in its own process too, where it costs more.
    #[inline]
    pub fn notify_across(&self) {
        fence(Ordering::SeqCst); // EV-7
        if self.state.load(Ordering::Relaxed) == PARKED {
            self.wake();
        }
    }

    /// Whether the thread is parked or about to be; only a hint.
    #[inline]
    #[must_use]
    pub fn is_parked(&self) -> bool {
        self.state.load(Ordering::Relaxed) == PARKED
    }

    #[cold]
    fn wake(&self) {
        // EV-3, EV-4.
        let exchanged =
            self.state
                .compare_exchange(PARKED, NOTIFIED, Ordering::Release, Ordering::Relaxed);
        if exchanged.is_ok() {
            futex::wake(&self.state, 1);
        }
    }
}

impl Default for Event {
    fn default() -> Self {
        Self::new()
    }
}
