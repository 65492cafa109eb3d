//! A transport over any other, which fails as it is told: at points that are named, or by chance from a
//! seed.
//!
//! Every post and every event of the transport below is a point. What can happen there:
//!
//! | fault | what happens |
//! |---|---|
//! | cut | the connection is lost: what is posted from now on does not leave, what the peer sent does not come; what had left comes there |
//! | full | the post is refused as full, and `Writable` follows some polls later |
//! | late | the event is told some polls later; those of one connection stay in order |
//! | truncated | of a message only a part leaves |
//! | ghost | a connection is begun twice: what is sent first leaves on the second as well |
//!
//! - FY-1 it breaks nothing that a transport promises: requests with tokens are completed once, before the
//!   end of their connection, and that is told once. But for truncated messages, which no transport
//!   lets happen; they are for whoever checks what comes.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use maser_transport::transport::{ConnectError, RegisterError};
use maser_transport::{
    Access, Address, Capabilities, Completion, EndReason, Endpoint, Event, Limits, Memory,
    MemoryRegion, Message, Refusal, Refused, Token, Transport, TransportKind, Waker, WorkError,
    WorkRequest,
};

use crate::chance::Chance;

/// What fails, and how often, in a thousand.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Where the numbers begin.
    pub seed: u64,
    /// Connections lost, of points.
    pub cut: u32,
    /// Points at which the connection is lost in any case.
    pub cut_at: BTreeSet<u64>,
    /// Refused as full, of posts.
    pub full: u32,
    /// Told later, of events.
    pub late: u32,
    /// Truncated, of messages.
    pub truncated: u32,
    /// Begun twice, of connections.
    pub ghost: u32,
}

/// What is known of a connection.
#[derive(Default)]
struct Line {
    /// It is lost, and its end was not told.
    is_cut: bool,
    /// Tokens of posts that were swallowed.
    swallowed: Vec<Token>,
    /// What is told later, and after how many polls.
    late: VecDeque<(u32, Event)>,
    /// `Writable` comes after so many polls.
    writable_in: Option<u32>,
    /// What also leaves there, and how many messages of it.
    ghost: Option<(Endpoint, u32)>,
}

/// See the module's page.
pub struct Faulty<T> {
    below: T,
    faults: Faults,
    chance: Chance,
    points: u64,
    cuts: u64,
    lines: HashMap<Endpoint, Line>,
    ghosts: BTreeSet<Endpoint>,
    ready: VecDeque<Event>,
}

impl<T: Transport> Faulty<T> {
    /// Over `below`.
    pub fn new(below: T, faults: Faults) -> Self {
        Self {
            below,
            chance: Chance::new(faults.seed),
            faults,
            points: 0,
            cuts: 0,
            lines: HashMap::new(),
            ghosts: BTreeSet::new(),
            ready: VecDeque::new(),
        }
    }

    /// How many points there were.
    pub fn points(&self) -> u64 {
        self.points
    }

    /// How many connections were lost here.
    pub fn cuts(&self) -> u64 {
        self.cuts
    }

    /// The transport below.
    pub fn below(&mut self) -> &mut T {
        &mut self.below
    }

    /// Nothing fails any more.
    pub fn heal(&mut self) {
        self.faults = Faults::default();
    }

    /// Loses every connection there is.
    pub fn cut_all(&mut self) {
        let mut all: Vec<Endpoint> = self.lines.keys().copied().collect();
        all.sort_unstable();
        all.into_iter().for_each(|endpoint| self.cut(endpoint));
    }

    /// A point: whether the connection is lost at it.
    fn is_lost_here(&mut self) -> bool {
        self.points += 1;
        self.faults.cut_at.contains(&self.points) || self.chance.hits(self.faults.cut)
    }

    fn cut(&mut self, endpoint: Endpoint) {
        let line = self.lines.entry(endpoint).or_default();
        if std::mem::replace(&mut line.is_cut, true) {
            return;
        }
        self.cuts += 1;
        line.writable_in = None;
        // What came and was not told is lost, but for what ends requests.
        line.late
            .retain(|(_, event)| matches!(event, Event::Completed(_) | Event::Accepted { .. }));
        self.below.close(endpoint);
    }

    /// An event of the transport below, as it is told; it may be kept.
    fn came(&mut self, event: Event) -> Option<Event> {
        let endpoint = endpoint_of(&event);
        if self.ghosts.contains(&endpoint) {
            if matches!(event, Event::Ended { .. }) {
                self.ghosts.remove(&endpoint);
            }
            return None;
        }
        if matches!(event, Event::Accepted { .. } | Event::Connected { .. }) {
            self.lines.entry(endpoint).or_default();
        } else if !matches!(event, Event::Ended { .. }) && self.is_lost_here() {
            self.cut(endpoint);
        }
        let is_late = self.chance.hits(self.faults.late);
        let polls = 1 + self.chance.below(20) as u32;
        let line = self.lines.entry(endpoint).or_default();
        match &event {
            Event::Ended { .. } => {
                self.is_ended(endpoint, event);
                return self.ready.pop_front();
            }
            Event::Completed(_) | Event::Accepted { .. } => {}
            _ if line.is_cut => return None,
            _ => {}
        }
        if is_late || !line.late.is_empty() {
            line.late.push_back((polls, event));
            return None;
        }
        Some(event)
    }

