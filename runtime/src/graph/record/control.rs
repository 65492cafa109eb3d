//! What a graph offers to record its runs.

use super::hooks::Hooks;
use super::outline::LaidOut;
use super::{Record, Recorded, tape};
use crate::error::{Error, Result};
use crate::graph::compiled::CompiledGraph;
use crate::graph::inputs::InputNodes;
use crate::graph::outputs::OutputNodes;
use crate::graph::record::error::RecordError;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The hooks of a graph with its driver: what is recorded ends with the graph.
pub(crate) struct Driven(pub(crate) Arc<Hooks>);

impl Drop for Driven {
    fn drop(&mut self) {
        // Nobody is left to hear of an error; the frames that are there are whole.
        let _ended = self.0.end();
    }
}

/// The hooks of a graph that is being compiled; `record` says whether a recording begins.
///
/// # Errors
/// [`RecordError`]: a node whose values cannot be encoded, or a file that cannot be made.
pub(crate) fn watched(
    record: &Record,
    laid_out: LaidOut<'_>,
    now_ns: u64,
) -> Result<Arc<Hooks>, RecordError> {
    let hooks = Hooks::new(laid_out)?;
    if let Some(path) = &record.path {
        let to = tape::create(path)?;
        let mut turn = hooks.turn();
        hooks.begin(&mut turn, to, path.clone(), now_ns)?;
    }
    Ok(Arc::new(hooks))
}

impl<I: InputNodes, O: OutputNodes> CompiledGraph<I, O> {
    pub(crate) fn hooks(&self) -> Result<&Hooks> {
        match &self.hooks {
            Some(hooks) => Ok(&hooks.0),
            None => Err(RecordError::NotWatched.into()),
        }
    }

    /// Records every run from the next one on into the file at `path`; what it held is lost. The graph
    /// has to be compiled with [`CompileOptions::record`](crate::CompileOptions::record).
    ///
    /// A run's inputs are written before it begins, by the thread that submits it; what its steps gave
    /// follows with the next run.
    ///
    /// # Errors
    /// [`Error::Record`]: the graph is not watched, is being recorded, or the file cannot be made.
    pub fn record(&self, path: impl AsRef<Path>) -> Result<()> {
        let hooks = self.hooks()?;
        let path = path.as_ref();
        let mut turn = hooks.turn();
        if turn.is_recording() {
            return Err(Error::from(super::hooks::busy()));
        }
        let to = tape::create(path)?;
        Ok(hooks.begin(&mut turn, to, path.to_owned(), self.now_ns())?)
    }

    /// As [`record`](Self::record), into anything that bytes can be written to. Runs begin at the pace
    /// at which it takes them; it must not use the graph, nor wait for what runs on schedulers.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    pub fn record_into(&self, to: impl Write + Send + 'static) -> Result<()> {
        let hooks = self.hooks()?;
        let mut turn = hooks.turn();
        let path = PathBuf::from("a writer of the program");
        Ok(hooks.begin(&mut turn, Box::new(to), path, self.now_ns())?)
    }

    fn now_ns(&self) -> u64 {
        self.core.node.clock.now_ns()
    }

    /// Ends the recording and says what is in it. Runs in flight are in it with their inputs; what their
    /// steps have not given yet is not. A graph that is dropped ends its recording too.
    ///
    /// # Errors
    /// [`Error::Record`]: there is none, it ended before because of this, or its end could not be
    /// written.
    pub fn stop_recording(&self) -> Result<Recorded> {
        match self.hooks()?.end()? {
            Some(recorded) => Ok(recorded),
            None => Err(Error::from(RecordError::NotRecording)),
        }
    }

    /// What the recording holds by now; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Record`] says why it ended before it was asked to: its disk is full, or an input could
    /// not be encoded. The runs were not held up by that.
    pub fn recording(&self) -> Result<Option<Recorded>> {
        match &self.hooks {
            Some(hooks) => Ok(hooks.0.recorded()?),
            None => Ok(None),
        }
    }
}
