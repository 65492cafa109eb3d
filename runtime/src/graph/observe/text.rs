//! Stalls as text.

use super::chart::Chart;
use super::stalls::{Since, StallReport, StalledStep, StepWait};
use crate::error::Error;
use crate::graph::core::Core;
use std::fmt::{self, Display, Formatter};
use std::sync::Weak;
use std::time::Duration;

/// Actors of a graph that an error names.
const NAMES_MAX: usize = 4;

/// `10.2 s`.
struct Time(Duration);

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        match seconds {
            s if s >= 1.0 => write!(f, "{s:.1} s"),
            s if s >= 1e-3 => write!(f, "{:.1} ms", s * 1e3),
            s => write!(f, "{:.0} us", s * 1e6),
        }
    }
}

impl Display for Since {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(time) => write!(f, " for {}", Time(*time)),
            Self::AtLeast(time) if time.is_zero() => Ok(()),
            Self::AtLeast(time) => write!(f, " for at least {}", Time(*time)),
        }
    }
}

/// `#3 Slow::work on Slow "x" in worker 0 (pid 17)`.
struct Named<'a>(&'a StalledStep);

impl Display for Named<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.step)?;
        if let Some(actor) = &self.0.actor {
            write!(f, " on {actor}")?;
        }
        match &self.0.process {
            Some(process) => write!(f, " in {process}"),
            None => Ok(()),
        }
    }
}

impl Display for StalledStep {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", Named(self))?;
        let since = self.since;
        match &self.wait {
            StepWait::Runs => write!(f, "has been running{since}"),
            StepWait::ForActor => {
                write!(
                    f,
                    "has been waiting{since} for its actor, which is busy with a call"
                )
            }
            StepWait::ForValue { of, actor: None } => {
                write!(f, "has been waiting{since} for the value of {of}")
            }
            StepWait::ForValue {
                of,
                actor: Some(actor),
            } => write!(
                f,
                "has been waiting{since} for the value of {of} on {actor}"
            ),
            StepWait::ForStep { step, run } => {
                write!(f, "has been waiting{since} for {step} of run {run}")
            }
            StepWait::ForRead { by, run } => write!(
                f,
                "has been waiting{since} until {by} has taken its values of run {run}, \
                 of which one is of a synchronous pair"
            ),
            StepWait::ForScheduler => write!(
                f,
                "has its values, but its scheduler has been busy with something else{since}"
            ),
        }
    }
}

impl Display for StallReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.runs.len() {
            0 => f.write_str("no run is in flight")?,
            1 => f.write_str("1 run is in flight")?,
            runs => write!(f, "{runs} runs are in flight")?,
        }
        if self.results_waiting > 0 {
            let (held, most) = (self.results_waiting, self.max_buffered_results);
            write!(f, ", {held} of at most {most} results wait to be fetched")?;
        }
        for run in &self.runs {
            let number = run.run;
            for step in &run.steps {
                write!(f, "\nrun {number}: {step}")?;
            }
            if run.steps.is_empty() {
                write!(
                    f,
                    "\nrun {number}: all of its steps are over; the driver has not taken its results in"
                )?;
            }
        }
        Ok(())
    }
}

impl Chart {
    /// `a graph of A#1, B#2 and 3 more`.
    fn actors(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        for site in &self.sites {
            if let Some(actor) = &site.actor
                && !names.contains(&actor.display.as_str())
            {
                names.push(&actor.display);
            }
        }
        let more = names.len().saturating_sub(NAMES_MAX);
        names.truncate(NAMES_MAX);
        match (names.len(), more) {
            (0, _) => "a graph of tasks".into(),
            (_, 0) => format!("a graph of {}", names.join(", ")),
            _ => format!("a graph of {} and {more} more", names.join(", ")),
        }
    }

    /// What `run` waits for, in short: `run 7 waits for #3 Slow::work on Slow "x", which has been running
    /// for at least 10.2 s`.
    fn whom(&self, run: u64, now_ns: u64) -> String {
        let view = self.view(now_ns);
        let culprits = view.culprits(run);
        let Some((at, step)) = culprits.first() else {
            return format!("all steps of run {run} are over");
        };
        let named = Named(step);
        let since = step.since;
        let mut text = match *at == run {
            true => format!("run {run} waits for {named}, which has "),
            false => format!("run {run} waits for {named}, which, in run {at}, has "),
        };
        text += &match step.wait {
            StepWait::ForActor => format!("waited{since} for its actor, which is busy with a call"),
            StepWait::ForScheduler => {
                format!("its values, but its scheduler has been busy with something else{since}")
            }
            _ => format!("been running{since}"),
        };
        if culprits.len() > 1 {
            text += &format!("; and for {} more", culprits.len() - 1);
        }
        text
    }
}

/// Where a graph of another process is.
pub(crate) trait Owner: Send + Sync {
    /// What the graph is and what it waits for, if that is said within this time.
    fn whom(&self, limit: Duration) -> Option<String>;
}

/// Longest wait for what another process says of a wait that was too long already.
const OWNER_LIMIT: Duration = Duration::from_secs(1);

impl Core {
    /// What the graph is and what its oldest run in flight waits for; nothing of one in another process.
    pub(crate) fn whom(&self) -> Option<String> {
        let (oldest, next) = self.locked(|| (self.oldest_run(), self.submitted()));
        let chart = self.chart.get()?;
        let whom = match oldest < next {
            true => chart.whom(oldest, self.node.clock.now_ns()),
            false => "no run is in flight".into(),
        };
        Some(format!("{} ({whom})", chart.actors()))
    }

    /// The same, of one in another process. Who did not want to wait is not made to.
    #[cold]
    fn whom_elsewhere(&self, waited: Duration) -> String {
        let somewhere = "a graph in another process";
        let limit = waited.min(OWNER_LIMIT);
        let Some(owner) = self.owner.get().and_then(Weak::upgrade) else {
            return somewhere.into();
        };
        if limit.is_zero() || self.over().is_some() {
            return somewhere.into();
        }
        match owner.whom(limit) {
            Some(whom) => format!("{whom}, in another process"),
            None => format!(
                "{somewhere}, which has not said within {} what it waits for",
                Time(limit)
            ),
        }
    }

    /// The error of a wait for `run` that reached its limit.
    pub(crate) fn timed_out(
        &self,
        what: String,
        run: u64,
        limit: Duration,
        knob: &'static str,
    ) -> Error {
        let now_ns = self.node.clock.now_ns();
        let from_whom = self.chart.get().map_or_else(
            || self.whom_elsewhere(limit),
            |chart| format!("{} ({})", chart.actors(), chart.whom(run, now_ns)),
        );
        Error::Timeout {
            what,
            from_whom,
            waited: limit,
            knob,
        }
    }
}
