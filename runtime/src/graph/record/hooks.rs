//! What the steps of a watched graph share with its driver.
//!
//! Runs are counted as they begin: that is what steps count (WN-1).
//!
//! - HK-1 whoever begins a run holds `turn`, and writes its input meanwhile (RD-1). No user code but the
//!   writer of a recording runs under it.
//! - HK-2 the other locks of this page are taken last: nothing else is locked, waited for or written
//!   meanwhile. So steps may say what was given at any time (RD-2).

use super::Recorded;
use super::entry::{Given, Inputs};
use super::error::RecordError;
use super::outline::{LaidOut, Outline, Seen, codec};
use super::tape::{GivenOf, Tape};
use crate::error::Fault;
use crate::graph::remote::ports::NodeCodec;
use crate::task::failure::panicked;
use maser_shm::sync::atomic::{AtomicU64, Ordering};
use std::any::Any;
use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Steps say what they give for the recording.
const RECORDS: u64 = 1;
/// And for a replay.
const REPLAYS: u64 = 2;

/// What was found in a replay.
#[derive(Default)]
struct Found {
    /// The how manieth to begin each run was, by the run's number.
    began: BTreeMap<u64, u64>,
    /// What steps gave, by the former.
    given: BTreeMap<u64, Vec<(u32, Given)>>,
}

/// See the module's page.
pub(crate) struct Hooks {
    pub(crate) outline: Outline,
    codecs: Vec<Option<NodeCodec>>,
    /// The nodes that are inputs, in their order.
    inputs: Vec<usize>,
    /// Flags. Written under `turn`, read by steps, Acquire/Release: a run begins under `turn` too, and
    /// is passed on from step to step.
    state: AtomicU64,
    turn: Mutex<Turn>,
    given: Mutex<Vec<GivenOf>>,
    found: Mutex<Option<Found>>,
    /// Nodes of other processes that have an edge which is watched.
    claimed: Mutex<Vec<bool>>,
}

/// HK-1.
#[derive(Default)]
pub(crate) struct Turn {
    /// Runs that have begun.
    began: u64,
    tape: Option<Tape>,
    /// Why the last recording ended by itself.
    failed: Option<RecordError>,
}

impl Turn {
    pub(crate) fn is_recording(&self) -> bool {
        self.tape.is_some()
    }
}

