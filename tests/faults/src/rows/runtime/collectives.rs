//! A member of collectives that dies in the middle of them, and a process whose results others were
//! promised: as arguments of calls and of another graph, and for a recording.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use maser::collective::{self, ReduceOp, allreduce};
use maser::{Actor, CompileOptions, Graph, Node, Record, Recording};

use super::actors::{Busy, busy, busy_here};
use super::{kill, longest, signal, wait_for_stop, with_runtime};
use crate::level::Level;
use crate::row::{Outcome, Row, Run, Tally, broken, check};

/// The row of this file.
pub const ROW: Row = Row {
    name: "A3.collective_deaths",
    claim: "a member of a group, a member of a collective of a graph, and a process whose results were \
            passed on and recorded, killed at a random instant: all who wait are told who died, and the \
            others go on",
    canary: "the victim is stopped and not dead",
    run,
};

/// Ranks; the last is in the driver.
const RANKS: usize = 3;
/// A death comes up to so long after the first operation, us.
const DELAY_US_MAX: u64 = 3_000;
/// How long the planted bug may hide.
const PLANTED_LIMIT: Duration = Duration::from_secs(1);

/// One death.
struct Try<'a> {
    delay: Duration,
    planted: bool,
    limit: Duration,
    longest: &'a mut Duration,
}

