//! `CompiledGraph::events`: what the steps of a graph did when, and as a trace for a viewer.

use super::board::RingOf;
use super::chart::Chart;
use super::events::Record;
use crate::graph::compiled::CompiledGraph;
use crate::graph::inputs::InputNodes;
use crate::graph::outputs::OutputNodes;
use crate::graph::schedule::OperationKind;
use std::io::{self, Write};

/// One operation of one step in one run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepEvent {
    /// The class of its actor; `None` for a task.
    pub actor_class: Option<&'static str>,
    /// The name that its actor was given.
    pub actor_name: Option<String>,
    /// The number of its actor ([`actor_id`](crate::actor_id)).
    pub actor_id: Option<u64>,
    /// `Class::method`, or the task's function.
    pub method: &'static str,
    /// Its place among the steps of its actor, in the order in which they were bound.
    pub bind_index: usize,
    /// Its position among the nodes of the graph.
    pub node: usize,
    /// The number of the run.
    pub run: u64,
    /// What was done. READ takes in what has come over channels, for all steps that run one after the other
    /// behind them, and is the first one's; WRITE is there where a value leaves over a channel.
    pub operation: OperationKind,
    /// When it began: nanoseconds of the machine's monotonic clock, the same in all processes.
    pub start_ns: u64,
    /// When it ended.
    pub end_ns: u64,
    /// The scheduler that it ran on; `None` in another process.
    pub scheduler: Option<usize>,
    /// That process.
    pub process: Option<String>,
}

/// The last events of a graph.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct StepEvents {
    /// By the time at which they began.
    pub events: Vec<StepEvent>,
    /// Earlier ones that were written over.
    pub dropped: u64,
}

impl Chart {
    fn event(&self, record: Record, of: &RingOf) -> StepEvent {
        let site = &self.sites[record.node];
        let actor = site.actor.as_ref();
        StepEvent {
            actor_class: actor.and(site.class),
            actor_name: actor.and_then(|actor| actor.name.clone()),
            actor_id: actor.map(|actor| actor.id),
            method: site.function,
            bind_index: site.bind_index,
            node: record.node,
            run: record.run,
            operation: record.kind,
            start_ns: record.start_ns,
            end_ns: record.end_ns,
            scheduler: of.scheduler,
            process: of.process.as_ref().map(|process| process.name()),
        }
    }
}

impl<I: InputNodes, O: OutputNodes> CompiledGraph<I, O> {
    /// The last events of the graph's steps, if it was compiled with
    /// [`CompileOptions::profile`](crate::CompileOptions::profile): so many for each scheduler, and for each
    /// other process. Asking disturbs nobody.
    ///
    /// ```
    /// # use maser::prelude::*;
    /// # struct Echo;
    /// # #[maser::actor] impl Echo { fn new() -> Self { Echo } fn echo(&mut self, m: u64) -> u64 { m } }
    /// # fn main() -> maser::Result<()> {
    /// # let _maser = maser::Config::new().num_cpus(1).init()?;
    /// let echo = Echo::remote();
    /// let options = maser::CompileOptions { profile: Some(1000), ..Default::default() };
    /// let graph = Graph::new(|m: Node<u64>| echo.echo().bind(m)).compile_with(options)?;
    /// assert_eq!(graph.execute(3)?.get()?, 3);
    /// graph.teardown()?;
    /// assert_eq!(graph.events().events.len(), 3);    // READ, COMPUTE, WRITE
    /// graph.write_chrome_trace(&mut std::io::sink()).unwrap();
    /// # Ok(()) }
    /// ```
    pub fn events(&self) -> StepEvents {
        let mut all = StepEvents::default();
        if let Some(there) = self.core.asks() {
            there.events(&self.shape.nodes, &mut all);
            return all;
        }
        let (Some(board), Some(chart)) = (self.core.board.get(), self.core.chart.get()) else {
            return all;
        };
        for of in &board.rings {
            let (records, dropped) = of.ring.records(chart.sites.len());
            all.dropped += dropped;
            let events = records.into_iter().map(|record| chart.event(record, of));
            all.events.extend(events);
        }
        all.events
            .sort_by_key(|event| (event.start_ns, event.end_ns));
        all
    }

