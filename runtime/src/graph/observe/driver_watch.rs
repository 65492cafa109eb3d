//! What the driver of a graph notes of its runs, if the graph was compiled with statistics.
//!
//! Both ends of the driver are wrapped, by type: the one that submits stamps its runs, and each output
//! sees what arrives. All of it is used under the core's lock (DR-1), so plain loads and stores do.

use super::stamps::Stamps;
use super::tally::Tally;
use super::watched::{Observe, Sample};
use crate::graph::core::Core;
use crate::graph::inputs::InputNodes;
use crate::graph::parcel::{Parcel, SubmitRun};
use crate::graph::results::{Arrivals, Refused};
use crate::graph::slot::Sent;
use maser_shm::channel::Probe;
use maser_shm::sync::atomic::{AtomicU64, Ordering};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Measured runs of several outputs that may be under way at once.
const PLACES: usize = 8;

/// See the module's page.
pub(crate) struct DriverWatch {
    pub(crate) observe: Observe,
    /// When runs were submitted.
    pub(crate) submitted: Stamps,
    /// From then until the last result was with the driver.
    pub(crate) whole: Tally,
    outputs: u64,
    /// Runs that were measured, and how many of their results have come.
    arrived: [[AtomicU64; 2]; PLACES],
    /// Runs with an error.
    failed: AtomicU64,
    /// The last of them, where a run has several results.
    failed_runs: Mutex<BTreeSet<u64>>,
    max_inflight: u64,
}

impl DriverWatch {
    pub(crate) fn new(core: &Core) -> Arc<Self> {
        let whole = Tally::of(1).pop();
        Arc::new(Self {
            observe: core.observe,
            submitted: Stamps::alone(),
            whole: match whole {
                Some(whole) => whole,
                None => unreachable!("one was made"),
            },
            outputs: core.outputs as u64,
            arrived: Default::default(),
            failed: AtomicU64::new(0),
            failed_runs: Mutex::default(),
            max_inflight: core.max_inflight as u64,
        })
    }

    /// Runs with an error that have arrived.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    #[cold]
    fn has_failed(&self, run: u64) {
        let mut runs = self
            .failed_runs
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if runs.insert(run) {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        // No output is ahead of another by more than may be in flight.
        let first = run.saturating_sub(self.max_inflight);
        *runs = runs.split_off(&first);
    }

    /// A result of a measured run came; true if it was the last.
    fn is_last(&self, number: u64, run: u64) -> bool {
        if self.outputs == 1 {
            return true;
        }
        let [of, count] = &self.arrived[number as usize % PLACES];
        if of.load(Ordering::Relaxed) != run + 1 {
            of.store(run + 1, Ordering::Relaxed);
            count.store(0, Ordering::Relaxed);
        }
        let came = count.load(Ordering::Relaxed) + 1;
        count.store(came, Ordering::Relaxed);
        came == self.outputs
    }
}

/// What is noted where runs are submitted.
pub(crate) struct SubmitNotes {
    pub(crate) core: Arc<Core>,
    pub(crate) watch: Arc<DriverWatch>,
    /// Beside the edges to other processes.
    pub(crate) far: Vec<Stamps>,
}

impl SubmitNotes {
    /// The end that submits, noted if that was asked for.
    pub(crate) fn around<I: InputNodes>(
        notes: Option<Self>,
        inner: impl SubmitRun<I> + 'static,
    ) -> Box<dyn SubmitRun<I>> {
        match notes {
            None => Box::new(inner),
            Some(notes) => Box::new(SubmitWatch {
                inner,
                sample: Sample::new(notes.watch.observe),
                core: notes.core,
                watch: notes.watch,
                far: notes.far,
            }),
        }
    }
}

/// Submits, and stamps.
struct SubmitWatch<S> {
    inner: S,
    core: Arc<Core>,
    watch: Arc<DriverWatch>,
    far: Vec<Stamps>,
    sample: Sample,
}

impl<S> SubmitWatch<S> {
    #[cold]
    fn stamp(&self, run: u64) {
        let (number, now_ns) = (self.sample.number(), self.core.node.clock.now_ns());
        self.watch.submitted.write(number, run, now_ns);
        for stamps in &self.far {
            stamps.write(number, run, now_ns);
        }
        self.sample.goes_on();
    }
}

impl<I: InputNodes, S: SubmitRun<I>> SubmitRun<I> for SubmitWatch<S> {
    #[inline]
    fn submit(&mut self, run: u64, parcel: Parcel<I>, refused: &mut Refused) {
        if self.sample.has(run) {
            self.stamp(run);
        }
        self.inner.submit(run, parcel, refused);
    }

