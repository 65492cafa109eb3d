//! As many requests as fit, one after the other: what the tests of rates do, at one end or at both.
//!
//! - QS-1 every [`every`](Stream::every)th request has a token, and stands for those before it: requests
//!   that end earlier than it make room a little later than they could.
//! - QS-2 a stream is over when a flush behind it is: everything is at the peer then.

use super::error::PerfError;
use super::line::Line;
use super::report::Samples;
use super::spec::{Amount, Spec};
use super::target::Target;
use maser_bench::harness::Ticks;
use maser_transport::{Completion, Endpoint, RemoteSlice, Token, WorkRequest};

/// The token of the flush (QS-2); the other tokens are numbers of requests.
const FLUSH: Token = Token::MAX;

/// See the module's page.
pub struct Stream {
    spec: Spec,
    endpoint: Endpoint,
    theirs: RemoteSlice,
    every: u64,
    posted: u64,
    /// Posted since the last one with a token.
    untold: u64,
    completed: u64,
    has_room: bool,
    state: State,
    began: Ticks,
    last: Ticks,
    elapsed_ns: u64,
    /// Times of one request, from one token to the next.
    pub samples: Samples,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Posting,
    /// Everything was posted.
    Flushing,
    /// The flush was.
    Flushed,
    Over,
}

impl Stream {
    pub fn new(spec: &Spec, endpoint: Endpoint, theirs: RemoteSlice, line: &Line) -> Self {
        let now = line.clock.now();
        Self {
            spec: *spec,
            endpoint,
            theirs,
            every: (spec.depth / 4).max(1),
            posted: 0,
            untold: 0,
            completed: 0,
            has_room: true,
            state: State::Posting,
            began: now,
            last: now,
            elapsed_ns: 0,
            samples: Samples::new(),
        }
    }

    /// Posts what there is room for.
    ///
    /// # Errors
    /// [`PerfError::Refused`].
    #[inline]
    pub fn turn(&mut self, line: &mut Line, target: &Target) -> Result<(), PerfError> {
        while self.state == State::Posting && self.has_room {
            if self.posted - self.completed >= self.spec.depth {
                return Ok(());
            }
            let is_last =
                matches!(self.spec.amount, Amount::Iterations(count) if self.posted + 1 == count);
            let counted = self.untold + 1;
            let token = (is_last || counted == self.every).then_some(counted);
            let request = target.request(&self.spec, &self.theirs, None);
            self.has_room = line.try_post(self.endpoint, request, token)?;
            if self.has_room {
                self.posted += 1;
                self.untold = if token.is_some() { 0 } else { counted };
                if is_last {
                    self.state = State::Flushing;
                }
            }
        }
        if self.state == State::Flushing && self.has_room {
            self.has_room = line.try_post(self.endpoint, WorkRequest::Flush, Some(FLUSH))?;
            if self.has_room {
                self.state = State::Flushed;
            }
        }
        Ok(())
    }

    /// There is room again.
    pub fn has_room(&mut self) {
        self.has_room = true;
    }

    /// A request of it is done.
    ///
    /// # Errors
    /// [`PerfError::Work`].
    #[inline]
    pub fn completed(&mut self, line: &Line, completion: &Completion) -> Result<(), PerfError> {
        completion.outcome.clone()?;
        let now = line.clock.now();
        if completion.token == FLUSH {
            self.elapsed_ns = line.clock.span_ns(self.began, now) as u64;
            self.state = State::Over;
            return Ok(());
        }
        let count = completion.token;
        self.completed += count;
        self.samples
            .add(line.clock.span_ns(self.last, now) / count as f64);
        self.last = now;
        if self.state == State::Posting
            && let Amount::Nanoseconds(limit_ns) = self.spec.amount
            && line.clock.ns_between(self.began, now) >= limit_ns as f64
        {
            self.state = State::Flushing;
        }
        Ok(())
    }

    /// Whether everything is at the peer (QS-2).
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// How many requests it made.
    pub fn requests(&self) -> u64 {
        self.posted
    }

    /// How long they took, with the flush.
    pub fn elapsed_ns(&self) -> u64 {
        self.elapsed_ns
    }
}
