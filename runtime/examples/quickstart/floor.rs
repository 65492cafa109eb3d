//! The machine's own floor: one cache line to the other core and one back.
//!
//! - FL-1 the number itself is the message; it is stored Release and awaited Acquire, as any
//!   protocol on top has to.
//! - FL-2 each line has one writer and a pair of cache lines of its own; the wait loop looks once
//!   and pauses once.

use crate::latency::Latency;
use rustix::thread::{CpuSet, sched_setaffinity};
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const BATCH: u64 = 16;
const BATCHES: u64 = 20_000;
/// Batches before the first sample.
const WARM: u64 = 500;
/// The floor moves by this much between the two measurements before the reader is told.
const STEADY: f64 = 1.25;

/// 128 bytes: processors fetch lines in pairs.
#[derive(Default)]
#[repr(align(128))]
struct Line(AtomicU64);

impl Line {
    /// FL-1, FL-2.
    #[inline(always)]
    fn wait_for(&self, number: u64) {
        while self.0.load(Ordering::Acquire) != number {
            spin_loop();
        }
    }
}

/// Binds the calling thread to `cpu`; where that is refused it runs wherever it is put.
fn pin(cpu: usize) {
    let mut one = CpuSet::new();
    one.set(cpu);
    let _refused = sched_setaffinity(None, &one);
}

/// Round trips between the first two of `cpus`; nothing if there is only one.
pub fn measure(cpus: &[usize]) -> Option<Latency> {
    let &[here, there, ..] = cpus else {
        return None;
    };
    let (question, answer) = (Line::default(), Line::default());
    let mut samples_ns = Vec::with_capacity(BATCHES as usize);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            pin(there);
            for number in 1..=(WARM + BATCHES) * BATCH {
                question.wait_for(number);
                answer.0.store(number, Ordering::Release);
            }
        });
        threads.spawn(|| {
            pin(here);
            let mut number = 0;
            for batch in 0..WARM + BATCHES {
                let first = Instant::now();
                for _ in 0..BATCH {
                    number += 1;
                    question.0.store(number, Ordering::Release);
                    answer.wait_for(number);
                }
                if batch >= WARM {
                    samples_ns.push(first.elapsed().as_nanos() as f64 / BATCH as f64);
                }
            }
        });
    });
    Some(Latency::new(samples_ns))
}

/// What the figures mean on this machine.
pub fn explain(cpus: &[usize], before: Option<&Latency>, after: Option<&Latency>) -> String {
    let (Some(before), Some(after)) = (before, after) else {
        return format!(
            "This process may use one core, CPU {}: actor and caller take turns on it, no message \
             leaves it,\nand there is no floor, which is the way to another core and back.",
            cpus[0]
        );
    };
    let mut text = format!(
        "The floor is one cache line from CPU {} to CPU {} and one back. The last column compares \
         medians.",
        cpus[0], cpus[1]
    );
    let (low, high) = if before.p50_ns() < after.p50_ns() {
        (before, after)
    } else {
        (after, before)
    };
    if high.p50_ns() > STEADY * low.p50_ns() {
        text.push_str(
            "\nIt moved while this ran, so the last column is rough: something else uses the \
             machine. Run it again.",
        );
    }
    text
}
