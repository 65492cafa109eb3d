//! Actors and tasks in processes of their own.

mod actors;
mod arrays;
mod arrays_in_graphs;
mod budget;
mod checkpoints;
mod edge_memory;
mod far_stalls;
mod graph_actors;
mod graph_collectives;
mod graph_crashes;
mod graph_ends;
mod graph_handles;
mod graph_pairs;
mod graph_sight;
mod graphs;
mod handles;
mod handles_and_graphs;
mod handles_in_graphs;
mod handles_left_over;
mod interrupts;
mod last_words;
mod limits;
mod names;
mod nested;
mod nested_actors;
mod output;
mod passed_on;
mod recordings;
mod restarts;
mod retries;
mod scribbler;
mod shared_graphs;
mod streams;
mod tasks;
mod warm_memory;
mod worker_driver_limits;
mod worker_driver_sight;
mod worker_drivers;

use maser::{Config, Maser};

/// A runtime for `body`; one at a time, also where the tests share a process.
fn run<R: Send>(config: Config, body: impl FnOnce(&Maser) -> R + Send) -> maser::Result<R> {
    maser_tests::alone(|| maser::run(config, body))
}
