//! The runs of a recording, again.
//!
//! - RP-2 runs are compared by their number: what a step gives in the run that was submitted for run `n`
//!   of the recording is compared with what it gave there. Runs that others submit meanwhile are left
//!   alone.

use super::Speed;
use super::error::RecordError;
use super::hooks::{Hooks, Replaying};
use super::outline::Seen;
use super::recording::{RecordedRun, Recording};
use super::report::ReplayReport;
use crate::error::{Error, Result};
use crate::graph::compiled::CompiledGraph;
use crate::graph::inputs::InputNodes;
use crate::graph::outputs::OutputNodes;
use crate::pause::sleep;
use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

/// A run that was submitted.
struct InFlight<R> {
    /// In the recording.
    recorded: usize,
    /// In the graph.
    run: u64,
    /// Dropped when it is over, not before: they keep its results.
    refs: R,
}

/// A replay that is under way.
struct Replay<'a, I: InputNodes, O: OutputNodes> {
    graph: &'a CompiledGraph<I, O>,
    recording: &'a Recording,
    hooks: &'a Hooks,
    replaying: Replaying<'a>,
    in_flight: VecDeque<InFlight<O::GraphRefs>>,
    report: ReplayReport,
}

impl<I: InputNodes, O: OutputNodes> CompiledGraph<I, O> {
    /// Submits the runs of the recording at `path` again, compares what every step gives with what it
    /// gave then, and says what was different. The graph has to be compiled with
    /// [`CompileOptions::record`](crate::CompileOptions::record) (`Record::later()` will do), of the
    /// same steps; its actors should be as they were when the recording began.
    ///
    /// Other runs may be submitted meanwhile. The recording is read into memory.
    ///
    /// # Errors
    /// [`Error::Record`] if the file is no recording, is damaged, or is one of another graph;
    /// [`Error::Timeout`] if a run does not come to its end; errors of the graph itself. An error of a
    /// step is a part of its run, and compared.
    pub fn replay(&self, path: impl AsRef<Path>, speed: Speed) -> Result<ReplayReport> {
        self.hooks()?;
        self.replay_recording(&Recording::open(path)?, speed)
    }

    /// As [`replay`](Self::replay), of a recording that was read before.
    ///
    /// # Errors
    /// As [`replay`](Self::replay).
    pub fn replay_recording(&self, recording: &Recording, speed: Speed) -> Result<ReplayReport> {
        let hooks = self.hooks()?;
        if let Some(differences) = recording.outline.differences(&hooks.outline) {
            return Err(Error::from(RecordError::OtherGraph {
                what: recording.what.clone(),
                differences,
            }));
        }
        let mut replay = Replay {
            graph: self,
            recording,
            hooks,
            replaying: hooks.begin_replay()?,
            in_flight: VecDeque::new(),
            report: ReplayReport {
                at_edges: hooks.outline.seen(Seen::Edge),
                unseen: hooks.outline.seen(Seen::No),
                dropped_bytes: recording.dropped_bytes(),
                is_whole: recording.is_whole(),
                other_build: recording.outline.build != hooks.outline.build,
                ..ReplayReport::default()
            },
        };
        replay.run(speed)?;
        Ok(replay.report)
    }
}

impl<I: InputNodes, O: OutputNodes> Replay<'_, I, O> {
    fn run(&mut self, speed: Speed) -> Result<()> {
        let core = &self.graph.core;
        let clock = &core.node.clock;
        let began_ns = clock.now_ns();
        // Results that wait are with their refs until the run is over.
        let most = core.max_inflight.min(core.max_buffered).max(1);
        for (recorded, run) in self.recording.runs.iter().enumerate() {
            if speed == Speed::Original {
                let at_ns = began_ns.saturating_add(run.at_ns);
                let left = at_ns.saturating_sub(clock.now_ns());
                if left > 0 {
                    sleep(Duration::from_nanos(left));
                }
            }
            while self.in_flight.len() >= most {
                self.settle()?;
            }
            self.submit(recorded, run)?;
        }
        while !self.in_flight.is_empty() {
            self.settle()?;
        }
        let elapsed_ns = clock.now_ns().saturating_sub(began_ns);
        self.report.elapsed = Duration::from_nanos(elapsed_ns);
        Ok(())
    }

    fn values(&self, recorded: usize, run: &RecordedRun) -> Result<I::Values> {
        let mut wrong = None;
        let mut at = 0;
        let values = I::read(&mut |slot| {
            let (input, bytes) = (at, run.inputs.get(at));
            at += 1;
            let decoded = match bytes {
                Some(bytes) => self.hooks.decode(input, bytes, slot),
                None => Err("it is not there".into()),
            };
            decoded
                .map_err(|problem| wrong = Some((input, problem)))
                .is_ok()
        });
        values.ok_or_else(|| {
            let (input, problem) = wrong.unwrap_or((at, "it is of another type".into()));
            Error::from(RecordError::NotDecodable {
                run: recorded as u64,
                input,
                problem,
            })
        })
    }

    fn submit(&mut self, recorded: usize, run: &RecordedRun) -> Result<()> {
        let values = self.values(recorded, run)?;
        let limit = self.graph.core.submit_timeout;
        let refs = self.graph.execute_given(Ok(values), limit)?;
        let run = O::run_of(&refs);
        self.in_flight.push_back(InFlight {
            recorded,
            run,
            refs,
        });
        Ok(())
    }

    /// Waits for the oldest run and compares it.
    fn settle(&mut self) -> Result<()> {
        let Some(oldest) = self.in_flight.pop_front() else {
            return Ok(());
        };
        self.graph
            .wait_for_run(oldest.run, self.graph.core.get_timeout)?;
        // Results that came from elsewhere are looked at when they are taken.
        drop(oldest.refs);
        let found = self.replaying.found(oldest.run);
        let expected = self.recording.runs[oldest.recorded].given.clone();
        let label = |node: u32| {
            let nodes = &self.hooks.outline.nodes;
            nodes
                .get(node as usize)
                .map_or_else(String::new, |node| node.label.clone())
        };
        self.report
            .compare(oldest.recorded as u64, expected, found, label);
        self.report.runs += 1;
        Ok(())
    }
}
