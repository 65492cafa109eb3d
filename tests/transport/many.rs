//! Many endpoints and many requests.

use std::collections::HashMap;

use rustix::process::{Resource, getrlimit};

use maser_transport::{Event, Message, PutSource, Transport, WorkRequest};

use crate::ends::{A, B, Ends, Lab, Pair};

pub fn a_thousand_endpoints_are_answered<L: Lab>(lab: &L) {
    let mut ends = Ends::new([lab.end(), lab.end()]);
    let count = ends.all[A].end.limits().max_endpoints.min(1_000);
    // Both ends of a connection are here, and there is a little else.
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if files < 2 * count as u64 + 100 {
        println!("skipped: this process may open {files} files, too few for {count} connections");
        return;
    }
    let mut both = Vec::new();
    for _ in 0..count {
        both.push(ends.connect(A, B));
    }
    for (n, (to_b, _)) in both.iter().enumerate() {
        let request = WorkRequest::Send(Message::copied(&n.to_le_bytes()));
        ends.post(A, *to_b, request, None);
    }
    let back: HashMap<_, _> = both.iter().map(|(there, here)| (*here, *there)).collect();
    for _ in 0..count {
        let (endpoint, message) = ends.message(B);
        ends.post(B, endpoint, WorkRequest::Send(message.clone()), None);
        let (from, answer) = ends.message(A);
        assert_eq!((from, answer), (back[&endpoint], message));
    }
}

pub fn many_peers_of_one_end_keep_their_order<L: Lab>(lab: &L) {
    const PEERS: usize = 8;
    const COUNT: u32 = 100;
    let mut ends = Ends::new((0..=PEERS).map(|_| lab.end()));
    let mut next = HashMap::new();
    let mut to = Vec::new();
    for peer in 1..=PEERS {
        let (there, here) = ends.connect(peer, A);
        to.push(there);
        next.insert(here, 0);
    }
    for n in 0..COUNT {
        for peer in 1..=PEERS {
            let request = WorkRequest::Send(Message::copied(&n.to_le_bytes()));
            ends.post(peer, to[peer - 1], request, None);
        }
    }
    for _ in 0..PEERS as u32 * COUNT {
        let (from, message) = ends.message(A);
        let next = next.get_mut(&from).expect("a peer");
        assert_eq!(*message, u32::to_le_bytes(*next));
        *next += 1;
    }
}

pub fn every_request_with_a_token_is_completed_once<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    let there = pair.region(B, &[0; 4096]);
    let here = pair.region(A, &[0; 4096]);
    const COUNT: u64 = 600;
    for token in 0..COUNT {
        let request = match token % 5 {
            0 => WorkRequest::Send(vec![0; token as usize * 11].into()),
            1 => WorkRequest::Put {
                from: PutSource::Region(here.whole()),
                to: there.remote().whole(),
                signal: (token % 2 == 0).then_some(token as u32),
            },
            2 => WorkRequest::Get {
                from: there.remote().whole(),
                to: here.whole(),
            },
            3 => WorkRequest::FetchAdd {
                at: there.remote().slice(0..8).expect("within"),
                add: token,
            },
            _ => WorkRequest::Flush,
        };
        pair.ends.post(A, pair.to_b, request, Some(token));
    }
    for token in 0..COUNT {
        pair.ends.completion(A, token).expect("it is done");
    }
    pair.ends.connect(A, B);
    let is_one = |event: &Event| matches!(event, Event::Completed(_));
    assert!(!pair.ends.all[A].told.iter().any(is_one));
}
