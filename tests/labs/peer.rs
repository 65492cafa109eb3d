//! The program that runs on a host: an end of a transport that sends numbered messages, adds one to a word of its
//! peer with each, and checks what comes.
//!
//! It reads commands and tells what happens, a line each; its [`handle`](crate::handle) has the other end.
//! It is a test of this binary that does nothing unless it is started as a part of another one.
//!
//! - NQ-1 every message has the number of those before it, and every addition finds a number of additions
//!   before it that no other one found: one that is lost, doubled or out of order ends the program.
//! - NQ-2 time goes on while the program runs, by a little in each turn at most: how long a busy machine
//!   keeps it from running is not counted as silence.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use maser_transport::tcp::{TcpOptions, TcpTransport};
use maser_transport::ucx::{UcxOptions, UcxTransport};
use maser_transport::wire::{Identity, Integrity, Role, Secret};
use maser_transport::{
    Access, Address, Completion, Endpoint, Event, HeapMemory, MemoryRegion, Message, RemoteRegion,
    Transport, TransportKind, WorkError, WorkRequest,
};

/// NQ-2.
const LONGEST_TURN: Duration = Duration::from_millis(50);
/// From one message to the next.
const BETWEEN_MESSAGES_NS: u64 = 1_000_000;
/// Bytes of a message: its number, and as many more as the number says.
const LONGEST_MESSAGE: u64 = 3000;
/// Pairs of a message and an addition that are under way: fewer than there is room for.
const MOST_UNDER_WAY: u64 = 16;
/// The token of a flush; the others are numbers of additions.
const FLUSH: u64 = u64::MAX;

/// The name of the test that is this program.
pub const NAME: &str = "peer::plays_its_part";

#[test]
fn plays_its_part() {
    if let Some(part) = maser_tests::part() {
        let mut words = part.split(' ');
        let mut word = || words.next().expect("one more word");
        let address: Ipv4Addr = word().parse().expect("an address");
        let limit_ms: u64 = word().parse().expect("a number");
        // The harness has begun a line.
        println!();
        let kind: TransportKind = word().parse().expect("a transport");
        Peer::open(kind, address, Duration::from_millis(limit_ms)).run();
    }
}

/// Tells the test something.
fn tell(what: std::fmt::Arguments) {
    println!("peer: {what}");
}

struct Peer {
    end: Box<dyn Transport>,
    word: MemoryRegion,
    now_ns: u64,
    next_ns: u64,
    other: Option<Other>,
    is_sending: bool,
}

/// The connection.
struct Other {
    endpoint: Endpoint,
    word: Option<RemoteRegion>,
    sent: u64,
    added: u64,
    /// What additions found.
    found: BTreeSet<u64>,
    received: u64,
    failed: u64,
}

impl Peer {
    fn open(kind: TransportKind, address: Ipv4Addr, limit: Duration) -> Self {
        let integrity = match kind {
            TransportKind::Tcp => Integrity::Mac,
            _ => Integrity::None,
        };
        let options = TcpOptions {
            listen: SocketAddr::from((address, 0)),
            identity: Identity {
                job: [3; 16],
                node: 1,
                role: Role::Node,
            },
            integrity: Some(integrity),
            epoch: 1,
            secret: Some(Secret::new([5; 32])),
            peer_timeout: limit,
            handshake_timeout: limit,
        };
        let mut end: Box<dyn Transport> = match kind {
            TransportKind::Tcp => {
                Box::new(TcpTransport::open(options).expect("a port of the host"))
            }
            TransportKind::Ucx => {
                let mut options = UcxOptions::new(options);
                options.tls = Some("tcp,self".into());
                options.net_devices = Some("eth0".into());
                Box::new(UcxTransport::open(options).expect("UCX has TCP"))
            }
            kind => panic!("{kind} does not join these hosts"),
        };
        let word = word(&mut *end);
        let listens = end.address();
        let place = std::str::from_utf8(listens.bytes()).expect("an address and a port");
        tell(format_args!("listens {place}"));
        Self {
            end,
            word,
            now_ns: 0,
            next_ns: 0,
            other: None,
            is_sending: true,
        }
    }

    fn run(mut self) {
        let commands = commands();
        let mut last = Instant::now();
        loop {
            let now = Instant::now();
            self.now_ns += (now - last).min(LONGEST_TURN).as_nanos() as u64;
            last = now;
            self.end.advance(self.now_ns);
            while let Some(event) = self.end.poll() {
                self.heard(event);
            }
            while let Ok(command) = commands.try_recv() {
                if !self.obey(&command) {
                    return;
                }
            }
            self.send();
            let limit = Some(Duration::from_nanos(BETWEEN_MESSAGES_NS));
            self.end.wait(limit).expect("a wait");
        }
    }

