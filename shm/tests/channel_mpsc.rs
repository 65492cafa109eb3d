//! The many-producers channel against a queue for each lane, alone and between threads.
#![cfg(not(loom))]

use std::collections::VecDeque;

use maser_shm::channel::mpsc::channel;
use maser_shm::channel::{ChannelError, TryRecvError, TrySendError};
use proptest::prelude::*;

const CASES: u32 = if cfg!(miri) { 6 } else { 256 };
const STEPS: usize = if cfg!(miri) { 60 } else { 400 };
const MESSAGES: u64 = if cfg!(miri) { 100 } else { 50_000 };

/// Operation of a random sequence; lanes are taken modulo the lanes there are.
#[derive(Clone, Debug)]
enum Op {
    Send(usize),
    Recv,
    RecvBatch(usize),
    AddLane,
    DropLane(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..16_usize).prop_map(Op::Send),
        6 => Just(Op::Recv),
        1 => (0..20_usize).prop_map(Op::RecvBatch),
        1 => Just(Op::AddLane),
        1 => (0..16_usize).prop_map(Op::DropLane),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_lane_behaves_as_a_bounded_queue(lanes in 1..5_usize, ops in prop::collection::vec(op(), 0..STEPS)) {
        const CAPACITY: usize = 4;
        let (senders, mut receiver) = channel::<(usize, Box<u64>)>(lanes, CAPACITY).unwrap();
        let mut senders: Vec<_> = senders.into_iter().enumerate().collect();
        let mut queues = vec![VecDeque::new(); lanes];
        let mut next = 0;
        for op in ops {
            match op {
                Op::Send(lane) if !senders.is_empty() => {
                    let lane = lane % senders.len();
                    let (name, sender) = &mut senders[lane];
                    let queue = &mut queues[*name];
                    match sender.try_send((*name, Box::new(next))) {
                        Ok(()) => queue.push_back(next),
                        Err(TrySendError::Full(_)) => assert_eq!(queue.len(), CAPACITY),
                        Err(TrySendError::Closed(_)) => panic!("the receiver is alive"),
                    }
                    assert!(queue.len() <= CAPACITY);
                    next += 1;
                }
                Op::Send(_) => {}
                Op::Recv => {
                    let is_empty = queues.iter().all(VecDeque::is_empty);
                    assert_eq!(receiver.is_ready(), !is_empty);
                    match receiver.try_recv() {
                        Ok((lane, value)) => assert_eq!(queues[lane].pop_front(), Some(*value)),
                        Err(TryRecvError::Empty) => assert!(is_empty && !senders.is_empty()),
                        Err(TryRecvError::Closed) => assert!(is_empty && senders.is_empty()),
                    }
                }
                Op::RecvBatch(max) => {
                    let there: usize = queues.iter().map(VecDeque::len).sum();
                    let received = receiver.try_recv_batch(max, |(lane, value)| {
                        assert_eq!(queues[lane].pop_front(), Some(*value));
                    });
                    assert_eq!(received, there.min(max));
                }
                Op::AddLane => {
                    senders.push((queues.len(), receiver.add_lane(CAPACITY).unwrap()));
                    queues.push(VecDeque::new());
                }
                Op::DropLane(lane) if !senders.is_empty() => {
                    drop(senders.swap_remove(lane % senders.len()));
                    assert_eq!(receiver.is_closed(), senders.is_empty());
                }
                Op::DropLane(_) => {}
            }
        }
    }

    #[test]
    fn lanes_are_served_in_turn(lanes in 1..6_usize, start in 0..6_usize) {
        let (mut senders, mut receiver) = channel::<[usize; 6]>(lanes, 4).unwrap();
        for (lane, sender) in senders.iter_mut().enumerate().take(start % lanes) {
            sender.try_send([lane; 6]).unwrap();
            assert_eq!(receiver.try_recv(), Ok([lane; 6]));
        }
        for (lane, sender) in senders.iter_mut().enumerate() {
            assert_eq!(sender.try_send_batch(&mut std::iter::repeat_n([lane; 6], 3)), 3);
        }
        for turn in 0..3 * lanes {
            assert_eq!(receiver.try_recv(), Ok([(start % lanes + turn) % lanes; 6]), "ML-1");
        }
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    }
}

#[test]
fn a_lane_of_words_is_served_a_line_at_a_time() {
    let (mut senders, mut receiver) = channel::<usize>(2, 64).unwrap();
    for (lane, sender) in senders.iter_mut().enumerate() {
        assert_eq!(
            sender.try_send_batch(&mut std::iter::repeat_n(lane, 21)),
            21
        );
    }
    let order: Vec<_> = std::iter::from_fn(|| receiver.try_recv().ok()).collect();
    let lines: Vec<_> = order
        .chunk_by(|a, b| a == b)
        .map(|line| (line[0], line.len()))
        .collect();
    assert_eq!(
        lines,
        [(0, 7), (1, 7), (0, 7), (1, 7), (0, 7), (1, 7)],
        "ML-1"
    );
}

#[test]
fn every_lane_crosses_in_order_between_threads() {
    let (senders, mut receiver) = channel::<(usize, u64)>(3, 8).unwrap();
    let mut next = vec![0; senders.len()];
    std::thread::scope(|scope| {
        for (lane, mut sender) in senders.into_iter().enumerate() {
            scope.spawn(move || {
                for value in 0..MESSAGES {
                    while sender.try_send((lane, value)).is_err() {
                        std::thread::yield_now();
                    }
                }
            });
        }
        loop {
            match receiver.try_recv() {
                Ok((lane, value)) => {
                    assert_eq!(value, next[lane], "ML-2");
                    next[lane] += 1;
                }
                Err(TryRecvError::Empty) => std::thread::yield_now(),
                Err(TryRecvError::Closed) => break,
            }
        }
    });
    assert_eq!(next, [MESSAGES; 3]);
}

#[test]
fn a_lane_whose_sender_is_gone_is_emptied_and_taken_out() {
    let (mut senders, mut receiver) = channel::<u64>(2, 4).unwrap();
    let mut gone = senders.remove(0);
    gone.try_send(1).unwrap();
    drop(gone);
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(receiver.lanes(), 1);
    drop(senders);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    let mut again = receiver.add_lane(1).unwrap();
    again.try_send(2).unwrap();
    assert_eq!(receiver.try_recv(), Ok(2));
}

#[test]
fn a_channel_of_no_lanes_is_refused() {
    assert_eq!(channel::<u8>(0, 1).err(), Some(ChannelError::ZeroLanes));
    assert_eq!(channel::<u8>(1, 0).err(), Some(ChannelError::ZeroCapacity));
}
