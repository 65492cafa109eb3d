//! What every channel of values does, whatever ring is behind it.
//!
//! A suite is a list of generic functions; `channel_suite!(name, Ring)` instantiates it for one
//! implementation of [`Channel`]. A step that an implementation lacks is not in the trait: rings
//! differ in batches and peeking, and test those beside themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use maser_shm::channel::{ChannelError, TryRecvError, TrySendError, broadcast, mpsc, spsc};

/// A value any channel can carry.
trait Value: Clone + Send + Sync + 'static {}
impl<T: Clone + Send + Sync + 'static> Value for T {}

/// The sending end, as far as all channels have it in common.
trait SendEnd<T>: Send {
    fn try_send(&mut self, value: T) -> Result<(), TrySendError<T>>;
    fn is_full(&mut self) -> bool;
    fn is_closed(&self) -> bool;
    fn capacity(&self) -> usize;
}

/// The receiving end, as far as all channels have it in common.
trait RecvEnd<T>: Send {
    fn try_recv(&mut self) -> Result<T, TryRecvError>;
    fn is_ready(&self) -> bool;
    fn is_closed(&self) -> bool;
}

/// A kind of channel.
trait Channel {
    type Sender<T: Value>: SendEnd<T> + 'static;
    type Receiver<T: Value>: RecvEnd<T> + 'static;
    #[allow(clippy::type_complexity, reason = "two ends made together")]
    fn open<T: Value>(
        capacity: usize,
    ) -> Result<(Self::Sender<T>, Self::Receiver<T>), ChannelError>;
}

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

/// `spsc::channel`.
struct Positions;
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
struct Line;
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
struct Lanes;
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
struct Broadcast;
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

/// A value that counts how many of it are alive.
struct Counted(u64, Arc<AtomicUsize>);

impl Counted {
    fn new(value: u64, alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Relaxed);
        Self(value, alive.clone())
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Self::new(self.0, &self.1)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Relaxed);
    }
}

fn values_come_in_the_order_they_were_sent<C: Channel>() {
    let (mut sender, mut receiver) = C::open::<u64>(8).unwrap();
    for value in 0..8 {
        sender.try_send(value).unwrap();
    }
    for value in 0..8 {
        assert_eq!(receiver.try_recv(), Ok(value));
    }
}

fn positions_wrap_around_the_ring<C: Channel>() {
    let (mut sender, mut receiver) = C::open::<u64>(4).unwrap();
    for lap in 0..100 {
        for value in 0..3 {
            sender.try_send(lap * 3 + value).unwrap();
        }
        for value in 0..3 {
            assert_eq!(receiver.try_recv(), Ok(lap * 3 + value));
        }
    }
}

fn full_gives_the_value_back<C: Channel>() {
    for asked in [1, 2, 3, 7, 8] {
        let (mut sender, mut receiver) = C::open::<u64>(asked).unwrap();
        let capacity = sender.capacity() as u64;
        assert_eq!(capacity, asked.next_power_of_two() as u64);
        for value in 0..capacity {
            assert!(!sender.is_full());
            sender.try_send(value).unwrap();
        }
        assert!(sender.is_full());
        assert_eq!(sender.try_send(99), Err(TrySendError::Full(99)));
        assert_eq!(receiver.try_recv(), Ok(0));
        assert!(!sender.is_full());
        sender.try_send(capacity).unwrap();
        for value in 1..=capacity {
            assert_eq!(receiver.try_recv(), Ok(value));
        }
    }
}

fn empty_is_an_answer<C: Channel>() {
    let (mut sender, mut receiver) = C::open::<u64>(2).unwrap();
    assert!(!receiver.is_ready());
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    sender.try_send(1).unwrap();
    assert!(receiver.is_ready());
    assert_eq!(receiver.try_recv(), Ok(1));
    assert!(!receiver.is_ready());
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
}

fn a_dropped_sender_leaves_what_it_sent<C: Channel>() {
    let (mut sender, mut receiver) = C::open::<u64>(4).unwrap();
    sender.try_send(1).unwrap();
    sender.try_send(2).unwrap();
    assert!(!receiver.is_closed());
    drop(sender);
    assert!(receiver.is_closed());
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!(receiver.try_recv(), Ok(2));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
}

fn a_dropped_receiver_closes_the_channel<C: Channel>() {
    let (mut sender, receiver) = C::open::<u64>(4).unwrap();
    sender.try_send(1).unwrap();
    assert!(!sender.is_closed());
    drop(receiver);
    assert!(sender.is_closed());
    assert_eq!(sender.try_send(2), Err(TrySendError::Closed(2)));
}

