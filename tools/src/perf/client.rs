//! The end that asks for tests, and has the figures.

use super::dialogue::{Saying, Totals, VERSION};
use super::error::PerfError;
use super::line::Line;
use super::opening::text_of;
use super::report::{Row, Samples};
use super::spec::{Amount, Spec, Test};
use super::stream::Stream;
use super::target::Target;
use maser_transport::{
    Address, Completion, EndReason, Endpoint, Event, Message, RemoteSlice, Transport,
};
use std::time::Duration;

/// See the module's page.
pub struct Client {
    line: Line,
    server: Endpoint,
    timeout: Duration,
}

/// What came while something else was waited for.
#[derive(Default)]
struct Heard {
    messages: u64,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// [`PerfError`].
    pub fn connect(
        mut transport: Box<dyn Transport>,
        address: &Address,
        timeout: Duration,
    ) -> Result<Self, PerfError> {
        let server = transport.connect(address)?;
        let mut line = Line::new(transport);
        line.sleeps = true;
        let address = text_of(address);
        loop {
            match line.poll()? {
                Some(Event::Connected { endpoint }) if endpoint == server => break,
                Some(Event::Ended { endpoint, reason }) if endpoint == server => {
                    return Err(match reason {
                        EndReason::NotAdmitted(problem) => {
                            PerfError::NotAdmitted { address, problem }
                        }
                        EndReason::Unreachable(problem) => {
                            PerfError::NobodyThere { address, problem }
                        }
                        reason => PerfError::NobodyThere {
                            address,
                            problem: reason.to_string(),
                        },
                    });
                }
                _ => {}
            }
        }
        Ok(Self {
            line,
            server,
            timeout,
        })
    }

    /// Whom it is connected to.
    pub fn peer(&self, address: &Address) -> String {
        text_of(address)
    }

