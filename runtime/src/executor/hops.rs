//! A turn of the loop for a task that waits for what a source of its own scheduler makes.
//!
//! - RL-3 a task that sees such a source ready gets a turn for the sources alone, and goes on after it.
//!   Every few of them is a whole turn, so nobody is kept waiting by tasks that go on like that.

use super::local::Local;
use crate::error::Result;
use std::cell::Cell;

/// So many of them, and then a whole turn.
const IN_A_ROW: u32 = 8;

/// See the module's page.
#[derive(Default)]
pub(crate) struct Hops {
    /// The next turn is such a one.
    is_next: Cell<bool>,
    count: Cell<u32>,
}

impl Hops {
    /// Whether this turn is one.
    #[inline(always)]
    pub(crate) fn is_now(&self) -> bool {
        self.is_next.get()
    }

    /// The sources have had their turn.
    #[inline(always)]
    pub(crate) fn end(&self) {
        self.is_next.set(false);
    }
}

impl Local {
    /// Lets the sources have their turn, of which one is ready, and comes straight back (RL-3).
    pub(crate) fn hop(&self) -> Result<()> {
        let count = self.hops.count.get().wrapping_add(1);
        self.hops.count.set(count);
        self.hops.is_next.set(!count.is_multiple_of(IN_A_ROW));
        self.yield_now()
    }
}
