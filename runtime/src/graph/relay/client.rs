//! A worker's graph that is driven by another process.

use super::ends::Tray;
use super::load::Load;
use super::relay::Relay;
use super::text::{GraphText, nodes_of};
use crate::actor::handle::Actor;
use crate::error::{Error, Fault, Result};
use crate::executor::letter;
use crate::executor::local::Local;
use crate::graph::build::{Action, Graph, NodeDef};
use crate::graph::compile::actors_of;
use crate::graph::compiled::CompiledGraph;
use crate::graph::core::{Core, Limits};
use crate::graph::handle::door::{Refusal, Verdict};
use crate::graph::handle::inlet::Inlet;
use crate::graph::inputs::{Destination, DestinationBox, InputNodes};
use crate::graph::options::CompileOptions;
use crate::graph::outputs::{
    CoreBox, FarOutput, OutPortBox, OutputId, OutputNodes, OutputWatchBox, RelayedOutput, Wire,
};
use crate::graph::parcel::{Parcel, SubmitEdges, SubmitRun};
use crate::graph::plan::Plan;
use crate::graph::record::control::{Driven, watched};
use crate::graph::record::hooks::Hooks;
use crate::graph::record::watch::{Watch, watched_submit};
use crate::graph::registry::shut_down;
use crate::graph::remote::draft::codec_of;
use crate::graph::remote::ports::NodeCodec;
use crate::graph::rendezvous::Pairs;
use crate::graph::results::Refused;
use crate::graph::schedule::{ChannelKind, Shape};
use crate::graph::waiters::Listener;
use crate::node::Node;
use crate::object::reference::Ref;
use crate::object::when_done::when_done;
use crate::worker::errand::{self, Errand};
use maser_shm::sync::atomic::Ordering;
use std::any::Any;
use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// A worker has one scheduler.
const HOME: usize = 0;

/// What the worker has of the graph.
pub(super) struct Client {
    me: Weak<Client>,
    core: Arc<Core>,
    pub(super) relay: Actor<Relay>,
    inlets: Vec<Arc<Inlet<Load>>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Runs that were begun and not sent yet, by their numbers there (GY-2).
    queue: VecDeque<(u64, Vec<Load>)>,
    /// How many were begun.
    runs: u64,
    /// The latest of them: their numbers here and there.
    numbers: VecDeque<(u64, u64)>,
    /// Why the graph is over there.
    over: Option<Error>,
}

impl Client {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something on the worker's scheduler.
    fn later(&self, errand: impl FnOnce(&Client) + Send + 'static) {
        if let Some(me) = self.me.upgrade() {
            let errand = letter::closure(move |_| errand(&me));
            self.core.node.post_to(HOME, errand);
        }
    }

