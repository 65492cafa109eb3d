//! `CompiledGraph::stats`: counts and times of a graph's runs.

use super::board::Board;
use super::chart::Chart;
use super::tally::LatencyStats;
use crate::graph::compiled::CompiledGraph;
use crate::graph::inputs::InputNodes;
use crate::graph::outputs::OutputNodes;
use crate::graph::schedule::{EdgeEnd, ScheduledEdge};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

/// Counts and times of a graph's runs, up to now. Printed, it is a table.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GraphStats {
    /// How many runs there were.
    pub runs: RunCounts,
    /// One run in so many was measured, beginning with the first; 0 if the graph was compiled without
    /// statistics, and then there are no times.
    pub every: u64,
    /// From submitting until the last result of the run was with the driver.
    pub end_to_end: LatencyStats,
    /// Each step.
    pub steps: Vec<StepStats>,
    /// Each channel. A value that stays in its place between two steps of one scheduler has none.
    pub edges: Vec<EdgeStats>,
}

/// How many runs there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunCounts {
    /// Submitted so far.
    pub submitted: u64,
    /// All of whose results are with the driver, or were taken or dropped.
    pub finished: u64,
    /// Those of them with an error; `None` if the graph was compiled without statistics.
    pub failed: Option<u64>,
    /// The others.
    pub in_flight: u64,
    /// Results that wait to be fetched, of the output that has most of them.
    pub results_waiting: u64,
}

/// How long a step ran.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StepStats {
    /// Its position among the nodes of the graph.
    pub node: usize,
    /// `#3 Class::method`, as in all errors of the graph.
    pub step: String,
    /// Its actor, if it is a method's.
    pub actor: Option<String>,
    /// From its begin to its end; what it waited for in between, its actor's turn too, is part of it.
    pub compute: LatencyStats,
}

/// How long values were under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EdgeStats {
    /// Writer, reader and channel. A channel serves all steps that run one after the other behind it; the
    /// reader is the first of them that reads the value.
    pub edge: ScheduledEdge,
    /// The writer as errors name it.
    pub writer: String,
    /// The reader as errors name it.
    pub reader: String,
    /// From the end of the step that wrote the value, or from submitting, until the reader took it in: so
    /// the time for which the reader was busy, or waited for other values, is part of it.
    pub latency: LatencyStats,
}

fn name_of(end: EdgeEnd, chart: &Chart) -> String {
    match end {
        EdgeEnd::Step(node) => chart.label(node),
        driver => driver.to_string(),
    }
}

impl Board {
    fn tell(&self, chart: &Chart, stats: &mut GraphStats) {
        let Some(driver) = &self.driver else { return };
        stats.every = driver.observe.every;
        stats.runs.failed = Some(driver.failed());
        stats.end_to_end = driver.whole.summary();
        let steps = self.steps.iter().map(|step| StepStats {
            node: step.node,
            step: chart.label(step.node),
            actor: chart.actor(step.node),
            compute: step.compute.summary(),
        });
        stats.steps = steps.collect();
        let edges = self.edges.iter().map(|one| EdgeStats {
            edge: one.edge,
            writer: name_of(one.edge.from, chart),
            reader: name_of(one.edge.to, chart),
            latency: one.tally.summary(),
        });
        stats.edges = edges.collect();
    }
}

impl<I: InputNodes, O: OutputNodes> CompiledGraph<I, O> {
    /// Counts of the graph's runs; and times of its steps, of its edges and of whole runs, if it was compiled
    /// with [`CompileOptions::stats`](crate::CompileOptions::stats).
    ///
    /// Times are measured of one run in [`every`](GraphStats::every), in all processes of the graph. Asking
    /// disturbs nobody: everything is read from memory. Of a graph that a worker compiled over actors of other
    /// processes the node's driver measures, and is asked; the ways to it and back are in no figure.
    ///
    /// ```
    /// # use maser::prelude::*;
    /// # struct Echo;
    /// # #[maser::actor] impl Echo { fn new() -> Self { Echo } fn echo(&mut self, m: u64) -> u64 { m } }
    /// # fn main() -> maser::Result<()> {
    /// # let _maser = maser::Config::new().num_cpus(1).init()?;
    /// let echo = Echo::remote();
    /// let options = maser::CompileOptions { stats: Some(true), ..Default::default() };
    /// let graph = Graph::new(|m: Node<u64>| echo.echo().bind(m)).compile_with(options)?;
    /// for n in 0..640 {
    ///     assert_eq!(graph.execute(n)?.get()?, n);
    /// }
    /// let stats = graph.stats();
    /// assert_eq!((stats.runs.finished, stats.end_to_end.count), (640, 10));
    /// println!("{stats}");
    /// # Ok(()) }
    /// ```
    pub fn stats(&self) -> GraphStats {
        // What has arrived is with the driver after it.
        let _free = self.free_capacity();
        let core = &self.core;
        let (submitted, finished) = core.locked(|| (core.submitted(), core.oldest_run()));
        let mut stats = GraphStats {
            runs: RunCounts {
                submitted,
                finished,
                failed: None,
                in_flight: submitted.saturating_sub(finished),
                results_waiting: self.held() as u64,
            },
            ..GraphStats::default()
        };
        if let (Some(board), Some(chart)) = (core.board.get(), core.chart.get()) {
            board.tell(chart, &mut stats);
        }
        if let Some(seen) = core.asks().and_then(|there| there.stats()) {
            stats.runs.failed = seen.runs.failed;
            stats = GraphStats {
                runs: stats.runs,
                ..seen
            };
        }
        stats
    }
}

/// `12.3 us`.
struct Time(Duration);

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let ns = self.0.as_nanos() as f64;
        f.pad(&match ns {
            ns if ns < 1e3 => format!("{ns:.0} ns"),
            ns if ns < 1e6 => format!("{:.1} us", ns / 1e3),
            ns if ns < 1e9 => format!("{:.1} ms", ns / 1e6),
            ns => format!("{:.1} s", ns / 1e9),
        })
    }
}

impl Display for LatencyStats {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9}", self.count)?;
        for time in [self.p50, self.p99, self.p999, self.max] {
            write!(f, " {:>9}", Time(time))?;
        }
        Ok(())
    }
}

impl Display for GraphStats {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let RunCounts {
            submitted,
            finished,
            failed,
            in_flight,
            results_waiting,
        } = self.runs;
        write!(f, "runs: {submitted} submitted, {finished} finished")?;
        if let Some(failed) = failed {
            write!(f, " ({failed} failed)")?;
        }
        write!(f, ", {in_flight} in flight; {results_waiting} results wait")?;
        if self.every == 0 {
            return Ok(());
        }
        let mut lines = vec![("run".to_owned(), self.end_to_end)];
        for step in &self.steps {
            let on = step.actor.as_ref().map(|actor| format!(" on {actor}"));
            lines.push((
                format!("{}{}", step.step, on.unwrap_or_default()),
                step.compute,
            ));
        }
        for edge in &self.edges {
            let (writer, reader, channel) = (&edge.writer, &edge.reader, edge.edge.channel);
            lines.push((format!("{writer} -> {reader} ({channel})"), edge.latency));
        }
        let width = lines.iter().map(|(name, _)| name.chars().count()).max();
        let width = width.unwrap_or(0);
        write!(
            f,
            "\n{:width$} {:>9}",
            format!("1 in {}", self.every),
            "count"
        )?;
        for head in ["p50", "p99", "p99.9", "max"] {
            write!(f, " {head:>9}")?;
        }
        for (name, latency) in lines {
            write!(f, "\n{name:width$} {latency}")?;
        }
        Ok(())
    }
}
