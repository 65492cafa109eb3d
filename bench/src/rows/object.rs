//! Objects on one core.

use std::hint::black_box;

use maser::Ref;

use crate::floors::NoopCall;
use crate::harness::{Lineup, Row, Summed};

use super::task::next;

/// Puts a value and gets it again.
fn put_get() -> maser::Result<u64> {
    let value = black_box(7_u64);
    // Seen by nobody but the runtime, the object could be optimised away.
    let object = black_box(maser::put(value));
    Ok(u64::from(object.get()? == value))
}

/// Refs of `object/wait_1k`.
const REFS: u64 = 1_000;

/// Starts tasks, then waits for all of them at once.
fn wait() -> maser::Result<u64> {
    let refs: Vec<Ref<u64>> = (0..REFS).map(next::remote).collect();
    let (ready, rest) = maser::wait(&refs, refs.len(), None)?;
    Ok(if rest.is_empty() {
        ready.len() as u64
    } else {
        0
    })
}

/// Rows of the objects.
pub const ROWS: &[Row] = &[
    Row::latency("object/put_get", 1, "put a small value and get it", |_| {
        Ok(Ok(
            Lineup::of(Summed::new("maser", put_get)).floor(NoopCall::default())
        ))
    })
    .in_runtime(1),
    Row::latency(
        "object/wait_1k",
        1,
        "start 1,000 tasks and wait for all at once, per ref",
        |_| {
            Ok(Ok(
                Lineup::of(Summed::many("maser", REFS, wait)).floor(NoopCall::default())
            ))
        },
    )
    .in_runtime(1),
];
