//! What one can see of a running graph.
//!
//! | file | holds |
//! |---|---|
//! | `words` | memory that one thread writes and any may read, here or in another process |
//! | `progress` | how far a segment is |
//! | `chart` | the steps and segments of a graph, by name |
//! | `stalls` | who waits for whom |
//! | `text` | that as text |
//! | `watched` | what a segment notes of its runs |
//! | `driver_watch` | what the driver does |
//! | `tally`, `stamps`, `events` | where: counts of times, when values were written, records |
//! | `gauges`, `board` | all that is measured of a graph, while it is laid out and for those who ask |
//! | `stats`, `profile` | what they are told |
//!
//! - SN-1 nothing here slows a run of a graph that did not ask for it. How far a segment is stands in
//!   the words by which it orders its own runs; a report reads them from outside, also those of other
//!   processes, which need not answer and may be dead. Time stamps are taken by those who look and by
//!   those who block.

pub(crate) mod board;
pub(crate) mod chart;
pub(crate) mod driver_watch;
pub(crate) mod events;
pub(crate) mod gauges;
pub(crate) mod profile;
pub(crate) mod progress;
pub(crate) mod stalls;
pub(crate) mod stamps;
pub(crate) mod stats;
pub(crate) mod tally;
pub(crate) mod text;
pub(crate) mod watched;
pub(crate) mod words;
