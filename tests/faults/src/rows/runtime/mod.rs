//! The runtime itself with worker processes: what its users see when workers die or stop.
//!
//! | file | rows |
//! |---|---|
//! | [`kills`], [`load`], [`load_graphs`] | `A2.runtime_kills`: workers killed at random instants under load |
//! | [`graphs`] | `A3.graph_deaths`: each actor of a compiled graph, in several states |
//! | [`handles`] | `A3.handle_deaths`: who has a handle of a graph, and whose graph it is |
//! | [`collectives`] | `A3.collective_deaths`: members of collectives, and whose results others were promised |
//! | [`stopped`] | `A4.runtime_stopped`: a worker that is stopped and not dead |
//! | [`scribbler`], [`scribbles`] | `E3.runtime_scribbler`: a worker that writes over all that it shares |
//! | [`zombie`] | `A5.runtime_zombie`: a worker that is dead and cannot be waited for |
//! | [`all`] | `A6.runtime_kill_all`: the driver dies |
//!
//! - RK-1 a row's process has one thread until it becomes a driver, and one again when its runtime
//!   has ended, so that it may fork (FK-1). Its children are workers and nothing else.
//! - RK-2 only children are killed, by a handle that was opened while they were children.

mod actors;
mod all;
mod collectives;
mod graphs;
mod handles;
mod kills;
mod load;
mod load_graphs;
mod scribbler;
mod scribbles;
mod stopped;
mod zombie;

use std::time::{Duration, Instant};

use maser::{Config, Error, HugePages, Isolation, Mode};
use maser_shm::liveness::ProcessHandle;
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::row::{Outcome, Row, Run, broken, check};

/// The rows of this folder.
pub fn rows() -> impl Iterator<Item = Row> {
    [
        kills::ROW,
        graphs::ROW,
        handles::ROW,
        collectives::ROW,
        stopped::ROW,
        all::ROW,
        scribbler::ROW,
        zombie::ROW,
    ]
    .into_iter()
}

/// Places of the pool.
const PLACES: usize = 2;

/// After this long something is said to hang.
const PATIENCE: Duration = Duration::from_secs(30);

fn config(seed: u64) -> Config {
    Config::new()
        .num_workers(PLACES)
        .isolation(Isolation::Process)
        .mode(Mode::Silent)
        .huge_pages(HugePages::Off)
        .store_bytes(512 << 20)
        .id_seed(seed)
}

/// The longest wait that a row allows: `figure` when all of it is tried, and what tells a hang from
/// a busy machine in a sample.
fn longest(run: &Run, figure: Duration) -> Duration {
    if run.sample >= 1.0 && run.points_max == u64::MAX {
        figure
    } else {
        PATIENCE
    }
}

/// Runs `body` as the root task of a runtime of this process (RK-1).
fn with_runtime<R: Send>(seed: u64, body: impl FnOnce() -> Outcome<R> + Send) -> Outcome<R> {
    maser::run(config(seed), |_| body()).map_err(broken)?
}

/// Living children of this process.
fn children() -> Outcome<Vec<u32>> {
    let mut found = Vec::new();
    for thread in std::fs::read_dir("/proc/self/task").map_err(broken)? {
        let path = thread.map_err(broken)?.path().join("children");
        // The thread may have ended meanwhile.
        let text = std::fs::read_to_string(path).unwrap_or_default();
        found.extend(
            text.split_whitespace()
                .filter_map(|pid| pid.parse::<u32>().ok()),
        );
    }
    found.retain(|&pid| !matches!(state(pid), None | Some('Z' | 'X')));
    Ok(found)
}

/// The letter of a process's state, while there is one.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Sends a signal to a child (RK-2); false if it is none any more.
fn signal(pid: u32, signal: Signal) -> Outcome<bool> {
    let id = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let id = id.ok_or_else(|| broken(format!("{pid} is no process number")))?;
    let Ok(handle) = rustix::process::pidfd_open(id, PidfdFlags::empty()) else {
        return Ok(false);
    };
    if !children()?.contains(&pid) {
        return Ok(false);
    }
    Ok(rustix::process::pidfd_send_signal(&handle, signal).is_ok())
}

/// Kills a child and waits until it is dead.
fn kill(pid: u32) -> Outcome<()> {
    let handle = ProcessHandle::open(pid).map_err(broken)?;
    check(signal(pid, Signal::KILL)?, || {
        format!("the worker with pid {pid} had ended")
    })?;
    check(handle.wait(Some(PATIENCE)).map_err(broken)?, || {
        format!("the worker with pid {pid} does not die")
    })
}

/// Waits until the kernel has stopped a child.
fn wait_for_stop(pid: u32) -> Outcome<()> {
    let stopped = || Ok(state(pid) == Some('T'));
    becomes("a worker is stopped", PATIENCE, stopped).map(drop)
}

/// Waits until it holds.
fn becomes(
    what: &str,
    limit: Duration,
    mut holds: impl FnMut() -> Outcome<bool>,
) -> Outcome<Duration> {
    let began = Instant::now();
    while !holds()? {
        check(began.elapsed() < limit, || {
            format!("not after {limit:?}: {what}")
        })?;
        maser::yield_now();
    }
    Ok(began.elapsed())
}

/// Whether the error says that one of these processes died, and no other.
fn names_the_dead(error: &Error, killed: &[u32]) -> bool {
    let root = error.root();
    let text = root.to_string();
    let is_death = matches!(
        root,
        Error::ActorDied { .. } | Error::WorkerCrashed { .. } | Error::ObjectLost { .. }
    );
    is_death
        && text.split("(pid ").skip(1).any(|rest| {
            let pid = rest.split(')').next().and_then(|pid| pid.parse().ok());
            pid.is_some_and(|pid| killed.contains(&pid))
        })
}
