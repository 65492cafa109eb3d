//! A row of the table: what is measured against what.
//!
//! - RO-1 contenders are built when their row runs, not before: nothing else is alive beside them.
//! - RO-2 a machine that cannot run a row or a peer gives a [`Skip`] with the reason, and the
//!   report shows it.

use serde::{Deserialize, Serialize};

use super::context::Context;
use super::error::{BenchError, Offer, Skip};
use super::result::RowResult;
use super::window::Window;

/// Unit of a row's figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Nanoseconds an operation; less is better.
    #[serde(rename = "ns")]
    Ns,
    /// Operations a second; more is better.
    #[serde(rename = "per_s")]
    PerS,
    /// Bytes; less is better.
    #[serde(rename = "B")]
    Bytes,
}

impl Unit {
    /// `ns` nanoseconds an operation in this unit; what is no time stays what it is.
    pub fn from_ns(self, ns: f64) -> f64 {
        match self {
            Self::Ns | Self::Bytes => ns,
            Self::PerS => 1e9 / ns,
        }
    }

    /// The name in table and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ns => "ns",
            Self::PerS => "per_s",
            Self::Bytes => "B",
        }
    }
}

/// Something that can be measured in windows.
pub trait Contender {
    /// Name in the report; a floor's is its row's name, a peer's its crate's.
    fn name(&self) -> &'static str;

    /// What a reader of the figure must know, such as that the contender can only sleep.
    fn note(&self) -> Option<&'static str> {
        None
    }

    /// Runs one window and checks what came out.
    ///
    /// # Errors
    /// [`BenchError::WrongAnswer`] if a result is wrong; whatever else keeps it from working.
    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError>;
}

/// The bare machine beside the subject.
pub enum Floor {
    /// Nothing to compare with.
    None,
    /// One probe.
    Probe(Box<dyn Contender>),
    /// The better of several probes, window by window.
    Better(Vec<Box<dyn Contender>>),
    /// A probe that only tells whether the machine changed; the row's ratio is to its peers.
    Guard(Box<dyn Contender>),
}

impl Floor {
    /// The probes, best of which is the floor.
    pub fn probes(&mut self) -> &mut [Box<dyn Contender>] {
        match self {
            Self::None => &mut [],
            Self::Probe(one) | Self::Guard(one) => std::slice::from_mut(one),
            Self::Better(all) => all,
        }
    }
}

/// A competitor, or why it is not there.
pub struct Peer {
    /// Name in the report.
    pub name: &'static str,
    /// The contender.
    pub contender: Offer<Box<dyn Contender>>,
}

impl Peer {
    /// A competitor that is there.
    pub fn of(contender: impl Contender + 'static) -> Self {
        Self {
            name: contender.name(),
            contender: Ok(Box::new(contender)),
        }
    }

    /// A competitor that may not be able to start on this machine.
    pub fn offered<C: Contender + 'static>(name: &'static str, offer: Offer<C>) -> Self {
        let contender = offer.map(|contender| Box::new(contender) as Box<dyn Contender>);
        Self { name, contender }
    }
}

/// All that runs in alternating windows for one row.
pub struct Lineup {
    /// The bare machine.
    pub floor: Floor,
    /// What the row is about.
    pub subject: Box<dyn Contender>,
    /// Competitors.
    pub peers: Vec<Peer>,
}

impl Lineup {
    /// A line-up of `subject` alone.
    pub fn of(subject: impl Contender + 'static) -> Self {
        Self {
            floor: Floor::None,
            subject: Box::new(subject),
            peers: Vec::new(),
        }
    }

    /// Adds the floor.
    pub fn floor(self, probe: impl Contender + 'static) -> Self {
        Self {
            floor: Floor::Probe(Box::new(probe)),
            ..self
        }
    }

    /// Adds a probe that guards a rate against changes of the machine.
    pub fn guard(self, probe: impl Contender + 'static) -> Self {
        Self {
            floor: Floor::Guard(Box::new(probe)),
            ..self
        }
    }

    /// Adds a floor that is the better of `probes`.
    pub fn better_floor(self, probes: Vec<Box<dyn Contender>>) -> Self {
        Self {
            floor: Floor::Better(probes),
            ..self
        }
    }

