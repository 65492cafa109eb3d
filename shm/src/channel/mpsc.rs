//! Many producers to one consumer, a lane each.
//!
//! A lane is a [`line_channel`]: a producer shares no line with any
//! other, so producers never wait for each other and need no read-modify-write. The receiver looks
//! at the lanes in turn.
//!
//! - ML-1 a lane is left once what its line had when it was looked at is taken, and the next look
//!   starts at the lane after it. So a lane that has a value is served before any other lane is
//!   served more than a line: one value of 29 bytes or more, 7 words. (Leaving it earlier would
//!   fetch the same line again for each value.)
//! - ML-2 values of one lane keep their order; between lanes there is none.
//! - ML-3 a lane whose sender is gone and which is empty after that was seen (EN-1) is taken out;
//!   the channel is closed when no lane is left.
//!
//! - ML-4 a lane in control memory whose peer wrote what cannot be counts as one whose sender is
//!   gone (LR-5); the other lanes go on.
//!
//! Lanes can be added while the channel is in use, by the receiver, which owns them.
//!
//! Model: `tests/loom_mpsc.rs`. Conformance: `channel_suite!`.

use super::spsc::{LineReceiver, LineSender, line_channel};
use super::{ChannelError, Heap, Place, TryRecvError, TrySendError};

#[cfg(not(loom))]
mod shared;

#[cfg(not(loom))]
pub use shared::sender_in;

/// Makes a channel of `lanes` senders, each with a ring of at least `capacity` slots of its own.
///
/// # Errors
///
/// [`ChannelError`] if `lanes` or `capacity` is zero, `capacity` is too large, or memory is short.
///
/// # Examples
///
/// ```
/// let (mut senders, mut receiver) = maser_shm::channel::mpsc::channel(2, 4)?;
/// senders[1].try_send('b').unwrap();
/// senders[0].try_send('a').unwrap();
/// assert_eq!([receiver.try_recv(), receiver.try_recv()], [Ok('a'), Ok('b')]);
/// # Ok::<(), maser_shm::channel::ChannelError>(())
/// ```
#[allow(clippy::type_complexity, reason = "the ends are made together")]
pub fn channel<T: Send>(
    lanes: usize,
    capacity: usize,
) -> Result<(Vec<Sender<T>>, Receiver<T>), ChannelError> {
    if lanes == 0 {
        return Err(ChannelError::ZeroLanes);
    }
    let mut receiver = Receiver {
        lanes: Vec::with_capacity(lanes),
        served: usize::MAX,
    };
    let senders = (0..lanes)
        .map(|_| receiver.add_lane(capacity))
        .collect::<Result<_, _>>()?;
    Ok((senders, receiver))
}

/// One of the sending ends of a [`channel`].
pub struct Sender<T, P: Place = Heap>(LineSender<T, P>);

impl<T, P: Place> Sender<T, P> {
    /// Puts `value` into this sender's lane.
    ///
    /// # Errors
    ///
    /// [`TrySendError::Full`] if the lane is full or [`TrySendError::Closed`], with the value.
    #[inline(always)]
    pub fn try_send(&mut self, value: T) -> Result<(), TrySendError<T>> {
        self.0.try_send(value)
    }

    /// Sends values of `values` until the lane is full or closed or there are no more; returns
    /// how many. No value is taken from the iterator that is not sent.
    #[inline]
    pub fn try_send_batch(&mut self, values: &mut impl Iterator<Item = T>) -> usize {
        self.0.try_send_batch(values)
    }

    /// Whether `try_send` would now answer [`TrySendError::Full`].
    #[inline]
    pub fn is_full(&mut self) -> bool {
        self.0.is_full()
    }

    /// Whether the receiver is gone.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Values the lane holds at most.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

/// The receiving end of a [`channel`].
#[repr(align(64))]
pub struct Receiver<T, P: Place = Heap> {
    lanes: Vec<LineReceiver<T, P>>,
    /// The lane served last (ML-1); `usize::MAX` stands before lane 0.
    served: usize,
}

impl<T, P: Place> Receiver<T, P> {
    /// Takes a value of the next lane that has one.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`], or [`TryRecvError::Closed`] once everything sent was received and
    /// all senders are gone.
    #[inline]
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        if let Some(lane) = self.lanes.get_mut(self.served)
            && lane.has_seen()
        {
            return lane.try_recv();
        }
        // Counted only where a peer could make a lane look ready for ever (ML-4).
        let mut others = self.lanes.len();
        while let Some(lane) = self.next_ready() {
            self.served = lane;
            match self.lanes[lane].try_recv() {
                Err(_) if P::IS_SHARED && others > 0 => others -= 1,
                Err(_) if P::IS_SHARED => break,
                received => return received,
            }
        }
        Err(self.settle_empty())
    }

    /// Hands up to `max` values to `f`, of each lane in turn what was there; returns how many.
    #[inline]
    pub fn try_recv_batch(&mut self, max: usize, mut f: impl FnMut(T)) -> usize {
        let mut received = 0;
        for _ in 0..self.lanes.len() {
            if received == max {
                break;
            }
            self.served = self.after_served();
            let lane = &mut self.lanes[self.served];
            // Bounded by the ring, so that a fast sender does not keep the others out.
            received += lane.try_recv_batch(lane.capacity().min(max - received), &mut f);
        }
        received
    }

    /// Whether a value is there: one load for each lane.
    #[inline]
    pub fn is_ready(&self) -> bool {
        self.lanes.iter().any(LineReceiver::is_ready)
    }

    /// Whether all senders are gone; values they sent may still be here.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.lanes.iter().all(LineReceiver::is_closed)
    }

    /// Senders that are not known to be gone.
    #[inline]
    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// The lane after the one served last.
    #[inline(always)]
    fn after_served(&self) -> usize {
        let next = self.served.wrapping_add(1);
        if next < self.lanes.len() { next } else { 0 }
    }

    /// The first lane after the one served last that has a value; that one comes last.
    #[inline(always)]
    fn next_ready(&self) -> Option<usize> {
        let (before, from) = self.lanes.split_at(self.after_served());
        match from.iter().position(LineReceiver::is_ready) {
            Some(lane) => Some(before.len() + lane),
            None => before.iter().position(LineReceiver::is_ready),
        }
    }

    /// Takes out the lanes that will never have a value (ML-3); tells empty from closed.
    #[cold]
    fn settle_empty(&mut self) -> TryRecvError {
        // Lanes up to the one served last; if one of them goes, the lane before it counts as that.
        let until_served = self.served.wrapping_add(1);
        let mut index = 0;
        self.lanes.retain(|lane| {
            // In this order: a value sent before the flag was set is then seen.
            let is_left = !lane.is_closed() || lane.is_ready();
            if !is_left && index < until_served {
                self.served = self.served.wrapping_sub(1);
            }
            index += 1;
            is_left
        });
        if self.lanes.is_empty() {
            TryRecvError::Closed
        } else {
            TryRecvError::Empty
        }
    }
}

impl<T> Receiver<T> {
    /// Adds a lane of at least `capacity` slots; also reopens a closed channel.
    ///
    /// # Errors
    ///
    /// [`ChannelError`] if `capacity` is zero or too large, or memory is short.
    pub fn add_lane(&mut self, capacity: usize) -> Result<Sender<T>, ChannelError>
    where
        T: Send,
    {
        let (sender, lane) = line_channel(capacity)?;
        self.lanes.push(lane);
        Ok(Sender(sender))
    }
}
