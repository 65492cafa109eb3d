//! Actors and tasks in processes of their own.

mod actors;
mod arrays;
mod graph_actors;
mod graph_ends;
mod graphs;
mod handles;
mod streams;
mod tasks;
