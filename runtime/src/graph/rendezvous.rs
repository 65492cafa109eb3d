//! Synchronous pairs: a WRITE that ends when the READ has taken the value.
//!
//! The step that writes sends its value as any other; what waits is the *next* operation of its actor
//! (the next step, or the first one of the next run), until a token comes that the reader's segment
//! sends when it takes its inputs. So nothing is blocked on a stack, and whoever ends the graph ends
//! the wait.
//!
//! - RV-1 in one run the order of operations is a graph: a step after those it reads, after the step
//!   before it on its actor, and, if that one wrote synchronously, after the READ of the value. A circle
//!   in it is a deadlock and is refused at compile.
//! - RV-2 with overlap the READ is moved up before every COMPUTE of its run: the place for the value is
//!   there as soon as the run before has used it. Its token is thus one run ahead, leads to no step of
//!   the same run, and closes no circle.
//! - RV-4 a collective without overlap is waited for as a reader is: by the next step of a member's actor
//!   (CN-2). What is in `list` for it is no pair.
//! - RV-3 of one token no more than two are on their way.

use super::build::{Action, NodeDef};
use super::plan::{Plan, actor_key};
use super::transport::is_pair;
use crate::error::{Error, Result};
use std::collections::{HashMap, HashSet, VecDeque};

/// Tokens of one kind that a channel has to hold (RV-3), and some.
pub(crate) const TOKENS: usize = 4;

/// One synchronous pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) writer: usize,
    pub(crate) reader: usize,
    /// The step that waits for the READ.
    next: usize,
    /// It is that of the next run.
    is_next_run: bool,
    /// No pair: the share of a collective, which is both (CN-2).
    pub(crate) is_share: bool,
}

/// The synchronous pairs of a graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pairs {
    pub(crate) list: Vec<Pair>,
    edges: HashSet<(usize, usize)>,
    /// READs are moved up (RV-2).
    pub(crate) overlap: bool,
}

/// News that a segment took its inputs, for another that waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// How many runs the receiver may begin without one.
    pub(crate) ahead: u32,
}

impl Pair {
    fn of_share(share: usize, next: usize, is_next_run: bool) -> Self {
        Self {
            writer: share,
            reader: share,
            next,
            is_next_run,
            is_share: true,
        }
    }
}

