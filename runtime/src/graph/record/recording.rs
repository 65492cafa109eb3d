//! A recording that was read and checked.

use super::entry::{Entry, Given, read};
use super::error::RecordError;
use super::frame::{Frames, Next};
use super::outline::Outline;
use crate::error::Result;
use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

/// A recording in memory, whole and checked.
#[derive(Clone, Debug)]
pub struct Recording {
    pub(crate) what: String,
    pub(crate) outline: Outline,
    pub(crate) runs: Vec<RecordedRun>,
    dropped_bytes: u64,
    is_whole: bool,
}

/// One run.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordedRun {
    pub(crate) at_ns: u64,
    /// Bytes of each input.
    pub(crate) inputs: Vec<Vec<u8>>,
    pub(crate) given: Vec<(u32, Given)>,
}

impl Recording {
    /// Reads a recording.
    ///
    /// # Errors
    /// A [`RecordError`] says why it is none, or where it is damaged. One that ends early because the
    /// process was killed that made it is read as far as it goes ([`dropped_bytes`](Self::dropped_bytes)).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|error| RecordError::io("read", path, &error))?;
        Ok(Self::parse(&format!("{path:?}"), &bytes)?)
    }

    /// Reads a recording from memory; errors call it `what`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_bytes(what: &str, bytes: &[u8]) -> Result<Self> {
        Ok(Self::parse(what, bytes)?)
    }

    fn parse(what: &str, bytes: &[u8]) -> Result<Self, RecordError> {
        let (head, mut frames) = Frames::open(what, bytes)?;
        let senseless = |record: u64, problem: String| RecordError::Senseless {
            what: what.to_owned(),
            record,
            problem,
        };
        let outline = postcard::from_bytes(head).map_err(|e| senseless(0, e.to_string()))?;
        let mut recording = Self {
            what: what.to_owned(),
            outline,
            runs: Vec::new(),
            dropped_bytes: 0,
            is_whole: false,
        };
        let mut known = HashSet::new();
        loop {
            match frames.next()? {
                Next::End(left) => {
                    recording.dropped_bytes = left;
                    return Ok(recording);
                }
                Next::Frame(number, body) => recording
                    .add(body, &mut known)
                    .map_err(|problem| senseless(number, problem))?,
            }
        }
    }

    fn add(&mut self, body: &[u8], known: &mut HashSet<(u64, u32)>) -> Result<(), String> {
        let (entry, mut rest) = read(body)?;
        if self.is_whole {
            return Err("it stands behind the end".into());
        }
        match entry {
            Entry::Input { run, at_ns, bytes } => {
                let (expected, inputs) = (self.runs.len() as u64, self.outline.inputs());
                if run != expected || bytes.len() != inputs {
                    return Err(format!(
                        "it is run {run} with {} inputs, where run {expected} with {inputs} stands",
                        bytes.len()
                    ));
                }
                let mut inputs = Vec::with_capacity(bytes.len());
                for length in bytes {
                    let (value, behind) = rest.split_at(length as usize);
                    inputs.push(value.to_vec());
                    rest = behind;
                }
                self.runs.push(RecordedRun {
                    at_ns,
                    inputs,
                    given: Vec::new(),
                });
            }
            Entry::Step { run, node, given } => {
                let at = usize::try_from(run).ok();
                let Some(of) = at.and_then(|at| self.runs.get_mut(at)) else {
                    return Err(format!("it is of run {run}, which is not there"));
                };
                if !self.outline.is_watched(node) || !known.insert((run, node)) {
                    return Err(format!("node {node} gave nothing more in run {run}"));
                }
                of.given.push((node, given));
            }
            Entry::End { runs } if runs == self.runs.len() as u64 => self.is_whole = true,
            Entry::End { runs } => {
                return Err(format!(
                    "{runs} runs end, and there are {}",
                    self.runs.len()
                ));
            }
        }
        Ok(())
    }

    /// How many runs it has.
    pub fn runs(&self) -> u64 {
        self.runs.len() as u64
    }

    /// How long after its beginning the last run was submitted.
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.runs.last().map_or(0, |run| run.at_ns))
    }

    /// Whether it was ended, and not cut off by the end of its process.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Bytes at its end that are no whole record: the process was killed while it wrote them.
    pub fn dropped_bytes(&self) -> u64 {
        self.dropped_bytes
    }

    /// The label and type of every node of its graph, in bind order, as one text.
    pub fn graph(&self) -> String {
        let lines = self.outline.nodes.iter().map(ToString::to_string);
        lines.collect::<Vec<_>>().join("\n")
    }
}
