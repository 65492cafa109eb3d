//! Recordings: the inputs of a graph's runs in a file, with what every step gave, and the same runs
//! again.
//!
//! A graph that is compiled with [`CompileOptions::record`](crate::CompileOptions::record) has its steps
//! watched: each says what it gave, as a digest of the value's bytes or as the text of its error. A
//! recording is a file of inputs and of what the steps said; a replay submits the same inputs and
//! compares. A graph compiled without the option has none of this, and costs what it did.
//!
//! | file | holds |
//! |---|---|
//! | `frame` | the frames of a file, and what damage looks like |
//! | `entry` | what is in a frame: an input, or what a step gave |
//! | `outline` | what a graph is made of, and how two of them differ |
//! | `error` | what can be wrong |
//! | `hooks` | what the steps of a graph share: the file, and the replay that is under way |
//! | `watch` | steps, edges and the submitting end of a graph that is watched |
//! | `tape` | a file that is being written |
//! | `control` | what a graph offers |
//! | `recording` | a file that was read and checked |
//! | `replay`, `report` | the runs again, and what was different |
//!
//! - RD-1 an input is in the file before its run begins, and inputs are there in the order in which runs
//!   begin: a crash leaves whole frames, a part of one more at most, and the run that crashed. So
//!   inputs are encoded and written under the lock of the graph's driver, as those are that go to
//!   another process (DR-1, RP-1). A run whose input is an error never begins.
//! - RD-2 what the steps gave is collected in memory and written with the next input: no step waits for
//!   a file.
//! - RD-3 a file that cannot be written ends the recording and nothing else: the run goes on.
//! - RD-4 every byte that is read is input: a wrong one is an error, or part of a tail that was cut off.
//!
//! Values are encoded as for another process, so functions that are `local` cannot be recorded. A type
//! whose `Serialize` has no order of its own (a `HashMap`) gives other bytes for the same value and shows
//! as a difference; `BTreeMap` does not.

pub(crate) mod control;
pub(crate) mod entry;
pub(crate) mod error;
pub(crate) mod frame;
pub(crate) mod hooks;
pub(crate) mod outline;
pub(crate) mod recording;
pub(crate) mod replay;
pub(crate) mod report;
pub(crate) mod tape;
#[cfg(test)]
mod tests;
pub(crate) mod watch;

use std::path::PathBuf;

/// What [`CompileOptions::record`](crate::CompileOptions::record) asks for.
///
/// ```
/// # use maser::prelude::*;
/// use maser::{Record, Speed};
///
/// # #[maser::task] fn double(value: u64) -> u64 { 2 * value }
/// # fn main() -> maser::Result<()> {
/// # let _maser = maser::Config::new().num_cpus(1).init()?;
/// # let path = std::env::temp_dir().join(format!("maser-doc-{}", std::process::id()));
/// let graph = || Graph::new(|x: Node<u64>| double::bind(x));
/// let watched = |record| CompileOptions { record: Some(record), ..Default::default() };
///
/// let recorded = graph().compile_with(watched(Record::to(&path)))?;
/// for x in 0..100 {
///     recorded.execute(x)?.get()?;
/// }
/// recorded.stop_recording()?;
///
/// let report = graph().compile_with(watched(Record::later()))?.replay(&path, Speed::Full)?;
/// assert!(report.is_same(), "{report}");    // else it names runs and steps
/// # std::fs::remove_file(path).ok();
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Record {
    pub(crate) path: Option<PathBuf>,
}

impl Record {
    /// Records every run from the first on, into this file; what it held is lost.
    pub fn to(path: impl Into<PathBuf>) -> Self {
        Self {
            path: Some(path.into()),
        }
    }

    /// Records nothing until [`CompiledGraph::record`](crate::CompiledGraph::record) asks for it. What
    /// a graph needs that only replays.
    pub fn later() -> Self {
        Self { path: None }
    }
}

/// How fast a recording is replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Speed {
    /// Each run is submitted as long after the first as it was.
    Original,
    /// As fast as the graph takes them.
    Full,
}

/// What a recording holds so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recorded {
    /// Runs whose inputs are in it.
    pub runs: u64,
    /// Bytes that were written.
    pub bytes: u64,
}
