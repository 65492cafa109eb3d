//! Credit: nothing is kept beyond the limits, and full is an answer.

use maser_fakes::Faults;
use maser_transport::protocol::{CallOptions, LostReason, NotTakenReason, Notice, Peer};
use maser_transport::{Event, Message, Transport, WorkRequest};

use crate::world::{CLIENT, Ground, Loopback, SERVER, World, pattern, small};

type Reference = World<<Loopback as Ground>::T>;

fn two() -> (Reference, Peer) {
    let mut world = World::new::<Loopback>(Faults::default(), Faults::default());
    let peer = world.connect(CLIENT, SERVER);
    world.until(CLIENT, |notice| {
        matches!(notice, Notice::Up { .. }).then_some(())
    });
    (world, peer)
}

/// Sends until it is refused; how many were taken.
fn fill(world: &mut Reference, peer: Peer, bytes: usize) -> u32 {
    let mut sent = 0;
    loop {
        let payload = pattern(bytes, sent.into());
        match world.all[CLIENT].end.send(peer, sent, payload.clone()) {
            Ok(()) => sent += 1,
            Err(refused) => {
                assert_eq!(*refused.payload, payload, "it comes back");
                assert!(
                    matches!(refused.refusal, NotTakenReason::Full { .. }),
                    "{refused}"
                );
                return sent;
            }
        }
    }
}

#[test]
fn a_receiver_that_takes_nothing_lets_no_more_come_than_its_window() {
    let (mut world, peer) = two();
    world.told(SERVER);
    let mut sent = fill(&mut world, peer, 10);
    // It goes on with what the transport brings, and its program takes nothing.
    for _ in 0..1000 {
        world.now_ns += 1_000_000;
        world.turn_one(CLIENT);
        world.all[SERVER].end.advance(world.now_ns);
        world.all[SERVER].end.progress();
        sent += fill(&mut world, peer, 10);
    }
    assert_eq!(sent, 16);
    // When it takes them, as many may come again.
    let mut taken = 0;
    while taken < 16 {
        world.turn();
        taken += world.told(SERVER).len();
    }
    world.until(CLIENT, |notice| {
        matches!(notice, Notice::Writable { .. }).then_some(())
    });
    assert!(fill(&mut world, peer, 10) > 0);
}

#[test]
fn the_window_counts_bytes_as_well() {
    let mut ground = <Loopback as Ground>::new();
    let mut world = Reference {
        all: Vec::new(),
        now_ns: 0,
    };
    for epoch in [1, 2] {
        let transport = ground.open();
        let mut options = small(epoch, &transport);
        options.window_messages = 1000;
        world.add_with(transport, Faults::default(), options);
    }
    let peer = world.connect(CLIENT, SERVER);
    world.until(CLIENT, |notice| {
        matches!(notice, Notice::Up { .. }).then_some(())
    });
    // 65,536 bytes may come.
    assert_eq!(fill(&mut world, peer, 1999), 32);
    assert_eq!(fill(&mut world, peer, 1568), 1);
    assert_eq!(fill(&mut world, peer, 0), 1000 - 33);
}

#[test]
fn messages_that_are_lent_are_fetched_as_room_is_made() {
    let (mut world, peer) = two();
    world.told(SERVER);
    // 4,000 bytes each, and 10,000 may be fetched and not taken: two of them.
    assert_eq!(fill(&mut world, peer, 4000), 16);
    for _ in 0..1000 {
        world.now_ns += 1_000_000;
        world.turn_one(CLIENT);
        world.all[SERVER].end.advance(world.now_ns);
        world.all[SERVER].end.progress();
    }
    let mut there = 0;
    while let Some(notice) = world.all[SERVER].end.poll() {
        if let Notice::Message { what, payload, .. } = notice {
            assert_eq!((what, &*payload), (there, &pattern(4000, there.into())[..]));
            there += 1;
        }
        if there == 2 {
            break;
        }
    }
    assert_eq!(there, 2);
    while there < 16 {
        world.turn();
        for notice in world.told(SERVER) {
            if let Notice::Message { what, payload, .. } = notice {
                assert_eq!((what, &*payload), (there, &pattern(4000, there.into())[..]));
                there += 1;
            }
        }
    }
}