    /// Ends the connection.
    pub fn close(mut self) {
        self.line.transport.close(self.server);
        loop {
            match self.line.poll() {
                Ok(Some(Event::Ended { .. })) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    /// Measures one row.
    ///
    /// # Errors
    /// [`PerfError`].
    pub fn measure(&mut self, spec: &Spec) -> Result<Row, PerfError> {
        spec.check(&self.line.transport.limits())?;
        let target = Target::new(&mut *self.line.transport, spec)?;
        let begin = Saying::Begin {
            version: VERSION,
            spec: *spec,
            region: target.to_wire(),
        };
        self.line.sleeps = true;
        self.line.say(self.server, &begin)?;
        let mut heard = Heard::default();
        let theirs = match self.answer("ready", spec, &mut heard)? {
            Saying::Ready { region } => Target::theirs(&region, spec)?,
            other => {
                return Err(PerfError::OutOfTurn {
                    wanted: "ready",
                    found: other.name(),
                });
            }
        };
        self.line.sleeps = spec.sleeps;
        let mut row = match spec.test.is_latency() {
            true => self.one_by_one(spec, &target, &theirs)?,
            false => self.many_at_once(spec, &target, &theirs, &mut heard)?,
        };
        let done = self.finish(spec, row.requests, &mut heard)?;
        target.check(spec, row.requests, done.requests)?;
        row.add_other_direction(&done);
        Ok(row)
    }

    /// The next saying; what else comes is counted.
    fn answer(
        &mut self,
        wanted: &'static str,
        spec: &Spec,
        heard: &mut Heard,
    ) -> Result<Saying, PerfError> {
        let began_ns = self.line.now_ns();
        loop {
            match self.event()? {
                Some(Event::Control { message, .. }) => {
                    return match Saying::from_bytes(&message)? {
                        Saying::Refused { why } => Err(PerfError::RefusedThere(why)),
                        saying => Ok(saying),
                    };
                }
                Some(Event::Message { message, .. }) => {
                    Target::check_message(&message, spec)?;
                    heard.messages += 1;
                }
                Some(_) => {}
                None => {
                    let waited = Duration::from_nanos(self.line.now_ns() - began_ns);
                    // A stream of its own may take the server as long as this one's has.
                    if waited >= self.timeout && !spec.is_bidirectional {
                        return Err(PerfError::NoAnswer { wanted, waited });
                    }
                }
            }
        }
    }

    /// The next event of the connection.
    #[inline]
    fn event(&mut self) -> Result<Option<Event>, PerfError> {
        match self.line.poll()? {
            Some(Event::Ended { endpoint, reason }) if endpoint == self.server => {
                Err(PerfError::Lost(reason))
            }
            event => Ok(event),
        }
    }

    /// Tells the server that this end is done, and hears what it did.
    fn finish(
        &mut self,
        spec: &Spec,
        requests: u64,
        heard: &mut Heard,
    ) -> Result<Totals, PerfError> {
        let is_of_messages = spec.test.is_of_messages();
        let sent = if is_of_messages { requests } else { 0 };
        self.line
            .say(self.server, &Saying::Finish { sent, requests })?;
        let done = match self.answer("done", spec, heard)? {
            Saying::Done(totals) => totals,
            other => {
                return Err(PerfError::OutOfTurn {
                    wanted: "done",
                    found: other.name(),
                });
            }
        };
        if done.received != sent {
            return Err(PerfError::Wrong(format!(
                "{} messages came there of {sent} that were sent",
                done.received
            )));
        }
        // Control messages may pass others.
        while spec.test == Test::SendBw && heard.messages < done.sent {
            if let Some(Event::Message { message, .. }) = self.event()? {
                Target::check_message(&message, spec)?;
                heard.messages += 1;
            }
        }
        Ok(done)
    }

    /// One request when the one before is done.
    fn one_by_one(
        &mut self,
        spec: &Spec,
        target: &Target,
        theirs: &RemoteSlice,
    ) -> Result<Row, PerfError> {
        let clock = self.line.clock;
        let mut samples = Samples::new();
        let mut elapsed_ns = 0.0;
        let mut requests = 0;
        let mut last = None;
        loop {
            let signal = requests as u32;
            let request = target.request(spec, theirs, Some(signal));
            let token = (!matches!(spec.test, Test::SendLat | Test::PutLat)).then_some(requests);
            let began = clock.now();
            self.line.post(self.server, request, token)?;
            last = self.answered(spec.test, signal)?.or(last);
            let ended = clock.now();
            requests += 1;
            if requests <= spec.warmup {
                continue;
            }
            let span_ns = clock.span_ns(began, ended);
            samples.add(span_ns);
            elapsed_ns += span_ns;
            let is_over = match spec.amount {
                Amount::Iterations(count) => requests == spec.warmup + count,
                Amount::Nanoseconds(limit_ns) => elapsed_ns >= limit_ns as f64,
            };
            if is_over {
                break;
            }
        }
        if let Some(message) = last {
            target.check_bytes(&message, spec)?;
        }
        let measured = requests - spec.warmup;
        Ok(Row::new(
            spec,
            requests,
            measured,
            elapsed_ns as u64,
            samples,
        ))
    }

    /// Waits for the answer to a request of a test of latency, which may be a message.
    #[inline]
    fn answered(&mut self, test: Test, signal: u32) -> Result<Option<Message>, PerfError> {
        loop {
            match (test, self.event()?) {
                (_, None) => {}
                (Test::SendLat, Some(Event::Message { message, .. })) => return Ok(Some(message)),
                (Test::PutLat, Some(Event::Signal { signal: found, .. })) => {
                    return match found == signal {
                        true => Ok(None),
                        false => Err(PerfError::Wrong(format!(
                            "signal {found} came where {signal} was to"
                        ))),
                    };
                }
                (_, Some(Event::Completed(Completion { outcome, .. }))) => {
                    outcome?;
                    return Ok(None);
                }
                (_, Some(Event::Control { message, .. })) => {
                    return Err(refused(&message)?);
                }
                _ => {}
            }
        }
    }

    /// As many at once as the depth allows.
    fn many_at_once(
        &mut self,
        spec: &Spec,
        target: &Target,
        theirs: &RemoteSlice,
        heard: &mut Heard,
    ) -> Result<Row, PerfError> {
        let mut warmed = 0;
        if spec.warmup > 0 {
            let warmup = Spec {
                amount: Amount::Iterations(spec.warmup),
                ..*spec
            };
            warmed = self.stream(&warmup, target, theirs, heard)?.requests();
        }
        let stream = self.stream(spec, target, theirs, heard)?;
        let (measured, elapsed_ns) = (stream.requests(), stream.elapsed_ns());
        Ok(Row::new(
            spec,
            warmed + measured,
            measured,
            elapsed_ns,
            stream.samples,
        ))
    }

    fn stream(
        &mut self,
        spec: &Spec,
        target: &Target,
        theirs: &RemoteSlice,
        heard: &mut Heard,
    ) -> Result<Stream, PerfError> {
        let mut stream = Stream::new(spec, self.server, theirs.clone(), &self.line);
        while !stream.is_over() {
            stream.turn(&mut self.line, target)?;
            match self.event()? {
                Some(Event::Completed(completion)) => {
                    stream.completed(&self.line, &completion)?;
                }
                Some(Event::Writable { .. }) => stream.has_room(),
                Some(Event::Message { message, .. }) => {
                    Target::check_message(&message, spec)?;
                    heard.messages += 1;
                }
                Some(Event::Control { message, .. }) => return Err(refused(&message)?),
                _ => {}
            }
        }
        Ok(stream)
    }
}

/// What the server says in the middle of a test.
fn refused(message: &Message) -> Result<PerfError, PerfError> {
    Ok(match Saying::from_bytes(message)? {
        Saying::Refused { why } => PerfError::RefusedThere(why),
        other => PerfError::OutOfTurn {
            wanted: "finish",
            found: other.name(),
        },
    })
}
