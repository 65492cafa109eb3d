//! The bare machine: what no runtime can beat.
//!
//! | file | probes |
//! |---|---|
//! | `line` | a cache line between two cores: a line each way, one line in turn, chains |
//! | `local` | one core: virtual call, clock, system call |
//! | `memory` | copies of 64 B to 1 MiB |
//! | `sleep` | waking a thread |
//! | `jitter` | gaps of a bare spin loop |

mod jitter;
mod line;
mod local;
mod memory;
mod sleep;

pub use jitter::{Jitter, jitter};
pub use line::{LineChain, LinePair, LineTurn};
pub use local::{ClockRead, NoopCall, Syscall};
pub use memory::Memcpy;
pub use sleep::{ASLEEP_NS, Wake, let_sleep};

use crate::harness::Contender;

/// The two bare floors of a question and its answer; the better one is the floor of a call.
pub fn call() -> Vec<Box<dyn Contender>> {
    vec![Box::new(LinePair::default()), Box::new(LineTurn::default())]
}
