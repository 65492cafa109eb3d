//! Lanes in control memory: each is a line ring in a region of its own.
//!
//! So the lane of a process that is dead, or that must not be trusted, ends alone. A region holds
//! [`line_bytes`](crate::channel::spsc::line_bytes).

use super::{Receiver, Sender};
use crate::channel::spsc::{line_receiver_in, line_sender_in};
use crate::channel::{ChannelError, PeerFault, Shared};
use crate::control::{Plain, Region};

/// Opens the sending end of a lane in `region`, which nothing but this lane has used. The receiver
/// may add it earlier or later, in another process.
///
/// # Errors
///
/// [`ChannelError`] as for a line ring.
///
/// # Examples
///
/// ```
/// use maser_shm::channel::{Shared, mpsc, spsc::line_bytes};
/// use maser_shm::control::ControlMemory;
///
/// let memory = ControlMemory::create(line_bytes::<u64>(4)?)?;
/// let mut receiver = mpsc::Receiver::<u64, Shared>::new();
/// receiver.add_lane_in(&memory.whole(), 4)?;
/// // In another process, over `ControlMemory::attach`.
/// let mut sender = mpsc::sender_in::<u64>(&memory.whole(), 4)?;
/// sender.try_send(7).unwrap();
/// assert_eq!(receiver.try_recv(), Ok(7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn sender_in<T: Plain>(
    region: &Region,
    capacity: usize,
) -> Result<Sender<T, Shared>, ChannelError> {
    line_sender_in(region, capacity).map(Sender)
}

impl<T> Sender<T, Shared> {
    /// The process of the receiver is dead: from now on the lane is closed.
    pub fn peer_died(&mut self) {
        self.0.peer_died();
    }

    /// Why the lane is closed, if the receiver was not dropped.
    #[must_use]
    pub fn fault(&self) -> Option<PeerFault> {
        self.0.fault()
    }
}

impl<T: Plain> Receiver<T, Shared> {
    /// A receiver without lanes, which is closed until one is added.
    #[must_use]
    pub fn new() -> Self {
        Self {
            lanes: Vec::new(),
            served: usize::MAX,
        }
    }

    /// Adds the lane in `region`; also reopens a closed channel.
    ///
    /// # Errors
    ///
    /// As [`sender_in`].
    pub fn add_lane_in(&mut self, region: &Region, capacity: usize) -> Result<(), ChannelError> {
        self.lanes.push(line_receiver_in(region, capacity)?);
        Ok(())
    }

    /// The process of the sender whose lane lies in `region` is dead: what it had published is still
    /// given out, then its lane goes.
    pub fn peer_died(&mut self, region: &Region) {
        for lane in self.lanes.iter_mut().filter(|lane| lane.is_in(region)) {
            lane.peer_died();
        }
    }

    /// Why the lane in `region` ends, if its sender was not dropped; `None` also once it is gone.
    #[must_use]
    pub fn fault(&self, region: &Region) -> Option<PeerFault> {
        let lane = self.lanes.iter().find(|lane| lane.is_in(region))?;
        lane.fault()
    }
}

impl<T: Plain> Default for Receiver<T, Shared> {
    fn default() -> Self {
        Self::new()
    }
}
