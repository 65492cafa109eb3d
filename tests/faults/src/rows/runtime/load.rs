//! A driver's load: a few questions of every kind at once, and what became of each.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use maser::{Actor, Array, Error, GraphRef, GraphValue, Ref, RefStream};

use super::actors::{self, Busy, busy, is_whole, sum, task_count, task_make, task_sum};
use super::kills::Killed;
use super::load_graphs::{ChainRefs, Graphs, chained};
use super::names_the_dead;
use crate::random::Random;
use crate::row::{Outcome, Run, broken, check};

/// Actors in processes of their own.
const ACTORS: usize = 3;
const ALL: [usize; ACTORS] = [0, 1, 2];
/// Questions that are open at once.
const OPEN: usize = 8;
/// Arrays that were acknowledged and are kept.
const KEPT: usize = 8;
/// Items that are read of an actor's stream, which has no end.
const ITEMS: u64 = 40;
/// Items of a task's stream: all of them have room on the way.
const TASK_ITEMS: u64 = 12;

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    values: u64,
    errors: u64,
    graphs: u64,
    wait_max: Duration,
}

/// A question that is open.
enum Asked {
    Echo(usize, Ref<(u64, String)>, (u64, String)),
    /// Who is asked, and who else may have died if there is no answer.
    Sum(Vec<usize>, Ref<u64>, u64),
    /// `None`: the pool, whose tasks run again.
    Array(Option<usize>, Ref<Array<u64>>, u64, u64),
    Stream(Option<usize>, RefStream<u64>, u64),
    Step(usize, GraphRef<u64>, u64),
    Chain(ChainRefs, u64, u64),
    /// Somebody was dead already.
    Nothing,
}

/// See the module's page.
pub struct Load {
    random: Random,
    actors: Vec<Actor<Busy>>,
    graphs: Graphs,
    /// Those who may have died.
    suspects: BTreeSet<usize>,
    /// Those of whose graphs one has ended.
    ended: BTreeSet<usize>,
    kept: VecDeque<(Array<u64>, u64, u64)>,
    killed: Killed,
    limit: Duration,
    planted: bool,
    seen: Seen,
}

impl Seen {
    /// For the row's line.
    pub fn text(&self) -> String {
        format!(
            "{} values were right, {} errors named the dead; {} graphs; longest wait {:.1?}",
            self.values, self.errors, self.graphs, self.wait_max
        )
    }
}

impl Load {
    /// With its actors.
    pub fn new(run: &Run, killed: Killed, limit: Duration) -> Self {
        Self {
            random: run.random(),
            actors: (0..ACTORS).map(|_| busy()).collect(),
            graphs: Graphs::new(ACTORS),
            suspects: BTreeSet::new(),
            ended: BTreeSet::new(),
            kept: VecDeque::new(),
            killed,
            limit,
            planted: run.planted,
            seen: Seen::default(),
        }
    }

    /// Asks, waits for all answers, and makes the actors again that have died.
    pub fn round(&mut self) -> Outcome<()> {
        let asked: Outcome<Vec<Asked>> = (0..OPEN).map(|_| self.ask()).collect();
        // A stream keeps its actor until it is read, so runs of graphs may wait for it.
        let (runs, others): (Vec<Asked>, Vec<Asked>) = asked?
            .into_iter()
            .partition(|asked| matches!(asked, Asked::Step(..) | Asked::Chain(..)));
        for asked in others.into_iter().chain(runs) {
            self.answer(asked)?;
        }
        for at in std::mem::take(&mut self.ended) {
            self.graphs.end_those_of(at, self.limit)?;
        }
        // Who is not dead goes on as if nothing had been.
        for at in std::mem::take(&mut self.suspects) {
            let answer = self.actors[at].echo().remote(0, String::new());
            if self.get(&answer, &[at], "a call")?.is_none() {
                self.graphs.end_those_of(at, self.limit)?;
                self.actors[at] = busy();
            }
        }
        self.suspects.clear();
        Ok(())
    }

    /// Drops all that is held; actors are made again for the next round.
    pub fn let_go(&mut self) -> Outcome<()> {
        self.graphs.let_go(self.limit)?;
        self.kept.clear();
        // The next round makes them.
        self.actors.clear();
        Ok(())
    }

