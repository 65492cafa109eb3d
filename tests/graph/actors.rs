//! The actors that several files of these tests use.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use maser::prelude::*;
use maser::sync::MutexGuard;
use maser::{Actor, CompileOptions, CompiledGraph};

/// A door that a test closes, and where it can see who stands before it.
#[derive(Clone, Default)]
pub struct Door(Arc<Inside>);

#[derive(Default)]
struct Inside {
    lock: maser::sync::Mutex<()>,
    arrived: AtomicUsize,
}

impl Door {
    /// Closes it until the guard is dropped.
    pub fn close(&self) -> MutexGuard<'_, ()> {
        self.0.lock.lock().expect("the runtime is up")
    }

    /// Goes through once it is open.
    pub fn pass(&self) -> maser::Result<()> {
        self.0.arrived.fetch_add(1, Ordering::AcqRel);
        drop(self.0.lock.lock()?);
        Ok(())
    }

    /// Waits until `arrived` in all have come to it.
    pub fn wait_for(&self, arrived: usize) {
        while self.0.arrived.load(Ordering::Acquire) < arrived {
            maser::yield_now();
        }
    }
}

/// What happened, in its order.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// One more line.
    pub fn note(&self, line: String) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(line);
    }

    /// Every line so far.
    pub fn lines(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// An error of a step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("refused: {0}")]
pub struct Refused(pub u64);

/// What most graphs here are made of.
pub struct Worker {
    calls: u64,
    door: Door,
    log: Log,
}

#[maser::actor(local)]
impl Worker {
    pub fn new(door: Door, log: Log) -> Self {
        Self {
            calls: 0,
            door,
            log,
        }
    }

    /// Gives back what it gets.
    pub fn echo(&mut self, value: u64) -> u64 {
        value
    }

    pub fn text(&mut self, value: String) -> String {
        value
    }

    pub fn add(&mut self, a: u64, b: u64) -> u64 {
        a + b
    }

    /// How often it was called, this call included.
    pub fn count(&mut self, _value: u64) -> u64 {
        self.calls += 1;
        self.calls
    }

    /// Gives back what it gets once its door is open.
    pub fn through(&mut self, value: u64) -> maser::Result<u64> {
        self.door.pass()?;
        Ok(value)
    }

    /// Fails for one value.
    pub fn refuse(&mut self, value: u64, refused: u64) -> Result<u64, Refused> {
        if value == refused {
            Err(Refused(value))
        } else {
            Ok(value)
        }
    }

    /// Panics for one value.
    pub fn panic(&mut self, value: u64, wrong: u64) -> u64 {
        assert!(value != wrong, "cannot stand {value}");
        value
    }

    /// Writes `name value` into the log and gives the value back.
    pub fn note(&mut self, name: &str, value: u64) -> u64 {
        self.log.note(format!("{name} {value}"));
        value
    }

    /// Reads, and may run beside other readers.
    pub fn calls(&self) -> u64 {
        self.calls
    }
}

/// A worker with a door and a log of its own on scheduler `at`.
pub fn worker(at: usize) -> Actor<Worker> {
    Worker::options()
        .scheduler(at)
        .remote(Door::default(), Log::default())
}

/// A worker behind `door` on scheduler `at`.
pub fn behind(door: &Door, at: usize) -> Actor<Worker> {
    Worker::options()
        .scheduler(at)
        .remote(door.clone(), Log::default())
}

/// A graph that gives a number for a number.
pub type OneToOne = CompiledGraph<Node<u64>, Node<u64>>;

/// A graph of a worker on scheduler 1, and the door that each run goes through.
pub fn gated(options: CompileOptions) -> maser::Result<(Door, OneToOne)> {
    let door = Door::default();
    let worker = behind(&door, 1);
    let graph = Graph::new(|x: Node<u64>| worker.through().bind(x)).compile_with(options)?;
    Ok((door, graph))
}

/// Options of a graph with so many runs in flight.
pub fn runs(max_inflight: usize) -> CompileOptions {
    CompileOptions {
        max_inflight: Some(max_inflight),
        ..CompileOptions::default()
    }
}

/// A worker on scheduler `at` that writes into `log`.
pub fn noting(log: &Log, at: usize) -> Actor<Worker> {
    Worker::options()
        .scheduler(at)
        .remote(Door::default(), log.clone())
}
