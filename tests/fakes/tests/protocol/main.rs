//! What holds of calls, messages and fetches whatever happens to connections: over the reference and over
//! TCP, both of which fail as a seed says.

mod bulk;
mod calls;
mod chaos;
mod limits;
mod sessions;
mod streams;
mod world;
