//! The relay: the actor in the driver's process that drives a worker's graph.

use super::load::Load;
use super::loads::Loads;
use super::rebuild::rebuilt;
use super::sight::SentEvents;
use super::text::GraphText;
use crate::actor::handle::Actor;
use crate::config::{Isolation, MAX_BUFFERED_RESULTS, Timeout};
use crate::error::{Error, Fault, Result};
use crate::graph::build::{Graph, Node};
use crate::graph::compiled::CompiledGraph;
use crate::graph::core::Core;
use crate::graph::handle::door::{CALLS_MAX, Refusal, Verdict};
use crate::graph::observe::stalls::StallReport;
use crate::graph::observe::stats::GraphStats;
use crate::graph::options::CompileOptions;
use crate::graph::reference::GraphRef;
use crate::graph::waiters::Listener;
use crate::object::reference::{Promise, Ref};
use std::cell::Cell;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// The graph, and who says that it is over.
struct Driven {
    graph: CompiledGraph<Loads, Vec<Node<Load>>>,
    inputs: usize,
    _ending: Arc<Ending>,
}

/// Tells the worker why the graph is over (GY-4).
struct Ending {
    core: Weak<Core>,
    promise: Mutex<Option<Promise<Refusal>>>,
}

impl Listener for Ending {
    fn news(&self) {
        let Some(error) = self.core.upgrade().and_then(|core| core.over()) else {
            return;
        };
        let mut promise = self.promise.lock().unwrap_or_else(PoisonError::into_inner);
        let promise = promise.take();
        if let Some(promise) = promise {
            promise.fulfil(Ok(Refusal(error)));
        }
    }
}

/// See the module's page.
pub(crate) struct Relay {
    driven: OnceLock<Driven>,
    /// The run that comes next (GY-2).
    next: Cell<u64>,
}

/// A relay for a graph that will come; on the scheduler that workers ask for actors on, so that what they
/// asked for before is there.
pub(crate) fn open(node: &crate::node::Node) -> Actor<Relay> {
    Relay::options()
        .isolation(Isolation::Thread)
        .max_concurrency(CALLS_MAX)
        .scheduler(node.schedulers().len() - 1)
        .remote()
}

#[maser::actor]
impl Relay {
    pub(crate) fn new() -> Self {
        Self {
            driven: OnceLock::new(),
            next: Cell::new(0),
        }
    }

    /// Compiles a graph; gives what says why it is over.
    pub(crate) fn compile(&self, text: GraphText) -> Verdict<Ref<Refusal>> {
        Verdict::of(self.compiled(&text))
    }

    /// A run.
    pub(crate) async fn run(&self, run: u64, inputs: Vec<Load>) -> Verdict<Vec<Ref<Load>>> {
        let mut results = match self.submitted(run, inputs) {
            Ok(results) => results,
            Err(error) => return Verdict::of(Err(error)),
        };
        if results.len() == 1
            && let Some(only) = results.pop()
        {
            // The answer says that it is there.
            let outcome = only.await.map_err(Fault::new);
            return Verdict::of(Ok(vec![Ref::done(outcome)]));
        }
        Verdict::of(Ok(results.into_iter().map(GraphRef::into_ref).collect()))
    }

    pub(crate) fn stats(&self) -> GraphStats {
        let driven = self.driven.get();
        driven
            .map(|driven| driven.graph.stats())
            .unwrap_or_default()
    }

    pub(crate) fn stalls(&self) -> StallReport {
        let driven = self.driven.get();
        driven
            .map(|driven| driven.graph.stalls())
            .unwrap_or_default()
    }

    pub(crate) fn events(&self) -> SentEvents {
        let driven = self.driven.get();
        driven.map_or_else(SentEvents::default, |driven| driven.graph.events().into())
    }

    pub(crate) fn teardown(&self) -> Verdict<()> {
        Verdict::of(match self.driven.get() {
            Some(driven) => driven.graph.teardown(),
            None => Ok(()),
        })
    }
}

impl Relay {
    fn compiled(&self, text: &GraphText) -> Result<Ref<Refusal>> {
        let (nodes, outputs) = rebuilt(text)?;
        let inputs = nodes.iter().filter(|def| def.is_input()).count();
        let size = |size: u64| Some(usize::try_from(size).unwrap_or(usize::MAX));
        let options = CompileOptions {
            max_inflight: size(text.max_inflight),
            max_buffered_results: Some(*MAX_BUFFERED_RESULTS.end()),
            buffer_size_bytes: size(text.buffer_bytes),
            submit_timeout: Some(Timeout::Never),
            get_timeout: Some(Timeout::Never),
            teardown_timeout: Some(text.teardown_timeout.map_or(Timeout::Never, Timeout::After)),
            overlap_communication: Some(text.overlap),
            record: None,
            stats: Some(text.stats_every > 0),
            stats_every: size(text.stats_every.max(1)),
            profile: size(text.profile),
        };
        let graph = Graph::<Loads, _>::of(nodes, outputs).compile_with(options)?;
        let (promise, over) = Promise::new();
        let ending = Arc::new(Ending {
            core: Arc::downgrade(&graph.core),
            promise: Mutex::new(Some(promise)),
        });
        let listener: Weak<Ending> = Arc::downgrade(&ending);
        graph.core.add_at_end(listener);
        ending.news();
        let driven = Driven {
            graph,
            inputs,
            _ending: ending,
        };
        match self.driven.set(driven) {
            Ok(()) => Ok(over),
            Err(_) => Err(wrong("it has a graph already".into())),
        }
    }

    fn submitted(&self, run: u64, inputs: Vec<Load>) -> Result<Vec<GraphRef<Load>>> {
        let Some(driven) = self.driven.get() else {
            return Err(wrong("it has no graph".into()));
        };
        let next = self.next.replace(run + 1);
        if (run, inputs.len()) != (next, driven.inputs) {
            let (got, wanted) = (inputs.len(), driven.inputs);
            return Err(wrong(format!(
                "run {run} with {got} inputs came, and {next} with {wanted} was to come"
            )));
        }
        driven.graph.try_execute_given(Ok(inputs)) // GY-3
    }
}

fn wrong(problem: String) -> Error {
    Error::InvalidArgument {
        argument: "a relay",
        problem,
        remedy: "both processes must be of the same build".into(),
    }
}
