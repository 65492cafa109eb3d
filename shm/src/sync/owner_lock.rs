//! A lock that costs its owner two plain stores and two loads: for state that one thread uses
//! nearly always, and others now and then.
//!
//! The owner is the first thread that enters. It announces itself in `busy` and looks whether it
//! is `barred`. Another thread bars the owner, makes that visible with a heavy barrier
//! (`os::membarrier`), and waits until the owner is out. A lock that strangers use often becomes
//! an ordinary one for good, unless it was made [`kept_by`](OwnerLock::kept_by) its owner.
//!
//! The ownership never goes to another thread: an owner that does not know yet that it lost it
//! would clear the `busy` of its successor (a model found this).
//!
//! - OL-1 the owner is in by the short way if `owner` named it after it saw `barred` clear, having
//!   set `busy` before. A thread is in by the long way if it holds `gate`, and either nobody may go
//!   the short way or it has set `barred` and seen `busy` clear after its heavy barrier.
//! - OL-2 `busy = true`, light barrier, `barred` on one side; `barred = true`, heavy barrier, `busy`
//!   on the other (Dekker): not both can miss the other.
//! - OL-3 `owner` goes from nobody to a thread to `SHARED`, by threads that are in the long way,
//!   before `barred` is cleared with Release; the short way reads it after `barred` with Acquire.
//!   So nobody enters by an ownership that is over.
//! - OL-4 clearing `busy` and opening `gate` release what was done inside; setting and seeing them
//!   acquires it.
//!
//! A thread may die inside only together with the process.
//! Model: `shm/tests/loom_owner_lock.rs`.

use super::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use super::hint::spin_loop;
use crate::os::membarrier;

/// Nobody has entered yet.
const NOBODY: u64 = 0;
/// Nobody enters by the short way any more.
const SHARED: u64 = u64::MAX;
/// Visits of strangers after which a lock becomes an ordinary one: each costs some microseconds.
const VISITS: u32 = if cfg!(loom) { 2 } else { 64 };

/// Looks of a thread that does not wait.
const TRIES: u32 = if cfg!(loom) { 1 } else { 512 };

/// See the module's page.
#[derive(Debug)]
pub struct OwnerLock {
    /// Number of the owning thread (OL-3).
    owner: AtomicU64,
    /// Set by the owner while it is in.
    busy: AtomicBool,
    /// Set while another thread wants in or is in.
    barred: AtomicBool,
    /// Held by at most one thread that goes the long way.
    gate: AtomicBool,
    /// Visits of strangers so far; written under `gate`. Not counted in a lock that is kept.
    visits: AtomicU32,
    /// It stays its owner's however often strangers enter.
    kept: bool,
}

/// The right to be inside; gives it back when dropped.
#[must_use = "the lock is given back when the guard is dropped"]
#[derive(Debug)]
pub struct OwnerGuard<'a> {
    lock: &'a OwnerLock,
    short: bool,
}

impl OwnerLock {
    /// An open lock that nobody owns yet.
    pub fn new() -> Self {
        Self::with(NOBODY, false)
    }

    /// An open lock of `thread`, which stays its owner however often others enter.
    pub fn kept_by(thread: u64) -> Self {
        Self::with(thread, true)
    }

    fn with(owner: u64, kept: bool) -> Self {
        Self {
            owner: AtomicU64::new(owner),
            busy: AtomicBool::new(false),
            barred: AtomicBool::new(false),
            gate: AtomicBool::new(false),
            visits: AtomicU32::new(0),
            kept,
        }
    }

    /// Enters as `thread`: a number that no other thread has, neither 0 nor the largest. Others
    /// are inside for short: it spins, then yields.
    ///
    /// # Panics
    /// If the owner is inside already: the lock is not re-entrant.
    #[inline(always)]
    pub fn lock(&self, thread: u64) -> OwnerGuard<'_> {
        if self.owner.load(Ordering::Relaxed) == thread {
            assert!(
                !self.busy.load(Ordering::Relaxed),
                "an owner lock was entered again from inside"
            );
            self.busy.store(true, Ordering::Relaxed);
            membarrier::light(); // OL-2
            if !self.barred.load(Ordering::Acquire) && self.owner.load(Ordering::Relaxed) == thread
            {
                return OwnerGuard {
                    lock: self,
                    short: true,
                };
            }
            self.busy.store(false, Ordering::Release);
        }
        self.lock_the_long_way(thread)
    }

    /// Enters as `thread`, which is not the owner's, unless others stay inside for longer than a few
    /// looks: the owner may sleep there.
    #[cold]
    pub fn try_lock(&self, thread: u64) -> Option<OwnerGuard<'_>> {
        if self
            .gate
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            return None;
        }
        // What it does when it goes out is what a thread does that gives up: it opens both (OL-3).
        let guard = OwnerGuard {
            lock: self,
            short: false,
        };
        match self.owner.load(Ordering::Relaxed) {
            NOBODY => self.owner.store(thread, Ordering::Relaxed),
            SHARED => {}
            _ => {
                self.barred.store(true, Ordering::Relaxed);
                membarrier::heavy(); // OL-2
                let mut looks = 0;
                while self.busy.load(Ordering::Acquire) {
                    if looks >= TRIES {
                        return None;
                    }
                    relax(&mut looks);
                }
            }
        }
        Some(guard)
    }

    #[cold]
    fn lock_the_long_way(&self, thread: u64) -> OwnerGuard<'_> {
        let mut looks = 0;
        while self
            .gate
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            relax(&mut looks);
        }
        match self.owner.load(Ordering::Relaxed) {
            NOBODY => self.owner.store(thread, Ordering::Relaxed),
            SHARED => {}
            _ => {
                self.barred.store(true, Ordering::Relaxed);
                membarrier::heavy(); // OL-2
                while self.busy.load(Ordering::Acquire) {
                    relax(&mut looks);
                }
                if !self.kept {
                    let visits = self.visits.load(Ordering::Relaxed) + 1;
                    self.visits.store(visits, Ordering::Relaxed);
                    if visits >= VISITS {
                        self.owner.store(SHARED, Ordering::Relaxed); // OL-3
                    }
                }
            }
        }
        OwnerGuard {
            lock: self,
            short: false,
        }
    }
}

impl Default for OwnerLock {
    fn default() -> Self {
        Self::new()
    }
}

fn relax(looks: &mut u32) {
    *looks += 1;
    if cfg!(loom) || looks.is_multiple_of(64) {
        super::thread::yield_now();
    }
    spin_loop();
}

impl Drop for OwnerGuard<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.short {
            self.lock.busy.store(false, Ordering::Release); // OL-4
        } else {
            self.lock.barred.store(false, Ordering::Release); // OL-3
            self.lock.gate.store(false, Ordering::Release); // OL-4
        }
    }
}

/// A number that no other thread of this process has or will have.
#[cfg(not(loom))]
#[inline(always)]
pub fn thread_number() -> u64 {
    use std::cell::Cell;
    thread_local! { static NUMBER: Cell<u64> = const { Cell::new(0) } }
    static NEXT: AtomicU64 = AtomicU64::new(1);
    #[cold]
    fn first() -> u64 {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        NUMBER.with(|slot| slot.set(number));
        number
    }
    match NUMBER.with(Cell::get) {
        0 => first(),
        number => number,
    }
}
