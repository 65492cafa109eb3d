//! Two ends over transports that fail, driven by turns on one thread with a time of their own.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use maser_fakes::{Faults, Faulty};
use maser_transport::loopback::{LoopbackTransport, Network};
use maser_transport::protocol::{CallError, Notice, Options, Peer, Protocol};
use maser_transport::tcp::{TcpOptions, TcpTransport};
use maser_transport::wire::CallId;
use maser_transport::wire::handshake::{Identity, Role};
use maser_transport::{Message, Transport};

/// Turns after which a test that waits has failed. Each lets a millisecond of the world's time go by.
const TURNS: u32 = 400_000;

pub const CLIENT: usize = 0;
pub const SERVER: usize = 1;

/// An end, and what it told that no test has looked at.
pub struct One<T: Transport> {
    pub end: Protocol<Faulty<T>>,
    pub told: VecDeque<Notice>,
}

pub struct World<T: Transport> {
    pub all: Vec<One<T>>,
    pub now_ns: u64,
}

/// Makes transports that reach each other.
pub trait Ground {
    type T: Transport;
    fn new() -> Self;
    fn open(&mut self) -> Self::T;
}

pub struct Loopback(Network);

impl Ground for Loopback {
    type T = LoopbackTransport;
    fn new() -> Self {
        Self(Network::new())
    }
    fn open(&mut self) -> LoopbackTransport {
        LoopbackTransport::open(&self.0)
    }
}

pub struct Tcp;

impl Ground for Tcp {
    type T = TcpTransport;
    fn new() -> Self {
        Self
    }
    fn open(&mut self) -> TcpTransport {
        tcp_on(0)
    }
}

/// TCP on a port of loopback, in the time of the world: nothing is silent for long enough to be missed.
pub fn tcp_on(port: u16) -> TcpTransport {
    let options = TcpOptions {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        identity: Identity {
            job: [1; 16],
            node: 1,
            role: Role::Node,
        },
        integrity: None,
        epoch: 1,
        secret: None,
        peer_timeout: Duration::from_secs(100_000),
        handshake_timeout: Duration::from_secs(100_000),
    };
    TcpTransport::open(options).expect("a port of loopback")
}

/// Small limits, so that a small test meets all of them.
pub fn small(epoch: u64, transport: &impl Transport) -> Options {
    let mut options = Options::new(epoch, transport.kind(), &transport.limits());
    options.thresholds.rendezvous_bytes = 2000;
    options.thresholds.fragment_bytes = 300;
    options.thresholds.chunk_bytes = 700;
    options.thresholds.window_bytes = 1500;
    options.window_messages = 16;
    options.window_bytes = 64 << 10;
    options.max_fetched_bytes = 10_000;
    options.max_payload_bytes = 100_000;
    options.resume = Duration::from_secs(30);
    options
}

impl<T: Transport> World<T> {
    /// A client and a server with these faults.
    pub fn new<G: Ground<T = T>>(client: Faults, server: Faults) -> Self {
        let mut ground = G::new();
        let mut world = Self {
            all: Vec::new(),
            now_ns: 0,
        };
        world.add(ground.open(), client);
        world.add(ground.open(), server);
        world
    }

    /// One more end; its epoch is its number, from 1.
    pub fn add(&mut self, transport: T, faults: Faults) -> usize {
        let options = small(self.all.len() as u64 + 1, &transport);
        self.add_with(transport, faults, options)
    }

    /// One more end, which is set so.
    pub fn add_with(&mut self, transport: T, faults: Faults, options: Options) -> usize {
        let end = Protocol::with(Faulty::new(transport, faults), options).expect("good options");
        self.all.push(One {
            end,
            told: VecDeque::new(),
        });
        self.all.len() - 1
    }

    pub fn connect(&mut self, from: usize, to: usize) -> Peer {
        let address = self.all[to].end.transport().address();
        self.all[from].end.connect(&address).expect("it is there")
    }

    /// A millisecond of everybody's time.
    pub fn turn(&mut self) {
        self.now_ns += 1_000_000;
        for at in 0..self.all.len() {
            self.turn_one(at);
        }
    }

    pub fn turn_one(&mut self, at: usize) {
        let one = &mut self.all[at];
        one.end.advance(self.now_ns);
        one.told.extend(one.end.poll());
    }

    /// Turns until end `at` told something that `wanted` takes.
    #[track_caller]
    pub fn until<R>(&mut self, at: usize, mut wanted: impl FnMut(&Notice) -> Option<R>) -> R {
        for _ in 0..TURNS {
            let told = &mut self.all[at].told;
            let found = told.iter().enumerate();
            let found = found
                .into_iter()
                .find_map(|(place, notice)| Some((place, wanted(notice)?)));
            if let Some((place, found)) = found {
                told.remove(place);
                return found;
            }
            self.turn();
        }
        panic!("end {at} did not tell it; it told {:?}", self.all[at].told);
    }

    /// The next call at `at`.
    #[track_caller]
    pub fn called(&mut self, at: usize) -> (Peer, CallId, Message) {
        self.until(at, |notice| match notice {
            Notice::Call {
                peer,
                call,
                payload,
                ..
            } => Some((*peer, *call, payload.clone())),
            _ => None,
        })
    }

    /// The end of a call.
    #[track_caller]
    pub fn replied(&mut self, at: usize, wanted: CallId) -> Result<Message, CallError> {
        self.until(at, |notice| match notice {
            Notice::Reply { call, outcome, .. } if *call == wanted => Some(outcome.clone()),
            _ => None,
        })
    }

    /// Takes out what `at` told so far.
    pub fn told(&mut self, at: usize) -> Vec<Notice> {
        self.all[at].told.drain(..).collect()
    }
}

/// Bytes that differ with their length and number.
pub fn pattern(bytes: usize, number: u64) -> Vec<u8> {
    maser_fakes::Chance::new(number ^ (bytes as u64) << 32).bytes(bytes)
}
