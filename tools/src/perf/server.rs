//! The end that serves: it does what a client asks for, one client at a time.

use super::dialogue::{Saying, Totals};
use super::error::PerfError;
use super::line::Line;
use super::spec::{Spec, Test};
use super::stream::Stream;
use super::target::Target;
use maser_transport::{Address, Endpoint, Event, RemoteSlice, Transport, WorkRequest};

/// See the module's page.
pub struct Server {
    line: Line,
    is_once: bool,
    client: Option<Endpoint>,
    row: Option<Row>,
}

/// What is being measured.
struct Row {
    spec: Spec,
    target: Target,
    theirs: RemoteSlice,
    received: u64,
    /// Answers of tests of latency.
    answered: u64,
    stream: Option<Stream>,
    /// What the client said at its end: messages, requests.
    finish: Option<(u64, u64)>,
}

/// Who was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    /// It is still there, or none was yet.
    Served,
    Gone,
}

impl Server {
    pub fn new(transport: Box<dyn Transport>, is_once: bool) -> Self {
        let mut line = Line::new(transport);
        line.sleeps = true;
        Self {
            line,
            is_once,
            client: None,
            row: None,
        }
    }

    /// Where it is connected to.
    pub fn address(&self) -> Address {
        self.line.transport.address()
    }

    /// Serves clients, one after the other; returns after the first if it is to serve one.
    ///
    /// # Errors
    /// [`PerfError::Wait`]. What goes wrong with a client ends that client's connection.
    pub fn serve(&mut self) -> Result<(), PerfError> {
        loop {
            match self.turn() {
                Ok(Client::Served) => {}
                Ok(Client::Gone) => {
                    self.forget();
                    if self.is_once {
                        return Ok(());
                    }
                }
                Err(error @ PerfError::Wait(_)) => return Err(error),
                Err(error) => {
                    eprintln!("maser perf: a client is given up: {error}");
                    let Some(client) = self.client else {
                        continue;
                    };
                    let why = error.to_string();
                    // Who is not there any more is told nothing.
                    let _outcome = self.line.say(client, &Saying::Refused { why });
                    self.line.transport.close(client);
                    self.row = None;
                    self.line.sleeps = true;
                }
            }
        }
    }

    fn forget(&mut self) {
        self.client = None;
        self.row = None;
        self.line.sleeps = true;
    }

    /// Posts, polls once, and does what follows.
    #[inline]
    fn turn(&mut self) -> Result<Client, PerfError> {
        if let Some(row) = &mut self.row {
            if let Some(stream) = &mut row.stream {
                stream.turn(&mut self.line, &row.target)?;
            }
            if row.finish.is_some() {
                self.finish()?;
            }
        }
        let Some(event) = self.line.poll()? else {
            return Ok(Client::Served);
        };
        match event {
            Event::Accepted { endpoint } => self.accepted(endpoint)?,
            Event::Ended { endpoint, .. } if self.client == Some(endpoint) => {
                return Ok(Client::Gone);
            }
            Event::Message { endpoint, message } if self.client == Some(endpoint) => {
                let Some(row) = &mut self.row else {
                    return Err(PerfError::Wrong("a message came before its test".into()));
                };
                Target::check_message(&message, &row.spec)?;
                row.received += 1;
                if row.spec.test == Test::SendLat {
                    row.answered += 1;
                    self.line.post(endpoint, WorkRequest::Send(message), None)?;
                }
            }
            Event::Signal { endpoint, signal } if self.client == Some(endpoint) => {
                if let Some(row) = &mut self.row
                    && row.spec.test == Test::PutLat
                {
                    row.answered += 1;
                    let request = row.target.request(&row.spec, &row.theirs, Some(signal));
                    self.line.post(endpoint, request, None)?;
                }
            }
            Event::Control { endpoint, message } if self.client == Some(endpoint) => {
                self.told(endpoint, Saying::from_bytes(&message)?)?;
            }
            Event::Completed(completion) if self.client == Some(completion.endpoint) => {
                if let Some(stream) = self.row.as_mut().and_then(|row| row.stream.as_mut()) {
                    stream.completed(&self.line, &completion)?;
                }
            }
            Event::Writable { endpoint } if self.client == Some(endpoint) => {
                if let Some(stream) = self.row.as_mut().and_then(|row| row.stream.as_mut()) {
                    stream.has_room();
                }
            }
            _ => {}
        }
        Ok(Client::Served)
    }

    /// Somebody connected: served if nobody is, else told so.
    fn accepted(&mut self, endpoint: Endpoint) -> Result<(), PerfError> {
        if self.client.is_none() {
            self.client = Some(endpoint);
            return Ok(());
        }
        let why = "another client is being served; try again when it is done".into();
        self.line.say(endpoint, &Saying::Refused { why })?;
        self.line.transport.close(endpoint);
        Ok(())
    }

    fn told(&mut self, client: Endpoint, saying: Saying) -> Result<(), PerfError> {
        match saying {
            Saying::Begin { spec, region, .. } => {
                // Memory of the row before it is given back first.
                self.row = None;
                spec.check(&self.line.transport.limits())?;
                let theirs = Target::theirs(&region, &spec)?;
                let target = Target::new(&mut *self.line.transport, &spec)?;
                let region = target.to_wire();
                self.line.say(client, &Saying::Ready { region })?;
                self.line.sleeps = spec.sleeps;
                let stream = spec
                    .is_bidirectional
                    .then(|| Stream::new(&spec, client, theirs.clone(), &self.line));
                self.row = Some(Row {
                    spec,
                    target,
                    theirs,
                    received: 0,
                    answered: 0,
                    stream,
                    finish: None,
                });
                Ok(())
            }
            Saying::Finish { sent, requests } => {
                let Some(row) = &mut self.row else {
                    return Err(PerfError::OutOfTurn {
                        wanted: "begin",
                        found: saying.name(),
                    });
                };
                row.finish = Some((sent, requests));
                Ok(())
            }
            saying => Err(PerfError::OutOfTurn {
                wanted: "begin",
                found: saying.name(),
            }),
        }
    }

    /// The client is done: so is this end when it has everything and its own stream is over.
    fn finish(&mut self) -> Result<(), PerfError> {
        let (Some(row), Some(client)) = (&self.row, self.client) else {
            return Ok(());
        };
        let Some((sent, theirs)) = row.finish else {
            return Ok(());
        };
        let is_over = row.stream.as_ref().is_none_or(Stream::is_over);
        if row.received < sent || !is_over {
            return Ok(());
        }
        let (requests, elapsed_ns) = match &row.stream {
            Some(stream) => (stream.requests(), stream.elapsed_ns()),
            None => (row.answered, 0),
        };
        row.target.check(&row.spec, requests, theirs)?;
        let is_of_messages = row.spec.test.is_of_messages();
        let totals = Totals {
            received: row.received,
            sent: if is_of_messages { requests } else { 0 },
            requests,
            elapsed_ns,
        };
        self.row = None;
        self.line.sleeps = true;
        self.line.say(client, &Saying::Done(totals))
    }
}
