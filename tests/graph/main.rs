//! Graphs from outside, in one process: what programs written against them may rely on.
//!
//! | file | covers |
//! |---|---|
//! | [`written`] | what `compile` refuses, and how it says so |
//! | [`shapes`] | inputs, outputs, constants, fan-out, diamonds, tasks as nodes |
//! | [`order`] | the order of an actor's steps, several graphs and plain calls on one actor |
//! | [`readiness`] | which of several results is there, and several at once |
//! | [`results`] | get in any order, again, after timeouts; dropped and held refs |
//! | [`limits`] | runs in flight, results kept, timeouts and where they are set |
//! | [`passed_on`] | results as arguments of tasks, methods and other graphs |
//! | [`large`] | more segments and graphs than a scheduler looks at in one go |
//! | [`loads`] | types of any size, many runs, nothing that stays behind |
//! | [`failures`] | errors and panics of steps |
//! | [`endings`] | teardown, drop, shutdown |
//! | [`deaths`] | an actor that is killed, in every state |
//! | [`surface`] | what a graph says of itself; the teardown that ends its actors |
//! | [`waiters`] | those who wait when a graph ends |
//! | [`callers`] | execution from threads, tasks, methods and executors |
//! | [`cancelled`] | futures that are dropped at every await point, under several executors |
//! | [`async_steps`] | methods that are `async fn` |
//! | [`stats`] | what a graph measures of its runs |
//! | [`events`] | what its steps did when |
//! | [`stalls`] | what a run waits for, and since when |
//! | [`step_options`] | tasks with options |
//! | [`schedule`] | what a graph says of its own order |
//! | [`drawings`] | what graphs look like, before and after they are compiled |
//! | [`transports`] | how values of nodes travel, and what cannot be |
//! | [`deadlocks`] | orders that would wait in a circle |
//! | [`record`] | runs that are recorded, and replayed |
//! | [`collectives`] | collectives as nodes |
//! | [`collective_failures`] | the same: what cannot be, errors, deaths, who waits |
//! | [`collective_lists`] | the same, of several tensors in one value |
//! | [`random`] | random graphs beside a sequential evaluation |
//! | [`complaints`] | what users of compiled graphs elsewhere met |
//! | [`seed_000`] | the programs of the quickstart |
//! | [`seed_001`] | the programs of the troubleshooting page that need no GPU |

mod actors;
mod async_steps;
mod callers;
mod cancelled;
mod collective_failures;
mod collective_lists;
mod collectives;
mod complaints;
mod deadlocks;
mod deaths;
mod drawings;
mod endings;
mod events;
mod failures;
mod large;
mod limits;
mod loads;
mod order;
mod passed_on;
mod random;
mod readiness;
mod record;
mod results;
mod schedule;
mod seed_000;
mod seed_001;
mod shapes;
mod stalls;
mod stats;
mod step_options;
mod surface;
mod transports;
mod waiters;
mod written;