    fn fan_out(&self) -> Option<Box<[usize]>> {
        self.inner.fan_out()
    }

    fn spare(&mut self) -> Option<Box<I::Copies>> {
        self.inner.spare()
    }
}

/// What is noted of one output.
pub(crate) struct OutputWatch {
    pub(crate) core: Arc<Core>,
    pub(crate) watch: Arc<DriverWatch>,
    /// When its values were sent, and how long they took.
    pub(crate) stamps: Stamps,
    pub(crate) tally: Tally,
}

/// Takes results in, and notes it.
struct ArrivalsWatch<A> {
    inner: A,
    output: OutputWatch,
    sample: Sample,
    run: u64,
}

impl<A> ArrivalsWatch<A> {
    #[cold]
    fn measure(&self, run: u64) {
        let OutputWatch {
            core,
            watch,
            stamps,
            tally,
        } = &self.output;
        let (number, now_ns) = (self.sample.number(), core.node.clock.now_ns());
        if let Some(written_ns) = stamps.read(number, run) {
            tally.record(now_ns.saturating_sub(written_ns));
        }
        if watch.is_last(number, run)
            && let Some(submitted_ns) = watch.submitted.read(number, run)
        {
            watch.whole.record(now_ns.saturating_sub(submitted_ns));
        }
        self.sample.goes_on();
    }
}

impl<T: Send, A: Arrivals<T>> Arrivals<T> for ArrivalsWatch<A> {
    #[inline]
    fn idle(&self) -> Option<Probe> {
        self.inner.idle()
    }

    #[inline]
    fn take(&mut self) -> Option<Sent<T>> {
        let mut to = None;
        self.take_to(&mut to);
        to
    }

    #[inline]
    fn take_to(&mut self, to: &mut Option<Sent<T>>) -> bool {
        if !self.inner.take_to(to) {
            return false;
        }
        let run = self.run;
        self.run += 1;
        if to.as_ref().is_some_and(|taken| taken.get().is_err()) {
            self.output.watch.has_failed(run);
        }
        if self.sample.has(run) {
            self.measure(run);
        }
        true
    }
}

/// As [`watched`], of one whose type is known no more.
pub(crate) fn watched_box<T: Send + 'static>(
    inner: Box<dyn Arrivals<T>>,
    output: Option<OutputWatch>,
) -> Box<dyn Arrivals<T>> {
    match output {
        None => inner,
        some => watched(Boxed(inner), some),
    }
}

struct Boxed<T>(Box<dyn Arrivals<T>>);

impl<T> Arrivals<T> for Boxed<T> {
    #[inline]
    fn idle(&self) -> Option<Probe> {
        self.0.idle()
    }
    #[inline]
    fn take(&mut self) -> Option<Sent<T>> {
        self.0.take()
    }
}

/// The results of an output, noted if that was asked for.
pub(crate) fn watched<T: Send + 'static>(
    inner: impl Arrivals<T> + 'static,
    output: Option<OutputWatch>,
) -> Box<dyn Arrivals<T>> {
    match output {
        None => Box::new(inner),
        Some(output) => Box::new(ArrivalsWatch {
            inner,
            sample: Sample::new(output.watch.observe),
            output,
            run: 0,
        }),
    }
}
