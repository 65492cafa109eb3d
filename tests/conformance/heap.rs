//! Channels on the heap.

use maser_shm::channel::{ChannelError, TryRecvError, TrySendError, broadcast, mpsc, spsc};

use crate::{Channel, RecvEnd, SendEnd, Value};

/// Forwards the traits to the methods of the same name.
macro_rules! ends {
    ($sender:ty, $receiver:ty) => {
        impl<T: Value> SendEnd<T> for $sender {
            fn try_send(&mut self, value: T) -> Result<(), TrySendError<T>> {
                self.try_send(value)
            }
            fn is_full(&mut self) -> bool {
                self.is_full()
            }
            fn is_closed(&self) -> bool {
                self.is_closed()
            }
            fn capacity(&self) -> usize {
                self.capacity()
            }
        }
        impl<T: Value> RecvEnd<T> for $receiver {
            fn try_recv(&mut self) -> Result<T, TryRecvError> {
                self.try_recv()
            }
            fn is_ready(&self) -> bool {
                self.is_ready()
            }
            fn is_closed(&self) -> bool {
                self.is_closed()
            }
        }
    };
}

pub(crate) use ends;

/// `spsc::channel`.
pub struct Positions;
ends!(spsc::Sender<T>, spsc::Receiver<T>);
impl Channel for Positions {
    type Sender<T: Value> = spsc::Sender<T>;
    type Receiver<T: Value> = spsc::Receiver<T>;
    fn open<T: Value>(
        capacity: usize,
    ) -> Result<(Self::Sender<T>, Self::Receiver<T>), ChannelError> {
        spsc::channel(capacity)
    }
}

/// `spsc::line_channel`.
pub struct Line;
ends!(spsc::LineSender<T>, spsc::LineReceiver<T>);
impl Channel for Line {
    type Sender<T: Value> = spsc::LineSender<T>;
    type Receiver<T: Value> = spsc::LineReceiver<T>;
    fn open<T: Value>(
        capacity: usize,
    ) -> Result<(Self::Sender<T>, Self::Receiver<T>), ChannelError> {
        spsc::line_channel(capacity)
    }
}

/// `mpsc::channel` with one lane.
pub struct Lanes;
ends!(mpsc::Sender<T>, mpsc::Receiver<T>);
impl Channel for Lanes {
    type Sender<T: Value> = mpsc::Sender<T>;
    type Receiver<T: Value> = mpsc::Receiver<T>;
    fn open<T: Value>(
        capacity: usize,
    ) -> Result<(Self::Sender<T>, Self::Receiver<T>), ChannelError> {
        let (mut senders, receiver) = mpsc::channel(1, capacity)?;
        Ok((senders.remove(0), receiver))
    }
}

/// `broadcast::channel` with one reader.
pub struct Broadcast;
ends!(broadcast::Sender<T>, broadcast::Receiver<T>);
impl Channel for Broadcast {
    type Sender<T: Value> = broadcast::Sender<T>;
    type Receiver<T: Value> = broadcast::Receiver<T>;
    fn open<T: Value>(
        capacity: usize,
    ) -> Result<(Self::Sender<T>, Self::Receiver<T>), ChannelError> {
        let (sender, mut receivers) = broadcast::channel(1, capacity)?;
        Ok((sender, receivers.remove(0)))
    }
}
