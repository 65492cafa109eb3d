//! Cables that are pulled, and hosts that die.

use std::thread::sleep;
use std::time::Duration;

use maser_tests::alone;
use maser_transport::TransportKind;
use maser_transport::ucx::UcxTransport;
use rustix::process::Signal;

use crate::handle::{Ended, Program, connect, nothing_is_lost};
use crate::lab::{Lab, Wires};

/// How much later than its limit an end may say that a peer is silent.
const LATE: Duration = Duration::from_secs(3);

/// Two hosts on a bridge, each with a program that takes so much silence; they are connected by TCP.
fn with_two_hosts(limit: Duration, test: impl FnOnce(&Lab, Program, Program) + Send) {
    with_two_hosts_by(TransportKind::Tcp, limit, test);
}

/// As [`with_two_hosts`], by this transport.
fn with_two_hosts_by(
    kind: TransportKind,
    limit: Duration,
    test: impl FnOnce(&Lab, Program, Program) + Send,
) {
    let lab = || {
        if kind == TransportKind::Ucx {
            UcxTransport::available().map_err(|error| error.to_string())?;
        }
        Lab::open(2, Wires::Bridge)
    };
    alone(|| match lab() {
        Ok(lab) => {
            let mut a = Program::start_with(kind, &lab, 0, limit);
            let mut b = Program::start_with(kind, &lab, 1, limit);
            connect(&mut a, &mut b);
            a.receives_more();
            b.receives_more();
            test(&lab, a, b);
        }
        Err(reason) => println!("skipped: {reason}"),
    });
}

/// It was told of the silence, in time.
#[track_caller]
fn is_silent(ended: &Ended) {
    assert_eq!(ended.kind, "silent", "{ended:?}");
    assert!(ended.late <= LATE, "{ended:?}");
    assert!(ended.text.contains("the limit is"), "{ended:?}");
}

#[test]
fn a_cable_that_is_out_for_five_seconds_loses_nothing() {
    with_two_hosts(Duration::from_secs(15), |lab, mut a, mut b| {
        lab.pull(1);
        sleep(Duration::from_secs(5));
        lab.plug(1);
        nothing_is_lost(&mut a, &mut b);
    });
}

#[test]
fn a_cable_that_is_out_for_thirty_seconds_is_an_error_at_both_ends() {
    with_two_hosts(Duration::from_secs(10), |lab, mut a, mut b| {
        let out = std::time::Instant::now();
        lab.pull(1);
        for program in [&mut a, &mut b] {
            let ended = program.ends();
            is_silent(&ended);
            assert!(ended.failed > 0, "requests were under way: {ended:?}");
        }
        sleep(Duration::from_secs(30).saturating_sub(out.elapsed()));
        lab.plug(1);
        // All is well again.
        connect(&mut b, &mut a);
        nothing_is_lost(&mut a, &mut b);
    });
}

#[test]
fn a_cable_that_is_out_for_five_seconds_loses_nothing_of_ucx() {
    let limit = Duration::from_secs(15);
    with_two_hosts_by(TransportKind::Ucx, limit, |lab, mut a, mut b| {
        lab.pull(1);
        sleep(Duration::from_secs(5));
        lab.plug(1);
        nothing_is_lost(&mut a, &mut b);
    });
}

#[test]
fn a_cable_that_is_out_for_longer_is_an_error_of_ucx_at_both_ends() {
    let limit = Duration::from_secs(4);
    with_two_hosts_by(TransportKind::Ucx, limit, |lab, mut a, mut b| {
        lab.pull(1);
        for program in [&mut a, &mut b] {
            let ended = program.ends();
            is_silent(&ended);
            assert!(ended.failed > 0, "requests were under way: {ended:?}");
        }
        lab.plug(1);
        connect(&mut b, &mut a);
        nothing_is_lost(&mut a, &mut b);
    });
}

#[test]
fn a_peer_of_ucx_that_is_killed_is_gone() {
    let limit = Duration::from_secs(600);
    with_two_hosts_by(TransportKind::Ucx, limit, |_, mut a, b| {
        b.signal(Signal::KILL);
        let ended = a.ends();
        assert!(["gone", "closed"].contains(&&*ended.kind), "{ended:?}");
    });
}

#[test]
fn nobody_is_connected_through_a_cable_that_is_out() {
    with_two_hosts(Duration::from_secs(2), |lab, mut a, mut b| {
        lab.pull(1);
        is_silent(&a.ends());
        is_silent(&b.ends());
        a.tell(&format!("connect {}", b.address));
        let ended = a.ends();
        assert_eq!(ended.kind, "unreachable", "{ended:?}");
    });
}

#[test]
fn a_peer_that_is_killed_is_gone() {
    with_two_hosts(Duration::from_secs(600), |_, mut a, b| {
        b.signal(Signal::KILL);
        let ended = a.ends();
        assert!(["gone", "closed"].contains(&&*ended.kind), "{ended:?}");
    });
}

#[test]
fn a_host_that_dies_without_a_word_is_missed_after_the_limit() {
    with_two_hosts(Duration::from_secs(3), |lab, mut a, b| {
        lab.pull(1);
        drop(b);
        is_silent(&a.ends());
        // It comes back as another one, at the same address.
        lab.plug(1);
        let mut b = Program::start(lab, 1, Duration::from_secs(3));
        connect(&mut a, &mut b);
        nothing_is_lost(&mut a, &mut b);
    });
}

#[test]
fn a_peer_that_is_stopped_for_less_than_the_limit_goes_on() {
    with_two_hosts(Duration::from_secs(20), |_, mut a, mut b| {
        b.signal(Signal::STOP);
        // It sends on until there is no room; what is under way waits.
        sleep(Duration::from_secs(2));
        b.signal(Signal::CONT);
        nothing_is_lost(&mut a, &mut b);
    });
}

#[test]
fn a_peer_that_is_stopped_for_longer_is_silent() {
    with_two_hosts(Duration::from_secs(3), |_, mut a, mut b| {
        b.signal(Signal::STOP);
        is_silent(&a.ends());
        b.signal(Signal::CONT);
        // It hears that it was given up.
        let ended = b.ends();
        assert!(
            ["gone", "closed", "silent"].contains(&&*ended.kind),
            "{ended:?}"
        );
    });
}
