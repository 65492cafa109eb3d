//! monoio: one io_uring runtime on the driver's thread; tasks are spawned and awaited on it.

use std::hint::black_box;

use monoio::{IoUringDriver, Runtime, RuntimeBuilder};

use crate::harness::{BenchError, Contender, Offer, Skip, Window, check};

/// `spawn` and await on the same thread.
pub struct Monoio {
    runtime: Runtime<IoUringDriver>,
    /// Tasks that are spawned before the first is awaited.
    at_once: u64,
}

impl Monoio {
    /// A runtime that spawns `at_once` tasks before it awaits them.
    ///
    /// # Errors
    /// A skip if the kernel refuses the ring.
    pub fn new(at_once: u64) -> Offer<Self> {
        let runtime = RuntimeBuilder::<IoUringDriver>::new()
            .with_entries(256)
            .build()
            .map_err(|error| Skip(format!("monoio cannot start: {error}")))?;
        Ok(Self { runtime, at_once })
    }
}

impl Contender for Monoio {
    fn name(&self) -> &'static str {
        "monoio"
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let (expected, at_once) = (window.calls() * self.at_once, self.at_once);
        let sum = self.runtime.block_on(async move {
            let mut sum = 0;
            let mut tasks = Vec::with_capacity(at_once as usize);
            while let Some(calls) = window.start() {
                for _ in 0..calls {
                    if at_once == 1 {
                        sum += monoio::spawn(async { black_box(1_u64) }).await;
                        continue;
                    }
                    tasks.extend((0..at_once).map(|_| monoio::spawn(async { black_box(1_u64) })));
                    for task in tasks.drain(..) {
                        sum += task.await;
                    }
                }
                window.stop(at_once);
            }
            sum
        });
        check("monoio", expected, sum)
    }
}
