//! A graph of another process, as a handle of this one sees it.
//!
//! - FG-1 it has a core and outputs of its own, so that results, waiting, timeouts and refs are those of
//!   any graph; only where runs go and results come from differs.
//! - FG-2 whoever waited too long asks the door what the graph waits for, as long as there is a handle.
//! - FG-3 no answer of the graph's process is waited for without a limit, unless the graph has none: what
//!   does not wait for a place has the limit of what does, teardown that of the graph and [`ANSWER`] more.

use super::coded::{self, Coded};
use super::door::{Door, Verdict, inputs_of};
use super::inlet::Inlet;
use super::portable::{FarOuts, PortableInputs, PortableOutputs};
use crate::actor::address::SendCore;
use crate::actor::handle::Actor;
use crate::error::{Error, Result};
use crate::executor::local::Local;
use crate::executor::wait::wait_done;
use crate::graph::compiled::CompiledGraph;
use crate::graph::core::{Core, Limits};
use crate::graph::driver::AnyOutput;
use crate::graph::observe::text::Owner;
use crate::graph::observe::watched::Observe;
use crate::graph::refusals::{no_place, too_many_held};
use crate::graph::registry::shut_down;
use crate::graph::results::Refused;
use crate::node::Node;
use crate::object::reference::Ref;
use crate::task::raw::Header;
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How much longer than its limit a teardown elsewhere may take to say so.
const ANSWER: Duration = Duration::from_secs(1);

/// What the runs of a graph hold to.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Terms {
    outputs: u32,
    max_inflight: u64,
    max_buffered: u64,
    submit_timeout: Option<Duration>,
    get_timeout: Option<Duration>,
    teardown_timeout: Option<Duration>,
}

impl Terms {
    pub(crate) fn of<I: PortableInputs, O: PortableOutputs>(graph: &CompiledGraph<I, O>) -> Self {
        let core = graph.core();
        Self {
            outputs: core.outputs as u32,
            max_inflight: core.max_inflight as u64,
            max_buffered: core.max_buffered as u64,
            submit_timeout: core.submit_timeout,
            get_timeout: core.get_timeout,
            teardown_timeout: graph.teardown_timeout,
        }
    }
}

/// See the module's page.
pub(crate) struct Far<I: PortableInputs, O: PortableOutputs> {
    door: Actor<Door>,
    terms: Terms,
    types: u64,
    core: Arc<Core>,
    inlets: Vec<Arc<Inlet>>,
    /// Whom waits that were too long ask (FG-2).
    _owner: Arc<Asker>,
    /// Given to the core when the handle is dropped (DR-5).
    outs: Option<O::Outs>,
    inputs: PhantomData<fn(I)>,
}

/// FG-2.
struct Asker(Actor<Door>);

impl Owner for Asker {
    fn whom(&self, limit: Duration) -> Option<String> {
        let said = self.0.whom().remote();
        if wait_done(said.cell(), Some(limit)).is_err() {
            said.cancel();
            return None;
        }
        said.get().ok().flatten()
    }
}

/// A submission that is waited for: who stops waiting cancels it (GH-2).
struct Asked(Ref<Verdict<Vec<Ref<Coded>>>>);

impl Drop for Asked {
    fn drop(&mut self) {
        if !self.0.is_ready() {
            self.0.cancel();
        }
    }
}

impl<I: PortableInputs, O: PortableOutputs> Far<I, O> {
    /// A handle of the graph behind `door`, which is in another process.
    pub(crate) fn new(door: Actor<Door>, terms: Terms) -> Result<Self> {
        let node = Node::current("receiving a graph's handle")?;
        let limits = Limits {
            outputs: terms.outputs as usize,
            segments: 0,
            max_inflight: terms.max_inflight as usize,
            max_buffered: terms.max_buffered as usize,
            buffer_bytes: 0,
            submit_timeout: terms.submit_timeout,
            get_timeout: terms.get_timeout,
            observe: Observe::default(),
        };
        let id = node.random.next_u64();
        let actors = SendCore::new(door.core()).try_hold().into_iter().collect();
        let core = Core::new(id, node.clone(), &limits, actors, Vec::new(), Vec::new());
        let owner = Arc::new(Asker(door.clone()));
        let asked: Weak<Asker> = Arc::downgrade(&owner);
        let _first = core.owner.set(asked);
        let mut outs = FarOuts {
            core: core.clone(),
            count: limits.outputs,
            inlets: Vec::new(),
        };
        let own = O::far(&mut outs);
        // Its process may have died meanwhile.
        match node.graphs.add(&core) {
            true => core.check_actors(),
            false => drop(core.end(shut_down())),
        }
        Ok(Self {
            door,
            terms,
            types: coded::register::<I, O>(),
            core,
            inlets: outs.inlets,
            _owner: owner,
            outs: Some(own),
            inputs: PhantomData,
        })
    }