    /// FY-1.
    fn is_ended(&mut self, endpoint: Endpoint, event: Event) {
        let line = self.lines.remove(&endpoint).unwrap_or_default();
        if let Some((ghost, _)) = line.ghost {
            self.below.close(ghost);
        }
        let was_cut = line.is_cut;
        self.ready
            .extend(line.late.into_iter().map(|(_, event)| event));
        let reason = match event {
            Event::Ended { reason, .. } if !was_cut => reason,
            _ => EndReason::PeerGone("the connection was cut".into()),
        };
        for token in line.swallowed {
            self.ready.push_back(Event::Completed(Completion {
                endpoint,
                token,
                outcome: Err(WorkError::Ended(reason.clone())),
            }));
        }
        self.ready.push_back(Event::Ended { endpoint, reason });
    }

    /// What is late, and may be told now.
    fn ripen(&mut self) {
        let mut all: Vec<Endpoint> = self.lines.keys().copied().collect();
        all.sort_unstable();
        for endpoint in all {
            let Some(line) = self.lines.get_mut(&endpoint) else {
                continue;
            };
            if let Some(left) = &mut line.writable_in {
                *left -= 1;
                if *left == 0 {
                    line.writable_in = None;
                    self.ready.push_back(Event::Writable { endpoint });
                }
            }
            if let Some((left, _)) = line.late.front_mut() {
                *left -= 1;
                if *left == 0 {
                    self.ready
                        .extend(line.late.pop_front().map(|(_, event)| event));
                }
            }
        }
    }

    fn truncated(&mut self, request: WorkRequest) -> WorkRequest {
        match request {
            WorkRequest::Send(message) if self.chance.hits(self.faults.truncated) => {
                let kept = self.chance.below(message.len() as u64 + 1) as usize;
                WorkRequest::Send(Message::copied(&message[..kept]))
            }
            other => other,
        }
    }
}

fn endpoint_of(event: &Event) -> Endpoint {
    match event {
        Event::Accepted { endpoint }
        | Event::Connected { endpoint }
        | Event::Message { endpoint, .. }
        | Event::Control { endpoint, .. }
        | Event::Signal { endpoint, .. }
        | Event::Writable { endpoint }
        | Event::Ended { endpoint, .. } => *endpoint,
        Event::Completed(completion) => completion.endpoint,
    }
}

impl<T: Transport> Transport for Faulty<T> {
    fn kind(&self) -> TransportKind {
        self.below.kind()
    }

    fn capabilities(&self) -> Capabilities {
        self.below.capabilities()
    }

    fn limits(&self) -> Limits {
        self.below.limits()
    }

    fn address(&self) -> Address {
        self.below.address()
    }

    fn connect(&mut self, to: &Address) -> Result<Endpoint, ConnectError> {
        let endpoint = self.below.connect(to)?;
        let mut line = Line::default();
        if self.chance.hits(self.faults.ghost) {
            let ghost = self.below.connect(to)?;
            self.ghosts.insert(ghost);
            line.ghost = Some((ghost, 1 + self.chance.below(4) as u32));
        }
        self.lines.insert(endpoint, line);
        Ok(endpoint)
    }

    fn close(&mut self, endpoint: Endpoint) {
        self.below.close(endpoint);
    }

    fn register(
        &mut self,
        memory: Arc<dyn Memory>,
        access: Access,
    ) -> Result<MemoryRegion, RegisterError> {
        self.below.register(memory, access)
    }

    fn post(
        &mut self,
        endpoint: Endpoint,
        request: WorkRequest,
        token: Option<Token>,
    ) -> Result<(), Refused> {
        let is_lost = self.lines.contains_key(&endpoint) && self.is_lost_here();
        if is_lost {
            self.cut(endpoint);
        }
        let is_full = self.chance.hits(self.faults.full);
        let polls = 1 + self.chance.below(20) as u32;
        let Some(line) = self.lines.get_mut(&endpoint) else {
            return self.below.post(endpoint, request, token);
        };
        if line.is_cut {
            line.swallowed.extend(token);
            return Ok(());
        }
        if is_full {
            line.writable_in.get_or_insert(polls);
            let refusal = Refusal::Full { endpoint };
            return Err(Refused { refusal, request });
        }
        if let Some((ghost, left)) = &mut line.ghost {
            let ghost = *ghost;
            *left -= 1;
            if *left == 0 {
                line.ghost = None;
            }
            let _outcome = self.below.post(ghost, request.clone(), None);
        }
        let request = self.truncated(request);
        self.below.post(endpoint, request, token)
    }

    fn fence(&mut self, endpoint: Endpoint) {
        self.below.fence(endpoint);
    }

    fn cancel(&mut self, endpoint: Endpoint, token: Token) {
        self.below.cancel(endpoint, token);
    }

    fn poll(&mut self) -> Option<Event> {
        self.ripen();
        if let Some(event) = self.ready.pop_front() {
            return Some(event);
        }
        let event = self.below.poll()?;
        self.came(event)
    }

    fn advance(&mut self, now_ns: u64) {
        self.below.advance(now_ns);
    }

    fn next_deadline_ns(&self) -> Option<u64> {
        self.below.next_deadline_ns()
    }

    fn wait(&mut self, limit: Option<Duration>) -> io::Result<()> {
        match self.ready.is_empty() && self.lines.values().all(|line| line.late.is_empty()) {
            true => self.below.wait(limit),
            false => Ok(()),
        }
    }

    fn waker(&self) -> Waker {
        self.below.waker()
    }
}