    /// Does something on the worker's scheduler once `value` is there.
    fn when<T: Send + Sync + 'static>(
        &self,
        value: Ref<T>,
        then: impl FnOnce(&Client, Ref<T>) + Send + 'static,
    ) {
        let Some(me) = self.me.upgrade() else { return };
        let own = value.clone();
        when_done(value.cell(), move || {
            let client = me.clone();
            client.later(move |client| then(client, own));
        });
    }

    /// GY-2. Under the core's lock.
    fn submit(&self, here: u64, inputs: Vec<Load>) {
        let mut state = self.lock();
        let run = state.runs;
        state.runs = run + 1;
        if state.numbers.len() >= self.core.max_inflight {
            state.numbers.pop_front();
        }
        state.numbers.push_back((here, run));
        state.queue.push_back((run, inputs));
        drop(state);
        match Local::current() {
            Some(_) => self.send(),
            None => self.later(Self::send),
        }
    }

    /// The number here of a run, by its number there, if it may be in flight.
    pub(super) fn number_of(&self, there: u64) -> Option<u64> {
        let state = self.lock();
        let found = state.numbers.iter().find(|(_, run)| *run == there);
        found.map(|(here, _)| *here)
    }

    /// On the worker's scheduler.
    fn send(&self) {
        loop {
            let next = self.lock().queue.pop_front();
            let Some((run, inputs)) = next else { return };
            let answer = self.relay.run().remote(run, inputs);
            self.when(answer, move |client, answer| client.answered(run, &answer));
        }
    }

    fn answered(&self, run: u64, answer: &Ref<Verdict<Vec<Ref<Load>>>>) {
        let given = match answer.outcome_ref() {
            Ok(verdict) => verdict.clone().result(),
            Err(fault) => Err(fault.to_error()),
        };
        let given = given.and_then(|given| match given.len() == self.inlets.len() {
            true => Ok(given),
            false => Err(Error::InvalidArgument {
                argument: "a run's results",
                problem: format!("{} came, not {}", given.len(), self.inlets.len()),
                remedy: "both processes must be of the same build".into(),
            }),
        });
        match given {
            Ok(given) => {
                for (at, result) in given.into_iter().enumerate() {
                    match result.is_ready() {
                        true => self.inlets[at].arrived(run, result),
                        false => self.when(result, move |client, result| {
                            client.inlets[at].arrived(run, result);
                            client.look_whether_over();
                        }),
                    }
                }
            }
            Err(error) => {
                let fault = Fault::new(error);
                for inlet in &self.inlets {
                    inlet.arrived(run, Ref::done(Err(fault.clone())));
                }
            }
        }
        self.look_whether_over();
    }

    /// GY-4.
    fn is_over_there(&self, why: &Ref<Refusal>) {
        let error = match why.outcome_ref() {
            Ok(Refusal(error)) => error.clone(),
            Err(fault) => fault.to_error(),
        };
        self.lock().over = Some(error);
        self.look_whether_over();
    }

    fn look_whether_over(&self) {
        let state = self.lock();
        let Some(error) = state.over.clone() else {
            return;
        };
        let runs = state.runs;
        drop(state);
        if self.inlets.iter().all(|inlet| inlet.count() >= runs) {
            self.core.end(error);
        }
    }

    fn tear_down(&self) {
        if self.core.node.is_closing() {
            return;
        }
        let answer = self.relay.teardown().remote();
        self.when(answer, |client, answer| {
            let torn_down = answer.outcome_ref().map(|verdict| verdict.clone().result());
            match torn_down {
                // Something is busy there still.
                Ok(Err(Error::Timeout { .. })) => client.tear_down(),
                Ok(_) | Err(_) => client.core.was_removed(),
            }
        });
    }
}

impl Listener for Client {
    /// The graph is over.
    fn news(&self) {
        self.tear_down();
    }
}

/// Sends runs to the relay.
struct SubmitRelayed<I: InputNodes> {
    edges: SubmitEdges<I>,
    tray: Tray,
    client: Arc<Client>,
}

impl<I: InputNodes> SubmitRun<I> for SubmitRelayed<I> {
    fn submit(&mut self, run: u64, parcel: Parcel<I>, refused: &mut Refused) {
        self.edges.submit(run, parcel, refused);
        self.client.submit(run, self.tray.take());
    }
}

/// Where the ends of the graph are.
struct Ends<'a> {
    nodes: &'a [NodeDef],
    core: Arc<Core>,
    inlets: Vec<Arc<Inlet<Load>>>,
    hooks: Option<Arc<Hooks>>,
}

impl Ends<'_> {
    fn codec(&self, node: usize) -> NodeCodec {
        match codec_of(self.nodes, node) {
            Some(codec) => codec,
            None => unreachable!("the text has no function without a codec"),
        }
    }
}

impl Wire for Ends<'_> {
    fn slot(&mut self, _: OutputId) -> (Box<dyn Any + Send>, bool) {
        unreachable!("no output is made here")
    }
    fn far_output(&mut self, _: OutputId) -> Option<FarOutput> {
        None
    }
    fn relayed(&mut self, output: OutputId) -> Option<RelayedOutput> {
        let node = output.0.index;
        let inlet = Arc::new(Inlet::new(self.core.clone()));
        self.inlets.push(inlet.clone());
        let hooks = self.hooks.as_ref().filter(|hooks| hooks.claim(node));
        let watch = hooks.map(|hooks| Watch::new(hooks, node));
        Some(RelayedOutput(inlet, self.codec(node), watch))
    }
    fn output_watch(&mut self, _: OutputId, _: ChannelKind) -> OutputWatchBox {
        OutputWatchBox(None)
    }
    fn attach(&mut self, _: OutputId, _: OutPortBox) {
        unreachable!("no output is made here")
    }
    fn depth(&self) -> usize {
        self.core.max_inflight
    }
    fn core(&self) -> CoreBox {
        CoreBox(self.core.clone())
    }
}

