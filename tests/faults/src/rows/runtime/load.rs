//! A driver's load: a few questions of every kind at once, and what became of each.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use maser::{Actor, Array, Error, Ref, RefStream};

use super::actors::{self, Busy, busy, is_whole, sum, task_count, task_make, task_sum};
use super::kills::Killed;
use super::names_the_dead;
use crate::random::Random;
use crate::row::{Outcome, Run, broken, check};

/// Actors in processes of their own.
const ACTORS: u64 = 3;
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
}

/// See the module's page.
pub struct Load {
    random: Random,
    actors: Vec<Actor<Busy>>,
    dead: BTreeSet<usize>,
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
            "{} values were right, {} errors named the dead; longest wait {:.1?}",
            self.values, self.errors, self.wait_max
        )
    }
}

impl Load {
    /// With its actors.
    pub fn new(run: &Run, killed: Killed, limit: Duration) -> Self {
        Self {
            random: run.random(),
            actors: (0..ACTORS).map(|_| busy()).collect(),
            dead: BTreeSet::new(),
            kept: VecDeque::new(),
            killed,
            limit,
            planted: run.planted,
            seen: Seen::default(),
        }
    }

    /// Asks, waits for all answers, and makes the actors again that have died.
    pub fn round(&mut self) -> Outcome<()> {
        let asked: Vec<Asked> = (0..OPEN).map(|_| self.ask()).collect();
        for asked in asked {
            self.answer(asked)?;
        }
        for at in std::mem::take(&mut self.dead) {
            self.actors[at] = busy();
        }
        Ok(())
    }

    /// Drops all that is held; actors are made again for the next round.
    pub fn let_go(&mut self) {
        self.kept.clear();
        self.actors.clear();
        // The next round makes them.
        self.dead.clear();
    }

    /// What was seen.
    pub fn end(self) -> Seen {
        self.seen
    }

    /// 1 KiB to 4 MiB.
    fn len(&mut self) -> u64 {
        let shift = self.random.below(13);
        (128 << shift) - self.random.below(64)
    }

    fn ask(&mut self) -> Asked {
        while self.actors.len() < ACTORS as usize {
            self.actors.push(busy());
        }
        let at = self.random.below(ACTORS) as usize;
        let other = self.random.below(ACTORS) as usize;
        let number = self.random.next();
        let actor = &self.actors[at].clone();
        match self.random.below(8) {
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
            _ => match self.random.below(2) {
                0 => Asked::Stream(Some(at), actor.count().remote(number), number),
                _ => Asked::Stream(None, task_count::remote(number, TASK_ITEMS), number),
            },
        }
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
        }
        Ok(())
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
        let began = Instant::now();
        let got = answer.get_timeout(self.limit);
        self.waited(began);
        match got {
            Ok(value) => {
                self.seen.values += 1;
                Ok(Some(value))
            }
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
        self.dead.extend(who);
        self.seen.errors += 1;
        Ok(())
    }
}
