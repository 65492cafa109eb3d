//! The door of a graph: an actor of the graph's process that other processes call (GH-1, GH-2).

use super::coded::{Coded, Erased, INPUTS};
use super::errand;
use super::portable::{Given, GivenKind, PortableInputs, PortableOutputs};
use crate::actor::handle::{Actor, actor_id};
use crate::config::Isolation;
use crate::error::{Error, Fault, Result};
use crate::executor::local::Local;
use crate::graph::compiled::CompiledGraph;
use crate::object::reference::{Promise, Ref};
use crate::pause::yield_now;
use crate::worker::wire_error;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Calls of a door that may wait at once: none is to stand before a teardown.
pub(crate) const CALLS_MAX: u32 = 1 << 24;

/// Turns of the loop that an answer waits for the results: less than asking for them costs.
const TURNS: usize = 8;

/// A graph of any types.
pub(crate) trait AnyGraph: Send + Sync {
    /// Submits a run; waits for a place if told to. Gives what its outputs give.
    fn submit(&self, waits: bool, inputs: Coded, types: u64) -> Result<Vec<Ref<Coded>>>;
    fn free_capacity(&self) -> usize;
    /// What it is and what it waits for.
    fn whom(&self) -> Option<String>;
    fn teardown(&self) -> Result<()>;
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

impl<I: PortableInputs, O: PortableOutputs> AnyGraph for CompiledGraph<I, O> {
    fn submit(&self, waits: bool, inputs: Coded, types: u64) -> Result<Vec<Ref<Coded>>> {
        let values = inputs
            .downcast::<I::Values>()
            .map(Arc::try_unwrap)
            .map_err(wrong_inputs)?
            .map_err(|_| wrong_inputs("it is shared".into()))?;
        let refs = match waits {
            true => self.execute_given(Ok(values), None)?,
            false => self.try_execute_given(Ok(values))?,
        };
        for _ in 0..TURNS {
            if O::are_ready(&refs) {
                break;
            }
            yield_now();
        }
        let mut given = Vec::new();
        O::give(refs, &mut |Given(result)| {
            given.push(promised(types, given.len() as u32, result));
        });
        Ok(given)
    }
    fn free_capacity(&self) -> usize {
        Self::free_capacity(self)
    }
    fn whom(&self) -> Option<String> {
        // What has arrived is with the driver after it.
        let _free = Self::free_capacity(self);
        self.core().whom()
    }
    fn teardown(&self) -> Result<()> {
        Self::teardown(self)
    }
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

fn wrong_inputs(problem: String) -> Error {
    Error::NotPortable {
        function: "the graph of a handle".into(),
        value: "its inputs".into(),
        problem,
    }
}

/// GH-3.
fn promised(types: u64, at: u32, result: GivenKind) -> Ref<Coded> {
    let coded = move |result: Result<Erased>| {
        let coded = result.map(|value| Coded::new(types, at, value));
        coded.map_err(Fault::new)
    };
    let later = match result {
        GivenKind::Here(result) => return Ref::done(coded(result)),
        GivenKind::Later(later) => later,
    };
    let (promise, given) = Promise::new();
    if let Some(local) = Local::current() {
        let future = async move { promise.fulfil(coded(later.await)) };
        errand::drive(&local.node, local.shared.index, future);
    }
    given
}

/// A door that is there, and whose it is.
struct Listed {
    /// Names it, also before it is an actor.
    token: u64,
    actor: u64,
    graph: Weak<dyn AnyGraph>,
}

/// Doors of this process.
static DOORS: Mutex<Vec<Listed>> = Mutex::new(Vec::new());

/// A new door of `graph`, on the scheduler `home` if there is one.
pub(crate) fn open<I: PortableInputs, O: PortableOutputs>(
    graph: &Arc<CompiledGraph<I, O>>,
    home: Option<usize>,
) -> Actor<Door> {
    let token = graph.core().node.random.next_u64();
    let mut options = Door::options()
        .isolation(Isolation::Thread)
        .max_concurrency(CALLS_MAX);
    if let Some(home) = home {
        options = options.scheduler(home);
    }
    let door = options.remote(Inside {
        graph: graph.clone(),
        token,
    });
    let graph: Weak<CompiledGraph<I, O>> = Arc::downgrade(graph);
    let mut doors = DOORS.lock().unwrap_or_else(PoisonError::into_inner);
    doors.retain(|door| door.graph.strong_count() > 0);
    doors.push(Listed {
        token,
        actor: actor_id(&door),
        graph,
    });
    drop(doors);
    door
}

/// The graph of a door of this process.
pub(crate) fn graph_of<I: PortableInputs, O: PortableOutputs>(
    door: &Actor<Door>,
) -> Option<Arc<CompiledGraph<I, O>>> {
    let id = actor_id(door);
    let graph = {
        let doors = DOORS.lock().unwrap_or_else(PoisonError::into_inner);
        let listed = doors.iter().find(|listed| listed.actor == id)?;
        listed.graph.upgrade()?
    };
    graph.as_any().downcast().ok()
}

/// What a door is made of; it never leaves its process.
pub(crate) struct Inside {
    graph: Arc<dyn AnyGraph>,
    token: u64,
}

impl Drop for Inside {
    fn drop(&mut self) {
        let mut doors = DOORS.lock().unwrap_or_else(PoisonError::into_inner);
        doors.retain(|listed| listed.token != self.token);
    }
}

const STAYS: &str = "the door of a graph stays where the graph is";

impl Serialize for Inside {
    fn serialize<S: Serializer>(&self, _: S) -> std::result::Result<S::Ok, S::Error> {
        Err(S::Error::custom(STAYS))
    }
}

impl<'de> Deserialize<'de> for Inside {
    fn deserialize<D: Deserializer<'de>>(_: D) -> std::result::Result<Self, D::Error> {
        Err(D::Error::custom(STAYS))
    }
}

/// An error, as it is at home.
#[derive(Clone)]
pub(crate) struct Refusal(pub(crate) Error);

impl Serialize for Refusal {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        wire_error::encode(&self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Refusal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let bytes = Vec::<u8>::deserialize(deserializer)?;
        Ok(Self(wire_error::decode(&bytes)))
    }
}

/// What becomes of what a holder asks for.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Verdict<T> {
    Granted(T),
    Refused(Refusal),
}