    /// Adds a competitor.
    pub fn peer(mut self, peer: Peer) -> Self {
        self.peers.push(peer);
        self
    }
}

/// How a row comes to its figures.
#[derive(Clone, Copy, Debug)]
pub enum Measure {
    /// Alternating windows of a line-up.
    Alternating(fn(&Context) -> Result<Offer<Lineup>, BenchError>),
    /// A measurement of its own shape.
    Whole(fn(&Context, &Row) -> Result<Offer<RowResult>, BenchError>),
}

/// Where a row runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// In the process of the suite.
    Suite,
    /// In a process of its own.
    Own,
    /// In a process of its own, as the root task of a runtime with that many schedulers.
    Runtime {
        /// Schedulers; scheduler 0 is the driver.
        schedulers: usize,
    },
}

/// One row of the suite.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Name; a filter is a prefix of it.
    pub name: &'static str,
    /// Unit of its figures.
    pub unit: Unit,
    /// One line for `--list`.
    pub about: &'static str,
    /// Cores it needs.
    pub cores: usize,
    /// Where it runs.
    pub process: Process,
    /// How it is measured.
    pub measure: Measure,
    /// Whether it runs only where a filter chooses it (SU-4).
    pub on_request: bool,
    /// Seconds that a process of its own gets on top of the row's budget (CD-3).
    pub grace_s: f64,
}

/// What is enough for rows that keep to their budget, on a machine that others use too.
const GRACE_S: f64 = 20.0;

impl Row {
    /// A row in nanoseconds on `cores` cores, measured in alternating windows.
    pub const fn latency(
        name: &'static str,
        cores: usize,
        about: &'static str,
        lineup: fn(&Context) -> Result<Offer<Lineup>, BenchError>,
    ) -> Self {
        let measure = Measure::Alternating(lineup);
        Self {
            name,
            unit: Unit::Ns,
            about,
            cores,
            process: Process::Suite,
            measure,
            on_request: false,
            grace_s: GRACE_S,
        }
    }

    /// A row in operations a second on `cores` cores, measured in alternating windows.
    pub const fn rate(
        name: &'static str,
        cores: usize,
        about: &'static str,
        lineup: fn(&Context) -> Result<Offer<Lineup>, BenchError>,
    ) -> Self {
        Self {
            unit: Unit::PerS,
            ..Self::latency(name, cores, about, lineup)
        }
    }

    /// The same row as the root task of a runtime of its own with `schedulers` schedulers.
    pub const fn in_runtime(self, schedulers: usize) -> Self {
        Self {
            process: Process::Runtime { schedulers },
            ..self
        }
    }

    /// The same row in a process of its own.
    pub const fn in_own_process(self) -> Self {
        Self {
            process: Process::Own,
            ..self
        }
    }

    /// The same row, run only where a filter chooses it (SU-4).
    pub const fn on_request(self) -> Self {
        Self {
            on_request: true,
            ..self
        }
    }

    /// The same row, which does what it has to do however long that takes: `grace_s` at the most.
    pub const fn takes(self, grace_s: f64) -> Self {
        Self { grace_s, ..self }
    }

    /// The same row on `cores` cores.
    pub const fn on_cores(self, cores: usize) -> Self {
        Self { cores, ..self }
    }

    /// A row with a measurement of its own shape.
    pub const fn whole(
        name: &'static str,
        unit: Unit,
        process: Process,
        about: &'static str,
        measure: fn(&Context, &Row) -> Result<Offer<RowResult>, BenchError>,
    ) -> Self {
        let measure = Measure::Whole(measure);
        Self {
            name,
            unit,
            about,
            cores: 1,
            process,
            measure,
            on_request: false,
            grace_s: GRACE_S,
        }
    }

    /// Why the row cannot run on these cores, if so (RO-2).
    pub fn lacks(&self, cores: usize) -> Option<Skip> {
        (cores < self.cores).then(|| {
            Skip(format!(
                "needs {} cores, the affinity mask has {cores}",
                self.cores
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_for_two_cores_is_skipped_on_one() {
        let row = Row::latency("x", 2, "", |_| Ok(Err(Skip("never built".to_owned()))));
        assert_eq!(
            row.lacks(1).unwrap().0,
            "needs 2 cores, the affinity mask has 1"
        );
        assert_eq!(row.lacks(2), None);
    }
}
