//! Who waits for whom, since when: what `CompiledGraph::stalls` says, and errors of waits that were too
//! long.
//!
//! - SN-7 a step can wait for the value of another one, for an earlier run or step of its own actor, for
//!   its actor, for the READ of a synchronous pair, or for its scheduler. It never waits for room: an edge
//!   has a place for every run that may be in flight, so what is full is the graph, and who waits for that
//!   is the driver.

use super::chart::{Chart, Site};
use super::progress::Look;
use crate::graph::compiled::CompiledGraph;
use crate::graph::core::Core;
use crate::graph::inputs::InputNodes;
use crate::graph::outputs::OutputNodes;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What the runs in flight of a graph wait for. `Display` gives a line for each step.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StallReport {
    /// Runs that were submitted and whose results are not all with the driver, oldest first.
    pub runs: Vec<StalledRun>,
    /// Results with the driver that wait to be fetched, of the output that has most of them.
    pub results_waiting: usize,
    /// Above this many of them no run is submitted.
    pub max_buffered_results: usize,
}

/// One run in flight.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StalledRun {
    /// Its number.
    pub run: u64,
    /// For each place where it is not over: the step that runs there, or waits. Empty if all steps are
    /// over and the driver has yet to take the results in.
    pub steps: Vec<StalledStep>,
}

/// A step of a run in flight.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StalledStep {
    /// `#3 Class::method`, as in all errors of the graph.
    pub step: String,
    /// Its actor, if it is a method's.
    pub actor: Option<String>,
    /// The process that it runs in, if that is another one.
    pub process: Option<String>,
    /// What it does or waits for.
    pub wait: StepWait,
    /// How long, as far as is known.
    pub since: Since,
}

/// What a step that is not over does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StepWait {
    /// It runs, or waits inside of the program's own code.
    Runs,
    /// Its actor is in the middle of a call.
    ForActor,
    /// A value is not there.
    ForValue {
        /// The step that makes it, as in `StalledStep::step`.
        of: String,
        /// That one's actor.
        actor: Option<String>,
    },
    /// An earlier step of its actor is not over.
    ForStep {
        /// That step.
        step: String,
        /// Of which run.
        run: u64,
    },
    /// The value that its actor gave away before was not taken, and the two are a synchronous pair.
    ForRead {
        /// The step that takes it, or the first of those that begin with it.
        by: String,
        /// In which run.
        run: u64,
    },
    /// Everything is there; its scheduler, or its process, has not come to it.
    ForScheduler,
}

/// How long a step has been where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Since {
    /// This long.
    Exactly(Duration),
    /// At least this long: nobody looked before. Zero if this was the first look.
    AtLeast(Duration),
}

impl Since {
    /// The time that is known to have passed.
    pub fn elapsed(self) -> Duration {
        match self {
            Self::Exactly(time) | Self::AtLeast(time) => time,
        }
    }
}

/// A look at all segments.
pub(super) struct View<'a> {
    chart: &'a Chart,
    looks: Vec<(Look, Duration)>,
    now_ns: u64,
}

impl Chart {
    /// Looks at everything.
    pub(super) fn view(&self, now_ns: u64) -> View<'_> {
        View {
            chart: self,
            looks: self.look(now_ns),
            now_ns,
        }
    }
}

