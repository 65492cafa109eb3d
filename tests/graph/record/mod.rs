//! Runs that are recorded, and replayed.
//!
//! | file | covers |
//! |---|---|
//! | [`replays`] | what is the same, and what is found that is not |
//! | [`tapes`] | what gets into a recording, and what becomes of its file |

mod replays;
mod tapes;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use maser::prelude::*;
use maser::{Actor, CompiledGraph, Record, RecordError};
use maser_tests::tape::Memory;

/// A step of a story: it adds, counts, and does something odd in one of its calls.
struct Clerk {
    calls: u64,
    odd_at: Option<u64>,
}

#[maser::actor]
impl Clerk {
    fn new(odd_at: Option<u64>) -> Self {
        Self { calls: 0, odd_at }
    }

    fn add(&mut self, a: u64, b: u64) -> u64 {
        self.calls += 1;
        let odd = self.odd_at == Some(self.calls - 1);
        a + b + u64::from(odd)
    }

    /// How often it was called.
    fn count(&mut self, _value: u64) -> u64 {
        self.calls += 1;
        self.calls
    }

    fn text(&mut self, name: String, value: u64) -> String {
        format!("{name} {value}")
    }

    fn refuse(&mut self, value: u64) -> Result<u64, std::fmt::Error> {
        match value % 3 {
            0 => Err(std::fmt::Error),
            1 => panic!("cannot stand {value}"),
            _ => Ok(value),
        }
    }

    fn seven(&mut self) -> u64 {
        7
    }
}

#[maser::task]
fn double(value: u64) -> u64 {
    2 * value
}

type Story = CompiledGraph<Node<u64>, (Node<u64>, Node<String>)>;

fn clerk(at: usize, odd_at: Option<u64>) -> Actor<Clerk> {
    Clerk::options().scheduler(at).remote(odd_at)
}

fn with(record: Record) -> CompileOptions {
    CompileOptions {
        record: Some(record),
        ..CompileOptions::default()
    }
}

/// Two actors and a task on two schedulers; the second actor is odd in one of its calls.
fn story(record: Record, odd_at: Option<u64>) -> Story {
    let (a, b) = (clerk(0, None), clerk(1, odd_at));
    Graph::new(|x: Node<u64>| {
        let sum = b.add().bind(double::bind(x), 1);
        let count = a.count().bind(sum);
        (count, a.text().bind("sum", sum))
    })
    .compile_with(with(record))
    .unwrap()
}

fn tell(story: &Story, runs: std::ops::Range<u64>) {
    for n in runs {
        let (_count, text) = story.execute(n).unwrap();
        assert!(text.get().unwrap().starts_with("sum "));
    }
}

/// A file that is gone at the end.
struct Tape(PathBuf);

impl Tape {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("maser-tape-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.0);
    }
}

fn refusal(error: maser::Error) -> RecordError {
    match error {
        Error::Record(error) => (*error).clone(),
        other => panic!("{other}"),
    }
}
