//! Actor calls: the driver is scheduler 0, the actor lives on scheduler 0 (one core) or 1.

use maser::{Actor, Ref};

use crate::floors::{self, LinePair, NoopCall};
use crate::harness::{Lineup, Peer, Row, Summed};
use crate::link::RoundTrip;
use crate::peers::{ActorCallers, ActorCross, ActorLocal, ActorPipelined, Crossbeam, Rtrb};

use super::SETTLE_NS;

/// Gives back what it is told.
#[derive(Debug)]
pub struct Echo;

#[maser::actor]
impl Echo {
    /// An echo.
    pub fn new() -> Self {
        Self
    }

    /// `value`, unchanged.
    pub fn echo(&mut self, value: u64) -> u64 {
        value
    }
}

/// Calls `echo` `count` times, one after the other; gives the number of right answers.
#[maser::task(local)]
fn caller(echo: Actor<Echo>, count: u64) -> maser::Result<u64> {
    let mut right = 0;
    for value in 0..count {
        right += u64::from(echo.echo().remote(value).get()? == value);
    }
    Ok(right)
}

/// An echo on scheduler `scheduler`.
pub(super) fn echo_on(scheduler: usize) -> Actor<Echo> {
    Echo::options().scheduler(scheduler).remote()
}

/// One call and its answer.
pub(super) fn call(echo: Actor<Echo>) -> impl FnMut() -> maser::Result<u64> {
    let mut value = 0;
    move || {
        value += 1;
        Ok(u64::from(echo.echo().remote(value).get()? == value))
    }
}

/// `count` calls, then their answers.
fn pipelined(echo: Actor<Echo>, count: u64) -> impl FnMut() -> maser::Result<u64> {
    let mut answers: Vec<Ref<u64>> = Vec::with_capacity(count as usize);
    move || {
        answers.extend((0..count).map(|value| echo.echo().remote(value)));
        let mut right = 0;
        for (value, answer) in (0..).zip(answers.drain(..)) {
            right += u64::from(answer.get()? == value);
        }
        Ok(right)
    }
}

/// Calls in flight in `actor/pipelined`.
const IN_FLIGHT: u64 = 256;
/// Callers in `actor/call/8_callers`.
const CALLERS: u64 = 8;
/// Calls that each of them makes before a new one is started.
const CALLS_EACH: u64 = 64;

/// Eight tasks of scheduler 0 that call one actor, each one call after the other.
fn many_callers(echo: Actor<Echo>) -> impl FnMut() -> maser::Result<u64> {
    move || {
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                caller::options()
                    .scheduler(0)
                    .remote(echo.clone(), CALLS_EACH)
            })
            .collect();
        callers.iter().map(Ref::get).sum()
    }
}

/// Rows of the actors.
pub const ROWS: &[Row] = &[
    Row::latency(
        "actor/call/same_core",
        1,
        "a call of an actor on the caller's core",
        |_| {
            Ok(Ok(Lineup::of(Summed::new("maser", call(echo_on(0))))
                .floor(NoopCall::default())
                .peer(Peer::offered("tokio", ActorLocal::new()))))
        },
    )
    .in_runtime(1),
    Row::latency(
        "actor/call/cross_core",
        2,
        "a call of an actor on the other core",
        |_| {
            Ok(Ok(Lineup::of(
                Summed::new("maser", call(echo_on(1))).settle(SETTLE_NS),
            )
            .better_floor(floors::call())
            .peer(Peer::of(RoundTrip::<Crossbeam>::default()))
            .peer(Peer::of(RoundTrip::<Rtrb>::default()))
            .peer(Peer::offered("tokio", ActorCross::new()))))
        },
    )
    .in_runtime(2),
    Row::rate(
        "actor/call/8_callers",
        2,
        "eight callers on one core, the actor on the other",
        |_| {
            let subject = Summed::many("maser", CALLERS * CALLS_EACH, many_callers(echo_on(1)));
            Ok(Ok(Lineup::of(subject.settle(SETTLE_NS))
                .guard(LinePair::default())
                .peer(Peer::offered(
                    "tokio",
                    ActorCallers::new(CALLERS, CALLS_EACH),
                ))))
        },
    )
    .in_runtime(2),
    Row::rate(
        "actor/pipelined",
        2,
        "256 calls in flight, the actor on the other core",
        |_| {
            let subject = Summed::many("maser", IN_FLIGHT, pipelined(echo_on(1), IN_FLIGHT));
            Ok(Ok(Lineup::of(subject.settle(SETTLE_NS))
                .guard(LinePair::default())
                .peer(Peer::offered(
                    "tokio",
                    ActorPipelined::new(IN_FLIGHT, true),
                ))))
        },
    )
    .in_runtime(2),
    Row::rate(
        "actor/pipelined/same_core",
        1,
        "256 calls in flight, all on one core",
        |_| {
            Ok(Ok(Lineup::of(Summed::many(
                "maser",
                IN_FLIGHT,
                pipelined(echo_on(0), IN_FLIGHT),
            ))
            .guard(NoopCall::default())
            .peer(Peer::offered(
                "tokio",
                ActorPipelined::new(IN_FLIGHT, false),
            ))))
        },
    )
    .in_runtime(1),
];
