//! Something that one scheduler turns, and a helper while the scheduler is stuck.
#![allow(
    unsafe_code,
    reason = "a cell that the stand-in's lock protects (DV-1)"
)]

use super::Drive;
use super::helper::Asleep;
use maser_shm::sync::cell::UnsafeCell;
use maser_shm::sync::owner_lock::{OwnerGuard, thread_number};
use maser_shm::sync::stand_in::{Seen, StandIn};
use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

/// Steps of a helper before it lets go of the lock.
const STEPS_PER_TURN: u32 = 64;
/// Steps in a row that find nothing before it lets go: a transport does not look at every connection each time.
const EMPTY_STEPS: u32 = 16;

/// See the module's page.
pub struct Shared<D> {
    stand_in: StandIn,
    driven: UnsafeCell<D>,
    helper: Arc<Asleep>,
}

// SAFETY: DV-1, `driven` is touched inside the stand-in alone, which lets one thread in at a time and orders
// them; it may move between threads.
unsafe impl<D: Send> Sync for Shared<D> {}

impl<D: Drive> Shared<D> {
    /// Owned by the calling thread.
    pub(super) fn new(driven: D, helper: Arc<Asleep>) -> Self {
        Self {
            stand_in: StandIn::kept_by(thread_number()),
            driven: UnsafeCell::new(driven),
            helper,
        }
    }

    /// Begins a turn, which ends with what is given. Other threads than the owner may as well, at the cost of
    /// a few microseconds.
    ///
    /// # Panics
    /// If the owner has a turn already.
    #[inline(always)]
    pub fn turn(&self) -> Turn<'_, D> {
        Turn {
            _inside: self.stand_in.enter(thread_number()),
            shared: self,
        }
    }

    /// Sleeps until there may be something to do, or the limit is over. No helper is needed meanwhile (DV-2).
    ///
    /// # Errors
    /// Of the operating system.
    pub fn park(&self, limit: Option<Duration>) -> io::Result<()> {
        self.stand_in.need(false, &self.helper.event);
        let mut turn = Turn {
            _inside: self.stand_in.enter(thread_number()),
            shared: self,
        };
        turn.wait(limit)
    }

    /// The scheduler's turns so far.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.stand_in.turns()
    }
}

/// A turn: the right to what is shared.
pub struct Turn<'a, D: Drive> {
    /// Dropped after this value's own `drop`.
    _inside: OwnerGuard<'a>,
    shared: &'a Shared<D>,
}

impl<D: Drive> Deref for Turn<'_, D> {
    type Target = D;
    #[inline(always)]
    fn deref(&self) -> &D {
        // SAFETY: DV-1, inside.
        self.shared.driven.with(|driven| unsafe { &*driven })
    }
}

impl<D: Drive> DerefMut for Turn<'_, D> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut D {
        // SAFETY: DV-1, inside, and this turn is borrowed alone.
        self.shared
            .driven
            .with_mut(|driven| unsafe { &mut *driven })
    }
}

impl<D: Drive> Drop for Turn<'_, D> {
    #[inline(always)]
    fn drop(&mut self) {
        let is_needed = self.is_needed();
        self.shared
            .stand_in
            .need(is_needed, &self.shared.helper.event);
    }
}

/// What a tick of the helper did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ticked {
    /// Nobody needs it.
    Idle,
    /// Its scheduler turns it, or did a moment ago.
    Moves,
    /// The helper stood in; whether it found something.
    StoodIn(bool),
}

/// What a helper looks after.
pub(super) trait Watched: Send + Sync {
    /// DV-2.
    fn tick(&self, seen: &mut Seen, helper: u64, now_ns: &dyn Fn() -> u64) -> Ticked;
    fn is_needed(&self) -> bool;
}

impl<D: Drive> Watched for Shared<D> {
    fn tick(&self, seen: &mut Seen, helper: u64, now_ns: &dyn Fn() -> u64) -> Ticked {
        if !seen.is_stalled(&self.stand_in) {
            return match self.stand_in.is_needed() {
                true => Ticked::Moves,
                false => Ticked::Idle,
            };
        }
        let Some(_inside) = self.stand_in.try_enter(helper) else {
            return Ticked::Moves;
        };
        // SAFETY: DV-1, inside.
        self.driven.with_mut(|driven| {
            // SAFETY: as above; nobody else has a reference to it.
            let driven = unsafe { &mut *driven };
            driven.advance(now_ns());
            let (mut empty, mut has_worked) = (0, false);
            for _ in 0..STEPS_PER_TURN {
                match driven.progress() {
                    true => (empty, has_worked) = (0, true),
                    false => empty += 1,
                }
                if empty == EMPTY_STEPS {
                    break;
                }
            }
            Ticked::StoodIn(has_worked)
        })
    }

    fn is_needed(&self) -> bool {
        self.stand_in.is_needed()
    }
}