    fn outs(&self) -> &O::Outs {
        match &self.outs {
            Some(outs) => outs,
            None => unreachable!("they go with the handle"),
        }
    }

    pub(crate) fn door(&self) -> &Actor<Door> {
        &self.door
    }

    pub(crate) fn terms(&self) -> Terms {
        self.terms
    }

    pub(crate) fn submit_timeout(&self) -> Option<Duration> {
        self.terms.submit_timeout
    }

    fn ask(&self, waits: bool, values: I::Values) -> Result<Asked> {
        if let Some(error) = self.core.over() {
            return Err(error);
        }
        self.may_hold_more()?;
        let inputs = inputs_of(self.types, values);
        Ok(Asked(self.door.submit().remote(waits, self.types, inputs)))
    }

    /// Results that nobody fetches are held here.
    fn may_hold_more(&self) -> Result<()> {
        let mut refused = Refused::default();
        let mut held = 0;
        self.core.locked(|| {
            O::visit_outs(self.outs(), &mut |output: &dyn AnyOutput| {
                output.pull(&mut refused);
                held = held.max(output.held());
            });
        });
        drop(refused);
        match held > self.core.max_buffered {
            true => Err(too_many_held(&self.core, held)),
            false => Ok(()),
        }
    }

    pub(crate) fn try_execute(&self, values: I::Values) -> Result<O::GraphRefs> {
        let asked = self.ask(false, values)?;
        self.answered(asked.0.cell())?;
        self.granted(asked)
    }

    /// Waits for an answer that should come at once (FG-3).
    fn answered(&self, asked: NonNull<Header>) -> Result<()> {
        let limit = self.terms.submit_timeout;
        match wait_done(asked, limit) {
            Err(Error::Timeout { .. }) => Err(Error::Timeout {
                what: "the answer of a graph".into(),
                from_whom: "its process".into(),
                waited: limit.unwrap_or_default(),
                knob: "CompileOptions::submit_timeout or MASER_CGRAPH_SUBMIT_TIMEOUT",
            }),
            other => other,
        }
    }

    pub(crate) fn execute(
        &self,
        values: I::Values,
        limit: Option<Duration>,
    ) -> Result<O::GraphRefs> {
        let asked = self.ask(true, values)?;
        match wait_done(asked.0.cell(), limit) {
            Ok(()) => self.granted(asked),
            Err(Error::Timeout { .. }) => Err(no_place(&self.core, limit)),
            Err(other) => Err(other),
        }
    }

    pub(crate) async fn execute_async(&self, values: I::Values) -> Result<O::GraphRefs> {
        let asked = self.ask(true, values)?;
        drop((&asked.0).await?);
        self.granted(asked)
    }

    /// The refs of a run that was accepted, or why it was not.
    fn granted(&self, asked: Asked) -> Result<O::GraphRefs> {
        let given = match asked.0.outcome_ref() {
            Ok(verdict) => verdict.clone().result()?,
            Err(fault) => return Err(self.core.over().unwrap_or_else(|| fault.to_error())),
        };
        drop(asked);
        if given.len() != self.inlets.len() {
            return Err(Error::NotPortable {
                function: "the graph of a handle".into(),
                value: "its results".into(),
                problem: format!("there are {}, not {}", given.len(), self.inlets.len()),
            });
        }
        let home = Local::current().map_or(0, |local| local.shared.index);
        let run = self.core.locked(|| {
            self.core.refs_were_made();
            self.core.take_run()
        });
        for (inlet, given) in self.inlets.iter().zip(given) {
            inlet.expect(run, given, home);
        }
        Ok(O::graph_refs(self.outs(), run))
    }

    pub(crate) fn free_capacity(&self) -> usize {
        let asked = self.door.free_capacity().remote();
        match self.answered(asked.cell()) {
            Ok(()) => asked.get().unwrap_or(0),
            Err(_) => {
                asked.cancel();
                0
            }
        }
    }

    /// It goes on there, also if its end is not waited for.
    pub(crate) fn teardown(&self) -> Result<()> {
        let asked = self.door.teardown().remote();
        let limit = self.terms.teardown_timeout;
        match wait_done(
            asked.cell(),
            limit.map(|limit| limit.saturating_add(ANSWER)),
        ) {
            Ok(()) => asked.get()?.result(),
            Err(Error::Timeout { waited, .. }) => Err(Error::Timeout {
                what: "the teardown of a graph".into(),
                from_whom: "its process".into(),
                waited,
                knob: "CompileOptions::teardown_timeout or MASER_CGRAPH_TEARDOWN_TIMEOUT",
            }),
            Err(other) => Err(other),
        }
    }
}

impl<I: PortableInputs, O: PortableOutputs> Drop for Far<I, O> {
    fn drop(&mut self) {
        if let Some(outs) = self.outs.take() {
            self.core.abandon(Box::new(outs));
        }
    }
}
