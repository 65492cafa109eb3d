//! The compiled graphs of the load: one step that is question and answer, and a chain over every
//! process and the driver.

use std::time::{Duration, Instant};

use maser::{Actor, Array, CompiledGraph, Graph, GraphRef, Node};

use super::actors::{Busy, busy_here};
use crate::row::{Outcome, check};

/// One step of one actor: its process answers on the very line of the question.
pub type Single = CompiledGraph<(Node<u64>, Node<u32>), Node<u64>>;

/// A number and an array go from process to process, and through the driver in between.
pub type Chain =
    CompiledGraph<(Node<u64>, Node<u32>, Node<Array<u64>>), (Node<u64>, Node<Array<u64>>)>;

/// What a run of the chain is to give.
pub type ChainRefs = (GraphRef<u64>, GraphRef<Array<u64>>);

/// The graphs that there are; each is made when it is asked for.
pub struct Graphs {
    here: Option<Actor<Busy>>,
    chain: Option<Chain>,
    singles: Vec<Option<Single>>,
    /// The longest end of one.
    pub end_max: Duration,
    /// How many were compiled.
    pub compiled: u64,
}

impl Graphs {
    /// None, of so many actors.
    pub fn new(actors: usize) -> Self {
        Self {
            here: None,
            chain: None,
            singles: (0..actors).map(|_| None).collect(),
            end_max: Duration::ZERO,
            compiled: 0,
        }
    }

    /// One step of actor `at`.
    pub fn single(&mut self, actors: &[Actor<Busy>], at: usize) -> maser::Result<&Single> {
        if self.singles[at].is_none() {
            let step =
                |(value, halts): (Node<u64>, Node<u32>)| actors[at].step().bind(value, halts);
            self.singles[at] = Some(Graph::new(step).compile()?);
            self.compiled += 1;
        }
        Ok(self.singles[at].as_ref().unwrap_or_else(|| unreachable!()))
    }

    /// A step in every process and one in the driver.
    pub fn chain(&mut self, actors: &[Actor<Busy>]) -> maser::Result<&Chain> {
        if self.chain.is_none() {
            let here = self.here.get_or_insert_with(busy_here);
            let steps = |(value, halts, array): (Node<u64>, Node<u32>, Node<Array<u64>>)| {
                let middle = actors.len() / 2;
                let all = actors[..middle]
                    .iter()
                    .chain([&*here])
                    .chain(&actors[middle..]);
                all.fold((value, array), |(value, array), actor| {
                    let value = actor.step().bind(value, halts);
                    (value, actor.pass().bind(array))
                })
            };
            self.chain = Some(Graph::new(steps).compile()?);
            self.compiled += 1;
        }
        Ok(self.chain.as_ref().unwrap_or_else(|| unreachable!()))
    }

    /// Ends the graphs that `at` is a part of.
    pub fn end_those_of(&mut self, at: usize, limit: Duration) -> Outcome<()> {
        let chain = self.chain.take();
        let single = self.singles[at].take();
        self.end(|| chain.map(|graph| graph.teardown()), limit)?;
        self.end(|| single.map(|graph| graph.teardown()), limit)
    }

    /// Ends all.
    pub fn let_go(&mut self, limit: Duration) -> Outcome<()> {
        for at in 0..self.singles.len() {
            self.end_those_of(at, limit)?;
        }
        self.here = None;
        Ok(())
    }

    fn end<R>(&mut self, ends: impl FnOnce() -> R, limit: Duration) -> Outcome<()> {
        let began = Instant::now();
        // The error of the teardown may name the dead one too.
        drop(ends());
        self.end_max = self.end_max.max(began.elapsed());
        check(began.elapsed() <= limit, || {
            format!("the end of a graph took {:?}", began.elapsed())
        })
    }
}

/// What the chain of so many actors makes of a number.
pub fn chained(number: u64, actors: usize) -> u64 {
    number + actors as u64 + 1
}
