//! Sessions: who goes on with whom, and what is over.

use std::time::Duration;

use maser_fakes::Faults;
use maser_transport::protocol::{CallError, CallOptions, LostReason, Notice, Retry};
use maser_transport::tcp::TcpTransport;

use crate::world::{CLIENT, Ground, Loopback, SERVER, World, pattern, small, tcp_on};

#[test]
fn a_peer_that_was_restarted_is_told_apart_and_no_effect_happens_twice() {
    let mut world = World::<TcpTransport> {
        all: Vec::new(),
        now_ns: 0,
    };
    world.add(tcp_on(0), Faults::default());
    world.add(tcp_on(0), Faults::default());
    let peer = world.connect(CLIENT, SERVER);
    let again = CallOptions {
        retry: Retry::Again,
        ..CallOptions::default()
    };
    let end = &mut world.all[CLIENT].end;
    let once = end
        .call(peer, 1, b"once".as_slice(), CallOptions::default())
        .expect("taken");
    let twice = end.call(peer, 2, pattern(5000, 2), again).expect("taken");
    for _ in 0..2 {
        world.called(SERVER);
    }
    // Its memory is lost, and its port stays. Nothing is said, as by its death.
    let mut old = world.all.pop().expect("the server").end;
    let port = old.transport_mut().below().local_addr().port();
    old.transport_mut().cut_all();
    drop(old);
    world.until(CLIENT, |notice| {
        matches!(notice, Notice::Down { .. }).then_some(())
    });
    let end = &mut world.all[CLIENT].end;
    let unsent = end
        .call(peer, 3, b"unsent".as_slice(), CallOptions::default())
        .expect("taken");
    let transport = tcp_on(port);
    let options = small(77, &transport);
    world.add_with(transport, Faults::default(), options);
    let error = world.replied(CLIENT, once).expect_err("the peer forgot it");
    assert!(
        matches!(error, CallError::Restarted { what: 1, .. }),
        "{error}"
    );
    world.until(CLIENT, |notice| {
        matches!(notice, Notice::Restarted { .. }).then_some(())
    });
    let mut asked_again = Vec::new();
    for _ in 0..2 {
        let (from, asked, payload) = world.called(SERVER);
        asked_again.push(asked);
        let server = &mut world.all[SERVER].end;
        server.reply(from, asked, payload).expect("it waits");
    }
    asked_again.sort_unstable();
    assert_eq!(asked_again, [twice, unsent]);
    assert_eq!(
        *world.replied(CLIENT, twice).expect("a reply"),
        pattern(5000, 2)
    );
    assert_eq!(&*world.replied(CLIENT, unsent).expect("a reply"), b"unsent");
}

#[test]
fn a_session_that_is_ended_is_over_at_both_ends() {
    let mut world = World::new::<Loopback>(Faults::default(), Faults::default());
    let peer = world.connect(CLIENT, SERVER);
    let there = world.until(SERVER, |notice| match notice {
        Notice::Up { peer } => Some(*peer),
        _ => None,
    });
    let end = &mut world.all[CLIENT].end;
    let call = end
        .call(peer, 1, b"?".as_slice(), CallOptions::default())
        .expect("taken");
    end.end(peer);
    let error = world.replied(CLIENT, call).expect_err("it was ended");
    assert!(
        matches!(
            error,
            CallError::Lost {
                reason: LostReason::Ended,
                ..
            }
        ),
        "{error}"
    );
    for (at, wanted) in [
        (CLIENT, LostReason::Ended),
        (SERVER, LostReason::EndedByPeer),
    ] {
        let reason = world.until(at, |notice| match notice {
            Notice::Lost { reason, .. } => Some(reason.clone()),
            _ => None,
        });
        assert_eq!(reason, wanted);
    }
    assert!(world.all[CLIENT].end.send(peer, 1, b"".as_slice()).is_err());
    assert!(
        world.all[SERVER]
            .end
            .send(there, 1, b"".as_slice())
            .is_err()
    );
    assert!(!world.all[CLIENT].end.has_sessions() && !world.all[SERVER].end.has_sessions());
}

#[test]
fn an_end_that_is_dropped_says_so() {
    let mut world = World::new::<Loopback>(Faults::default(), Faults::default());
    world.connect(CLIENT, SERVER);
    world.until(SERVER, |notice| {
        matches!(notice, Notice::Up { .. }).then_some(())
    });
    let client = world.all.remove(CLIENT);
    drop(client);
    let reason = world.until(0, |notice| match notice {
        Notice::Lost { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    assert_eq!(reason, LostReason::EndedByPeer);
}

#[test]
fn a_session_goes_on_until_it_was_down_for_too_long() {
    let mut ground = <Loopback as Ground>::new();
    let mut world = World {
        all: Vec::new(),
        now_ns: 0,
    };
    world.add(ground.open(), Faults::default());
    world.add(ground.open(), Faults::default());
    let peer = world.connect(CLIENT, SERVER);
    world.until(CLIENT, |notice| {
        matches!(notice, Notice::Up { .. }).then_some(())
    });
    // The server's machine is away: nobody turns it, and each attempt is cut.
    for _ in 0..29_000 {
        world.now_ns += 1_000_000;
        world.all[CLIENT].end.transport_mut().cut_all();
        world.turn_one(CLIENT);
    }
    assert!(world.all[CLIENT].end.has_sessions());
    let end = &mut world.all[CLIENT].end;
    let call = end
        .call(peer, 1, b"?".as_slice(), CallOptions::default())
        .expect("taken");
    for _ in 0..2_000 {
        world.now_ns += 1_000_000;
        world.all[CLIENT].end.transport_mut().cut_all();
        world.turn_one(CLIENT);
    }
    let error = world.replied(CLIENT, call).expect_err("nobody is there");
    let CallError::Lost {
        reason: LostReason::Unreachable { down, limit, .. },
        waited,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(limit, Duration::from_secs(30));
    assert!(
        down >= limit && waited >= Duration::from_millis(900),
        "{down:?} {waited:?}"
    );
    // About one attempt a second in the end.
    let attempts = world.all[CLIENT].end.counts().connections;
    assert!((30..60).contains(&attempts), "{attempts}");
}
