//! The steps and segments of a compiled graph as its driver knows them, by name.
//!
//! - SN-6 a segment does not say when it came to where it is. Whoever waits long looks now and then, and
//!   what looks the same since has been so for at least that long.

use super::progress::{Look, Progress};
use crate::graph::build::{Action, NodeDef};
use crate::graph::plan::{After, Plan};
use crate::graph::rendezvous::Token;
use crate::worker::peer::Peer;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Who wait for a graph look at its segments this often.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The actor of a step.
pub(crate) struct ActorSite {
    /// As errors name it.
    pub(crate) display: String,
    pub(crate) id: u64,
    /// The name that it was given.
    pub(crate) name: Option<String>,
    /// Its process, if that is another one.
    pub(crate) process: Option<Arc<Peer>>,
}

/// A node.
pub(crate) struct Site {
    name: Option<String>,
    pub(crate) function: &'static str,
    /// Of a method.
    pub(crate) class: Option<&'static str>,
    /// Its place among the steps of its actor.
    pub(crate) bind_index: usize,
    pub(crate) actor: Option<Arc<ActorSite>>,
    /// Its segment and its number there; `usize::MAX` for inputs.
    pub(crate) segment: usize,
    pub(crate) number: usize,
    /// The nodes that it reads.
    pub(crate) reads: Vec<usize>,
}

/// Steps that run one after the other.
pub(crate) struct SegmentSite {
    pub(crate) members: Vec<usize>,
    pub(crate) after: Vec<After>,
    pub(crate) progress: Progress,
}

/// Where a segment was when it was first seen there.
#[derive(Clone, Copy)]
struct Seen {
    look: Look,
    since_ns: u64,
}

/// See the module's page.
pub(crate) struct Chart {
    pub(crate) sites: Vec<Site>,
    pub(crate) segments: Vec<SegmentSite>,
    /// What segments tell each other of synchronous pairs.
    pub(crate) tokens: OnceLock<Vec<Token>>,
    seen: Mutex<Vec<Option<Seen>>>,
}

impl Chart {
    pub(crate) fn new(nodes: &[NodeDef], plan: &Plan, progress: &[Progress]) -> Self {
        let (mut actors, mut bound) = (HashMap::new(), HashMap::new());
        let mut numbers = vec![0; nodes.len()];
        for members in &plan.members {
            for (number, node) in members.iter().enumerate() {
                numbers[*node] = number;
            }
        }
        let site = |(index, def): (usize, &NodeDef)| Site {
            name: def.name.clone(),
            function: def.meta.name,
            class: def.meta.actor,
            bind_index: bind_index(def, &mut bound),
            actor: actor_of(def, &mut actors),
            segment: plan.segment[index],
            number: numbers[index],
            reads: def.reads.clone(),
        };
        let sites = nodes.iter().enumerate().map(site).collect();
        let segment = |(index, members): (usize, &Vec<usize>)| SegmentSite {
            members: members.clone(),
            after: plan.after[index].clone(),
            progress: progress[index].clone(),
        };
        Self {
            sites,
            segments: plan.members.iter().enumerate().map(segment).collect(),
            tokens: OnceLock::new(),
            seen: Mutex::default(),
        }
    }

    /// `#3 Echo::echo`.
    pub(crate) fn label(&self, node: usize) -> String {
        let site = &self.sites[node];
        let name = site.name.as_deref().unwrap_or(site.function);
        format!("#{node} {name}")
    }

    /// The name of the actor of a node.
    pub(crate) fn actor(&self, node: usize) -> Option<String> {
        let actor = self.sites[node].actor.as_ref()?;
        Some(actor.display.clone())
    }

    /// Looks at all segments, and since when each of them was seen where it is (SN-6).
    pub(crate) fn look(&self, now_ns: u64) -> Vec<(Look, Duration)> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.resize(self.segments.len(), None);
        let looks = self.segments.iter().zip(&mut *seen).map(|(segment, seen)| {
            let look = segment.progress.look();
            let since_ns = match seen {
                Some(seen) if seen.look == look => seen.since_ns,
                _ => now_ns,
            };
            *seen = Some(Seen { look, since_ns });
            (look, Duration::from_nanos(now_ns.saturating_sub(since_ns)))
        });
        looks.collect()
    }
}

/// How many steps of its actor are before a node.
fn bind_index(def: &NodeDef, bound: &mut HashMap<usize, usize>) -> usize {
    let Action::Call {
        actor: Some(actor), ..
    } = &def.action
    else {
        return 0;
    };
    let next = bound.entry(actor.core.get().addr().get()).or_default();
    *next += 1;
    *next - 1
}

/// The actor of a node, once for all its nodes.
fn actor_of(def: &NodeDef, known: &mut HashMap<usize, Arc<ActorSite>>) -> Option<Arc<ActorSite>> {
    let Action::Call {
        actor: Some(actor), ..
    } = &def.action
    else {
        return None;
    };
    let site = known
        .entry(actor.core.get().addr().get())
        .or_insert_with(|| {
            Arc::new(ActorSite {
                display: actor.name(),
                id: actor.id(),
                name: actor.given_name(),
                process: actor.elsewhere.as_ref().map(|there| there.peer.clone()),
            })
        });
    Some(site.clone())
}
