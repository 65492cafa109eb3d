//! How connections end: closed, crashed, dropped, cancelled.

use maser_transport::{
    EndReason, Event, Message, PutSource, Refusal, Transport, WorkError, WorkRequest,
};

use crate::ends::{A, Alive, B, Ends, Lab, Pair, bytes_of};

fn is_of_the_peer(reason: &EndReason) -> bool {
    matches!(reason, EndReason::PeerGone(_) | EndReason::ClosedByPeer)
}

pub fn what_was_sent_before_a_close_comes_before_the_end<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    for n in 0..40_u8 {
        pair.send(vec![n; 10_000]);
    }
    pair.ends.all[A].end.close(pair.to_b);
    for n in 0..40_u8 {
        assert!(*pair.ends.message(B).1 == [n; 10_000]);
    }
    assert_eq!(pair.ends.end_of(B, pair.to_a), EndReason::ClosedByPeer);
    assert_eq!(pair.ends.end_of(A, pair.to_b), EndReason::Closed);
}

pub fn an_endpoint_that_ended_takes_nothing<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    pair.ends.all[A].end.close(pair.to_b);
    pair.ends.end_of(B, pair.to_a);
    for (at, endpoint) in [(A, pair.to_b), (B, pair.to_a)] {
        let request = WorkRequest::Send(Message::copied(b"late"));
        let refused = pair.ends.all[at].end.post(endpoint, request, Some(1));
        let refused = refused.expect_err("it is over");
        assert_eq!(refused.refusal, Refusal::NotConnected { endpoint });
        assert!(matches!(refused.request, WorkRequest::Send(_)));
    }
}

pub fn an_end_is_told_once<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    pair.ends.all[A].end.close(pair.to_b);
    pair.ends.all[A].end.close(pair.to_b);
    pair.ends.all[B].end.close(pair.to_a);
    pair.ends.end_of(A, pair.to_b);
    pair.ends.end_of(B, pair.to_a);
    // Whatever else was on its way comes before this.
    pair.ends.connect(A, B);
    for one in &pair.ends.all {
        let is_ended = |event: &Event| matches!(event, Event::Ended { .. });
        assert!(!one.told.iter().any(is_ended), "{:?}", one.told);
    }
}

pub fn a_crash_of_an_idle_peer_is_told<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    lab.crash(pair.ends.take(B));
    let reason = pair.ends.end_of(A, pair.to_b);
    assert!(matches!(reason, EndReason::PeerGone(_)), "{reason}");
}

pub fn a_crash_completes_what_was_under_way<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    let alive = Alive::default();
    let there = pair.region(B, &[0; 1 << 20]);
    let here = pair.region(A, &[1; 1 << 20]);
    let requests = [
        WorkRequest::Send(alive.message(&[1; 100_000])),
        WorkRequest::Get {
            from: there.remote().whole(),
            to: here.whole(),
        },
        WorkRequest::Put {
            from: PutSource::Bytes(alive.message(&[2; 1 << 20])),
            to: there.remote().whole(),
            signal: Some(1),
        },
        WorkRequest::Flush,
    ];
    for (token, request) in requests.into_iter().enumerate() {
        pair.ends.post(A, pair.to_b, request, Some(token as u64));
    }
    drop(there);
    lab.crash(pair.ends.take(B));
    let reason = pair.ends.end_of(A, pair.to_b);
    assert!(is_of_the_peer(&reason), "{reason}");
    for token in 0..4 {
        // Told before the end, so it is there.
        let found = pair.ends.all[A].told.iter().find_map(|event| match event {
            Event::Completed(done) if done.token == token => Some(done.outcome.clone()),
            _ => None,
        });
        let outcome = found.expect("it is completed");
        let is_right = match &outcome {
            Ok(_) => true,
            Err(error) => matches!(error, WorkError::Ended(_)),
        };
        assert!(is_right, "{outcome:?}");
    }
    pair.ends.all[A].told.clear();
    assert_eq!(alive.count(), 0);
    // Nobody writes there any more.
    let before = bytes_of(&here);
    pair.ends.turn();
    assert!(bytes_of(&here) == before);
}

