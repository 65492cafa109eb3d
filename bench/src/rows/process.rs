//! What lies between processes: the driver is on core 0, the other process on core 1.

use std::rc::Rc;

use maser::{Actor, Isolation};

use crate::floors::{LineProcess, PayloadProcess};
use crate::harness::{BenchError, Context, Lineup, Offer, Peer, Process, Row, Summed, Unit};
use crate::peers::{Iceoryx2, UnixSocket};
use crate::process::{Handover, InPlace, PartnerProcess};

use super::SETTLE_NS;
use super::actor::{Echo, call};
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
        let subject = Summed::new("maser", call(echo)).settle(SETTLE_NS);
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
            .peer(Peer::offered(
                "iceoryx2",
                Iceoryx2::new(partner, MIB, false)?,
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
        "process/handover",
        2,
        "1 MiB handed to another process and back without a copy",
        handover,
    )
    .in_own_process(),
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
