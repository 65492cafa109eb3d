//! Groups of actors, and what they do together.

mod endings;
mod large;
mod lists;
mod making;
mod messages;
mod mismatches;
mod numbers;
mod processes;
mod ranks;
mod results;
