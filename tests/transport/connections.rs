//! How ends come together.

use maser_transport::{Address, Event, Message, Transport, TransportKind, WorkRequest};

use crate::ends::{A, B, Ends, Lab, Pair};

pub fn both_ends_hear_of_a_connection<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    let (to_a, to_b) = (pair.to_a, pair.to_b);
    pair.send(&b"there"[..]);
    assert_eq!(pair.ends.message(B), (to_a, Message::copied(b"there")));
    pair.ends
        .post(B, to_a, WorkRequest::Send(Message::copied(b"back")), None);
    assert_eq!(pair.ends.message(A), (to_b, Message::copied(b"back")));
}

pub fn requests_may_be_posted_before_it_is_there<L: Lab>(lab: &L) {
    let mut ends = Ends::new([lab.end(), lab.end()]);
    let address = ends.all[B].end.address();
    let to_b = ends.all[A].end.connect(&address).expect("it connects");
    for n in 0..8_u8 {
        ends.post(
            A,
            to_b,
            WorkRequest::Send(Message::copied(&[n])),
            Some(n.into()),
        );
    }
    for n in 0..8_u8 {
        assert_eq!(ends.message(B).1, Message::copied(&[n]));
        assert_eq!(ends.completion(A, n.into()), Ok(0));
    }
}

pub fn two_connections_of_the_same_ends_are_two<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    let (second, second_back) = pair.ends.connect(A, B);
    // And one the other way.
    let (third, third_back) = pair.ends.connect(B, A);
    assert!(second != pair.to_b && second_back != pair.to_a);
    assert!(third != pair.to_a && third != second_back);
    assert!(third_back != pair.to_b && third_back != second);
    for (to, from, word) in [(pair.to_b, pair.to_a, b"1"), (second, second_back, b"2")] {
        pair.ends
            .post(A, to, WorkRequest::Send(Message::copied(word)), None);
        assert_eq!(pair.ends.message(B), (from, Message::copied(word)));
    }
    pair.ends.all[A].end.close(second);
    pair.ends.end_of(B, second_back);
    pair.send(&b"still"[..]);
    assert_eq!(pair.ends.message(B), (pair.to_a, Message::copied(b"still")));
}

pub fn an_end_connects_to_itself<L: Lab>(lab: &L) {
    let mut ends = Ends::new([lab.end()]);
    let (there, here) = ends.connect(A, A);
    assert_ne!(there, here);
    ends.post(A, there, WorkRequest::Send(Message::copied(b"me")), None);
    assert_eq!(ends.message(A), (here, Message::copied(b"me")));
}

pub fn an_address_of_another_transport_is_refused<L: Lab>(lab: &L) {
    let mut end = lab.end();
    let other = TransportKind::ALL
        .into_iter()
        .find(|kind| *kind != end.kind());
    let mut wire = end.address().to_wire();
    wire[0] = other.expect("there are several") as u8;
    let address = Address::from_wire(&wire).expect("an address");
    let error = end.connect(&address).expect_err("it is of another");
    assert!(error.to_string().contains("was given to"), "{error}");
}

pub fn an_address_that_says_nothing_is_refused<L: Lab>(lab: &L) {
    let mut end = lab.end();
    for bytes in [&b""[..], b"?", &[0xff; 300]] {
        let address = Address::new(end.kind(), bytes.to_vec()).expect("short enough");
        let error = end.connect(&address).expect_err("it says nothing");
        assert!(error.to_string().contains("cannot be read"), "{error}");
    }
    assert!(Address::new(end.kind(), vec![0; 5000]).is_err());
}

pub fn a_place_that_is_used_again_is_another_endpoint<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    let first = pair.to_b;
    pair.ends.all[A].end.close(first);
    pair.ends.end_of(A, first);
    pair.ends.end_of(B, pair.to_a);
    let (second, _) = pair.ends.connect(A, B);
    assert_ne!(first, second);
    let stale = pair.ends.all[A].end.post(first, WorkRequest::Flush, None);
    assert!(stale.is_err());
    pair.ends.all[A].end.close(first);
    pair.ends
        .post(A, second, WorkRequest::Send(Message::copied(b"2")), None);
    assert_eq!(pair.ends.message(B).1, Message::copied(b"2"));
    let is_ended = |event: &Event| matches!(event, Event::Ended { .. });
    assert!(!pair.ends.all[A].told.iter().any(is_ended));
}
