//! A budget that several stores take from.
//!
//! - BDG-1 a store has taken the bytes of every extent that is there or being made, and gives them
//!   back when the extent is gone or was not made. It asks with none of its locks held, so whoever
//!   decides may wait a moment for others, and may have the store trimmed meanwhile.

use std::fmt;

use super::error::Holder;

/// Says what a store may take beside others.
pub trait Budget: Send + Sync {
    /// Takes `bytes` for an extent, if there are so many. An `urgent` one is needed for an object;
    /// others would only be large enough for what comes next, and nobody is disturbed for them.
    fn take(&self, bytes: usize, urgent: bool) -> bool;

    /// Gives back bytes that were taken.
    fn give_back(&self, bytes: usize);

    /// How many bytes nobody has, and who has the rest, this store aside.
    fn others(&self) -> (usize, Vec<Holder>);
}

impl fmt::Debug for dyn Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Budget")
    }
}
