//! What a segment notes of its runs, if its graph was compiled with statistics or profiling.
//!
//! A segment of a graph without either is of another type ([`Watching`] for `()`), in whose code nothing of
//! this is left.
//!
//! - SN-11 statistics look at one run in `every`: the clock costs as much as a step does. Every edge carries
//!   one value a run (SG-3), so writer and reader know by the number of the run that it is looked at, and
//!   all processes of a graph look at the same runs. Events are noted of every run.

use super::events::{Record, Ring};
use super::stamps::Stamps;
use super::tally::Tally;
use crate::executor::local::Local;
use crate::graph::schedule::OperationKind;
use std::cell::Cell;

/// What is asked of a graph when it is compiled.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Observe {
    /// One run in so many is measured; 0 is none.
    pub(crate) every: u64,
    /// Events that are kept for each scheduler; 0 is none.
    pub(crate) events: usize,
}

impl Observe {
    pub(crate) fn is_off(self) -> bool {
        self.every == 0 && self.events == 0
    }
}

/// Which runs are measured.
pub(crate) struct Sample {
    every: u64,
    /// The next run that is, and how many were before.
    next: Cell<u64>,
    number: Cell<u64>,
}

impl Sample {
    pub(crate) fn new(observe: Observe) -> Self {
        Self {
            every: observe.every,
            next: Cell::new(if observe.every == 0 { u64::MAX } else { 0 }),
            number: Cell::new(0),
        }
    }

    /// Whether `run` is one.
    #[inline(always)]
    pub(crate) fn has(&self, run: u64) -> bool {
        run == self.next.get()
    }

    /// How many were before.
    pub(crate) fn number(&self) -> u64 {
        self.number.get()
    }

    /// The one that was asked for is over.
    pub(crate) fn goes_on(&self) {
        self.next.set(self.next.get() + self.every);
        self.number.set(self.number.get() + 1);
    }
}

/// What a segment tells of a run that is looked at.
pub(crate) trait Watching: 'static {
    /// Whether `run` is looked at.
    fn wants(&self, run: u64) -> bool;
    /// Its values are about to be taken in, if they are there.
    fn will_read(&self, local: &Local);
    /// They were.
    fn has_read(&self, run: u64, local: &Local);
    /// The step of this number is over.
    fn has_computed(&self, run: u64, number: usize, local: &Local);
    /// Its value was sent.
    fn has_sent(&self, run: u64, number: usize, local: &Local);
    /// The answer is about to be given, if this is a call slot.
    fn will_answer(&self, run: u64, local: &Local);
    /// The run is over.
    fn is_over(&self, run: u64, local: &Local);
}

/// Nothing is looked at.
impl Watching for () {
    #[inline(always)]
    fn wants(&self, _: u64) -> bool {
        false
    }
    fn will_read(&self, _: &Local) {}
    fn has_read(&self, _: u64, _: &Local) {}
    fn has_computed(&self, _: u64, _: usize, _: &Local) {}
    fn has_sent(&self, _: u64, _: usize, _: &Local) {}
    fn will_answer(&self, _: u64, _: &Local) {}
    fn is_over(&self, _: u64, _: &Local) {}
}

/// For a segment that is of one type whether it is looked at or not.
impl<W: Watching> Watching for Option<W> {
    #[inline(always)]
    fn wants(&self, run: u64) -> bool {
        self.as_ref().is_some_and(|watch| watch.wants(run))
    }
    #[cold]
    fn will_read(&self, local: &Local) {
        self.iter().for_each(|watch| watch.will_read(local));
    }
    #[cold]
    fn has_read(&self, run: u64, local: &Local) {
        self.iter().for_each(|watch| watch.has_read(run, local));
    }
    #[cold]
    fn has_computed(&self, run: u64, number: usize, local: &Local) {
        let each = |watch: &W| watch.has_computed(run, number, local);
        self.iter().for_each(each);
    }
    #[cold]
    fn has_sent(&self, run: u64, number: usize, local: &Local) {
        let each = |watch: &W| watch.has_sent(run, number, local);
        self.iter().for_each(each);
    }
    #[cold]
    fn will_answer(&self, run: u64, local: &Local) {
        self.iter().for_each(|watch| watch.will_answer(run, local));
    }
    #[cold]
    fn is_over(&self, run: u64, local: &Local) {
        self.iter().for_each(|watch| watch.is_over(run, local));
    }
}