    fn obey(&mut self, command: &str) -> bool {
        match command.split_once(' ').unwrap_or((command, "")) {
            ("connect", to) => {
                let address = Address::new(self.end.kind(), to.to_owned()).expect("short");
                let endpoint = self.end.connect(&address).expect("it is tried");
                self.begin(endpoint);
            }
            // No message any more, and a word when all of them are at the peer.
            ("stop", _) => {
                self.is_sending = false;
                if let Some(other) = &self.other {
                    self.end
                        .post(other.endpoint, WorkRequest::Flush, Some(FLUSH))
                        .expect("a flush is taken");
                }
            }
            ("count", _) => {
                let (sent, received) = self
                    .other
                    .as_ref()
                    .map_or((0, 0), |other| (other.sent, other.received));
                tell(format_args!("count {sent} {received}"));
            }
            ("end", _) => return false,
            (other, _) => panic!("an unknown command {other}"),
        }
        true
    }

    fn begin(&mut self, endpoint: Endpoint) {
        // One of its own for each connection (NQ-1).
        self.word = word(&mut *self.end);
        self.is_sending = true;
        self.other = Some(Other {
            endpoint,
            word: None,
            sent: 0,
            added: 0,
            found: BTreeSet::new(),
            received: 0,
            failed: 0,
        });
        let region = Message::from(self.word.remote().to_wire());
        self.end
            .post(endpoint, WorkRequest::Control(region), None)
            .expect("the first request is taken");
    }

    fn heard(&mut self, event: Event) {
        if let Event::Accepted { endpoint } = event {
            self.begin(endpoint);
            return;
        }
        let Some(other) = &mut self.other else {
            return;
        };
        match event {
            Event::Control { message, .. } => {
                other.word = Some(RemoteRegion::from_wire(&message).expect("a region"));
                tell(format_args!("connected"));
            }
            Event::Message { message, .. } => {
                assert_eq!(*message, *numbered(other.received), "NQ-1");
                other.received += 1;
            }
            Event::Completed(Completion { token, outcome, .. }) => match outcome {
                Ok(_) if token == FLUSH => {
                    assert_eq!(other.added, other.sent, "NQ-1: the flush came last");
                    tell(format_args!("flushed {}", other.sent));
                }
                Ok(before) => {
                    let is_new = other.found.insert(before);
                    assert!(is_new && before < other.sent && token < other.sent, "NQ-1");
                    other.added += 1;
                }
                Err(WorkError::Ended(_)) => other.failed += 1,
                Err(error) => panic!("{error}"),
            },
            Event::Ended { reason, .. } => {
                let failed = other.failed;
                let kind = match &reason {
                    maser_transport::EndReason::Silent { silent, limit } => {
                        let late = silent.saturating_sub(*limit);
                        format!("silent {} {failed}", late.as_millis())
                    }
                    maser_transport::EndReason::PeerGone(_) => format!("gone 0 {failed}"),
                    maser_transport::EndReason::ClosedByPeer => format!("closed 0 {failed}"),
                    maser_transport::EndReason::Unreachable(_) => {
                        format!("unreachable 0 {failed}")
                    }
                    reason => panic!("{reason}"),
                };
                tell(format_args!("ended {kind} {reason}"));
                self.other = None;
            }
            _ => {}
        }
    }

    /// Sends what is due.
    fn send(&mut self) {
        let Some(other) = &mut self.other else {
            return;
        };
        let Some(word) = &other.word else {
            return;
        };
        while self.is_sending && self.next_ns <= self.now_ns {
            let add = WorkRequest::FetchAdd {
                at: word.whole(),
                add: 1,
            };
            let message = WorkRequest::Send(numbered(other.sent).into());
            if other.sent - other.added > MOST_UNDER_WAY {
                return;
            }
            for (request, token) in [(message, None), (add, Some(other.sent))] {
                if let Err(refused) = self.end.post(other.endpoint, request, token) {
                    panic!("{refused}");
                }
            }
            other.sent += 1;
            self.next_ns = self.now_ns + BETWEEN_MESSAGES_NS;
        }
    }
}

fn word(end: &mut dyn Transport) -> MemoryRegion {
    let memory = Arc::new(HeapMemory::new(8));
    end.register(memory, Access::all()).expect("registered")
}

/// The message of this number.
fn numbered(number: u64) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    let more = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % LONGEST_MESSAGE;
    bytes.resize(8 + more as usize, number as u8);
    bytes
}

/// The lines that the test writes.
fn commands() -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else {
                break;
            };
            if sender.send(line).is_err() {
                return;
            }
        }
        // The test is gone: so is its program.
        let _outcome = sender.send("end".into());
    });
    receiver
}
