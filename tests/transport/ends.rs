//! Ends of one transport, driven by turns on one thread, and what they told.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use maser_tests::alone;
use maser_transport::{
    Access, Capabilities, Completion, EndReason, Endpoint, Event, HeapMemory, MemoryRegion,
    Message, Refusal, Token, Transport, WorkError, WorkRequest,
};

/// Opens ends of one implementation that can reach each other.
pub trait Lab: Sized {
    /// The implementation.
    type End: Transport + 'static;
    /// The lab, or why there is none on this machine.
    fn open() -> Result<Self, String>;
    /// One more end.
    fn end(&self) -> Self::End;
    /// Ends it as the death of its process would.
    fn crash(&self, end: Self::End);
}

/// Runs one test of the suite, under the watchdog.
pub fn run<L: Lab>(test: impl FnOnce(&L) + Send) {
    alone(|| match L::open() {
        Ok(lab) => test(&lab),
        Err(reason) => println!("skipped: {reason}"),
    });
}

/// Whether the test needs something that the transport has not; says so then.
pub fn lacks(end: &dyn Transport, wanted: Capabilities) -> bool {
    let missing = wanted - end.capabilities();
    if !missing.is_empty() {
        println!("skipped: {} does not have {missing:?}", end.kind());
    }
    !missing.is_empty()
}

/// An end, and what it told that no test has looked at yet.
pub struct One<T> {
    pub end: T,
    pub told: VecDeque<Event>,
}

/// Ends that are polled in turn.
pub struct Ends<T> {
    pub all: Vec<One<T>>,
    begin: Instant,
}

/// Two ends that are connected.
pub struct Pair<T> {
    pub ends: Ends<T>,
    /// The second, as the first calls it.
    pub to_b: Endpoint,
    /// The first, as the second calls it.
    pub to_a: Endpoint,
}

/// The first end of a pair.
pub const A: usize = 0;
/// The second end of a pair.
pub const B: usize = 1;

impl<T: Transport> Ends<T> {
    pub fn new(ends: impl IntoIterator<Item = T>) -> Self {
        let one = |end| One {
            end,
            told: VecDeque::new(),
        };
        Self {
            all: ends.into_iter().map(one).collect(),
            begin: Instant::now(),
        }
    }

    /// Polls each once.
    pub fn turn(&mut self) {
        let now_ns = self.begin.elapsed().as_nanos() as u64;
        for one in &mut self.all {
            one.end.advance(now_ns);
            let event = one.end.poll();
            one.told.extend(event);
        }
    }

    /// Turns until end `at` has told something that `wanted` takes; the watchdog ends a test that waits
    /// in vain.
    pub fn until<R>(&mut self, at: usize, mut wanted: impl FnMut(&Event) -> Option<R>) -> R {
        loop {
            let told = &mut self.all[at].told;
            let found = told
                .iter()
                .enumerate()
                .find_map(|(place, event)| Some((place, wanted(event)?)));
            if let Some((place, found)) = found {
                told.remove(place);
                return found;
            }
            self.turn();
        }
    }

    /// The next message for `at`.
    pub fn message(&mut self, at: usize) -> (Endpoint, Message) {
        self.until(at, |event| match event {
            Event::Message { endpoint, message } => Some((*endpoint, message.clone())),
            Event::Ended { reason, .. } => panic!("it ended before a message came: {reason}"),
            _ => None,
        })
    }

    /// The next control message for `at`.
    pub fn control(&mut self, at: usize) -> (Endpoint, Message) {
        self.until(at, |event| match event {
            Event::Control { endpoint, message } => Some((*endpoint, message.clone())),
            Event::Ended { reason, .. } => panic!("it ended before a message came: {reason}"),
            _ => None,
        })
    }

    /// The end of the request that is called `token`.
    pub fn completion(&mut self, at: usize, token: Token) -> Result<u64, WorkError> {
        self.until(at, |event| match event {
            Event::Completed(Completion {
                token: found,
                outcome,
                ..
            }) if *found == token => Some(outcome.clone()),
            _ => None,
        })
    }

