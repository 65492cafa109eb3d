//! Tasks on one core: the driver is the root task of the only scheduler, so every task is
//! started, run and awaited on the driver's core, as in the peers' runtimes.

use std::hint::black_box;

use maser::Ref;

use crate::floors::NoopCall;
use crate::harness::{Lineup, Peer, Row, Summed};
use crate::peers::{ForkJoin, Glommio, Monoio, ScopeSpawn, SpawnBatch, SpawnJoin};

/// The next number.
#[maser::task]
pub(super) fn next(value: u64) -> u64 {
    value + 1
}

/// A Fibonacci number; one half of every step is a task of its own, as one half of
/// `rayon::join` is.
#[maser::task]
fn fibonacci(n: u64) -> maser::Result<u64> {
    if n < 2 {
        return Ok(n);
    }
    let right = fibonacci::remote(n - 2);
    let left = fibonacci(n - 1)?;
    Ok(left + right.get()?)
}

/// Starts one task and gets its result.
fn spawn_get() -> maser::Result<u64> {
    let value = black_box(1);
    let result = black_box(next::remote(value));
    Ok(u64::from(result.get()? == value + 1))
}

/// Starts `count` tasks, then gets all results.
fn batch(count: u64) -> impl FnMut() -> maser::Result<u64> {
    let mut results: Vec<Ref<u64>> = Vec::with_capacity(count as usize);
    move || {
        results.extend((0..count).map(next::remote));
        let mut right = 0;
        for (value, result) in (0..).zip(results.drain(..)) {
            right += u64::from(result.get()? == value + 1);
        }
        Ok(right)
    }
}

/// Tasks of `task/batch_1000`.
const BATCH: u64 = 1_000;
/// Tasks of `task/queued_1m`, and of its quick form.
const QUEUED: (u64, u64) = (1_000_000, 10_000);

/// Rows of the tasks.
pub const ROWS: &[Row] = &[
    Row::latency(
        "task/spawn_get",
        1,
        "start a task and get its result",
        |context| {
            Ok(Ok(Lineup::of(Summed::new("maser", spawn_get))
                .floor(NoopCall::default())
                .peer(Peer::offered("rayon", ScopeSpawn::new(context)))
                .peer(Peer::offered("monoio", Monoio::new(1)))
                .peer(Peer::offered("glommio", Glommio::new(1)))
                .peer(Peer::offered("tokio", SpawnJoin::new()))))
        },
    )
    .in_runtime(1),
    Row::latency(
        "task/fork_join",
        1,
        "a join of a recursive sum, per join",
        |context| {
            let subject = || {
                let found = fibonacci(black_box(ForkJoin::N))?;
                Ok::<_, maser::Error>(if found == ForkJoin::VALUE {
                    ForkJoin::JOINS
                } else {
                    0
                })
            };
            Ok(Ok(Lineup::of(Summed::many(
                "maser",
                ForkJoin::JOINS,
                subject,
            ))
            .floor(NoopCall::default())
            .peer(Peer::offered("rayon", ForkJoin::new(context)))))
        },
    )
    .in_runtime(1),
    Row::latency(
        "task/batch_1000",
        1,
        "start 1,000 tasks, then get all results, per task",
        |_| {
            Ok(Ok(Lineup::of(Summed::many("maser", BATCH, batch(BATCH)))
                .floor(NoopCall::default())
                .peer(Peer::offered("monoio", Monoio::new(BATCH)))
                .peer(Peer::offered("glommio", Glommio::new(BATCH)))
                .peer(Peer::offered("tokio", SpawnBatch::new(BATCH)))))
        },
    )
    .in_runtime(1),
    Row::latency(
        "task/queued_1m",
        1,
        "queue 1,000,000 tasks, then run them, per task",
        |context| {
            let count = if context.effort.quick {
                QUEUED.1
            } else {
                QUEUED.0
            };
            Ok(Ok(Lineup::of(Summed::many("maser", count, batch(count)))
                .floor(NoopCall::default())
                .peer(Peer::offered("tokio", SpawnBatch::new(count)))))
        },
    )
    .in_runtime(1),
];
