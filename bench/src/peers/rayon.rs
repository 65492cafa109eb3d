//! rayon: a pool of one thread, pinned to the run's core 0; the window runs inside the pool, so
//! that nothing is handed between threads.

use std::hint::black_box;

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::harness::{BenchError, Contender, Context, Offer, Skip, Window, check};

fn pool(context: &Context) -> Offer<ThreadPool> {
    let cores = context.cores.clone();
    ThreadPoolBuilder::new()
        .num_threads(1)
        .start_handler(move |_| {
            // An unpinned pool would still be right, only noisier.
            let _ = cores.pin(0);
        })
        .build()
        .map_err(|error| Skip(format!("rayon: {error}")))
}

/// `scope` with one `spawn` in it: start a task and have its result.
#[derive(Debug)]
pub struct ScopeSpawn(ThreadPool);

impl ScopeSpawn {
    /// A pool of one thread.
    ///
    /// # Errors
    /// A skip if the pool cannot start.
    pub fn new(context: &Context) -> Offer<Self> {
        pool(context).map(Self)
    }
}

impl Contender for ScopeSpawn {
    fn name(&self) -> &'static str {
        "rayon"
    }

    fn note(&self) -> Option<&'static str> {
        Some("one scope for the whole batch; the results come when it closes, not one by one")
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let calls = window.calls();
        let sum = self.0.install(|| {
            let sum = std::sync::atomic::AtomicU64::new(0);
            while let Some(batch) = window.start() {
                rayon::scope(|scope| {
                    for _ in 0..batch {
                        scope.spawn(|_| {
                            sum.fetch_add(black_box(1), std::sync::atomic::Ordering::Relaxed);
                        });
                    }
                });
                window.stop(1);
            }
            sum.into_inner()
        });
        check("rayon scope", calls, sum)
    }
}

/// Fibonacci numbers by `join` at every level.
#[derive(Debug)]
pub struct ForkJoin(ThreadPool);

impl ForkJoin {
    /// The number computed in one call.
    pub const N: u64 = 15;
    /// Its value.
    pub const VALUE: u64 = 610;
    /// Joins in one call: one for every number above 1.
    pub const JOINS: u64 = 986;

    /// A pool of one thread.
    ///
    /// # Errors
    /// A skip if the pool cannot start.
    pub fn new(context: &Context) -> Offer<Self> {
        pool(context).map(Self)
    }
}

fn fib(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let (a, b) = rayon::join(|| fib(n - 1), || fib(n - 2));
    a + b
}

impl Contender for ForkJoin {
    fn name(&self) -> &'static str {
        "rayon"
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let calls = window.calls();
        let sum = self.0.install(|| {
            let mut sum = 0;
            window.time_many(Self::JOINS, || sum += fib(black_box(Self::N)));
            sum
        });
        check("rayon join", calls * Self::VALUE, sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_joins_is_that_of_the_calls_above_one() {
        fn count(n: u64) -> (u64, u64) {
            if n < 2 {
                return (n, 0);
            }
            let (left, right) = (count(n - 1), count(n - 2));
            (left.0 + right.0, left.1 + right.1 + 1)
        }
        assert_eq!(count(ForkJoin::N), (ForkJoin::VALUE, ForkJoin::JOINS));
    }
}
