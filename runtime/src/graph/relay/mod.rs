//! Graphs that a worker compiles over actors of other processes.
//!
//! A worker has a link to the node's driver alone, and only the driver can make memory for any two
//! processes. So the driver's process drives such a graph, in an actor (the *relay*) that the worker has
//! the one handle of, and the worker's `CompiledGraph` is as any other: it counts its runs, keeps their
//! results, and gives refs that wait. Only where runs go and results come from differs.
//!
//! ```text
//! worker                                   driver's process
//! CompiledGraph<I, O>  -- the graph -->    Relay: CompiledGraph<Loads, Vec<Node<Load>>>
//!   inputs, packed     -- a run ----->       inputs -> parts in processes, steps of actors here
//!   results, unpacked  <- its answer -       outputs
//!                      <- why it is over
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `load` | a value that is passed on as it is packed |
//! | `loads` | inputs of the relay's graph |
//! | `text` | the graph, as it travels |
//! | `rebuild` | the nodes that it is in the relay |
//! | `step` | steps of actors of the relay's process |
//! | `relay` | the actor in the driver's process |
//! | `ends` | the worker's ends of inputs and outputs |
//! | `client` | the worker's graph |
//! | `sight` | what the worker sees of it |
//!
//! - GY-1 the relay knows no types: values are packed by the worker and by the steps, by the codecs of the
//!   functions that make and get them, and everything between passes the bytes on, with handles of the
//!   arrays beside them. Steps in the relay's process run as they do in a worker.
//! - GY-2 runs are numbered for the relay as they are begun (one whose inputs were an error is not), and
//!   reach it in this order: they are queued under the core's lock and sent by the worker's one scheduler.
//! - GY-3 the relay's graph is never full: it has as many places as the worker's, and a run has left it
//!   before its results can reach the worker. So limits are the worker's alone.
//! - GY-4 the graph is over in the worker when the relay says why, and all results that the relay gave
//!   before have come. It is removed when the relay has removed it. The relay's graph goes with the
//!   relay, whose one handle goes with the worker's graph, or with the worker.

pub(crate) mod client;
pub(crate) mod ends;
pub(crate) mod load;
mod loads;
mod rebuild;
#[allow(
    unsafe_code,
    reason = "what the macro writes for an actor, in the crate that the macro is of"
)]
#[allow(
    clippy::module_inception,
    reason = "the actor that the folder is named after"
)]
mod relay;
pub(crate) mod sight;
mod step;
mod text;

use super::build::NodeDef;
use super::remote::draft::peers;
use crate::node::Node;
pub(crate) use relay::open;

/// Whether a graph of these nodes, compiled in this process, has to be driven by another one.
pub(super) fn is_needed(nodes: &[NodeDef], host: &Node) -> bool {
    host.workers.membership().is_some() && !peers(nodes).is_empty()
}
