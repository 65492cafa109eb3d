//! A process that dies while it submits runs to a graph of another one, or while its own graph is
//! executed from elsewhere.

use std::time::{Duration, Instant};

use maser::{CompileOptions, Graph, Node};

use super::actors::{Busy, Shared, busy};
use super::{becomes, kill, longest, names_the_dead, signal, wait_for_stop, with_runtime};
use crate::level::Level;
use crate::row::{Outcome, Row, Run, Tally, broken, check};

/// The row of this file.
pub const ROW: Row = Row {
    name: "A3.handle_deaths",
    claim: "whoever has a handle of a compiled graph, or the graph itself, killed at a random instant \
            under load: the others are told, every place of the graph comes back, and it goes on",
    canary: "the victim is stopped and not dead",
    run,
};

/// Runs in flight.
const PLACES: usize = 3;
/// A death comes up to so long after the first run, us.
const DELAY_US_MAX: u64 = 2_000;
/// How long the planted bug may hide.
const PLANTED_LIMIT: Duration = Duration::from_secs(1);

fn run(run: &Run) -> Outcome<Tally> {
    let deaths = run.share_of(200);
    let limit = match run.planted {
        true => PLANTED_LIMIT,
        false => longest(run, Duration::from_secs(1)),
    };
    let mut random = run.random();
    let mut tries = |deaths: u64, longest: &mut Duration| {
        for at in 0..deaths {
            let delay = Duration::from_micros(random.below(DELAY_US_MAX));
            let outcome = match at % 2 {
                0 => holder_dies(delay, run.planted, limit, longest),
                _ => owner_dies(delay, run.planted, limit, longest),
            };
            outcome.map_err(|stop| broken(format!("death {at} after {delay:?}: {stop:?}")))?;
        }
        Ok(())
    };
    // What is made once is there after the first runtime.
    let mut longest = Duration::ZERO;
    with_runtime(run.seed, || tries(2, &mut longest))?;
    let level = Level::now()?;
    longest = Duration::ZERO;
    with_runtime(run.seed, || tries(deaths, &mut longest))?;
    level.is_back()?;
    let mut tally = Tally::of(deaths);
    tally
        .notes
        .push(format!("told after {longest:.1?} at the latest"));
    Ok(tally)
}

fn let_pass(delay: Duration) {
    let began = Instant::now();
    while began.elapsed() < delay {
        maser::yield_now();
    }
}

fn ends(pid: u32, planted: bool) -> Outcome<()> {
    if planted {
        signal(pid, rustix::process::Signal::STOP)?;
        wait_for_stop(pid)
    } else {
        kill(pid)
    }
}

fn pid_of(busy: &maser::Actor<Busy>) -> Outcome<u32> {
    busy.pid().remote().get().map_err(broken)
}

fn told(error: Option<&maser::Error>, pid: u32) -> Outcome<()> {
    match error {
        Some(error) => check(names_the_dead(error, &[pid]), || {
            format!("the death of pid {pid} was told so: {error}")
        }),
        None => Err(broken(format!("pid {pid} died and a call of it succeeded"))),
    }
}

/// One that submits dies: its places come back.
fn holder_dies(
    delay: Duration,
    planted: bool,
    limit: Duration,
    longest: &mut Duration,
) -> Outcome<()> {
    let (step, holder) = (busy(), busy());
    let options = CompileOptions {
        max_inflight: Some(PLACES),
        ..CompileOptions::default()
    };
    let graph = Graph::new(|value: Node<u64>| step.step().bind(value, 0));
    let graph: Shared = graph.compile_with(options).map_err(broken)?.into_handle();
    let pid = pid_of(&holder)?;
    let drives = holder.drive().remote(graph.clone());
    let_pass(delay);
    ends(pid, planted)?;
    let dead_since = Instant::now();
    told(drives.get_timeout(limit).err().as_ref(), pid)?;
    let free = || Ok(graph.free_capacity() == PLACES);
    becomes("all places of the graph are free", limit, free)?;
    *longest = dead_since.elapsed().max(*longest);
    for value in 0..2 * PLACES as u64 {
        let result = graph.try_execute(value).map_err(broken)?;
        let found = result.get_timeout(limit).map_err(broken)?;
        check(found == value + 1, || format!("{found} is not {value} + 1"))?;
    }
    graph.teardown().map_err(broken)
}

/// The graph's process dies: whoever submits is told.
fn owner_dies(
    delay: Duration,
    planted: bool,
    limit: Duration,
    longest: &mut Duration,
) -> Outcome<()> {
    let (owner, holder) = (busy(), busy());
    let pid = pid_of(&owner)?;
    let graph = owner.graph().remote().get().map_err(broken)?;
    let drives = holder.drive().remote(graph.clone());
    let own = graph.execute(1).map_err(broken)?;
    let_pass(delay);
    ends(pid, planted)?;
    let dead_since = Instant::now();
    told(drives.get_timeout(limit).err().as_ref(), pid)?;
    *longest = dead_since.elapsed().max(*longest);
    // It was there by then, or never will be.
    match own.get_timeout(limit) {
        Ok(found) => check(found == 2, || format!("{found} is not 2"))?,
        Err(error) => told(Some(&error), pid)?,
    }
    let late = graph
        .execute_timeout(2, limit)
        .and_then(|late| late.get_timeout(limit));
    told(late.err().as_ref(), pid)?;
    pid_of(&holder).map(drop)
}
