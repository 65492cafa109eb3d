//! `GraphHandle`: a compiled graph that several owners share, in its own process and in others.
//!
//! Within the process that compiled the graph a handle is a counted pointer to it. To another process
//! goes the handle of a *door*, an actor of the graph's process that holds such a pointer: so handles
//! in other processes are counted, settled at the death of their holder, passed on, and ended with the
//! graph's process as those of any actor are, and a run that is submitted there is a call.
//!
//! | file | holds |
//! |---|---|
//! | `coded` | inputs and results of graphs of which the code on the way knows no types |
//! | `portable` | inputs and outputs that can travel |
//! | `door` | the graph's end |
//! | `errand` | a future that is driven on a scheduler, for nobody |
//! | `far`, `inlet` | the handle's end: the results of its runs, as `GraphRef`s want them |
//!
//! - GH-1 the graph is torn down when its last handle goes, wherever that is. In another process the
//!   refs of a handle's runs keep the graph as the handle does.
//! - GH-2 a run is accepted by the graph's process alone, so its capacity is counted there across all
//!   who submit. Who waits for a place waits there; who gives up cancels the call.
//! - GH-3 the answer to a submission has a ref for each output: the value, if it is there by then, else
//!   the promise of it. What a dead or careless holder was promised is dropped as every promise is.

pub(crate) mod coded;
#[allow(
    unsafe_code,
    reason = "what the macro writes for an actor, in the crate that the macro is of"
)]
pub(crate) mod door;
pub(crate) mod errand;
pub(crate) mod far;
pub(crate) mod inlet;
pub(crate) mod portable;

use self::door::Door;
use self::far::{Far, Terms};
use self::portable::{PortableInputs, PortableOutputs};
use super::compiled::CompiledGraph;
use super::given::{Given, IntoInputs, Why};
use super::late::{awaited, settle};
use super::submit::end_ns;
use crate::actor::handle::Actor;
use crate::error::Result;
use crate::executor::wait::wait_done;
use crate::node::Node as Runtime;
use crate::object::future::AllDone;
use crate::object::scope;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How the name of every type of graphs' handles begins.
pub(crate) const TYPE_NAME: &str = concat!(module_path!(), "::GraphHandle<");

/// A compiled graph that may be cloned, and passed to tasks and methods wherever they run.
///
/// In the process of the graph it is as fast as the graph itself. In another process a run costs about
/// a call of an actor: inputs and results travel as those of calls do. The graph is torn down when the
/// last handle of it goes, or by [`teardown`](Self::teardown) of any.
pub struct GraphHandle<I: PortableInputs, O: PortableOutputs>(Place<I, O>);

enum Place<I: PortableInputs, O: PortableOutputs> {
    Here(Arc<CompiledGraph<I, O>>),
    There(Arc<Far<I, O>>),
}

impl<I: PortableInputs, O: PortableOutputs> Clone for GraphHandle<I, O> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Place::Here(graph) => Place::Here(graph.clone()),
            Place::There(far) => Place::There(far.clone()),
        })
    }
}

impl<I: PortableInputs, O: PortableOutputs> CompiledGraph<I, O> {
    /// Makes the graph one that many may own: the handle can be cloned and sent to other processes.
    pub fn into_handle(self) -> GraphHandle<I, O> {
        GraphHandle(Place::Here(Arc::new(self)))
    }
}

impl<I: PortableInputs, O: PortableOutputs> From<CompiledGraph<I, O>> for GraphHandle<I, O> {
    fn from(graph: CompiledGraph<I, O>) -> Self {
        graph.into_handle()
    }
}

impl<I: PortableInputs, O: PortableOutputs> GraphHandle<I, O> {
    /// As [`CompiledGraph::try_execute`]; from another process it waits for the graph's answer, no longer
    /// than for a place, and for results among the inputs.
    ///
    /// # Errors
    /// As there, the death of the graph's process, and [`Error::Timeout`](crate::Error::Timeout) if that does not
    /// answer.
    pub fn try_execute<X: IntoInputs<I>>(&self, inputs: X) -> Result<O::GraphRefs> {
        match &self.0 {
            Place::Here(graph) => graph.try_execute(inputs),
            Place::There(far) => far.try_execute(values_of::<I>(inputs.into_inputs(), None)?.0),
        }
    }

    /// As [`CompiledGraph::execute`]; from another process results among the inputs are waited for.
    ///
    /// # Errors
    /// As there, and the death of the graph's process.
    #[inline]
    pub fn execute<X: IntoInputs<I>>(&self, inputs: X) -> Result<O::GraphRefs> {
        match &self.0 {
            Place::Here(graph) => graph.execute(inputs),
            Place::There(far) => {
                let limit = far.submit_timeout();
                let (values, left) = values_of::<I>(inputs.into_inputs(), limit)?;
                far.execute(values, left)
            }
        }
    }

