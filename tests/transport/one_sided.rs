//! Puts, gets and atomics, whoever does them.

use std::sync::Arc;

use maser_transport::{
    Access, Capabilities, HeapMemory, MemoryRegion, Message, PutSource, Refusal, RemoteRegion,
    Transport, TransportKind, WorkError, WorkRequest,
};

use crate::ends::{A, B, Lab, Pair, bytes_of, lacks, pattern, region};

fn put(from: PutSource, to: &MemoryRegion, signal: Option<u32>) -> WorkRequest {
    let len = from.len() as u64;
    WorkRequest::Put {
        from,
        to: to.remote().slice(0..len).expect("within"),
        signal,
    }
}

fn bytes(bytes: &[u8]) -> PutSource {
    PutSource::Bytes(Message::copied(bytes))
}

pub fn a_put_is_there_when_its_signal_comes<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    let there = pair.region(B, &[0; 100_000]);
    for signal in [0, 1, u32::MAX] {
        let sent = pattern(100_000, u64::from(signal));
        let here = pair.region(A, &sent);
        let request = put(PutSource::Region(here.whole()), &there, Some(signal));
        pair.ends.post(A, pair.to_b, request, None);
        assert_eq!(pair.ends.signal(B), signal);
        assert!(bytes_of(&there) == sent);
    }
}

pub fn bytes_are_put_without_a_region<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    let there = pair.region(B, &[0; 8192]);
    for len in [1, 8, 63, 64, 65, 4096, 8192] {
        let sent = pattern(len, len as u64);
        let request = put(PutSource::Bytes(sent.clone().into()), &there, Some(7));
        pair.ends.post(A, pair.to_b, request, None);
        assert_eq!(pair.ends.signal(B), 7);
        assert!(bytes_of(&there)[..len] == sent);
    }
}

pub fn a_get_brings_what_is_there<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    let found = pattern(1 << 20, 5);
    let there = pair.region(B, &found);
    let here = pair.region(A, &[0; 1 << 20]);
    let request = WorkRequest::Get {
        from: there.remote().whole(),
        to: here.whole(),
    };
    assert_eq!(pair.done(request), Ok(0));
    assert!(bytes_of(&here) == found);
}

pub fn puts_and_gets_begin_and_end_anywhere<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    let sent = pattern(300, 3);
    let here = pair.region(A, &sent);
    for (from, to, len) in [
        (0, 1, 1),
        (1, 0, 7),
        (3, 5, 9),
        (7, 9, 64),
        (13, 2, 65),
        (100, 99, 200),
    ] {
        let there = pair.region(B, &[0; 300]);
        let remote = there.remote();
        let request = WorkRequest::Put {
            from: PutSource::Region(here.slice(from..from + len).expect("within")),
            to: remote.slice(to..to + len as u64).expect("within"),
            signal: None,
        };
        assert_eq!(pair.done(request), Ok(0));
        assert_eq!(pair.done(WorkRequest::Flush), Ok(0));
        let to = to as usize;
        let mut wanted = vec![0; 300];
        wanted[to..to + len].copy_from_slice(&sent[from..from + len]);
        assert_eq!(bytes_of(&there), wanted);

        let back = pair.region(A, &[0; 300]);
        let request = WorkRequest::Get {
            from: remote.slice(to as u64..(to + len) as u64).expect("within"),
            to: back.slice(from..from + len).expect("within"),
        };
        assert_eq!(pair.done(request), Ok(0));
        let mut wanted = vec![0; 300];
        wanted[from..from + len].copy_from_slice(&sent[from..from + len]);
        assert_eq!(bytes_of(&back), wanted);
    }
}

pub fn nothing_is_put_and_got_as_well<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    let there = pair.region(B, &[9; 8]);
    let here = pair.region(A, &[1; 8]);
    pair.ends
        .post(A, pair.to_b, put(bytes(b""), &there, Some(3)), None);
    assert_eq!(pair.ends.signal(B), 3);
    let request = WorkRequest::Get {
        from: there.remote().slice(8..8).expect("within"),
        to: here.slice(8..8).expect("within"),
    };
    assert_eq!(pair.done(request), Ok(0));
    assert_eq!(
        (bytes_of(&there), bytes_of(&here)),
        (vec![9; 8], vec![1; 8])
    );
}

pub fn words_are_added_to_one_after_the_other<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    let there = pair.region(B, &[0; 24]);
    let at = || there.remote().slice(8..16).expect("within");
    let add = |add| WorkRequest::FetchAdd { at: at(), add };
    assert_eq!(pair.done(add(5)), Ok(0));
    assert_eq!(pair.done(add(u64::MAX)), Ok(5));
    let mut before: Vec<u64> = Vec::new();
    for token in 0..100 {
        pair.ends
            .post(A, pair.to_b, add(1), Some(1_000_000 + token));
    }
    for token in 0..100 {
        let found = pair.ends.completion(A, 1_000_000 + token);
        before.push(found.expect("added"));
    }
    before.sort_unstable();
    assert!(before.iter().copied().eq(4..104), "{before:?}");
    let words: Vec<u64> = bytes_of(&there)
        .chunks(8)
        .map(|word| u64::from_ne_bytes(word.try_into().expect("8 bytes")))
        .collect();
    assert_eq!(words, [0, 104, 0]);
}

