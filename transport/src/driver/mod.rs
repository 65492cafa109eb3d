//! Transports that go on while their scheduler is stuck in user code.
//!
//! A scheduler turns its transport in its loop. A task that computes for ten seconds keeps it from that, and
//! with it every peer that waits for an answer, a credit, or a sign of life. So a worker has one [`Helper`]: a
//! thread that sleeps unless something is needed of a transport, and then looks, a few times a second, whether
//! each is still turned. One that is not it turns itself, by [`Drive::progress`]: nothing is told to the
//! program, what happens waits for the scheduler.
//!
//! - DV-1 who turns a [`Shared`] is inside its stand-in (SI-1), for one bounded turn. The scheduler pays two plain
//!   stores for that.
//! - DV-2 a helper turns what was not turned for a tick and is needed: its [`Drive`] says so when a turn
//!   ends. A scheduler that sleeps in [`Shared::park`] needs no helper: it wakes by itself.
//! - DV-3 what the helper finds stays inside, within the limits that hold anyway: of queues, windows, credit.
//!   When they are reached, peers wait for the program, as they must.
//! - DV-4 the clock is the helper's: a stuck scheduler tells no time. The two read the same one.

mod helper;
mod queued;
mod shared;

pub use helper::Helper;
pub use queued::Queued;
pub use shared::{Shared, Turn};

use crate::protocol::Protocol;
use crate::transport::Transport;
use std::io;
use std::time::Duration;

/// What a scheduler turns, or a helper in its place.
pub trait Drive: Send + 'static {
    /// Does what is ready, and keeps what there is to tell. `true` if something was done. Bounded.
    fn progress(&mut self) -> bool;
    /// Tells the time.
    fn advance(&mut self, now_ns: u64);
    /// Whether a peer may wait for its turns.
    fn is_needed(&self) -> bool;
    /// Sleeps until there may be something to do.
    ///
    /// # Errors
    /// Of the operating system.
    fn wait(&mut self, limit: Option<Duration>) -> io::Result<()>;
}

impl<T: Transport + 'static> Drive for Protocol<T> {
    fn progress(&mut self) -> bool {
        Self::progress(self)
    }

    fn advance(&mut self, now_ns: u64) {
        Self::advance(self, now_ns);
    }

    fn is_needed(&self) -> bool {
        self.has_sessions()
    }

    fn wait(&mut self, limit: Option<Duration>) -> io::Result<()> {
        if self.has_notices() {
            return Ok(());
        }
        self.transport_mut().wait(limit)
    }
}