    /// Writes the events as JSON in the trace event format, which Perfetto and `chrome://tracing` load: a
    /// row for each actor, below its scheduler or process.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write_chrome_trace(&self, to: &mut impl Write) -> io::Result<()> {
        let all = self.events();
        let mut trace = Trace {
            to,
            is_first: true,
            places: Vec::new(),
            rows: Vec::new(),
        };
        trace.write(&all)
    }
}

/// Text as JSON has it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => quoted += "\\\"",
            '\\' => quoted += "\\\\",
            control if control < ' ' => quoted += &format!("\\u{:04x}", control as u32),
            other => quoted.push(other),
        }
    }
    quoted + "\""
}

/// A trace while it is written.
struct Trace<'a, W> {
    to: &'a mut W,
    is_first: bool,
    /// Schedulers and processes, by their number in the trace.
    places: Vec<String>,
    /// Actors and tasks in them, by theirs.
    rows: Vec<(usize, String)>,
}

impl<W: Write> Trace<'_, W> {
    fn write(&mut self, all: &StepEvents) -> io::Result<()> {
        let dropped = all.dropped;
        write!(
            self.to,
            "{{\"otherData\":{{\"dropped\":{dropped}}},\"traceEvents\":["
        )?;
        for event in &all.events {
            self.event(event)?;
        }
        write!(self.to, "\n]}}")
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        let comma = if std::mem::take(&mut self.is_first) {
            ""
        } else {
            ","
        };
        write!(self.to, "{comma}\n{line}")
    }

    fn event(&mut self, event: &StepEvent) -> io::Result<()> {
        let place = match (&event.process, event.scheduler) {
            (Some(process), _) => process.clone(),
            (None, Some(scheduler)) => format!("scheduler {scheduler}"),
            (None, None) => "maser".to_owned(),
        };
        let row = match (&event.actor_name, event.actor_id, event.actor_class) {
            (Some(name), _, Some(class)) => format!("{class} {name:?}"),
            (None, Some(id), Some(class)) => format!("{class}#{:08x}", id >> 32),
            _ => event.method.to_owned(),
        };
        let pid = self.place(place)?;
        let tid = self.row(pid, row)?;
        let StepEvent { node, run, .. } = event;
        // Microseconds, to the nanosecond.
        let us = |ns: u64| format!("{}.{:03}", ns / 1000, ns % 1000);
        let (ts, dur) = (
            us(event.start_ns),
            us(event.end_ns.saturating_sub(event.start_ns)),
        );
        let name = quoted(&format!("{} {}", event.operation, event.method));
        let kind = quoted(&event.operation.to_string());
        self.line(&format!(
            "{{\"ph\":\"X\",\"name\":{name},\"cat\":{kind},\"pid\":{pid},\"tid\":{tid},\"ts\":{ts},\
             \"dur\":{dur},\"args\":{{\"run\":{run},\"node\":{node}}}}}"
        ))
    }

    fn place(&mut self, name: String) -> io::Result<usize> {
        if let Some(at) = self.places.iter().position(|place| *place == name) {
            return Ok(at + 1);
        }
        let (pid, text) = (self.places.len() + 1, quoted(&name));
        self.places.push(name);
        self.line(&format!(
            "{{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":{pid},\"args\":{{\"name\":{text}}}}}"
        ))?;
        Ok(pid)
    }

    fn row(&mut self, pid: usize, name: String) -> io::Result<usize> {
        let row = (pid, name);
        if let Some(at) = self.rows.iter().position(|other| *other == row) {
            return Ok(at + 1);
        }
        let (tid, text) = (self.rows.len() + 1, quoted(&row.1));
        self.rows.push(row);
        self.line(&format!(
            "{{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":{pid},\"tid\":{tid},\"args\":{{\"name\":{text}}}}}"
        ))?;
        Ok(tid)
    }
}
