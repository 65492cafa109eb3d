//! `execute`: how a run is submitted, and what happens when there is no place for it.
#![allow(
    unsafe_code,
    reason = "the submitting end is protected by the core's lock (DR-1)"
)]

use super::compiled::CompiledGraph;
use super::driver::AnyOutput;
use super::given::{Given, IntoInputs};
use super::inputs::InputNodes;
use super::outputs::OutputNodes;
use super::parcel::{Parcel, SubmitRun};
use super::refusals::{no_place, too_many_held, too_many_in_flight};
use super::results::Refused;
use super::submit_late::Begin;
use crate::error::{Error, Result};
use std::task::Context;
use std::time::Duration;

/// The end of a wait of this length.
pub(super) fn end_ns(now_ns: u64, limit: Duration) -> u64 {
    now_ns.saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX))
}

impl<I: InputNodes, O: OutputNodes> CompiledGraph<I, O> {
    /// Submits a run, if there is a place for it.
    ///
    /// An input may be a result that is not there yet ([`GraphRef`](crate::GraphRef),
    /// [`Ref`](crate::Ref)): nothing waits for it here. The run takes its place at once and begins,
    /// after those before it, when its inputs are there. If one of them is an error the run is not
    /// begun and each of its outputs is that error.
    ///
    /// # Errors
    /// [`Error::CapacityExceeded`] says how many runs are in flight, or how many results wait to
    /// be fetched; [`Error::ChannelClosed`] after teardown; [`Error::ActorDied`] if an actor of
    /// the graph died.
    pub fn try_execute<X: IntoInputs<I>>(&self, inputs: X) -> Result<O::GraphRefs> {
        self.try_execute_given(inputs.into_inputs())
    }

    pub(crate) fn try_execute_given(&self, given: Given<I>) -> Result<O::GraphRefs> {
        let submitted = match given {
            Ok(values) => self.submit_once(&mut Some(self.pack(values))),
            Err(later) => self.submit_late_once(&mut self.to_begin(later)),
        };
        match submitted? {
            Some(run) => Ok(O::graph_refs(&self.outs, run)),
            None => Err(self.is_full()),
        }
    }

    /// Submits a run as [`try_execute`](Self::try_execute); waits for a place up to the submit
    /// timeout.
    ///
    /// # Errors
    /// As [`try_execute`](Self::try_execute), and [`Error::Timeout`].
    #[inline]
    pub fn execute<X: IntoInputs<I>>(&self, inputs: X) -> Result<O::GraphRefs> {
        self.execute_given(inputs.into_inputs(), self.core.submit_timeout)
    }