    /// Why `endpoint` of `at` ended.
    pub fn end_of(&mut self, at: usize, endpoint: Endpoint) -> EndReason {
        self.until(at, |event| match event {
            Event::Ended {
                endpoint: found,
                reason,
            } if *found == endpoint => Some(reason.clone()),
            _ => None,
        })
    }

    /// The signal of the next put.
    pub fn signal(&mut self, at: usize) -> u32 {
        self.until(at, |event| match event {
            Event::Signal { signal, .. } => Some(*signal),
            _ => None,
        })
    }

    /// Posts as soon as there is room.
    pub fn post(&mut self, at: usize, to: Endpoint, request: WorkRequest, token: Option<Token>) {
        let mut request = request;
        loop {
            let Err(refused) = self.all[at].end.post(to, request, token) else {
                return;
            };
            assert_eq!(refused.refusal, Refusal::Full { endpoint: to });
            request = refused.request;
            self.until(at, |event| match event {
                Event::Writable { endpoint } if *endpoint == to => Some(()),
                Event::Ended { endpoint, reason } if *endpoint == to => panic!("{reason}"),
                _ => None,
            });
        }
    }

    /// Connects end `at` to end `to`: what each calls the other.
    pub fn connect(&mut self, at: usize, to: usize) -> (Endpoint, Endpoint) {
        let address = self.all[to].end.address();
        let there = self.all[at]
            .end
            .connect(&address)
            .expect("it is connected to");
        let here = self.until(to, |event| match event {
            Event::Accepted { endpoint } => Some(*endpoint),
            _ => None,
        });
        self.until(at, |event| match event {
            Event::Connected { endpoint } => (*endpoint == there).then_some(()),
            Event::Ended { endpoint, reason } if *endpoint == there => panic!("{reason}"),
            _ => None,
        });
        (there, here)
    }

    /// Takes an end out.
    pub fn take(&mut self, at: usize) -> T {
        self.all.remove(at).end
    }
}

impl<T: Transport> Pair<T> {
    pub fn new<L: Lab<End = T>>(lab: &L) -> Self {
        let mut ends = Ends::new([lab.end(), lab.end()]);
        let (to_b, to_a) = ends.connect(A, B);
        Self { ends, to_b, to_a }
    }

    /// Sends from the first to the second.
    pub fn send(&mut self, message: impl Into<Message>) {
        let request = WorkRequest::Send(message.into());
        self.ends.post(A, self.to_b, request, None);
    }

    /// Memory of end `at` that everything may be done with, of these bytes.
    pub fn region(&mut self, at: usize, bytes: &[u8]) -> MemoryRegion {
        region(&mut self.ends.all[at].end, bytes)
    }

    /// Posts from the first, and waits for the end of it.
    pub fn done(&mut self, request: WorkRequest) -> Result<u64, WorkError> {
        static LAST: AtomicUsize = AtomicUsize::new(0);
        let token = LAST.fetch_add(1, Ordering::Relaxed) as Token;
        self.ends.post(A, self.to_b, request, Some(token));
        self.ends.completion(A, token)
    }
}

/// Memory that everything may be done with, of these bytes.
pub fn region(end: &mut dyn Transport, bytes: &[u8]) -> MemoryRegion {
    let memory = Arc::new(HeapMemory::new(bytes.len()));
    let region = end.register(memory, Access::all()).expect("registered");
    region.write(0, bytes).expect("within");
    region
}

/// The bytes of a region.
pub fn bytes_of(region: &MemoryRegion) -> Vec<u8> {
    let mut bytes = vec![0; region.len()];
    region.read(0, &mut bytes).expect("within");
    bytes
}

/// Bytes that differ from their neighbours.
pub fn pattern(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..bytes).map(|_| byte()).collect()
}

/// Bytes that count how many of them are there.
#[derive(Clone, Default)]
pub struct Alive(Arc<AtomicUsize>);

struct Counted(Vec<u8>, Alive);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Alive {
    pub fn message(&self, bytes: &[u8]) -> Message {
        self.0.fetch_add(1, Ordering::AcqRel);
        Bytes::from_owner(Counted(bytes.to_vec(), self.clone())).into()
    }

    pub fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}
