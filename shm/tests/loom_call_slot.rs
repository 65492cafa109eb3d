//! Models of the call ring: every interleaving of caller and callee.
//!
//! Run: `RUSTFLAGS="--cfg loom" cargo test -p maser-shm --release --test loom_call_slot`
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use loom::thread;
use maser_shm::channel::call_slot::call_ring;
use maser_shm::channel::{Abandoned, TryCallError};

/// Counts how often it was dropped.
#[derive(Debug)]
struct Counted(u64, Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_add(1, Relaxed);
    }
}

/// CS-1 to CS-4: one slot, used twice.
#[test]
fn a_slot_is_reused_in_turn() {
    loom::model(|| {
        let (mut caller, mut callee) = call_ring::<Box<u64>, Box<u64>>(1).unwrap();
        let server = thread::spawn(move || {
            let mut served = 0;
            for _ in 0..3 {
                served += u64::from(callee.try_serve(|question| Box::new(*question * 10)));
            }
            (callee, served)
        });
        let first = caller.try_call(Box::new(1)).unwrap();
        assert!(matches!(
            caller.try_call(Box::new(9)),
            Err(TryCallError::Full(_))
        ));
        let mut asked = 1;
        let mut answered = 0;
        if let Some(answer) = caller.try_take(first) {
            assert_eq!(*answer, 10);
            answered += 1;
            let second = caller.try_call(Box::new(2)).unwrap();
            asked += 1;
            assert!(second > first);
            if let Some(answer) = caller.try_take(second) {
                assert_eq!(*answer, 20);
                answered += 1;
            }
        }
        let (_callee, served) = server.join().unwrap();
        assert!(answered <= served && served <= asked);
    });
}

/// CS-8: the caller reuses a slot or walks on; the callee takes every question in order.
#[test]
fn questions_are_taken_in_order_when_the_caller_jumps() {
    loom::model(|| {
        let (mut caller, mut callee) = call_ring::<u64, u64>(2).unwrap();
        let server = thread::spawn(move || {
            let mut want = 1;
            for _ in 0..4 {
                if let Some((number, question)) = callee.try_next() {
                    assert_eq!(question, want);
                    want += 1;
                    callee.answer(number, question * 10);
                }
            }
            (callee, want)
        });
        let first = caller.try_call(1).unwrap();
        let mut asked = 1;
        let mut numbers = vec![(first, 1)];
        for question in 2..=3 {
            numbers.retain(|&(number, question)| match caller.try_take(number) {
                Some(answer) => {
                    assert_eq!(answer, question * 10);
                    false
                }
                None => true,
            });
            if let Ok(number) = caller.try_call(question) {
                asked += 1;
                numbers.push((number, question));
            } else {
                break;
            }
        }
        let (mut callee, mut want) = server.join().unwrap();
        while let Some((number, question)) = callee.try_next() {
            assert_eq!(question, want);
            want += 1;
            callee.answer(number, question * 10);
        }
        assert_eq!(want, asked + 1);
        for (number, question) in numbers {
            assert!(caller.is_answered(number));
            assert_eq!(caller.try_take(number), Some(question * 10));
            assert_eq!(caller.try_take(number), None);
        }
    });
}

/// The callee may take two questions before it answers, in either order.
#[test]
fn answers_may_be_given_and_taken_out_of_order() {
    loom::model(|| {
        let (mut caller, mut callee) = call_ring::<Box<u64>, Box<u64>>(2).unwrap();
        let first = caller.try_call(Box::new(1)).unwrap();
        let server = thread::spawn(move || {
            let (number, question) = callee.try_next().unwrap();
            if let Some((second, later)) = callee.try_next() {
                callee.answer(second, later);
            }
            callee.answer(number, question);
            callee
        });
        let second = caller.try_call(Box::new(2)).unwrap();
        if let Some(answer) = caller.try_take(second) {
            assert_eq!(*answer, 2);
        }
        if let Some(answer) = caller.try_take(first) {
            assert_eq!(*answer, 1);
        }
        server.join().unwrap();
    });
}

/// CS-3: an abandoned question settles and frees its slot.
///
/// The caller is the spawned thread: loom explores what comes before a store only as far as the
/// last access to the word, which the callee's own look at it would be.
#[test]
fn an_abandoned_question_settles() {
    loom::model(|| {
        let (mut caller, mut callee) = call_ring::<Box<u64>, Box<u64>>(1).unwrap();
        let number = caller.try_call(Box::new(1)).unwrap();
        let client = thread::spawn(move || {
            let settled = caller.try_settle(number);
            // The slot is used again while the callee may still be at it.
            let second = settled
                .is_some()
                .then(|| caller.try_call(Box::new(2)).unwrap());
            (caller, settled, second)
        });
        let (taken, _question) = callee.try_next().unwrap();
        callee.abandon(taken);
        let (mut caller, settled, second) = client.join().unwrap();
        let settled = settled.or_else(|| caller.try_settle(number)).unwrap();
        assert_eq!(settled.unwrap_err(), Abandoned);
        let second = second.unwrap_or_else(|| caller.try_call(Box::new(2)).unwrap());
        assert!(callee.try_serve(|question| question));
        assert_eq!(caller.try_take(second).as_deref(), Some(&2));
    });
}

/// CS-6: when the callee is gone, an answer it gave is still taken and no other is waited for.
#[test]
fn an_answer_given_before_the_drop_is_not_lost() {
    loom::model(|| {
        let (mut caller, mut callee) = call_ring::<u64, u64>(1).unwrap();
        let number = caller.try_call(1).unwrap();
        let server = thread::spawn(move || {
            assert!(callee.try_serve(|question| question + 1));
        });
        if caller.is_closed() {
            assert_eq!(caller.try_take(number), Some(2));
            assert_eq!(caller.try_call(3), Err(TryCallError::Closed(3)));
        }
        server.join().unwrap();
    });
}

/// CS-6: when the caller is gone, a question it asked is still taken.
#[test]
fn a_question_asked_before_the_drop_is_not_lost() {
    loom::model(|| {
        let (mut caller, mut callee) = call_ring::<u64, u64>(1).unwrap();
        let client = thread::spawn(move || {
            caller.try_call(1).unwrap();
        });
        let is_closed = callee.is_closed();
        let taken = callee.try_next();
        assert!(!is_closed || taken == Some((0, 1)));
        client.join().unwrap();
    });
}

/// CS-7: either end goes first, with a question and an answer in the ring.
#[test]
fn values_left_are_dropped_exactly_once() {
    loom::model(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let (mut caller, mut callee) = call_ring::<Counted, Counted>(2).unwrap();
        let counter = drops.clone();
        let server = thread::spawn(move || {
            callee.try_serve(|question| Counted(question.0, counter.clone()))
        });
        for question in 0..2 {
            drop(caller.try_call(Counted(question, drops.clone())));
        }
        drop(caller);
        let served = server.join().unwrap();
        assert_eq!(drops.load(Relaxed), 2 + usize::from(served));
    });
}
