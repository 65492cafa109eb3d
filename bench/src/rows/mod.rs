//! What is measured against what, one file a concept.

mod actor;
mod channel;
mod collective;
mod experimental;
mod floor;
mod graph;
mod graph_idle;
mod graph_stats;
mod object;
mod process;
mod runtime;
mod store;
mod task;
mod tensors;
mod transport;
mod transport_protocol;
mod transport_stuck;
mod worker;

pub use runtime::first_result;
pub use worker::first_process_result;

use crate::harness::Row;

/// How long a window leaves the second core alone so that an idle scheduler there parks instead
/// of spinning into the next contender's window: twice the longest default spin.
const SETTLE_NS: f64 = 4e5;

/// All rows, in the report's order.
pub fn all() -> Vec<Row> {
    [
        floor::ROWS,
        channel::ROWS,
        graph::ROWS,
        graph_idle::ROWS,
        graph::cost::ROWS,
        graph::flow::ROWS,
        graph::payload::ROWS,
        graph::death::ROWS,
        graph::soak::ROWS,
        graph_stats::ROWS,
        actor::ROWS,
        task::ROWS,
        object::ROWS,
        runtime::ROWS,
        process::ROWS,
        store::ROWS,
        collective::ROWS,
        experimental::rows(),
        tensors::ROWS,
        transport::rows().as_slice(),
        transport::idle::ROWS,
        transport_protocol::rows().as_slice(),
        transport_stuck::ROWS,
    ]
    .concat()
}
