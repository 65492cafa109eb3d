//! glommio: one executor on the driver's thread; tasks are spawned locally and awaited.

use std::hint::black_box;

use glommio::{LocalExecutor, LocalExecutorBuilder, Placement, spawn_local};
use maser_shm::os::uring::Ring;

use crate::harness::{BenchError, Contender, Offer, Skip, Window, check};

/// `spawn_local` and await on the same thread.
pub struct Glommio {
    executor: LocalExecutor,
    /// Tasks that are spawned before the first is awaited.
    at_once: u64,
}

impl Glommio {
    /// An executor that spawns `at_once` tasks before it awaits them.
    ///
    /// # Errors
    /// A skip if it cannot start; it insists on a limit for locked memory that few machines give.
    pub fn new(at_once: u64) -> Offer<Self> {
        // It panics where there is no ring.
        Ring::available().map_err(|refusal| Skip(format!("glommio cannot start: {refusal}")))?;
        let executor = LocalExecutorBuilder::new(Placement::Unbound)
            .io_memory(1 << 16)
            .make()
            .map_err(|error| Skip(format!("glommio cannot start: {error}")))?;
        Ok(Self { executor, at_once })
    }
}

impl Contender for Glommio {
    fn name(&self) -> &'static str {
        "glommio"
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let (expected, at_once) = (window.calls() * self.at_once, self.at_once);
        let sum = self.executor.run(async move {
            let mut sum = 0;
            let mut tasks = Vec::with_capacity(at_once as usize);
            while let Some(calls) = window.start() {
                for _ in 0..calls {
                    if at_once == 1 {
                        sum += spawn_local(async { black_box(1_u64) }).await;
                        continue;
                    }
                    tasks.extend((0..at_once).map(|_| spawn_local(async { black_box(1_u64) })));
                    for task in tasks.drain(..) {
                        sum += task.await;
                    }
                }
                window.stop(at_once);
            }
            sum
        });
        check("glommio", expected, sum)
    }
}
