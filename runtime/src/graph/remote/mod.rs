//! Graphs whose steps run in several processes.
//!
//! The process that compiles a graph is its driver: it lays the graph out as if every process were one
//! more scheduler, makes the memory of all edges that cross a boundary, and sends each worker its *part*.
//! A part is made of the same segments as a graph within one process; only their ends and steps differ.
//!
//! | file | holds |
//! |---|---|
//! | `packet` | a value as bytes, and the line that carries it |
//! | `plain` | which types are copied and not encoded |
//! | `edge`, `pool`, `inbox` | the two ends of an edge, bodies that do not fit into a line, memory that came |
//! | `objects`, `detour` | arrays, refs and handles beside a value; those from one worker to another |
//! | `calls` | question and answer on one line |
//! | `ringer`, `bell`, `word` | whom to wake, words of control memory |
//! | `ports` | the driver's ends, where types are known |
//! | `step` | a worker's steps, where they are not |
//! | `text` | what a worker has to know of its part |
//! | `draft`, `wiring` | which edges there are, and where they lie |
//! | `sight` | what is measured of it |
//! | `parts` | which processes have something of a graph |
//! | `part`, `part_ports` | a worker's part of a graph, and the ends of its segments |

pub(crate) mod bell;
pub(crate) mod calls;
pub(crate) mod detour;
pub(crate) mod draft;
pub(crate) mod edge;
pub(crate) mod inbox;
pub(crate) mod objects;
pub(crate) mod packet;
pub(crate) mod part;
mod part_ports;
pub(crate) mod parts;
pub(crate) mod plain;
pub(crate) mod pool;
pub(crate) mod ports;
pub(crate) mod ringer;
pub(crate) mod sight;
pub(crate) mod step;
pub(crate) mod text;
pub(crate) mod wiring;
pub(crate) mod word;

#[cfg(test)]
mod tests;
