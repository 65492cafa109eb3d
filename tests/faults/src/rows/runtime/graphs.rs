//! A worker that dies while its actor is a part of a compiled graph.

use std::time::{Duration, Instant};

use maser::{Actor, CompiledGraph, Graph, Node};

use super::actors::{Busy, busy};
use super::{kill, longest, names_the_dead, signal, wait_for_stop, with_runtime};
use crate::level::Level;
use crate::row::{Outcome, Row, Run, Tally, broken, check};

/// The row of this file.
pub const ROW: Row = Row {
    name: "A3.graph_deaths",
    claim: "each actor of a compiled graph over processes killed in several states: what is pending \
            ends with an error that names it, and the survivors take a new graph",
    canary: "the victim is stopped and not dead",
    run,
};

/// Actors of the graph, one after another.
const LENGTH: usize = 3;
/// Runs in flight.
const RUNS: u64 = 4;
/// How long the planted bug may hide.
const PLANTED_LIMIT: Duration = Duration::from_secs(1);

/// What the graph does when its actor dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has never run.
    Fresh,
    /// It has run, and waits.
    Idle,
    /// The victim is in its step, and more runs wait behind.
    InStep,
    /// Runs are somewhere.
    Running,
    /// Runs have ended and nobody has read them.
    Unread,
}

const STATES: [State; 5] = [
    State::Fresh,
    State::Idle,
    State::InStep,
    State::Running,
    State::Unread,
];

type Chain = CompiledGraph<(Node<u64>, Node<u32>), Node<u64>>;

/// The longest waits.
#[derive(Debug, Default)]
struct Waits {
    told: Duration,
    again: Duration,
}

fn run(run: &Run) -> Outcome<Tally> {
    let all = (STATES.len() * LENGTH) as u64;
    let deaths = run.share_of(10 * all);
    let told = match run.planted {
        true => PLANTED_LIMIT,
        false => longest(run, Duration::from_secs(1)),
    };
    let again = longest(run, Duration::from_secs(2));
    let mut random = run.random();
    let from = random.below(all);
    let tries = |deaths: u64, waits: &mut Waits| {
        let mut actors: Vec<_> = (0..LENGTH).map(|_| busy()).collect();
        for at in from..from + deaths {
            let state = STATES[at as usize % STATES.len()];
            let victim = at as usize / STATES.len() % LENGTH;
            let outcome = one_death(
                &mut actors,
                state,
                victim,
                run.planted,
                (told, again),
                waits,
            );
            outcome.map_err(|stop| broken(format!("actor {victim}, {state:?}: {stop:?}")))?;
        }
        Ok(())
    };
    let mut waits = Waits::default();
    // What is made once is there after the first runtime.
    with_runtime(run.seed, || tries(1, &mut waits))?;
    let level = Level::now()?;
    let mut waits = Waits::default();
    with_runtime(run.seed, || tries(deaths, &mut waits))?;
    level.is_back()?;
    let mut tally = Tally::of(deaths);
    tally.notes.push(format!(
        "told after {:.1?} at the latest, in a new graph after {:.1?}",
        waits.told, waits.again
    ));
    Ok(tally)
}

fn chain(actors: &[Actor<Busy>]) -> Outcome<Chain> {
    let graph = Graph::new(|(value, halts): (Node<u64>, Node<u32>)| {
        let steps = actors.iter();
        steps.fold(value, |value, actor| actor.step().bind(value, halts))
    });
    graph.compile().map_err(broken)
}

/// Kills one, looks at what all are told, and makes a new graph with another in its place.
fn one_death(
    actors: &mut [Actor<Busy>],
    state: State,
    victim: usize,
    planted: bool,
    (told_limit, again_limit): (Duration, Duration),
    waits: &mut Waits,
) -> Outcome<()> {
    let pid = actors[victim].pid().remote().get().map_err(broken)?;
    let graph = chain(actors)?;
    let mut pending = Vec::new();
    if state != State::Fresh {
        for value in 0..10 {
            answered(&graph, value, told_limit)?;
        }
    }
    match state {
        State::Fresh | State::Idle => {}
        State::InStep => {
            for value in 0..RUNS {
                pending.push((value, graph.execute((value, pid)).map_err(broken)?));
            }
            wait_for_stop(pid)?;
        }
        State::Running | State::Unread => {
            for value in 0..RUNS {
                pending.push((value, graph.execute((value, 0)).map_err(broken)?));
            }
            if state == State::Unread {
                let last = &pending[pending.len() - 1].1;
                last.get_timeout(told_limit).map_err(broken)?;
            }
        }
    }
    if planted {
        signal(pid, rustix::process::Signal::STOP)?;
        wait_for_stop(pid)?;
    } else {
        kill(pid)?;
    }
    let dead_since = Instant::now();
    for (value, answer) in &pending {
        told(
            answer.get_timeout(told_limit),
            value + LENGTH as u64,
            pid,
            state,
        )?;
    }
    // And so is whoever comes later.
    let late = graph.execute((0, 0));
    match late {
        Err(error) => named(&error, pid)?,
        Ok(late) => told(late.get_timeout(told_limit), u64::MAX, pid, state)?,
    }
    waits.told = waits.told.max(dead_since.elapsed());
    check(dead_since.elapsed() <= told_limit, || {
        format!("told after {:?}", dead_since.elapsed())
    })?;
    drop(pending);
    // The error of the teardown may name the dead one too.
    let _torn_down = graph.teardown();
    drop(graph);
    let began = Instant::now();
    actors[victim] = busy();
    let graph = chain(actors)?;
    answered(&graph, 7, again_limit)?;
    waits.again = waits.again.max(began.elapsed());
    check(began.elapsed() <= again_limit, || {
        format!("a new graph after {:?}", began.elapsed())
    })?;
    graph.teardown().map_err(broken)
}

fn answered(graph: &Chain, value: u64, limit: Duration) -> Outcome<()> {
    let answer = graph.execute((value, 0)).map_err(broken)?;
    let found = answer.get_timeout(limit).map_err(broken)?;
    check(found == value + LENGTH as u64, || {
        format!("{found} is not the answer to {value}")
    })
}

/// Right, where the run may have ended before; or the death.
fn told(got: maser::Result<u64>, expected: u64, pid: u32, state: State) -> Outcome<()> {
    match got {
        Ok(found) => check(found == expected && state != State::InStep, || {
            format!("{found} instead of {expected} or an error")
        }),
        Err(error) => named(&error, pid),
    }
}

fn named(error: &maser::Error, pid: u32) -> Outcome<()> {
    check(names_the_dead(error, &[pid]), || {
        format!("the death of pid {pid} was told so: {error}")
    })
}