    /// What was seen.
    pub fn end(mut self) -> Seen {
        self.seen.graphs = self.graphs.compiled;
        self.seen.wait_max = self.seen.wait_max.max(self.graphs.end_max);
        self.seen
    }

    /// 1 KiB to 4 MiB.
    fn len(&mut self) -> u64 {
        let shift = self.random.below(13);
        (128 << shift) - self.random.below(64)
    }

    fn ask(&mut self) -> Outcome<Asked> {
        while self.actors.len() < ACTORS {
            self.actors.push(busy());
        }
        let at = self.random.below(ACTORS as u64) as usize;
        let other = self.random.below(ACTORS as u64) as usize;
        let number = self.random.next() >> 1;
        let actor = &self.actors[at].clone();
        Ok(match self.random.below(10) {
            0 | 1 => {
                let text = "text ".repeat(self.random.below(600) as usize);
                let answer = actor.echo().remote(number, text.clone());
                Asked::Echo(at, answer, (number, text))
            }
            2 => {
                let len = self.len();
                let array = actors::array(number, len);
                if self.planted {
                    std::mem::forget(array.clone());
                }
                let answer = actor.keep().remote(array);
                Asked::Sum(vec![at], answer, sum(number, len))
            }
            3 => {
                let len = self.len();
                let made = actor.make().remote(number, len);
                let answer = self.actors[other].sum().remote(&made);
                Asked::Sum(vec![at, other], answer, sum(number, len))
            }
            4 => {
                let len = self.len();
                Asked::Array(Some(at), actor.make().remote(number, len), number, len)
            }
            5 => {
                let len = self.len();
                Asked::Array(None, task_make::remote(number, len), number, len)
            }
            6 => {
                let len = self.len();
                let made = task_make::remote(number, len);
                Asked::Sum(Vec::new(), task_sum::remote(&made), sum(number, len))
            }
            7 => match self.random.below(2) {
                0 => Asked::Stream(Some(at), actor.count().remote(number), number),
                _ => Asked::Stream(None, task_count::remote(number, TASK_ITEMS), number),
            },
            8 => self.step(at, number)?,
            _ => self.chain(number)?,
        })
    }

    fn step(&mut self, at: usize, number: u64) -> Outcome<Asked> {
        let began = Instant::now();
        let graph = self.graphs.single(&self.actors, at);
        let run = graph.and_then(|graph| graph.execute_timeout((number, 0), self.limit));
        self.waited(began);
        match run {
            Ok(answer) => Ok(Asked::Step(at, answer, number + 1)),
            Err(error) => self.graph_failed(&error, &[at]).map(|()| Asked::Nothing),
        }
    }

    fn chain(&mut self, number: u64) -> Outcome<Asked> {
        let len = self.len() >> 4;
        let array = actors::array(number, len);
        let began = Instant::now();
        let graph = self.graphs.chain(&self.actors);
        let run = graph.and_then(|graph| graph.execute_timeout((number, 0, array), self.limit));
        self.waited(began);
        match run {
            Ok(refs) => Ok(Asked::Chain(refs, number, len)),
            Err(error) => self.graph_failed(&error, &ALL).map(|()| Asked::Nothing),
        }
    }

    /// It was a part of a graph, and so were others, of which one must have died.
    fn graph_failed(&mut self, error: &Error, who: &[usize]) -> Outcome<()> {
        self.ended.extend(who.first());
        self.failed(error, "a run of a graph", who)
    }

    fn answer(&mut self, asked: Asked) -> Outcome<()> {
        match asked {
            Asked::Echo(at, answer, expected) => {
                if let Some(found) = self.get(&answer, &[at], "a call")? {
                    check(found == expected, || {
                        format!("a call has the answer {} of another", found.0)
                    })?;
                }
            }
            Asked::Sum(who, answer, expected) => {
                if let Some(found) = self.get(&answer, &who, "a sum of an array")? {
                    check(found == expected, || {
                        "the bytes of an array are others".into()
                    })?;
                }
            }
            Asked::Array(at, answer, number, len) => {
                let who: Vec<usize> = at.into_iter().collect();
                if let Some(array) = self.get(&answer, &who, "an array")? {
                    self.keep(array, number, len)?;
                }
            }
            Asked::Stream(at, items, number) => self.read(at, items, number)?,
            Asked::Step(at, answer, expected) => {
                let found = self.get_run(&answer, &[at])?;
                check(found.is_none_or(|found| found == expected), || {
                    format!("a run with {found:?} and not {expected}")
                })?;
            }
            Asked::Chain((answer, array), number, len) => {
                let found = self.get_run(&answer, &ALL)?;
                check(
                    found.is_none_or(|found| found == chained(number, ACTORS)),
                    || format!("a run of the chain has {found:?}, the result of another"),
                )?;
                let array = self.get_run(&array, &ALL)?;
                check(
                    array.is_none_or(|array| is_whole(&array, number, len)),
                    || "an array that went through a graph is not whole".into(),
                )?;
            }
            Asked::Nothing => {}
        }
        Ok(())
    }

