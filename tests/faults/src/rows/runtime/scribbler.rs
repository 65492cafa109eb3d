//! A worker that writes nonsense over all that it shares, while all work.

use std::time::{Duration, Instant};

use maser::{Actor, Array, Error};
use rustix::process::Signal;

use super::actors::{Busy, array, busy, is_whole, sum, task_sum};
use super::load_graphs::{Graphs, chained};
use super::{PATIENCE, PLACES, becomes, children, longest, names_the_dead, signal, with_runtime};
use crate::level::Level;
use crate::random::Random;
use crate::row::{Outcome, Row, Run, Tally, broken, check};

/// The row of this file.
pub const ROW: Row = Row {
    name: "E3.runtime_scribbler",
    claim: "a worker scribbles over every mapping that it may write, once or all the time, amid calls, \
            arrays and a graph: the driver and the others go on, waits for it end by their limits or \
            by its death, and nothing of it stays",
    canary: "it can write what two others share",
    run,
};

/// Scribblers after which the bug is certain to be seen.
const ROUNDS_PLANTED: u64 = 20;
/// The limit of a wait for a scribbler.
const SHORT: Duration = Duration::from_millis(30);
/// Questions to a scribbler.
const TURNS: u64 = 6;
/// How long what nobody holds may take to go.
const SETTLE: Duration = Duration::from_secs(5);

/// What became of the questions to scribblers.
#[derive(Debug, Default)]
struct Seen {
    answers: u64,
    timeouts: u64,
    deaths: u64,
    errors: u64,
    wait_max: Duration,
}

/// The one that scribbles, those who work with it, and what they have.
struct Scene<'a> {
    actors: [Actor<Busy>; 2],
    graphs: Graphs,
    victim: u32,
    random: &'a mut Random,
    limit: Duration,
    seen: &'a mut Seen,
}

fn run(run: &Run) -> Outcome<Tally> {
    let rounds = match run.planted {
        true => run.share_of(ROUNDS_PLANTED),
        false => run.share_of(400),
    };
    let limit = longest(run, Duration::from_secs(2));
    // What is made once is there after the first runtime.
    with_runtime(run.seed, || several(run, 1, false, PATIENCE))?;
    let level = Level::now()?;
    let seen = with_runtime(run.seed, || several(run, rounds, run.planted, limit))?;
    level.is_back()?;
    check(children()?.is_empty(), || {
        "a worker outlives its runtime".into()
    })?;
    let mut tally = Tally::of(rounds);
    tally.notes.push(format!(
        "scribblers gave {} answers, {} errors, {} deaths and {} timeouts; longest wait for others {:.1?}",
        seen.answers, seen.errors, seen.deaths, seen.timeouts, seen.wait_max
    ));
    Ok(tally)
}

fn several(run: &Run, rounds: u64, planted: bool, limit: Duration) -> Outcome<Seen> {
    let mut random = run.random();
    let mut seen = Seen::default();
    let bystander = busy();
    let pid = bystander.pid().remote().get_timeout(PATIENCE);
    let pid = pid.map_err(broken)?;
    let kept = (array(1, 5000), bystander.make().remote(2, 5000));
    let made = kept.1.get_timeout(PATIENCE).map_err(broken)?;
    for round in 0..rounds {
        let actors = [bystander.clone(), busy()];
        let victim = actors[1].pid().remote().get_timeout(PATIENCE);
        let mut scene = Scene {
            graphs: Graphs::new(actors.len()),
            actors,
            victim: victim.map_err(broken)?,
            random: &mut random,
            limit,
            seen: &mut seen,
        };
        let told = |stop| broken(format!("round {round}: {stop:?}"));
        scene.round(planted.then_some(pid)).map_err(told)?;
        let again = bystander
            .pid()
            .remote()
            .get_timeout(limit)
            .map_err(broken)?;
        check(again == pid, || "another process answers".into())?;
        let whole = is_whole(&kept.0, 1, 5000) && is_whole(&made, 2, 5000);
        check(whole, || "an array of somebody else has changed".into())?;
    }
    drop((kept, made, bystander));
    becomes("the store is empty", SETTLE, || {
        Ok(maser::store_usage().map_err(broken)?.objects == 0)
    })?;
    becomes("workers without an actor have ended", SETTLE, || {
        Ok(children()?.len() <= PLACES)
    })?;
    Ok(seen)
}