fn values_left_are_dropped_once<C: Channel>() {
    for sender_first in [true, false] {
        for received in 0..4 {
            let alive = Arc::new(AtomicUsize::new(0));
            let (mut sender, mut receiver) = C::open::<Counted>(4).unwrap();
            for value in 0..6 {
                drop(sender.try_send(Counted::new(value, &alive)));
                if value < received {
                    assert_eq!(receiver.try_recv().ok().map(|value| value.0), Some(value));
                }
            }
            if sender_first {
                drop(sender);
                drop(receiver);
            } else {
                drop(receiver);
                drop(sender);
            }
            assert_eq!(alive.load(Relaxed), 0);
        }
    }
}

fn values_of_any_size_arrive_whole<C: Channel>() {
    fn cross<C: Channel, T: Value + PartialEq + std::fmt::Debug>(make: impl Fn(u8) -> T) {
        let (mut sender, mut receiver) = C::open::<T>(4).unwrap();
        for seed in 0..20 {
            sender.try_send(make(seed)).unwrap();
            sender.try_send(make(!seed)).unwrap();
            assert_eq!(receiver.try_recv(), Ok(make(seed)));
            assert_eq!(receiver.try_recv(), Ok(make(!seed)));
        }
    }
    cross::<C, ()>(|_| ());
    cross::<C, u8>(|seed| seed);
    cross::<C, u128>(|seed| u128::from(seed) << 100);
    cross::<C, [u8; 48]>(|seed| [seed; 48]);
    cross::<C, [u8; 57]>(|seed| [seed; 57]);
    cross::<C, [u64; 100]>(|seed| [u64::from(seed); 100]);
    cross::<C, String>(|seed| seed.to_string());
}

fn values_cross_between_threads_in_order<C: Channel>() {
    const VALUES: u64 = 20_000;
    for capacity in [1, 16] {
        let (mut sender, mut receiver) = C::open::<Box<u64>>(capacity).unwrap();
        let producer = std::thread::spawn(move || {
            for value in 0..VALUES {
                let mut boxed = Box::new(value);
                while let Err(error) = sender.try_send(boxed) {
                    boxed = error.into_inner();
                    std::thread::yield_now();
                }
            }
        });
        let mut want = 0;
        loop {
            match receiver.try_recv() {
                Ok(value) => {
                    assert_eq!(*value, want);
                    want += 1;
                }
                Err(TryRecvError::Empty) => std::thread::yield_now(),
                Err(TryRecvError::Closed) => break,
            }
        }
        assert_eq!(want, VALUES);
        producer.join().unwrap();
    }
}

fn a_receiver_that_leaves_stops_a_busy_sender<C: Channel>() {
    let alive = Arc::new(AtomicUsize::new(0));
    let (mut sender, mut receiver) = C::open::<Counted>(4).unwrap();
    let counter = alive.clone();
    let producer = std::thread::spawn(move || {
        for value in 0.. {
            if let Err(TrySendError::Closed(_)) = sender.try_send(Counted::new(value, &counter)) {
                return;
            }
        }
    });
    let mut received = 0;
    while received < 100 {
        match receiver.try_recv() {
            Ok(_) => received += 1,
            Err(_) => std::thread::yield_now(),
        }
    }
    drop(receiver);
    producer.join().unwrap();
    assert_eq!(alive.load(Relaxed), 0);
}

fn no_capacity_is_refused<C: Channel>() {
    assert_eq!(C::open::<u64>(0).err(), Some(ChannelError::ZeroCapacity));
    let refused = C::open::<u64>(usize::MAX).err();
    assert!(matches!(
        refused,
        Some(ChannelError::CapacityTooLarge {
            asked: usize::MAX,
            ..
        })
    ));
}

/// Instantiates the suite for one implementation of [`Channel`].
macro_rules! channel_suite {
    ($name:ident, $channel:ident) => {
        channel_suite!(@tests $name, $channel,
            values_come_in_the_order_they_were_sent,
            positions_wrap_around_the_ring,
            full_gives_the_value_back,
            empty_is_an_answer,
            a_dropped_sender_leaves_what_it_sent,
            a_dropped_receiver_closes_the_channel,
            values_left_are_dropped_once,
            values_of_any_size_arrive_whole,
            values_cross_between_threads_in_order,
            a_receiver_that_leaves_stops_a_busy_sender,
            no_capacity_is_refused,
        );
    };
    (@tests $name:ident, $channel:ident, $($test:ident,)*) => {
        mod $name {
            $(#[test]
            fn $test() {
                super::$test::<super::$channel>();
            })*
        }
    };
}

channel_suite!(positions, Positions);
channel_suite!(line, Line);
channel_suite!(mpsc_of_one_lane, Lanes);
channel_suite!(broadcast_to_one_reader, Broadcast);
