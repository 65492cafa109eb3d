//! What waking a sleeping thread on the other core costs.

use std::sync::Arc;
use std::thread;

use maser_shm::sync::CachePadded;
use maser_shm::sync::atomic::{AtomicU64, Ordering};
use maser_shm::sync::hint::spin_loop;

use crate::harness::{BenchError, Contender, Window, check};

/// How long the driver leaves the other side alone so that it falls asleep, ns.
pub const ASLEEP_NS: f64 = 1e6;

/// `unpark` of a thread that sleeps on the other core, and its answer on a line that the driver
/// spins on. Each call waits first until the other side sleeps; that time is not measured.
#[derive(Debug, Default)]
pub struct Wake {
    lines: Arc<[CachePadded<AtomicU64>; 2]>,
}

/// Lets [`ASLEEP_NS`] pass on the driver's core.
pub fn let_sleep(window: &Window<'_>) {
    let (clock, began) = (window.clock(), window.clock().now());
    while clock.ns_between(began, clock.now()) < ASLEEP_NS {
        spin_loop();
    }
}

impl Contender for Wake {
    fn name(&self) -> &'static str {
        "floor/wake"
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let (calls, shape, clock) = (window.calls(), window.shape(), window.clock());
        for line in &*self.lines {
            line.store(0, Ordering::Release);
        }
        let lines = Arc::clone(&self.lines);
        let (handle, sleeper) = std::sync::mpsc::channel();
        let partner = window.partner().run(move || {
            // The driver waits for it, so it is there.
            let _ = handle.send(thread::current());
            for number in 1..=calls {
                while lines[0].load(Ordering::Acquire) != number {
                    thread::park();
                }
                lines[1].store(number, Ordering::Release);
            }
        });
        let sleeper = sleeper
            .recv()
            .map_err(|gone| BenchError::contender(self.name(), gone))?;
        for number in 1..=calls {
            let_sleep(window);
            let first = clock.now();
            self.lines[0].store(number, Ordering::Release);
            sleeper.unpark();
            while self.lines[1].load(Ordering::Acquire) != number {
                spin_loop();
            }
            let last = clock.now();
            if number > shape.warm * shape.batch {
                window.record(clock.span_ns(first, last));
            }
        }
        partner.join()?;
        check(self.name(), calls, self.lines[1].load(Ordering::Acquire))
    }
}
