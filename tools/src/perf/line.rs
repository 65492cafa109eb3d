//! An end of a transport, driven by one thread: polled or slept with, told the time, and its clock.
//!
//! - QL-1 the time is told every [`POLLS_PER_ADVANCE`] polls, whether they bring something or not: a
//!   transport that is only told when nothing comes would take a busy peer for a silent one.
//! - QL-2 what happens while a request waits for room is kept, and told by the polls that follow.

use super::dialogue::Saying;
use super::error::PerfError;
use maser_bench::harness::{Clock, Ticks};
use maser_transport::{Endpoint, Event, Refusal, Token, Transport, WorkRequest};
use std::collections::VecDeque;
use std::time::Duration;

/// QL-1; reading the clock costs 20 ns.
const POLLS_PER_ADVANCE: u32 = 256;
/// The longest sleep: the time has to be told now and then.
const LONGEST_SLEEP_NS: u64 = 100_000_000;

/// See the module's page.
pub struct Line {
    pub transport: Box<dyn Transport>,
    pub clock: Clock,
    origin: Ticks,
    polls: u32,
    kept: VecDeque<Event>,
    /// Whether an end that has nothing sleeps.
    pub sleeps: bool,
}

impl Line {
    pub fn new(transport: Box<dyn Transport>) -> Self {
        let clock = Clock::calibrated();
        Self {
            transport,
            clock,
            origin: clock.now(),
            polls: 0,
            kept: VecDeque::new(),
            sleeps: false,
        }
    }

    /// Nanoseconds since it was made.
    pub fn now_ns(&self) -> u64 {
        self.clock.ns_between(self.origin, self.clock.now()) as u64
    }

    /// What happened, if anything did. An end that sleeps does so if nothing did.
    ///
    /// # Errors
    /// [`PerfError::Wait`].
    #[inline]
    pub fn poll(&mut self) -> Result<Option<Event>, PerfError> {
        if !self.kept.is_empty() {
            return Ok(self.kept.pop_front());
        }
        self.polls = self.polls.wrapping_add(1);
        if self.polls.is_multiple_of(POLLS_PER_ADVANCE) {
            let now_ns = self.now_ns();
            self.transport.advance(now_ns);
        }
        let event = self.transport.poll();
        if event.is_none() {
            match self.sleeps {
                true => self.sleep()?,
                false => std::hint::spin_loop(),
            }
        }
        Ok(event)
    }

    fn sleep(&mut self) -> Result<(), PerfError> {
        let now_ns = self.now_ns();
        self.transport.advance(now_ns);
        let until_ns = self.transport.next_deadline_ns().unwrap_or(u64::MAX);
        let limit_ns = until_ns.saturating_sub(now_ns).min(LONGEST_SLEEP_NS);
        self.transport
            .wait(Some(Duration::from_nanos(limit_ns)))
            .map_err(PerfError::Wait)
    }

    /// Posts once; `false` if there is no room.
    ///
    /// # Errors
    /// [`PerfError::Refused`].
    #[inline]
    pub fn try_post(
        &mut self,
        endpoint: Endpoint,
        request: WorkRequest,
        token: Option<Token>,
    ) -> Result<bool, PerfError> {
        match self.transport.post(endpoint, request, token) {
            Ok(()) => Ok(true),
            Err(refused) => match refused.refusal {
                Refusal::Full { .. } => Ok(false),
                refusal => Err(PerfError::Refused(refusal)),
            },
        }
    }

    /// Posts when there is room (QL-2).
    ///
    /// # Errors
    /// [`PerfError::Refused`], [`PerfError::Lost`].
    #[inline]
    pub fn post(
        &mut self,
        endpoint: Endpoint,
        request: WorkRequest,
        token: Option<Token>,
    ) -> Result<(), PerfError> {
        let Err(refused) = self.transport.post(endpoint, request, token) else {
            return Ok(());
        };
        let (mut request, mut refusal) = (refused.request, refused.refusal);
        let mut kept = VecDeque::new();
        loop {
            if !matches!(refusal, Refusal::Full { .. }) {
                return Err(PerfError::Refused(refusal));
            }
            loop {
                match self.poll()? {
                    Some(Event::Writable { endpoint: found }) if found == endpoint => break,
                    Some(Event::Ended {
                        endpoint: found,
                        reason,
                    }) if found == endpoint => return Err(PerfError::Lost(reason)),
                    event => kept.extend(event),
                }
            }
            match self.transport.post(endpoint, request, token) {
                Ok(()) => break,
                Err(again) => (request, refusal) = (again.request, again.refusal),
            }
        }
        kept.append(&mut self.kept);
        self.kept = kept;
        Ok(())
    }

    /// Tells the peer something.
    ///
    /// # Errors
    /// As [`post`](Self::post).
    pub fn say(&mut self, endpoint: Endpoint, saying: &Saying) -> Result<(), PerfError> {
        self.post(endpoint, WorkRequest::Control(saying.to_message()), None)
    }
}
