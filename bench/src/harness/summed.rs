//! A contender made of a closure.

use std::fmt::Display;

use super::error::{BenchError, check};
use super::row::Contender;
use super::window::Window;

/// Calls that wake the other side.
const WAKING_CALLS: usize = 16;

/// Calls `operation`, which does `per_call` operations and says how many of their answers were
/// right; all must be.
pub struct Summed<F> {
    name: &'static str,
    note: Option<&'static str>,
    per_call: u64,
    settle_ns: f64,
    wake: bool,
    operation: F,
}

impl<F, E> Summed<F>
where
    F: FnMut() -> Result<u64, E>,
    E: Display,
{
    /// A contender of one operation a call.
    pub fn new(name: &'static str, operation: F) -> Self {
        Self::many(name, 1, operation)
    }

    /// A contender of `per_call` operations a call.
    pub fn many(name: &'static str, per_call: u64, operation: F) -> Self {
        Self {
            name,
            note: None,
            per_call,
            settle_ns: 0.0,
            wake: false,
            operation,
        }
    }

    /// The same with a pause of `settle_ns` after each window, in which threads that it kept busy
    /// fall asleep instead of spinning into the next contender's window.
    pub fn settle(self, settle_ns: f64) -> Self {
        Self { settle_ns, ..self }
    }

    /// The same with a few calls before each window, which wake the other side: what a window
    /// measures is two sides that are awake.
    pub fn wake(self) -> Self {
        Self { wake: true, ..self }
    }

    /// The same with a note for the reader.
    pub fn note(self, note: &'static str) -> Self {
        Self {
            note: Some(note),
            ..self
        }
    }
}

impl<F, E> Contender for Summed<F>
where
    F: FnMut() -> Result<u64, E>,
    E: Display,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn note(&self) -> Option<&'static str> {
        self.note
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let (mut right, mut failed) = (0, None);
        for _ in 0..if self.wake { WAKING_CALLS } else { 0 } {
            let woken = (self.operation)();
            let count = woken.map_err(|error| BenchError::contender(self.name, error))?;
            check(self.name, self.per_call, count)?;
        }
        window.time_many(self.per_call, || match (self.operation)() {
            Ok(count) => right += count,
            Err(error) => failed = Some(error),
        });
        let (clock, ended) = (window.clock(), window.clock().now());
        while clock.ns_between(ended, clock.now()) < self.settle_ns {
            std::hint::spin_loop();
        }
        match failed {
            Some(error) => Err(BenchError::contender(self.name, error)),
            None => check(self.name, window.calls() * self.per_call, right),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Context, Effort, Shape};
    use super::*;

    fn window<E: Display>(operation: impl FnMut() -> Result<u64, E> + Send) -> Option<String> {
        std::thread::scope(|scope| {
            let run = || {
                let context = Context::start(Effort::quick()).unwrap();
                let shape = Shape {
                    warm: 0,
                    batches: 1,
                    batch: 4,
                };
                let mut contender = Summed::many("x", 3, operation);
                context.window(&mut contender, shape).err()
            };
            scope
                .spawn(run)
                .join()
                .unwrap()
                .map(|error| error.to_string())
        })
    }

    #[test]
    fn one_wrong_answer_voids_the_window() {
        assert_eq!(window(|| Ok::<_, String>(3)), None);
        let mut call = 0;
        let wrong = window(|| {
            call += 1;
            Ok::<_, String>(if call == 2 { 2 } else { 3 })
        });
        assert_eq!(
            wrong.unwrap(),
            "x: expected 12, found 11; the figure is void"
        );
    }

    #[test]
    fn an_error_of_an_operation_is_the_windows() {
        assert_eq!(window(|| Err("no slot")).unwrap(), "x: no slot");
    }
}
