//! Workers killed at random instants while they work for a driver.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;

use super::load::{Load, Seen};
use super::{PLACES, becomes, children, longest, signal, with_runtime};
use crate::level::Level;
use crate::random::Random;
use crate::row::{Outcome, Row, Run, Tally, broken, check};

/// The row of this file.
pub const ROW: Row = Row {
    name: "A2.runtime_kills",
    claim: "workers of a runtime killed at any instant under calls, tasks, arrays, streams and \
            compiled graphs: every \
            value that came is right, every error names who died, nobody waits for long and nothing \
            of the dead stays",
    canary: "an array is never let go",
    run,
};

/// Kills after which the bug is certain to be seen.
const KILLS_PLANTED: u64 = 5;
/// How long what nobody holds may take to go.
const SETTLE: Duration = Duration::from_secs(5);
/// What may differ between two moments at rest: the pool has more workers or fewer.
const AT_REST: usize = 48;

/// Everybody who was killed, written down before.
pub type Killed = Arc<Mutex<Vec<u32>>>;

fn run(run: &Run) -> Outcome<Tally> {
    let kills = match run.planted {
        true => KILLS_PLANTED,
        false => run.share_of(2000),
    };
    let limit = longest(run, Duration::from_secs(2));
    // What is made once is there after the first runtime.
    with_runtime(run.seed, || under_load(run, 1, limit))?;
    let level = Level::now()?;
    let seen = with_runtime(run.seed, || under_load(run, kills, limit))?;
    level.is_back()?;
    check(children()?.is_empty(), || {
        "a worker outlives its runtime".into()
    })?;
    let mut tally = Tally::of(kills);
    tally.notes.push(seen.text());
    Ok(tally)
}

fn under_load(run: &Run, kills: u64, limit: Duration) -> Outcome<Seen> {
    let killed = Killed::default();
    let mut load = Load::new(run, killed.clone(), limit);
    load.round()?;
    let level = at_rest(&mut load)?;
    let (news, hears) = channel();
    let seed = run.seed;
    let killer = std::thread::spawn(move || kill_some(seed, kills, &hears, &killed));
    let mut worked = Ok(());
    while worked.is_ok() && !killer.is_finished() {
        worked = load.round();
        // It has gone when it has killed all.
        let _heard = news.send(());
    }
    // Ends the killer if it is not done.
    drop(news);
    let ended = killer.join();
    worked?;
    ended.map_err(|_| broken("the killer panicked"))??;
    // All the dead are replaced, and all works.
    load.round()?;
    let after = at_rest(&mut load)?;
    let more = |now: usize, before: usize| now > before + AT_REST;
    let leaks = more(after.descriptors, level.descriptors) || more(after.mappings, level.mappings);
    check(!leaks, || {
        format!("leaked: {after:?} at rest after {kills} kills, and {level:?} before")
    })?;
    Ok(load.end())
}

/// Waits until nobody holds anything, and says what the driver has then.
fn at_rest(load: &mut Load) -> Outcome<Level> {
    load.let_go()?;
    becomes("the store is empty", SETTLE, || {
        Ok(maser::store_usage().map_err(broken)?.objects == 0)
    })
    .and_then(|_| {
        becomes("workers without an actor have ended", SETTLE, || {
            Ok(children()?.len() <= PLACES)
        })
    })?;
    Level::now()
}

/// The killer: after some rounds, and at no particular instant of the next one.
fn kill_some(seed: u64, kills: u64, hears: &Receiver<()>, killed: &Killed) -> Outcome<()> {
    let mut random = Random::new(seed ^ 0x6b69_6c6c);
    for _ in 0..kills {
        for _ in 0..random.below(3) {
            if hears.recv().is_err() {
                return Ok(());
            }
        }
        for _ in 0..random.below(1 << 16) {
            std::hint::spin_loop();
        }
        loop {
            let living: BTreeSet<u32> = children()?.into_iter().collect();
            let at = random.below(living.len().max(1) as u64) as usize;
            if let Some(&victim) = living.iter().nth(at) {
                let mut list = killed.lock().map_err(broken)?;
                list.push(victim);
                if signal(victim, Signal::KILL)? {
                    break;
                }
                list.pop();
            } else if hears.recv().is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}
