//! Calls: one effect each, wherever the connection is lost; what fails says what was awaited.

use std::collections::BTreeSet;
use std::time::Duration;

use maser_fakes::Faults;
use maser_transport::protocol::{
    CallError, CallOptions, LostReason, NotTakenReason, Notice, Retry,
};

use crate::world::{CLIENT, Ground, Loopback, SERVER, Tcp, World, pattern};

/// A few calls of every way to travel, with the connection lost at point `cut` of the client or server.
/// Gives whether there was such a point.
fn each_has_its_effect_once<G: Ground>(at: usize, cut: u64) -> bool {
    let lost = Faults {
        cut_at: BTreeSet::from([cut]),
        ..Faults::default()
    };
    let none = Faults::default();
    let (client, server) = match at {
        CLIENT => (lost, none),
        _ => (none, lost),
    };
    let mut world = World::<G::T>::new::<G>(client, server);
    let peer = world.connect(CLIENT, SERVER);
    let lengths = [0, 32, 33, 299, 1999, 2000, 9000];
    let mut calls = Vec::new();
    for (number, bytes) in lengths.into_iter().enumerate() {
        let payload = pattern(bytes, number as u64);
        let end = &mut world.all[CLIENT].end;
        let call = end.call(peer, number as u32, payload, CallOptions::default());
        calls.push(call.expect("it is within the first credit"));
    }
    let mut effects = Vec::new();
    let mut replies = 0;
    while replies < calls.len() {
        world.turn();
        for notice in world.told(SERVER) {
            if let Notice::Call {
                peer,
                call,
                what,
                payload,
            } = notice
            {
                assert_eq!(
                    *payload,
                    pattern(lengths[what as usize], what.into()),
                    "cut {cut}"
                );
                effects.push(call);
                let reply = pattern(lengths[what as usize] + 1, call.sequence);
                world.all[SERVER]
                    .end
                    .reply(peer, call, reply)
                    .expect("it waits");
            }
        }
        for notice in world.told(CLIENT) {
            match notice {
                Notice::Reply { call, outcome, .. } => {
                    let at = calls
                        .iter()
                        .position(|one| *one == call)
                        .expect("one of them");
                    let reply = outcome.expect("it was retried");
                    assert_eq!(*reply, pattern(lengths[at] + 1, call.sequence), "cut {cut}");
                    replies += 1;
                }
                Notice::Lost { reason, .. } => panic!("cut {cut} of end {at}: {reason}"),
                _ => {}
            }
        }
        assert!(
            world.now_ns < 60_000_000_000,
            "cut {cut} of end {at}: {replies} replies"
        );
    }
    effects.sort_unstable();
    assert_eq!(effects, calls, "cut {cut}: each once");
    world.all[at].end.transport().cuts() > 0
}

fn wherever_it_is_cut<G: Ground>() {
    for at in [CLIENT, SERVER] {
        let mut cuts = 0;
        while each_has_its_effect_once::<G>(at, cuts + 1) {
            cuts += 1;
        }
        assert!(
            cuts > 20,
            "end {at} has {cuts} points: the calls did not travel"
        );
    }
}

#[test]
fn a_call_has_its_effect_once_wherever_the_connection_is_lost() {
    wherever_it_is_cut::<Loopback>();
}

#[test]
fn a_call_over_tcp_has_its_effect_once_wherever_the_connection_is_lost() {
    wherever_it_is_cut::<Tcp>();
}

fn two() -> (
    World<<Loopback as Ground>::T>,
    maser_transport::protocol::Peer,
) {
    let mut world = World::new::<Loopback>(Faults::default(), Faults::default());
    let peer = world.connect(CLIENT, SERVER);
    (world, peer)
}

#[test]
fn a_server_that_is_still_at_work_when_the_connection_is_lost_replies_over_the_next() {
    let (mut world, peer) = two();
    let end = &mut world.all[CLIENT].end;
    let call = end
        .call(peer, 1, b"work".as_slice(), CallOptions::default())
        .expect("taken");
    let (from, asked, _) = world.called(SERVER);
    world.all[CLIENT].end.transport_mut().cut_all();
    world.until(CLIENT, |notice| {
        matches!(notice, Notice::Resumed { .. }).then_some(())
    });
    world.all[SERVER]
        .end
        .reply(from, asked, b"done".as_slice())
        .expect("it waits");
    assert_eq!(&*world.replied(CLIENT, call).expect("a reply"), b"done");
    assert!(
        !world
            .told(SERVER)
            .iter()
            .any(|notice| matches!(notice, Notice::Call { .. }))
    );
}

#[test]
fn a_call_that_is_made_once_only_says_that_it_may_have_had_its_effect() {
    let (mut world, peer) = two();
    let options = CallOptions {
        retry: Retry::Never,
        ..CallOptions::default()
    };
    let call = world.all[CLIENT]
        .end
        .call(peer, 5, b"once".as_slice(), options)
        .expect("taken");
    world.called(SERVER);
    world.all[CLIENT].end.transport_mut().cut_all();
    let error = world
        .replied(CLIENT, call)
        .expect_err("its connection was lost");
    assert!(
        matches!(&error, CallError::ConnectionLost { what: 5, from, .. } if *from == peer),
        "{error}"
    );
    assert!(
        error.to_string().contains("may have had its effect"),
        "{error}"
    );
}

