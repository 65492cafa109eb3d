//! The single-producer rings against a queue, alone and between two threads.
#![cfg(not(loom))]
#![allow(unsafe_code, reason = "probes of ends that are alive")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use maser_shm::channel::spsc::{channel, line_channel};
use maser_shm::channel::{ChannelError, TryRecvError, TrySendError};
use proptest::prelude::*;

/// Operation of a random sequence.
#[derive(Clone, Debug)]
enum Op {
    Send,
    SendBatch(usize),
    Recv,
    RecvBatch(usize),
    Peek,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => Just(Op::Send),
        1 => (0..20_usize).prop_map(Op::SendBatch),
        3 => Just(Op::Recv),
        1 => (0..20_usize).prop_map(Op::RecvBatch),
        1 => Just(Op::Peek),
    ]
}

/// Cases and steps, few under miri.
const CASES: u32 = if cfg!(miri) { 4 } else { 256 };
const STEPS: usize = if cfg!(miri) { 40 } else { 400 };
const MESSAGES: u64 = if cfg!(miri) { 200 } else { 200_000 };

fn cases() -> ProptestConfig {
    ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// A value that counts how many of it are alive.
#[derive(Debug)]
struct Counted<P>(P, Arc<AtomicUsize>);

impl<P> Counted<P> {
    fn new(payload: P, alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Relaxed);
        Self(payload, alive.clone())
    }
}

impl<P> Drop for Counted<P> {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Relaxed);
    }
}

/// Payloads of different size and alignment, made from a number.
trait Payload: Send + PartialEq + std::fmt::Debug + 'static {
    fn of(number: u64) -> Self;
}
impl Payload for u8 {
    fn of(number: u64) -> Self {
        number as u8
    }
}
impl Payload for u64 {
    fn of(number: u64) -> Self {
        number
    }
}
impl Payload for () {
    fn of(_: u64) -> Self {}
}
impl Payload for u128 {
    fn of(number: u64) -> Self {
        (u128::from(number) << 64) | u128::from(!number)
    }
}
impl Payload for [u64; 6] {
    fn of(number: u64) -> Self {
        [
            number,
            number + 1,
            number + 2,
            number + 3,
            number + 4,
            number + 5,
        ]
    }
}
impl Payload for [u8; 200] {
    fn of(number: u64) -> Self {
        [number as u8; 200]
    }
}
#[repr(align(128))]
#[derive(Debug, PartialEq)]
struct Aligned(u64);
impl Payload for Aligned {
    fn of(number: u64) -> Self {
        Self(number)
    }
}