impl<T> Verdict<T> {
    pub(crate) fn of(result: Result<T>) -> Self {
        match result {
            Ok(value) => Self::Granted(value),
            Err(error) => Self::Refused(Refusal(error)),
        }
    }

    /// The result at home.
    pub(crate) fn result(self) -> Result<T> {
        match self {
            Self::Granted(value) => Ok(value),
            Self::Refused(Refusal(error)) => Err(error),
        }
    }
}

/// See the module's page.
pub(crate) struct Door(Inside);

#[maser::actor]
impl Door {
    pub(crate) fn new(graph: Inside) -> Self {
        Self(graph)
    }

    /// A run of a graph whose types have this name, and whether it waits for a place.
    pub(crate) fn submit(
        &self,
        waits: bool,
        types: u64,
        inputs: Coded,
    ) -> Verdict<Vec<Ref<Coded>>> {
        Verdict::of(self.0.graph.submit(waits, inputs, types))
    }

    pub(crate) fn free_capacity(&self) -> usize {
        self.0.graph.free_capacity()
    }

    pub(crate) fn whom(&self) -> Option<String> {
        self.0.graph.whom()
    }

    pub(crate) fn teardown(&self) -> Verdict<()> {
        Verdict::of(self.0.graph.teardown())
    }
}

/// Inputs of a run.
pub(crate) fn inputs_of<V: Send + Sync + 'static>(types: u64, values: V) -> Coded {
    Coded::new(types, INPUTS, Arc::new(values))
}