pub fn a_crash_before_the_connection_is_there_is_told<L: Lab>(lab: &L) {
    let mut ends = Ends::new([lab.end(), lab.end()]);
    let address = ends.all[B].end.address();
    let to_b = ends.all[A].end.connect(&address).expect("it connects");
    let alive = Alive::default();
    let request = WorkRequest::Send(alive.message(&[0; 1000]));
    ends.post(A, to_b, request, None);
    lab.crash(ends.take(B));
    let reason = ends.end_of(A, to_b);
    let is_right = is_of_the_peer(&reason) || matches!(reason, EndReason::Unreachable(_));
    assert!(is_right, "{reason}");
    assert_eq!(alive.count(), 0);
}

pub fn nobody_at_an_address_is_told<L: Lab>(lab: &L) {
    let mut ends = Ends::new([lab.end()]);
    let gone = lab.end();
    let address = gone.address();
    drop(gone);
    let endpoint = ends.all[A]
        .end
        .connect(&address)
        .expect("the address is one");
    let reason = ends.end_of(A, endpoint);
    assert!(matches!(reason, EndReason::Unreachable(_)), "{reason}");
}

pub fn a_peer_that_came_back_is_connected_again<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    for round in 0..5_u8 {
        lab.crash(pair.ends.take(B));
        pair.ends.end_of(A, pair.to_b);
        let back = Ends::new([lab.end()]).all.remove(0);
        pair.ends.all.push(back);
        (pair.to_b, pair.to_a) = pair.ends.connect(A, B);
        pair.send(vec![round]);
        assert_eq!(pair.ends.message(B), (pair.to_a, vec![round].into()));
    }
}

pub fn others_go_on_when_one_peer_dies<L: Lab>(lab: &L) {
    let mut ends = Ends::new([lab.end(), lab.end(), lab.end()]);
    let (to_b, _) = ends.connect(A, B);
    let (to_c, back) = ends.connect(A, 2);
    for n in 0..10_u8 {
        ends.post(A, to_b, WorkRequest::Send(vec![n; 5000].into()), None);
        ends.post(A, to_c, WorkRequest::Send(vec![n; 5000].into()), None);
    }
    lab.crash(ends.take(B));
    let c = 1;
    for n in 0..10_u8 {
        assert_eq!(ends.message(c), (back, vec![n; 5000].into()));
    }
    ends.end_of(A, to_b);
    ends.post(A, to_c, WorkRequest::Send(Message::copied(b"on")), None);
    assert_eq!(ends.message(c), (back, Message::copied(b"on")));
}

pub fn an_end_that_is_dropped_gives_everything_back<L: Lab>(lab: &L) {
    let alive = Alive::default();
    let mut pair = Pair::new(lab);
    let end = &mut pair.ends.all[A].end;
    loop {
        let request = WorkRequest::Send(alive.message(&[1; 50_000]));
        if end.post(pair.to_b, request, Some(1)).is_err() {
            break;
        }
    }
    drop(pair.ends.take(A));
    // What is on its way belongs to the peer, which reads it all or is dropped as well.
    drop(pair);
    assert_eq!(alive.count(), 0);
}

pub fn a_request_is_completed_once_if_it_is_cancelled<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    let alive = Alive::default();
    const COUNT: u64 = 20;
    for token in 0..COUNT {
        let message = alive.message(&[&token.to_le_bytes()[..], &[0; 20_000]].concat());
        pair.ends
            .post(A, pair.to_b, WorkRequest::Send(message), Some(token));
    }
    (0..COUNT).for_each(|token| pair.ends.all[A].end.cancel(pair.to_b, token));
    // There is none of this name.
    pair.ends.all[A].end.cancel(pair.to_b, u64::MAX);
    let mut sent = Vec::new();
    for token in 0..COUNT {
        match pair.ends.completion(A, token) {
            Ok(_) => sent.push(token),
            Err(error) => assert_eq!(error, WorkError::Cancelled),
        }
    }
    pair.ends.post(
        A,
        pair.to_b,
        WorkRequest::Send(Message::copied(b"last")),
        Some(COUNT),
    );
    let mut came = Vec::new();
    loop {
        let (_, message) = pair.ends.message(B);
        match message.first_chunk() {
            Some(number) => came.push(u64::from_le_bytes(*number)),
            None => break,
        }
    }
    // What was cancelled did not come, and everything else did.
    assert_eq!(came, sent);
    assert_eq!(alive.count(), 0);
}