pub fn a_put_behind_a_fence_comes_later<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    let there = pair.region(B, &[0; 64 << 10]);
    for n in 0..50_u8 {
        let long = pair.region(A, &vec![n; 64 << 10]);
        let to_b = pair.to_b;
        pair.ends.post(
            A,
            to_b,
            put(PutSource::Region(long.whole()), &there, None),
            None,
        );
        pair.ends.all[A].end.fence(to_b);
        pair.ends.post(
            A,
            to_b,
            put(bytes(&[255]), &there, Some(u32::from(n))),
            None,
        );
        assert_eq!(pair.ends.signal(B), u32::from(n));
        let found = bytes_of(&there);
        assert_eq!((found[0], found[1], found[(64 << 10) - 1]), (255, n, n));
    }
}

pub fn a_region_that_is_gone_is_an_error_of_that_request<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    let (gone, there) = (pair.region(B, &[1; 64]), pair.region(B, &[2; 64]));
    let here = pair.region(A, &[0; 64]);
    let (remote, left) = (gone.remote(), there.remote());
    drop(gone);
    let get = |from: &RemoteRegion| WorkRequest::Get {
        from: from.whole(),
        to: here.whole(),
    };
    let put = WorkRequest::Put {
        from: bytes(b"late"),
        to: remote.slice(0..4).expect("within"),
        signal: Some(1),
    };
    let add = WorkRequest::FetchAdd {
        at: remote.slice(0..8).expect("within"),
        add: 1,
    };
    for request in [get(&remote), put, add] {
        let outcome = pair.done(request);
        assert!(matches!(outcome, Err(WorkError::Region(_))), "{outcome:?}");
        if lacks(&pair.ends.all[A].end, Capabilities::REGION_ERRORS_ARE_ALONE) {
            return;
        }
    }
    assert_eq!(pair.done(get(&left)), Ok(0));
    assert_eq!(bytes_of(&here), [2; 64]);
}

pub fn what_a_region_does_not_allow_is_refused<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    let here = pair.region(A, &[0; 8]);
    for access in [Access::READ, Access::WRITE, Access::ATOMIC, Access::empty()] {
        let memory = Arc::new(HeapMemory::new(8));
        let there = pair.ends.all[B].end.register(memory, access);
        let there = there.expect("registered").remote();
        let whole = || there.whole();
        let from = PutSource::Region(here.whole());
        let requests = [
            (
                Access::WRITE,
                WorkRequest::Put {
                    from,
                    to: whole(),
                    signal: None,
                },
            ),
            (
                Access::READ,
                WorkRequest::Get {
                    from: whole(),
                    to: here.whole(),
                },
            ),
            (
                Access::ATOMIC,
                WorkRequest::FetchAdd {
                    at: whole(),
                    add: 1,
                },
            ),
        ];
        for (wanted, request) in requests {
            if access.contains(wanted) {
                continue;
            }
            let refused = pair.ends.all[A].end.post(pair.to_b, request, Some(1));
            let refusal = refused.expect_err("not allowed").refusal;
            let allowed = access;
            assert_eq!(refusal, Refusal::NotAllowed { allowed, wanted });
        }
    }
}

pub fn two_sides_of_different_length_are_refused<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    let (here, there) = (pair.region(A, &[0; 16]), pair.region(B, &[0; 16]));
    let to = there.remote();
    let eight = || to.slice(0..8).expect("within");
    let requests = [
        WorkRequest::Put {
            from: PutSource::Region(here.whole()),
            to: eight(),
            signal: None,
        },
        WorkRequest::Get {
            from: eight(),
            to: here.whole(),
        },
        WorkRequest::FetchAdd {
            at: to.whole(),
            add: 1,
        },
    ];
    for (request, (here, there)) in requests.into_iter().zip([(16, 8), (16, 8), (8, 16)]) {
        let refused = pair.ends.all[A].end.post(pair.to_b, request, None);
        let refusal = refused.expect_err("different").refusal;
        assert_eq!(refusal, Refusal::Lengths { here, there });
    }
    let at = to.slice(4..12).expect("within");
    let refused = pair.ends.all[A]
        .end
        .post(pair.to_b, WorkRequest::FetchAdd { at, add: 1 }, None);
    assert_eq!(
        refused.expect_err("unaligned").refusal,
        Refusal::Unaligned { offset: 4 }
    );
    assert!(to.slice(8..17).is_err() && here.slice(8..17).is_err());
}

pub fn regions_of_other_transports_are_refused<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    let there = pair.region(B, &[0; 8]);
    let wanted = pair.ends.all[A].end.kind();
    let found = TransportKind::ALL.into_iter().find(|kind| *kind != wanted);
    let found = found.expect("there are several");
    let mut wire = there.remote().to_wire();
    wire[0] = found as u8;
    let other = RemoteRegion::from_wire(&wire).expect("a region");
    let request = WorkRequest::FetchAdd {
        at: other.whole(),
        add: 1,
    };
    let refused = pair.ends.all[A].end.post(pair.to_b, request, None);
    let refusal = refused.expect_err("of another").refusal;
    assert_eq!(refusal, Refusal::OtherTransport { found, wanted });
}

pub fn work_under_way_keeps_its_region<L: Lab>(lab: &L) {
    let mut pair = Pair::new(lab);
    let there = pair.region(B, &[0; 1 << 20]);
    for n in 0..10_u8 {
        let here = region(&mut pair.ends.all[A].end, &vec![n; 1 << 20]);
        let request = put(PutSource::Region(here.whole()), &there, Some(u32::from(n)));
        pair.ends.post(A, pair.to_b, request, None);
        drop(here);
        assert_eq!(pair.ends.signal(B), u32::from(n));
        assert!(bytes_of(&there).iter().all(|byte| *byte == n));
    }
}
