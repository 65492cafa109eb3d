//! Models of the broadcast ring: one writer and one or two readers.
//!
//! Run: `RUSTFLAGS="--cfg loom" cargo test -p maser-shm --release --test loom_broadcast`
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use loom::thread;
use maser_shm::channel::broadcast::{Receiver, channel};
use maser_shm::channel::{TryRecvError, TrySendError};

/// Counts how many of it are alive.
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

/// Looks `looks` times; values must come in order from `want` on. Returns the next wanted.
fn read(receiver: &mut Receiver<Box<u64>>, looks: usize, mut want: u64) -> u64 {
    for _ in 0..looks {
        match receiver.try_recv() {
            Ok(value) => {
                assert_eq!(*value, want);
                want += 1;
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Closed) => break,
        }
    }
    want
}

/// BC-1 to BC-3: a slot is written again only after both readers have left it.
#[test]
fn every_reader_sees_every_value_in_order() {
    loom::model(|| {
        let (mut sender, mut receivers) = channel::<Box<u64>>(2, 1).unwrap();
        let mut second = receivers.pop().unwrap();
        let mut first = receivers.pop().unwrap();
        sender.try_send(Box::new(0)).unwrap();
        let reader = thread::spawn(move || {
            let want = read(&mut second, 2, 0);
            (second, want)
        });
        let first_reader = thread::spawn(move || {
            let want = read(&mut first, 1, 0);
            (first, want)
        });
        let mut sent = 1;
        match sender.try_send(Box::new(1)) {
            Ok(()) => sent += 1,
            Err(TrySendError::Full(value)) => assert_eq!(*value, 1),
            Err(TrySendError::Closed(_)) => panic!("both readers are alive"),
        }
        let (mut second, want) = reader.join().unwrap();
        assert_eq!(read(&mut second, 2, want), sent);
        let (mut first, want) = first_reader.join().unwrap();
        assert_eq!(read(&mut first, 2, want), sent);
    });
}

/// BC-3: a reader that goes holds nothing up, and its clone is over before its slot is reused.
#[test]
fn a_dropped_reader_holds_nothing_up() {
    loom::model(|| {
        let (mut sender, mut receivers) = channel::<Box<u64>>(1, 1).unwrap();
        let mut receiver = receivers.pop().unwrap();
        sender.try_send(Box::new(0)).unwrap();
        let reader = thread::spawn(move || read(&mut receiver, 1, 0));
        let early = sender.try_send(Box::new(1));
        assert_eq!(reader.join().unwrap(), 1);
        if early.is_ok() {
            assert!(matches!(
                sender.try_send(Box::new(2)),
                Err(TrySendError::Closed(_))
            ));
        }
    });
}

/// BC-5: `Closed` is never said while a value is left.
#[test]
fn nothing_sent_before_the_drop_is_lost() {
    loom::model(|| {
        let (mut sender, mut receivers) = channel::<Box<u64>>(1, 2).unwrap();
        let writer = thread::spawn(move || {
            sender.try_send(Box::new(0)).unwrap();
            sender.try_send(Box::new(1)).unwrap();
        });
        let receiver = &mut receivers[0];
        let mut want = 0;
        for _ in 0..4 {
            match receiver.try_recv() {
                Ok(value) => {
                    assert_eq!(*value, want);
                    want += 1;
                }
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Closed) => assert_eq!(want, 2),
            }
        }
        writer.join().unwrap();
    });
}

/// BC-4, BC-6: reuse, `reclaim` and the drops of the ends race; every value is dropped once.
#[test]
fn values_are_dropped_exactly_once() {
    loom::model(|| {
        let alive = Arc::new(AtomicUsize::new(0));
        let (mut sender, mut receivers) = channel::<Counted>(1, 1).unwrap();
        let mut receiver = receivers.pop().unwrap();
        sender.try_send(Counted::new(0, &alive)).unwrap();
        let reader = thread::spawn(move || {
            assert_eq!(receiver.try_recv().unwrap().0, 0);
        });
        drop(sender.try_send(Counted::new(1, &alive)));
        sender.reclaim();
        drop(sender);
        reader.join().unwrap();
        assert_eq!(alive.load(Relaxed), 0);
    });
}