impl Scene<'_> {
    fn round(&mut self, planted: Option<u32>) -> Outcome<()> {
        // All is well, and memory of every kind is shared.
        self.run_all(PATIENCE)?;
        let held = self.actors[1].keep().remote(array(9, 3000));
        held.get_timeout(PATIENCE).map_err(broken)?;
        let (seed, times) = (self.random.next(), 1 + self.random.below(8));
        let forever = self.random.below(2) == 0;
        let scribbles = self.actors[1].scribble();
        let begun = scribbles.remote(seed, times, forever, planted.unwrap_or(0));
        self.seen_of(begun.get_timeout(SHORT))?;
        let mut pending = Vec::new();
        for turn in 0..TURNS {
            self.ask_the_victim(turn)?;
            pending.push(self.actors[1].echo().remote(turn, "late"));
            self.ask_the_others(turn)?;
        }
        // It may have ended, by itself or by the driver.
        signal(self.victim, Signal::KILL)?;
        for answer in pending {
            let told = answer.get_timeout(self.limit);
            let is_late = matches!(told, Err(Error::Timeout { .. }));
            check(!is_late, || {
                format!("not told of the death of pid {}", self.victim)
            })?;
            self.seen_of(told)?;
        }
        self.graphs.let_go(self.limit)?;
        self.ask_the_others(TURNS)
    }

    /// The graphs of both work.
    fn run_all(&mut self, limit: Duration) -> Outcome<()> {
        let len = 1 + self.random.below(4000);
        let chain = self.graphs.chain(&self.actors).map_err(broken)?;
        let (number, whole) = chain.execute((1, 0, array(3, len))).map_err(broken)?;
        let (number, whole) = (number.get_timeout(limit), whole.get_timeout(limit));
        let right = number.map_err(broken)? == chained(1, self.actors.len());
        check(right, || "a graph gives another number".into())?;
        check(is_whole(&whole.map_err(broken)?, 3, len), || {
            "a graph gives another array".into()
        })?;
        for at in 0..self.actors.len() {
            let single = self.graphs.single(&self.actors, at).map_err(broken)?;
            let answer = single.execute((4, 0)).map_err(broken)?;
            let found = answer.get_timeout(limit).map_err(broken)?;
            check(found == 5, || format!("a graph gives {found}"))?;
        }
        Ok(())
    }

    /// Whatever it says, it is said in time.
    fn ask_the_victim(&mut self, turn: u64) -> Outcome<()> {
        let victim = &self.actors[1];
        match self.random.below(5) {
            0 => {
                let text = "text ".repeat(self.random.below(300) as usize);
                let answer = victim.echo().remote(turn, text).get_timeout(SHORT);
                self.seen_of(answer)
            }
            1 => {
                let answer = victim.sum().remote(array(turn, 2000)).get_timeout(SHORT);
                self.seen_of(answer)
            }
            2 => {
                let made: maser::Result<Array<u64>> =
                    victim.make().remote(turn, 2000).get_timeout(SHORT);
                // Its own memory is its own to write.
                self.seen_of(made.map(|array| array.len()))
            }
            3 => {
                let single = self.graphs.single(&self.actors, 1);
                let run = single.and_then(|graph| graph.execute_timeout((turn, 0), SHORT));
                self.seen_of(run.and_then(|answer| answer.get_timeout(SHORT)))
            }
            _ => {
                let chain = self.graphs.chain(&self.actors);
                let array = array(turn, 1 + self.random.below(4000));
                let run = chain.and_then(|graph| graph.execute_timeout((turn, 0, array), SHORT));
                match run {
                    Ok((number, array)) => {
                        self.seen_of(number.get_timeout(SHORT))?;
                        self.seen_of(array.get_timeout(SHORT).map(|array| array.len()))
                    }
                    Err(error) => self.seen_of::<u64>(Err(error)),
                }
            }
        }
    }

    /// They answer rightly, and soon.
    fn ask_the_others(&mut self, turn: u64) -> Outcome<()> {
        let began = Instant::now();
        let bystander = &self.actors[0];
        let answer = bystander.echo().remote(turn, "text");
        let task = task_sum::remote(array(turn, 500));
        let single = self.graphs.single(&self.actors, 0).map_err(broken)?;
        let step = single.execute_timeout((turn, 0), self.limit);
        let step = step.and_then(|step| step.get_timeout(self.limit));
        let step = step.map_err(|error| broken(format!("a graph of another: {error}")))?;
        check(step == turn + 1, || {
            "a graph of another gives nonsense".into()
        })?;
        let answer = answer.get_timeout(self.limit);
        let (number, _) = answer.map_err(|error| broken(format!("a call of another: {error}")))?;
        check(number == turn, || "a call of another gives nonsense".into())?;
        let found = task.get_timeout(self.limit);
        let found = found.map_err(|error| broken(format!("a task: {error}")))?;
        check(found == sum(turn, 500), || "a task gives nonsense".into())?;
        self.seen.wait_max = self.seen.wait_max.max(began.elapsed());
        check(began.elapsed() <= self.limit, || {
            format!("others waited {:?}", began.elapsed())
        })
    }

    fn seen_of<T>(&mut self, got: maser::Result<T>) -> Outcome<()> {
        let error = match got {
            Ok(_) => {
                self.seen.answers += 1;
                return Ok(());
            }
            Err(error) => error,
        };
        let text = error.to_string();
        match error.root() {
            Error::Timeout { .. } => self.seen.timeouts += 1,
            Error::ActorDied { .. } | Error::WorkerCrashed { .. } => {
                check(names_the_dead(&error, &[self.victim]), || {
                    format!("the death of pid {} was told so: {text}", self.victim)
                })?;
                self.seen.deaths += 1;
            }
            Error::ShutDown { .. } | Error::NotRunning { .. } => {
                return Err(broken(format!("of a scribbler: {text}")));
            }
            _ => self.seen.errors += 1,
        }
        check(!text.contains("defect of maser"), || {
            format!("of a scribbler: {text}")
        })
    }
}
