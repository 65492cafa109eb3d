//! What is measured against what, one file a concept.

mod channel;
mod floor;

use crate::harness::Row;

/// All rows, in the report's order.
pub fn all() -> Vec<Row> {
    [floor::ROWS, channel::ROWS].concat()
}
