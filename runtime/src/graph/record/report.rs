//! What a replay found.

use super::entry::Given;
use std::fmt;
use std::time::Duration;

/// Differences that a report has; more are counted.
pub(crate) const MOST_KEPT: usize = 1000;
/// Differences that a printed report names.
const MOST_PRINTED: usize = 20;

/// A step that gave something else than in the recording.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The run, counted from the first of the recording.
    pub run: u64,
    /// The position of the step among the nodes of the graph, inputs counted.
    pub node: usize,
    /// The step as errors name it: `#3 Hasher::hash`.
    pub step: String,
    /// What it gave when it was recorded.
    pub expected: Given,
    /// What it gave now.
    pub found: Given,
}

/// What a replay found. Printed, it is a text for people.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ReplayReport {
    /// Runs that were submitted and came to their end.
    pub runs: u64,
    /// Values and errors of steps that were compared.
    pub compared: u64,
    /// How many of them were not the same.
    pub different: u64,
    /// The first thousand of these, by run and, within a run, in bind order: the first of a run is
    /// where it went apart.
    pub differences: Vec<Difference>,
    /// What steps gave in only one of the two, and is not compared: recorded runs that did not come to
    /// their end.
    pub missing: u64,
    /// Steps in other processes whose values were compared where they came into this one.
    pub at_edges: Vec<String>,
    /// Steps whose values were not compared: they never come into this process, or nothing says how what
    /// a collective made is encoded.
    pub unseen: Vec<String>,
    /// Bytes at the end of the recording that are no whole record.
    pub dropped_bytes: u64,
    /// Whether the recording was ended, and not cut off.
    pub is_whole: bool,
    /// Whether it was made by another build of the program.
    pub other_build: bool,
    /// How long the runs took.
    pub elapsed: Duration,
}

impl ReplayReport {
    /// Whether everything that was compared was the same.
    pub fn is_same(&self) -> bool {
        self.different == 0
    }

    /// Compares what the steps of a run gave.
    pub(crate) fn compare(
        &mut self,
        run: u64,
        mut expected: Vec<(u32, Given)>,
        mut found: Vec<(u32, Given)>,
        label: impl Fn(u32) -> String,
    ) {
        expected.sort_by_key(|(node, _)| *node);
        found.sort_by_key(|(node, _)| *node);
        let mut found = found.into_iter().peekable();
        for (node, expected) in expected {
            while found.next_if(|(other, _)| *other < node).is_some() {
                self.missing += 1;
            }
            let Some((_, found)) = found.next_if(|(other, _)| *other == node) else {
                self.missing += 1;
                continue;
            };
            self.compared += 1;
            if found == expected {
                continue;
            }
            self.different += 1;
            if self.differences.len() < MOST_KEPT {
                self.differences.push(Difference {
                    run,
                    node: node as usize,
                    step: label(node),
                    expected,
                    found,
                });
            }
        }
        self.missing += found.count() as u64;
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            run,
            step,
            expected,
            found,
            ..
        } = self;
        write!(f, "run {run}: {step} gave {found}; recorded is {expected}")
    }
}

impl fmt::Display for ReplayReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            runs,
            compared,
            different,
            ..
        } = self;
        write!(
            f,
            "{runs} runs in {:?}, {compared} values of steps compared: ",
            self.elapsed
        )?;
        match different {
            0 => writeln!(f, "all the same")?,
            _ => writeln!(f, "{different} different")?,
        }
        for difference in self.differences.iter().take(MOST_PRINTED) {
            writeln!(f, "  {difference}")?;
        }
        let printed = self.differences.len().min(MOST_PRINTED) as u64;
        if *different > printed {
            writeln!(f, "  and {} more", different - printed)?;
        }
        if self.missing > 0 {
            writeln!(f, "{} values are in one of the two alone", self.missing)?;
        }
        if !self.at_edges.is_empty() {
            writeln!(
                f,
                "compared where they came into this process: {}",
                self.at_edges.join(", ")
            )?;
        }
        if !self.unseen.is_empty() {
            writeln!(
                f,
                "not compared, for their values cannot be seen here: {}",
                self.unseen.join(", ")
            )?;
        }
        if !self.is_whole {
            writeln!(
                f,
                "the recording was cut off; {} bytes at its end are no whole record",
                self.dropped_bytes
            )?;
        }
        if self.other_build {
            writeln!(f, "the recording was made by another build of the program")?;
        }
        Ok(())
    }
}
