//! Networks that lose frames, keep them for a while, or bring them twice and in another order.

use std::time::Duration;

use maser_tests::alone;

use crate::cable::{Cable, Faults};
use crate::handle::{Program, connect, nothing_is_lost};
use crate::lab::{Lab, Wires};

/// Frames that are not harmed.
const NONE: Faults = Faults {
    seed: 1,
    lost_per_mille: 0,
    doubled_per_mille: 0,
    delay: Duration::ZERO,
    jitter: Duration::ZERO,
};

/// Two hosts on a cable with these faults, each with a program that takes so much silence.
fn with_a_cable(
    limit: Duration,
    faults: Faults,
    test: impl FnOnce(&Cable, Program, Program) + Send,
) {
    alone(|| {
        let laid = Lab::open(2, Wires::Taps).and_then(|lab| {
            let cable = Cable::lay(&lab, faults)?;
            Ok((lab, cable))
        });
        match laid {
            Ok((lab, cable)) => {
                println!("{faults:?}");
                let mut a = Program::start(&lab, 0, limit);
                let mut b = Program::start(&lab, 1, limit);
                connect(&mut a, &mut b);
                test(&cable, a, b);
            }
            Err(reason) => println!("skipped: {reason}"),
        }
    });
}

/// Lets both exchange so many messages.
fn exchange(a: &mut Program, b: &mut Program, messages: u64) {
    while a.count().received < messages || b.count().received < messages {}
}

#[test]
fn frames_that_are_lost_late_doubled_and_overtaken_change_nothing() {
    let faults = Faults {
        lost_per_mille: 20,
        doubled_per_mille: 20,
        delay: Duration::from_millis(1),
        jitter: Duration::from_millis(3),
        ..NONE
    };
    with_a_cable(Duration::from_secs(60), faults, |cable, mut a, mut b| {
        exchange(&mut a, &mut b, 1000);
        nothing_is_lost(&mut a, &mut b);
        for host in [0, 1] {
            let carried = cable.carried_from(host);
            assert!(
                carried.lost > 0 && carried.doubled > 0 && carried.overtaken > 0,
                "{carried:?}"
            );
        }
    });
}

#[test]
fn every_tenth_frame_that_is_lost_is_sent_again() {
    let faults = Faults {
        seed: 7,
        lost_per_mille: 100,
        ..NONE
    };
    with_a_cable(Duration::from_secs(60), faults, |cable, mut a, mut b| {
        exchange(&mut a, &mut b, 200);
        nothing_is_lost(&mut a, &mut b);
        assert!(cable.carried_from(0).lost > 0 && cable.carried_from(1).lost > 0);
    });
}

#[test]
fn a_long_way_changes_nothing() {
    let faults = Faults {
        delay: Duration::from_millis(50),
        ..NONE
    };
    with_a_cable(Duration::from_secs(60), faults, |_, mut a, mut b| {
        exchange(&mut a, &mut b, 200);
        nothing_is_lost(&mut a, &mut b);
    });
}

#[test]
fn a_direction_that_is_cut_ends_both() {
    with_a_cable(Duration::from_secs(3), NONE, |cable, mut a, mut b| {
        exchange(&mut a, &mut b, 20);
        cable.cut_from(0);
        // The second hears nothing of the first any more. It gives the connection up, which the first may
        // hear before it misses answers.
        let ended = b.ends();
        assert_eq!(ended.kind, "silent", "{ended:?}");
        let ended = a.ends();
        assert!(
            ["gone", "closed", "silent"].contains(&&*ended.kind),
            "{ended:?}"
        );
    });
}
