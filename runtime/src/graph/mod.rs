//! Graphs: calls that are laid out once and run many times.
//!
//! `Graph::new` collects nodes; `execute` runs them as ordinary calls; `compile` turns them into
//! *segments*, runs of steps on one scheduler that need nothing from elsewhere in between, joined
//! by channels.
//!
//! | file | holds |
//! |---|---|
//! | `build` | `Graph`, `Node<T>`, the list of nodes while a graph is written |
//! | `bind` | what `method.bind(..)` puts into the list |
//! | `source` | the arguments of a bound call |
//! | `step_options` | what `options()` say of a task that is a step |
//! | `given` | what may be given for the inputs of a run |
//! | `inputs`, `outputs` | nodes, tuples and vectors of them as the ends of a graph |
//! | `slot` | where a value lies between two steps of a segment |
//! | `plan` | checks, and which step goes into which segment |
//! | `schedule`, `schedule_text` | what runs in which order, as data and as a table |
//! | `segment` | a segment and its steps on their scheduler |
//! | `direct` | a segment that is one method on a call slot |
//! | `task_step` | a task as a step |
//! | `async_step` | a step that waits for a future |
//! | `layout` | the plan in memory, sent to the schedulers |
//! | `ticks` | segments that read no input |
//! | `crew` | its actors |
//! | `refusals` | why it takes no run |
//! | `core` | the part of a compiled graph that is the same for all types: limits, lock, end |
//! | `driver` | the end that submits runs and keeps their results |
//! | `wait_result` | how a task or thread waits for a result |
//! | `waiters` | who waits for results |
//! | `late`, `submit_late` | runs whose inputs are not there yet |
//! | `parcel` | the inputs of a run on their way |
//! | `results` | results with the driver, by run |
//! | `call_slot` | graphs of one segment and one output |
//! | `options` | `CompileOptions`, and the limits that come of them |
//! | `collective`, `collective_step`, `members` | collectives as nodes |
//! | `transport` | how the value of a node is to travel |
//! | `rendezvous` | synchronous pairs: who waits for whom, and circles of them |
//! | `signals` | segments that tell others when they took their inputs |
//! | `compile` | `Graph::compile` |
//! | `compiled` | `CompiledGraph`, its state and its end |
//! | `submit` | `execute` and its kin |
//! | `aside` | results to come of which something is unusual |
//! | `reference` | `GraphRef<T>` |
//! | `handle` | `GraphHandle`, which other processes may have |
//! | `future` | `GraphRef<T>: IntoFuture` |
//! | `fetch` | `get_graph`: several results at once; readiness |
//! | `forward` | results that go on as refs and arguments |
//! | `remote` | what of a graph runs in other processes |
//! | `relay` | graphs that a worker drives |
//! | `record` | recordings of runs, and the same runs again |
//! | `registry` | the graphs of a node, for death and shutdown |
//! | `view` | drawings |
//! | `observe` | what one can see of a running graph |

pub(crate) mod aside;
pub(crate) mod async_step;
pub(crate) mod bind;
pub(crate) mod build;
pub(crate) mod call_slot;
pub(crate) mod collective;
pub(crate) mod collective_step;
pub(crate) mod compile;
pub(crate) mod compiled;
pub(crate) mod core;
pub(crate) mod crew;
pub(crate) mod direct;
pub(crate) mod driver;
pub(crate) mod fetch;
pub(crate) mod forward;
pub(crate) mod future;
pub(crate) mod given;
pub(crate) mod handle;
pub(crate) mod inputs;
pub(crate) mod late;
pub(crate) mod layout;
pub(crate) mod members;
pub(crate) mod observe;
pub(crate) mod options;
pub(crate) mod outputs;
pub(crate) mod parcel;
pub(crate) mod plan;
pub(crate) mod record;
pub(crate) mod reference;
pub(crate) mod refusals;
pub(crate) mod registry;
pub(crate) mod relay;
pub(crate) mod remote;
pub(crate) mod rendezvous;
pub(crate) mod results;
pub(crate) mod schedule;
mod schedule_text;
pub(crate) mod segment;
pub(crate) mod signals;
pub(crate) mod slot;
pub(crate) mod source;
pub(crate) mod step_options;
pub(crate) mod submit;
pub(crate) mod submit_late;
mod task_step;
mod ticks;
pub(crate) mod transport;
pub mod view;
pub(crate) mod wait_result;
pub(crate) mod waiters;
