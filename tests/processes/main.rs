//! Actors and tasks in processes of their own.

mod actors;
mod arrays;
mod graphs;
mod handles;
mod streams;
mod tasks;
