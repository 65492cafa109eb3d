//! Which edges of a graph cross a boundary between processes, where they lie, and what each worker is
//! told.
//!
//! ```text
//! memory of driver and worker    words of RR-1, edges, text of the part
//! memory of two workers          edges
//! ```
//!
//! - GW-1 one memory for each pair of processes, made by the driver before anybody is told of it. What
//!   the driver uses of it is opened here, so that nothing can fail once the first part was sent.

use super::calls::{Asking, calls_bytes, pools};
use super::draft::{Carries, DRIVER, Draft, Spec, pair, peers};
use super::edge::{Complaint, EdgeReceiver, EdgeSender, Origin, edge_bytes, refused};
use super::objects::{Borrower, Lender, Way};
use super::pool::HandOver;
use super::ringer::{Ringer, Waiting};
use super::sight::{Sight, SightDraft};
use super::word::copy_in;
use crate::error::Result;
use crate::executor::letter;
use crate::graph::build::{Action, NodeDef};
use crate::graph::core::Core;
use crate::graph::observe::progress::Progress;
use crate::graph::observe::words::Words;
use crate::graph::plan::Plan;
use crate::graph::rendezvous::{TOKENS, Token};
use crate::worker::part::{Request, ToPart};
use crate::worker::peer::Peer;
use maser_shm::control::{ControlMemory, REGION_ALIGN, Region};
use maser_shm::store::PeerId;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The ends of the driver, and what the workers are to be told.
pub(crate) struct Wiring {
    senders: HashMap<(usize, usize), EdgeSender>,
    receivers: HashMap<(usize, usize), EdgeReceiver>,
    outputs: HashMap<usize, Vec<EdgeReceiver>>,
    ticks: Vec<EdgeSender>,
    progress: Vec<(usize, Progress)>,
    /// The driver's ends of tokens, by their number.
    signals: HashMap<usize, EdgeSender>,
    tokens: HashMap<usize, EdgeReceiver>,
    /// What is measured elsewhere.
    pub(crate) sight: Sight,
    requests: Vec<Request>,
    /// Of each process that sends results.
    pub(crate) bells: Vec<Waiting>,
    /// The only edge is a call slot.
    pub(crate) is_calls: bool,
}

impl Draft<'_> {
    fn region(&self, spec: &Spec) -> Result<Region> {
        let pair = self.pairs.get(&pair(spec.from.0, spec.to.0));
        let memory = pair.and_then(|pair| pair.memory.as_ref());
        let memory = memory.ok_or_else(|| refused("its memory is missing"))?;
        memory.region(spec.offset, self.edge_bytes).map_err(refused)
    }

    fn sender(&self, spec: &Spec) -> Result<EdgeSender> {
        let ringer = Ringer::Scheduler(self.peers[spec.to.0 - 1].clone(), 0);
        let region = self.region(spec)?;
        let lender = self.lender(spec);
        EdgeSender::open(&region, self.depth, ringer, lender, self.hand_over(spec))
    }

    /// Both ends of a call slot.
    fn calls(&self, spec: &Spec) -> Result<(EdgeSender, EdgeReceiver)> {
        let region = self.region(spec)?;
        let [there, back] = pools(&region, self.depth)?;
        let calls = Asking::open(&region, self.depth)?;
        let peer = &self.peers[spec.to.0 - 1];
        let ringer = Ringer::Scheduler(peer.clone(), 0);
        let (lender, hand_over) = (self.lender(spec), self.hand_over(spec));
        let questions = EdgeSender::asking(calls.clone(), there, ringer, lender, hand_over)?;
        let inbox = self.host.workers.inbox().clone();
        let key = (self.core.id, spec.number + 1);
        let answers = EdgeReceiver::answers(calls, back, inbox, key, self.origin(peer))?;
        Ok((questions, answers))
    }

    /// To whom objects are lent that leave by an edge.
    fn lender(&self, spec: &Spec) -> Lender {
        let core = Arc::downgrade(self.core);
        let peer = &self.peers[spec.to.0 - 1];
        Lender::Process {
            node: self.host.clone(),
            to: number_of(peer),
            way: Way::Linked(peer.clone()),
            is_over: Box::new(move || core.upgrade().is_none_or(|core| core.is_over())),
        }
    }

    /// How a new pool of an edge gets to its reader.
    fn hand_over(&self, spec: &Spec) -> HandOver {
        let to = self.peers[spec.to.0 - 1].id;
        let (host, graph, edge) = (self.host.clone(), self.core.id, spec.number);
        Box::new(move |number, memory| {
            host.workers.request(Request::Tell {
                to,
                message: ToPart::Pool {
                    graph,
                    edge,
                    number,
                    bytes: memory.bytes() as u64,
                },
                memory: Some(memory.clone()),
            });
            Some(())
        })
    }

    fn origin(&self, peer: &Arc<Peer>) -> Origin {
        Origin {
            name: peer.name().into(),
            complaint: self.complaint(),
            borrower: Borrower::Process {
                node: self.host.clone(),
                from: number_of(peer),
                peer: Some(peer.clone()),
            },
        }
    }

    fn receiver(&self, spec: &Spec) -> Result<EdgeReceiver> {
        let origin = self.origin(&self.peers[spec.from.0 - 1]);
        let inbox = self.host.workers.inbox().clone();
        let key = (self.core.id, spec.number);
        EdgeReceiver::open(&self.region(spec)?, self.depth, inbox, key, origin)
    }

    /// Ends the graph, from wherever.
    fn complaint(&self) -> Complaint {
        let (core, host) = (Arc::downgrade(self.core), self.host.clone());
        Arc::new(move |error| {
            let core = core.clone();
            let errand = letter::closure(move |_| {
                if let Some(core) = core.upgrade() {
                    core.end(error);
                }
            });
            host.post_to(host.schedulers().len() - 1, errand);
        })
    }
}

