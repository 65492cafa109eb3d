//! The thieves' end. The rules are in [`super`].

use std::ptr::{self, NonNull};

use super::{Arc, Shared, Top, Worker, model_fence};
use crate::sync::atomic::Ordering;

/// Most items that [`Stealer::steal_batch`] takes at once.
pub const BATCH: usize = if cfg!(loom) { 2 } else { 32 };

/// What came of a theft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Steal {
    /// There was nothing to take.
    Empty,
    /// Another thief was at work, or the owner was faster: look again later.
    Retry,
    /// The oldest item, now the caller's.
    Success(NonNull<()>),
}

/// The thieves' end.
#[derive(Clone)]
pub struct Stealer {
    shared: Arc<Shared>,
}

impl Stealer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Takes the oldest item.
    pub fn steal(&self) -> Steal {
        let mut items = [ptr::null_mut()];
        match self.steal_some(&mut items) {
            Ok(_) => found(items[0]),
            Err(failed) => failed,
        }
    }

    /// Takes up to half of the items, at most [`BATCH`]: returns the oldest and pushes the others
    /// onto `into`, oldest first.
    pub fn steal_batch(&self, into: &Worker) -> Steal {
        let mut items = [ptr::null_mut(); BATCH];
        match self.steal_some(&mut items) {
            Ok(count) => {
                items[1..count]
                    .iter()
                    .copied()
                    .filter_map(NonNull::new)
                    .for_each(|i| into.push(i));
                found(items[0])
            }
            Err(failed) => failed,
        }
    }

    /// Whether there is no item; only a hint.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let top = self.shared.top(Ordering::Relaxed);
        self.shared.owned.bottom.load(Ordering::Relaxed) <= top.index
    }

    /// A number for the oldest item: the same number at two looks means that one and the same item
    /// has been waiting in between.
    #[inline]
    #[must_use]
    pub fn oldest_index(&self) -> u64 {
        // Both only grow, so the sum stays the same only if both do.
        let refills = self.shared.owned.refills.load(Ordering::Relaxed);
        self.shared
            .top(Ordering::Relaxed)
            .index
            .wrapping_add(refills)
    }

    /// Takes up to half of the items, at least one; how many, into `items`, oldest first.
    fn steal_some(&self, items: &mut [*mut ()]) -> Result<usize, Steal> {
        let shared = &*self.shared;
        let top = shared.top(Ordering::Acquire);
        let index = top.index;
        let bottom = shared.owned.bottom.load(Ordering::Acquire);
        if bottom <= index {
            return Err(Steal::Empty);
        }
        let wanted = (bottom - index).div_ceil(2).min(items.len() as u64);
        let mut claim = Top {
            index,
            claimed: wanted,
        };
        if top.claimed != 0 || shared.exchange_top(top, claim).is_err() {
            return Err(Steal::Retry); // DQ-7
        }
        model_fence();
        let bottom = shared.owned.bottom.load(Ordering::SeqCst); // DQ-3, DQ-2
        let there = bottom.saturating_sub(index).min(wanted);
        // SAFETY: BF-2, `shared` keeps it.
        let buffer = unsafe { &*shared.owned.buffer.load(Ordering::Acquire) };
        for (offset, item) in (0..there).zip(&mut *items) {
            *item = buffer.slot(index + offset).load(Ordering::Relaxed); // DQ-6
        }
        // DQ-5: commits to as many as the owner has left in the claim; none is a withdrawal.
        loop {
            let count = there.min(claim.claimed);
            match shared.exchange_top(
                claim,
                Top {
                    index: index + count,
                    claimed: 0,
                },
            ) {
                Ok(()) if count == 0 => return Err(Steal::Empty),
                Ok(()) => return Ok(count as usize),
                Err(now) if now.index == index => claim = now,
                Err(_) => return Err(Steal::Retry),
            }
        }
    }
}

fn found(item: *mut ()) -> Steal {
    // DQ-2: a slot below `bottom` has been written.
    Steal::Success(NonNull::new(item).expect("DQ-2: an item was pushed here"))
}
