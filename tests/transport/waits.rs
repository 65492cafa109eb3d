//! Threads that sleep until something happens.

use std::time::Duration;

use maser_transport::{Capabilities, Event, Message, Transport, WorkRequest};

use crate::ends::{A, B, Lab, Pair, lacks};

pub fn a_thread_that_waits_is_woken_by_a_message<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    if lacks(&pair.ends.all[A].end, Capabilities::EVENTS) {
        return;
    }
    let (to_a, to_b) = (pair.to_a, pair.to_b);
    let (mut b, mut a) = (pair.ends.take(B), pair.ends.take(A));
    const COUNT: u32 = 200;
    std::thread::scope(|scope| {
        // Each sleeps until the other has answered.
        scope.spawn(move || {
            for _ in 0..COUNT {
                let message = next(&mut b);
                b.post(to_a, WorkRequest::Send(message), None)
                    .expect("room");
            }
            // Its last answer goes before it does.
            b.close(to_a);
            loop {
                match b.poll() {
                    Some(Event::Ended { .. }) => break,
                    Some(_) => {}
                    None => b.wait(None).expect("it waits"),
                }
            }
        });
        for n in 0..COUNT {
            let message = Message::copied(&n.to_le_bytes());
            a.post(to_b, WorkRequest::Send(message.clone()), None)
                .expect("room");
            assert_eq!(next(&mut a), message);
        }
    });
}

/// The next message, asleep until it comes.
fn next(end: &mut impl Transport) -> Message {
    loop {
        match end.poll() {
            Some(Event::Message { message, .. }) => return message,
            Some(_) => {}
            None => end.wait(None).expect("it waits"),
        }
    }
}

pub fn a_waker_ends_a_wait_and_the_next_one<L: Lab>(lab: &L) {
    let mut end = lab.end();
    if lacks(&end, Capabilities::EVENTS) {
        return;
    }
    let waker = end.waker();
    // Before it waits.
    waker.wake();
    end.wait(None).expect("it waits");
    // While it does, or before, or whenever: the watchdog would tell.
    for _ in 0..200 {
        let waker = waker.clone();
        let thread = std::thread::spawn(move || waker.wake());
        end.wait(None).expect("it waits");
        thread.join().expect("it woke it");
    }
}

pub fn a_wait_has_a_limit<L: Lab>(lab: &L) {
    let mut end = lab.end();
    if lacks(&end, Capabilities::EVENTS) {
        return;
    }
    for limit in [Duration::ZERO, Duration::from_millis(1)] {
        end.wait(Some(limit)).expect("it waits");
        assert_eq!(end.poll(), None);
    }
}