/// A process as the owner and holder of arrays.
fn number_of(peer: &Peer) -> PeerId {
    PeerId(peer.store_number().unwrap_or(u32::MAX))
}

impl Wiring {
    /// Nothing crosses a boundary.
    pub(crate) fn none() -> Self {
        Self {
            senders: HashMap::new(),
            receivers: HashMap::new(),
            outputs: HashMap::new(),
            ticks: Vec::new(),
            progress: Vec::new(),
            signals: HashMap::new(),
            tokens: HashMap::new(),
            sight: Sight::default(),
            requests: Vec::new(),
            bells: Vec::new(),
            is_calls: false,
        }
    }

    /// The edges of `core` between processes; each holds `depth` runs.
    pub(crate) fn new(
        nodes: &[NodeDef],
        plan: &Plan,
        outputs: &[usize],
        tokens: &[Token],
        core: &Arc<Core>,
        depth: usize,
        is_one: bool,
    ) -> Result<Self> {
        let depth = match tokens {
            [] => depth,
            _ => depth.max(TOKENS),
        };
        let host = &core.node;
        let is_input = |def: &&NodeDef| matches!(def.action, Action::Input(_));
        let inputs = nodes.iter().filter(is_input).count();
        let is_calls = is_one && plan.members.len() == 1 && inputs <= 1;
        let bytes = match is_calls {
            true => calls_bytes(depth, core.buffer_bytes)?,
            false => edge_bytes(depth, core.buffer_bytes)?,
        };
        let mut draft = Draft {
            nodes,
            plan,
            tokens,
            depth,
            core,
            host,
            peers: peers(nodes).into_iter().map(|(peer, _)| peer).collect(),
            edges: Vec::new(),
            pairs: BTreeMap::new(),
            edge_bytes: bytes.next_multiple_of(REGION_ALIGN),
            progress_at: BTreeMap::new(),
            sight: SightDraft::default(),
            is_calls,
        };
        if draft.peers.is_empty() {
            return Ok(Self::none());
        }
        draft.find_edges(outputs);
        draft.find_sight();
        let gate = host.schedulers().len() - 1;
        let mut texts = Vec::new();
        for process in 1..=draft.peers.len() {
            let text = postcard::to_stdvec(&draft.part(process, gate)?).map_err(refused)?;
            texts.push(text);
        }
        for (of, pair) in &mut draft.pairs {
            let text = match of.0 {
                DRIVER => texts[of.1 - 1].len(),
                _ => 0,
            };
            let memory = ControlMemory::create(pair.bytes + text.max(1));
            pair.memory = Some(memory.map_err(refused)?);
        }
        let mut wiring = Self::none();
        wiring.is_calls = is_calls;
        wiring.open(&draft)?;
        wiring.tell(&draft, &texts)?;
        Ok(wiring)
    }

