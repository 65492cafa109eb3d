//! The floors themselves, so that they can be read without a subject.

use crate::floors::{
    ClockRead, LineChain, LinePair, LineTurn, Memcpy, NoopCall, Syscall, Wake, jitter,
};
use crate::harness::{Lineup, Process, Row, Unit};

/// Rows of the bare machine.
pub const ROWS: &[Row] = &[
    Row::latency(
        "floor/line_pair",
        2,
        "F: one cache line to the other core, one back",
        |_| Ok(Ok(Lineup::of(LinePair::default()))),
    ),
    Row::latency(
        "floor/line_turn",
        2,
        "one cache line written by both cores in turn",
        |_| {
            Ok(Ok(
                Lineup::of(LineTurn::default()).floor(LinePair::default())
            ))
        },
    ),
    Row::latency(
        "floor/chain2",
        2,
        "two lines in a row over two cores",
        |_| {
            Ok(Ok(
                Lineup::of(LineChain::new("floor/chain2", 2)).floor(LinePair::default())
            ))
        },
    ),
    Row::latency(
        "floor/chain4",
        2,
        "four lines in a row over two cores",
        |_| {
            Ok(Ok(
                Lineup::of(LineChain::new("floor/chain4", 4)).floor(LinePair::default())
            ))
        },
    ),
    Row::latency(
        "floor/wake",
        2,
        "unpark of a sleeping thread and its answer",
        |_| Ok(Ok(Lineup::of(Wake::default()).floor(LinePair::default()))),
    ),
    Row::latency(
        "floor/noop_call",
        1,
        "push, pop and a virtual call on one core",
        |_| Ok(Ok(Lineup::of(NoopCall::default()))),
    ),
    Row::latency(
        "floor/clock",
        1,
        "one reading of the monotonic clock",
        |_| Ok(Ok(Lineup::of(ClockRead))),
    ),
    Row::latency(
        "floor/syscall",
        1,
        "a system call that does nothing",
        |_| Ok(Ok(Lineup::of(Syscall))),
    ),
    Row::latency("floor/memcpy_64", 1, "copy of 64 B", |_| {
        Ok(Ok(Lineup::of(Memcpy::new("floor/memcpy_64", 64))))
    }),
    Row::latency("floor/memcpy_4k", 1, "copy of 4 KiB", |_| {
        Ok(Ok(Lineup::of(Memcpy::new("floor/memcpy_4k", 4 << 10))))
    }),
    Row::latency("floor/memcpy_64k", 1, "copy of 64 KiB", |_| {
        Ok(Ok(Lineup::of(Memcpy::new("floor/memcpy_64k", 64 << 10))))
    }),
    Row::latency("floor/memcpy_1m", 1, "copy of 1 MiB", |_| {
        Ok(Ok(Lineup::of(Memcpy::new("floor/memcpy_1m", 1 << 20))))
    }),
    Row::whole(
        "jitter",
        Unit::Ns,
        Process::Suite,
        "gaps of a bare spin loop",
        jitter,
    ),
];
