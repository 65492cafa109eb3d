//! Channels in control memory, each end over a mapping of its own as in two processes.

use maser_shm::channel::{ChannelError, Shared, TryRecvError, TrySendError, broadcast, mpsc, spsc};
use maser_shm::control::{ControlMemory, Region};

use crate::heap::ends;
use crate::{PlainChannel, PlainValue, RecvEnd, SendEnd, Value};

/// The same memory, mapped twice.
fn two_views(bytes: usize) -> (Region, Region) {
    let here = ControlMemory::create(bytes).expect("some control memory");
    let file = here
        .file()
        .try_clone_to_owned()
        .expect("one more descriptor");
    let there = ControlMemory::attach(file, here.bytes() as u64, "this process");
    (here.whole(), there.expect("what was just made").whole())
}

ends!(spsc::Sender<T, Shared>, spsc::Receiver<T, Shared>);
ends!(spsc::LineSender<T, Shared>, spsc::LineReceiver<T, Shared>);

ends!(mpsc::Sender<T, Shared>, mpsc::Receiver<T, Shared>);
ends!(broadcast::Sender<T, Shared>, broadcast::Receiver<T, Shared>);

/// `spsc::sender_in`.
pub struct SharedPositions;
impl PlainChannel for SharedPositions {
    fn open_plain<T: PlainValue>(
        capacity: usize,
    ) -> Result<(impl SendEnd<T> + 'static, impl RecvEnd<T> + 'static), ChannelError> {
        let (here, there) = two_views(spsc::channel_bytes::<T>(capacity)?);
        // The receiver first: no end waits for another.
        let receiver = spsc::receiver_in::<T>(&there, capacity)?;
        Ok((spsc::sender_in::<T>(&here, capacity)?, receiver))
    }
}

/// `spsc::line_sender_in`.
pub struct SharedLine;
impl PlainChannel for SharedLine {
    fn open_plain<T: PlainValue>(
        capacity: usize,
    ) -> Result<(impl SendEnd<T> + 'static, impl RecvEnd<T> + 'static), ChannelError> {
        let (here, there) = two_views(spsc::line_bytes::<T>(capacity)?);
        let receiver = spsc::line_receiver_in::<T>(&there, capacity)?;
        Ok((spsc::line_sender_in::<T>(&here, capacity)?, receiver))
    }
}

/// `mpsc::sender_in` with one lane.
pub struct SharedLanes;
impl PlainChannel for SharedLanes {
    fn open_plain<T: PlainValue>(
        capacity: usize,
    ) -> Result<(impl SendEnd<T> + 'static, impl RecvEnd<T> + 'static), ChannelError> {
        let (here, there) = two_views(spsc::line_bytes::<T>(capacity)?);
        let mut receiver = mpsc::Receiver::<T, Shared>::new();
        receiver.add_lane_in(&there, capacity)?;
        Ok((mpsc::sender_in::<T>(&here, capacity)?, receiver))
    }
}

/// `broadcast::sender_in` with one reader.
pub struct SharedBroadcast;
impl PlainChannel for SharedBroadcast {
    fn open_plain<T: PlainValue>(
        capacity: usize,
    ) -> Result<(impl SendEnd<T> + 'static, impl RecvEnd<T> + 'static), ChannelError> {
        let (here, there) = two_views(broadcast::channel_bytes::<T>(1, capacity)?);
        let receiver = broadcast::receiver_in::<T>(&there, 1, capacity, 0)?;
        Ok((broadcast::sender_in::<T>(&here, 1, capacity)?, receiver))
    }
}
