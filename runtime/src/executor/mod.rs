//! Schedulers: one pinned thread per core, each with its run queue, coroutines, timers and
//! mailbox.
//!
//! | file | holds |
//! |---|---|
//! | `local` | the scheduler as its own thread sees it |
//! | `shared` | the part other threads may touch |
//! | `turn` | the loop |
//! | `coroutine` | stackful coroutines and their wake-up |
//! | `letter` | what travels in a mailbox |
//! | `injector` | tasks from threads without a scheduler |
//! | `steal`, `timers`, `idle` | stealing, timers, the idle policy |
//! | `sources` | what a scheduler polls: segments and lanes |
//! | `wait` | blocking a task or a foreign thread until a result is there |
//! | `hops` | a turn of the loop for a task that waits for one source |
//! | `watch` | polling for tasks that wait for a graph |
//! | `rescue` | acts for schedulers that are stuck in user code |
//! | `remains` | what schedulers leave to the end of their node |
//! | `thread` | starting and ending scheduler threads |

pub(crate) mod block_on;
pub(crate) mod coroutine;
pub(crate) mod frame;
pub(crate) mod gate;
mod hops;
pub(crate) mod idle;
pub(crate) mod injector;
pub(crate) mod letter;
pub(crate) mod local;
pub(crate) mod overflow;
pub(crate) mod remains;
pub(crate) mod rescue;
pub(crate) mod shared;
pub(crate) mod sources;
pub(crate) mod steal;
pub(crate) mod thread;
pub(crate) mod timers;
pub(crate) mod turn;
pub(crate) mod wait;
pub(crate) mod watch;

/// Tests that start a runtime, one at a time: a process has one.
#[cfg(test)]
pub(crate) static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
