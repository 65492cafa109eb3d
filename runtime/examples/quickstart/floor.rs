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

/// Round trips between two CPUs.
fn round_trips(here: usize, there: usize) -> Latency {
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
    Latency::new(samples_ns)
}

/// The floor, measured again after everything that is compared with it.
pub struct Floors {
    /// Nothing where there is one core.
    cpus: Option<[usize; 2]>,
    last: Option<Latency>,
    moved: bool,
}

impl Floors {
    /// Between the first two of `cpus`. Prints the head of the table and the first floor.
    pub fn on(cpus: &[usize]) -> Self {
        let cpus: Option<[usize; 2]> = cpus.get(..2).and_then(|two| two.try_into().ok());
        let last = cpus.map(|[here, there]| round_trips(here, there));
        println!(
            "{:24}{:>10}{:>10}{:>10}{:>10}",
            "", "p50", "p99", "p99.9", "x floor"
        );
        if let Some(floor) = &last {
            println!("{:24}{floor}{:>10}", "floor", "1");
        }
        Self {
            cpus,
            last,
            moved: false,
        }
    }

    /// Prints `latency`, which was just measured, in multiples of the floor before and after it.
    pub fn print_beside(&mut self, name: &str, latency: &Latency) {
        let after = self.cpus.map(|[here, there]| round_trips(here, there));
        let ratio = self
            .last
            .as_ref()
            .zip(after.as_ref())
            .map(|(before, after)| {
                let (before_ns, after_ns) = (before.p50_ns(), after.p50_ns());
                self.moved |= before_ns.max(after_ns) > STEADY * before_ns.min(after_ns);
                format!("{:.2}", latency.p50_ns() / ((before_ns + after_ns) / 2.0))
            });
        println!("{name:24}{latency}{:>10}", ratio.as_deref().unwrap_or("-"));
        self.last = after;
    }

    /// Says what the figures mean on this machine.
    pub fn explain(&self) {
        let Some([here, there]) = self.cpus else {
            println!(
                "\nThis process may use one core: actor and caller take turns on it, no message \
                 leaves it,\nand there is no floor, which is the way to another core and back."
            );
            return;
        };
        println!(
            "\nThe floor is one cache line from CPU {here} to CPU {there} and one back, timed before \
             and after each\nway. The last column compares medians."
        );
        if self.moved {
            println!(
                "The floor moved meanwhile: something else uses the machine, or it is a virtual one \
                 whose\nhost moves its cores. Run it again."
            );
        }
    }
}
