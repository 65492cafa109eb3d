//! Actors and tasks in processes of their own.

mod actors;
mod handles;
mod tasks;
