//! The bare machine: what no runtime can beat.
//!
//! | file | probes |
//! |---|---|
//! | `line` | a cache line between two cores: a line each way, one line in turn, chains |
//! | `local` | one core: virtual call, clock, system call |
//! | `memory` | copies of 64 B to 1 MiB, memory that nobody has touched |
//! | `stream` | copies past the caches |
//! | `process` | a cache line, and payloads, between two processes |
//! | `sleep` | waking a thread |
//! | `socket` | bare sockets of TCP, there and back and one way |
//! | `jitter` | gaps of a bare spin loop |

mod jitter;
mod line;
mod local;
mod memory;
mod process;
mod sleep;
mod socket;
mod stream;

pub use jitter::{Jitter, jitter};
pub use line::{LineChain, LinePair, LineTurn};
pub use local::{ClockRead, NoopCall, Syscall};
pub use memory::{ArcClone, FirstTouch, FreshCopy, Memcpy};
pub use process::{LineProcess, PayloadProcess, SlotProcess};
pub(crate) use process::{PairThere, PayloadThere, TurnThere};
pub use sleep::{ASLEEP_NS, Wake, let_sleep};
pub use socket::{SocketRoundTrip, SocketStream, Sockets, polled};
pub use stream::{Place, StreamCopy, kept};

use crate::harness::Contender;

/// The two bare floors of a question and its answer; the better one is the floor of a call.
pub fn call() -> Vec<Box<dyn Contender>> {
    vec![Box::new(LinePair::default()), Box::new(LineTurn::default())]
}