/// There is a recording already.
pub(crate) fn busy() -> RecordError {
    RecordError::Busy {
        what: "a recording",
        remedy: "end it with stop_recording first",
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hooks {
    /// # Errors
    /// [`RecordError::NotEncodable`] names the node whose values cannot be encoded.
    pub(crate) fn new(laid_out: LaidOut<'_>) -> Result<Self, RecordError> {
        let outline = Outline::of(laid_out);
        let mut codecs = Vec::with_capacity(outline.nodes.len());
        let mut inputs = Vec::new();
        for (at, node) in outline.nodes.iter().enumerate() {
            codecs.push(match node.seen {
                Seen::No => None,
                _ => Some(codec(laid_out.0, at)?),
            });
            if node.seen == Seen::Input {
                inputs.push(at);
            }
        }
        Ok(Self {
            claimed: Mutex::new(vec![false; codecs.len()]),
            outline,
            codecs,
            inputs,
            state: AtomicU64::new(0),
            turn: Mutex::default(),
            given: Mutex::default(),
            found: Mutex::default(),
        })
    }

    /// Whether anybody wants to know what steps give.
    #[inline]
    pub(crate) fn is_active(&self) -> bool {
        self.state.load(Ordering::Acquire) & (RECORDS | REPLAYS) != 0
    }

    /// The first edge of a node of another process that is watched is the only one.
    pub(crate) fn claim(&self, node: usize) -> bool {
        let mut claimed = lock(&self.claimed);
        let is_watched = self.codecs[node].is_some();
        is_watched && !std::mem::replace(&mut claimed[node], true)
    }

    /// The bytes of a value of node `at`, or what stands in the way. Runs user code.
    fn encode(&self, at: usize, value: &dyn Any, bytes: &mut Vec<u8>) -> Result<(), String> {
        let Some(node) = self.codecs[at] else {
            return Err("it is not watched".into());
        };
        let encoded = catch_unwind(AssertUnwindSafe(|| node.codec.encode_copied(value, bytes)));
        encoded.unwrap_or_else(|payload| {
            let fault = panicked(payload, "Serialize", None);
            Err(fault.0.to_string())
        })
    }

    /// The step of node `at` gave this in the `run`th run that began. Runs user code.
    #[cold]
    pub(crate) fn gave(&self, run: u64, at: usize, outcome: Result<&dyn Any, &Fault>) {
        let given = match outcome {
            Err(fault) => Given::error(&fault.0),
            Ok(value) => {
                let mut bytes = Vec::new();
                match self.encode(at, value, &mut bytes) {
                    Ok(()) => Given::value(&bytes),
                    Err(problem) => Given::NotEncodable(problem),
                }
            }
        };
        let state = self.state.load(Ordering::Acquire);
        if state & REPLAYS != 0
            && let Some(found) = &mut *lock(&self.found)
        {
            let of_run = found.given.entry(run).or_default();
            of_run.push((at as u32, given.clone()));
        }
        if state & RECORDS != 0 {
            lock(&self.given).push((run, at as u32, given));
        }
    }

    /// The bytes of the inputs that `show` shows one by one. Runs user code.
    fn inputs(&self, show: impl FnOnce(&mut dyn FnMut(&dyn Any))) -> Result<Inputs, RecordError> {
        let mut inputs = Inputs::default();
        let mut wrong = None;
        let mut nodes = self.inputs.iter();
        show(&mut |value| {
            let Some(at) = nodes.next() else { return };
            let before = inputs.values.len();
            if let Err(problem) = self.encode(*at, value, &mut inputs.values) {
                wrong.get_or_insert((*at, problem));
            }
            let bytes = inputs.values.len() - before;
            inputs.bytes.push(u32::try_from(bytes).unwrap_or(u32::MAX));
        });
        match wrong {
            None => Ok(inputs),
            Some((at, problem)) => Err(RecordError::NotEncodable {
                node: self.outline.nodes[at].label.clone(),
                problem,
                remedy: "pass what can be encoded",
            }),
        }
    }

    /// Decodes input `at` out of `bytes` into `slot`, an `Option` of its type. Runs user code.
    pub(crate) fn decode(&self, at: usize, bytes: &[u8], slot: &mut dyn Any) -> Result<(), String> {
        let node = self.inputs.get(at).and_then(|at| self.codecs[*at]);
        let node = node.ok_or_else(|| "the graph has no such input".to_owned())?;
        let decoded = catch_unwind(AssertUnwindSafe(|| node.codec.decode(bytes, slot)));
        decoded.unwrap_or_else(|payload| {
            let fault = panicked(payload, "Deserialize", None);
            Err(fault.0.to_string())
        })
    }

    /// HK-1.
    pub(crate) fn turn(&self) -> MutexGuard<'_, Turn> {
        lock(&self.turn)
    }

    /// Under `turn`: what steps are asked for.
    fn change(&self, turn: &Turn) {
        let records = if turn.tape.is_some() { RECORDS } else { 0 };
        let replays = if lock(&self.found).is_some() {
            REPLAYS
        } else {
            0
        };
        self.state.store(records | replays, Ordering::Release);
    }

    /// Begins a recording with the next run.
    pub(crate) fn begin(
        &self,
        turn: &mut Turn,
        to: Box<dyn Write + Send>,
        path: PathBuf,
        now_ns: u64,
    ) -> Result<(), RecordError> {
        if turn.tape.is_some() {
            return Err(busy());
        }
        turn.tape = Some(Tape::begin(to, path, &self.outline, turn.began, now_ns)?);
        turn.failed = None;
        lock(&self.given).clear();
        self.change(turn);
        Ok(())
    }

    /// The run with this number begins (RD-1); `show` shows its inputs one by one. What goes wrong ends
    /// the recording (RD-3). Runs user code where inputs are recorded.
    pub(crate) fn begins(
        &self,
        run: u64,
        now_ns: impl FnOnce() -> u64,
        show: impl FnOnce(&mut dyn FnMut(&dyn Any)),
    ) {
        let mut turn = self.turn();
        if let Some(found) = &mut *lock(&self.found) {
            found.began.insert(run, turn.began);
        }
        let began = turn.began;
        turn.began += 1;
        if turn.tape.is_none() {
            return;
        }
        drop(turn);
        let inputs = self.inputs(show);
        let mut turn = self.turn();
        // It may have ended, and another one begun that is for the runs after this one.
        let Some(tape) = turn.tape.as_mut().filter(|tape| tape.next() == began) else {
            return;
        };
        let given = self.take_given();
        let written = inputs.and_then(|inputs| tape.input(given, &inputs, now_ns()));
        if let Err(error) = written {
            turn.tape = None;
            turn.failed = Some(error);
            self.change(&turn);
            lock(&self.given).clear();
        }
    }

    fn take_given(&self) -> Vec<GivenOf> {
        std::mem::take(&mut *lock(&self.given))
    }

    /// Ends the recording; `None` if there is none.
    pub(crate) fn end(&self) -> Result<Option<Recorded>, RecordError> {
        let mut turn = self.turn();
        if let Some(error) = turn.failed.take() {
            return Err(error);
        }
        let Some(tape) = turn.tape.take() else {
            return Ok(None);
        };
        self.change(&turn);
        tape.end(self.take_given()).map(Some)
    }

    /// How the recording is getting on.
    pub(crate) fn recorded(&self) -> Result<Option<Recorded>, RecordError> {
        let turn = self.turn();
        match &turn.failed {
            Some(error) => Err(error.clone()),
            None => Ok(turn.tape.as_ref().map(Tape::recorded)),
        }
    }

    /// Begins a replay.
    pub(crate) fn begin_replay(&self) -> Result<Replaying<'_>, RecordError> {
        let turn = self.turn();
        {
            let mut found = lock(&self.found);
            if found.is_some() {
                return Err(RecordError::Busy {
                    what: "a replay",
                    remedy: "wait for its end",
                });
            }
            *found = Some(Found::default());
        }
        self.change(&turn);
        drop(turn);
        Ok(Replaying(self))
    }
}

/// A replay that is under way.
pub(crate) struct Replaying<'a>(&'a Hooks);

impl Replaying<'_> {
    /// What the steps of `run` gave. Runs before it are of nobody.
    pub(crate) fn found(&self, run: u64) -> Vec<(u32, Given)> {
        let mut found = lock(&self.0.found);
        let Some(found) = &mut *found else {
            return Vec::new();
        };
        let Some(began) = found.began.remove(&run) else {
            return Vec::new();
        };
        let given = found.given.remove(&began).unwrap_or_default();
        found.began = found.began.split_off(&run);
        found.given = found.given.split_off(&began);
        given
    }
}

impl Drop for Replaying<'_> {
    fn drop(&mut self) {
        let turn = self.0.turn();
        *lock(&self.0.found) = None;
        self.0.change(&turn);
    }
}
