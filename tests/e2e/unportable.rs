//! Values that do not survive the way to another process, and who is given them.

use std::cell::Cell;

use maser::prelude::*;
use maser_tests::quiet;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Two schedulers in inline mode.
pub fn inline() -> Config {
    quiet(2).mode(Mode::Inline)
}

/// Writes two numbers and reads one.
#[derive(Clone, Debug)]
pub struct Uneven(pub u64);

impl Serialize for Uneven {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.0, self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Uneven {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Uneven)
    }
}

/// Only numbers below ten can be written, and seven cannot be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Small(pub u64);

impl Serialize for Small {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            0..10 => self.0.serialize(serializer),
            _ => Err(S::Error::custom("too large")),
        }
    }
}

impl<'de> Deserialize<'de> for Small {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            7 => Err(D::Error::custom("seven")),
            other => Ok(Small(other)),
        }
    }
}

/// Says which function and which value it was, and what came of it.
#[track_caller]
fn not_portable<T: std::fmt::Debug>(outcome: maser::Result<T>) -> (String, String, String) {
    match outcome.as_ref().map_err(Error::root) {
        Err(Error::NotPortable {
            function,
            value,
            problem,
        }) => (function.clone(), value.clone(), problem.clone()),
        _ => panic!("{outcome:?}"),
    }
}

#[track_caller]
pub fn assert_found<T: std::fmt::Debug>(outcome: maser::Result<T>, function: &str, value: &str) {
    let (its_function, its_value, problem) = not_portable(outcome);
    assert_eq!((&*its_function, &*its_value), (function, value));
    assert!(!problem.is_empty());
}

#[maser::task]
pub fn small(n: &Small) -> Small {
    n.clone()
}

#[maser::task]
pub fn times(n: u64, by: u64) -> Small {
    Small(n * by)
}

pub struct Store {
    last: Cell<u64>,
}

#[maser::actor]
impl Store {
    pub fn new(first: Small) -> Self {
        Store {
            last: Cell::new(first.0),
        }
    }
    pub fn set(&mut self, to: Small) -> u64 {
        self.last.replace(to.0)
    }
    pub fn add(&self, n: u64) -> Small {
        self.last.set(self.last.get() + n);
        Small(self.last.get())
    }
    pub async fn later(&self, n: Small) -> Small {
        Small(self.last.get() + n.0)
    }
    pub async fn replace(&mut self, n: Small) -> Small {
        Small(self.last.replace(n.0))
    }
    #[maser(num_returns = 2)]
    pub fn both(&self, by: u64) -> (u64, Small) {
        (self.last.get(), Small(self.last.get() * by))
    }
    #[maser(stream)]
    pub fn from(&self, n: u64) -> Vec<Small> {
        (n..n + 3).map(Small).collect()
    }
}
