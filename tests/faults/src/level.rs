//! What a process holds: descriptors, and mappings of files without a name.

use crate::row::{Outcome, broken, check};

/// Counts at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Open descriptors.
    pub descriptors: usize,
    /// Mappings of memfds.
    pub mappings: usize,
}

impl Level {
    /// Of the calling process.
    pub fn now() -> Outcome<Self> {
        let descriptors = std::fs::read_dir("/proc/self/fd").map_err(broken)?.count();
        let maps = std::fs::read("/proc/self/maps").map_err(broken)?;
        let mappings = maps
            .split(|&byte| byte == b'\n')
            .filter(|line| line.windows(7).any(|part| part == b"/memfd:"))
            .count();
        Ok(Self {
            descriptors,
            mappings,
        })
    }

    /// Whether everything has come back since `self` was taken.
    pub fn is_back(&self) -> Outcome<()> {
        let now = Self::now()?;
        check(now == *self, || {
            format!("leaked: {now:?} after the round and {self:?} before")
        })
    }
}