impl View<'_> {
    /// The steps that `run` waits for, one a segment.
    pub(super) fn steps(&self, run: u64) -> Vec<StalledStep> {
        let segments = 0..self.looks.len();
        segments
            .filter_map(|segment| self.step(segment, run))
            .collect()
    }

    fn step(&self, segment: usize, run: u64) -> Option<StalledStep> {
        let (look, _) = self.looks[segment];
        let members = &self.chart.segments[segment].members;
        if look.runs > run {
            return None;
        }
        if look.runs < run {
            let node = *members.first()?;
            let at = *members.get(look.step.unwrap_or(0))?;
            let wait = StepWait::ForStep {
                step: self.chart.label(at),
                run: look.runs,
            };
            return Some(self.stalled(node, wait, Since::AtLeast(Duration::ZERO)));
        }
        Some(self.current(segment, *members.get(look.step.unwrap_or(0))?))
    }

    /// What a segment does with the run that it is at.
    pub(super) fn current(&self, segment: usize, node: usize) -> StalledStep {
        let (look, elapsed) = self.looks[segment];
        let at_least = Since::AtLeast(elapsed);
        match (look.step, look.held_up_since_ns) {
            (Some(_), Some(since_ns)) => {
                let waited = Duration::from_nanos(self.now_ns.saturating_sub(since_ns));
                self.stalled(node, StepWait::ForActor, Since::Exactly(waited))
            }
            (Some(_), None) => self.stalled(node, StepWait::Runs, at_least),
            (None, _) => self.stalled(node, self.before(segment, look.runs), at_least),
        }
    }

    /// Why a segment has not begun `run`, which is its next.
    fn before(&self, segment: usize, run: u64) -> StepWait {
        let chart = self.chart;
        let own = &chart.segments[segment];
        for after in &own.after {
            let (other, _) = self.looks[after.segment];
            if other.runs < run + after.ahead {
                let members = &chart.segments[after.segment].members;
                let at = members.get(other.step.unwrap_or(0)).copied();
                return StepWait::ForStep {
                    step: at.map_or_else(String::new, |at| chart.label(at)),
                    run: other.runs,
                };
            }
        }
        if let Some(wait) = self.before_token(segment, run) {
            return wait;
        }
        let reads = own
            .members
            .iter()
            .flat_map(|node| &chart.sites[*node].reads);
        for read in reads.copied() {
            let site = &chart.sites[read];
            if site.segment != segment && !self.is_sent(site, run) {
                return StepWait::ForValue {
                    of: chart.label(read),
                    actor: chart.actor(read),
                };
            }
        }
        StepWait::ForScheduler
    }

    /// The READ of a synchronous pair that has to come before a segment begins `run`.
    fn before_token(&self, segment: usize, run: u64) -> Option<StepWait> {
        let tokens = self.chart.tokens.get()?;
        let mut tokens = tokens.iter().filter(|token| token.to == segment);
        tokens.find_map(|token| {
            let needed = run.checked_sub(u64::from(token.ahead))?;
            let (other, _) = self.looks[token.from];
            let is_read = other.runs > needed || (other.runs == needed && other.step.is_some());
            let by = self.chart.segments[token.from].members.first()?;
            (!is_read).then(|| StepWait::ForRead {
                by: self.chart.label(*by),
                run: needed,
            })
        })
    }

    /// Whether the value of a node was sent in `run`. Those of the driver were.
    fn is_sent(&self, site: &Site, run: u64) -> bool {
        let Some((look, _)) = self.looks.get(site.segment) else {
            return true;
        };
        look.runs > run || (look.runs == run && look.step.is_some_and(|at| at > site.number))
    }

    fn stalled(&self, node: usize, wait: StepWait, since: Since) -> StalledStep {
        let actor = self.chart.sites[node].actor.as_ref();
        StalledStep {
            step: self.chart.label(node),
            actor: actor.map(|actor| actor.display.clone()),
            process: actor.and_then(|actor| Some(actor.process.as_ref()?.name())),
            wait,
            since,
        }
    }

    /// What holds `run` up in the end, oldest run first: the segments that are not through with it and
    /// wait for no other. Each with the run that it is at.
    pub(super) fn culprits(&self, run: u64) -> Vec<(u64, StalledStep)> {
        let mut culprits = Vec::new();
        for (segment, (look, _)) in self.looks.iter().enumerate() {
            let members = &self.chart.segments[segment].members;
            if look.runs > run {
                continue;
            }
            if let Some(node) = members.get(look.step.unwrap_or(0)) {
                let step = self.current(segment, *node);
                let waits = matches!(
                    step.wait,
                    StepWait::ForValue { .. } | StepWait::ForStep { .. } | StepWait::ForRead { .. }
                );
                if !waits {
                    culprits.push((look.runs, step));
                }
            }
        }
        culprits.sort_by_key(|(run, _)| *run);
        culprits
    }
}

impl Core {
    /// A waiter looks who it waits for (SN-6).
    #[cold]
    pub(crate) fn looks_on(&self, now_ns: u64) {
        if let Some(chart) = self.chart.get() {
            let _looks = chart.look(now_ns);
        }
    }
}

impl<I: InputNodes, O: OutputNodes> CompiledGraph<I, O> {
    /// What each run in flight waits for: which step runs or waits for whom, and since when.
    ///
    /// It reads what is in memory and asks nobody, so it answers while every actor is stuck, and while a
    /// process of the graph is stopped. A step that just runs does not read the clock for it: how long it
    /// has been running is known from earlier looks, by this method or by those who wait for a result for
    /// longer than a tenth of a second.
    ///
    /// In a worker, of a graph over actors of other processes, the node's driver looks, which has a second to
    /// answer; without an answer the runs are there and their steps are not.
    ///
    /// ```
    /// # use maser::prelude::*;
    /// # struct Echo;
    /// # #[maser::actor] impl Echo { fn new() -> Self { Echo } fn echo(&mut self, m: u64) -> u64 { m } }
    /// # fn main() -> maser::Result<()> {
    /// # let _maser = maser::Config::new().num_cpus(1).init()?;
    /// let echo = Echo::remote();
    /// let graph = Graph::new(|m: Node<u64>| echo.echo().bind(m)).compile()?;
    /// assert_eq!(graph.execute(3)?.get()?, 3);
    /// assert_eq!(graph.stalls().to_string(), "no run is in flight");
    /// # Ok(()) }
    /// ```
    pub fn stalls(&self) -> StallReport {
        // What has arrived is with the driver after it.
        let _free = self.free_capacity();
        let runs = self
            .core
            .locked(|| self.core.oldest_run()..self.core.submitted());
        let view = self.core.chart.get();
        let view = view.map(|chart| chart.view(self.core.node.clock.now_ns()));
        let there = self.core.asks().map(|there| there.stalls());
        let run = |run| StalledRun {
            run,
            steps: match (&view, &there) {
                (Some(view), _) => view.steps(run),
                (None, Some(there)) => there.get(&run).cloned().unwrap_or_default(),
                (None, None) => Vec::new(),
            },
        };
        StallReport {
            runs: runs.map(run).collect(),
            results_waiting: self.held(),
            max_buffered_results: self.core.max_buffered,
        }
    }
}
