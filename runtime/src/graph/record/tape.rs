//! A recording that is being written.

use super::Recorded;
use super::entry::{Entry, Given, Inputs, body};
use super::error::RecordError;
use super::frame;
use super::outline::Outline;
use crate::task::failure::{discard, panicked};
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// What a recording is written to. A panic of the program's is an error of the recording: whoever begins
/// a run goes on.
struct Writer(Box<dyn Write + Send>);

impl Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = catch_unwind(AssertUnwindSafe(|| {
            self.0.write_all(bytes)?;
            self.0.flush()
        }));
        written.unwrap_or_else(|payload| {
            let fault = panicked(payload, "Write", None);
            Err(io::Error::other(fault.0.to_string()))
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        discard(std::mem::replace(&mut self.0, Box::new(io::sink())));
    }
}

/// What a step gave in a run.
pub(crate) type GivenOf = (u64, u32, Given);

/// See the module's page.
pub(crate) struct Tape {
    to: Writer,
    path: PathBuf,
    /// Its first run, counted as runs of the graph begin.
    first: u64,
    began_ns: u64,
    frames: u64,
    recorded: Recorded,
}

/// The file at `path`, empty.
///
/// # Errors
/// [`RecordError::Io`]; also for what is there and is no file, for a pipe would keep a run waiting.
pub(crate) fn create(path: &Path) -> Result<Box<dyn Write + Send>, RecordError> {
    let refused = |error| RecordError::io("make", path, &error);
    if let Ok(there) = std::fs::metadata(path)
        && !there.is_file()
    {
        return Err(RecordError::Io {
            action: "make",
            path: path.to_owned(),
            problem: "it is there and is no regular file".into(),
            remedy: "name a regular file, or give what writes to it to record_into",
        });
    }
    Ok(Box::new(std::fs::File::create(path).map_err(refused)?))
}

impl Tape {
    /// Begins a recording at run `first`.
    pub(crate) fn begin(
        to: Box<dyn Write + Send>,
        path: PathBuf,
        outline: &Outline,
        first: u64,
        now_ns: u64,
    ) -> Result<Self, RecordError> {
        let head = match postcard::to_stdvec(outline) {
            Ok(head) => head,
            Err(error) => unreachable!("text and numbers can be encoded: {error}"),
        };
        let mut to = Writer(to);
        let mut out = Vec::new();
        let bytes = frame::write_head(&mut out, &head).and_then(|bytes| {
            to.write(&out)?;
            Ok(bytes)
        });
        let bytes = bytes.map_err(|error| RecordError::io("write", &path, &error))?;
        Ok(Self {
            to,
            path,
            first,
            began_ns: now_ns,
            frames: 0,
            recorded: Recorded { runs: 0, bytes },
        })
    }

    /// The run whose inputs come next, counted as runs of the graph begin.
    pub(crate) fn next(&self) -> u64 {
        self.first + self.recorded.runs
    }

    pub(crate) fn recorded(&self) -> Recorded {
        self.recorded
    }

    fn append(&mut self, out: &mut Vec<u8>, entry: &Entry, behind: &[u8]) -> io::Result<()> {
        self.frames += 1;
        frame::append(out, self.frames, &body(entry, behind))
    }

    /// What steps gave of runs that are in the recording.
    fn append_given(&mut self, out: &mut Vec<u8>, given: Vec<GivenOf>) -> io::Result<()> {
        for (run, node, given) in given {
            if let Some(run) = run.checked_sub(self.first)
                && run < self.recorded.runs
            {
                self.append(out, &Entry::Step { run, node, given }, &[])?;
            }
        }
        Ok(())
    }

    fn write(&mut self, out: &[u8]) -> io::Result<()> {
        self.to.write(out)?;
        self.recorded.bytes += out.len() as u64;
        Ok(())
    }

    /// Writes what steps gave since, and the inputs of the next run (RD-1).
    pub(crate) fn input(
        &mut self,
        given: Vec<GivenOf>,
        inputs: &Inputs,
        now_ns: u64,
    ) -> Result<(), RecordError> {
        let mut out = Vec::with_capacity(64 * given.len() + inputs.values.len() + 96);
        let entry = Entry::Input {
            run: self.recorded.runs,
            at_ns: now_ns.saturating_sub(self.began_ns),
            bytes: inputs.bytes.clone(),
        };
        let written = self
            .append_given(&mut out, given)
            .and_then(|()| self.append(&mut out, &entry, &inputs.values))
            .and_then(|()| self.write(&out));
        written.map_err(|error| RecordError::io("write", &self.path, &error))?;
        self.recorded.runs += 1;
        Ok(())
    }

    /// Writes what is left and the end.
    pub(crate) fn end(mut self, given: Vec<GivenOf>) -> Result<Recorded, RecordError> {
        let mut out = Vec::new();
        let runs = self.recorded.runs;
        let written = self
            .append_given(&mut out, given)
            .and_then(|()| self.append(&mut out, &Entry::End { runs }, &[]))
            .and_then(|()| self.write(&out));
        written.map_err(|error| RecordError::io("write", &self.path, &error))?;
        Ok(self.recorded)
    }
}