/// One step.
pub(crate) struct StageWatch {
    pub(crate) node: usize,
    pub(crate) compute: Option<Tally>,
    /// Of the edges that its value leaves by.
    pub(crate) outs: Vec<Stamps>,
    /// Whether it leaves by any.
    pub(crate) is_sent: bool,
}

/// The answer of a call slot: the node that gives it.
pub(crate) struct AnswerWatch {
    pub(crate) node: usize,
    pub(crate) stamps: Option<Stamps>,
}

/// See the module's page.
pub(crate) struct SegmentWatch {
    pub(crate) sample: Sample,
    /// Whether values come to it at all.
    pub(crate) is_fed: bool,
    /// The edges that it reads: when their values were written, and how long they took.
    pub(crate) reads: Vec<(Stamps, Tally)>,
    pub(crate) stages: Vec<StageWatch>,
    pub(crate) answer: Option<AnswerWatch>,
    pub(crate) ring: Option<Ring>,
    /// When the last operation ended.
    pub(crate) last_ns: Cell<u64>,
}

fn now(local: &Local) -> u64 {
    local.node.clock.now_ns()
}

impl SegmentWatch {
    fn note(&self, run: u64, node: usize, kind: OperationKind, start_ns: u64, end_ns: u64) {
        if let Some(ring) = &self.ring {
            ring.push(Record {
                run,
                node,
                kind,
                start_ns,
                end_ns,
            });
        }
    }
}

impl Watching for SegmentWatch {
    #[inline(always)]
    fn wants(&self, run: u64) -> bool {
        self.sample.has(run) || self.ring.is_some()
    }

    fn will_read(&self, local: &Local) {
        if self.ring.is_some() {
            self.last_ns.set(now(local));
        }
    }

    fn has_read(&self, run: u64, local: &Local) {
        let end_ns = now(local);
        let start_ns = self.last_ns.replace(end_ns);
        if let (Some(first), true) = (self.stages.first(), self.is_fed) {
            self.note(run, first.node, OperationKind::Read, start_ns, end_ns);
        }
        if self.sample.has(run) {
            for (stamps, tally) in &self.reads {
                if let Some(written_ns) = stamps.read(self.sample.number(), run) {
                    tally.record(end_ns.saturating_sub(written_ns));
                }
            }
        }
    }

    fn has_computed(&self, run: u64, number: usize, local: &Local) {
        let end_ns = now(local);
        let start_ns = self.last_ns.replace(end_ns);
        let Some(stage) = self.stages.get(number) else {
            return;
        };
        self.note(run, stage.node, OperationKind::Compute, start_ns, end_ns);
        if self.sample.has(run) {
            if let Some(compute) = &stage.compute {
                compute.record(end_ns.saturating_sub(start_ns));
            }
            for stamps in &stage.outs {
                stamps.write(self.sample.number(), run, end_ns);
            }
        }
    }

    fn has_sent(&self, run: u64, number: usize, local: &Local) {
        let Some(stage) = self.stages.get(number) else {
            return;
        };
        // The next step begins, or the record ends, now.
        if stage.is_sent && (self.ring.is_some() || number + 1 < self.stages.len()) {
            let end_ns = now(local);
            let start_ns = self.last_ns.replace(end_ns);
            self.note(run, stage.node, OperationKind::Write, start_ns, end_ns);
        }
    }

    fn will_answer(&self, run: u64, _: &Local) {
        if let Some(AnswerWatch {
            stamps: Some(stamps),
            ..
        }) = &self.answer
            && self.sample.has(run)
        {
            stamps.write(self.sample.number(), run, self.last_ns.get());
        }
    }

    fn is_over(&self, run: u64, local: &Local) {
        if let (Some(answer), Some(_)) = (&self.answer, &self.ring) {
            let (start_ns, end_ns) = (self.last_ns.get(), now(local));
            self.note(run, answer.node, OperationKind::Write, start_ns, end_ns);
        }
        if self.sample.has(run) {
            self.sample.goes_on();
        }
    }
}
