//! Models of the single-producer, single-consumer rings: every interleaving of two threads.
//!
//! Run: `RUSTFLAGS="--cfg loom" cargo test -p maser-shm --release --test loom_spsc`
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use loom::thread;
use maser_shm::channel::spsc::{channel, line_channel};
use maser_shm::channel::{TryRecvError, TrySendError};

/// Counts how often it was dropped.
#[derive(Debug)]
struct Counted(u64, Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_add(1, Relaxed);
    }
}

/// The same models for both rings.
macro_rules! spsc_models {
    ($name:ident, $channel:ident) => {
        mod $name {
            use super::*;

            /// CH-1 to CH-3, LR-1 to LR-3: two laps of a ring of one slot.
            #[test]
            fn values_arrive_in_order_and_slots_are_reused_only_when_free() {
                loom::model(|| {
                    let (mut sender, mut receiver) = $channel::<Box<u64>>(1).unwrap();
                    let producer = thread::spawn(move || {
                        let mut next = 0;
                        for _ in 0..4 {
                            match sender.try_send(Box::new(next)) {
                                Ok(()) => next += 1,
                                Err(TrySendError::Full(value)) => assert_eq!(*value, next),
                                Err(TrySendError::Closed(_)) => panic!("receiver is alive"),
                            }
                        }
                        (sender, next)
                    });
                    let mut received = 0;
                    for _ in 0..3 {
                        if let Ok(value) = receiver.try_recv() {
                            assert_eq!(*value, received);
                            received += 1;
                        }
                    }
                    let (sender, sent) = producer.join().unwrap();
                    drop(sender);
                    while let Ok(value) = receiver.try_recv() {
                        assert_eq!(*value, received);
                        received += 1;
                    }
                    assert_eq!(received, sent);
                    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
                });
            }

            /// EN-1: `Closed` is never said while a value is left.
            #[test]
            fn nothing_sent_before_the_drop_is_lost() {
                loom::model(|| {
                    let (mut sender, mut receiver) = $channel::<u64>(2).unwrap();
                    let producer = thread::spawn(move || {
                        sender.try_send(1).unwrap();
                        sender.try_send(2).unwrap();
                    });
                    let mut want = 1;
                    for _ in 0..4 {
                        match receiver.try_recv() {
                            Ok(value) => {
                                assert_eq!(value, want);
                                want += 1;
                            }
                            Err(TryRecvError::Empty) => assert!(want <= 3),
                            Err(TryRecvError::Closed) => assert_eq!(want, 3),
                        }
                    }
                    producer.join().unwrap();
                });
            }

            /// CH-5, LR-4: the receiver's drop races with a send; every value is dropped once.
            #[test]
            fn values_left_are_dropped_exactly_once() {
                loom::model(|| {
                    let drops = Arc::new(AtomicUsize::new(0));
                    let (mut sender, mut receiver) = $channel::<Counted>(2).unwrap();
                    let counter = drops.clone();
                    let producer = thread::spawn(move || {
                        for value in 0..2 {
                            drop(sender.try_send(Counted(value, counter.clone())));
                        }
                    });
                    if let Ok(value) = receiver.try_recv() {
                        assert_eq!(value.0, 0);
                    }
                    drop(receiver);
                    producer.join().unwrap();
                    assert_eq!(drops.load(Relaxed), 2);
                });
            }

            /// CH-3, LR-3: the slots that the receiver's drop frees are written again while it
            /// is still at it.
            #[test]
            fn slots_freed_by_the_receivers_drop_are_reused() {
                loom::model(|| {
                    let drops = Arc::new(AtomicUsize::new(0));
                    let (mut sender, receiver) = $channel::<Counted>(2).unwrap();
                    for value in 0..2 {
                        sender.try_send(Counted(value, drops.clone())).unwrap();
                    }
                    let consumer = thread::spawn(move || drop(receiver));
                    for value in 2..4 {
                        drop(sender.try_send(Counted(value, drops.clone())));
                    }
                    drop(sender);
                    consumer.join().unwrap();
                    assert_eq!(drops.load(Relaxed), 4);
                });
            }

            /// CH-4: batches publish once, and never a slot that is not written or not read.
            #[test]
            fn batches_are_seen_whole_and_in_order() {
                loom::model(|| {
                    let (mut sender, mut receiver) = $channel::<Box<u64>>(2).unwrap();
                    let producer = thread::spawn(move || {
                        let mut values = (0..3).map(Box::new);
                        let first = sender.try_send_batch(&mut values);
                        assert!(first >= 2);
                        first + sender.try_send_batch(&mut values)
                    });
                    let mut received = 0;
                    for _ in 0..2 {
                        receiver.try_recv_batch(2, |value| {
                            assert_eq!(*value, received as u64);
                            received += 1;
                        });
                    }
                    let sent = producer.join().unwrap();
                    receiver.try_recv_batch(3, |value| {
                        assert_eq!(*value, received as u64);
                        received += 1;
                    });
                    assert_eq!(received, sent);
                });
            }

            /// A peeked value stays where it is until it is received.
            #[test]
            fn peek_leaves_the_value_in_place() {
                loom::model(|| {
                    let (mut sender, mut receiver) = $channel::<Box<u64>>(1).unwrap();
                    let producer = thread::spawn(move || {
                        sender.try_send(Box::new(1)).unwrap();
                        sender.try_send(Box::new(2)).is_ok()
                    });
                    if let Some(value) = receiver.peek() {
                        assert_eq!(**value, 1);
                    }
                    if receiver.is_ready() {
                        assert_eq!(*receiver.try_recv().unwrap(), 1);
                    }
                    producer.join().unwrap();
                });
            }
        }
    };
}

spsc_models!(positions, channel);
spsc_models!(line, line_channel);
