//! Waiting for a result: first by looking, then blocked on a scheduler or asleep on a foreign thread.
#![allow(
    unsafe_code,
    reason = "reads words of results, and names one that is waited for"
)]

use super::core::gone;
use super::driver::Output;
use super::observe::chart::LOOK_EVERY;
use super::registry::shut_down;
use super::slot::GraphValue;
use crate::error::{Error, Result};
use crate::executor::local::Local;
use crate::executor::shared::Shared;
use crate::executor::sources::Probes;
use crate::executor::wait::{LentCpus, check_may_block, interrupted, thread_event};
use crate::executor::watch::{Pollable, Watch};
use crate::wait_graph::{self, Edge, Needs};
use maser_shm::sync::hint::spin_loop;
use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

/// Looks between two looks at the clock while spinning.
const LOOKS_PER_CLOCK: u32 = 256;
/// And between two looks for what else the scheduler has to do, its segments and lanes aside: such a look
/// costs as much as all the rest.
const LOOKS_PER_OTHERS: u32 = 8;

impl<T: GraphValue> Output<T> {
    /// Waits until the result of `run` is there, or the graph is over.
    #[inline(always)]
    pub(crate) fn wait(&self, run: u64, limit: Option<Duration>, knob: &'static str) -> Result<()> {
        if self.has(run) {
            return Ok(());
        }
        self.wait_slow(run, limit, knob)
    }

    /// Waits as [`wait`](Self::wait), without a look before. What it saw arrive may have been taken by
    /// another thread meanwhile: look again.
    pub(crate) fn wait_slow(
        &self,
        run: u64,
        limit: Option<Duration>,
        knob: &'static str,
    ) -> Result<()> {
        let local = Local::entered();
        if let Some(local) = local {
            check_may_block(local, "the result of a graph")?;
            local.count_wait();
        }
        if self.spin(local, run, limit)? {
            return Ok(());
        }
        match local {
            Some(local) => self.block(local, run, limit, knob),
            None => self.park(run, limit, knob),
        }
    }

    /// Looks for the result of `run` for a while; true if it came.
    #[inline(always)]
    pub(super) fn spin(
        &self,
        local: Option<&Local>,
        run: u64,
        limit: Option<Duration>,
    ) -> Result<bool> {
        let node = &self.core.node;
        let mut deadline = None;
        let Some(mut awaited) = self.awaited(run) else {
            return Ok(true);
        };
        for look in 0..node.idle.spin_looks().max(1) {
            // SAFETY: the results are this output's own.
            if unsafe { awaited.next.has_changed() } {
                if awaited.is_next {
                    // PR-2: the next question is written where this answer is.
                    awaited.next.prepare_write();
                    return Ok(true);
                }
                match self.awaited(run) {
                    None => return Ok(true),
                    Some(next) => awaited = next,
                }
            }
            if let Some(local) = local {
                let ready = local.sources.first_ready_is_of(self.core.id);
                if ready == Some(true) {
                    // One turn of the loop and straight back, which costs less than to block. Whoever
                    // needs more turns than one blocks, so that its limit is looked at.
                    local.hop()?;
                    // SAFETY: as above.
                    if unsafe { awaited.next.has_changed() } && self.has(run) {
                        return Ok(true);
                    }
                    break;
                }
                if ready.is_some()
                    || look.is_multiple_of(LOOKS_PER_OTHERS) && local.has_other_work()
                {
                    break;
                }
            }
            spin_loop();
            if look % LOOKS_PER_CLOCK == LOOKS_PER_CLOCK - 1 {
                if self.core.over().is_some() {
                    break;
                }
                let now = node.clock.now_ns();
                let end = *deadline.get_or_insert_with(|| end_of(now, limit));
                if now >= end {
                    break;
                }
            }
        }
        Ok(false)
    }

    /// The last look when the graph is over or the time is.
    fn last_look(&self, run: u64, error: impl FnOnce() -> Error) -> Result<()> {
        if self.has(run) { Ok(()) } else { Err(error()) }
    }

    pub(super) fn too_late(&self, run: u64, limit: Option<Duration>, knob: &'static str) -> Error {
        self.core.timed_out(
            format!("the result of run {run}"),
            run,
            limit.unwrap_or_default(),
            knob,
        )
    }

