//! Actors of the graphs of these tests.

use maser::{Actor, Config, Isolation, Mode};
use std::time::Duration;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A value that is nothing but its bytes.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    FromBytes,
    IntoBytes,
    Immutable,
    serde::Serialize,
    serde::Deserialize,
)]
#[repr(C)]
pub struct Point {
    pub x: f64,
    pub y: f64,
}

/// Does a little of everything.
pub struct Station {
    by: u64,
    count: u64,
    notes: Vec<(u64, u8)>,
}

#[maser::actor]
impl Station {
    pub fn new(by: u64) -> Self {
        Station {
            by,
            count: by,
            notes: Vec::new(),
        }
    }

    pub fn add(&mut self, to: u64) -> u64 {
        to + self.by
    }

    pub fn pid(&self, _: u64) -> u32 {
        std::process::id()
    }

    pub fn note(&mut self, value: u64, step: u8) -> u64 {
        self.notes.push((value, step));
        value
    }

    pub fn notes(&self) -> Vec<(u64, u8)> {
        self.notes.clone()
    }

    pub fn repeat(&self, text: &str, count: u64) -> String {
        text.repeat(count as usize)
    }

    pub fn describe(&self, a: &str, b: String, point: &Point) -> String {
        format!("{a} {b} {}/{}", point.x, point.y)
    }

    pub fn mirror(&self, point: Point) -> Point {
        Point {
            x: point.y,
            y: point.x,
        }
    }

    pub fn nothing(&self, _: u64) {}

    pub fn next(&mut self) -> u64 {
        self.count += 1;
        self.count - 1
    }

    pub fn fails_at_3_and_4(&self, value: u64) -> Result<u64, std::io::Error> {
        assert!(value != 4, "no 4 at all");
        match value {
            3 => Err(std::io::Error::other("no 3")),
            _ => Ok(value),
        }
    }

    pub async fn later(&self, value: u64) -> u64 {
        tokio::task::yield_now().await;
        value + self.by
    }

    pub async fn later_alone(&mut self, value: u64) -> u64 {
        tokio::task::yield_now().await;
        value + self.by
    }

    pub fn turn(&self, text: String) -> String {
        text
    }

    pub fn sleep(&self, millis: u64) -> u64 {
        std::thread::sleep(Duration::from_millis(millis));
        millis
    }

    pub fn abort_at(&self, at: u64, value: u64) -> u64 {
        if at == value {
            std::process::abort();
        }
        value
    }
}

pub fn config(cpus: usize) -> Config {
    Config::new().num_cpus(cpus).mode(Mode::Silent)
}

/// A station in a process of its own.
pub fn there(by: u64) -> Actor<Station> {
    Station::options().isolation(Isolation::Process).remote(by)
}

/// A station in this process.
pub fn here(by: u64) -> Actor<Station> {
    Station::options().remote(by)
}

/// Runs `body` in a runtime of so many CPUs.
#[track_caller]
pub fn in_runtime(cpus: usize, body: impl FnOnce() -> maser::Result<()> + Send) {
    crate::run(config(cpus), |_| body()).unwrap().unwrap();
}

/// Descriptors and mappings of control memory in a process.
pub fn mappings(pid: impl std::fmt::Display) -> (usize, usize) {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let files = files.filter(|file| {
        let at = file.as_ref().unwrap().path();
        let to = std::fs::read_link(at).unwrap_or_default();
        to.to_string_lossy().contains("maser-control")
    });
    (files.count(), maps.matches("maser-control").count())
}