    /// Waits for something within the limit; counts a value, and how long it took.
    fn timed<T>(&mut self, get: impl FnOnce(Duration) -> maser::Result<T>) -> maser::Result<T> {
        let began = Instant::now();
        let got = get(self.limit);
        self.waited(began);
        self.seen.values += u64::from(got.is_ok());
        got
    }

    /// As [`get`](Self::get), of a graph.
    fn get_run<T: GraphValue>(
        &mut self,
        answer: &GraphRef<T>,
        who: &[usize],
    ) -> Outcome<Option<T>> {
        match self.timed(|limit| answer.get_timeout(limit)) {
            Ok(value) => Ok(Some(value)),
            Err(error) => self.graph_failed(&error, who).map(|()| None),
        }
    }

    /// It was acknowledged, so it stays whole whoever dies.
    fn keep(&mut self, array: Array<u64>, number: u64, len: u64) -> Outcome<()> {
        self.kept.push_back((array, number, len));
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
        let at = self.random.below(self.kept.len() as u64) as usize;
        for (array, number, len) in [&self.kept[at], &self.kept[self.kept.len() - 1]] {
            check(is_whole(array, *number, *len), || {
                format!("an array of {len} elements that had come is not whole")
            })?;
        }
        Ok(())
    }

    fn read(&mut self, at: Option<usize>, mut items: RefStream<u64>, number: u64) -> Outcome<()> {
        let count = if at.is_some() { ITEMS } else { TASK_ITEMS };
        for item in 0..count {
            let began = Instant::now();
            let next = items.next_timeout(self.limit);
            self.waited(began);
            let got = match next {
                Ok(Some(item)) => item.get_timeout(self.limit),
                Ok(None) => return Err(broken(format!("a stream has ended after {item} items"))),
                Err(error) => Err(error),
            };
            match got {
                Ok(found) => {
                    check(found == actors::element(number, item), || {
                        format!("item {item} of a stream is another")
                    })?;
                    self.seen.values += 1;
                }
                Err(error) => return self.failed(&error, "an item of a stream", at.as_slice()),
            }
        }
        if at.is_none()
            && let Some(more) = items.next_timeout(self.limit).map_err(broken)?
        {
            // Its worker may have died after the last item and before it said so.
            return match more.get_timeout(self.limit) {
                Ok(_) => Err(broken("a stream has more items than were made")),
                Err(error) => self.failed(&error, "the end of a stream", &[]),
            };
        }
        Ok(())
    }

    /// A value, or `None` if those who were to give it died (and may: with none, a task that runs
    /// again).
    fn get<T: Clone + Send + Sync + 'static>(
        &mut self,
        answer: &Ref<T>,
        who: &[usize],
        what: &str,
    ) -> Outcome<Option<T>> {
        match self.timed(|limit| answer.get_timeout(limit)) {
            Ok(value) => Ok(Some(value)),
            Err(error) if who.is_empty() => Err(broken(format!("{what} of a task: {error}"))),
            Err(error) => self.failed(&error, what, who).map(|()| None),
        }
    }

    fn waited(&mut self, began: Instant) {
        self.seen.wait_max = self.seen.wait_max.max(began.elapsed());
    }

    fn failed(&mut self, error: &Error, what: &str, who: &[usize]) -> Outcome<()> {
        let killed = self.killed.lock().map_err(broken)?.clone();
        check(names_the_dead(error, &killed), || {
            format!("{what}, and nobody it names was killed: {error}")
        })?;
        self.suspects.extend(who);
        self.seen.errors += 1;
        Ok(())
    }
}
