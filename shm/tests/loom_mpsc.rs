//! Models of the many-producers channel: two producers and the receiver.
//!
//! The lanes themselves are modelled in `loom_spsc`; here it is their closing and their turns.
//! Run: `RUSTFLAGS="--cfg loom" cargo test -p maser-shm --release --test loom_mpsc`
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use loom::thread;
use maser_shm::channel::TryRecvError;
use maser_shm::channel::mpsc::channel;

/// Counts how often it was dropped.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// ML-2, ML-3: `Closed` is said only after the values of both lanes, each in order.
#[test]
fn nothing_sent_before_the_drops_is_lost() {
    loom::model(|| {
        let (senders, mut receiver) = channel::<(usize, u64)>(2, 2).unwrap();
        let producers: Vec<_> = senders
            .into_iter()
            .enumerate()
            .map(|(lane, mut sender)| thread::spawn(move || sender.try_send((lane, 0)).unwrap()))
            .collect();
        let mut next = [0, 0];
        for _ in 0..3 {
            match receiver.try_recv() {
                Ok((lane, value)) => {
                    assert_eq!(value, next[lane]);
                    next[lane] += 1;
                }
                Err(TryRecvError::Empty) => assert!(next != [1, 1] || receiver.lanes() > 0),
                Err(TryRecvError::Closed) => assert_eq!(next, [1, 1]),
            }
        }
        for producer in producers {
            producer.join().unwrap();
        }
        while let Ok((lane, value)) = receiver.try_recv() {
            assert_eq!(value, next[lane]);
            next[lane] += 1;
        }
        assert_eq!(next, [1, 1]);
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    });
}

/// ML-1: with a value in every lane, no lane is served more than a line (under loom: two values)
/// before each was served.
#[test]
fn a_lane_that_has_a_value_is_not_passed_over() {
    loom::model(|| {
        let (mut senders, mut receiver) = channel::<usize>(2, 4).unwrap();
        let mut second = senders.pop().unwrap();
        let mut first = senders.pop().unwrap();
        second.try_send(1).unwrap();
        let producer = thread::spawn(move || {
            assert_eq!(first.try_send_batch(&mut [0; 3].into_iter()), 3);
        });
        let mut early = (0..3).filter_map(|_| receiver.try_recv().ok());
        assert!(
            early.any(|lane| lane == 1),
            "three of lane 0 came while lane 1 had a value"
        );
        producer.join().unwrap();
    });
}

/// EN-2, LR-4: the receiver's drop races with a producer; the other lane is full.
#[test]
fn values_left_are_dropped_exactly_once() {
    loom::model(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let (mut senders, mut receiver) = channel::<Counted>(2, 1).unwrap();
        let mut first = senders.remove(0);
        senders[0].try_send(Counted(drops.clone())).unwrap();
        let value = Counted(drops.clone());
        let producer = thread::spawn(move || drop(first.try_send(value)));
        drop(receiver.try_recv());
        drop(receiver);
        producer.join().unwrap();
        drop(senders);
        assert_eq!(drops.load(Relaxed), 2);
    });
}
