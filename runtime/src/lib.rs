//! maser: tasks, actors, objects and compiled graphs at hardware speed, in one process or several.
//!
//! ```
//! use maser::prelude::*;
//!
//! #[maser::task]
//! fn add(a: i64, b: i64) -> i64 {
//!     a + b
//! }
//!
//! struct Echo;
//!
//! #[maser::actor]
//! impl Echo {
//!     fn new() -> Self {
//!         Echo
//!     }
//!     fn echo(&mut self, msg: String) -> String {
//!         msg
//!     }
//! }
//!
//! #[maser::main]
//! fn main() -> maser::Result<()> {
//!     let maser = maser::init()?;
//!
//!     let x = add::remote(1, 2);
//!     assert_eq!(add::remote(&x, 10).get()?, 13);
//!
//!     let a = Echo::remote();
//!     assert_eq!(a.echo().remote("hi").get()?, "hi");
//!
//!     let graph = Graph::new(|msg: Node<String>| a.echo().bind(msg)).compile()?;
//!     assert_eq!(graph.execute("hello")?.get()?, "hello");
//!     graph.teardown()
//! }
//! ```
#![deny(unsafe_code)]

// The macros name the crate by its name, also in here.
extern crate self as maser;

mod actor;
pub mod clock;
pub mod collective;
pub mod config;
pub mod doctor;
mod error;
mod error_log;
mod executor;
mod fault;
mod graph;
mod node;
mod object;
mod panic_hook;
mod pause;
#[doc(hidden)]
pub mod private;
pub mod process;
pub mod random;
mod resources;
mod runtime;
pub mod sync;
mod task;
pub mod topology;
mod wait_graph;
mod worker;

#[doc(hidden)]
pub use private as __private;

pub use crate::actor::call::CallOptions;
pub use crate::actor::create::ActorOptions;
pub use crate::actor::handle::{Actor, ActorType, actor_id, get_actor, kill, kill_and_restart};
pub use crate::config::{Config, HugePages, Isolation, Mode, Timeout};
pub use crate::error::{Cause, Error, Frame, Result, TaskError};
pub use crate::error_log::ErrorEvent;
pub use crate::graph::bind::{IntoNode, Source};
pub use crate::graph::build::{Graph, Node};
pub use crate::graph::compiled::CompiledGraph;
pub use crate::graph::fetch::{Fetch, FetchAll, get_graph, get_graph_timeout};
pub use crate::graph::future::{BorrowedGraphRefFuture, GraphRefFuture};
pub use crate::graph::given::{IntoInput, IntoInputs};
pub use crate::graph::handle::GraphHandle;
pub use crate::graph::handle::portable::{PortableInputs, PortableOutputs};
pub use crate::graph::inputs::InputNodes;
pub use crate::graph::observe::profile::{StepEvent, StepEvents};
pub use crate::graph::observe::stalls::{Since, StallReport, StalledRun, StalledStep, StepWait};
pub use crate::graph::observe::stats::{EdgeStats, GraphStats, RunCounts, StepStats};
pub use crate::graph::observe::tally::LatencyStats;
pub use crate::graph::options::CompileOptions;
pub use crate::graph::outputs::OutputNodes;
pub use crate::graph::record::entry::Given;
pub use crate::graph::record::error::RecordError;
pub use crate::graph::record::recording::Recording;
pub use crate::graph::record::report::{Difference, ReplayReport};
pub use crate::graph::record::{Record, Recorded, Speed};
pub use crate::graph::reference::GraphRef;
pub use crate::graph::schedule::{
    ActorSchedule, ChannelKind, EdgeEnd, GroupKind, Operation, OperationGroup, OperationKind,
    Schedule, ScheduledEdge,
};
pub use crate::graph::slot::GraphValue;
pub use crate::graph::transport::{Device, OrName, TensorTransport};
pub use crate::graph::view;
pub use crate::object::array::{Array, ArrayMut};
pub use crate::object::bytes::Bytes;
pub use crate::object::codec;
pub use crate::object::future::RefFuture;
pub use crate::object::ready::{Ready, Waitable};
pub use crate::object::reference::Ref;
pub use crate::object::select::{get, get_timeout, put};
pub use crate::object::shelved::Shelved;
pub use crate::object::store::{store_holders, store_usage};
pub use crate::object::tensor::{Tensor, TensorView};
pub use crate::object::wait::{Waited, select, select_timeout, wait};
pub use crate::object::wait_future::{select_async, wait_async};
pub use crate::pause::{sleep, yield_now};
pub use crate::runtime::{Maser, error_info, init, run};
pub use crate::task::args::{IntoArg, IntoArgRef};
pub use crate::task::options::TaskOptions;
pub use crate::task::retry::RetryErrors;
pub use crate::task::stream::RefStream;
pub use maser_macros::{actor, main, task};
pub use maser_shm::store::{Holder, HolderKind, StoreError, StoreFull, Usage as StoreUsage};
pub use maser_shm::tensor::{
    Bool, Complex, DType, DlTensor, Element, Layout, TensorError, dlpack, dtype,
};

/// What can be passed between tasks: any `Send + Sync` type that serde can encode and decode.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be passed between tasks",
    note = "arguments and results are `Send + Sync + 'static` and go through serde: derive `Serialize` and `Deserialize`, or use `#[maser::task(local)]` / `#[maser::actor(local)]` to stay in one process"
)]
pub trait Value: Send + Sync + serde::Serialize + serde::de::DeserializeOwned + 'static {}
impl<T: Send + Sync + serde::Serialize + serde::de::DeserializeOwned + 'static> Value for T {}

/// What can be passed between tasks that stay in one process.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be passed between threads",
    note = "arguments and results are `Send + Sync + 'static`: use `Arc` for `Rc`, `Mutex` or an atomic for `Cell` and `RefCell`"
)]
pub trait LocalValue: Send + Sync + 'static {}
impl<T: Send + Sync + 'static> LocalValue for T {}

/// What most programs need.
pub mod prelude {
    pub use crate::{
        Actor, CompileOptions, CompiledGraph, Config, Error, Graph, GraphHandle, GraphRef,
        Isolation, Maser, Mode, Node, Ref,
    };
}