    /// As [`execute`](Self::execute) with a limit of its own.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub fn execute_timeout<X: IntoInputs<I>>(
        &self,
        inputs: X,
        limit: Duration,
    ) -> Result<O::GraphRefs> {
        self.execute_given(inputs.into_inputs(), Some(limit))
    }

    #[inline(always)]
    pub(crate) fn execute_given(
        &self,
        given: Given<I>,
        limit: Option<Duration>,
    ) -> Result<O::GraphRefs> {
        // All ways end in the number of the run: a ref is larger, and made where it stays.
        let run = match given {
            Ok(values) => {
                let mut parcel = Some(self.pack(values));
                match self.submit_once(&mut parcel)? {
                    Some(run) => run,
                    None => self.execute_when_free(&mut || self.submit_once(&mut parcel), limit)?,
                }
            }
            Err(later) => {
                let mut begin = self.to_begin(later);
                self.execute_when_free(&mut || self.submit_late_once(&mut begin), limit)?
            }
        };
        Ok(O::graph_refs(&self.outs, run))
    }

    /// As [`execute`](Self::execute), for any executor: yields until there is a place.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it has submitted nothing.
    ///
    /// # Errors
    /// As [`try_execute`](Self::try_execute), without `CapacityExceeded` for runs in flight.
    pub async fn execute_async<X: IntoInputs<I>>(&self, inputs: X) -> Result<O::GraphRefs> {
        self.execute_given_async(inputs.into_inputs()).await
    }

    pub(crate) async fn execute_given_async(&self, given: Given<I>) -> Result<O::GraphRefs> {
        let mut begin = match given {
            Ok(values) => Begin::Here(Some(self.pack(values))),
            Err(later) => self.to_begin(later),
        };
        let mut polls = self.core.polls();
        let run = std::future::poll_fn(|context: &mut Context<'_>| {
            polls.poll_until(context, || self.submit_late_once(&mut begin).transpose())
        })
        .await?;
        Ok(O::graph_refs(&self.outs, run))
    }

    #[inline(always)]
    pub(super) fn pack(&self, values: I::Values) -> Parcel<I> {
        let copies = self.fan_out.as_ref().map(|fan_out| {
            let spare = self.core.locked(|| {
                // SAFETY: DR-1, under the lock.
                unsafe { &mut *self.submit.get() }.spare()
            });
            let mut copies = spare.unwrap_or_default();
            I::copy(&values, fan_out, &mut copies);
            copies
        });
        Parcel { values, copies }
    }

    /// One attempt; the number of the run, whose refs the caller makes, or `None` if too many are in
    /// flight.
    #[inline(always)]
    pub(super) fn submit_once(&self, parcel: &mut Option<Parcel<I>>) -> Result<Option<u64>> {
        self.submit_by(|submit, refused| {
            if let Some(parcel) = parcel.take() {
                submit.submit(self.core.submitted(), parcel, refused);
            }
        })
    }

    /// One attempt: `put` hands the run on, under the lock.
    #[inline(always)]
    pub(super) fn submit_by(
        &self,
        put: impl FnOnce(&mut Box<dyn SubmitRun<I>>, &mut Refused),
    ) -> Result<Option<u64>> {
        if self.core.is_over()
            && let Some(error) = self.core.over()
        {
            return Err(error);
        }
        let mut refused = Refused::default();
        let run = self.core.locked(|| {
            if self.core.in_flight() >= self.core.max_inflight {
                self.look_for_results(&mut refused);
                if self.core.in_flight() >= self.core.max_inflight {
                    return None;
                }
            }
            // SAFETY: DR-1, under the lock.
            put(unsafe { &mut *self.submit.get() }, &mut refused);
            self.core.refs_were_made();
            Some(self.core.take_run())
        });
        drop(refused);
        match run {
            Some(run) => Ok(Some(run)),
            None if self.held() > self.core.max_buffered => Err(self.is_full()),
            None => Ok(None),
        }
    }

    /// Under the lock: how many runs are finished by now.
    pub(super) fn look_for_results(&self, refused: &mut Refused) {
        let mut finished = u64::MAX;
        let mut held = 0;
        O::visit_outs(&self.outs, &mut |output: &dyn AnyOutput| {
            finished = finished.min(output.pull(refused));
            held = held.max(output.held());
        });
        if held <= self.core.max_buffered {
            self.core.set_finished(finished);
        }
    }

    pub(super) fn held(&self) -> usize {
        let mut held = 0;
        self.core.locked(|| {
            O::visit_outs(&self.outs, &mut |output: &dyn AnyOutput| {
                held = held.max(output.held())
            });
        });
        held
    }

    fn is_full(&self) -> Error {
        let held = self.held();
        if held > self.core.max_buffered {
            return too_many_held(&self.core, held);
        }
        too_many_in_flight(&self.core, self.core.locked(|| self.core.in_flight()))
    }

    #[cold]
    fn execute_when_free(
        &self,
        attempt: &mut dyn FnMut() -> Result<Option<u64>>,
        limit: Option<Duration>,
    ) -> Result<u64> {
        if let Some(run) = attempt()? {
            return Ok(run);
        }
        let clock = &self.core.node.clock;
        let end = limit.map(|limit| end_ns(clock.now_ns(), limit));
        let left = || end.map(|end| Duration::from_nanos(end.saturating_sub(clock.now_ns())));
        loop {
            let oldest = self.core.locked(|| self.core.oldest_run());
            let waited = self.wait_for_run(oldest, left());
            match attempt()? {
                Some(run) => return Ok(run),
                // Others may be faster every time.
                None if waited.is_ok() && left() != Some(Duration::ZERO) => {}
                None => {
                    return Err(match waited {
                        Err(Error::Timeout { .. }) | Ok(()) => no_place(&self.core, limit),
                        Err(other) => other,
                    });
                }
            }
        }
    }

    /// Waits until every result of `run` is with the driver; `limit` is for all of them together.
    pub(super) fn wait_for_run(&self, run: u64, limit: Option<Duration>) -> Result<()> {
        let clock = &self.core.node.clock;
        // One output, which is the rule, reads no clock.
        let several = limit.filter(|_| self.core.outputs > 1);
        let end = several.map(|limit| end_ns(clock.now_ns(), limit));
        let left = || end.map(|end| Duration::from_nanos(end.saturating_sub(clock.now_ns())));
        let mut result = Ok(());
        O::visit_outs(&self.outs, &mut |output: &dyn AnyOutput| {
            if result.is_ok() {
                result = output.wait_arrived(run, left().or(limit));
            }
        });
        result
    }
}
