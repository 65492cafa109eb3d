//! Whom to wake when a value was put on an edge.
//!
//! ```text
//! byte   0  waiting   u64, waiters for results of the graph that may be asleep. Written by the
//!                     driver, read by the process that sends results
//! byte 128  rung      u64, grows when they are to be woken. Written by that process
//! ```
//!
//! - RR-1 those who wait for results are threads and tasks of the driver that only it can wake. The
//!   sender of a result publishes it, passes a full fence, and then reads `waiting`; a waiter writes
//!   `waiting`, passes one, and then looks for the result. If somebody waits the sender raises `rung`
//!   and wakes one scheduler of the driver, which polls that word and wakes them all (DR-4).

use super::word::Word;
use crate::worker::doors::Doors;
use crate::worker::peer::Peer;
use maser_shm::control::{ControlError, REGION_ALIGN, Region};
use maser_shm::sync::atomic::{Ordering, fence};
use std::sync::Arc;

/// The words of RR-1.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) waiting: Word,
    pub(crate) rung: Word,
}

impl Waiting {
    /// Bytes that they need.
    pub(crate) const BYTES: usize = 2 * REGION_ALIGN;

    /// At the start of `region`.
    pub(crate) fn new(region: &Region) -> Result<Self, ControlError> {
        Ok(Self {
            waiting: Word::new(region)?,
            rung: Word::new(&region.part(REGION_ALIGN, REGION_ALIGN)?)?,
        })
    }
}

/// See the module's page.
pub(crate) enum Ringer {
    /// The receiver is the very scheduler that sends.
    Nobody,
    /// A scheduler of a process that this one is linked to.
    Scheduler(Arc<Peer>, usize),
    /// The scheduler of another worker.
    Sibling(Arc<Doors>),
    /// Those who wait for results.
    Results {
        words: Waiting,
        driver: Arc<Peer>,
        /// The scheduler that wakes them.
        gate: usize,
    },
}

impl Ringer {
    /// Something was published.
    #[inline(always)]
    pub(crate) fn ring(&self) {
        match self {
            Self::Nobody => {}
            Self::Scheduler(peer, there) => peer.wake(*there),
            Self::Sibling(doors) => doors.ring(0),
            Self::Results {
                words,
                driver,
                gate,
            } => {
                fence(Ordering::SeqCst); // RR-1
                if words.waiting.load(Ordering::Relaxed) != 0 {
                    wake(words, driver, *gate);
                }
            }
        }
    }
}

#[cold]
fn wake(words: &Waiting, driver: &Peer, gate: usize) {
    words.rung.fetch_add(1, Ordering::Release);
    driver.wake(gate);
}
