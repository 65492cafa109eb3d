//! Something that its owner turns all the time, and a helper turns while the owner does something else
//! for long.
//!
//! The owner reports to nobody: it counts its turns, and a helper that finds the same count twice, a tick
//! apart, knows that there was none between. The helper sleeps while nothing is needed.
//!
//! ```text
//!   owner, each turn:  lock (two plain stores), count, turn, unlock
//!   helper, each tick: is it needed? has the count moved? if not: try to lock, turn, unlock
//! ```
//!
//! - SI-1 whoever turns it is inside the lock (the owner lock's rules OL-*): one at a time, and each sees what
//!   the one before did. The helper never waits for the lock: an owner that is inside has not forgotten it,
//!   or sleeps there.
//! - SI-2 the count is written by whoever is inside, and the helper leaves it alone. A helper that reads it at
//!   any moment reads the count of a turn; if that is the same twice there was no turn of the owner's between.
//!   It may stand in once too often, which SI-1 makes harmless.
//! - SI-3 `needed` is written by the owner: set when a turn leaves something that others wait for, cleared when
//!   nothing is, or before it sleeps with a wake-up of its own. Who sets it notifies the helper after that; the
//!   helper arms its event, looks at `needed` once more and only then sleeps (the event's rules EV-*).
//!
//! The owner may die only together with the process. Model: `shm/tests/loom_stand_in.rs`.

use super::atomic::{AtomicBool, AtomicU64, Ordering};
use super::event::Event;
use super::owner_lock::{OwnerGuard, OwnerLock};

/// See the module's page.
#[derive(Debug)]
pub struct StandIn {
    lock: OwnerLock,
    /// SI-2.
    turns: AtomicU64,
    /// SI-3.
    needed: AtomicBool,
}

impl StandIn {
    /// One that `thread` owns, and that nobody needs yet.
    #[must_use]
    pub fn kept_by(thread: u64) -> Self {
        Self {
            lock: OwnerLock::kept_by(thread),
            turns: AtomicU64::new(0),
            needed: AtomicBool::new(false),
        }
    }

    /// Begins a turn of `thread`, the owner as a rule, which ends with the guard.
    ///
    /// # Panics
    /// If the owner is inside already.
    #[inline(always)]
    pub fn enter(&self, thread: u64) -> OwnerGuard<'_> {
        let guard = self.lock.lock(thread);
        let turns = self.turns.load(Ordering::Relaxed);
        self.turns.store(turns.wrapping_add(1), Ordering::Relaxed); // SI-2
        guard
    }

    /// Begins a turn in the owner's place, if nobody is inside.
    #[must_use]
    pub fn try_enter(&self, helper: u64) -> Option<OwnerGuard<'_>> {
        self.lock.try_lock(helper)
    }

    /// By the owner: whether others wait for its turns from now on (SI-3). `helper` is where the helper sleeps.
    #[inline(always)]
    pub fn need(&self, is_needed: bool, helper: &Event) {
        if self.needed.load(Ordering::Relaxed) != is_needed {
            self.change(is_needed, helper);
        }
    }

    #[cold]
    fn change(&self, is_needed: bool, helper: &Event) {
        self.needed.store(is_needed, Ordering::Release);
        if is_needed {
            helper.notify();
        }
    }

    /// Whether others wait for the owner's turns.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        self.needed.load(Ordering::Acquire)
    }

    /// The owner's turns so far.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }
}

/// What a helper saw at its last tick.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen(Option<u64>);

impl Seen {
    /// A tick: whether it is needed, and there was no turn since the last one (SI-2).
    pub fn is_stalled(&mut self, of: &StandIn) -> bool {
        let turns = of.is_needed().then(|| of.turns());
        let before = std::mem::replace(&mut self.0, turns);
        turns.is_some() && turns == before
    }
}
