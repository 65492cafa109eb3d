//! Actors and tasks in processes of their own.

mod actors;
mod handles;
mod streams;
mod tasks;
