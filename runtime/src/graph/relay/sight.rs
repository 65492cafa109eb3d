//! What a worker sees of its graph: the relay looks, and is asked. A relay that does not answer within
//! [`PATIENCE`] has seen nothing.

use super::client::Client;
use crate::graph::build::{Action, NodeDef};
use crate::graph::core::Core;
use crate::graph::observe::profile::{StepEvent, StepEvents};
use crate::graph::observe::stalls::StalledStep;
use crate::graph::observe::stats::GraphStats;
use crate::graph::schedule::OperationKind;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Longer than a scheduler that does its work takes to answer, and short for who looks for a stall.
const PATIENCE: Duration = Duration::from_secs(1);

/// The process that drives it, in words.
const DRIVER: &str = "the driver";

/// Asks the process that drives a graph.
pub(crate) trait Elsewhere: Send + Sync {
    /// What was measured; `None` if there was no answer.
    fn stats(&self) -> Option<GraphStats>;
    /// The steps that runs wait for, by the numbers of the runs here.
    fn stalls(&self) -> HashMap<u64, Vec<StalledStep>>;
    /// What the steps of these nodes did.
    fn events(&self, nodes: &[NodeDef], all: &mut StepEvents);
}

impl Core {
    /// Whom to ask, if another process drives the graph.
    pub(crate) fn asks(&self) -> Option<Arc<dyn Elsewhere>> {
        self.elsewhere.get().and_then(Weak::upgrade)
    }
}

/// Events without what both processes know.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct SentEvents {
    events: Vec<SentEvent>,
    dropped: u64,
}

#[derive(Clone, Serialize, Deserialize)]
struct SentEvent {
    node: u32,
    run: u64,
    bind_index: u32,
    operation: OperationKind,
    start_ns: u64,
    end_ns: u64,
    process: Option<String>,
}

impl From<StepEvents> for SentEvents {
    fn from(all: StepEvents) -> Self {
        let sent = |event: StepEvent| SentEvent {
            node: event.node as u32,
            run: event.run,
            bind_index: event.bind_index as u32,
            operation: event.operation,
            start_ns: event.start_ns,
            end_ns: event.end_ns,
            process: event.process,
        };
        Self {
            events: all.events.into_iter().map(sent).collect(),
            dropped: all.dropped,
        }
    }
}

impl Elsewhere for Client {
    fn stats(&self) -> Option<GraphStats> {
        self.relay.stats().remote().get_timeout(PATIENCE).ok()
    }

    fn stalls(&self) -> HashMap<u64, Vec<StalledStep>> {
        let report = self.relay.stalls().remote().get_timeout(PATIENCE);
        let runs = report.map_or_else(|_| Vec::new(), |report| report.runs);
        runs.into_iter()
            .filter_map(|mut one| {
                for step in &mut one.steps {
                    // Where it is this process, that is another one here.
                    step.process.get_or_insert_with(|| DRIVER.into());
                }
                Some((self.number_of(one.run)?, one.steps))
            })
            .collect()
    }

    fn events(&self, nodes: &[NodeDef], all: &mut StepEvents) {
        let Ok(sent) = self.relay.events().remote().get_timeout(PATIENCE) else {
            return;
        };
        all.dropped = sent.dropped;
        for event in sent.events {
            let node = event.node as usize;
            let Some(def) = nodes.get(node) else { continue };
            let actor = match &def.action {
                Action::Call { actor, .. } => actor.as_ref(),
                Action::Input(_) => None,
            };
            all.events.push(StepEvent {
                actor_class: actor.and(def.meta.actor),
                actor_name: actor.and_then(|actor| actor.given_name()),
                actor_id: actor.map(|actor| actor.id()),
                method: def.meta.name,
                bind_index: event.bind_index as usize,
                node,
                run: event.run,
                operation: event.operation,
                start_ns: event.start_ns,
                end_ns: event.end_ns,
                scheduler: None,
                process: Some(event.process.unwrap_or_else(|| DRIVER.into())),
            });
        }
    }
}