fn run(run: &Run) -> Outcome<Tally> {
    let deaths = run.share_of(150);
    let limit = match run.planted {
        true => PLANTED_LIMIT,
        false => longest(run, Duration::from_secs(1)),
    };
    let mut random = run.random();
    let mut tries = |deaths: u64, longest: &mut Duration| {
        for at in 0..deaths {
            let delay = Duration::from_micros(random.below(DELAY_US_MAX));
            let one = Try {
                delay,
                planted: run.planted,
                limit,
                longest: &mut *longest,
            };
            let outcome = match at % 3 {
                0 => one.of_a_group(),
                1 => one.of_a_graph(),
                _ => one.of_what_was_passed_on(),
            };
            outcome.map_err(|stop| broken(format!("death {at} after {delay:?}: {stop:?}")))?;
        }
        Ok(())
    };
    // What is made once is there after the first runtime.
    let mut longest = Duration::ZERO;
    with_runtime(run.seed, || tries(3, &mut longest))?;
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

fn ranks() -> Vec<Actor<Busy>> {
    let place = |at: usize| match at + 1 < RANKS {
        true => busy(),
        false => busy_here(),
    };
    (0..RANKS).map(place).collect()
}

fn pid_of(busy: &Actor<Busy>) -> Outcome<u32> {
    busy.pid().remote().get().map_err(broken)
}

/// The error is the death of this process.
fn told<T>(outcome: maser::Result<T>, pid: u32) -> Outcome<()> {
    match outcome {
        Err(error) => {
            let text = error.to_string();
            check(text.contains(&format!("(pid {pid})")), || {
                format!("the death of pid {pid} was told so: {text}")
            })
        }
        Ok(_) => Err(broken(format!("pid {pid} died and a call succeeded"))),
    }
}

impl Try<'_> {
    /// Lets the time pass, and the process end.
    fn ends(&self, pid: u32) -> Outcome<Instant> {
        let began = Instant::now();
        while began.elapsed() < self.delay {
            maser::yield_now();
        }
        if self.planted {
            signal(pid, rustix::process::Signal::STOP)?;
            wait_for_stop(pid)?;
        } else {
            kill(pid)?;
        }
        Ok(Instant::now())
    }

    /// The operations of a group.
    fn of_a_group(self) -> Outcome<()> {
        let mut ranks = ranks();
        let pid = pid_of(&ranks[0])?;
        let reduce = |ranks: &[Actor<Busy>], times: u64| {
            let group = collective::create_group(ranks, "gloo").map_err(broken)?;
            let calls = ranks.iter().zip(group.members());
            let calls: Vec<_> = calls
                .map(|(rank, member)| rank.reduce().remote(member, times))
                .collect();
            Ok((group, calls))
        };
        let (group, calls) = reduce(&ranks, u64::MAX)?;
        let dead_since = self.ends(pid)?;
        for call in calls {
            told(call.get_timeout(self.limit), pid)?;
        }
        *self.longest = dead_since.elapsed().max(*self.longest);
        drop(group);
        // The others are at once members of another one.
        drop(ranks.remove(0));
        let (_group, calls) = reduce(&ranks, 3)?;
        for call in calls {
            call.get_timeout(self.limit).map_err(broken)?;
        }
        Ok(())
    }

    /// The collectives of a graph.
    fn of_a_graph(self) -> Outcome<()> {
        let mut ranks = ranks();
        let pid = pid_of(&ranks[0])?;
        let compiled = |ranks: &[Actor<Busy>]| {
            let graph = Graph::new(|len: Node<u64>| {
                let parts: Vec<_> = ranks.iter().map(|rank| rank.ones().bind(len)).collect();
                let sums = allreduce::bind(parts, ReduceOp::Sum);
                let shares = ranks.iter().zip(sums);
                let shares: Vec<_> = shares.map(|(rank, sum)| rank.first().bind(sum)).collect();
                shares
            });
            graph.compile().map_err(broken)
        };
        let graph = compiled(&ranks)?;
        let began = Instant::now();
        let mut runs = Vec::new();
        while runs.len() < 4 || began.elapsed() < self.delay / 2 {
            let len = 1 + 40_000 * (runs.len() as u64 % 2);
            match graph.try_execute(len) {
                Ok(run) => runs.push(run),
                Err(_) => {
                    // Some results are dropped before they come.
                    drop(runs.drain(4.min(runs.len())..));
                    maser::yield_now();
                }
            }
        }
        let dead_since = self.ends(pid)?;
        let late = graph.execute_timeout(1, self.limit);
        told(late.and_then(|late| late[0].get_timeout(self.limit)), pid)?;
        for result in runs.iter().flatten() {
            // It had come by then, or never will.
            match result.get_timeout(self.limit) {
                Ok(sum) => check(sum == RANKS as f32, || format!("{sum} is no sum"))?,
                Err(error) => told(Err::<(), _>(error), pid)?,
            }
        }
        *self.longest = dead_since.elapsed().max(*self.longest);
        drop((runs, graph));
        drop(ranks.remove(0));
        let graph = compiled(&ranks)?;
        for share in graph.execute(40_000).map_err(broken)? {
            let sum = share.get_timeout(self.limit).map_err(broken)?;
            check(sum == 2.0, || format!("{sum} is no sum of two"))?;
        }
        graph.teardown().map_err(broken)
    }

    /// Results that go on before they are there, of a graph that is recorded.
    fn of_what_was_passed_on(self) -> Outcome<()> {
        let (victim, other, here) = (busy(), busy(), busy_here());
        let pid = pid_of(&victim)?;
        let options = CompileOptions {
            record: Some(Record::later()),
            ..CompileOptions::default()
        };
        let first = Graph::new(|value: Node<u64>| victim.step().bind(value, 0));
        let first = first.compile_with(options).map_err(broken)?;
        let tape = Tape::default();
        first.record_into(tape.clone()).map_err(broken)?;
        let second = Graph::new(|value: Node<u64>| other.step().bind(value, 0));
        let second = second.compile().map_err(broken)?;
        let mut passed = Vec::new();
        let mut submitted = 0;
        let began = Instant::now();
        while passed.len() < 6 || (passed.len() < 200 && began.elapsed() < self.delay) {
            let (Ok(run), value) = (first.try_execute(submitted), submitted) else {
                maser::yield_now();
                continue;
            };
            submitted += 1;
            let result = match value % 3 {
                0 => here.step().remote(run, 0_u32),
                1 => other.step().remote(&run, 0_u32),
                _ => match second.try_execute(&run) {
                    Ok(run) => run.into_ref(),
                    Err(_) => continue,
                },
            };
            passed.push((value, result));
        }
        let dead_since = self.ends(pid)?;
        told(
            first
                .execute_timeout(0, self.limit)
                .and_then(|late| late.get_timeout(self.limit)),
            pid,
        )?;
        for (value, result) in passed {
            match result.get_timeout(self.limit) {
                Ok(found) => check(found == value + 2, || format!("{found} is not {value} + 2"))?,
                Err(error) => told(Err::<(), _>(error), pid)?,
            }
        }
        *self.longest = dead_since.elapsed().max(*self.longest);
        let result = second
            .execute(7)
            .and_then(|run| run.get_timeout(self.limit));
        check(result.map_err(broken)? == 8, || "7 + 1".into())?;
        let recorded = first.stop_recording().map_err(broken)?;
        let read = Recording::from_bytes("a recording", &tape.bytes()).map_err(broken)?;
        let (written, found) = (recorded.runs, read.runs());
        check(
            written == found && found >= submitted && read.is_whole(),
            || format!("{submitted} runs were submitted, {written} written, {found} found"),
        )
    }
}

/// A recording in memory.
#[derive(Clone, Default)]
struct Tape(Arc<Mutex<Vec<u8>>>);

impl Tape {
    fn bytes(&self) -> Vec<u8> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Write for Tape {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut tape = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tape.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