macro_rules! spsc_tests {
    ($name:ident, $channel:ident) => {
        mod $name {
            use super::*;

            fn behaves_as_a_bounded_queue<P: Payload>(capacity: usize, ops: &[Op]) {
                let alive = Arc::new(AtomicUsize::new(0));
                let (mut sender, mut receiver) = $channel::<Counted<P>>(capacity).unwrap();
                let capacity = capacity.next_power_of_two();
                assert_eq!((sender.capacity(), receiver.capacity()), (capacity, capacity));
                let mut model = VecDeque::new();
                let mut next = 0;
                for op in ops {
                    match *op {
                        Op::Send => {
                            let sent = sender.try_send(Counted::new(P::of(next), &alive));
                            if model.len() < capacity {
                                sent.unwrap();
                                model.push_back(next);
                                next += 1;
                            } else {
                                assert!(sender.is_full());
                                assert!(matches!(sent, Err(TrySendError::Full(v)) if v.0 == P::of(next)));
                            }
                        }
                        Op::SendBatch(asked) => {
                            let mut values = (0..asked)
                                .map(|index| Counted::new(P::of(next + index as u64), &alive));
                            let room = capacity - model.len();
                            let sent = sender.try_send_batch(&mut values);
                            assert_eq!(sent, room.min(asked));
                            assert_eq!(values.len(), asked - sent, "none is taken and not sent");
                            model.extend(next..next + sent as u64);
                            next += sent as u64;
                        }
                        Op::Recv => {
                            assert_eq!(receiver.is_ready(), !model.is_empty());
                            match model.pop_front() {
                                Some(number) => assert_eq!(receiver.try_recv().unwrap().0, P::of(number)),
                                None => assert!(matches!(receiver.try_recv(), Err(TryRecvError::Empty))),
                            }
                        }
                        Op::RecvBatch(max) => {
                            let there = model.len().min(max);
                            let received = receiver.try_recv_batch(max, |value| {
                                assert_eq!(value.0, P::of(model.pop_front().unwrap()));
                            });
                            assert_eq!(received, there);
                        }
                        Op::Peek => {
                            let front = receiver.peek().map(|value| &value.0);
                            assert_eq!(front, model.front().map(|&number| P::of(number)).as_ref());
                        }
                    }
                    assert_eq!(alive.load(Relaxed), model.len());
                }
                // Either end goes first; what is left is dropped.
                if next % 2 == 0 {
                    drop(sender);
                    assert!(receiver.is_closed());
                    for number in model.drain(..).take(3) {
                        assert_eq!(receiver.try_recv().unwrap().0, P::of(number));
                    }
                    drop(receiver);
                } else {
                    drop(receiver);
                    assert_eq!(alive.load(Relaxed), 0);
                    let refused = sender.try_send(Counted::new(P::of(next), &alive));
                    assert!(matches!(refused, Err(TrySendError::Closed(_))));
                    drop(refused);
                    drop(sender);
                }
                assert_eq!(alive.load(Relaxed), 0);
            }

            proptest! {
                #![proptest_config(cases())]

                #[test]
                fn small_values_behave_as_a_queue(capacity in 1..20_usize, ops in prop::collection::vec(op(), 0..STEPS)) {
                    behaves_as_a_bounded_queue::<u8>(capacity, &ops);
                    behaves_as_a_bounded_queue::<()>(capacity, &ops);
                }

                #[test]
                fn words_behave_as_a_queue(capacity in 1..40_usize, ops in prop::collection::vec(op(), 0..STEPS)) {
                    behaves_as_a_bounded_queue::<u64>(capacity, &ops);
                    behaves_as_a_bounded_queue::<u128>(capacity, &ops);
                }

                #[test]
                fn values_of_a_line_and_more_behave_as_a_queue(capacity in 1..20_usize, ops in prop::collection::vec(op(), 0..STEPS)) {
                    behaves_as_a_bounded_queue::<[u64; 6]>(capacity, &ops);
                    behaves_as_a_bounded_queue::<[u8; 200]>(capacity, &ops);
                    behaves_as_a_bounded_queue::<Aligned>(capacity, &ops);
                }
            }

            #[test]
            fn bare_values_cross_in_order() {
                for capacity in [1, 2, 64] {
                    let (mut sender, mut receiver) = $channel::<u64>(capacity).unwrap();
                    let producer = std::thread::spawn(move || {
                        for mut value in 0..MESSAGES {
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
                                assert_eq!(value, want);
                                want += 1;
                            }
                            Err(TryRecvError::Empty) => std::thread::yield_now(),
                            Err(TryRecvError::Closed) => break,
                        }
                    }
                    assert_eq!(want, MESSAGES);
                    producer.join().unwrap();
                }
            }

            #[test]
            fn batches_cross_in_order() {
                let (mut sender, mut receiver) = $channel::<(u64, Box<u64>)>(16).unwrap();
                let producer = std::thread::spawn(move || {
                    let mut values = (0..MESSAGES / 4).map(|value| (value, Box::new(!value))).peekable();
                    while values.peek().is_some() {
                        if sender.try_send_batch(&mut values) == 0 {
                            std::thread::yield_now();
                        }
                    }
                });
                let (mut want, mut sum) = (0, 0_u64);
                while want < MESSAGES / 4 {
                    let received = receiver.try_recv_batch(5, |(value, not)| {
                        assert_eq!((value, *not), (want, !want));
                        sum += value;
                        want += 1;
                    });
                    assert!(received <= 5);
                    if received == 0 {
                        std::thread::yield_now();
                    }
                }
                assert_eq!(sum, (0..MESSAGES / 4).sum::<u64>());
                producer.join().unwrap();
                assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
            }

            #[test]
            fn a_panic_in_a_batch_loses_only_the_value_in_hand() {
                let alive = Arc::new(AtomicUsize::new(0));
                let (mut sender, mut receiver) = $channel::<Counted<u64>>(8).unwrap();
                let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    let mut values = (0..8).map(|number| {
                        assert_ne!(number, 5, "the iterator fails at its sixth value");
                        Counted::new(number, &alive)
                    });
                    sender.try_send_batch(&mut values)
                }));
                assert!(panicked.is_err());
                assert_eq!(alive.load(Relaxed), 5);
                let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    receiver.try_recv_batch(8, |value| assert_ne!(value.0, 2, "the third fails"))
                }));
                assert!(panicked.is_err());
                assert_eq!(alive.load(Relaxed), 2);
                assert_eq!(receiver.try_recv().unwrap().0, 3);
                sender.try_send(Counted::new(9, &alive)).unwrap();
                assert_eq!(receiver.try_recv().unwrap().0, 4);
                assert_eq!(receiver.try_recv().unwrap().0, 9);
            }

            #[test]
            fn a_ring_of_no_slots_is_refused() {
                assert_eq!($channel::<u8>(0).err(), Some(ChannelError::ZeroCapacity));
                let refused = $channel::<u8>(usize::MAX).err();
                assert!(matches!(refused, Some(ChannelError::CapacityTooLarge { asked: usize::MAX, .. })));
            }
        }
    };
}

spsc_tests!(positions, channel);
spsc_tests!(line, line_channel);

#[test]
fn a_probe_of_an_idle_receiver_changes_with_the_next_value_and_not_before() {
    let (mut sender, mut receiver) = line_channel(4).unwrap();
    for value in 0..20_u64 {
        let idle = receiver.idle().expect("nothing was sent");
        // SAFETY: the receiver is alive.
        assert!(!unsafe { idle.has_changed() });
        sender.try_send(value).unwrap();
        // SAFETY: as above.
        assert!(unsafe { idle.has_changed() } && receiver.idle().is_none());
        assert_eq!(receiver.try_recv(), Ok(value));
    }
}
