//! An asymmetric fence: the frequent side pays nothing, the rare side pays a system call.
//!
//! Two threads that each store one word and then load the other's (Dekker) need a StoreLoad fence
//! on both sides, or both may miss the other's store. Here one side calls [`light`], the other
//! [`heavy`], and at least one of the two sees the other's store:
//!
//! - MB-1 before registration, and where the kernel refuses it, both are `fence(SeqCst)`.
//! - MB-2 after it, `light` only keeps the compiler from moving accesses across it, and `heavy`
//!   makes the kernel run a full fence on every core that runs a thread of this process (threads
//!   that do not run passed one when they were switched out). That fence falls either before the
//!   light side's store left its core, and then the light side's load comes later still and sees
//!   the heavy side's store, or after, and then the heavy side's load sees it.
//! - MB-3 registration may happen at any time, in any thread: `HEAVY` is raised first, then every
//!   core is fenced, then `LIGHT`. A thread that sees `LIGHT` (Acquire) therefore meets only heavy
//!   sides that saw `HEAVY`, or whose store had left its core before `LIGHT` was raised and is seen
//!   without a fence.
//! - MB-5 between processes neither is enough: the light side is a full fence there (EV-7), and `heavy`
//!   is one for the thread that calls it.
//! - MB-4 two `heavy` sides order against each other as well; two `light` sides do not.
//!
//! A forked child inherits both the registration and the flags. Under `cfg(loom)` both sides are
//! `fence(SeqCst)`: the models check that the pairs stand where they must. Miri knows no
//! membarrier and stays at MB-1.

use crate::sync::atomic::{Ordering, compiler_fence, fence};

#[cfg(not(any(loom, miri)))]
mod flags {
    use crate::sync::atomic::AtomicBool;

    /// Written once by `register`, read by `heavy`.
    pub(super) static HEAVY: AtomicBool = AtomicBool::new(false);
    /// Written once by `register` after `HEAVY` and a fence on every core, read by `light`.
    pub(super) static LIGHT: AtomicBool = AtomicBool::new(false);
}

/// Registers this process; returns whether [`light`] is free from now on.
///
/// Call it once when the runtime starts. Calling it again costs a load; calling it while other
/// threads use the fences is sound (MB-3).
#[cfg(not(any(loom, miri)))]
pub fn register() -> bool {
    use rustix::thread::{MembarrierCommand, MembarrierQuery, membarrier, membarrier_query};

    if is_asymmetric() {
        return true;
    }
    if !membarrier_query().contains(MembarrierQuery::PRIVATE_EXPEDITED)
        || membarrier(MembarrierCommand::RegisterPrivateExpedited).is_err()
        || membarrier(MembarrierCommand::PrivateExpedited).is_err()
    {
        return false;
    }
    flags::HEAVY.store(true, Ordering::SeqCst);
    fence_every_core();
    // MB-3: Release pairs with the Acquire load in `light`.
    flags::LIGHT.store(true, Ordering::Release);
    true
}

/// Registers nothing: models and miri stay with two full fences.
#[cfg(any(loom, miri))]
pub fn register() -> bool {
    false
}

/// Whether [`light`] is free and [`heavy`] a system call.
#[inline]
#[must_use]
pub fn is_asymmetric() -> bool {
    #[cfg(not(any(loom, miri)))]
    return flags::LIGHT.load(Ordering::Acquire);
    #[cfg(any(loom, miri))]
    false
}

/// The frequent side's fence: a load of a flag and no instruction more once registered.
#[inline(always)]
pub fn light() {
    if is_asymmetric() {
        compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}

/// The rare side's fence: a system call, and an interrupt of each other core that runs a thread of
/// this process (measured on a virtual machine: 0.4 us alone, 4 to 7 us with one other core).
#[inline]
pub fn heavy() {
    #[cfg(not(any(loom, miri)))]
    {
        compiler_fence(Ordering::SeqCst);
        if flags::HEAVY.load(Ordering::Relaxed) {
            return fence_every_core();
        }
    }
    fence(Ordering::SeqCst);
}

/// # Panics
/// When a call that has succeeded before is refused: going on without it would lose wake-ups.
#[cfg(not(any(loom, miri)))]
#[cold]
fn fence_every_core() {
    rustix::thread::membarrier(rustix::thread::MembarrierCommand::PrivateExpedited).expect(
        "membarrier was granted and is now refused; install seccomp filters before the runtime",
    );
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::atomic::AtomicU32;

    /// Counts rounds in which neither side saw the other, with registration in the midst of them.
    #[test]
    fn one_of_two_sides_always_sees_the_other() {
        let rounds = if cfg!(miri) { 20 } else { 20_000 };
        let (x, y) = (AtomicU32::new(0), AtomicU32::new(0));
        let (seen_light, seen_heavy) = (AtomicU32::new(0), AtomicU32::new(0));
        let barrier = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 1..=rounds {
                    barrier.wait();
                    x.store(round, Ordering::Relaxed);
                    light();
                    seen_light.store(y.load(Ordering::Relaxed), Ordering::Relaxed);
                    barrier.wait();
                }
            });
            for round in 1..=rounds {
                if round == rounds / 2 {
                    register();
                }
                barrier.wait();
                y.store(round, Ordering::Relaxed);
                heavy();
                seen_heavy.store(x.load(Ordering::Relaxed), Ordering::Relaxed);
                barrier.wait();
                let light_saw = seen_light.load(Ordering::Relaxed) == round;
                let heavy_saw = seen_heavy.load(Ordering::Relaxed) == round;
                assert!(light_saw || heavy_saw, "round {round}: both missed (MB-2)");
            }
        });
    }
}
