//! What several files of these tests use.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use maser::sync::Mutex;

/// Held by a test, it keeps tasks where they are; given back, it lets them go on.
pub type Gate = Arc<Mutex<()>>;

/// An open gate; `gate.lock()` closes it for as long as the guard lives.
pub fn gate() -> Gate {
    Arc::default()
}

/// Gives `value` once the gate is open.
#[maser::task(local)]
pub fn held(gate: Gate, value: u64) -> maser::Result<u64> {
    drop(gate.lock()?);
    Ok(value)
}

/// How many [`Counted`] values there were and are.
#[derive(Clone, Debug, Default)]
pub struct Count(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    made: AtomicUsize,
    dropped: AtomicUsize,
}

/// A value that is counted.
#[derive(Debug)]
pub struct Counted(Count);

impl Count {
    /// One more.
    pub fn make(&self) -> Counted {
        self.0.made.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone())
    }

    /// How many are alive.
    pub fn alive(&self) -> usize {
        self.0.made.load(Ordering::Acquire) - self.0.dropped.load(Ordering::Acquire)
    }

    /// How many were dropped.
    pub fn dropped(&self) -> usize {
        self.0.dropped.load(Ordering::Acquire)
    }

    /// Waits until `alive` are left; other work goes on meanwhile.
    pub fn wait_for_alive(&self, alive: usize) {
        while self.alive() != alive {
            maser::yield_now();
        }
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.0.make()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.dropped.fetch_add(1, Ordering::AcqRel);
    }
}

/// An error of a program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("refused: {0}")]
pub struct Refused(pub u64);
