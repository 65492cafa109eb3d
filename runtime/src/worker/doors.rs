//! Where the schedulers of a process sleep, for others to ring.

/// The events of another process's schedulers.
pub(crate) struct Doors {
    count: usize,
}

impl Doors {
    pub(super) fn new(count: usize) -> Self {
        Self { count }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    #[inline(always)]
    pub(super) fn ring(&self, _scheduler: usize) {}
}
