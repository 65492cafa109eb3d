//! What every channel of values does, whatever ring is behind it.
//!
//! A suite is a list of generic functions; `channel_suite!(name, Ring)` instantiates it for one
//! implementation of [`Channel`]. A step that an implementation lacks is not in the trait: rings
//! differ in batches and peeking, and test those beside themselves. Channels in control memory carry
//! plain values alone ([`PlainChannel`]): they have a list of their own, which the others have too.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use maser_shm::channel::{ChannelError, TryRecvError, TrySendError};
use maser_shm::control::Plain;

mod heap;
mod shared;

use heap::{Broadcast, Lanes, Line, Positions};
use shared::{SharedBroadcast, SharedLanes, SharedLine, SharedPositions};

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

/// A value that a channel between processes can carry.
trait PlainValue: Value + Plain {}
impl<T: Value + Plain> PlainValue for T {}

/// A kind of channel that carries plain values.
trait PlainChannel {
    #[allow(clippy::type_complexity, reason = "two ends made together")]
    fn open_plain<T: PlainValue>(
        capacity: usize,
    ) -> Result<(impl SendEnd<T> + 'static, impl RecvEnd<T> + 'static), ChannelError>;
}

impl<C: Channel> PlainChannel for C {
    fn open_plain<T: PlainValue>(
        capacity: usize,
    ) -> Result<(impl SendEnd<T> + 'static, impl RecvEnd<T> + 'static), ChannelError> {
        C::open::<T>(capacity)
    }
}