#[test]
fn a_call_that_takes_too_long_says_what_was_awaited_from_whom_and_how_long() {
    let (mut world, peer) = two();
    let options = CallOptions {
        limit: Some(Duration::from_millis(500)),
        ..CallOptions::default()
    };
    let call = world.all[CLIENT]
        .end
        .call(peer, 9, b"slow".as_slice(), options)
        .expect("taken");
    let (from, asked, _) = world.called(SERVER);
    let error = world.replied(CLIENT, call).expect_err("nobody replied");
    let CallError::TimedOut {
        what: 9,
        waited,
        is_connected: true,
        has_left: true,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert!(waited >= Duration::from_millis(500));
    // The server hears of it, and what it replies is nobody's.
    let told = world.until(SERVER, |notice| match notice {
        Notice::Cancelled { call, .. } => Some(*call),
        _ => None,
    });
    assert_eq!(told, asked);
    world.all[SERVER]
        .end
        .reply(from, asked, b"late".as_slice())
        .expect("it is dropped");
    (0..100).for_each(|_| world.turn());
    assert!(
        world
            .told(CLIENT)
            .iter()
            .all(|notice| !matches!(notice, Notice::Reply { .. }))
    );
}

#[test]
fn a_call_to_nobody_says_that_it_had_no_effect() {
    let (mut world, _) = two();
    let gone = world.all.pop().expect("a server").end;
    let address = maser_transport::Transport::address(gone.transport());
    drop(gone);
    let peer = world.all[CLIENT].end.connect(&address).expect("an address");
    let limited = CallOptions {
        limit: Some(Duration::from_secs(2)),
        ..CallOptions::default()
    };
    let end = &mut world.all[CLIENT].end;
    let call = end.call(peer, 1, b"?".as_slice(), limited).expect("taken");
    let other = end
        .call(peer, 2, b"?".as_slice(), CallOptions::default())
        .expect("taken");
    let error = world.replied(CLIENT, call).expect_err("nobody is there");
    assert!(
        matches!(
            error,
            CallError::TimedOut {
                is_connected: false,
                has_left: false,
                ..
            }
        ),
        "{error}"
    );
    let error = world.replied(CLIENT, other).expect_err("nobody is there");
    let CallError::Lost {
        reason: LostReason::Unreachable { limit, .. },
        has_left: false,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(limit, Duration::from_secs(30));
}

#[test]
fn a_call_that_is_cancelled_before_it_leaves_has_no_effect() {
    let (mut world, peer) = two();
    let end = &mut world.all[CLIENT].end;
    let given_up = end
        .call(peer, 1, pattern(5000, 1), CallOptions::default())
        .expect("taken");
    let kept = end
        .call(peer, 2, b"kept".as_slice(), CallOptions::default())
        .expect("taken");
    end.cancel(peer, given_up);
    let error = world
        .replied(CLIENT, given_up)
        .expect_err("it was cancelled");
    assert!(
        matches!(
            error,
            CallError::Cancelled {
                has_left: false,
                ..
            }
        ),
        "{error}"
    );
    let (from, asked, payload) = world.called(SERVER);
    assert_eq!((&*payload, asked), (&b"kept"[..], kept));
    world.all[SERVER]
        .end
        .reply(from, asked, b"!".as_slice())
        .expect("it waits");
    assert_eq!(&*world.replied(CLIENT, kept).expect("a reply"), b"!");
}

#[test]
fn a_call_is_replied_to_once() {
    let (mut world, peer) = two();
    let end = &mut world.all[CLIENT].end;
    let call = end
        .call(peer, 1, b"?".as_slice(), CallOptions::default())
        .expect("taken");
    let (from, asked, _) = world.called(SERVER);
    let server = &mut world.all[SERVER].end;
    server
        .reply(from, asked, b"first".as_slice())
        .expect("it waits");
    let error = server
        .reply(from, asked, b"second".as_slice())
        .expect_err("it was replied to");
    assert_eq!(
        error.refusal,
        NotTakenReason::NoCall {
            peer: from,
            call: asked
        }
    );
    assert_eq!(&*error.payload, b"second");
    assert_eq!(&*world.replied(CLIENT, call).expect("a reply"), b"first");
}

#[test]
fn both_ends_of_a_session_call() {
    let (mut world, peer) = two();
    let end = &mut world.all[CLIENT].end;
    let there = end
        .call(peer, 1, b"there".as_slice(), CallOptions::default())
        .expect("taken");
    let (from, asked, _) = world.called(SERVER);
    let server = &mut world.all[SERVER].end;
    let back = server
        .call(from, 2, b"back".as_slice(), CallOptions::default())
        .expect("taken");
    let (_, asked_back, payload) = world.called(CLIENT);
    assert_eq!((&*payload, asked_back.epoch), (&b"back"[..], 2));
    world.all[CLIENT]
        .end
        .reply(peer, asked_back, b"B".as_slice())
        .expect("it waits");
    assert_eq!(&*world.replied(SERVER, back).expect("a reply"), b"B");
    world.all[SERVER]
        .end
        .reply(from, asked, b"A".as_slice())
        .expect("it waits");
    assert_eq!(&*world.replied(CLIENT, there).expect("a reply"), b"A");
}
