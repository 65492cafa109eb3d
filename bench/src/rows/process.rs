//! What lies between processes: the driver is on core 0, the other process on core 1.

use std::rc::Rc;

use maser::{Actor, Array, Isolation};

use crate::floors::{LineProcess, PayloadProcess, SlotProcess};
use crate::harness::{BenchError, Context, Floor, Lineup, Offer, Peer, Process, Row, Summed, Unit};
use crate::peers::{Iceoryx2, UnixSocket};
use crate::process::{Handover, InPlace, PartnerProcess};

use super::SETTLE_NS;
use super::actor::{Echo, call};
use super::graph::{RING, chain_of};
use super::worker::{idle_node, idle_worker, start_node, start_worker};

const MIB: usize = 1 << 20;
/// Bytes of a small message: what fits a line beside its number.
const SMALL_BYTES: usize = 48;

/// An echo in a process of its own on core 1.
///
/// # Errors
/// The first call's, or if the affinity mask cannot be set.
pub(super) fn echo_there(context: &Context) -> Result<Actor<Echo>, BenchError> {
    // Workers may use the cores of the thread that needed the first one.
    context.cores.pin(1)?;
    let echo = Echo::options().isolation(Isolation::Process).remote();
    let answer = echo.echo().remote(1).get();
    context.cores.pin(0)?;
    match answer {
        Ok(_) => Ok(echo),
        Err(error) => Err(BenchError::contender("maser", error)),
    }
}

/// Builds a line-up that needs a second process.
pub(super) fn beside(
    context: &Context,
    build: impl FnOnce(&Rc<PartnerProcess>) -> Result<Lineup, BenchError>,
) -> Result<Offer<Lineup>, BenchError> {
    match PartnerProcess::start(context)? {
        Ok(partner) => build(&partner).map(Ok),
        Err(skip) => Ok(Err(skip)),
    }
}

fn actor_call(context: &Context) -> Result<Offer<Lineup>, BenchError> {
    beside(context, |partner| {
        let echo = echo_there(context)?;
        let subject = Summed::new("maser", call(echo)).wake().settle(SETTLE_NS);
        Ok(Lineup::of(subject)
            .floor(LineProcess::new(partner)?)
            .peer(Peer::of(UnixSocket::new(partner, SMALL_BYTES)?))
            .peer(Peer::offered(
                "iceoryx2",
                Iceoryx2::new(partner, SMALL_BYTES, false)?,
            )))
    })
}

fn handover(context: &Context) -> Result<Offer<Lineup>, BenchError> {
    let large = if context.effort.quick {
        4 * MIB
    } else {
        64 * MIB
    };
    beside(context, |partner| {
        Ok(Lineup::of(Handover::new("maser", partner, MIB)?)
            .floor(LineProcess::new(partner)?)
            .peer(Peer::of(Handover::new("64 B", partner, 64)?))
            .peer(Peer::of(Handover::new("64 KiB", partner, 64 << 10)?))
            .peer(Peer::of(Handover::new("64 MiB", partner, large)?))
            .peer(Peer::of(
                Summed::new("by call", handed_by_call(context, MIB)?)
                    .wake()
                    .settle(SETTLE_NS)
                    .note("maser::Array through a call of an actor, and back"),
            ))
            .peer(Peer::offered(
                "iceoryx2",
                Iceoryx2::new(partner, MIB, false)?,
            )))
    })
}

/// Gives an array back to its owner.
struct Passer;

#[maser::actor]
impl Passer {
    fn new() -> Self {
        Self
    }

    /// `array`, unchanged.
    fn pass(&mut self, array: Array<u64>) -> Array<u64> {
        array
    }
}

/// An array of `bytes` through a call of an actor in another process, and back.
fn handed_by_call(
    context: &Context,
    bytes: usize,
) -> Result<impl FnMut() -> maser::Result<u64> + use<>, BenchError> {
    context.cores.pin(1)?;
    let passer = Passer::options().isolation(Isolation::Process).remote();
    let made = Array::<u64>::in_store(bytes / 8).map(|mut array| {
        array.fill(7);
        array.seal()
    });
    let array = made.map_err(|error| BenchError::contender("maser", error))?;
    let first = passer.pass().remote(array.clone()).get();
    context.cores.pin(0)?;
    first.map_err(|error| BenchError::contender("maser", error))?;
    Ok(move || {
        let back = passer.pass().remote(array.clone()).get()?;
        Ok(u64::from(back.as_ptr() == array.as_ptr()))
    })
}

/// One run at a time of a graph through an echo in another process.
fn graph(
    context: &Context,
    max_inflight: usize,
    floor: fn(&Rc<PartnerProcess>) -> Result<Floor, BenchError>,
) -> Result<Offer<Lineup>, BenchError> {
    beside(context, |partner| {
        let echo = echo_there(context)?;
        let failed = |error| BenchError::contender("maser", error);
        let subject = chain_of(&[echo], max_inflight).map_err(failed)?;
        let subject = Summed::new("maser", subject).wake().settle(SETTLE_NS);
        Ok(Lineup {
            floor: floor(partner)?,
            ..Lineup::of(subject)
        }
        .peer(Peer::of(UnixSocket::new(partner, SMALL_BYTES)?))
        .peer(Peer::offered(
            "iceoryx2",
            Iceoryx2::new(partner, SMALL_BYTES, false)?,
        )))
    })
}

fn payload(context: &Context) -> Result<Offer<Lineup>, BenchError> {
    beside(context, |partner| {
        Ok(Lineup::of(InPlace::new(partner, MIB)?)
            .floor(PayloadProcess::new("floor/payload_1m", partner, MIB)?)
            .peer(Peer::offered(
                "iceoryx2",
                Iceoryx2::new(partner, MIB, true)?,
            )))
    })
}

/// Rows of what lies between processes.
pub const ROWS: &[Row] = &[
    Row::latency(
        "process/actor/call",
        2,
        "a call of an actor in another process",
        actor_call,
    )
    .in_runtime(1),
    Row::latency(
        "process/graph/echo/slot",
        2,
        "a compiled graph through an actor in another process, one run at a time",
        |context| {
            graph(context, 1, |partner| {
                Ok(Floor::Better(vec![
                    Box::new(LineProcess::new(partner)?),
                    Box::new(SlotProcess::new(partner)?),
                ]))
            })
        },
    )
    .in_runtime(1),
    Row::latency(
        "process/graph/echo/ring",
        2,
        "the same with room for more runs than the one",
        |context| {
            graph(context, RING, |partner| {
                Ok(Floor::Probe(Box::new(LineProcess::new(partner)?)))
            })
        },
    )
    .in_runtime(1),
    Row::latency(
        "process/handover",
        2,
        "1 MiB handed to another process and back without a copy",
        handover,
    )
    .in_runtime(1),
    Row::latency(
        "process/payload/1MiB",
        2,
        "1 MiB written in place and read by another process, and back",
        payload,
    )
    .in_own_process(),
    Row::whole(
        "process/start",
        Unit::Ns,
        Process::Own,
        "a new worker process to the first answer of its actor",
        start_worker,
    ),
    Row::whole(
        "process/start/node",
        Unit::Ns,
        Process::Suite,
        "main of a fresh process to the first result of a process of its own",
        start_node,
    ),
    Row::whole(
        "process/idle_pss",
        Unit::Bytes,
        Process::Own,
        "memory of an idle worker, shared pages by share, the store apart",
        idle_worker,
    ),
    Row::whole(
        "process/idle_pss/node",
        Unit::Bytes,
        Process::Own,
        "memory of an idle driver and its four workers, the store apart",
        idle_node,
    ),
];