    fn block(
        &self,
        local: &Local,
        run: u64,
        limit: Option<Duration>,
        knob: &'static str,
    ) -> Result<()> {
        let edge = if self.core.is_one_segment && !self.has(run) {
            let result: &dyn Pollable = self;
            let needs = Needs::One(wait_graph::Awaited::Run(
                NonNull::from(result),
                self.core.id,
                run,
            ));
            Some(local.node.waits.enter(local, needs, limit.is_some())?)
        } else {
            None
        };
        let _lent = LentCpus::of_this_stack(local);
        let me = local.current_co();
        let mut slices = Slices::new(limit);
        loop {
            if self.has(run) {
                return Ok(());
            }
            if self.core.is_over()
                && let Some(error) = self.core.over()
            {
                return self.last_look(run, || error);
            }
            if slices.is_late() {
                return self.last_look(run, || self.too_late(run, limit, knob));
            }
            let Some(probes) = self.idle(run) else {
                continue;
            };
            let Some(me_again) = self.me.upgrade() else {
                return Err(gone(run));
            };
            local.watches.borrow_mut().push(Watch {
                result: me_again,
                run,
                probes: Cell::new(probes),
                co: me,
                limit: Some(slices.next()),
                deadline_ns: Cell::new(slices.end_ns()),
            });
            let mut blocked = edge.as_ref().map_or(Ok(()), Edge::check);
            if blocked.is_ok() {
                blocked = interrupted(local, "the result of a graph");
            }
            if blocked.is_ok() {
                blocked = local.block();
            }
            // A watch that woke us is gone from the list; one that did not carries the deadline.
            let left = {
                let mut watches = local.watches.borrow_mut();
                let at = watches.iter().position(|watch| watch.co == me);
                at.map(|at| watches.swap_remove(at))
            };
            blocked?;
            match left {
                Some(watch) => slices.goes_on(watch.deadline_ns.get()),
                None if self.has(run) => return Ok(()),
                // Expired, or another result of the run is there.
                None => {
                    let now_ns = local.node.clock.now_ns();
                    slices.is_over(now_ns);
                    self.core.looks_on(now_ns);
                }
            }
        }
    }

    fn park(&self, run: u64, limit: Option<Duration>, knob: &'static str) -> Result<()> {
        let clock = &self.core.node.clock;
        let begin = clock.now_ns();
        let end = end_of(begin, limit);
        let mut look = end_of(begin, Some(LOOK_EVERY));
        let event = thread_event();
        self.core.add_sleeper(&event);
        let outcome = loop {
            event.prepare_park();
            let now = clock.now_ns();
            let verdict = if self.has(run) {
                Some(Ok(()))
            } else if let Some(error) = self.core.over() {
                Some(self.last_look(run, || error))
            } else if self.core.node.is_closed() {
                Some(self.last_look(run, shut_down))
            } else if now >= end {
                Some(self.last_look(run, || self.too_late(run, limit, knob)))
            } else {
                None
            };
            if let Some(verdict) = verdict {
                event.cancel_park();
                break verdict;
            }
            if now >= look {
                self.core.looks_on(now);
                look = end_of(now, Some(LOOK_EVERY));
            }
            event.park(Some(Duration::from_nanos(end.min(look) - now)));
        };
        self.core.remove_sleeper(&event);
        outcome
    }
}

impl<T: GraphValue> Output<T> {
    /// `Ok` once the result of `run` is there, the graph's error if it is over.
    pub(crate) fn ready_or_over(&self, run: u64) -> Option<Result<()>> {
        if self.has(run) {
            return Some(Ok(()));
        }
        self.core.over().map(|error| self.last_look(run, || error))
    }
}

/// The time of a blocked task, in slices: after each it looks who it waits for (SN-6). The clock is not
/// read for a wait that is soon over.
struct Slices {
    /// The whole.
    limit: Option<Duration>,
    /// Its end, once that is known.
    deadline_ns: Option<u64>,
    length: Duration,
    /// The end of the slice, once that is known.
    end_ns: Option<u64>,
    now_ns: u64,
}

impl Slices {
    fn new(limit: Option<Duration>) -> Self {
        Self {
            limit,
            deadline_ns: None,
            length: limit.map_or(LOOK_EVERY, |limit| limit.min(LOOK_EVERY)),
            end_ns: None,
            now_ns: 0,
        }
    }

    fn next(&self) -> Duration {
        self.length
    }

    fn end_ns(&self) -> Option<u64> {
        self.end_ns
    }

    fn is_late(&self) -> bool {
        self.deadline_ns.is_some_and(|end| self.now_ns >= end)
    }

    /// Something woke the task before the end of the slice, which is known if the loop has looked.
    fn goes_on(&mut self, end_ns: Option<u64>) {
        self.end_ns = end_ns;
        if let Some(end_ns) = end_ns {
            self.begins_before(end_ns);
        }
    }

    /// The slice was over.
    fn is_over(&mut self, now_ns: u64) {
        self.begins_before(now_ns);
        self.now_ns = now_ns;
        self.end_ns = None;
        let left = self
            .deadline_ns
            .map_or(u64::MAX, |end| end.saturating_sub(now_ns));
        self.length = LOOK_EVERY.min(Duration::from_nanos(left));
    }

    /// The first slice ended, or ends, at `end_ns`: so the wait began its length before.
    fn begins_before(&mut self, end_ns: u64) {
        let begin_ns = end_ns.saturating_sub(self.length.as_nanos() as u64);
        let end = || self.limit.map(|limit| end_of(begin_ns, Some(limit)));
        self.deadline_ns = self.deadline_ns.or_else(end);
    }
}

fn end_of(now_ns: u64, limit: Option<Duration>) -> u64 {
    limit.map_or(u64::MAX, |limit| {
        now_ns.saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX))
    })
}

// SAFETY: results and core are its own.
unsafe impl<T: GraphValue> Pollable for Output<T> {
    #[inline]
    fn idle(&self, run: u64) -> Option<Probes> {
        let (result, end) = (self.awaited(run)?, self.core.not_over()?);
        Some(Probes::either([result.next, end]))
    }

    fn arm(&self, scheduler: &Arc<Shared>, armed: bool) {
        self.core.arm(scheduler, armed);
    }
}