/// A kind of channel that carries any value.
trait Channel {
    type Sender<T: Value>: SendEnd<T> + 'static;
    type Receiver<T: Value>: RecvEnd<T> + 'static;
    #[allow(clippy::type_complexity, reason = "two ends made together")]
    fn open<T: Value>(
        capacity: usize,
    ) -> Result<(Self::Sender<T>, Self::Receiver<T>), ChannelError>;
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

fn values_come_in_the_order_they_were_sent<C: PlainChannel>() {
    let (mut sender, mut receiver) = C::open_plain::<u64>(8).unwrap();
    for value in 0..8 {
        sender.try_send(value).unwrap();
    }
    for value in 0..8 {
        assert_eq!(receiver.try_recv(), Ok(value));
    }
}

fn positions_wrap_around_the_ring<C: PlainChannel>() {
    let (mut sender, mut receiver) = C::open_plain::<u64>(4).unwrap();
    for lap in 0..100 {
        for value in 0..3 {
            sender.try_send(lap * 3 + value).unwrap();
        }
        for value in 0..3 {
            assert_eq!(receiver.try_recv(), Ok(lap * 3 + value));
        }
    }
}

fn full_gives_the_value_back<C: PlainChannel>() {
    for asked in [1, 2, 3, 7, 8] {
        let (mut sender, mut receiver) = C::open_plain::<u64>(asked).unwrap();
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

fn empty_is_an_answer<C: PlainChannel>() {
    let (mut sender, mut receiver) = C::open_plain::<u64>(2).unwrap();
    assert!(!receiver.is_ready());
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    sender.try_send(1).unwrap();
    assert!(receiver.is_ready());
    assert_eq!(receiver.try_recv(), Ok(1));
    assert!(!receiver.is_ready());
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
}

fn a_dropped_sender_leaves_what_it_sent<C: PlainChannel>() {
    let (mut sender, mut receiver) = C::open_plain::<u64>(4).unwrap();
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

fn a_dropped_receiver_closes_the_channel<C: PlainChannel>() {
    let (mut sender, receiver) = C::open_plain::<u64>(4).unwrap();
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

/// Sends pairs of values that `make` makes through a ring of 4.
fn cross<T: Value + PartialEq + std::fmt::Debug>(
    (mut sender, mut receiver): (impl SendEnd<T>, impl RecvEnd<T>),
    make: impl Fn(u8) -> T,
) {
    for seed in 0..20 {
        sender.try_send(make(seed)).unwrap();
        sender.try_send(make(!seed)).unwrap();
        assert_eq!(receiver.try_recv(), Ok(make(seed)));
        assert_eq!(receiver.try_recv(), Ok(make(!seed)));
    }
}

fn values_of_any_size_arrive_whole<C: PlainChannel>() {
    fn plain<C: PlainChannel, T: PlainValue + PartialEq + std::fmt::Debug>(make: impl Fn(u8) -> T) {
        cross(C::open_plain::<T>(4).unwrap(), make);
    }
    plain::<C, ()>(|_| ());
    plain::<C, u8>(|seed| seed);
    plain::<C, u128>(|seed| u128::from(seed) << 100);
    plain::<C, [u8; 48]>(|seed| [seed; 48]);
    plain::<C, [u8; 57]>(|seed| [seed; 57]);
    plain::<C, [u64; 100]>(|seed| [u64::from(seed); 100]);
}

fn values_that_own_memory_arrive_whole<C: Channel>() {
    cross(C::open::<String>(4).unwrap(), |seed| seed.to_string());
}

/// Sends 10,000 values from another thread.
fn cross_threads<T: Value + PartialEq + std::fmt::Debug>(
    (mut sender, mut receiver): (impl SendEnd<T> + 'static, impl RecvEnd<T>),
    make: impl Fn(u64) -> T + Copy + Send + 'static,
) {
    const VALUES: u64 = 10_000;
    let producer = std::thread::spawn(move || {
        for value in 0..VALUES {
            let mut value = make(value);
            while let Err(error) = sender.try_send(value) {
                value = error.into_inner();
                std::thread::yield_now();
            }
        }
    });
    let mut want = 0;
    loop {
        match receiver.try_recv() {
            Ok(value) => {
                assert_eq!(value, make(want));
                want += 1;
            }
            Err(TryRecvError::Empty) => std::thread::yield_now(),
            Err(TryRecvError::Closed) => break,
        }
    }
    assert_eq!(want, VALUES);
    producer.join().unwrap();
}

fn values_cross_between_threads_in_order<C: PlainChannel>() {
    for capacity in [1, 16] {
        cross_threads(C::open_plain::<u64>(capacity).unwrap(), |value| value);
        let of_several_lines = |value| [value; 20];
        cross_threads(C::open_plain(capacity).unwrap(), of_several_lines);
    }
}

fn boxes_cross_between_threads_in_order<C: Channel>() {
    for capacity in [1, 16] {
        cross_threads(C::open::<Box<u64>>(capacity).unwrap(), Box::new);
    }
}

fn a_receiver_that_leaves_stops_a_sender_of_plain_values<C: PlainChannel>() {
    let (mut sender, mut receiver) = C::open_plain::<u64>(4).unwrap();
    let producer = std::thread::spawn(move || {
        for value in 0.. {
            if let Err(TrySendError::Closed(_)) = sender.try_send(value) {
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

fn no_capacity_is_refused<C: PlainChannel>() {
    assert_eq!(
        C::open_plain::<u64>(0).err(),
        Some(ChannelError::ZeroCapacity)
    );
    let refused = C::open_plain::<u64>(usize::MAX).err();
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
        plain_channel_suite!(
            $name,
            $channel,
            values_left_are_dropped_once,
            values_that_own_memory_arrive_whole,
            boxes_cross_between_threads_in_order,
            a_receiver_that_leaves_stops_a_busy_sender,
        );
    };
}

/// Instantiates the suite for one implementation of [`PlainChannel`].
macro_rules! plain_channel_suite {
    ($name:ident, $channel:ident, $($more:ident,)*) => {
        plain_channel_suite!(@tests $name, $channel,
            values_come_in_the_order_they_were_sent,
            positions_wrap_around_the_ring,
            full_gives_the_value_back,
            empty_is_an_answer,
            a_dropped_sender_leaves_what_it_sent,
            a_dropped_receiver_closes_the_channel,
            values_of_any_size_arrive_whole,
            values_cross_between_threads_in_order,
            a_receiver_that_leaves_stops_a_sender_of_plain_values,
            no_capacity_is_refused,
            $($more,)*
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
plain_channel_suite!(positions_in_control_memory, SharedPositions,);
plain_channel_suite!(line_in_control_memory, SharedLine,);
plain_channel_suite!(mpsc_of_one_lane_in_control_memory, SharedLanes,);
plain_channel_suite!(broadcast_to_one_reader_in_control_memory, SharedBroadcast,);