impl Pairs {
    pub(crate) fn new(nodes: &[NodeDef], overlap: bool) -> Self {
        let mut list = Vec::new();
        let mut edges = HashSet::new();
        // The step after each on its actor, and the first of each actor.
        let mut following: Vec<Option<usize>> = vec![None; nodes.len()];
        let mut first: Vec<usize> = (0..nodes.len()).collect();
        let mut ends: HashMap<usize, (usize, usize)> = HashMap::new();
        // Shares that the next step of each actor waits for.
        let mut shares: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut waits = Vec::new();
        for (reader, def) in nodes.iter().enumerate() {
            if def.rank.is_some()
                && let Some(actor) = def.owner().filter(|_| !overlap)
            {
                shares.entry(actor).or_default().push(reader);
            }
            if let Some(actor) = actor_key(def) {
                for share in shares.remove(&actor).unwrap_or_default() {
                    // Who reads it waits for it anyway.
                    if !def.reads.contains(&share) {
                        waits.push(Pair::of_share(share, reader, false));
                    }
                }
                let (first_one, latest) = ends.entry(actor).or_insert((reader, reader));
                if *latest != reader {
                    following[*latest] = Some(reader);
                }
                first[reader] = *first_one;
                *latest = reader;
            }
            for writer in &def.reads {
                if is_pair(nodes, *writer, reader) && edges.insert((*writer, reader)) {
                    list.push((*writer, reader));
                }
            }
        }
        list.sort_unstable();
        for (actor, shares) in shares {
            if let Some((first, _)) = ends.get(&actor) {
                waits.extend(
                    shares
                        .into_iter()
                        .map(|share| Pair::of_share(share, *first, true)),
                );
            }
        }
        let list = list.into_iter().map(|(writer, reader)| Pair {
            writer,
            reader,
            next: following[writer].unwrap_or(first[writer]),
            is_next_run: following[writer].is_none(),
            is_share: false,
        });
        Self {
            list: list.chain(waits).collect(),
            edges,
            overlap,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn has(&self, writer: usize, reader: usize) -> bool {
        self.edges.contains(&(writer, reader))
    }

    /// Steps that stand behind others because of a pair, each as `(earlier, later)`: never in the same
    /// segment.
    pub(crate) fn waits(&self) -> impl Iterator<Item = (usize, usize)> {
        let pairs = self.list.iter().filter(|pair| !pair.is_next_run);
        pairs.map(|pair| match self.overlap {
            true => (pair.writer, pair.next),
            false => (pair.reader, pair.next),
        })
    }

    /// What the segments of a plan tell each other.
    pub(crate) fn tokens(&self, plan: &Plan) -> Vec<Token> {
        let mut tokens: Vec<Token> = Vec::new();
        for pair in &self.list {
            let token = Token {
                from: plan.segment[pair.reader],
                to: plan.segment[pair.next],
                ahead: u32::from(pair.is_next_run) + u32::from(self.overlap),
            };
            if token.from == token.to {
                continue; // It began the run before.
            }
            let same = |other: &&mut Token| (other.from, other.to) == (token.from, token.to);
            match tokens.iter_mut().find(same) {
                Some(other) => other.ahead = other.ahead.min(token.ahead),
                None => tokens.push(token),
            }
        }
        tokens
    }

    /// RV-1.
    pub(crate) fn check(&self, nodes: &[NodeDef]) -> Result<()> {
        if self.overlap || self.is_empty() {
            return Ok(());
        }
        let after = self.order(nodes);
        // Shares are bound before what waits for them, so every circle has a pair.
        let pairs = self.list.iter().filter(|pair| !pair.is_share);
        for pair in pairs.filter(|pair| !pair.is_next_run) {
            if let Some(way) = way(&after, pair.next, pair.reader) {
                return Err(self.deadlock(nodes, pair, &way));
            }
        }
        Ok(())
    }

    /// For each step the steps that stand directly behind it in one run, and why.
    fn order(&self, nodes: &[NodeDef]) -> Vec<Vec<(usize, Why)>> {
        let mut after = vec![Vec::new(); nodes.len()];
        let mut latest: HashMap<usize, usize> = HashMap::new();
        for (index, def) in nodes.iter().enumerate() {
            for read in &def.reads {
                after[*read].push((index, Why::Reads));
            }
            if let Some(actor) = actor_key(def)
                && let Some(before) = latest.insert(actor, index)
            {
                after[before].push((index, Why::Bound));
            }
        }
        for pair in self.list.iter().filter(|pair| !pair.is_next_run) {
            let why = match pair.is_share {
                true => Why::Shares,
                false => Why::Takes(pair.writer),
            };
            after[pair.reader].push((pair.next, why));
        }
        after
    }

    fn deadlock(&self, nodes: &[NodeDef], pair: &Pair, way: &[(usize, Why)]) -> Error {
        let label = |node: usize| nodes[node].label(node);
        let (writer, reader) = (described(nodes, pair.writer), described(nodes, pair.reader));
        let mut before = pair.next;
        let mut chain = String::new();
        for (node, why) in way {
            let (node_label, before_label) = (label(*node), label(before));
            chain.push_str(&match why {
                Why::Reads => format!(", {node_label} reads {before_label}"),
                Why::Bound => {
                    format!(", {node_label} is bound after {before_label} on the same actor")
                }
                Why::Shares => format!(", {node_label} waits for {before_label}"),
                Why::Takes(from) => format!(
                    ", {node_label} waits until {before_label} has taken the value of {}",
                    label(*from)
                ),
            });
            before = *node;
        }
        let next = label(pair.next);
        // What stands before the reader on its own actor could stand behind it.
        let own = match way {
            [.., (before, _), (_, Why::Bound)] => *before,
            [.., (_, Why::Takes(writer))] => *writer,
            _ => pair.next,
        };
        let (earlier, later) = (label(pair.reader), label(own));
        Error::Graph {
            node: label(pair.writer),
            problem: format!(
                "the graph would deadlock: {writer} waits until {reader} has taken its value \
                 (transport 'gloo'); until then {next} waits, which is bound after it on the same \
                 actor{chain}"
            ),
            remedy: format!(
                "bind {earlier} before {later}, set CompileOptions::overlap_communication, or take \
                 transport 'shm' for {}",
                label(pair.writer)
            ),
        }
    }
}

/// Why a step stands behind another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Reads,
    Bound,
    /// A collective whose share the other is.
    Shares,
    /// The value of this one is taken by the other.
    Takes(usize),
}

fn described(nodes: &[NodeDef], node: usize) -> String {
    let label = nodes[node].label(node);
    match &nodes[node].action {
        Action::Call {
            actor: Some(actor), ..
        } => format!("{label} of {}", actor.name()),
        _ => label,
    }
}

/// The shortest way from one step to another: each further step, and why it stands behind the one
/// before it.
fn way(after: &[Vec<(usize, Why)>], from: usize, to: usize) -> Option<Vec<(usize, Why)>> {
    let mut came: HashMap<usize, (usize, Why)> = HashMap::new();
    let mut queue = VecDeque::from([from]);
    while let Some(at) = queue.pop_front() {
        if at == to {
            break;
        }
        for (next, why) in &after[at] {
            if *next != from && !came.contains_key(next) {
                came.insert(*next, (at, *why));
                queue.push_back(*next);
            }
        }
    }
    let mut way = Vec::new();
    let mut at = to;
    while at != from {
        let (before, why) = *came.get(&at)?;
        way.push((at, why));
        at = before;
    }
    way.reverse();
    Some(way)
}
