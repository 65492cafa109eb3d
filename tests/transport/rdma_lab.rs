//! RDMA verbs in guests that have a device: this program once more in one, and two ends of it in two.
//!
//! `tests/labs/rdma/run` makes the guests. Where there are none its reason is printed.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use maser_tests::alone;
use maser_transport::rdma::RdmaTransport;
use maser_transport::wire::Secret;
use maser_transport::{
    Address, Completion, EndReason, Endpoint, Event, Message, PutSource, RemoteRegion, Transport,
    TransportKind, WorkRequest,
};

use crate::ends::{bytes_of, pattern, region};
use crate::rdma::options;

/// What guests tell the programs in them.
fn guest() -> Option<(String, String)> {
    let address = std::env::var("MASER_RDMA_ADDRESS").ok()?;
    Some((address, std::env::var("MASER_RDMA_PEER").ok()?))
}

/// Runs tests of this program in guests.
fn in_guests(of_lab: &[&str], tests: &[&str]) {
    if guest().is_some() {
        println!("skipped: this is a guest");
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = std::env::current_exe().expect("this program has a name");
    let mut lab = Command::new(folder.join("labs/rdma/run"));
    // One CPU, and one test at a time.
    lab.args(of_lab)
        .args(["--timeout", "150", "--"])
        .arg(program);
    lab.args(["--nocapture", "--test-threads=1"]).args(tests);
    let output = match lab.output() {
        Ok(output) => output,
        Err(error) => {
            println!(
                "skipped: {} cannot be run: {error}",
                lab.get_program().display()
            );
            return;
        }
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(125) {
        let reason = complained.lines().last().unwrap_or("it does not say why");
        println!("skipped: {reason}");
        return;
    }
    assert!(output.status.success(), "{said}\n{complained}");
    // With what became of each test there.
    print!("{said}");
}

#[test]
fn the_suite_passes_in_a_guest_with_a_device() {
    in_guests(&[], &["rdma_transport", "rdma::"]);
}

#[test]
fn two_guests_talk_to_each_other() {
    in_guests(&["--guests", "2"], &["a_guest_with_its_peer"]);
}

#[test]
fn two_guests_talk_where_packets_are_lost() {
    in_guests(
        &["--guests", "2", "--loss", "2"],
        &["a_guest_with_its_peer"],
    );
}

const PORT: u16 = 7000;

/// One of two guests, each with an end of its own.
#[test]
fn a_guest_with_its_peer() {
    let Some((here, peer)) =
        guest().filter(|_| std::env::var("MASER_RDMA_GUESTS").as_deref() == Ok("2"))
    else {
        println!("skipped: this is no guest of two");
        return;
    };
    let here: Ipv4Addr = here.parse().expect("an address");
    let is_server = std::env::var("MASER_RDMA_GUEST").as_deref() == Ok("1");
    alone(|| match is_server {
        true => serve(open(here, PORT)),
        false => ask(open(here, 0), open(here, 0), &peer),
    });
    if std::env::var("MASER_RDMA_LOSS").is_ok_and(|loss| loss != "0") {
        let again = repeated();
        println!("{again} packets came again or in no order");
        assert!(again > 0, "nothing was lost");
    }
}

fn open(here: Ipv4Addr, port: u16) -> One {
    let mut options = options(Some(Secret::new([3; 32])));
    options.tcp.listen = SocketAddr::from((here, port));
    options.tcp.integrity = None;
    options.retry_after = Duration::from_millis(16);
    // The last words of who dies may be lost.
    options.tcp.peer_timeout = Duration::from_secs(10);
    One {
        end: RdmaTransport::open(options).expect("there is a device"),
        begin: Instant::now(),
    }
}

/// Packets that the device saw more than once, or before others.
fn repeated() -> u64 {
    let counters = Path::new("/sys/class/infiniband/rxe0/ports/1/hw_counters");
    let count = |name| {
        let text = std::fs::read_to_string(counters.join(name)).expect("a counter");
        text.trim().parse::<u64>().expect("a number")
    };
    [
        "duplicate_request",
        "out_of_seq_request",
        "completer_retry_err",
    ]
    .map(count)
    .iter()
    .sum()
}

/// An end that sleeps while nothing happens.
struct One {
    end: RdmaTransport,
    begin: Instant,
}

impl One {
    fn next(&mut self) -> Event {
        loop {
            self.end.advance(self.begin.elapsed().as_nanos() as u64);
            if let Some(event) = self.end.poll() {
                return event;
            }
            self.end
                .wait(Some(Duration::from_millis(100)))
                .expect("it waits");
        }
    }

    fn post(&mut self, to: Endpoint, request: WorkRequest) {
        self.end.post(to, request, None).expect("there is room");
    }

    /// Does it, and what a word was.
    fn done(&mut self, to: Endpoint, request: WorkRequest) -> u64 {
        self.end.post(to, request, Some(7)).expect("there is room");
        loop {
            match self.next() {
                Event::Completed(Completion { outcome, .. }) => {
                    return outcome.expect("it is done");
                }
                Event::Ended { reason, .. } => panic!("{reason}"),
                _ => {}
            }
        }
    }
}

/// Gives a region away, sends everything back, and sees two peers end.
fn serve(mut one: One) {
    let there = region(&mut one.end, &[0; 1 << 20]);
    let mut signals = 0;
    let mut ends = Vec::new();
    while ends.len() < 2 {
        match one.next() {
            Event::Accepted { endpoint } => {
                let key = there.remote().to_wire();
                one.post(endpoint, WorkRequest::Control(key.into()));
            }
            Event::Message { endpoint, message } => one.post(endpoint, WorkRequest::Send(message)),
            Event::Signal { signal, .. } => {
                assert!(bytes_of(&there)[8..] == pattern(1 << 20, u64::from(signal))[8..]);
                signals += 1;
            }
            Event::Ended { reason, .. } => ends.push(reason),
            _ => {}
        }
    }
    assert_eq!(signals, 3);
    assert_eq!(ends[0], EndReason::ClosedByPeer);
    let is_dead = matches!(ends[1], EndReason::PeerGone(_) | EndReason::Silent { .. });
    assert!(is_dead, "{}", ends[1]);
}

/// Connects, as soon as somebody listens.
fn connect(one: &mut One, peer: &str) -> (Endpoint, RemoteRegion) {
    let address = Address::new(TransportKind::Rdma, format!("{peer}:{PORT}")).expect("short");
    let mut endpoint = one.end.connect(&address).expect("an address");
    loop {
        match one.next() {
            Event::Ended { reason, .. } => {
                assert!(matches!(reason, EndReason::Unreachable(_)), "{reason}");
                endpoint = one.end.connect(&address).expect("an address");
            }
            Event::Control { message, .. } => {
                return (
                    endpoint,
                    RemoteRegion::from_wire(&message).expect("a region"),
                );
            }
            _ => {}
        }
    }
}

fn ask(mut one: One, mut other: One, peer: &str) {
    let (to, there) = connect(&mut one, peer);
    for n in 0..300_usize {
        let sent = Message::from(pattern(n * 37 % 12_000, n as u64));
        one.post(to, WorkRequest::Send(sent.clone()));
        loop {
            match one.next() {
                Event::Message { message, .. } => {
                    assert!(message == sent, "message {n}");
                    break;
                }
                Event::Ended { reason, .. } => panic!("{reason}"),
                _ => {}
            }
        }
    }
    for signal in 0..3 {
        let here = region(&mut one.end, &pattern(1 << 20, u64::from(signal)));
        let put = WorkRequest::Put {
            from: PutSource::Region(here.whole()),
            to: there.whole(),
            signal: Some(signal),
        };
        one.done(to, put);
        // What is there comes back.
        let back = region(&mut one.end, &[0; 1 << 20]);
        let get = WorkRequest::Get {
            from: there.whole(),
            to: back.whole(),
        };
        one.done(to, get);
        assert!(bytes_of(&back) == bytes_of(&here));
        // The signal is looked at while this stays.
        one.done(to, WorkRequest::Flush);
        let message = Message::copied(b"seen?");
        one.post(to, WorkRequest::Send(message));
        while !matches!(one.next(), Event::Message { .. }) {}
    }
    let at = || there.slice(0..8).expect("a word");
    let first = one.done(to, WorkRequest::FetchAdd { at: at(), add: 1 });
    for n in 1..=100 {
        let before = one.done(to, WorkRequest::FetchAdd { at: at(), add: 1 });
        assert_eq!(before, first.wrapping_add(n));
    }
    one.end.close(to);
    while !matches!(
        one.next(),
        Event::Ended {
            reason: EndReason::Closed,
            ..
        }
    ) {}
    // Another connects, and dies.
    connect(&mut other, peer);
    other.end.abort();
}
