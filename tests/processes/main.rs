//! Actors and tasks in processes of their own.

mod actors;
mod arrays;
mod checkpoints;
mod graph_actors;
mod graph_ends;
mod graphs;
mod handles;
mod restarts;
mod retries;
mod streams;
mod tasks;
