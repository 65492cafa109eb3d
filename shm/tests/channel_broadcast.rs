//! The broadcast ring against a log with a position for each reader, alone and between threads.
#![cfg(not(loom))]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use maser_shm::channel::broadcast::channel;
use maser_shm::channel::{ChannelError, TryRecvError, TrySendError};
use proptest::prelude::*;

const CASES: u32 = if cfg!(miri) { 6 } else { 256 };
const STEPS: usize = if cfg!(miri) { 60 } else { 400 };
const MESSAGES: u64 = if cfg!(miri) { 100 } else { 50_000 };

/// A value that counts how many of it are alive.
#[derive(Debug)]
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

/// Operation of a random sequence; readers are taken modulo the readers there are.
#[derive(Clone, Debug)]
enum Op {
    Send,
    Recv(usize),
    Reclaim,
    DropReader(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        40 => Just(Op::Send),
        80 => (0..16_usize).prop_map(Op::Recv),
        10 => Just(Op::Reclaim),
        1 => (0..16_usize).prop_map(Op::DropReader),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn behaves_as_a_log_with_bounded_readers(
        readers in 1..5_usize,
        capacity in 1..9_usize,
        ops in prop::collection::vec(op(), 0..STEPS),
    ) {
        let alive = Arc::new(AtomicUsize::new(0));
        let (mut sender, receivers) = channel::<Counted>(readers, capacity).unwrap();
        let capacity = capacity.next_power_of_two() as u64;
        let mut receivers: Vec<_> = receivers.into_iter().map(|receiver| (receiver, 0)).collect();
        let mut sent = 0;
        for op in ops {
            let least = receivers.iter().map(|&(_, head)| head).min().unwrap_or(sent);
            match op {
                Op::Send => match sender.try_send(Counted::new(sent, &alive)) {
                    Ok(()) => {
                        assert!(sent < least + capacity);
                        sent += 1;
                    }
                    Err(TrySendError::Full(value)) => {
                        assert_eq!((value.0, sent), (sent, least + capacity));
                    }
                    Err(TrySendError::Closed(_)) => assert!(receivers.is_empty()),
                },
                Op::Recv(reader) if !receivers.is_empty() => {
                    let reader = reader % receivers.len();
                    let (receiver, head) = &mut receivers[reader];
                    assert_eq!(receiver.is_ready(), *head < sent);
                    match receiver.try_recv() {
                        Ok(value) => {
                            assert_eq!(value.0, *head);
                            *head += 1;
                        }
                        Err(TryRecvError::Empty) => assert_eq!(*head, sent),
                        Err(TryRecvError::Closed) => panic!("the sender is alive"),
                    }
                }
                Op::Reclaim => {
                    sender.reclaim();
                    assert_eq!(alive.load(Relaxed) as u64, sent - least);
                }
                Op::DropReader(reader) if !receivers.is_empty() => {
                    drop(receivers.swap_remove(reader % receivers.len()));
                    assert_eq!(sender.is_closed(), receivers.is_empty());
                }
                Op::Recv(_) | Op::DropReader(_) => {}
            }
            assert!(alive.load(Relaxed) as u64 <= capacity);
        }
        // The sender goes; each reader still gets the rest, then Closed.
        drop(sender);
        for (receiver, head) in &mut receivers {
            for want in *head..sent {
                assert_eq!(receiver.try_recv().unwrap().0, want);
            }
            assert!(matches!(receiver.try_recv(), Err(TryRecvError::Closed)));
        }
        drop(receivers);
        assert_eq!(alive.load(Relaxed), 0);
    }
}

#[test]
fn every_reader_sees_every_value_between_threads() {
    let (mut sender, receivers) = channel::<Box<u64>>(2, 8).unwrap();
    std::thread::scope(|scope| {
        for mut receiver in receivers {
            scope.spawn(move || {
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
                assert_eq!(want, MESSAGES);
            });
        }
        for value in 0..MESSAGES {
            let mut boxed = Box::new(value);
            while let Err(error) = sender.try_send(boxed) {
                boxed = error.into_inner();
                std::thread::yield_now();
            }
        }
        drop(sender);
    });
}

#[test]
fn a_value_whose_reading_panics_stays_the_next() {
    let (mut sender, mut receivers) = channel::<u64>(1, 2).unwrap();
    sender.try_send(7).unwrap();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        receivers[0].try_recv_with(|_| panic!("the reader fails"))
    }));
    assert!(panicked.is_err());
    assert_eq!(receivers[0].try_recv(), Ok(7));
}

#[test]
fn a_ring_of_no_readers_is_refused() {
    assert_eq!(channel::<u8>(0, 1).err(), Some(ChannelError::ZeroLanes));
    assert_eq!(channel::<u8>(1, 0).err(), Some(ChannelError::ZeroCapacity));
}