    /// GW-1.
    fn open(&mut self, draft: &Draft<'_>) -> Result<()> {
        self.sight = draft.open_sight()?;
        for (segment, at) in &draft.progress_at {
            let pair = draft.pairs.get(&(DRIVER, draft.place(*segment).0));
            if let Some(memory) = pair.and_then(|pair| pair.memory.as_ref()) {
                let region = memory.region(*at, Progress::BYTES).map_err(refused)?;
                let progress = Progress::new(Words::of_region(region));
                self.progress.push((*segment, progress));
            }
        }
        for spec in &draft.edges {
            match spec.carries {
                Carries::Value(node, reader) if spec.from.0 == DRIVER => {
                    self.senders.insert((node, reader), draft.sender(spec)?);
                }
                Carries::Value(node, reader) if spec.to.0 == DRIVER => {
                    self.receivers.insert((node, reader), draft.receiver(spec)?);
                }
                Carries::Value(..) => {}
                Carries::Tick(_) => self.ticks.push(draft.sender(spec)?),
                Carries::Token(number) if spec.from.0 == DRIVER => {
                    self.signals.insert(number, draft.sender(spec)?);
                }
                Carries::Token(number) if spec.to.0 == DRIVER => {
                    self.tokens.insert(number, draft.receiver(spec)?);
                }
                Carries::Token(_) => {}
                Carries::Calls(input, output) => {
                    let (questions, answers) = draft.calls(spec)?;
                    match input {
                        Some(node) => drop(self.senders.insert((node, 0), questions)),
                        None => self.ticks.push(questions),
                    }
                    self.outputs.entry(output).or_default().push(answers);
                }
                Carries::Output(node, _) => {
                    let receiver = draft.receiver(spec)?;
                    self.outputs.entry(node).or_default().push(receiver);
                }
            }
        }
        Ok(())
    }

    fn tell(&mut self, draft: &Draft<'_>, texts: &[Vec<u8>]) -> Result<()> {
        let graph = draft.core.id;
        for Spec { from, to, .. } in &draft.edges {
            if from.0 != DRIVER && to.0 != DRIVER && from.0 != to.0 {
                let (from, to) = (&draft.peers[from.0 - 1], &draft.peers[to.0 - 1]);
                draft.host.bulk.joins(from, to);
            }
        }
        let mut last = Vec::new();
        for (of, pair) in &draft.pairs {
            let Some(memory) = &pair.memory else {
                continue;
            };
            let bytes = memory.bytes() as u64;
            let b = draft.peers[of.1 - 1].id;
            if of.0 != DRIVER {
                let a = draft.peers[of.0 - 1].id;
                for (to, with) in [(a, b), (b, a)] {
                    self.requests.push(Request::Tell {
                        to,
                        message: ToPart::Memory { graph, with, bytes },
                        memory: Some(memory.clone()),
                    });
                    self.requests.push(Request::Introduce { to, other: with });
                }
                continue;
            }
            let words = memory.region(0, Waiting::BYTES).map_err(refused)?;
            self.bells.push(Waiting::new(&words).map_err(refused)?);
            let text = &texts[of.1 - 1];
            let place = memory
                .region(pair.bytes, text.len().max(1))
                .map_err(refused)?;
            if !copy_in(text, &place) {
                return Err(refused("its text does not fit"));
            }
            last.push(Request::Tell {
                to: b,
                message: ToPart::Begin {
                    graph,
                    bytes,
                    text_at: pair.bytes as u64,
                    text_bytes: text.len() as u64,
                },
                memory: Some(memory.clone()),
            });
        }
        self.requests.extend(last);
        Ok(())
    }

    /// The edge of a value of this process to a segment elsewhere.
    pub(crate) fn sender(&mut self, node: usize, reader: usize) -> Option<EdgeSender> {
        self.senders.remove(&(node, reader))
    }

    /// The edge of a value from elsewhere to a segment of this process.
    pub(crate) fn receiver(&mut self, node: usize, reader: usize) -> Option<EdgeReceiver> {
        self.receivers.remove(&(node, reader))
    }

    /// The edge of the next output that `node`, which runs elsewhere, is.
    pub(crate) fn output(&mut self, node: usize) -> Option<EdgeReceiver> {
        self.outputs.get_mut(&node).and_then(Vec::pop)
    }

    /// How far the segments elsewhere are.
    pub(crate) fn progress(&mut self) -> Vec<(usize, Progress)> {
        std::mem::take(&mut self.progress)
    }

    /// The edges that begin segments elsewhere.
    pub(crate) fn ticks(&mut self) -> Vec<EdgeSender> {
        std::mem::take(&mut self.ticks)
    }

    /// The edge by which a segment of this process tells one elsewhere.
    pub(crate) fn signal(&mut self, token: usize) -> Option<EdgeSender> {
        self.signals.remove(&token)
    }

    /// The edge by which a segment elsewhere tells one of this process.
    pub(crate) fn token(&mut self, token: usize) -> Option<EdgeReceiver> {
        self.tokens.remove(&token)
    }

    /// Whether anything runs elsewhere.
    pub(crate) fn is_empty(&self) -> bool {
        self.bells.is_empty()
    }

    /// Sends the parts.
    pub(crate) fn send(&mut self, core: &Core) {
        if self.is_empty() {
            return;
        }
        core.node.workers.inbox().open(core.id);
        let words = self.bells.iter().map(|bell| bell.waiting.clone());
        core.parts.waits_across(words.collect());
        for request in self.requests.drain(..) {
            core.node.workers.request(request);
        }
    }
}