#[test]
fn calls_that_are_not_answered_are_bounded_and_answers_are_not_refused() {
    let (mut world, peer) = two();
    let mut calls = Vec::new();
    let mut call = |world: &mut Reference| {
        let end = &mut world.all[CLIENT].end;
        let taken = end.call(peer, 1, b"?".as_slice(), CallOptions::default());
        taken.map(|call| calls.push(call)).is_ok()
    };
    while call(&mut world) {}
    let mut asked = Vec::new();
    for _ in 0..1000 {
        world.turn();
        assert!(
            !call(&mut world),
            "calls that were told and not answered count"
        );
        asked.extend(world.told(SERVER));
    }
    let asked: Vec<_> = asked
        .into_iter()
        .filter_map(|notice| match notice {
            Notice::Call { peer, call, .. } => Some((peer, call)),
            _ => None,
        })
        .collect();
    assert_eq!((asked.len(), calls.len()), (16, 16));
    for (from, call) in asked {
        world.all[SERVER]
            .end
            .reply(from, call, pattern(3000, 3))
            .expect("it waits");
    }
    for call in calls {
        assert_eq!(
            *world.replied(CLIENT, call).expect("a reply"),
            pattern(3000, 3)
        );
    }
    world.until(CLIENT, |notice| {
        matches!(notice, Notice::Writable { .. }).then_some(())
    });
}

#[test]
fn what_is_longer_than_payloads_may_be_is_refused() {
    let (mut world, peer) = two();
    let long: Message = vec![0; 100_001].into();
    let refused = world.all[CLIENT]
        .end
        .send(peer, 1, long)
        .expect_err("it is too long");
    assert_eq!(
        refused.refusal,
        NotTakenReason::TooLong {
            bytes: 100_001,
            max: 100_000
        }
    );
    assert_eq!(refused.payload.len(), 100_001);
}

#[test]
fn a_peer_that_sends_nonsense_is_lost_and_nothing_of_it_is_done() {
    let mut ends = 0;
    for seed in 0..200 {
        let faults = Faults {
            seed,
            truncated: 100,
            ..Faults::default()
        };
        let mut world = World::new::<Loopback>(faults, Faults::default());
        let peer = world.connect(CLIENT, SERVER);
        let mut calls = 0;
        for number in 0..16 {
            let payload = pattern(number * 20, 5);
            let end = &mut world.all[CLIENT].end;
            calls += u32::from(end.call(peer, 1, payload, CallOptions::default()).is_ok());
        }
        assert!(calls > 0);
        for _ in 0..100 {
            world.turn();
            for notice in world.told(SERVER) {
                match notice {
                    Notice::Call { payload, .. } => {
                        assert_eq!(*payload, pattern(payload.len(), 5), "seed {seed}");
                        assert_eq!(payload.len() % 20, 0, "seed {seed}");
                    }
                    Notice::Lost { reason, .. } => {
                        assert!(matches!(reason, LostReason::Corrupt(_)), "{reason}");
                        ends += 1;
                    }
                    _ => {}
                }
            }
        }
    }
    assert!(ends > 50, "{ends} of 200 were found out");
}

#[test]
fn a_connection_on_which_nothing_is_said_is_closed() {
    let mut ground = <Loopback as Ground>::new();
    let mut stranger = ground.open();
    let mut world = Reference {
        all: Vec::new(),
        now_ns: 0,
    };
    world.add(ground.open(), Faults::default());
    let address = world.all[0].end.transport().address();
    let silent = stranger.connect(&address).expect("it is there");
    let rude = stranger.connect(&address).expect("it is there");
    let words = WorkRequest::Send(Message::copied(b"GET / HTTP/1.1\r\n\r\n"));
    stranger.post(rude, words, None).expect("taken");
    let mut ended = Vec::new();
    while ended.len() < 2 {
        world.turn();
        if let Some(Event::Ended { endpoint, .. }) = stranger.poll() {
            ended.push(endpoint);
        }
        assert!(world.now_ns < 10_000_000_000, "{ended:?}");
    }
    assert_eq!(ended, [rude, silent]);
    assert_eq!(world.all[0].end.counts().turned_away, 2);
    assert!(world.now_ns >= 5_000_000_000 && !world.all[0].end.has_sessions());
}