    /// As [`CompiledGraph::execute_timeout`].
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub fn execute_timeout<X: IntoInputs<I>>(
        &self,
        inputs: X,
        limit: Duration,
    ) -> Result<O::GraphRefs> {
        match &self.0 {
            Place::Here(graph) => graph.execute_timeout(inputs, limit),
            Place::There(far) => {
                let (values, left) = values_of::<I>(inputs.into_inputs(), Some(limit))?;
                far.execute(values, left)
            }
        }
    }

    /// As [`CompiledGraph::execute_async`].
    ///
    /// # Cancel safety
    /// As there; from another process a run whose place came at the same moment may have begun, and
    /// its results are dropped.
    ///
    /// # Errors
    /// As there, and the death of the graph's process.
    pub async fn execute_async<X: IntoInputs<I>>(&self, inputs: X) -> Result<O::GraphRefs> {
        match &self.0 {
            Place::Here(graph) => graph.execute_async(inputs).await,
            Place::There(far) => {
                far.execute_async(values_when_there::<I>(inputs.into_inputs()).await?)
                    .await
            }
        }
    }

    /// Runs that could be submitted now without waiting, whoever submits them; none if the graph's
    /// process is dead, or does not answer for as long as a run waits for a place.
    pub fn free_capacity(&self) -> usize {
        match &self.0 {
            Place::Here(graph) => graph.free_capacity(),
            Place::There(far) => far.free_capacity(),
        }
    }

    /// As [`CompiledGraph::teardown`], for all who have handles of the graph.
    ///
    /// # Errors
    /// As there, and the death of the graph's process.
    pub fn teardown(&self) -> Result<()> {
        match &self.0 {
            Place::Here(graph) => graph.teardown(),
            Place::There(far) => far.teardown(),
        }
    }

    /// Whether the graph was compiled by this process.
    pub fn is_here(&self) -> bool {
        matches!(self.0, Place::Here(_))
    }

    /// As it travels: the graph's door, and what its runs hold to.
    fn wire(&self) -> (Actor<Door>, Terms) {
        match &self.0 {
            Place::Here(graph) => {
                // Where a part of the graph runs, so that a run changes threads less.
                let home = graph.core().homes.first().copied();
                let door = door::open(graph, home);
                (door, Terms::of(graph))
            }
            Place::There(far) => (far.door().clone(), far.terms()),
        }
    }
}

/// What travels: values. Results among the inputs are waited for, all of them together up to `limit`;
/// gives what is left of it.
fn values_of<I: PortableInputs>(
    given: Given<I>,
    limit: Option<Duration>,
) -> Result<(I::Values, Option<Duration>)> {
    let later = match given {
        Ok(values) => return Ok((values, limit)),
        Err(later) => later,
    };
    let node = Runtime::current("a run of a graph")?;
    let end_ns = limit.map(|limit| end_ns(node.clock.now_ns(), limit));
    let left = || end_ns.map(|end| Duration::from_nanos(end.saturating_sub(node.clock.now_ns())));
    for cell in awaited(&later) {
        wait_done(cell.cell(), left())?;
    }
    let values = settle::<I>(later).map_err(|Why(fault)| fault.to_error())?;
    Ok((values, left()))
}

/// As [`values_of`], without blocking.
async fn values_when_there<I: PortableInputs>(given: Given<I>) -> Result<I::Values> {
    let later = match given {
        Ok(values) => return Ok(values),
        Err(later) => later,
    };
    AllDone::new(awaited(&later)).await;
    settle::<I>(later).map_err(|Why(fault)| fault.to_error())
}

impl<I: PortableInputs, O: PortableOutputs> fmt::Debug for GraphHandle<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Here(_) => f.write_str("GraphHandle(of this process)"),
            Place::There(far) => write!(f, "GraphHandle(behind {:?})", far.door()),
        }
    }
}

impl<I: PortableInputs, O: PortableOutputs> Serialize for GraphHandle<I, O> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        // A value that stays in this process has its handles beside it.
        if let Some(index) = scope::put(self.clone()) {
            return index.serialize(serializer);
        }
        if !scope::goes_out() {
            return Err(S::Error::custom(
                "a graph's handle can only be encoded by maser itself, inside a value that is passed to a task or method",
            ));
        }
        coded::register::<I, O>();
        self.wire().serialize(serializer)
    }
}

impl<'de, I: PortableInputs, O: PortableOutputs> Deserialize<'de> for GraphHandle<I, O> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        if scope::comes_from().is_none() && !scope::is_read_beside() {
            let index = u32::deserialize(deserializer)?;
            return scope::get(index)
                .ok_or_else(|| D::Error::custom("a graph's handle is missing"));
        }
        let (door, terms) = <(Actor<Door>, Terms)>::deserialize(deserializer)?;
        if door.block().remote.is_none() {
            let graph = door::graph_of::<I, O>(&door);
            let graph =
                graph.ok_or_else(|| D::Error::custom("the graph that came home is gone"))?;
            return Ok(Self(Place::Here(graph)));
        }
        let far = Far::new(door, terms).map_err(D::Error::custom)?;
        Ok(Self(Place::There(Arc::new(far))))
    }
}