/// Compiles a graph of which something is in other processes than this one, a worker.
///
/// # Errors
/// As `Graph::compile`.
pub(in crate::graph) fn compile<I: InputNodes, O: OutputNodes>(
    graph: Graph<I, O>,
    host: &Arc<Node>,
    options: &CompileOptions,
    limits: &Limits,
    (plan, pairs, outputs): (Plan, Pairs, Vec<usize>),
) -> Result<CompiledGraph<I, O>> {
    let Some(membership) = host.workers.membership() else {
        unreachable!("the process is a worker");
    };
    let settings = &host.settings;
    let teardown_timeout = options
        .teardown_timeout
        .unwrap_or(settings.graph_teardown_timeout)
        .limit();
    let (nodes, actors) = nodes_of(&graph.nodes)?;
    let text = GraphText {
        actors,
        nodes,
        outputs: outputs.iter().map(|output| *output as u32).collect(),
        max_inflight: limits.max_inflight as u64,
        buffer_bytes: limits.buffer_bytes as u64,
        overlap: options
            .overlap_communication
            .unwrap_or(settings.graph_overlap_communication),
        teardown_timeout,
        stats_every: limits.observe.every,
        profile: limits.observe.events as u64,
    };
    let hooks = options.record.as_ref().map(|record| {
        let now_ns = host.clock.now_ns();
        watched(record, (&graph.nodes, &plan, &outputs), now_ns)
    });
    let hooks = hooks.transpose()?;
    let relay = errand::ask::<Actor<Relay>>(host, &membership.driver, &Errand::Relay).get()?;
    let over = relay.compile().remote(text).get()?.result()?;

    let id = host.random.next_u64();
    let actors = actors_of(&graph.nodes);
    let core = Core::new(id, host.clone(), limits, actors, Vec::new(), Vec::new());
    core.installed.store(1, Ordering::Relaxed); // GY-4
    let mut ends = Ends {
        nodes: &graph.nodes,
        core: core.clone(),
        inlets: Vec::new(),
        hooks: hooks.clone(),
    };
    let outs = graph.outputs.wire(&mut ends);
    let tray = Tray::default();
    let inputs = graph.nodes.iter().enumerate();
    let inputs = inputs.filter(|(_, def)| matches!(def.action, Action::Input(_)));
    let destinations = inputs.map(|(at, _)| {
        let to = Destination::Relayed(tray.clone(), ends.codec(at));
        vec![DestinationBox(to)]
    });
    let ports = I::ports(destinations.collect(), core.max_inflight, &mut |_, _| {
        unreachable!("no input is read here")
    });
    let client = Arc::new_cyclic(|me| Client {
        me: me.clone(),
        core: core.clone(),
        relay,
        inlets: ends.inlets,
        state: Mutex::default(),
    });
    let listener: Weak<Client> = Arc::downgrade(&client);
    core.add_at_end(listener);
    let sees: Weak<Client> = Arc::downgrade(&client);
    let _first = core.elsewhere.set(sees);
    let watching = Arc::downgrade(&client);
    let why = over.clone();
    when_done(over.cell(), move || {
        if let Some(client) = watching.upgrade() {
            client.later(move |client| client.is_over_there(&why));
        }
    });
    let submit: Box<dyn SubmitRun<I>> = Box::new(SubmitRelayed {
        edges: SubmitEdges::<I>::new(ports),
        tray,
        client,
    });
    let submit = match &hooks {
        Some(hooks) => watched_submit(hooks, host, submit),
        None => submit,
    };
    let compiled = CompiledGraph {
        core,
        fan_out: None,
        submit: UnsafeCell::new(submit),
        outs: ManuallyDrop::new(outs),
        teardown_timeout,
        shape: Shape {
            nodes: graph.nodes,
            plan,
            outputs,
            pairs,
            is_call_slot: false,
        },
        hooks: hooks.map(Driven),
    };
    if !host.graphs.add(&compiled.core) {
        compiled.core.end(shut_down());
        return Err(shut_down());
    }
    compiled.core.check_actors();
    Ok(compiled)
}
