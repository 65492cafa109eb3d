//! The floors themselves, so that they can be read without a subject.

use std::sync::Arc;

use crate::floors::{
    ClockRead, FirstTouch, LineChain, LinePair, LineProcess, LineTurn, Memcpy, NoopCall,
    PayloadProcess, SlotProcess, StreamCopy, Syscall, Wake, jitter, kept,
};
use crate::harness::{BenchError, Context, Lineup, Offer, Peer, Process, Row, Unit};

use super::process::beside;

/// Payloads of `bytes` there and back.
fn payload(
    context: &Context,
    name: &'static str,
    bytes: usize,
) -> Result<Offer<Lineup>, BenchError> {
    beside(context, |partner| {
        let subject = PayloadProcess::new(name, partner, bytes)?;
        Ok(Lineup::of(subject).floor(LineProcess::new(partner)?))
    })
}

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
        "floor/line_process",
        2,
        "F between processes: one cache line there, one back",
        |context| {
            beside(context, |partner| {
                Ok(Lineup::of(LineProcess::new(partner)?))
            })
        },
    )
    .in_own_process(),
    Row::latency(
        "floor/slot_process",
        2,
        "one cache line written by two processes in turn",
        |context| {
            beside(context, |partner| {
                let floor = LineProcess::new(partner)?;
                Ok(Lineup::of(SlotProcess::new(partner)?).floor(floor))
            })
        },
    )
    .in_own_process(),
    Row::latency(
        "floor/payload_64",
        2,
        "64 B copied in and out, to another process and back",
        |context| payload(context, "floor/payload_64", 64),
    )
    .in_own_process(),
    Row::latency(
        "floor/payload_4k",
        2,
        "4 KiB copied in and out, to another process and back",
        |context| payload(context, "floor/payload_4k", 4 << 10),
    )
    .in_own_process(),
    Row::latency(
        "floor/payload_64k",
        2,
        "64 KiB copied in and out, to another process and back",
        |context| payload(context, "floor/payload_64k", 64 << 10),
    )
    .in_own_process(),
    Row::latency(
        "floor/payload_1m",
        2,
        "1 MiB copied in and out, to another process and back",
        |context| payload(context, "floor/payload_1m", 1 << 20),
    )
    .in_own_process(),
    Row::latency(
        "floor/stream_copy",
        2,
        "streaming copy of 64 MiB by one core, and by two",
        |context| {
            let bytes = if context.effort.quick {
                1 << 20
            } else {
                64 << 20
            };
            let from: Arc<[u8]> = vec![7; bytes].into();
            let one = StreamCopy::new("floor/stream_copy", &from, kept(bytes), 1);
            let two = StreamCopy::new("two cores", &from, kept(bytes), 2);
            Ok(Ok(Lineup::of(one).peer(Peer::of(two))))
        },
    ),
    Row::latency(
        "floor/first_touch",
        1,
        "a page of 4 KiB that nobody has touched, shared memory",
        |_| Ok(Ok(Lineup::of(FirstTouch))),
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
