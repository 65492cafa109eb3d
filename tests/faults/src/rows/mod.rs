//! The rows, in the order in which they are tried.
//!
//! | file | rows |
//! |---|---|
//! | [`extents`] | `A1.extent`, `A1.map`: memory between an owner and a reader |
//! | [`objects`] | `A1.alloc`, `A1.seal`, `A1.get`, `A1.release`, `A1.send_ref`, `A1.receive_ref`: the store |
//! | [`rings`] | `A1.channel_write`, `A1.call_slot`, `A1.attach` and their kin: rings and their ends |
//! | [`huge_pages`], [`limits`] | `B1.huge_pages`, `B2.limits`: what runs short |
//! | [`hostile`] | `B3.hostile_holder`, `E3.scribbler`: neighbours |
//! | [`kills`] | `A2.random_kills`, `A4.stopped`, `A6.kill_all`: everything at once |
//! | [`runtime`] | `A2.runtime_kills`, `A3.graph_deaths` and their kin: the runtime's own workers |
//! | [`zombie`] | `A5.zombie`: who is dead |

mod extents;
mod hostile;
mod huge_pages;
mod kills;
mod limits;
mod objects;
mod rings;
mod runtime;
mod zombie;

use crate::row::Row;

/// All rows.
pub fn all() -> Vec<Row> {
    let lists = [
        &extents::ROWS[..],
        &kills::ROWS[..],
        &zombie::ROWS[..],
        &huge_pages::ROWS[..],
        &limits::ROWS[..],
        &hostile::ROWS[..],
    ];
    let listed = lists.into_iter().flatten().copied();
    let stepped = objects::rows().chain(rings::rows());
    stepped.chain(listed).chain(runtime::rows()).collect()
}
