//! Messages: order, lengths, back-pressure, flush.

use maser_transport::{MAX_CONTROL_BYTES, Message, Refusal, Transport, WorkRequest};

use crate::ends::{A, Alive, B, Lab, Pair, pattern};
use maser_transport::Event;

pub fn messages_come_in_their_order_in_both_directions<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    let (to_a, to_b) = (pair.to_a, pair.to_b);
    const COUNT: u64 = 1_000;
    let of = |n: u64| [&n.to_le_bytes()[..], &pattern(n as usize % 300, n)].concat();
    for n in 0..COUNT {
        pair.ends
            .post(A, to_b, WorkRequest::Send(of(n).into()), None);
        pair.ends
            .post(B, to_a, WorkRequest::Send(of(COUNT + n).into()), None);
        if n % 16 == 15 {
            for n in n - 15..=n {
                assert_eq!(pair.ends.message(B), (to_a, of(n).into()));
                assert_eq!(pair.ends.message(A), (to_b, of(COUNT + n).into()));
            }
        }
    }
    for n in COUNT - COUNT % 16..COUNT {
        assert_eq!(pair.ends.message(B), (to_a, of(n).into()));
        assert_eq!(pair.ends.message(A), (to_b, of(COUNT + n).into()));
    }
}

pub fn a_message_of_no_bytes_is_one<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    for message in [Message::EMPTY, Message::copied(b"x"), Message::EMPTY] {
        pair.send(message.clone());
        assert_eq!(pair.ends.message(B), (pair.to_a, message));
    }
}

pub fn messages_of_every_length_come_whole<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    let around = |edge: usize| [edge - 1, edge, edge + 1];
    let edges = (0..=20).flat_map(|power| around(1 << power));
    let max = pair.ends.all[A].end.limits().max_message_bytes;
    for bytes in edges.chain(1..=130).filter(|bytes| *bytes <= max) {
        let sent = pattern(bytes, bytes as u64);
        pair.send(sent.clone());
        let (_, message) = pair.ends.message(B);
        assert!(*message == *sent, "{bytes} bytes");
    }
}

pub fn the_longest_message_comes_whole_and_a_longer_one_is_refused<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    let max = pair.ends.all[A].end.limits().max_message_bytes;
    // Where it is longer than memory can have twice, a part of it stands for it.
    let long = pattern(max.min(16 << 20), 1);
    pair.send(long.clone());
    let (_, message) = pair.ends.message(B);
    assert!(*message == *long);
    if let Some(bytes) = max.checked_add(1).filter(|bytes| *bytes <= 16 << 20) {
        let request = WorkRequest::Send(vec![0; bytes].into());
        let refused = pair.ends.all[A].end.post(pair.to_b, request, None);
        let (bytes, max) = (bytes as u64, max as u64);
        assert_eq!(
            refused.expect_err("longer").refusal,
            Refusal::TooLong { bytes, max }
        );
    }
}

pub fn what_is_full_gives_the_request_back_and_says_when_it_goes_on<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    let to_b = pair.to_b;
    let alive = Alive::default();
    let mut sent = 0_u64;
    let end = &mut pair.ends.all[A].end;
    let back = loop {
        let message = alive.message(&[&sent.to_le_bytes()[..], &[0; 8192]].concat());
        match end.post(to_b, WorkRequest::Send(message), None) {
            Ok(()) => sent += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!(back.refusal, Refusal::Full { endpoint: to_b });
    let WorkRequest::Send(message) = back.request else {
        panic!("another request came back: {:?}", back.request);
    };
    assert_eq!(message[..8], sent.to_le_bytes());
    drop(message);
    for n in 0..sent {
        assert_eq!(pair.ends.message(B).1[..8], n.to_le_bytes());
    }
    pair.ends.until(A, |event| match event {
        Event::Writable { endpoint } if *endpoint == to_b => Some(()),
        _ => None,
    });
    pair.send(Message::copied(b"on"));
    assert_eq!(pair.ends.message(B).1, Message::copied(b"on"));
    assert_eq!(alive.count(), 0);
}

pub fn a_flush_is_done_when_everything_before_it_is<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    let there = pair.region(B, &[0; 4096]);
    for n in 1..=100_u8 {
        let bytes = vec![n; 4096];
        let to = there.remote().whole();
        let from = maser_transport::PutSource::Bytes(bytes.into());
        let put = WorkRequest::Put {
            from,
            to,
            signal: None,
        };
        pair.ends.post(A, pair.to_b, put, None);
        pair.ends.all[A].end.fence(pair.to_b);
        assert_eq!(pair.done(WorkRequest::Flush), Ok(0));
        assert_eq!(crate::ends::bytes_of(&there), [n; 4096]);
    }
}

pub fn control_messages_come_in_their_order_whatever_data_does<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    let (to_a, to_b) = (pair.to_a, pair.to_b);
    let limits = pair.ends.all[A].end.limits();
    let long = pattern(limits.max_message_bytes.min(3 << 20), 1);
    let longest = limits.max_message_bytes.min(MAX_CONTROL_BYTES);
    let lengths = [0, 1, 56, 57, 4000, longest];
    let controls: Vec<Message> = (0..50)
        .map(|n| pattern(lengths[n % lengths.len()], n as u64).into())
        .collect();
    for (n, control) in controls.iter().enumerate() {
        pair.ends
            .post(A, to_b, WorkRequest::Control(control.clone()), None);
        if n % 10 == 0 {
            pair.ends
                .post(A, to_b, WorkRequest::Send(long.clone().into()), None);
        }
        let (endpoint, came) = pair.ends.control(B);
        assert_eq!((endpoint, &came), (to_a, control), "number {n}");
    }
    for _ in (0..controls.len()).step_by(10) {
        assert!(*pair.ends.message(B).1 == *long);
    }
    // The other way, many at once.
    for n in 0..200_u64 {
        let control = WorkRequest::Control(Message::copied(&n.to_le_bytes()));
        pair.ends.post(B, to_a, control, None);
    }
    for n in 0..200_u64 {
        let came = pair.ends.control(A);
        assert_eq!(came, (to_b, Message::copied(&n.to_le_bytes())));
    }
}

pub fn a_control_message_is_completed_and_a_longer_one_is_refused<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    let alive = Alive::default();
    let control = WorkRequest::Control(alive.message(&[7; 300]));
    assert_eq!(pair.done(control), Ok(0));
    assert_eq!(pair.ends.control(B).1, vec![7; 300].into());
    assert_eq!(alive.count(), 0);

    let max = pair.ends.all[A].end.limits().max_message_bytes;
    let max = max.min(MAX_CONTROL_BYTES);
    let request = WorkRequest::Control(vec![0; max + 1].into());
    let refused = pair.ends.all[A].end.post(pair.to_b, request, None);
    let (bytes, max) = (max as u64 + 1, max as u64);
    assert_eq!(
        refused.expect_err("longer").refusal,
        Refusal::TooLong { bytes, max }
    );
}
