//! The runtime from outside, in one process: what programs written against it may rely on.
//!
//! | file | covers |
//! |---|---|
//! | [`objects`] | get, take, read, wait, refs inside values, when values are dropped |
//! | [`futures`] | refs under executors |
//! | [`tasks`] | arguments, results, placement, nesting, stealing |
//! | [`errors`] | what gets and fed tasks see of a failure |
//! | [`streams`] | order, back-pressure, ends |
//! | [`cancel`], [`cancel_pending`] | cancellation of tasks and calls in every state |
//! | [`resources`] | demands of tasks and actors |
//! | [`actors`] | order of calls, their arguments and results |
//! | [`actor_methods`] | which methods run together, what they wait for, how they fail |
//! | [`actor_life`] | constructors, names, kill, the last handle |
//! | [`cycles`], [`cycle_ways`] | waits that could never end |
//! | [`destructors`] | destructors, `Clone` and `Display` of users that panic or use the runtime |
//! | [`edges`] | locks, panics, stacks, limits, sleeping |
//! | [`inline`], [`inline_actors`] | values that do not survive encoding, found in inline mode |
//! | [`lifecycle`] | from `init` to `init` again, configurations |
//! | [`restarts`] | guards that other threads drop, and what the main thread does then |
//! | [`shutdown`] | with work of every kind under way |
//! | [`stuck`] | schedulers that are stuck in user code and hold nobody up |
//! | [`trial`] | what new users try: threads, restarts, odd values, destructors, limits |
//! | [`leftovers`] | what a runtime leaves behind |
//! | [`seed_003`] | the programs of the tutorial |
//! | [`seed_004`] | the programs of the API's description |

mod actor_life;
mod actor_methods;
mod actors;
mod cancel;
mod cancel_pending;
mod cycle_ways;
mod cycles;
mod destructors;
mod edges;
mod errors;
mod futures;
mod inline;
mod inline_actors;
mod leftovers;
mod lifecycle;
mod objects;
mod program;
mod resources;
mod restarts;
mod seed_003;
mod seed_004;
mod shutdown;
mod streams;
mod stuck;
mod support;
mod tasks;
mod trial;
mod unportable;
