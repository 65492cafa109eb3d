//! Errors of tasks as they happened: a bounded list for `error_info()`, and in script mode a
//! thread that prints them, so that a scheduler never waits for a terminal.

use crate::error::Error;
use std::collections::VecDeque;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

/// One failure.
#[derive(Clone, Debug)]
pub struct ErrorEvent {
    /// `task`, `actor`, `graph` or `checkpoint`.
    pub kind: &'static str,
    /// The message that was printed.
    pub message: String,
    /// The function that failed, if it was a task or method.
    pub function: Option<String>,
}

struct Printer {
    lines: Sender<String>,
    thread: JoinHandle<()>,
}

struct State {
    events: VecDeque<ErrorEvent>,
    dropped: usize,
    printer: Option<Printer>,
}

/// The node's list.
pub(crate) struct ErrorLog {
    limit: usize,
    prints: bool,
    state: Mutex<State>,
}

impl ErrorLog {
    pub(crate) fn new(limit: usize, prints: bool) -> Self {
        let state = State {
            events: VecDeque::new(),
            dropped: 0,
            printer: None,
        };
        Self {
            limit,
            prints,
            state: Mutex::new(state),
        }
    }

    /// Remembers `error`, and prints it in script mode.
    #[cold]
    pub(crate) fn record(&self, error: &Error) {
        let (kind, function) = match error {
            Error::Task(task) => ("task", Some(task.function().to_owned())),
            Error::ActorDied { .. } => ("actor", None),
            Error::Graph { .. } => ("graph", None),
            _ => ("task", None),
        };
        self.note(kind, error.to_string(), function);
    }

    /// Remembers that something failed which nobody waits for.
    #[cold]
    pub(crate) fn note(&self, kind: &'static str, message: String, function: Option<String>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.prints {
            let printer = state.printer.get_or_insert_with(start_printer);
            // A printer that is gone has nobody to print to.
            drop(printer.lines.send(message.clone()));
        }
        if state.events.len() == self.limit {
            state.events.pop_front();
            state.dropped += 1;
        }
        if self.limit > 0 {
            state.events.push_back(ErrorEvent {
                kind,
                message,
                function,
            });
        }
    }

    /// What happened, oldest first.
    pub(crate) fn events(&self) -> Vec<ErrorEvent> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.events.iter().cloned().collect()
    }

    /// Prints what is left and ends the printer.
    pub(crate) fn finish(&self) {
        let printer = self
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .printer
            .take();
        if let Some(Printer { lines, thread }) = printer {
            drop(lines);
            drop(thread.join());
        }
    }
}

fn start_printer() -> Printer {
    let (lines, incoming) = channel::<String>();
    let thread = std::thread::spawn(move || {
        let mut hinted = false;
        for line in incoming {
            eprintln!("maser: {line}");
            if !hinted {
                eprintln!("maser: maser::error_info() lists all errors of this run");
                hinted = true;
            }
        }
    });
    Printer { lines, thread }
}
