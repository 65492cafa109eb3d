//! A cache line handed to the other core and one handed back.
//!
//! - LI-1 the payload is the sequence number itself; it is stored Release and awaited Acquire, as
//!   any protocol on top must do.
//! - LI-2 both sides look once and `pause` once.

use std::sync::Arc;

use maser_shm::sync::atomic::{AtomicU64, Ordering};
use maser_shm::sync::{CachePadded, hint::spin_loop};

use crate::harness::{BenchError, Contender, Window, check};

type Line = CachePadded<AtomicU64>;

/// Waits until `line` holds `wanted` (LI-2).
#[inline(always)]
fn await_value(line: &AtomicU64, wanted: u64) {
    while line.load(Ordering::Acquire) != wanted {
        spin_loop();
    }
}

/// F: a line for each direction.
#[derive(Debug, Default)]
pub struct LinePair {
    lines: Arc<[Line; 2]>,
}

impl Contender for LinePair {
    fn name(&self) -> &'static str {
        "floor/line_pair"
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let calls = window.calls();
        for line in &*self.lines {
            line.store(0, Ordering::Release);
        }
        let lines = Arc::clone(&self.lines);
        let partner = window.partner().run(move || {
            for number in 1..=calls {
                await_value(&lines[0], number);
                lines[1].store(number, Ordering::Release);
            }
        });
        let mut number = 0;
        window.time(|| {
            number += 1;
            self.lines[0].store(number, Ordering::Release);
            await_value(&self.lines[1], number);
        });
        partner.join()?;
        check(self.name(), calls, self.lines[1].load(Ordering::Acquire))
    }
}

/// One line written in turn: odd numbers are questions, even ones answers.
#[derive(Debug, Default)]
pub struct LineTurn {
    line: Arc<Line>,
}

impl Contender for LineTurn {
    fn name(&self) -> &'static str {
        "floor/line_turn"
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let calls = window.calls();
        self.line.store(0, Ordering::Release);
        let line = Arc::clone(&self.line);
        let partner = window.partner().run(move || {
            for call in 0..calls {
                await_value(&line, 2 * call + 1);
                line.store(2 * call + 2, Ordering::Release);
            }
        });
        let mut number = 0;
        window.time(|| {
            self.line.store(number + 1, Ordering::Release);
            number += 2;
            await_value(&self.line, number);
        });
        partner.join()?;
        check(self.name(), 2 * calls, self.line.load(Ordering::Acquire))
    }
}

/// `hops` lines one after the other over two cores: even hops go to core 1, odd ones back.
#[derive(Debug)]
pub struct LineChain {
    name: &'static str,
    lines: Arc<[Line]>,
}

impl LineChain {
    /// A chain of `hops` lines, an even number, so that it ends where it began.
    ///
    /// # Panics
    /// If `hops` is odd or zero.
    pub fn new(name: &'static str, hops: usize) -> Self {
        assert!(
            hops > 0 && hops.is_multiple_of(2),
            "a chain returns to its first core"
        );
        Self {
            name,
            lines: (0..hops).map(|_| Line::default()).collect(),
        }
    }
}

impl Contender for LineChain {
    fn name(&self) -> &'static str {
        self.name
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let calls = window.calls();
        for line in &*self.lines {
            line.store(0, Ordering::Release);
        }
        let lines = Arc::clone(&self.lines);
        let partner = window.partner().run(move || {
            for number in 1..=calls {
                for pair in lines.chunks_exact(2) {
                    await_value(&pair[0], number);
                    pair[1].store(number, Ordering::Release);
                }
            }
        });
        let mut number = 0;
        window.time(|| {
            number += 1;
            for pair in self.lines.chunks_exact(2) {
                pair[0].store(number, Ordering::Release);
                await_value(&pair[1], number);
            }
        });
        partner.join()?;
        let last = self.lines[self.lines.len() - 1].load(Ordering::Acquire);
        check(self.name, calls, last)
    }
}
