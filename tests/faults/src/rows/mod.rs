//! The rows, in the order in which they are tried.
//!
//! | file | rows |
//! |---|---|
//! | [`extents`] | `A1.extent`, `A1.attach`: memory between an owner and a reader |
//! | [`zombie`] | `A5.zombie`: who is dead |

mod extents;
mod zombie;

use crate::row::Row;

/// All rows.
pub fn all() -> Vec<Row> {
    [&extents::ROWS[..], &zombie::ROWS[..]]
        .into_iter()
        .flatten()
        .copied()
        .collect()
}
